"""How a flood of control packets is judged: four times as many take about four times as long.

Each of these once made a check go through all it had kept at every packet, so that a few thousand took minutes.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from captures.files.capture import Interface, PcapngWriter
from captures.files.reading import CaptureReader
from captures.rules.engine import verify
from captures.rules.packs.pack import Settings
from tests.captures.scripted_link import T0, ScriptedLink, ethernet, ip, older_report, query, summed

FLOOD = 8_000
TIMES_SLOWER_AT_MOST = 2  # each packet of the whole flood than each of its quarter; where all is gone through, four

Frames = Iterator[tuple[float, bytes]]


def reports_without_end(size: int) -> Frames:
    """Status reports that together shall name more MNs than ever come, ten by ten."""
    link = ScriptedLink()
    for number in range(size):
        mns = [["mn_id", f"{number * 10 + one:08x}"] for one in range(10)]
        link.mmcp(number / 1000, f"{number}.ASR", "lmc1", "sm", [["membership", 200_000], *mns])
    return ((frame.at_s, frame.data) for frame in link.ordered())


def general_query() -> bytes:
    return ethernet("a", ip("10.0.0.1", "224.0.0.1", 2, summed(query(4), 2), alert=True))


def older_members(size: int) -> Frames:
    """Hosts that report in IGMPv2, each twice, asked in between."""
    group = "239.1.1.1"
    report = summed(older_report(4, group), 2)
    for number in range(size):
        if number == size // 2:
            yield 9.5, general_query()
        host = struct.pack("!BBH", 10, 9, number % (size // 2))
        frame = bytearray(ethernet("other", ip(".".join(map(str, host)), group, 2, report, alert=True)))
        frame[8:12] = host
        yield 10 * number / size + (number >= size // 2), bytes(frame)


def queries(size: int) -> Frames:
    """Members, and then one question after the other."""
    members = older_members(size)
    for _ in range(size // 2):
        yield next(members)
    for number in range(size // 2):
        yield 6 + number / 1000, general_query()


def tags(size: int) -> Frames:
    """Frames of nothing but VLAN tags."""
    for number in range(20):
        yield number / 100, bytes(12) + b"\x81\x00\x00\x01" * (4 * size)


def seconds(path: Path, frames: Frames) -> float:
    """Processor time of judging them."""
    with path.open("wb") as stream:
        writer = PcapngWriter(stream, [Interface("eth0", 1)])
        for at_s, data in frames:
            writer.frame(T0 + round(at_s * 1e9), 0, data)
        writer.flush()
    began = time.process_time()
    verify(CaptureReader(path), settings=Settings(timers={"srt": 2.0}))
    return time.process_time() - began


@pytest.mark.timeout(300)
@pytest.mark.parametrize("flood", [reports_without_end, older_members, queries, tags])
def test_a_flood_four_times_as_long_takes_four_times_as_long(tmp_path: Path, flood: Callable[[int], Frames]) -> None:
    seconds(tmp_path / "first.pcapng", flood(100))  # what is made only once
    quarter = min(seconds(tmp_path / "quarter.pcapng", flood(FLOOD // 4)) for _ in range(3))
    whole = min(seconds(tmp_path / "whole.pcapng", flood(FLOOD)) for _ in range(3))
    print(
        f"\n{flood.__name__}: {FLOOD} in {whole:.2f} s, each {whole / 4 / quarter:.2f} times as long as with a quarter"
    )
    assert whole / 4 < TIMES_SLOWER_AT_MOST * quarter
