"""What the interfaces of a capture can tell: which are silent, whose clock is wrong, what was captured twice."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

import pytest

from captures.files.capture import Frame
from captures.files.reading import CaptureReader
from captures.history.control import every_protocol
from captures.history.history import History
from captures.mmcp.dissector import build
from tests.captures.histories import history
from tests.captures.scripted_link import GROUPS, PORT, ethernet, hello, ip, summed, udp

MN, SM = "10.0.1.21", "10.0.9.10"
WAY = ("mn:radio", "ar:cell", "ar:core", "sm:eth0")
HOPS = (64, 64, 63, 63)
"""What a packet of the MN has left at each interface of its way; back it is the other way round."""


def message(sender: str, number: int, hops: int) -> bytes:
    source, destination = (MN, SM) if sender == MN else (SM, MN)
    return udp(source, destination, PORT, PORT, build({"packet": "USP", "session_id": number}), hops=hops)


def exchanges(
    shifts: dict[str, float] | None = None,
    *,
    delay_s: float = 0.0001,
    there: bool = True,
    back: bool = True,
) -> History:
    """Five requests and answers between MN and SM, each seen on its whole way."""
    frames = []
    for number in range(5):
        for sender, way, wanted in ((MN, WAY, there), (SM, WAY[::-1], back)):
            if wanted:
                for place, (interface, hops) in enumerate(zip(way, HOPS, strict=True)):
                    at_s = 1 + number + 0.3 * (sender == SM) + place * delay_s + (shifts or {}).get(interface, 0)
                    frames.append((at_s, interface, 1, ethernet("mn", message(sender, number, hops))))
    found = history(sorted(frames))
    assert len(list(found)) == len(frames)
    return found


@pytest.mark.parametrize("delay_s", [0, 0.0001, 0.05])
def test_clocks_that_agree_are_not_complained_of(delay_s: float) -> None:
    found = exchanges(delay_s=delay_s)
    assert found.clock_shifts() == {}
    assert found.warnings() == []


@pytest.mark.parametrize("interface", WAY)
@pytest.mark.parametrize("shift_s", [0.02, -0.02, 0.4, -3.0])
def test_the_one_whose_clock_is_wrong_is_found(interface: str, shift_s: float) -> None:
    found = exchanges({interface: shift_s})
    ((name, shift_ns),) = found.clock_shifts().items()
    assert name == interface
    assert shift_ns == pytest.approx(shift_s * 1e9, abs=1_000_000)
    direction = "ahead of" if shift_s > 0 else "behind"
    assert found.warnings() == [f"the clock of {interface} is {abs(shift_ns) / 1e6:.1f} ms {direction} the others'"]


def test_where_two_of_four_differ_all_are_doubtful() -> None:
    """Two of one machine may be wrong, or the other two: nothing tells which."""
    found = exchanges({"sm:eth0": 0.05, "ar:core": 0.05, "other": 0})
    assert set(found.clock_shifts()) == {*WAY}


def test_of_two_that_differ_both_are_doubtful() -> None:
    frames = []
    for number in range(3):
        for sender, first, second in ((MN, "mn:radio", "sm:eth0"), (SM, "sm:eth0", "mn:radio")):
            octets, at_s = ethernet("mn", message(sender, number, 64)), number + 0.3 * (sender == SM)
            frames += [(at_s + 0.05 * (place == "sm:eth0"), place, 1, octets) for place in (first, second)]
    found = history(sorted(frames))
    list(found)
    assert found.clock_shifts() == {"mn:radio": -50_000_000, "sm:eth0": 50_000_000}


@pytest.mark.parametrize("lost_at", [None, "mn:radio", "ar:cell"])
def test_messages_that_are_equal_and_far_apart_tell_of_a_shift(lost_at: str | None) -> None:
    """Renewals and probes are the same octets again: the second here is the second there, if nobody saw fewer."""
    frames = []
    for place, (interface, hops) in enumerate(zip(WAY, HOPS, strict=True)):
        for again in range(3):
            for sender, later in ((MN, 0.0001 * place), (SM, 0.3 - 0.0001 * place)):
                at_s = 1 + 2 * again + later - 0.4 * (interface == "mn:radio")
                if again != 1 or interface != lost_at:
                    frames.append((at_s, interface, 1, ethernet("mn", message(sender, 1, hops))))
    found = history(sorted(frames))
    assert len(list(found)) == len(frames)
    assert set(found.clock_shifts()) == (set() if lost_at == "mn:radio" else {"mn:radio"})


@pytest.mark.parametrize("shift_s", [0.003, -0.003])
def test_a_little_is_no_matter(shift_s: float) -> None:
    assert exchanges({"sm:eth0": shift_s}).clock_shifts() == {}


def test_a_long_way_in_one_direction_is_no_shift() -> None:
    """Nobody can tell a slow link from a clock that is ahead if nothing ever comes back."""
    assert exchanges(delay_s=0.05, back=False).clock_shifts() == {}
    assert exchanges({"sm:eth0": 0.05}, back=False).clock_shifts() == {}


def test_what_arrives_before_it_was_sent_tells_of_a_shift_in_one_direction_too() -> None:
    found = exchanges({"sm:eth0": -0.05, "ar:core": -0.05}, back=False)
    assert found.clock_shifts().keys() == {*WAY}


def test_messages_that_are_equal_tell_nothing() -> None:
    """The second may have been lost here and the first there."""
    frames = []
    for place, (interface, hops) in enumerate(zip(WAY, HOPS, strict=True)):
        for again in range(3):
            frames.append((1 + again + place * 0.0001, interface, 1, ethernet("mn", message(MN, 1, hops))))
            frames.append((1.2 + again - place * 0.4, interface, 1, ethernet("sm", message(SM, 1, hops))))
    found = history(sorted(frames))
    assert len(list(found)) == len(frames)
    assert found.clock_shifts() == {}


def test_checksums_that_a_sender_left_to_its_network_card_make_no_other_packet() -> None:
    frames = []
    for number in range(3):
        for sender, first, second in ((MN, "mn:radio", "ar:cell"), (SM, "ar:cell", "mn:radio")):
            whole = message(sender, number, 64)
            at_s = number + 0.3 * (sender == SM)
            frames.append((at_s, first, 1, ethernet("mn", whole[:26] + b"\x12\x34" + whole[28:])))
            frames.append((at_s + 0.0001 + (0.05 if second == "mn:radio" else -0.05), second, 1, ethernet("mn", whole)))
    found = history(frames)
    list(found)
    assert found.clock_shifts().keys() == {"mn:radio", "ar:cell"}


def test_memory_for_clocks_is_bounded() -> None:
    frames = [
        (n / 1000, interface, 1, ethernet("mn", message(MN, n, 64)))
        for n in range(6000)
        for interface in ("a:1", "b:1")
    ]
    found = history(frames)
    list(found)
    assert len(found._clocks._sent) == 4096


def pim_hello(generation: int) -> bytes:
    return ip("10.0.0.1", "224.0.0.13", 103, summed(hello(generation=generation), 2))


def rtp(sequence: int) -> bytes:
    return udp(
        "10.9.9.9", GROUPS[4], 5004, 5004, struct.pack("!BBHII", 0x80, 33, sequence, sequence * 90, 7) + bytes(20)
    )


def cooked(packet: bytes, direction: int) -> bytes:
    return struct.pack("!HHH", direction, 1, 6) + bytes([2, 0, 0, 0, 0, 1, 0, 0]) + b"\x08\x00" + packet


@pytest.mark.parametrize("link_type", [1, 113])
def test_a_frame_captured_twice_at_once_counts_once(link_type: int) -> None:
    frames = []
    for number in range(4):
        for packet, at_s in ((pim_hello(number), number), (rtp(number), number + 0.5)):
            one, other = (ethernet("a", packet),) * 2 if link_type == 1 else (cooked(packet, 0), cooked(packet, 4))
            frames += [(at_s, "br0", link_type, one), (at_s + 0.000005, "br0", link_type, other)]
    found = history(frames)
    assert [event.kind for event in found] == ["hello"] * 4
    (stream,) = found.streams.found()
    assert (stream.packets, stream.duplicates) == (4, 0)
    assert found.interfaces.copies == {"br0": 8}
    assert found.passed_over == {"copies of the frame before at the same interface": 8}
    assert found.warnings() == ["br0 shows 8 frames twice within 10 µs, which were counted once"]


def test_what_comes_again_later_or_elsewhere_is_no_copy() -> None:
    frame = ethernet("a", pim_hello(7))
    found = history([(0, "a:1", 1, frame), (0, "b:1", 1, frame), (0.00002, "a:1", 1, frame)])
    assert len(list(found)) == 3
    assert not found.interfaces.copies


def test_interfaces_say_when_they_were_heard_and_which_were_not() -> None:
    frames = [
        (at_s, name, 1, ethernet("a", pim_hello(round(at_s * 10))))
        for at_s, name in ((2, "a:1"), (1, "b:1"), (3, "b:1"), (2.5, "a:1"))
    ]
    found = history(frames)
    list(found)
    heard = found.interfaces.heard
    spans = {name: (one.first_ns - found.begin_ns, one.last_ns - found.begin_ns) for name, one in heard.items()}
    assert spans == {"a:1": (10**9, 1_500_000_000), "b:1": (0, 2 * 10**9)}
    assert found.end_ns - found.begin_ns == 2 * 10**9
    assert found.interfaces.silent(["a:1", "c:1", "c:1"]) == ["c:1"]
    assert found.warnings(itertools.chain(["c:1"], ["a:1"])) == ["c:1 captured nothing"]


DATA = Path(__file__).parent / "data"
NOBODY_HEARS = "mcs:mcs-rr"  # its router sees the stream's source say nothing but data
REAL = ("ar1:ar1-poa1", "ar1:ar1-rr", "ar2:ar2-poa2", "ar2:ar2-rr", "lmc1:lmc1-poa1", "lmc2:lmc2-poa2", "mn:mn-radio", "sm:sm-rr")  # fmt: skip


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("interface", REAL)
def test_in_a_real_lab_the_one_whose_clock_is_wrong_is_found(interface: str, family: int) -> None:
    records = list(reader := CaptureReader(DATA / f"handover-ipv{family}.pcapng"))
    assert set(reader.packets) == {*REAL, NOBODY_HEARS}
    moved = [
        one._replace(t_ns=one.t_ns + 50_000_000) if isinstance(one, Frame) and one.interface == interface else one
        for one in records
    ]
    found = History(sorted(moved, key=lambda one: one.t_ns), every_protocol({}))
    list(found)
    assert found.clock_shifts() == {interface: pytest.approx(50_000_000, abs=100_000)}
