"""What the three MMCP roles share: their codec, and sending."""

from __future__ import annotations

from agents.core.agent import Endpoint
from agents.core.message_role import MessageRole
from agents.mmcp.constants import PacketType, Profile
from agents.mmcp.messages import Message, Parameter, decode, encode_fields

FLAG: tuple[dict[str, object], ...] = ({"f": 0}, {"f": 1})  # as the history says it


class Role(MessageRole[Message]):
    """An MMCP role."""

    __slots__ = ()

    PACKETS = PacketType
    decode = staticmethod(decode)

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
        data = encode_fields(packet, session_id, parameters, accepted, profile)
        self.send_encoded(packet, data, destination, port, FLAG[accepted])
