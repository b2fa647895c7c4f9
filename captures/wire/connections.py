"""Messages that TCP connections carry: one at the segment that brings its last octet, at each interface.

Segments that come again are read once, those that come too early wait for what is before them. A connection whose beginning
was not seen is read from its first segment on. What a protocol cannot cut into messages is told once, and the
rest of that direction is passed over. Memory is bounded by the number of connections and by what may wait.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from captures.wire.framing import Framing
from captures.wire.headers import Packet
from captures.wire.malformed import MalformedMessageError

_HEADER = struct.Struct("!HHIxxxxBB").unpack_from
_HEADER_OCTETS = 20
_FIN, _SYN, _RST = 1, 2, 4

_DIRECTIONS_MAX = 4096
_WAITING_MAX = 64  # segments ahead of one that is missing
_WAITING_OCTETS_MAX = 1 << 17
_HELD_OCTETS_MAX = 1 << 26  # of all connections together
_HALF, _ALL = 1 << 31, 1 << 32


class Segment(NamedTuple):
    """A TCP segment: ports, flags, and octets of one direction of a connection from a sequence number on."""

    source_port: int
    port: int
    sequence: int
    flags: int
    octets: bytes


def segment(packet: Packet, data: bytes) -> Segment | None:
    """The segment in a packet that is TCP; None if only its beginning is there."""
    if packet.incomplete or packet.end < packet.begin + _HEADER_OCTETS:
        return None
    source_port, port, sequence, offset, flags = _HEADER(data, packet.begin)
    return Segment(source_port, port, sequence, flags, data[packet.begin + (offset >> 4) * 4 : packet.end])


@dataclass(slots=True)
class _Direction:
    """One direction of a connection at one interface: the octets of a message that has only begun, and what is to come."""

    expected: int
    buffer: bytes = b""
    waiting: dict[int, bytes] = field(default_factory=dict)
    broken: bool = False

    @property
    def held(self) -> int:
        """Octets that are kept of it."""
        return len(self.buffer) + self.ahead

    @property
    def ahead(self) -> int:
        """Octets that wait for what is missing before them."""
        return sum(map(len, self.waiting.values()))

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


_Key = tuple[str, bytes, bytes, int, int]


class Connections:
    """Puts the segments of connections together; `evicted` counts directions that were forgotten for lack of room."""

    def __init__(self) -> None:
        self.evicted = 0
        self._held = 0
        self._directions: dict[_Key, _Direction] = {}

    def messages(
        self, interface: str, packet: Packet, part: Segment, framing: Framing
    ) -> Iterator[bytes | MalformedMessageError]:
        """The messages that a segment completes; an error in place of what no message can be found in."""
        key = (interface, packet.source, packet.destination, part.source_port, part.port)
        if part.flags & _SYN:
            self._forget(key)
            self._begin(key, (part.sequence + 1) % _ALL)
        elif part.octets:
            yield from self._completed(key, part, framing)
        if part.flags & (_FIN | _RST):
            self._forget(key)

    def _begin(self, key: _Key, expected: int) -> _Direction:
        if len(self._directions) >= _DIRECTIONS_MAX:
            self._evict()
        direction = self._directions[key] = _Direction(expected)
        return direction

    def _forget(self, key: _Key) -> None:
        direction = self._directions.pop(key, None)
        if direction is not None:
            self._held -= direction.held

    def _evict(self) -> None:
        self._forget(next(iter(self._directions)))
        self.evicted += 1

    def _completed(self, key: _Key, part: Segment, framing: Framing) -> Iterator[bytes | MalformedMessageError]:
        direction = self._directions.get(key) or self._begin(key, part.sequence)
        if direction.broken:
            return
        self._held -= direction.held
        direction.add(part.sequence, part.octets)
        cut = framing.cut(direction.buffer)
        direction.buffer, problem = cut.rest, cut.problem
        if len(direction.waiting) > _WAITING_MAX or direction.ahead > _WAITING_OCTETS_MAX:
            problem = problem or "segments are missing that were not captured"
        if problem is not None:
            direction = self._directions[key] = _Direction(direction.expected, broken=True)
        self._held += direction.held
        while self._held > _HELD_OCTETS_MAX:
            self._evict()
        yield from (octets for _, octets in cut.messages)
        if problem is not None:
            yield MalformedMessageError(problem)
