"""Which interface saw what: captures in which one name, or one pseudo-interface, stands for several links."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from captures.files.capture import Interface, PcapngWriter
from captures.files.reading import CaptureReader
from captures.rules.engine import verify
from captures.rules.judgement import Judgement
from captures.rules.packs.pack import Settings
from tests.captures.scripted_link import SRT_S, T0, good_link

ON_ITS_WAY_NS = 100_000  # from one interface to the next


def judged(path: Path) -> Judgement:
    return verify(CaptureReader(path), settings=Settings(timers={"srt": SRT_S}))


def failures(found: Judgement) -> set[str]:
    return {verdict.rule for verdict in found.verdicts if verdict.verdict == "failed"}


def cooked(frame: bytes, link_type: int, index: int, kind: int) -> bytes:
    """An Ethernet frame as ``tcpdump -i any`` writes it; `kind` 0 came in, 4 goes out."""
    ethertype, mac, packet = frame[12:14], frame[6:12], frame[14:]
    if link_type == 113:
        return struct.pack("!HHH6sxx2s", kind, 1, 6, mac, ethertype) + packet
    return struct.pack("!2sxxIHBB6sxx", ethertype, index, 1, kind, 6, mac) + packet


def seen_twice(path: Path, first: Interface, second: Interface) -> Path:
    """A good link whose MMCP and RTP a router forwards: each packet again, at the second interface, a moment later."""
    with path.open("wb") as stream:
        writer = PcapngWriter(stream, [first] if first == second else [first, second])
        # An interface of the same name is one of its own all the same.
        if first == second and first.link_type == 1:
            writer.interface(second)
        times = 0 if first.link_type == 1 else 1
        for frame in good_link().ordered():
            at = T0 + round(frame.at_s * 1e9)
            forwarded = "mmcp" in frame.tag or frame.tag.startswith("data") or frame.data[23] == 17
            if times:
                writer.frame(at, 0, cooked(frame.data, first.link_type, 2, 0))
                if forwarded:
                    writer.frame(at + ON_ITS_WAY_NS, 0, cooked(frame.data, first.link_type, 3, 4))
            else:
                writer.frame(at, 0, frame.data)
                writer.frame(at + ON_ITS_WAY_NS, 1, frame.data)
        writer.flush()
    return path


@pytest.mark.parametrize("name", ["eth0", ""])
def test_two_hosts_with_one_name_are_two_witnesses(tmp_path: Path, name: str) -> None:
    found = judged(seen_twice(tmp_path / "a.pcapng", Interface(name, 1), Interface(name, 1)))
    assert not failures(found)
    assert set(found.interfaces) == ({"eth0", "eth0 (2)"} if name else {"interface 0", "interface 1"})
    assert {pack.name for pack in found.packs} == {"mmcp", "igmp", "mld", "pim", "rtp"}


def test_any_of_a_router_is_as_many_witnesses_as_it_has_interfaces(tmp_path: Path) -> None:
    found = judged(seen_twice(tmp_path / "a.pcapng", Interface("any", 276), Interface("any", 276)))
    assert not failures(found)
    assert set(found.interfaces) == {"any[2]", "any[3]"}


def test_where_the_capture_cannot_tell_it_is_said(tmp_path: Path) -> None:
    found = judged(seen_twice(tmp_path / "a.pcapng", Interface("any", 113), Interface("any", 113)))
    assert any("LINUX_SLL2" in warning for warning in found.warnings)


def test_neighbours_that_change_places_in_the_file_are_no_fault_of_the_stream(tmp_path: Path) -> None:
    frames = good_link().ordered()
    data = [index for index, frame in enumerate(frames) if frame.tag.startswith("data")]
    neighbours = [(one, one + 1) for one in data if one + 1 in data][::7]
    for one, other in neighbours:
        frames[one], frames[other] = frames[other], frames[one]
    path = tmp_path / "a.pcapng"
    with path.open("wb") as stream:
        writer = PcapngWriter(stream, [Interface("eth0", 1)])
        for frame in frames:
            writer.frame(T0 + round(frame.at_s * 1e9), 0, frame.data)
        writer.flush()
    found = judged(path)
    assert not failures(found)
    [warning] = [text for text in found.warnings if "RTP packets stand" in text]
    assert warning.startswith(f"{len(neighbours)} RTP packets")
    assert len(neighbours) > 5
