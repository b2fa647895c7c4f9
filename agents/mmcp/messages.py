"""MMCP messages: frozen dataclasses to bytes and back (X.604.1 clause 8).

``decode(bytes) -> Message`` raises DecodeError for whatever is no valid message; ``encode(Message) -> bytes`` raises
EncodeError for what cannot be written. All integers are big-endian. Layouts::

    header         type 8 | reserved 7 | F 1 | length of the whole packet 16 | session id 32
    parameters     one after the other without padding, see ``parameters``
"""

from __future__ import annotations

from struct import Struct
from struct import error as struct_error

from agents.core.agent import Endpoint
from agents.core.errors import DecodeError, EncodeError
from agents.core.record import record
from agents.core.tlv import read_parameters
from agents.mmcp.constants import (
    HEADER_SIZE,
    MAXIMUM_MESSAGE_SIZE,
    PACKETS_WITH_ACCEPTED_FLAG,
    SESSION_ID_MAXIMUM,
    PacketType,
    Profile,
)
from agents.mmcp.parameters import (
    BITS,
    HEADER_L8,
    HEADER_L16,
    READERS_L8,
    READERS_L16,
    WRITERS,
    DataChannelStatus,
    LMCAddress,
    Membership,
    MNIdentifier,
    MulticastAddress,
    Parameter,
    PoAIdentifier,
    UnknownParameter,
    data_channel_status,
    lmc_address,
    multicast_address,
)

__all__ = [
    "DataChannelStatus",
    "LMCAddress",
    "MNIdentifier",
    "Membership",
    "Message",
    "MulticastAddress",
    "Parameter",
    "PoAIdentifier",
    "UnknownParameter",
    "data_channel_status",
    "decode",
    "encode",
    "encode_fields",
    "lmc_address",
    "mandatory_parameters",
    "multicast_address",
]

_HEADER = Struct("!BBHI")
_FLAG_ACCEPTED = 0x01
_UNKNOWN = BITS[UnknownParameter]
_SECOND_OCTET = HEADER_SIZE + 1  # of the first parameter: where
_L16 = Profile.L16  # looked up once: an attribute of an Enum class costs as much as a struct

# What a packet cannot do without [8.3 to 8.6]; with F=1 more is needed, see _MANDATORY_WHEN_ACCEPTED.
_MANDATORY: dict[PacketType, tuple[type[Parameter], ...]] = {
    PacketType.SJR: (MNIdentifier,),
    PacketType.SJC: (),
    PacketType.LJR: (MNIdentifier,),
    PacketType.LJC: (),
    PacketType.ULR: (MNIdentifier,),  # [M-5]
    PacketType.ULC: (),
    PacketType.USR: (MNIdentifier,),
    PacketType.ASR: (Membership,),
    PacketType.USP: (),
    PacketType.HIR: (MNIdentifier, PoAIdentifier),
    PacketType.HCT: (MNIdentifier, MulticastAddress),
    PacketType.HTA: (),
    PacketType.HIC: (),
}
_MANDATORY_WHEN_ACCEPTED: dict[PacketType, tuple[type[Parameter], ...]] = {
    PacketType.SJC: (MulticastAddress,),  # [M-4]
    PacketType.HIC: (LMCAddress,),
}


@record
class Message:
    """One MMCP packet. ``parameters`` are in wire order; ``accepted`` is F where F has a meaning, else False."""

    packet: PacketType
    session_id: int
    parameters: tuple[Parameter, ...] = ()
    accepted: bool = False
    profile: Profile = Profile.L16

    # A role reads these only where decode has checked that the parameter is there: the first of a kind counts.

    # Loops, because every datagram passes here and a generator costs more than what it finds.

    @property
    def mn_id(self) -> bytes:
        """The MN ID; KeyError where there is none."""
        for parameter in self.parameters:
            if type(parameter) is MNIdentifier:
                return parameter.value
        raise self._without(MNIdentifier)

    @property
    def point_of_attachment(self) -> bytes | None:
        """The PoA ID, or None."""
        for parameter in self.parameters:
            if type(parameter) is PoAIdentifier:
                return parameter.value
        return None

    @property
    def multicast(self) -> MulticastAddress:
        """The session's group; KeyError where there is none."""
        for parameter in self.parameters:
            if type(parameter) is MulticastAddress:
                return parameter
        raise self._without(MulticastAddress)

    @property
    def lmc(self) -> Endpoint | None:
        """The LMC's endpoint, or None."""
        for parameter in self.parameters:
            if type(parameter) is LMCAddress:
                return parameter.endpoint
        return None

    @property
    def members(self) -> int:
        """The membership count; KeyError where there is none."""
        for parameter in self.parameters:
            if type(parameter) is Membership:
                return parameter.members
        raise self._without(Membership)

    def _without(self, kind: type[Parameter]) -> KeyError:
        return KeyError(f"{self.packet.name} without {kind.__name__}")


def mandatory_parameters(packet: PacketType, *, accepted: bool) -> tuple[type[Parameter], ...]:
    """The parameter classes that ``packet`` must hold, given its F."""
    return _MANDATORY[packet] + (_MANDATORY_WHEN_ACCEPTED.get(packet, ()) if accepted else ())


def _mandatory_bits(packet: PacketType, *, accepted: bool) -> int:
    return sum(BITS[kind] for kind in mandatory_parameters(packet, accepted=accepted))


# By the code: the packet, the bits of what it must hold, and the same with F=1; None where F has no meaning.
_PACKETS: dict[int, tuple[PacketType, int, int | None]] = {
    int(packet): (
        packet,
        _mandatory_bits(packet, accepted=False),
        _mandatory_bits(packet, accepted=True) if packet in PACKETS_WITH_ACCEPTED_FLAG else None,
    )
    for packet in PacketType
}


def _missing(packet: PacketType, present: int, *, accepted: bool) -> str:
    """The name of the first parameter that ``packet`` lacks."""
    kinds = mandatory_parameters(packet, accepted=accepted)
    return next(kind.__name__ for kind in kinds if not BITS[kind] & present)


# --- bytes to message ---------------------------------------------------------------------------------------------


def decode(data: bytes) -> Message:
    """Read one datagram; raises DecodeError with one of the reasons of the protocol page.

    Reasons: too-short, length-mismatch, unknown-type, profile-unknown, parameter-overrun, parameter-size,
    address-size, parameter-missing.
    """
    try:
        code, flags, length, session_id = _HEADER.unpack_from(data)
    except struct_error:
        raise DecodeError("too-short", f"{len(data)} bytes, a header has {HEADER_SIZE}") from None
    if length != len(data):
        raise DecodeError("length-mismatch", f"Payload Length {length} in a datagram of {len(data)} bytes")
    try:
        packet, needed, needed_when_accepted = _PACKETS[code]
    except KeyError:
        raise DecodeError("unknown-type", f"packet type {code}, known are 1 to {len(PacketType)}") from None
    accepted = False
    if flags & _FLAG_ACCEPTED and needed_when_accepted is not None:
        accepted, needed = True, needed_when_accepted
    # The profiles are told apart by the second octet of the first parameter [M-2]; one cut short is refused in either.
    second_octet = data[_SECOND_OCTET] if length > _SECOND_OCTET else 0
    if not second_octet:
        profile = _L16
        parameters, present = read_parameters(data, HEADER_SIZE, HEADER_L16, READERS_L16, "MMCP")
    elif second_octet == 1:
        raise DecodeError("profile-unknown", "second octet of the first parameter is 1: neither reserved nor a length")
    else:
        profile = Profile.L8
        parameters, present = read_parameters(data, HEADER_SIZE, HEADER_L8, READERS_L8, "MMCP")
    if needed & present != needed:
        missing = _missing(packet, present, accepted=accepted)
        raise DecodeError("parameter-missing", f"{packet.name} without {missing}")
    return Message(packet, session_id, tuple(parameters), accepted, profile)


# --- message to bytes ---------------------------------------------------------------------------------------------


def encode(message: Message) -> bytes:
    """Write one message; raises EncodeError for what no receiver may accept."""
    return encode_fields(message.packet, message.session_id, message.parameters, message.accepted, message.profile)


def encode_fields(
    packet: PacketType,
    session_id: int,
    parameters: tuple[Parameter, ...],
    accepted: bool,  # noqa: FBT001  in the order of Message's fields
    profile: Profile,
) -> bytes:
    """``encode`` of the Message of these fields, without making it: for what is only sent."""
    _, needed, needed_when_accepted = _PACKETS[packet]
    if accepted:
        if needed_when_accepted is None:
            raise EncodeError(f"{packet.name} has no F flag")
        needed = needed_when_accepted
    pieces = []
    present = 0
    for parameter in parameters:
        bit, write = WRITERS[type(parameter)]
        present |= bit
        pieces.append(write(parameter, profile))
    body = b"".join(pieces)
    if needed & present != needed:
        raise EncodeError(f"{packet.name} needs {_missing(packet, present, accepted=accepted)}")
    if present & _UNKNOWN and profile is _L16 and body[1]:  # only an unknown parameter's own bytes can be so
        raise EncodeError(f"unknown parameter {body[:4].hex()}…: as the first one it has a second octet of 0 in L16")
    size = HEADER_SIZE + len(body)
    if size > MAXIMUM_MESSAGE_SIZE:
        raise EncodeError(f"{packet.name} of {size} bytes: no UDP datagram holds more than {MAXIMUM_MESSAGE_SIZE}")
    try:
        return _HEADER.pack(packet, _FLAG_ACCEPTED if accepted else 0, size, session_id) + body
    except struct_error:
        raise EncodeError(f"session id {session_id}: not in 0 to {SESSION_ID_MAXIMUM}") from None
