"""Wireshark reads what is written here, and numbers the frames as the judge does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from captures.files.capture import Frame
from captures.files.reading import CaptureReader
from captures.rules.engine import verify
from tests.captures.scripted_lab import good_lab
from tests.captures.scripted_link import ScriptedLink
from tests.captures.wireshark_streams import measured_by_wireshark, wireshark

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.lab
SSRC = 0xABCD  # of the scripted stream


def test_frame_numbers_times_and_interfaces_are_wiresharks(tmp_path: Path) -> None:
    path = good_lab(6).write(tmp_path / "lab.pcapng")
    fields = ["frame.number", "frame.time_epoch", "frame.interface_name"]
    options = [word for field in fields for word in ("-e", field)]
    shown = [line.split("\t") for line in wireshark("tshark", "-r", str(path), "-T", "fields", *options).splitlines()]
    records = list(CaptureReader(path))
    assert len(shown) == len(records)
    for (number, time, interface), record in zip(shown, records, strict=True):
        assert int(number) == record.number
        seconds, _, fraction = time.partition(".")
        t_ns = int(seconds) * 10**9 + int(fraction.ljust(9, "0"))
        if isinstance(record, Frame):
            assert (t_ns, interface) == (record.t_ns, record.interface)
        else:
            assert t_ns == record.t_ns // 1000 * 1000  # a journal entry's time has microseconds


def test_steps_are_journal_entries(tmp_path: Path) -> None:
    path = good_lab().write(tmp_path / "lab.pcapng")
    shown = wireshark(
        "tshark", "-r", str(path), "-Y", "systemd_journal.message", "-T", "fields", "-e", "systemd_journal.message"
    )
    assert len(shown.splitlines()) == len(good_lab().steps)
    assert '"step":"handover_begin"' in shown


def test_capinfos_finds_nothing_wrong(tmp_path: Path) -> None:
    shown = wireshark("capinfos", str(good_lab().write(tmp_path / "lab.pcapng")))
    assert "Wireshark/... - pcapng" in shown
    assert "Strict time order:   True" in shown
    assert "nanoseconds (9)" in shown


def uneven(number: int) -> float:
    """When a packet of a stream comes that should come every 10 ms: up to 3 ms late, in a pattern that looks like chance."""
    return 7 + number / 100 + (number * 7919 % 31) / 10_000


STREAMS: dict[str, Callable[[ScriptedLink], object]] = {
    "clean": lambda _link: None,
    "lossy": lambda link: [link.drop(f"data.{number}") for number in range(5, 2000, 37)],
    "lossy in bursts": lambda link: link.drop("data.3??").drop("data.12??"),
    "duplicated": lambda link: [link.copy(f"data.{number}", 0.001) for number in range(3, 2000, 41)],
    "duplicated and lossy": lambda link: [
        [link.copy(f"data.{number}", 0.001), link.drop(f"data.{number + 9}")] for number in range(3, 1900, 41)
    ],
    "reordered": lambda link: [link.move(f"data.{number}", 0.015) for number in range(7, 1990, 53)],
}


@pytest.mark.parametrize("case", STREAMS)
def test_streams_are_measured_as_wireshark_does(tmp_path: Path, case: str) -> None:
    """What Wireshark calls lost is expected less received [RFC 3550 A.3], so duplicates make it smaller: `Stream.lost`.

    Wireshark takes the number expected from the last packet, the judge from the highest; the last is the highest here. Wireshark
    4.0 takes jitter as the judge does; later versions compare a packet with the last one in order instead of the last one
    that came, so that of a reordered stream is only near.
    """
    link = ScriptedLink()
    for number in range(2000):
        # The sequence number passes its wrap, the timestamps are those of an even stream.
        link.rtp(uneven(number), f"data.{number}", 65_000 + number, timestamp=number * 900)
    STREAMS[case](link)
    path = link.write(tmp_path / "stream.pcapng")
    theirs = measured_by_wireshark(path, SSRC)
    (stream,) = verify(CaptureReader(path), ["rtp"]).streams
    assert (stream.packets, stream.lost) == (theirs.packets, theirs.lost)
    ours = stream.as_dict()
    older = "Wireshark) 4.0." in wireshark("tshark", "--version")
    differs = 0.001 if case != "reordered" else 0.01 if older else 0.4
    assert ours["mean_jitter_ms"] == pytest.approx(theirs.mean, rel=differs, abs=0.002)
    assert ours["max_jitter_ms"] == pytest.approx(theirs.largest, rel=differs, abs=0.002)
    assert theirs.largest > 0.5


def test_a_source_that_restarts_is_measured_as_wireshark_measures_each_of_its_sequences(tmp_path: Path) -> None:
    """Wireshark knows no restart: it takes a number below the first one for a lap of 65,536 more [RFC 3550 A.1 resynchronises].

    So the whole is held against its two parts, each of them a capture that Wireshark measures as the judge does.
    """
    whole, before, after = ScriptedLink(), ScriptedLink(), ScriptedLink()
    for number in range(2000):
        first, part = (30_000, before) if number < 1000 else (-300, after)
        if number not in {40, 41, 700, 1100, 1500}:
            for link in (whole, part):
                link.rtp(uneven(number), f"data.{number}", first + number, timestamp=number * 900)
    paths = [link.write(tmp_path / f"{at}.pcapng") for at, link in enumerate((whole, before, after))]
    (stream,) = verify(CaptureReader(paths[0]), ["rtp"]).streams
    entire, *parts = [measured_by_wireshark(path, SSRC) for path in paths]
    assert (stream.restarts, stream.packets, stream.lost) == (1, entire.packets, 5)
    assert [part.lost for part in parts] == [3, 2]
    assert entire.lost == (1699 + 65_536 - 30_000 + 1) - 1995
    assert stream.as_dict()["mean_jitter_ms"] == pytest.approx(entire.mean, abs=0.002)
