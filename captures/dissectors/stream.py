"""Messages on a TCP connection as scapy layers: several in one segment, one over several segments.

Binding a `Stream` to a port reads each segment by itself; with ``sniff(session=TCPSession)`` scapy puts segments
together first.
"""

# ruff: noqa: RUF012  scapy's way of declaring a layer is a mutable class attribute

from __future__ import annotations

from typing import Any

from scapy.fields import PacketListField, StrField
from scapy.packet import Packet, Padding

from captures.dissectors.message_layer import JudgedLayer, problems
from captures.wire.framing import Framing


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
