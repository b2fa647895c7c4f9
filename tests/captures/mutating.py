"""Captures as packets that can be lost, held back, doubled, swapped and damaged, one at a time, wherever they were captured."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from captures.dissectors.igmp_mld import STATE_CHANGES
from captures.files.capture import Frame, Interface, PcapngWriter, Step
from captures.files.reading import CaptureReader
from captures.history.control import every_protocol
from captures.history.events import Event
from captures.history.history import History
from tests.captures.scripted_link import INTERFACE, T0, good_link

_ON_ITS_WAY_NS = 20_000_000
_AT_ONCE_NS = 100_000_000
_NEIGHBOURS_NS = 50_000_000
_DATA_PORT = (5004).to_bytes(2)


@dataclass(frozen=True)
class Copy:
    """A packet as one interface saw it."""

    t_ns: int
    interface: str
    data: bytes


@dataclass(frozen=True)
class Packet:
    """A packet on its way. Packets of one `sort` repeat each other; `party` are those it goes between, of no order with others."""

    copies: tuple[Copy, ...]
    protocol: str = ""
    kind: str = ""
    sort: Hashable = ()
    party: Hashable = ()

    @property
    def t_ns(self) -> int:
        """When it was seen first."""
        return self.copies[0].t_ns


@dataclass(frozen=True)
class Capture:
    """Packets in order of time, and a lab's steps."""

    packets: list[Packet]
    steps: tuple[Step, ...] = ()

    def write(self, path: Path) -> Path:
        """Write it as a pcapng file."""
        copies = [copy for packet in self.packets for copy in packet.copies]
        names = sorted({copy.interface for copy in copies})
        with path.open("wb") as stream:
            writer = PcapngWriter(stream, [Interface(name, 1) for name in names])
            things: list[Copy | Step] = [*copies, *self.steps]
            for thing in sorted(things, key=lambda thing: thing.t_ns):
                if isinstance(thing, Step):
                    writer.step(thing.fields)
                else:
                    writer.frame(thing.t_ns, names.index(thing.interface), thing.data)
            writer.flush()
        return path


# --- mutators: the packets that stand in for one, or for it and the next of its protocol


def _moved(packet: Packet, by_ns: int) -> Packet:
    return replace(packet, copies=tuple(replace(copy, t_ns=copy.t_ns + by_ns) for copy in packet.copies))


def _damaged(packet: Packet) -> Packet:
    """A bit of its last octets flips."""
    place = packet.t_ns // 1000
    copies = []
    for copy in packet.copies:
        data = bytearray(copy.data)
        data[-1 - place % 4] ^= 1 << place % 8
        copies.append(replace(copy, data=bytes(data)))
    return replace(packet, copies=tuple(copies))


ALONE: dict[str, Callable[[Packet, float], list[Packet]]] = {
    "lost": lambda _packet, _later_s: [],
    "held back": lambda packet, later_s: [_moved(packet, round(later_s * 1e9))],
    "doubled": lambda packet, _later_s: [packet, _moved(packet, 200_000)],
    "damaged": lambda packet, _later_s: [_damaged(packet)],
}
SWAPPED = "swapped"


def mutated(capture: Capture, index: int, how: str, later_s: float) -> Capture:
    """The capture with one packet mutated."""
    rest = capture.packets[:index] + capture.packets[index + 1 :]
    return replace(capture, packets=rest + ALONE[how](capture.packets[index], later_s))


def neighbour(capture: Capture, index: int) -> int | None:
    """The next packet of its protocol, if that comes soon."""
    packet = capture.packets[index]
    for place in range(index + 1, len(capture.packets)):
        other = capture.packets[place]
        if other.t_ns - packet.t_ns > _NEIGHBOURS_NS:
            return None
        if other.protocol == packet.protocol:
            return place
    return None


def swapped(capture: Capture, index: int, other: int) -> Capture:
    """The capture with two packets in each other's time."""
    packets = list(capture.packets)
    by_ns = packets[other].t_ns - packets[index].t_ns
    packets[index], packets[other] = _moved(packets[index], by_ns), _moved(packets[other], -by_ns)
    return replace(capture, packets=packets)


# --- a scripted capture


def scripted() -> Capture:
    """The good link; of its data a second."""
    packets = []
    for frame in good_link().ordered():
        if frame.tag.startswith("data") and not 1000 <= int(frame.tag.split(".")[1]) < 1100:
            continue
        copy = Copy(T0 + round(frame.at_s * 1e9), INTERFACE, frame.data)
        packets.append(Packet((copy,), *_told_by(frame.tag, frame.data)))
    return Capture(packets)


_MEMBERSHIP = {"specific": "specific query", "join": "change", "leave": "change", "later": "unasked report"}
_ONLY_PROBED = ("lmc3", "rover")  # the last that is heard of them


def _told_by(tag: str, data: bytes) -> tuple[str, str, Hashable, Hashable]:
    """Protocol, kind, sort and party of a scripted frame, mostly by its tag."""
    words = tag.split(".")
    name, party = words[0].rstrip("6"), data[6:12]
    if name == "data":
        return "rtp", "data", "data", "data"
    if name == "pim":
        kind = {"join": "join-prune"}.get(words[1], words[1])
        return "pim", kind, tuple(words[:-1]), (words[0], party)
    if name in ("igmp", "mld"):
        kind = _MEMBERSHIP.get(words[1], words[1])
        if kind == "change" and words[-1] == "1":
            kind = "repeat"
        return name, kind, (name, kind) if kind == "query" else tag, party
    kind = words[-1]
    sort: Hashable = tag
    if "probed" in words:
        kind = "last answer to a probe" if words[0] in _ONLY_PROBED or words[1] == "1" else "answer to a probe"
    elif kind in ("USR", "ASR"):
        sort = (words[0], kind)
    elif tag == "h2.0.HIC":
        kind = "HIC that is asked for again"
    return "mmcp", kind, sort, frozenset((data[26:30], data[30:34]))


# --- a real capture


def real(path: Path) -> Capture:
    """A lab's capture; what is one packet on its way is told by its octets behind the link layer and the hop limit."""
    records = list(CaptureReader(path))
    frames = {record.number: record for record in records if isinstance(record, Frame)}
    events = {
        event.number: event for event in History(CaptureReader(path), every_protocol({})) if event.protocol != "step"
    }
    namer = _Namer()
    open_: dict[Hashable, list[Frame]] = {}
    groups: list[list[Frame]] = []
    for number, frame in frames.items():
        key = (events[number].protocol if number in events else "rtp", frame.data[26:])
        group = open_.get(key)
        if group is None or frame.t_ns - group[0].t_ns > _ON_ITS_WAY_NS:
            group = open_[key] = []
            groups.append(group)
        group.append(frame)
    packets = []
    for group in groups:
        copies = tuple(Copy(frame.t_ns, frame.interface, frame.data) for frame in group)
        event = events.get(group[0].number)
        if event is not None and event.kind != "unreachable":
            packets.append(namer.named(event, copies))
        elif event is None and _DATA_PORT in copies[0].data[36:58]:
            packets.append(Packet(copies, "rtp", "data", "data", "data"))
        else:
            packets.append(Packet(copies))  # ARP, ICMP, Neighbour Discovery
    return Capture(_without_answers(packets), tuple(record for record in records if isinstance(record, Step)))


def _without_answers(packets: list[Packet]) -> list[Packet]:
    """Probes that nobody answered are a kind of their own."""
    answers = [(packet.party, packet.t_ns) for packet in packets if packet.kind == "answer to a probe"]
    return [
        replace(packet, kind="USP without answer")
        if packet.kind == "USP"
        and not any(p == packet.party and 0 <= t - packet.t_ns < _AT_ONCE_NS for p, t in answers)
        else packet
        for packet in packets
    ]


class _Namer:
    """Tells kind, sort and party of the events of a real capture, in order of time."""

    def __init__(self) -> None:
        self._probed: dict[Hashable, int] = {}
        self._changes: dict[Hashable, Any] = {}

    def named(self, event: Event, copies: tuple[Copy, ...]) -> Packet:
        """The packet of an event."""
        kind, link = event.kind, event.interface
        sort: Hashable = (event.protocol, kind, event.source, event.destination)
        party: Hashable = event.source
        if event.protocol == "mmcp":
            party = frozenset((event.source, event.destination))
            if kind == "USP":
                self._probed[party] = event.t_ns
            elif kind in ("USR", "ASR"):
                if event.t_ns - self._probed.get(party, 0) < _AT_ONCE_NS:
                    kind = "answer to a probe"
            else:
                sort = event.number
        elif event.protocol in ("igmp", "mld"):
            kind = self._membership(event, link)
            sort = (sort, event.interface) if kind == "query" else event.number
        elif kind == "join-prune":
            sort = copies[0].data[26:]
        return Packet(copies, event.protocol, kind, sort, party)

    def _membership(self, event: Event, link: str) -> str:
        message = event.fields["message"]
        if event.kind == "query":
            return "specific query" if message.group else "query"
        changes = tuple(sorted((r.group, r.joins()) for r in message.records if r.kind in STATE_CHANGES))
        if not changes:
            return "answer"
        key = (link, event.source)
        again = self._changes.get(key) == changes
        self._changes[key] = None if again else changes
        return "repeat" if again else "change"
