"""Echo's messages: type (1 octet), zero (1), length of the whole (2), number (4), text."""

from collections.abc import Mapping
from enum import Enum
from struct import Struct

from agents.core.errors import DecodeError, EncodeError
from agents.core.record import record

HEADER, MOST = Struct("!BxHI"), 1024  # octets of a message at most
Kind = Enum("Kind", {"REQUEST": 1, "ANSWER": 2, "ANNOUNCE": 3})


@record
class Message:
    """One message; ``number`` counts the answers of whoever sends it."""

    packet: Kind
    number: int
    text: bytes = b""


def encode(message: Message) -> bytes:
    return HEADER.pack(message.packet.value, HEADER.size + len(message.text), message.number) + message.text


def decode(data: bytes) -> Message:
    """One message; raises DecodeError."""
    if len(data) < HEADER.size or data[0] not in (1, 2, 3) or HEADER.unpack_from(data)[1] != len(data):
        raise DecodeError("malformed", f"{len(data)} octets, {data[:8].hex()}")
    return Message(Kind(data[0]), HEADER.unpack_from(data)[2], data[HEADER.size :])


def to_plain(data: bytes) -> Mapping[str, object]:
    """A message as JSON can say it."""
    message = decode(data)
    return {"packet": message.packet.name, "number": message.number, "text": message.text.decode(errors="replace")}


def from_plain(plain: Mapping[str, object]) -> bytes:
    """The reverse; raises EncodeError."""
    try:
        return encode(Message(Kind[str(plain["packet"])], int(str(plain["number"])), str(plain["text"]).encode()))
    except (KeyError, ValueError) as error:
        raise EncodeError(f"no echo message: {error}") from None
