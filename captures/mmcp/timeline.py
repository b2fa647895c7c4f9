"""What happened in a lab, in one ordered list: control messages, membership reports and scenario steps, on one clock.

Control packets are dissected one by one. Data packets only leave their time, sequence number and frame number, by
interface. Names, addresses and interfaces come from the capture's own ``parameters`` step.
"""

from __future__ import annotations

import ipaddress
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from captures.dissectors.membership import MembershipMessage, membership_message
from captures.files.capture import CaptureError, Frame, Step
from captures.files.reading import CaptureReader
from captures.mmcp.dissector import dissect
from captures.mmcp.parameters import UNKNOWN, Parameters
from captures.wire.headers import PROTOCOL_UDP, Packet, ip_packet, known_link_type
from captures.wire.internet import printed
from captures.wire.malformed import MalformedMessageError


@dataclass(frozen=True, slots=True)
class Message:
    """One well-formed MMCP message as one interface saw it; `params` as `dissect` gives them."""

    number: int
    t_ns: int
    interface: str
    source: str
    destination: str
    source_port: int
    destination_port: int
    packet: str
    session_id: int
    f: int
    params: tuple[tuple[Any, ...], ...]

    def parameter(self, name: str) -> tuple[Any, ...] | None:
        """Values of the first parameter of that name; of duplicates the first counts."""
        return next((tuple(values) for kind, *values in self.params if kind == name), None)

    @property
    def mn_id(self) -> str | None:
        """MN Identifier in hex."""
        found = self.parameter("mn_id")
        return None if found is None else str(found[0])


@dataclass(frozen=True, slots=True)
class Malformed:
    """A datagram on the MMCP port that is no MMCP message, and why."""

    number: int
    t_ns: int
    interface: str
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Membership:
    """One IGMP or MLD message as one interface saw it; `mac` is the link layer's source, empty where there is none."""

    number: int
    t_ns: int
    interface: str
    source: str
    mac: bytes
    hop_limit: int
    message: MembershipMessage


@dataclass(slots=True)
class DataFlow:
    """The session's data packets (UDP to group and port, RTP version 2) at one interface, in order of time."""

    number: array[int] = field(default_factory=lambda: array("Q"))
    t_ns: array[int] = field(default_factory=lambda: array("Q"))
    sequence: array[int] = field(default_factory=lambda: array("H"))
    sources: set[bytes] = field(default_factory=set)

    def span(self, begin_ns: int, end_ns: int) -> range:
        """Indexes of the packets with ``begin_ns <= time <= end_ns``."""
        return range(bisect_left(self.t_ns, begin_ns), bisect_right(self.t_ns, end_ns))

    def sort(self) -> None:
        """Put packets that were captured out of order of time into it."""
        if all(a <= b for a, b in zip(self.t_ns, self.t_ns[1:], strict=False)):
            return
        order = sorted(range(len(self.t_ns)), key=self.t_ns.__getitem__)
        self.number = array("Q", [self.number[i] for i in order])
        self.t_ns = array("Q", [self.t_ns[i] for i in order])
        self.sequence = array("H", [self.sequence[i] for i in order])


@dataclass(slots=True)
class Timeline:
    """Everything the rules look at; the lists are in order of time, ties in order of frame numbers."""

    parameters: Parameters
    messages: list[Message] = field(default_factory=list)
    malformed: list[Malformed] = field(default_factory=list)
    memberships: list[Membership] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    data: dict[str, DataFlow] = field(default_factory=dict)
    interfaces: dict[str, int] = field(default_factory=dict)
    macs: dict[str, set[bytes]] = field(default_factory=dict)
    """Link-layer addresses of each MN and LMC, by its interface, learned from what it sent from its own addresses."""
    warnings: list[str] = field(default_factory=list)
    truncated: str | None = None
    begin_ns: int = 0
    end_ns: int = 0

    def flow(self, interface: str) -> DataFlow:
        """Data packets seen at the interface; empty if there were none."""
        return self.data.get(interface, _NO_DATA)

    def reports_of(self, interface: str, addresses: Iterable[str]) -> list[Membership]:
        """IGMP and MLD messages that a node sent, as its own interface saw them.

        A node is known by its addresses and by the link-layer addresses it used with them, for MLD comes from
        link-local addresses and IGMP may come from 0.0.0.0.
        """
        known, macs = set(addresses), self.macs.get(interface, set())
        return [
            membership
            for membership in self.memberships
            if membership.interface == interface and (membership.source in known or membership.mac in macs)
        ]


_NO_DATA = DataFlow()


def read_timeline(path: Path, *, any_capture: bool = False) -> Timeline:
    """Read a lab's pcapng.

    Raises `CaptureError` if it cannot be read or has no ``parameters`` step; of `any_capture` the parameters may be UNKNOWN,
    and then nothing in it counts as data. A file that breaks off is read as far as
    it goes, and `Timeline.truncated` says so.
    """
    reader = CaptureReader(path)
    parameters = _find_parameters(reader, any_capture=any_capture)
    timeline = Timeline(parameters)
    collector = _Collector(timeline)
    for record in reader:
        if isinstance(record, Frame):
            collector.frame(record)
        else:
            timeline.steps.append(record)
    timeline.interfaces = dict(reader.packets)
    timeline.truncated = reader.truncated
    timeline.warnings = [*reader.warnings, *collector.warnings]
    collector.finish()
    return timeline


def _find_parameters(reader: CaptureReader, *, any_capture: bool) -> Parameters:
    frames = 0
    for record in reader:
        if isinstance(record, Frame):
            frames += 1
        elif record.name == "parameters":
            return Parameters.read(record)
    broken = f" before it breaks off ({reader.truncated})" if reader.truncated else ""
    if not frames:
        raise CaptureError(f"{reader.path} holds no packets{broken}")
    if any_capture:
        return UNKNOWN
    raise CaptureError(
        f"{reader.path} has {frames} packets but no parameters step{broken}, so nothing tells who is who in it;"
        " merge the run's folder with its steps.jsonl first, or ask `python -m captures verify` for what any capture tells"
    )


class _Collector:
    """Sorts frames into a timeline's lists."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.warnings: list[str] = []
        parameters = timeline.parameters
        self._group = ipaddress.ip_address(parameters.group).packed if parameters.known else b""
        self._data_port = parameters.port.to_bytes(2, "big")
        self._mmcp_port = parameters.mmcp_port.to_bytes(2, "big")
        # What each node's own interface would show as sent by the node itself.
        self._own: dict[str, set[bytes]] = {}
        for mn in parameters.mns:
            self._own.setdefault(mn.interface, set()).update(_packed(mn.addresses.values()))
        for lmc in parameters.lmcs:
            self._own.setdefault(lmc.interface, set()).update(_packed([lmc.address]))
        self._one_of_mn = {other: mn.interface for mn in parameters.mns for other in mn.other_interfaces}
        self._unreadable: dict[int, int] = {}
        self._first = self._last = 0

    def frame(self, frame: Frame) -> None:
        if frame.interface in self._one_of_mn:
            frame = frame._replace(interface=self._one_of_mn[frame.interface])
        number, t_ns, interface, link_type, data = frame
        if not self._first or t_ns < self._first:
            self._first = t_ns
        self._last = max(self._last, t_ns)
        packet = ip_packet(link_type, data)
        if packet is None:
            if not known_link_type(link_type):
                self._unreadable[link_type] = self._unreadable.get(link_type, 0) + 1
            return
        begin = packet.begin
        if packet.protocol == PROTOCOL_UDP and not packet.fragment:
            if packet.destination == self._group and data[begin + 2 : begin + 4] == self._data_port:
                self._data(frame, begin)
                return
            if self._mmcp_port in (data[begin : begin + 2], data[begin + 2 : begin + 4]):
                self._mmcp(frame, packet)
        elif message := membership_message(packet, data):
            self.timeline.memberships.append(
                Membership(number, t_ns, interface, printed(packet.source), packet.mac, packet.hop_limit, message)
            )
        if packet.mac and packet.source in self._own.get(interface, ()):
            self.timeline.macs.setdefault(interface, set()).add(packet.mac)

    def _data(self, frame: Frame, udp: int) -> None:
        rtp = udp + 8
        data = frame.data
        if len(data) < rtp + 12 or data[rtp] >> 6 != 2:
            return  # to group and port, but no RTP version 2
        flow = self.timeline.data.get(frame.interface)
        if flow is None:
            flow = self.timeline.data[frame.interface] = DataFlow()
        flow.number.append(frame.number)
        flow.t_ns.append(frame.t_ns)
        flow.sequence.append(data[rtp + 2] << 8 | data[rtp + 3])
        flow.sources.add(data[rtp + 8 : rtp + 12])

    def _mmcp(self, frame: Frame, packet: Packet) -> None:
        udp = packet.begin
        data = frame.data
        # UDP's own Length is the datagram; MMCP's Payload Length must agree with it.
        end = min(udp + (data[udp + 4] << 8 | data[udp + 5]), packet.end) if packet.end >= udp + 8 else packet.end
        source = printed(packet.source)
        try:
            fields = dissect(data[udp + 8 : end])
        except MalformedMessageError as error:
            self.timeline.malformed.append(Malformed(frame.number, frame.t_ns, frame.interface, source, str(error)))
            return
        self.timeline.messages.append(
            Message(
                frame.number,
                frame.t_ns,
                frame.interface,
                source,
                printed(packet.destination),
                data[udp] << 8 | data[udp + 1],
                data[udp + 2] << 8 | data[udp + 3],
                fields["packet"],
                fields["session_id"],
                fields["f"],
                tuple(tuple(parameter) for parameter in fields["params"]),
            )
        )

    def finish(self) -> None:
        timeline = self.timeline
        for link_type, count in sorted(self._unreadable.items()):
            timeline.warnings.append(f"{count} frames of link type {link_type} cannot be read and are passed over")
        for things in (timeline.messages, timeline.malformed, timeline.memberships, timeline.steps):
            things.sort(key=lambda thing: (thing.t_ns, thing.number))
        for interface, flow in timeline.data.items():
            flow.sort()
            if len(flow.sources) > 1:
                timeline.warnings.append(f"{interface} saw {len(flow.sources)} RTP sources: sequence numbers may mix")
        timeline.begin_ns, timeline.end_ns = self._first, self._last
        named = [mn.interface for mn in timeline.parameters.mns] + [lmc.interface for lmc in timeline.parameters.lmcs]
        for interface in named:
            if not timeline.interfaces.get(interface):
                timeline.warnings.append(f"{interface} captured nothing")


def _packed(addresses: Iterable[str]) -> set[bytes]:
    return {ipaddress.ip_address(address).packed for address in addresses}
