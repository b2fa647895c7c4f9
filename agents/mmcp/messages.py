"""MMCP messages: frozen dataclasses to bytes and back (X.604.1 clause 8).

``decode(bytes) -> Message`` raises DecodeError for whatever is no valid message; ``encode(Message) -> bytes`` raises
EncodeError for what cannot be written. All integers are big-endian. Layouts::

    header         type 8 | reserved 7 | F 1 | length of the whole packet 16 | session id 32
    parameter L16  type 8 | reserved 8 = 0 | length 16 | value          length counts type and length too [M-2]
    parameter L8   type 8 | length 8 | value    (Data Channel Status and Membership: 16 reserved bits come first)
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from struct import Struct
from typing import TypeVar

from agents.core.agent import Endpoint
from agents.core.errors import DecodeError, EncodeError
from agents.core.tlv import walk
from agents.mmcp.constants import (
    COUNT_MODULUS,
    HEADER_SIZE,
    IDENTIFIER_MAXIMUM,
    IDENTIFIER_MINIMUM,
    MAXIMUM_MESSAGE_SIZE,
    MEMBERSHIP_PARAMETER_SIZE,
    PACKETS_WITH_ACCEPTED_FLAG,
    SESSION_ID_MAXIMUM,
    STATUS_PARAMETER_SIZE,
    PacketType,
    ParameterType,
    Profile,
)

_HEADER = Struct("!BBHI")
_PARAMETER_L16 = Struct("!BxH")
_PARAMETER_L8 = Struct("!BB")
_PARAMETER_L8_RESERVED = Struct("!BBxx")
_PORT = Struct("!H")
_ONE_COUNT = Struct("!I")
_TWO_COUNTS = Struct("!II")

_FLAG_ACCEPTED = 0x01
_KNOWN_TYPES = frozenset(ParameterType)


@dataclass(frozen=True, slots=True)
class MNIdentifier:
    """Who the message is about: 1 to 253 opaque bytes [8.2.1]."""

    value: bytes


@dataclass(frozen=True, slots=True)
class PoAIdentifier:
    """A point of attachment: 1 to 253 opaque bytes, a MAC as its 6 raw bytes [8.2.2]."""

    value: bytes


@dataclass(frozen=True, slots=True)
class MulticastAddress:
    """The session's group: the address's 4 or 16 bytes, and the UDP port [8.2.3]."""

    packed: bytes
    port: int

    @property
    def group(self) -> str:
        """The group address as text."""
        return str(ip_address(self.packed))


@dataclass(frozen=True, slots=True)
class LMCAddress:
    """Where an LMC listens: the address's 4 or 16 bytes, and the UDP port [8.2.4]."""

    packed: bytes
    port: int

    @property
    def endpoint(self) -> Endpoint:
        """The address as an endpoint to send to."""
        return Endpoint(str(ip_address(self.packed)), self.port)


@dataclass(frozen=True, slots=True)
class DataChannelStatus:
    """What an MN has received: packets modulo 2^32 [M-3], and whole seconds in the session [8.2.5]."""

    packets_received: int
    seconds_in_session: int


@dataclass(frozen=True, slots=True)
class Membership:
    """How many MNs are attached to an LMC [8.2.6]."""

    members: int


@dataclass(frozen=True, slots=True)
class UnknownParameter:
    """A parameter of a type we do not know, skipped by every role: all its bytes, header included."""

    raw: bytes


Parameter = (
    MNIdentifier | PoAIdentifier | MulticastAddress | LMCAddress | DataChannelStatus | Membership | UnknownParameter
)

_Kind = TypeVar("_Kind", MNIdentifier, MulticastAddress, Membership)

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


@dataclass(frozen=True, slots=True)
class Message:
    """One MMCP packet. ``parameters`` are in wire order; ``accepted`` is F where F has a meaning, else False."""

    packet: PacketType
    session_id: int
    parameters: tuple[Parameter, ...] = ()
    accepted: bool = False
    profile: Profile = Profile.L16

    # A role reads these only where decode has checked that the parameter is there: the first of a kind counts.

    @property
    def mn_id(self) -> bytes:
        """The MN ID; KeyError where there is none."""
        return self._first(MNIdentifier).value

    @property
    def point_of_attachment(self) -> bytes | None:
        """The PoA ID, or None."""
        return next((p.value for p in self.parameters if type(p) is PoAIdentifier), None)

    @property
    def multicast(self) -> MulticastAddress:
        """The session's group; KeyError where there is none."""
        return self._first(MulticastAddress)

    @property
    def lmc(self) -> Endpoint | None:
        """The LMC's endpoint, or None."""
        return next((p.endpoint for p in self.parameters if type(p) is LMCAddress), None)

    @property
    def status(self) -> DataChannelStatus | None:
        """The data channel status, or None."""
        return next((p for p in self.parameters if type(p) is DataChannelStatus), None)

    @property
    def members(self) -> int:
        """The membership count; KeyError where there is none."""
        return self._first(Membership).members

    def _first(self, kind: type[_Kind]) -> _Kind:
        for parameter in self.parameters:
            if isinstance(parameter, kind):
                return parameter
        raise KeyError(f"{self.packet.name} without {kind.__name__}")


def mandatory_parameters(packet: PacketType, *, accepted: bool) -> tuple[type[Parameter], ...]:
    """The parameter classes that ``packet`` must hold, given its F."""
    return _MANDATORY[packet] + (_MANDATORY_WHEN_ACCEPTED.get(packet, ()) if accepted else ())


def multicast_address(group: str, port: int) -> MulticastAddress:
    """The parameter for the group address ``group`` (text) and UDP ``port``."""
    return MulticastAddress(ip_address(group).packed, port)


def lmc_address(endpoint: Endpoint) -> LMCAddress:
    """The parameter for an LMC at ``endpoint``."""
    return LMCAddress(ip_address(endpoint.address).packed, endpoint.port)


def data_channel_status(packets_received: int, seconds_in_session: float) -> DataChannelStatus:
    """The parameter for these counts, both modulo 2^32 [M-3]."""
    return DataChannelStatus(packets_received % COUNT_MODULUS, int(seconds_in_session) % COUNT_MODULUS)


# --- bytes to message ---------------------------------------------------------------------------------------------


def decode(data: bytes) -> Message:
    """Read one datagram; raises DecodeError with one of the reasons of the protocol page.

    Reasons: too-short, length-mismatch, unknown-type, profile-unknown, parameter-overrun, parameter-size,
    address-size, parameter-missing.
    """
    if len(data) < HEADER_SIZE:
        raise DecodeError("too-short", f"{len(data)} bytes, a header has {HEADER_SIZE}")
    code, flags, length, session_id = _HEADER.unpack_from(data)
    if length != len(data):
        raise DecodeError("length-mismatch", f"Payload Length {length} in a datagram of {len(data)} bytes")
    try:
        packet = PacketType(code)
    except ValueError:
        raise DecodeError("unknown-type", f"packet type {code}, known are 1 to {len(PacketType)}") from None
    profile = _profile_of(data)
    header = _PARAMETER_L16 if profile is Profile.L16 else _PARAMETER_L8
    parameters = tuple(
        _decode_parameter(code, data, start, end, profile)
        for code, start, end in walk(data, HEADER_SIZE, header, "MMCP")
    )
    accepted = packet in PACKETS_WITH_ACCEPTED_FLAG and bool(flags & _FLAG_ACCEPTED)
    present = {type(parameter) for parameter in parameters}
    for kind in mandatory_parameters(packet, accepted=accepted):
        if kind not in present:
            raise DecodeError("parameter-missing", f"{packet.name} without {kind.__name__}")
    return Message(packet, session_id, parameters, accepted, profile)


def _profile_of(data: bytes) -> Profile:
    """Tell the profiles apart by the second octet of the first parameter [M-2]."""
    if len(data) < HEADER_SIZE + 2:
        return Profile.L16  # no parameter, or one cut short, which the walk refuses
    second_octet = data[HEADER_SIZE + 1]
    if second_octet == 0:
        return Profile.L16
    if second_octet == 1:
        raise DecodeError("profile-unknown", "second octet of the first parameter is 1: neither reserved nor a length")
    return Profile.L8


def _decode_parameter(code: int, data: bytes, start: int, end: int, profile: Profile) -> Parameter:
    size = end - start
    if code in (ParameterType.MN_IDENTIFIER, ParameterType.POA_IDENTIFIER):
        if not IDENTIFIER_MINIMUM <= size <= IDENTIFIER_MAXIMUM:
            raise DecodeError(
                "parameter-size",
                f"identifier of {size} bytes at byte {start}, allowed {IDENTIFIER_MINIMUM} to {IDENTIFIER_MAXIMUM}",
            )
        value = data[start:end]
        return MNIdentifier(value) if code == ParameterType.MN_IDENTIFIER else PoAIdentifier(value)
    if code in (ParameterType.MULTICAST_ADDRESS, ParameterType.LMC_ADDRESS):
        if size < _PORT.size:
            raise DecodeError("parameter-size", f"address parameter at byte {start} has no room for its port")
        if size - _PORT.size not in (4, 16):
            raise DecodeError("address-size", f"address of {size - _PORT.size} bytes at byte {start}, not 4 or 16")
        (port,) = _PORT.unpack_from(data, start)
        packed = data[start + _PORT.size : end]
        return MulticastAddress(packed, port) if code == ParameterType.MULTICAST_ADDRESS else LMCAddress(packed, port)
    if code == ParameterType.DATA_CHANNEL_STATUS:
        return DataChannelStatus(*_TWO_COUNTS.unpack(_counts(data, start, end, profile, _TWO_COUNTS.size)))
    if code == ParameterType.MEMBERSHIP:
        return Membership(*_ONE_COUNT.unpack(_counts(data, start, end, profile, _ONE_COUNT.size)))
    header_size = _PARAMETER_L16.size if profile is Profile.L16 else _PARAMETER_L8.size
    return UnknownParameter(data[start - header_size : end])


def _counts(data: bytes, start: int, end: int, profile: Profile, size: int) -> bytes:
    """The ``size`` bytes of 32-bit counts of a fixed-size parameter; L8 has 16 reserved bits before them."""
    reserved = 0 if profile is Profile.L16 else 2
    if end - start != reserved + size:
        raise DecodeError("parameter-size", f"{end - start} value bytes at byte {start}, expected {reserved + size}")
    return data[start + reserved : end]


# --- message to bytes ---------------------------------------------------------------------------------------------


def encode(message: Message) -> bytes:
    """Write one message; raises EncodeError for what no receiver may accept."""
    packet = message.packet
    if not 0 <= message.session_id <= SESSION_ID_MAXIMUM:
        raise EncodeError(f"session id {message.session_id}: not in 0 to {SESSION_ID_MAXIMUM}")
    if message.accepted and packet not in PACKETS_WITH_ACCEPTED_FLAG:
        raise EncodeError(f"{packet.name} has no F flag")
    present = {type(parameter) for parameter in message.parameters}
    for kind in mandatory_parameters(packet, accepted=message.accepted):
        if kind not in present:
            raise EncodeError(f"{packet.name} needs {kind.__name__}")
    body = b"".join([_encode_parameter(parameter, message.profile) for parameter in message.parameters])
    if message.profile is Profile.L16 and body and body[1]:  # only an unknown parameter's own bytes can be so
        raise EncodeError(f"unknown parameter {body[:4].hex()}…: as the first one it has a second octet of 0 in L16")
    size = HEADER_SIZE + len(body)
    if size > MAXIMUM_MESSAGE_SIZE:
        raise EncodeError(f"{packet.name} of {size} bytes: no UDP datagram holds more than {MAXIMUM_MESSAGE_SIZE}")
    return _HEADER.pack(packet, _FLAG_ACCEPTED if message.accepted else 0, size, message.session_id) + body


def _encode_parameter(parameter: Parameter, profile: Profile) -> bytes:
    if isinstance(parameter, UnknownParameter):
        return _unknown(parameter.raw, profile)
    if isinstance(parameter, MNIdentifier):
        return _identifier(ParameterType.MN_IDENTIFIER, parameter.value, profile)
    if isinstance(parameter, PoAIdentifier):
        return _identifier(ParameterType.POA_IDENTIFIER, parameter.value, profile)
    if isinstance(parameter, MulticastAddress):
        return _address(ParameterType.MULTICAST_ADDRESS, parameter.packed, parameter.port, profile)
    if isinstance(parameter, LMCAddress):
        return _address(ParameterType.LMC_ADDRESS, parameter.packed, parameter.port, profile)
    if isinstance(parameter, DataChannelStatus):
        counts = (parameter.packets_received, parameter.seconds_in_session)
        _check_counts(*counts)
        value = _TWO_COUNTS.pack(*counts)
        return _fixed_header(ParameterType.DATA_CHANNEL_STATUS, STATUS_PARAMETER_SIZE, profile) + value
    _check_counts(parameter.members)
    value = _ONE_COUNT.pack(parameter.members)
    return _fixed_header(ParameterType.MEMBERSHIP, MEMBERSHIP_PARAMETER_SIZE, profile) + value


def _unknown(raw: bytes, profile: Profile) -> bytes:
    header = _PARAMETER_L16 if profile is Profile.L16 else _PARAMETER_L8
    if len(raw) < header.size:
        raise EncodeError(f"unknown parameter {raw.hex()!r}: a header in {profile.value} has {header.size} bytes")
    code, length = header.unpack_from(raw)
    if length != len(raw):
        raise EncodeError(f"unknown parameter {raw.hex()}: its length says {length}, it has {len(raw)} bytes")
    if code in _KNOWN_TYPES:
        raise EncodeError(f"unknown parameter {raw.hex()}: type {code} is {ParameterType(code).name}")
    return raw


def _header(code: ParameterType, value_size: int, profile: Profile) -> bytes:
    if profile is Profile.L16:
        return _PARAMETER_L16.pack(code, _PARAMETER_L16.size + value_size)
    return _PARAMETER_L8.pack(code, _PARAMETER_L8.size + value_size)


def _fixed_header(code: ParameterType, size: int, profile: Profile) -> bytes:
    return (_PARAMETER_L16 if profile is Profile.L16 else _PARAMETER_L8_RESERVED).pack(code, size)


def _identifier(code: ParameterType, value: bytes, profile: Profile) -> bytes:
    if not IDENTIFIER_MINIMUM <= len(value) <= IDENTIFIER_MAXIMUM:
        raise EncodeError(f"{code.name} of {len(value)} bytes, allowed {IDENTIFIER_MINIMUM} to {IDENTIFIER_MAXIMUM}")
    return _header(code, len(value), profile) + value


def _address(code: ParameterType, packed: bytes, port: int, profile: Profile) -> bytes:
    if len(packed) not in (4, 16):
        raise EncodeError(f"{code.name} of {len(packed)} address bytes, not 4 or 16")
    if not 0 <= port <= 0xFFFF:
        raise EncodeError(f"{code.name}: port {port} is not in 0 to 65535")
    return _header(code, _PORT.size + len(packed), profile) + _PORT.pack(port) + packed


def _check_counts(*counts: int) -> None:
    for count in counts:
        if not 0 <= count < COUNT_MODULUS:
            raise EncodeError(f"count {count} is not in 0 to {COUNT_MODULUS - 1}")
