"""Messages that TCP connections carry, as events: one at the frame that brings its last octet, at each interface.

Segments that come again are read once, those that come too early wait for what is before them. A connection whose beginning
was not seen is read from its first segment on. What a protocol cannot cut into messages is one "malformed" event, and the
rest of that direction is passed over. Memory is bounded by the number of connections and by what may wait.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from captures.files.capture import Frame
from captures.history.events import Dissected, Event
from captures.wire.headers import Packet, ip_packet
from captures.wire.internet import printed

if TYPE_CHECKING:
    from captures.dissectors.stream import Framing

PROTOCOL_TCP = 6
_HEADER = struct.Struct("!HHIxxxxBB").unpack_from
_HEADER_OCTETS = 20
_FIN, _SYN, _RST = 1, 2, 4

_DIRECTIONS_MAX = 4096
_WAITING_MAX = 64  # segments ahead of one that is missing
_BUFFER_MAX = 1 << 20
_HALF, _ALL = 1 << 31, 1 << 32

_ETHERNET = 1
_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"


class TcpProtocol(NamedTuple):
    """A control protocol over TCP: its name, its port, how its messages are framed and what reads one."""

    name: str
    port: int
    framing: Callable[[], Framing]
    read: Callable[[bytes], Dissected]


@dataclass(slots=True)
class _Direction:
    """One direction of a connection at one interface: the octets of a message that has only begun, and what is to come."""

    expected: int
    buffer: bytes = b""
    waiting: dict[int, bytes] = field(default_factory=dict)
    broken: bool = False

    def add(self, sequence: int, octets: bytes) -> None:
        """Take a segment's octets, in whatever order they come; what comes twice counts once."""
        self.waiting[sequence] = max(self.waiting.get(sequence, b""), octets, key=len)
        for begin in sorted(self.waiting, key=self._ahead):
            ahead = self._ahead(begin)
            if ahead > 0:
                break
            new = self.waiting.pop(begin)[-ahead:] if ahead else self.waiting.pop(begin)
            self.buffer += new
            self.expected = (self.expected + len(new)) % _ALL

    def _ahead(self, sequence: int) -> int:
        return (sequence - self.expected + _HALF) % _ALL - _HALF


class Connections:
    """Reads the TCP connections of protocols that are known by their ports."""

    def __init__(self, protocols: Iterable[TcpProtocol]) -> None:
        self._protocols = {protocol.port: protocol for protocol in protocols}
        self._directions: dict[tuple[str, bytes, bytes, int, int], _Direction] = {}

    def take(self, frame: Frame) -> list[Event] | None:
        """The messages that a frame completes; None if it is no segment of a known protocol."""
        if not self._protocols or not _may_be_tcp(frame):
            return None
        packet = ip_packet(frame.link_type, frame.data)
        if packet is None or packet.protocol != PROTOCOL_TCP or packet.fragment or packet.incomplete:
            return None
        if packet.end < packet.begin + _HEADER_OCTETS:
            return None
        source_port, port, sequence, offset, flags = _HEADER(frame.data, packet.begin)
        protocol = self._protocols.get(port) or self._protocols.get(source_port)
        if protocol is None:
            return None
        payload = frame.data[packet.begin + (offset >> 4) * 4 : packet.end]
        key = (frame.interface, packet.source, packet.destination, source_port, port)
        if flags & _SYN:
            self._directions[key] = _Direction((sequence + 1) % _ALL)
            return []
        found = self._messages(key, protocol, sequence, payload) if payload else []
        if flags & (_FIN | _RST):
            self._directions.pop(key, None)
        ports = (source_port, port)
        return [_event(frame, packet, protocol.name, kind, {**fields, "ports": ports}) for kind, fields in found]

    def _messages(
        self, key: tuple[str, bytes, bytes, int, int], protocol: TcpProtocol, sequence: int, payload: bytes
    ) -> list[Dissected]:
        direction = self._directions.get(key)
        if direction is None:
            if len(self._directions) >= _DIRECTIONS_MAX:
                del self._directions[next(iter(self._directions))]
            direction = self._directions[key] = _Direction(sequence)
        if direction.broken:
            return []
        direction.add(sequence, payload)
        cut = protocol.framing().cut(direction.buffer)
        found = [protocol.read(octets) for _, octets in cut.messages]
        direction.buffer = cut.rest
        problem = cut.problem
        if problem is None and (len(direction.waiting) > _WAITING_MAX or len(cut.rest) > _BUFFER_MAX):
            problem = "segments are missing that were not captured"
        if problem is not None:
            self._directions[key] = _Direction(direction.expected, broken=True)
            found.append(("malformed", {"reason": problem}))
        return found


def _may_be_tcp(frame: Frame) -> bool:
    """Whether it is worth to look into the headers: most frames are data of a stream."""
    if frame.link_type != _ETHERNET:
        return True
    data = frame.data
    ethertype = data[12:14]
    if ethertype == _IPV4:
        return data[23:24] == b"\x06"
    return data[20:21] == b"\x06" if ethertype == _IPV6 else True


def _event(frame: Frame, packet: Packet, protocol: str, kind: str, fields: dict[str, object]) -> Event:
    fields |= {"mac": packet.mac.hex(), "hop_limit": packet.hop_limit, "alert": False, "checksum": None}
    source, destination = printed(packet.source), printed(packet.destination)
    return Event(frame.number, frame.t_ns, frame.interface, protocol, kind, source, destination, fields)
