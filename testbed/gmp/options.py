"""Options that GMP's labs have in common."""

from __future__ import annotations

from dataclasses import replace

from testbed.run.options import (
    Option,
    OptionError,
    Values,
    choice_option,
    duration_option,
    family_option,
    file_option,
    number_option,
)

UNIT_S = 0.1
"""In which messages have the keep-alive's period and timeout [8.4]."""


def _family(text: str) -> str:
    if text == "6":
        raise OptionError(
            "GMP's messages have room for an IPv4 group only [8.2, 8.4], and a lab's hosts have addresses of one family: "
            "leave it at 4"
        )
    if text != "4":
        raise OptionError(f"{text!r} is not 4")
    return text


def session_options(period: str = "500ms", timeout: str = "2s") -> tuple[Option, ...]:
    """What every lab of a GMP session takes; ``period`` and ``timeout``: of the keep-alive, by default."""
    return (
        replace(family_option(), parse=_family, help="IP version; GMP's groups are IPv4", metavar="4"),
        choice_option("transport", "What GMP's messages go by", "udp", ("udp", "tcp")),
        duration_option(
            "period", "Time between two keep-alive requests to a member, in steps of 100 ms", period, 0.1, 25.0
        ),
        duration_option(
            "timeout", "Silence after which a member is taken to be gone, in steps of 100 ms", timeout, 0.2, 25.5
        ),
        number_option("rate", "Stream", "200", 10, 2000, "packets/s"),
        number_option("size", "RTP payload of each packet", "188", 8, 1344, "bytes"),
        replace(
            file_option("media", "MPEG-TS file to stream at its own rate instead"), idle=lambda _values, _model: ""
        ),
    )


def tenths(values: Values, name: str) -> int:
    """A duration as GMP's messages have it; raises OptionError for one that they cannot say."""
    seconds = values.seconds(name)
    found = round(seconds / UNIT_S)
    if abs(found * UNIT_S - seconds) > 1e-9:
        raise OptionError(f"--{name} {seconds:g}s: GMP counts in tenths of a second; give a whole number of those")
    return found
