"""Any capture as events: control packets dissected one by one, steps as they are, RTP only counted.

`History` walks a capture once and yields its events in order of time; packets captured out of order are put right within
a window, and what comes later than that is yielded where it stands and counted. Memory is bounded by that window and by
the number of streams. Nothing here needs to know who is who.
"""

from __future__ import annotations

import heapq
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from captures.dissectors import membership, pim
from captures.files.capture import LINKTYPE_ETHERNET, LINKTYPE_RAW, Frame, Step
from captures.wire.connections import Connections, segment
from captures.wire.framing import Dissected, Framing
from captures.wire.headers import (
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    PROTOCOL_IGMP,
    PROTOCOL_PIM,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    Packet,
    ip_packet,
    known_link_type,
    router_alert,
)
from captures.wire.internet import checksum_right, printed, pseudo_header
from captures.wire.malformed import MalformedMessageError
from captures.wire.rtp import Streams

WINDOW_NS = 1_000_000_000
"""How far packets may be out of order of time and still be put right."""
_WINDOW_EVENTS = 50_000
_PROGRESS_FRAMES = 10_000
_INTERFACES_MAX = 65_536  # nor one whose every frame is of another VLAN
_REASONS_MAX = 64  # a capture full of noise must not fill memory with its kinds
_IPV4, _IPV6 = 0x0800, 0x86DD
_RTCP = range(72, 77)  # what payload types look like in RTCP [RFC 5761 4]

# What a lab does to a link or a membership: data missing around these steps was not lost by the network.
_INTERRUPTING_STEPS = frozenset(
    {"link_down", "link_up", "session_begin", "session_end", "handover_begin", "handover_end"}
)


class Event(NamedTuple):
    """One control packet or step, as one interface saw it.

    `protocol` is "igmp", "mld", "pim", "step" or that of a UDP protocol such as "mmcp"; `kind` the packet's name in it,
    "malformed" with ``fields["reason"]`` for one that cannot be read, "unreachable" for an ICMP message that says so of a
    control protocol's port: it goes from that port to whom it refuses, whoever sent it. An interface of a VLAN is called
    ``name.id``. Every packet's fields have ``mac`` (hex, empty without link layer), ``hop_limit``, ``alert`` (Router Alert), ``checksum``
    (True, False, or None where the wire cannot tell) and ``octets`` (of the message).
    """

    number: int
    t_ns: int
    interface: str
    protocol: str
    kind: str
    source: str
    destination: str
    fields: Mapping[str, Any]


class PortProtocol(NamedTuple):
    """A control protocol at a port: `read` makes kind and fields of a message.

    `framing` cuts what comes over TCP into messages; None over UDP, where a datagram is one. `port_name` is what the port is
    given by: a lab's parameters move that of ``gmp.sm`` with ``gmp_sm_port``.
    """

    name: str
    port: int
    read: Callable[[bytes], Dissected]
    framing: Framing | None
    port_name: str


# Ethernet without VLAN, IP without options, UDP, RTP: what most frames of a capture are. EtherType, the IP version's octet,
# of IPv4 the fragment word, the protocol, addresses and ports, RTP's header.
_PLAIN_IPV4 = struct.Struct("!12xHB5xHxB2x12s4xBBHII").unpack_from
_PLAIN_IPV4_OCTETS = 54
_PLAIN_IPV6 = struct.Struct("!12xHB5xBx36s4xBBHII").unpack_from
_PLAIN_IPV6_OCTETS = 74


class History:
    """The events of a capture, to be iterated once, and what else was found on the way.

    `progress` is called with the number of frames read now and then.

    `streams` are its RTP streams, `passed_over` counts frames that are no event and no stream by reason, `frames` the
    frames read, `begin_ns` and `end_ns` its times, `began` when each interface was first heard, `late` the events that came
    out of order beyond the window.
    """

    def __init__(
        self,
        reader: Iterable[Frame | Step],
        protocols: Iterable[PortProtocol] = (),
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.reader = reader
        self._progress = progress
        self.streams = Streams()
        self.passed_over: Counter[str] = Counter()
        self.frames = self.steps = self.late = 0
        self.begin_ns = self.end_ns = 0
        self.began: dict[str, int] = {}
        self._udp: dict[int, PortProtocol] = {}
        self._tcp: dict[int, PortProtocol] = {}
        self._connections = Connections()
        self._control_ports: frozenset[bytes] = frozenset()
        self._know(protocols)

    def __iter__(self) -> Iterator[Event]:
        waiting: list[tuple[int, int, int, Event]] = []
        released = newest = order = 0
        for record in self.reader:
            for event in self.events(record):
                t_ns = event.t_ns
                newest = max(newest, t_ns)
                if t_ns < released:
                    self.late += 1
                    yield event
                    continue
                order += 1
                heapq.heappush(waiting, (t_ns, event.number, order, event))
                while waiting[0][0] < newest - WINDOW_NS or len(waiting) > _WINDOW_EVENTS:
                    released, _, _, first = heapq.heappop(waiting)
                    yield first
        while waiting:
            yield heapq.heappop(waiting)[3]

    def events(self, record: Frame | Step) -> Sequence[Event]:
        """Take the next record; the events it brings, of which TCP may bring several. For who orders them himself."""
        return (self._step(record),) if isinstance(record, Step) else self._frame(record)

    def _step(self, step: Step) -> Event:
        self.steps += 1
        self._seen(step.t_ns)
        if step.name == "parameters":
            self._listen(step.fields)
        if step.name in _INTERRUPTING_STEPS:
            for interface in self.began:
                self.streams.changed(interface, step.t_ns)
        return Event(step.number, step.t_ns, "", "step", step.name, "", "", step.fields)

    def _listen(self, parameters: Mapping[str, Any]) -> None:
        """Know the ports that a lab's parameters give its protocols, as in ``mmcp_port``."""
        moved = []
        for protocol in dict.fromkeys((*self._udp.values(), *self._tcp.values())):
            port = parameters.get(f"{protocol.port_name.replace('.', '_')}_port")
            if isinstance(port, int) and 0 < port < 65536:
                moved.append(protocol._replace(port=port))
        self._know(moved)

    def _know(self, protocols: Iterable[PortProtocol]) -> None:
        for protocol in protocols:
            (self._udp if protocol.framing is None else self._tcp)[protocol.port] = protocol
        self._control_ports = frozenset(port.to_bytes(2) for port in self._udp)

    def _seen(self, t_ns: int) -> None:
        if not self.begin_ns or t_ns < self.begin_ns:
            self.begin_ns = t_ns
        self.end_ns = max(self.end_ns, t_ns)

    def _frame(self, frame: Frame) -> Sequence[Event]:
        number, t_ns, interface, link_type, data = frame
        self.frames += 1
        if self._progress is not None and not self.frames % _PROGRESS_FRAMES:
            self._progress(self.frames)
        if interface not in self.began:
            self.began[interface] = t_ns
        if t_ns > self.end_ns:
            self.end_ns = t_ns
            self.begin_ns = self.begin_ns or t_ns
        elif t_ns < self.begin_ns:
            self.begin_ns = t_ns
        if link_type == LINKTYPE_ETHERNET and self._plain_rtp(number, t_ns, interface, data):
            return ()
        packet = ip_packet(link_type, data)
        if packet is None:
            self._pass_over(_why_no_packet(link_type, data))
            return ()
        return self._packet(frame, packet)

    def _plain_rtp(self, number: int, t_ns: int, interface: str, data: bytes) -> bool:
        """Count a frame that may be RTP and has no headers out of the ordinary; say whether it was one."""
        octets = len(data)
        if octets < _PLAIN_IPV4_OCTETS:
            return False
        ethertype, version, fragment, protocol, flow, first, kind, sequence, timestamp, ssrc = _PLAIN_IPV4(data)
        if ethertype == _IPV6 and octets >= _PLAIN_IPV6_OCTETS:
            ethertype, version, protocol, flow, first, kind, sequence, timestamp, ssrc = _PLAIN_IPV6(data)
            if version >> 4 != 6:
                return False
        elif ethertype != _IPV4 or version != 0x45 or fragment & 0x3FFF:
            return False
        if protocol != PROTOCOL_UDP or first >> 6 != 2 or kind & 127 in _RTCP:
            return False
        if flow[-2:] in self._control_ports or flow[-4:-2] in self._control_ports:
            return False
        self.streams.add(interface, flow, ssrc, number, t_ns, kind & 127, sequence, timestamp)
        return True

    def _pass_over(self, reason: str) -> None:
        if reason not in self.passed_over and len(self.passed_over) >= _REASONS_MAX:
            reason = "frames of other kinds"
        self.passed_over[reason] += 1

    def _packet(self, frame: Frame, packet: Packet) -> Sequence[Event]:
        if packet.vlans:
            name = ".".join([frame.interface, *map(str, packet.vlans)])
            frame = frame._replace(interface=name)
            if name not in self.began and len(self.began) < _INTERFACES_MAX:
                self.began[name] = frame.t_ns
        protocol = packet.protocol
        event: Event | None = None
        if packet.fragment:
            self._pass_over("later fragments of IP datagrams")
        elif protocol == PROTOCOL_UDP:
            event = self._datagram(frame, packet)
        elif protocol == PROTOCOL_TCP:
            return self._segment(frame, packet)
        elif protocol == PROTOCOL_IGMP:
            event = self._membership(frame, packet, "igmp", membership.igmp)
        elif protocol == PROTOCOL_ICMPV6:
            event = self._membership(frame, packet, "mld", membership.mld)
        elif protocol == PROTOCOL_PIM:
            event = self._pim(frame, packet)
        elif protocol != PROTOCOL_ICMP or (event := self._unreachable(frame, packet)) is None:
            self._pass_over(f"packets of IP protocol {protocol}")
        return () if event is None else (event,)

    def _event(self, frame: Frame, packet: Packet, protocol: str, kind: str, fields: dict[str, Any]) -> Event:
        fields["mac"] = packet.mac.hex()
        fields["hop_limit"] = packet.hop_limit
        fields.setdefault("checksum", None)
        fields.setdefault("octets", packet.end - packet.begin)
        source, destination = printed(packet.source), printed(packet.destination)
        return Event(frame.number, frame.t_ns, frame.interface, protocol, kind, source, destination, fields)

    def _datagram(self, frame: Frame, packet: Packet) -> Event | None:
        data, begin, end = frame.data, packet.begin, packet.end
        if end < begin + 8:
            self._pass_over("UDP datagrams cut off inside the header")
            return None
        sport, dport, size = struct.unpack_from("!HHH", data, begin)
        protocol = self._udp.get(dport) or self._udp.get(sport)
        if protocol is None:
            self._maybe_rtp(frame, packet)
            return None
        if size < 8:
            self._pass_over("UDP datagrams whose Length is shorter than their header")
            return None
        # UDP's own Length is the datagram; a protocol's own length must agree with it.
        cut = packet.incomplete or begin + size > end
        payload = data[begin + 8 : min(begin + size, end)]
        if cut:
            self._pass_over(f"{protocol.name} messages of which only the beginning is there")
            return None
        kind, fields = protocol.read(payload)
        fields.update(
            ports=(sport, dport), octets=len(payload), checksum=_udp_checksum(packet, data, size), alert=False
        )
        return self._event(frame, packet, protocol.name, kind, fields)

    def _segment(self, frame: Frame, packet: Packet) -> Sequence[Event]:
        """The messages that a segment completes; the checksums of segments are not looked at."""
        part = segment(packet, frame.data)
        if part is None:
            self._pass_over("TCP segments of which only the beginning is there")
            return ()
        protocol = self._tcp.get(part.port) or self._tcp.get(part.source_port)
        if protocol is None or protocol.framing is None:
            self._pass_over("TCP segments of other protocols")
            return ()
        found = []
        fields: dict[str, Any]
        for octets in self._connections.messages(frame.interface, packet, part, protocol.framing):
            if isinstance(octets, MalformedMessageError):
                kind, fields = "malformed", {"reason": str(octets)}
            else:
                kind, fields = protocol.read(octets)
                fields["octets"] = len(octets)
            fields.update(ports=(part.source_port, part.port), alert=False)
            found.append(self._event(frame, packet, protocol.name, kind, fields))
        if not found:
            self._pass_over("TCP segments that end no message")
        return found

    def _maybe_rtp(self, frame: Frame, packet: Packet) -> None:
        data, begin = frame.data, packet.begin
        if packet.end < begin + 20 or data[begin + 8] >> 6 != 2 or data[begin + 9] & 127 in _RTCP:
            self._pass_over("UDP datagrams of other protocols")
            return
        kind, sequence, timestamp, ssrc = struct.unpack_from("!xBHII", data, begin + 8)
        flow = packet.source + packet.destination + data[begin : begin + 4]
        self.streams.add(frame.interface, flow, ssrc, frame.number, frame.t_ns, kind & 127, sequence, timestamp)

    def _membership(
        self,
        frame: Frame,
        packet: Packet,
        name: str,
        read: Callable[[bytes], membership.Query | membership.Report | None],
    ) -> Event | None:
        body = frame.data[packet.begin : packet.end]
        fields: dict[str, Any] = {"alert": router_alert(packet, frame.data)}
        if name == "mld" and (not body or body[0] not in membership.MLD_TYPES):
            if refused := self._unreachable(frame, packet):
                return refused
            self._pass_over("ICMPv6 packets that are no MLD")
            return None
        if packet.incomplete:
            self._pass_over(f"{name} messages of which only the beginning is there")
            return None
        pseudo = b"" if name == "igmp" else pseudo_header(packet.source, packet.destination, packet.protocol, len(body))
        fields["checksum"] = checksum_right(body, pseudo, at=2) if len(body) >= 4 else None
        try:
            message = read(body)
        except MalformedMessageError as error:
            return self._event(frame, packet, name, "malformed", {**fields, "reason": str(error)})
        if message is None:
            self._pass_over("IGMP messages of other types")
            return None
        fields["message"], fields["version"] = message, message.version
        if isinstance(message, membership.Query):
            return self._event(frame, packet, name, "query", fields)
        if any(record.kind in membership.STATE_CHANGES for record in message.records):
            self.streams.changed(frame.interface, frame.t_ns)
        return self._event(frame, packet, name, "leave" if message.leave else "report", fields)

    def _unreachable(self, frame: Frame, packet: Packet) -> Event | None:
        """An ICMP port unreachable that quotes a control protocol's datagram."""
        data, begin = frame.data, packet.begin
        if data[begin : begin + 2] != (b"\x03\x03" if packet.protocol == PROTOCOL_ICMP else b"\x01\x04"):
            return None
        quoted = ip_packet(LINKTYPE_RAW, data[begin + 8 : packet.end])
        if quoted is None or quoted.protocol != PROTOCOL_UDP or quoted.fragment or quoted.end < quoted.begin + 8:
            return None
        inner = data[begin + 8 + quoted.begin :]
        sport, dport = struct.unpack_from("!HH", inner)
        protocol = self._udp.get(dport)
        if protocol is None:
            return None
        kind, fields = protocol.read(data[begin + 16 + quoted.begin : packet.end])
        if kind == "malformed":
            return None  # not enough of it was quoted
        fields.update(ports=(dport, sport), alert=False, checksum=None, refused=kind)
        event = self._event(frame, packet, protocol.name, "unreachable", fields)
        return event._replace(source=printed(quoted.destination), destination=printed(quoted.source))

    def _pim(self, frame: Frame, packet: Packet) -> Event | None:
        body = frame.data[packet.begin : packet.end]
        if packet.incomplete:
            self._pass_over("pim messages of which only the beginning is there")
            return None
        try:
            kind, fields = pim.dissect(body)
        except MalformedMessageError as error:
            kind, fields = "malformed", {"reason": str(error)}
        summed = body[: pim.REGISTER_SUMMED_OCTETS] if kind == "register" else body
        pseudo = b""
        if len(packet.source) == 16:
            pseudo = pseudo_header(packet.source, packet.destination, packet.protocol, len(body))
        if len(body) >= pim.HEADER_OCTETS:
            fields["checksum"] = checksum_right(summed, pseudo, at=2)
            if kind == "register" and not fields["checksum"]:
                # Some sum the whole message, which a receiver may accept as well [RFC 7761 4.9.3].
                fields["checksum"] = checksum_right(body, pseudo, at=2)
        fields["alert"] = False
        return self._event(frame, packet, "pim", kind, fields)


def _udp_checksum(packet: Packet, data: bytes, size: int) -> bool | None:
    begin = packet.begin
    if data[begin + 6 : begin + 8] == b"\0\0":
        return None if len(packet.source) == 4 else False
    pseudo = pseudo_header(packet.source, packet.destination, PROTOCOL_UDP, size)
    return checksum_right(data[begin : begin + size], pseudo, at=6)


def _why_no_packet(link_type: int, data: bytes) -> str:
    if not known_link_type(link_type):
        return f"frames of link type {link_type}"
    if link_type == LINKTYPE_ETHERNET and len(data) >= 14:
        ethertype = int.from_bytes(data[12:14])
        if ethertype not in (_IPV4, _IPV6):
            return f"frames of EtherType {ethertype:#06x}"
        return "frames cut off inside their headers"
    return "frames that hold no IP packet"
