"""What GMP's roles share: the codecs of both modules, told apart by port and stream, and messages on streams [G-2, G-3].

A role has the port "mm" for module MM's messages; those of its others are module SM's. A stream is said to be of module MM by
its name in ``decoders``.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import MappingProxyType

from agents.core.agent import Endpoint, Notify
from agents.core.framing import Framer
from agents.core.message_role import MessageRole
from agents.gmp.constants import LENGTH_SIZE, MAXIMUM_MESSAGE_SIZE, MembershipPacket, SessionPacket
from agents.gmp.messages import (
    Message,
    decode_membership,
    decode_session,
    encode,
)

MM = "mm"  # the port of module MM's messages
NO_SECRETS: Mapping[str, object] = MappingProxyType({})


def _length_in(prefix: bytes) -> int:
    return LENGTH_SIZE + int.from_bytes(prefix)


def framer() -> Framer:
    """What cuts a stream into messages, each with its length before it: ``message[LENGTH_SIZE:]`` is the message [G-2]."""
    return Framer(LENGTH_SIZE, _length_in, LENGTH_SIZE + MAXIMUM_MESSAGE_SIZE)


def framed(data: bytes) -> bytes:
    """One message as it stands on a stream [G-2]."""
    return len(data).to_bytes(LENGTH_SIZE) + data


class Role(MessageRole[Message]):
    """A GMP role."""

    __slots__ = ()

    PACKETS = (*SessionPacket, *MembershipPacket)
    decode = staticmethod(decode_session)

    def __init__(self) -> None:
        super().__init__()
        self.decoders[MM] = decode_membership

    def send(self, message: Message, destination: Endpoint, port: str = "") -> None:
        """Queue one message as a datagram, from the port of that name."""
        self.send_encoded(message.packet, encode(message), destination, port, _said_of(message))

    def send_framed(self, message: Message, stream: Hashable) -> None:
        """Queue one message on a stream."""
        self.send_on_stream(message.packet, framed(encode(message)), stream, _said_of(message))

    def notify(self, event: str, secrets: Mapping[str, object] = NO_SECRETS, **details: object) -> None:
        """Tell the application, of ``secrets`` nobody else."""
        self.act(Notify(event, details, secrets))


def _said_of(message: Message) -> dict[str, object]:
    """What the history has of a message: nothing that is secret."""
    return {"session_id": message.session_id, "user_id": message.user_id}
