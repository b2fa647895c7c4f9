"""Messages of TCP connections, however they fall into segments and in whatever order these come."""

from __future__ import annotations

import random
import struct
from itertools import pairwise
from pathlib import Path

import pytest

from captures.files.capture import Frame
from captures.files.reading import CaptureReader
from captures.history.control import every_protocol
from captures.history.events import Event
from captures.history.history import History
from captures.history.run import find_run, history_of
from captures.ladder.builder import build
from captures.ladder.rows import MessageRow
from captures.omcp.constants import FRAMING
from captures.rules.reading import Reading
from captures.wire.connections import Connections
from captures.wire.connections import segment as tcp_segment
from captures.wire.headers import ip_packet
from tests.captures.scripted_lab import INTERFACES, MACS, T0, Sent, ethernet, good_lab, ip, udp

OMCP_PORT = 24794
MSMP_PORT = 24792
MSMP_TARGET = bytes.fromhex("1003002c00050001000003e801000020000005780007a1200003d0900001e848003200c8000a0028006401f4")
SYN, FIN, ACK = 2, 1, 16


def leave(session: int) -> bytes:
    """An OMCP Relay Request that ends a relay of agent r1."""
    return bytes.fromhex("1003010000000016") + session.to_bytes(8, "big") + bytes.fromhex("010000067231")


def segment(sequence: int, octets: bytes = b"", flags: int = ACK, *, port: int = OMCP_PORT) -> bytes:
    header = struct.pack("!HHIIBBHHH", 40000, port, sequence % (1 << 32), 0, 5 << 4, flags, 1000, 0, 0)
    return ethernet(MACS["mn"], ip("10.0.1.100", "10.0.20.2", 6, header + octets))


def read(segments: list[bytes]) -> list[Event]:
    """The events of frames 1, 2, … at one interface."""
    return list(history_of_frames(segments))


def history_of_frames(frames: list[bytes]) -> History:
    found = [Frame(number, T0 + number, INTERFACES["mn"], 1, data) for number, data in enumerate(frames, 1)]
    return History(found, every_protocol({}))


def sessions(events: list[Event]) -> list[str]:
    assert {event.kind for event in events} <= {"Relay Request"}
    return [str(event.fields["session_id"]) for event in events]


def test_several_messages_in_one_segment_and_one_over_several() -> None:
    octets = leave(1) + leave(2) + leave(3)
    events = read(
        [segment(99, flags=SYN), segment(100, octets[:50]), segment(150, octets[50:60]), segment(160, octets[60:])]
    )
    assert sessions(events) == ["1", "2", "3"]
    assert [event.number for event in events] == [2, 2, 4]
    assert (events[0].protocol, events[0].source, events[0].destination) == ("omcp", "10.0.1.100", "10.0.20.2")


@pytest.mark.parametrize("seed", range(20))
def test_segments_in_any_order_and_more_than_once(seed: int) -> None:
    """Only what each is behind matters; the sequence numbers pass the end of their range."""
    chance = random.Random(seed)
    begin = (1 << 32) - 60
    octets = b"".join(map(leave, range(1, 9)))
    cuts = [0, *sorted(chance.sample(range(1, len(octets)), 9)), len(octets)]
    segments = [segment(begin + a, octets[a:b]) for a, b in pairwise(cuts)]
    segments += [segment(begin + a, octets[a : a + 30]) for a in chance.sample(range(len(octets) - 30), 5)]
    chance.shuffle(segments)
    assert sessions(read([segment(begin - 1, flags=SYN), *segments])) == [str(n) for n in range(1, 9)]


def test_a_connection_whose_beginning_was_not_seen_is_read_from_there_on() -> None:
    assert sessions(read([segment(5000, leave(4)), segment(5022, leave(5))])) == ["4", "5"]


def test_a_second_connection_between_the_same_ports_begins_anew() -> None:
    first = [segment(99, flags=SYN), segment(100, leave(1)[:10]), segment(110, flags=FIN | ACK)]
    assert sessions(read([*first, segment(700, flags=SYN), segment(701, leave(2))])) == ["2"]
    assert sessions(read([*first[:2], segment(700, flags=SYN), segment(701, leave(2))])) == ["2"]


def test_what_cannot_be_cut_into_messages_is_told_once() -> None:
    events = read(
        [segment(100, b"\x10\x03\x01\x00\x00\x00\x00\x01" + bytes(30)), segment(138, leave(1)), segment(160, leave(2))]
    )
    assert [event.kind for event in events] == ["malformed"]
    assert "length 1 is not in" in events[0].fields["reason"]


def test_what_waits_for_a_segment_that_was_never_captured_is_bounded() -> None:
    missing = [segment(99, flags=SYN), *(segment(1000 + 22 * n, leave(n)) for n in range(100))]
    events = read(missing)
    assert [event.kind for event in events] == ["malformed"]
    assert "missing" in events[0].fields["reason"]


def test_other_segments_are_passed_over() -> None:
    others = [segment(1, leave(1), port=80), ethernet(MACS["mn"], ip("10.0.1.100", "10.0.20.2", 6, b"\x9c\x40"))]
    history = history_of_frames(others)
    assert list(history) == []
    assert history.passed_over == {
        "TCP segments of other protocols": 1,
        "TCP segments of which only the beginning is there": 1,
    }


def test_arbitrary_octets_raise_nothing() -> None:
    chance = random.Random(7)
    for _ in range(300):
        read([segment(chance.randrange(50), chance.randbytes(chance.randrange(1, 60))) for _ in range(4)])


def test_other_protocols_are_rows_of_the_ladder_by_their_dissectors(tmp_path: Path) -> None:
    """OMCP over TCP, seen at both ends, its segment lost once on the way; MSMP over UDP."""
    lab = good_lab()
    frames = [
        (20_000.0, "mn", segment(100, leave(7))),
        (20_210.0, "mn", segment(100, leave(7))),
        (20_210.2, "sm", segment(100, leave(7))),
        (20_300.0, "mn", ethernet(MACS["mn"], ip("10.0.1.100", "10.0.20.2", 17, udp(5, MSMP_PORT, MSMP_TARGET)))),
        (20_300.3, "sm", ethernet(MACS["mn"], ip("10.0.1.100", "10.0.20.2", 17, udp(5, MSMP_PORT, MSMP_TARGET)))),
    ]
    lab.frames += [Sent(at, INTERFACES[node], data, f"{at}") for at, node, data in frames]
    path = lab.write(tmp_path / "lab.pcapng")
    events = [event for event in history_of(find_run(str(path))) if event.is_packet]
    assert [(event.protocol, event.kind) for event in events[-4:]] == [("omcp", "Relay Request")] * 2 + [
        ("msmp", "QSREQ")
    ] * 2
    relay, target = [row for row in build(events).rows if isinstance(row, MessageRow)][-2:]
    assert (relay.label, relay.travelled_ns, relay.text) == (
        "Relay Request",
        210_200_000,
        "session_id 7, flags 1, 1 tlvs",
    )
    assert target.label == "QSREQ"
    assert len(target.sightings) == 2


def test_verify_reads_what_connections_carry(tmp_path: Path) -> None:
    """In one pass with what is over UDP; a protocol without rules is read all the same, and nothing of it is passed over."""
    lab = good_lab()
    frames = [segment(99, flags=SYN), segment(100, leave(1)[:9]), segment(109, leave(1)[9:] + leave(2))]
    lab.frames += [Sent(20_000.0 + n, INTERFACES["mn"], data, f"tcp.{n}") for n, data in enumerate(frames)]
    reading = Reading(CaptureReader(lab.write(tmp_path / "lab.pcapng")), {})
    reading.read()
    assert {"mmcp", "omcp"} <= reading.seen
    of_tcp = {reason: count for reason, count in reading.history.passed_over.items() if "TCP" in reason}
    assert of_tcp == {"TCP segments that end no message": 2}


def test_octets_held_of_all_connections_are_bounded() -> None:
    """Each connection may wait for a segment, all of them together may not fill the memory."""
    connections = Connections()
    for port in range(2000):
        data = segment(1000, bytes(60_000), port=port)[14:]
        packet = ip_packet(101, data)
        assert packet is not None
        part = tcp_segment(packet, data)
        assert part is not None
        begin = part._replace(flags=SYN, octets=b"", sequence=99)
        assert list(connections.messages("a:b", packet, begin, FRAMING)) == []
        assert list(connections.messages("a:b", packet, part, FRAMING)) == []
    held = sum(direction.held for direction in connections._directions.values())
    assert held == connections._held <= 1 << 26
    assert connections.evicted > 800
