"""A role whose protocol is messages: what is decoded, counted and sent is done here once, and fast, for every protocol."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping
from enum import Enum
from functools import cache
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from agents.core.agent import Agent, Endpoint, SendDatagram, SendStream
from agents.core.errors import DecodeError


class Typed(Protocol):
    """A message that says of which type it is."""

    @property
    def packet(self) -> Any:
        """A member of the role's PACKETS."""


Message = TypeVar("Message", bound=Typed)


@cache
def _counter_names(what: str, packets: type[Enum] | tuple[Enum, ...]) -> Mapping[Any, str]:
    """Made once: an Enum member's name and an f-string for every datagram are a tenth of its cost."""
    return {packet: f"{what}.{packet.name}" for packet in packets}


class MessageRole(Agent, Generic[Message]):
    """A role that takes messages of the types RECEIVES. Malformed ones, and other types, are dropped and counted by reason.

    PACKETS are the types that there are. Counters are named ``received.TYPE`` and ``sent.TYPE``. A role that has streams
    hands each message of one to ``receive`` too, with the stream as the port. Where what comes by a port or stream is of
    another codec than ``decode``, ``decoders`` has that one's.
    """

    __slots__ = ("_decode", "_received_names", "_sent_names", "decoders")

    PACKETS: ClassVar[type[Enum] | tuple[Enum, ...]]
    RECEIVES: ClassVar[frozenset[Any]] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        # An instance's own attributes are found faster than those of its class.
        self._decode = self.decode
        self.decoders: dict[Hashable, Callable[[bytes], Any]] = {}
        self._received_names = _counter_names("received", self.PACKETS)
        self._sent_names = _counter_names("sent", self.PACKETS)

    @staticmethod
    @abstractmethod
    def decode(data: bytes) -> Any:
        """The message that bytes are; raises DecodeError."""

    # What counters.add does is written out below, and actions are appended without ``act``: every message passes here.

    def receive(self, data: bytes, source: Endpoint, now: float, port: Hashable = "") -> None:
        """Decode one message and hand it to ``message_received``."""
        try:
            message = (self.decoders.get(port) or self._decode)(data)
        except DecodeError as error:
            self.drop(error.reason, source, detail=error.detail)
            return
        packet = message.packet
        counters, name = self.counters, self._received_names[packet]
        counters[name] = counters.get(name, 0) + 1
        if packet in self.RECEIVES:
            self.message_received(message, source, now, port)
        else:
            self.drop("unexpected-type", source, packet=packet.name)

    @abstractmethod
    def message_received(self, message: Message, source: Endpoint, now: float, port: Hashable) -> None:
        """Take one valid message of a type in RECEIVES."""

    def send_encoded(
        self,
        packet: Any,
        data: bytes,
        destination: Endpoint,
        port: str = "",
        details: Mapping[str, object] | None = None,
    ) -> None:
        """Queue one message that is bytes, as a datagram; ``details`` go to the history."""
        counters, name = self.counters, self._sent_names[packet]
        counters[name] = counters.get(name, 0) + 1
        if self.keeps_history:
            self.trace("sent", packet=packet.name, to=str(destination), **(details or {}))
        self._actions.append(SendDatagram(data, destination, port))

    def send_on_stream(
        self, packet: Any, data: bytes, stream: Hashable, details: Mapping[str, object] | None = None
    ) -> None:
        """Queue one message that is bytes on a stream; ``details`` go to the history."""
        self.counters.add(self._sent_names[packet])
        self.trace("sent", packet=packet.name, to=str(stream), **(details or {}))
        self._actions.append(SendStream(stream, data))
