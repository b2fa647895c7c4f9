"""What the three MMCP roles share: decoding with counts, and sending."""

from __future__ import annotations

from abc import abstractmethod

from agents.core.agent import Agent, Endpoint, SendDatagram
from agents.core.errors import DecodeError
from agents.mmcp.constants import PacketType, Profile
from agents.mmcp.messages import Message, Parameter, decode, encode_fields

# The names of the counters, made once: an Enum member's name and an f-string for every datagram are a tenth of its cost.
_RECEIVED = {packet: f"received.{packet.name}" for packet in PacketType}
_SENT = {packet: f"sent.{packet.name}" for packet in PacketType}


class Role(Agent):
    """An MMCP role. Malformed datagrams, and packets the role never receives, are dropped and counted by reason."""

    __slots__ = ()

    RECEIVES: frozenset[PacketType] = frozenset()

    def receive(self, data: bytes, source: Endpoint, now: float, port: str = "") -> None:
        """Decode one datagram and hand it to ``message_received``."""
        try:
            message = decode(data)
        except DecodeError as error:
            self.drop(error.reason, source, detail=error.detail)
            return
        packet = message.packet
        counters, name = self.counters, _RECEIVED[packet]
        counters[name] = counters.get(name, 0) + 1
        if packet in self.RECEIVES:
            self.message_received(message, source, now, port)
        else:
            self.drop("unexpected-type", source, packet=packet.name)

    @abstractmethod
    def message_received(self, message: Message, source: Endpoint, now: float, port: str) -> None:
        """Take one valid message of a type in RECEIVES."""

    def send(
        self,
        packet: PacketType,
        session_id: int,
        destination: Endpoint,
        parameters: tuple[Parameter, ...] = (),
        *,
        accepted: bool = False,
        profile: Profile = Profile.L16,
        port: str = "",
    ) -> None:
        """Queue one message. A reply is given the profile of its request [M-2]."""
        # What send_encoded and counters.add do, without the calls: every message of every node passes here.
        counters, name = self.counters, _SENT[packet]
        counters[name] = counters.get(name, 0) + 1
        if self.keeps_history:
            self.trace("sent", packet=packet.name, to=str(destination), f=int(accepted))
        data = encode_fields(packet, session_id, parameters, accepted, profile)
        self._actions.append(SendDatagram(data, destination, port))

    def send_encoded(
        self,
        packet: PacketType,
        data: bytes,
        destination: Endpoint,
        accepted: bool,  # noqa: FBT001  as in Message
        port: str = "",
    ) -> None:
        """Queue one message that is already bytes: what is said to many is encoded once."""
        self.counters.add(_SENT[packet])
        if self.keeps_history:
            self.trace("sent", packet=packet.name, to=str(destination), f=int(accepted))
        self._actions.append(SendDatagram(data, destination, port))
