"""Messages on a TCP connection: several in one segment, one over several segments.

Binding a `Stream` to a port reads each segment by itself; with ``sniff(session=TCPSession)`` scapy puts segments
together first.
"""

# ruff: noqa: RUF012  scapy's way of declaring a layer is a mutable class attribute

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from scapy.fields import PacketListField, StrField
from scapy.packet import Packet, Padding

from captures.dissectors.message_layer import JudgedLayer, MalformedMessageError, problems

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Cut:
    """A stream cut into messages.

    messages: octet at which each begins in the stream, and its octets.
    rest: what follows the last whole message: the beginning of another one, if there is no problem.
    problem: why no message can be found in the rest, whatever comes, or None.
    """

    messages: list[tuple[int, bytes]]
    rest: bytes
    problem: str | None


@dataclass(frozen=True, slots=True)
class Framing:
    """Where a message's length stands and what it counts.

    length_at, length_octets: place and size of the length, in octets from where a message's frame begins.
    prefix_octets: octets in front of the message that its length does not count.
    smallest, largest: what the length may be; nothing behind another one can be trusted.
    """

    length_at: int
    length_octets: int
    prefix_octets: int
    smallest: int
    largest: int

    def cut(self, octets: bytes) -> Cut:
        """Cut a stream, which begins where a message does, into messages."""
        messages: list[tuple[int, bytes]] = []
        offset = 0
        problem = None
        while (at := offset + self.length_at) + self.length_octets <= len(octets):
            length = int.from_bytes(octets[at : at + self.length_octets])
            if not self.smallest <= length <= self.largest:
                problem = f"octet {at}: length {length} is not in {self.smallest} to {self.largest}"
                break
            begin = offset + self.prefix_octets
            if begin + length > len(octets):
                break
            messages.append((begin, octets[begin : begin + length]))
            offset = begin + length
        return Cut(messages, octets[offset:], problem)

    def join(self, messages: Iterable[bytes]) -> bytes:
        """Put messages on a stream."""
        return b"".join(self._prefix(message) + message for message in messages)

    def _prefix(self, message: bytes) -> bytes:
        return len(message).to_bytes(self.prefix_octets) if self.prefix_octets else b""

    def read(self, octets: bytes, dissect: Callable[[bytes], Read]) -> tuple[list[Read], bytes]:
        """Read a stream strictly: every whole message, and the octets of a message that has only begun.

        Raises `MalformedMessageError`, with the number and place of the message, for one that `dissect` refuses.
        """
        cut = self.cut(octets)
        found = []
        for number, (begin, message) in enumerate(cut.messages, 1):
            try:
                found.append(dissect(message))
            except MalformedMessageError as error:
                raise MalformedMessageError(f"message {number} at octet {begin}: {error}", error.read) from None
        if cut.problem:
            raise MalformedMessageError(cut.problem)
        return found, cut.rest


class MessageListField(PacketListField):
    """The whole messages of a stream, each as its protocol's layer."""

    def getfield(self, pkt: Packet, s: bytes) -> tuple[bytes, list[Any]]:
        """Cut the stream and dissect each message."""
        cut = pkt.framing.cut(s)
        return cut.rest, [pkt.message(octets, _parent=pkt) for _, octets in cut.messages]

    def addfield(self, pkt: Packet, s: bytes, val: list[Any] | None) -> bytes:
        """Write each message with its length in front, where the framing has one."""
        return s + bytes(pkt.framing.join(bytes(message) for message in val or ()))


class Stream(JudgedLayer):
    """One direction of a connection; each protocol derives its own and fills in the class attributes."""

    name = "stream"
    framing: Framing
    message: type[Packet]
    fields_desc = [MessageListField("messages", [], Packet), StrField("rest", b"")]

    def own_problems(self) -> list[str]:
        """Everything wrong with its messages; one that only begins in it is nothing wrong."""
        cut = self.framing.cut(bytes(self.original))
        found = [
            f"message {number} at octet {begin}: {problem}"
            for number, ((begin, _), message) in enumerate(zip(cut.messages, self.messages, strict=True), 1)
            for problem in problems(message)
        ]
        return [*found, cut.problem] if cut.problem else found

    @classmethod
    def tcp_reassemble(cls, data: bytes, metadata: dict[str, Any], _session: dict[str, Any]) -> Packet | None:
        """Scapy's TCPSession asks what can be read of the data so far: whole messages; the rest waits for more."""
        cut = cls.framing.cut(data)
        if cut.problem or metadata.get("tcp_end"):
            return cls(data)
        if not cut.messages:
            return None
        stream = cls(data[: len(data) - len(cut.rest)])
        return stream / Padding(cut.rest) if cut.rest else stream
