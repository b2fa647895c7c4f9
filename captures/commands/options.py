"""Options that several commands have, and how what was asked for is told from what there is."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from captures.commands.answering import say_where_it_breaks_off
from captures.files.capture import CaptureError
from captures.ladder.words import known_protocols
from captures.protocols import port_names

Command = TypeVar("Command", bound=Callable[..., Any])


class Seconds(click.ParamType[int]):
    """A time from the beginning of a capture: ``2.5``, ``2.5s`` or ``2500ms``; as nanoseconds."""

    name = "time"
    _written = re.compile(r"(\d+(?:\.\d+)?)\s*(s|ms)?")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Nanoseconds of what was written."""
        match = self._written.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is no time: give seconds from the beginning, such as 2.5, or 2500ms", param, ctx)
        return round(float(match[1]) * (1e6 if match[2] == "ms" else 1e9))


def _ports(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    known, found = port_names(), {}
    for value in values:
        name, _, number = value.lower().partition("=")
        if name not in known or not number.isdecimal() or not 0 < int(number) < 65536:
            raise click.BadParameter(f"{value}: give {', '.join(known)} and a port, as in {known[0]}=5000")
        found[name] = int(number)
    return found


runs_option = click.option(
    "--runs", type=click.Path(path_type=Path), help="Folder of the runs.", default=None, show_default="captures/runs"
)
run_argument = click.argument("run", default="latest", metavar="[RUN|FILE]")
port_option = click.option(
    "--port",
    "ports",
    multiple=True,
    callback=_ports,
    metavar="NAME=PORT",
    help=f"Where a protocol was sent to, if not to its own port; its NAME is one of {', '.join(port_names())}.",
)
wait_option = click.option(
    "--wait", "wait_s", type=click.FloatRange(0), default=0, metavar="S", help="Seconds to wait for a lab to start."
)


def protocol_option(what: str) -> Callable[[Command], Command]:
    """The option that names protocols; `what` is done with them."""
    known = ", ".join(sorted(known_protocols()))
    return click.option("--protocol", "protocols", metavar="NAME,…", help=f"{what} these protocols, of {known}.")


def answer_truncated(truncated: str | None, named: str, *, failed: int) -> None:
    """Of a capture that breaks off say so and end the program: with status 1 if a rule failed in what there was, else 2."""
    from captures.rules.judgement import exit_code

    if truncated is not None:
        sys.stdout.flush()
        say_where_it_breaks_off(named, truncated)
        sys.exit(exit_code(failed=failed, truncated=truncated))


def names_of(written: str | None) -> frozenset[str] | None:
    """The protocols that were asked for, None for whatever there is. Raises `CaptureError` if none is named."""
    if written is None:
        return None
    names = frozenset(name.strip().lower() for name in written.split(",") if name.strip())
    if not names:
        raise CaptureError(f"--protocol {written!r}: name at least one of {', '.join(sorted(known_protocols()))}")
    return names


def check_protocols(wanted: frozenset[str] | None, seen: Sequence[str] = ()) -> None:
    """Raise `CaptureError` if a protocol is wanted that is neither known nor among those `seen`."""
    known = known_protocols() | set(seen)
    strangers = sorted((wanted or frozenset()) - known)
    if strangers:
        raise CaptureError(f"--protocol {','.join(strangers)}: not known; known are {', '.join(sorted(known))}")
