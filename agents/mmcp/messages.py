"""MMCP messages: frozen dataclasses to bytes and back (X.604.1 clause 8).

``decode(bytes) -> Message`` raises DecodeError for whatever is no valid message; ``encode(Message) -> bytes`` raises
EncodeError for what cannot be written. All integers are big-endian. Layouts::

    header         type 8 | reserved 7 | F 1 | length of the whole packet 16 | session id 32
    parameter L16  type 8 | reserved 8 = 0 | length 16 | value          length counts type and length too [M-2]
    parameter L8   type 8 | length 8 | value    (Data Channel Status and Membership: 16 reserved bits come first)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from struct import Struct
from struct import error as StructError
from typing import Any

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
_PORT = Struct("!H")
_ONE_COUNT = Struct("!I")
_TWO_COUNTS = Struct("!II")
# Whole parameters, header and value in one step; L8 has 16 reserved bits before the counts.
_ADDRESS = {Profile.L16: Struct("!BxHH"), Profile.L8: Struct("!BBH")}
_MEMBERSHIP = {Profile.L16: Struct("!BxHI"), Profile.L8: Struct("!BBxxI")}
_STATUS = {Profile.L16: Struct("!BxHII"), Profile.L8: Struct("!BBxxII")}

# Members of an enumeration, looked up once: an attribute of an Enum class costs as much as a struct.
_L16 = Profile.L16
_MN_IDENTIFIER = ParameterType.MN_IDENTIFIER
_POA_IDENTIFIER = ParameterType.POA_IDENTIFIER
_DATA_CHANNEL_STATUS = ParameterType.DATA_CHANNEL_STATUS
_MEMBERSHIP_TYPE = ParameterType.MEMBERSHIP

_FLAG_ACCEPTED = 0x01
_KNOWN_TYPES = frozenset(ParameterType)
_PACKETS = {int(packet): packet for packet in PacketType}
# How many addresses' text and bytes are kept: the LMCs and groups that an operator provisions. Others are computed again.
_ADDRESSES_REMEMBERED = 1024


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
        return _text(self.packed)


@dataclass(frozen=True, slots=True)
class LMCAddress:
    """Where an LMC listens: the address's 4 or 16 bytes, and the UDP port [8.2.4]."""

    packed: bytes
    port: int

    @property
    def endpoint(self) -> Endpoint:
        """The address as an endpoint to send to."""
        return Endpoint(_text(self.packed), self.port)


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


@lru_cache(_ADDRESSES_REMEMBERED)
def _text(packed: bytes) -> str:
    return str(ip_address(packed))


@lru_cache(_ADDRESSES_REMEMBERED)
def _packed(address: str) -> bytes:
    return ip_address(address).packed


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
    def status(self) -> DataChannelStatus | None:
        """The data channel status, or None."""
        for parameter in self.parameters:
            if type(parameter) is DataChannelStatus:
                return parameter
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


def multicast_address(group: str, port: int) -> MulticastAddress:
    """The parameter for the group address ``group`` (text) and UDP ``port``."""
    return MulticastAddress(_packed(group), port)


def lmc_address(endpoint: Endpoint) -> LMCAddress:
    """The parameter for an LMC at ``endpoint``."""
    return LMCAddress(_packed(endpoint.address), endpoint.port)


def data_channel_status(packets_received: int, seconds_in_session: float) -> DataChannelStatus:
    """The parameter for these counts, both modulo 2^32 [M-3]."""
    return DataChannelStatus(packets_received % COUNT_MODULUS, int(seconds_in_session) % COUNT_MODULUS)


# Which parameters a message holds, as one bit for each kind, so that one operation checks what it must hold.
_BITS: dict[type[Any], int] = {
    kind: 1 << number
    for number, kind in enumerate(
        (
            UnknownParameter,
            MNIdentifier,
            PoAIdentifier,
            MulticastAddress,
            LMCAddress,
            DataChannelStatus,
            Membership,
        )
    )
}
_REQUIRED = {
    accepted: {
        packet: sum(_BITS[kind] for kind in mandatory_parameters(packet, accepted=accepted)) for packet in PacketType
    }
    for accepted in (False, True)
}


def _missing(packet: PacketType, present: int, *, accepted: bool) -> str:
    """The name of the first parameter that ``packet`` lacks."""
    kinds = mandatory_parameters(packet, accepted=accepted)
    return next(kind.__name__ for kind in kinds if not _BITS[kind] & present)


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
    packet = _PACKETS.get(code)
    if packet is None:
        raise DecodeError("unknown-type", f"packet type {code}, known are 1 to {len(PacketType)}")
    profile = _profile_of(data)
    header = _PARAMETER_L16 if profile is _L16 else _PARAMETER_L8
    parameters = []
    present = 0
    for code, start, end in walk(data, HEADER_SIZE, header, "MMCP"):
        bit, read = _READERS.get(code, _READ_UNKNOWN)
        present |= bit
        parameters.append(read(data, start, end, profile))
    accepted = bool(flags & _FLAG_ACCEPTED) and packet in PACKETS_WITH_ACCEPTED_FLAG
    if _REQUIRED[accepted][packet] & ~present:
        missing = _missing(packet, present, accepted=accepted)
        raise DecodeError("parameter-missing", f"{packet.name} without {missing}")
    return Message(packet, session_id, tuple(parameters), accepted, profile)


def _profile_of(data: bytes) -> Profile:
    """Tell the profiles apart by the second octet of the first parameter [M-2]."""
    if len(data) < HEADER_SIZE + 2:
        return _L16  # no parameter, or one cut short, which the walk refuses
    second_octet = data[HEADER_SIZE + 1]
    if second_octet == 0:
        return _L16
    if second_octet == 1:
        raise DecodeError("profile-unknown", "second octet of the first parameter is 1: neither reserved nor a length")
    return Profile.L8


# Each reads the value of one parameter from ``start`` to ``end``.


def _read_mn_identifier(data: bytes, start: int, end: int, profile: Profile) -> MNIdentifier:
    return MNIdentifier(_read_identifier(data, start, end))


def _read_poa_identifier(data: bytes, start: int, end: int, profile: Profile) -> PoAIdentifier:
    return PoAIdentifier(_read_identifier(data, start, end))


def _read_identifier(data: bytes, start: int, end: int) -> bytes:
    if not IDENTIFIER_MINIMUM <= end - start <= IDENTIFIER_MAXIMUM:
        raise DecodeError(
            "parameter-size",
            f"identifier of {end - start} bytes at byte {start}, allowed {IDENTIFIER_MINIMUM} to {IDENTIFIER_MAXIMUM}",
        )
    return data[start:end]


def _read_multicast_address(data: bytes, start: int, end: int, profile: Profile) -> MulticastAddress:
    return MulticastAddress(*_read_address(data, start, end))


def _read_lmc_address(data: bytes, start: int, end: int, profile: Profile) -> LMCAddress:
    return LMCAddress(*_read_address(data, start, end))


def _read_address(data: bytes, start: int, end: int) -> tuple[bytes, int]:
    size = end - start
    if size < _PORT.size:
        raise DecodeError("parameter-size", f"address parameter at byte {start} has no room for its port")
    if size - _PORT.size not in (4, 16):
        raise DecodeError("address-size", f"address of {size - _PORT.size} bytes at byte {start}, not 4 or 16")
    (port,) = _PORT.unpack_from(data, start)
    return data[start + _PORT.size : end], port


def _read_status(data: bytes, start: int, end: int, profile: Profile) -> DataChannelStatus:
    return DataChannelStatus(*_TWO_COUNTS.unpack_from(data, _counts(start, end, profile, _TWO_COUNTS.size)))


def _read_membership(data: bytes, start: int, end: int, profile: Profile) -> Membership:
    return Membership(*_ONE_COUNT.unpack_from(data, _counts(start, end, profile, _ONE_COUNT.size)))


def _counts(start: int, end: int, profile: Profile, size: int) -> int:
    """Where the ``size`` bytes of counts of a fixed-size parameter begin; L8 has 16 reserved bits before them."""
    reserved = 0 if profile is _L16 else 2
    if end - start != reserved + size:
        raise DecodeError("parameter-size", f"{end - start} value bytes at byte {start}, expected {reserved + size}")
    return start + reserved


def _read_unknown(data: bytes, start: int, end: int, profile: Profile) -> UnknownParameter:
    header_size = _PARAMETER_L16.size if profile is _L16 else _PARAMETER_L8.size
    return UnknownParameter(data[start - header_size : end])


_Reader = tuple[int, Callable[[bytes, int, int, Profile], Parameter]]
_READERS: dict[int, _Reader] = {
    ParameterType.MN_IDENTIFIER: (_BITS[MNIdentifier], _read_mn_identifier),
    ParameterType.POA_IDENTIFIER: (_BITS[PoAIdentifier], _read_poa_identifier),
    ParameterType.MULTICAST_ADDRESS: (_BITS[MulticastAddress], _read_multicast_address),
    ParameterType.LMC_ADDRESS: (_BITS[LMCAddress], _read_lmc_address),
    ParameterType.DATA_CHANNEL_STATUS: (_BITS[DataChannelStatus], _read_status),
    ParameterType.MEMBERSHIP: (_BITS[Membership], _read_membership),
}
_READ_UNKNOWN: _Reader = (_BITS[UnknownParameter], _read_unknown)


# --- message to bytes ---------------------------------------------------------------------------------------------


def encode(message: Message) -> bytes:
    """Write one message; raises EncodeError for what no receiver may accept."""
    packet, profile, accepted = message.packet, message.profile, message.accepted
    if not 0 <= message.session_id <= SESSION_ID_MAXIMUM:
        raise EncodeError(f"session id {message.session_id}: not in 0 to {SESSION_ID_MAXIMUM}")
    if accepted and packet not in PACKETS_WITH_ACCEPTED_FLAG:
        raise EncodeError(f"{packet.name} has no F flag")
    pieces = []
    present = 0
    for parameter in message.parameters:
        bit, write = _WRITERS[type(parameter)]
        present |= bit
        pieces.append(write(parameter, profile))
    body = b"".join(pieces)
    if _REQUIRED[accepted][packet] & ~present:
        raise EncodeError(f"{packet.name} needs {_missing(packet, present, accepted=accepted)}")
    if profile is _L16 and body and body[1]:  # only an unknown parameter's own bytes can be so
        raise EncodeError(f"unknown parameter {body[:4].hex()}…: as the first one it has a second octet of 0 in L16")
    size = HEADER_SIZE + len(body)
    if size > MAXIMUM_MESSAGE_SIZE:
        raise EncodeError(f"{packet.name} of {size} bytes: no UDP datagram holds more than {MAXIMUM_MESSAGE_SIZE}")
    return _HEADER.pack(packet, _FLAG_ACCEPTED if accepted else 0, size, message.session_id) + body


def _write_unknown(parameter: UnknownParameter, profile: Profile) -> bytes:
    raw = parameter.raw
    header = _PARAMETER_L16 if profile is _L16 else _PARAMETER_L8
    if len(raw) < header.size:
        raise EncodeError(f"unknown parameter {raw.hex()!r}: a header in {profile.value} has {header.size} bytes")
    code, length = header.unpack_from(raw)
    if length != len(raw):
        raise EncodeError(f"unknown parameter {raw.hex()}: its length says {length}, it has {len(raw)} bytes")
    if code in _KNOWN_TYPES:
        raise EncodeError(f"unknown parameter {raw.hex()}: type {code} is {ParameterType(code).name}")
    return raw


def _write_mn_identifier(parameter: MNIdentifier, profile: Profile) -> bytes:
    return _identifier(_MN_IDENTIFIER, parameter.value, profile)


def _write_poa_identifier(parameter: PoAIdentifier, profile: Profile) -> bytes:
    return _identifier(_POA_IDENTIFIER, parameter.value, profile)


def _identifier(code: ParameterType, value: bytes, profile: Profile) -> bytes:
    size = len(value)
    if not IDENTIFIER_MINIMUM <= size <= IDENTIFIER_MAXIMUM:
        raise EncodeError(f"{code.name} of {size} bytes, allowed {IDENTIFIER_MINIMUM} to {IDENTIFIER_MAXIMUM}")
    header = _PARAMETER_L16 if profile is _L16 else _PARAMETER_L8
    return header.pack(code, header.size + size) + value


def _write_multicast_address(parameter: MulticastAddress, profile: Profile) -> bytes:
    return _address(ParameterType.MULTICAST_ADDRESS, parameter.packed, parameter.port, profile)


def _write_lmc_address(parameter: LMCAddress, profile: Profile) -> bytes:
    return _address(ParameterType.LMC_ADDRESS, parameter.packed, parameter.port, profile)


@lru_cache(_ADDRESSES_REMEMBERED)  # an SM sends the same group and LMCs to everybody
def _address(code: ParameterType, packed: bytes, port: int, profile: Profile) -> bytes:
    if len(packed) not in (4, 16):
        raise EncodeError(f"{code.name} of {len(packed)} address bytes, not 4 or 16")
    if not 0 <= port <= 0xFFFF:
        raise EncodeError(f"{code.name}: port {port} is not in 0 to 65535")
    header = _ADDRESS[profile]
    return header.pack(code, header.size + len(packed), port) + packed


def _write_status(parameter: DataChannelStatus, profile: Profile) -> bytes:
    counts = (parameter.packets_received, parameter.seconds_in_session)
    try:
        return _STATUS[profile].pack(_DATA_CHANNEL_STATUS, STATUS_PARAMETER_SIZE, *counts)
    except StructError:
        raise _no_count(*counts) from None


def _write_membership(parameter: Membership, profile: Profile) -> bytes:
    try:
        return _MEMBERSHIP[profile].pack(_MEMBERSHIP_TYPE, MEMBERSHIP_PARAMETER_SIZE, parameter.members)
    except StructError:
        raise _no_count(parameter.members) from None


def _no_count(*counts: int) -> EncodeError:
    wrong = next((count for count in counts if not 0 <= count < COUNT_MODULUS), counts)
    return EncodeError(f"count {wrong} is not in 0 to {COUNT_MODULUS - 1}")


_Writer = tuple[int, Callable[[Any, Profile], bytes]]
_WRITERS: dict[type[Any], _Writer] = {
    UnknownParameter: (_BITS[UnknownParameter], _write_unknown),
    MNIdentifier: (_BITS[MNIdentifier], _write_mn_identifier),
    PoAIdentifier: (_BITS[PoAIdentifier], _write_poa_identifier),
    MulticastAddress: (_BITS[MulticastAddress], _write_multicast_address),
    LMCAddress: (_BITS[LMCAddress], _write_lmc_address),
    DataChannelStatus: (_BITS[DataChannelStatus], _write_status),
    Membership: (_BITS[Membership], _write_membership),
}
