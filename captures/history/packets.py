"""From one IP packet to the events it is: control packets dissected one by one, TCP put together, tunnels looked into.

What is no event is counted by reason, and RTP goes to whoever counts it.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from captures.dissectors import igmp_mld, pim
from captures.files.capture import Frame
from captures.history.data import DataTap
from captures.history.events import Event
from captures.history.interfaces import Interfaces, Tunnels
from captures.history.parameters import port_in
from captures.wire import address_signs
from captures.wire.address_signs import AddressSigns
from captures.wire.connections import Connections, segment
from captures.wire.framing import Dissected, Framing
from captures.wire.headers import (
    LINKTYPE_RAW,
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    PROTOCOL_IGMP,
    PROTOCOL_IPV4,
    PROTOCOL_IPV6,
    PROTOCOL_PIM,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    Packet,
    ip_packet,
    router_alert,
)
from captures.wire.internet import checksum_right, printed, pseudo_header
from captures.wire.malformed import MalformedMessageError

RTCP = range(72, 77)
"""What payload types look like in RTCP [RFC 5761 4]."""

TUNNELS_MAX = 3
"""How many tunnels one in the other are looked into."""
_ADDRESS_OCTETS = {PROTOCOL_IPV4: 4, PROTOCOL_IPV6: 16}

_REASONS_MAX = 64  # a capture full of noise must not fill memory with its kinds


class PortProtocol(NamedTuple):
    """A control protocol at a port: `read` makes kind and fields of a message.

    `transport` is "udp", "tcp" or "ip"; of the last `port` is the protocol's number. `framing` cuts what comes over TCP into
    messages; None of the others, where a datagram or packet is one. `port_name` is what the port is given by:
    ``name``, or ``name.module``.
    """

    name: str
    transport: str
    port: int
    read: Callable[[bytes], Dissected]
    framing: Framing | None
    port_name: str


class PassedOver(Counter[str]):
    """How many frames were no event and no stream, by reason; beyond so many reasons those that come later are one."""

    def count(self, reason: str) -> None:
        """Count one."""
        if reason not in self and len(self) >= _REASONS_MAX:
            reason = "frames of other kinds"
        self[reason] += 1


class PacketReader:
    """Makes events of IP packets; `control_ports` are those over UDP, packed, where a protocol is."""

    def __init__(
        self,
        protocols: Iterable[PortProtocol],
        data: DataTap,
        interfaces: Interfaces,
        tunnels: Tunnels,
        passed_over: PassedOver,
        address_signs: AddressSigns,
    ) -> None:
        self.control_ports: frozenset[bytes] = frozenset()
        self._address_signs = address_signs
        self._data = data
        self._passed_over = passed_over
        self._interfaces = interfaces
        self._tunnels = tunnels
        self._udp: dict[int, PortProtocol] = {}
        self._tcp: dict[int, PortProtocol] = {}
        self._ip: dict[int, PortProtocol] = {}
        self.connections = Connections()
        self._know(protocols)

    def listen(self, parameters: Mapping[str, Any]) -> None:
        """Know the ports that a lab's parameters give its protocols, each in its section: ``port``, ``module_port``."""
        known = dict.fromkeys((*self._udp.values(), *self._tcp.values()))
        moved = ((protocol, port_in(parameters, protocol.port_name)) for protocol in known)
        self._know([protocol._replace(port=port) for protocol, port in moved if port is not None])

    def _know(self, protocols: Iterable[PortProtocol]) -> None:
        for protocol in protocols:
            {"udp": self._udp, "tcp": self._tcp, "ip": self._ip}[protocol.transport][protocol.port] = protocol
        self.control_ports = frozenset(port.to_bytes(2) for port in self._udp)

    def events(self, frame: Frame, packet: Packet, depth: int = 0) -> Sequence[Event]:
        """The events that a packet in a frame is; `depth` is in how many tunnels it is."""
        if packet.vlans:
            frame = frame._replace(interface=".".join([frame.interface, *map(str, packet.vlans)]))
            self._interfaces.see(frame.interface, frame.t_ns)
        protocol = packet.protocol
        event: Event | None = None
        if packet.fragment:
            self._passed_over.count("later fragments of IP datagrams")
        elif protocol == PROTOCOL_UDP:
            event = self._datagram(frame, packet)
        elif protocol == PROTOCOL_TCP:
            return self._segment(frame, packet)
        elif protocol == PROTOCOL_IGMP:
            event = self._membership(frame, packet, "igmp", igmp_mld.igmp)
        elif protocol == PROTOCOL_ICMPV6:
            event = self._membership(frame, packet, "mld", igmp_mld.mld)
        elif protocol == PROTOCOL_PIM:
            event = self._pim(frame, packet)
        elif protocol in (PROTOCOL_IPV4, PROTOCOL_IPV6):
            return self._tunnelled(frame, packet, depth)
        elif protocol in self._ip:
            event = self._message(frame, packet, self._ip[protocol])
        elif protocol != PROTOCOL_ICMP or (event := self._unreachable(frame, packet)) is None:
            self._passed_over.count(f"packets of IP protocol {protocol}")
        return () if event is None else (event,)

    def _tunnelled(self, frame: Frame, packet: Packet, depth: int) -> Sequence[Event]:
        """What is in an IP packet in an IP packet [RFC 2003, RFC 2473, RFC 4213]; a tunnel is a link of its own."""
        if depth == TUNNELS_MAX:
            self._passed_over.count(f"packets in more than {TUNNELS_MAX} tunnels")
            return ()
        ends = printed(packet.source), printed(packet.destination)
        name = f"{frame.interface}.{self._tunnels.name(ends)}"
        self._interfaces.see(name, frame.t_ns)
        inner = Frame(frame.number, frame.t_ns, name, LINKTYPE_RAW, frame.data[packet.begin : packet.end])
        found = ip_packet(LINKTYPE_RAW, inner.data)
        if found is None or len(found.source) != _ADDRESS_OCTETS[packet.protocol]:
            self._passed_over.count("packets in tunnels that are no IP packet or cut off")
            return ()
        events = self.events(inner, found, depth + 1)
        return [
            event._replace(fields={**event.fields, "tunnels": (ends, *event.fields.get("tunnels", ()))})
            for event in events
        ]

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
            self._passed_over.count("UDP datagrams cut off inside the header")
            return None
        sport, dport, size = struct.unpack_from("!HHH", data, begin)
        protocol = self._udp.get(dport) or self._udp.get(sport)
        if protocol is None:
            if sign := address_signs.of_datagram(data, begin, end):
                self._address_signs.add(frame.t_ns, frame.number, frame.interface, *sign)
            self._maybe_rtp(frame, packet)
            return None
        if size < 8:
            self._passed_over.count("UDP datagrams whose Length is shorter than their header")
            return None
        # UDP's own Length is the datagram; a protocol's own length must agree with it.
        cut = packet.incomplete or begin + size > end
        payload = data[begin + 8 : min(begin + size, end)]
        if cut:
            self._passed_over.count(f"{protocol.name} messages of which only the beginning is there")
            return None
        kind, fields = protocol.read(payload)
        fields.update(
            transport="udp",
            ports=(sport, dport),
            octets=len(payload),
            checksum=_udp_checksum(packet, data, size),
            alert=False,
        )
        return self._event(frame, packet, protocol.name, kind, fields)

    def _segment(self, frame: Frame, packet: Packet) -> Sequence[Event]:
        """The messages that a segment completes; the checksums of segments are not looked at."""
        part = segment(packet, frame.data)
        if part is None:
            self._passed_over.count("TCP segments of which only the beginning is there")
            return ()
        protocol = self._tcp.get(part.port) or self._tcp.get(part.source_port)
        if protocol is None or protocol.framing is None:
            self._passed_over.count("TCP segments of other protocols")
            return ()
        found = []
        fields: dict[str, Any]
        for octets in self.connections.messages(frame.interface, packet, part, protocol.framing):
            if isinstance(octets, MalformedMessageError):
                kind, fields = "malformed", {"reason": str(octets)}
            else:
                kind, fields = protocol.read(octets)
                fields["octets"] = len(octets)
            fields.update(transport="tcp", ports=(part.source_port, part.port), alert=False)
            found.append(self._event(frame, packet, protocol.name, kind, fields))
        if not found:
            self._passed_over.count("TCP segments that end no message")
        return found

    def _message(self, frame: Frame, packet: Packet, protocol: PortProtocol) -> Event | None:
        """A message right in an IP packet."""
        if packet.incomplete:
            self._passed_over.count(f"{protocol.name} messages of which only the beginning is there")
            return None
        kind, fields = protocol.read(frame.data[packet.begin : packet.end])
        fields["alert"] = router_alert(packet, frame.data)
        return self._event(frame, packet, protocol.name, kind, fields)

    def _maybe_rtp(self, frame: Frame, packet: Packet) -> None:
        data, begin = frame.data, packet.begin
        if packet.end < begin + 20 or data[begin + 8] >> 6 != 2 or data[begin + 9] & 127 in RTCP:
            self._passed_over.count("UDP datagrams of other protocols")
            return
        kind, sequence, timestamp, ssrc = struct.unpack_from("!xBHII", data, begin + 8)
        flow = packet.source + packet.destination + data[begin : begin + 4]
        self._data.add(frame.interface, flow, ssrc, frame.number, frame.t_ns, kind & 127, sequence, timestamp)

    def _membership(
        self,
        frame: Frame,
        packet: Packet,
        name: str,
        read: Callable[[bytes], igmp_mld.Query | igmp_mld.Report | None],
    ) -> Event | None:
        body = frame.data[packet.begin : packet.end]
        fields: dict[str, Any] = {"alert": router_alert(packet, frame.data)}
        if name == "mld" and (not body or body[0] not in igmp_mld.MLD_TYPES):
            if refused := self._unreachable(frame, packet):
                return refused
            for sign in address_signs.of_icmpv6(packet, frame.data):
                self._address_signs.add(frame.t_ns, frame.number, frame.interface, *sign)
            self._passed_over.count("ICMPv6 packets that are no MLD")
            return None
        if packet.incomplete:
            self._passed_over.count(f"{name} messages of which only the beginning is there")
            return None
        pseudo = b"" if name == "igmp" else pseudo_header(packet.source, packet.destination, packet.protocol, len(body))
        fields["checksum"] = checksum_right(body, pseudo, at=2) if len(body) >= 4 else None
        try:
            message = read(body)
        except MalformedMessageError as error:
            return self._event(frame, packet, name, "malformed", {**fields, "reason": str(error)})
        if message is None:
            self._passed_over.count("IGMP messages of other types")
            return None
        fields["message"], fields["version"] = message, message.version
        if isinstance(message, igmp_mld.Query):
            return self._event(frame, packet, name, "query", fields)
        if any(record.kind in igmp_mld.STATE_CHANGES for record in message.records):
            self._data.changed(frame.interface, frame.t_ns)
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
            self._passed_over.count("pim messages of which only the beginning is there")
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
