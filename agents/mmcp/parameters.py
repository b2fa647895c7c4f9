"""MMCP parameters: frozen dataclasses, and the bytes of each in both profiles (X.604.1 clause 8.2).

Layouts, all integers big-endian::

    L16  type 8 | reserved 8 = 0 | length 16 | value          length counts type and length too [M-2]
    L8   type 8 | length 8 | value    (Data Channel Status and Membership: 16 reserved bits come first)

The readers and writers are tables that the messages are read and written with: no search and no chain of questions
for each parameter, because every datagram of every MN passes here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from struct import Struct
from struct import error as struct_error
from typing import Any

from agents.core.agent import Endpoint
from agents.core.errors import DecodeError, EncodeError
from agents.core.record import record
from agents.core.tlv import Reader
from agents.mmcp.constants import (
    COUNT_MODULUS,
    IDENTIFIER_MAXIMUM,
    IDENTIFIER_MINIMUM,
    MEMBERSHIP_PARAMETER_SIZE,
    STATUS_PARAMETER_SIZE,
    ParameterType,
    Profile,
)

HEADER_L16 = Struct("!BxH")
HEADER_L8 = Struct("!BB")
_PORT = Struct("!H")
# Whole parameters, header and value in one step; L8 has 16 reserved bits before the counts.
_ADDRESS_L16, _ADDRESS_L8 = Struct("!BxHH"), Struct("!BBH")
_MEMBERSHIP_L16, _MEMBERSHIP_L8 = Struct("!BxHI"), Struct("!BBxxI")
_STATUS_L16, _STATUS_L8 = Struct("!BxHII"), Struct("!BBxxII")

# Members of an enumeration, looked up once: an attribute of an Enum class costs as much as a struct.
_L16 = Profile.L16
_MULTICAST_ADDRESS = ParameterType.MULTICAST_ADDRESS
_LMC_ADDRESS = ParameterType.LMC_ADDRESS
_DATA_CHANNEL_STATUS = ParameterType.DATA_CHANNEL_STATUS
_MEMBERSHIP_TYPE = ParameterType.MEMBERSHIP

_KNOWN_TYPES = frozenset(ParameterType)
# How many addresses' text and bytes are kept: the LMCs and groups that an operator provisions. Others are computed again.
_ADDRESSES_REMEMBERED = 1024


@record
class MNIdentifier:
    """Who the message is about: 1 to 253 opaque bytes [8.2.1]."""

    value: bytes


@record
class PoAIdentifier:
    """A point of attachment: 1 to 253 opaque bytes, a MAC as its 6 raw bytes [8.2.2]."""

    value: bytes


@record
class MulticastAddress:
    """The session's group: the address's 4 or 16 bytes, and the UDP port [8.2.3]."""

    packed: bytes
    port: int

    @property
    def group(self) -> str:
        """The group address as text."""
        return _text(self.packed)


@record
class LMCAddress:
    """Where an LMC listens: the address's 4 or 16 bytes, and the UDP port [8.2.4]."""

    packed: bytes
    port: int

    @property
    def endpoint(self) -> Endpoint:
        """The address as an endpoint to send to."""
        return _endpoint(self.packed, self.port)


@record
class DataChannelStatus:
    """What an MN has received: packets modulo 2^32 [M-3], and whole seconds in the session [8.2.5]."""

    packets_received: int
    seconds_in_session: int


@record
class Membership:
    """How many MNs are attached to an LMC [8.2.6]."""

    members: int


@record
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
def _endpoint(packed: bytes, port: int) -> Endpoint:
    return Endpoint(_text(packed), port)


@lru_cache(_ADDRESSES_REMEMBERED)
def multicast_address(group: str, port: int) -> MulticastAddress:
    """The parameter for the group address ``group`` (text) and UDP ``port``."""
    return MulticastAddress(ip_address(group).packed, port)


@lru_cache(_ADDRESSES_REMEMBERED)
def lmc_address(endpoint: Endpoint) -> LMCAddress:
    """The parameter for an LMC at ``endpoint``."""
    return LMCAddress(ip_address(endpoint.address).packed, endpoint.port)


def data_channel_status(packets_received: int, seconds_in_session: float) -> DataChannelStatus:
    """The parameter for these counts, both modulo 2^32 [M-3]."""
    return DataChannelStatus(packets_received % COUNT_MODULUS, int(seconds_in_session) % COUNT_MODULUS)


# Which parameters a message holds, as one bit for each kind, so that one operation checks what it must hold.
BITS: dict[type[Any], int] = {
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


# --- bytes to parameter -------------------------------------------------------------------------------------------


# Each reads the value of one parameter from ``start`` to ``end``.


def _read_mn_identifier(data: bytes, start: int, end: int) -> MNIdentifier:
    if not IDENTIFIER_MINIMUM <= end - start <= IDENTIFIER_MAXIMUM:
        raise _no_identifier(start, end)
    return MNIdentifier(data[start:end])


def _read_poa_identifier(data: bytes, start: int, end: int) -> PoAIdentifier:
    if not IDENTIFIER_MINIMUM <= end - start <= IDENTIFIER_MAXIMUM:
        raise _no_identifier(start, end)
    return PoAIdentifier(data[start:end])


def _no_identifier(start: int, end: int) -> DecodeError:
    return DecodeError(
        "parameter-size",
        f"identifier of {end - start} bytes at byte {start}, allowed {IDENTIFIER_MINIMUM} to {IDENTIFIER_MAXIMUM}",
    )


def _read_multicast_address(data: bytes, start: int, end: int) -> MulticastAddress:
    return MulticastAddress(*_read_address(data, start, end))


def _read_lmc_address(data: bytes, start: int, end: int) -> LMCAddress:
    return LMCAddress(*_read_address(data, start, end))


def _read_address(data: bytes, start: int, end: int) -> tuple[bytes, int]:
    size = end - start
    if size < _PORT.size:
        raise DecodeError("parameter-size", f"address parameter at byte {start} has no room for its port")
    if size - _PORT.size not in (4, 16):
        raise DecodeError("address-size", f"address of {size - _PORT.size} bytes at byte {start}, not 4 or 16")
    (port,) = _PORT.unpack_from(data, start)
    return data[start + _PORT.size : end], port


_Read = Callable[[bytes, int, int], Parameter]


def _counts_reader(kind: type[DataChannelStatus | Membership], layout: Struct) -> _Read:
    size, unpack_from = layout.size, layout.unpack_from

    def read(data: bytes, start: int, end: int) -> Parameter:
        if end - start != size:
            raise DecodeError("parameter-size", f"{end - start} value bytes at byte {start}, expected {size}")
        return kind(*unpack_from(data, start))

    return read


def _readers(header: Struct, status: Struct, membership: Struct) -> dict[int, Reader[Parameter]]:
    """A reader for each type that there can be; the layouts are those of the parameters' headers and of the values."""

    def read_unknown(data: bytes, start: int, end: int) -> Parameter:
        return UnknownParameter(data[start - header.size : end])

    return {
        **dict.fromkeys(range(256), (BITS[UnknownParameter], read_unknown)),
        int(ParameterType.MN_IDENTIFIER): (BITS[MNIdentifier], _read_mn_identifier),
        int(ParameterType.POA_IDENTIFIER): (BITS[PoAIdentifier], _read_poa_identifier),
        int(ParameterType.MULTICAST_ADDRESS): (BITS[MulticastAddress], _read_multicast_address),
        int(ParameterType.LMC_ADDRESS): (BITS[LMCAddress], _read_lmc_address),
        int(ParameterType.DATA_CHANNEL_STATUS): (BITS[DataChannelStatus], _counts_reader(DataChannelStatus, status)),
        int(ParameterType.MEMBERSHIP): (BITS[Membership], _counts_reader(Membership, membership)),
    }


READERS_L16 = _readers(HEADER_L16, Struct("!II"), Struct("!I"))
READERS_L8 = _readers(HEADER_L8, Struct("!xxII"), Struct("!xxI"))


# --- parameter to bytes -------------------------------------------------------------------------------------------


def _write_unknown(parameter: UnknownParameter, profile: Profile) -> bytes:
    raw = parameter.raw
    header = HEADER_L16 if profile is _L16 else HEADER_L8
    if len(raw) < header.size:
        raise EncodeError(f"unknown parameter {raw.hex()!r}: a header in {profile.value} has {header.size} bytes")
    code, length = header.unpack_from(raw)
    if length != len(raw):
        raise EncodeError(f"unknown parameter {raw.hex()}: its length says {length}, it has {len(raw)} bytes")
    if code in _KNOWN_TYPES:
        raise EncodeError(f"unknown parameter {raw.hex()}: type {code} is {ParameterType(code).name}")
    return raw


_Write = Callable[[Any, Profile], bytes]


def _identifier_writer(code: ParameterType) -> _Write:
    sizes = range(IDENTIFIER_MINIMUM, IDENTIFIER_MAXIMUM + 1)
    headers_l16 = {size: HEADER_L16.pack(code, HEADER_L16.size + size) for size in sizes}
    headers_l8 = {size: HEADER_L8.pack(code, HEADER_L8.size + size) for size in sizes}

    def write(parameter: MNIdentifier | PoAIdentifier, profile: Profile) -> bytes:
        value = parameter.value
        header = (headers_l16 if profile is _L16 else headers_l8).get(len(value))
        if header is None:
            raise EncodeError(
                f"{code.name} of {len(value)} bytes, allowed {IDENTIFIER_MINIMUM} to {IDENTIFIER_MAXIMUM}"
            )
        return header + value

    return write


def _write_multicast_address(parameter: MulticastAddress, profile: Profile) -> bytes:
    return _address(_MULTICAST_ADDRESS, parameter.packed, parameter.port, profile)


def _write_lmc_address(parameter: LMCAddress, profile: Profile) -> bytes:
    return _address(_LMC_ADDRESS, parameter.packed, parameter.port, profile)


def _address(code: ParameterType, packed: bytes, port: int, profile: Profile) -> bytes:
    if len(packed) not in (4, 16):
        raise EncodeError(f"{code.name} of {len(packed)} address bytes, not 4 or 16")
    if not 0 <= port <= 0xFFFF:
        raise EncodeError(f"{code.name}: port {port} is not in 0 to 65535")
    layout = _ADDRESS_L16 if profile is _L16 else _ADDRESS_L8
    return layout.pack(code, layout.size + len(packed), port) + packed


def _write_status(parameter: DataChannelStatus, profile: Profile) -> bytes:
    layout = _STATUS_L16 if profile is _L16 else _STATUS_L8
    packets, seconds = parameter.packets_received, parameter.seconds_in_session
    try:
        return layout.pack(_DATA_CHANNEL_STATUS, STATUS_PARAMETER_SIZE, packets, seconds)
    except struct_error:
        raise _no_count(packets, seconds) from None


def _write_membership(parameter: Membership, profile: Profile) -> bytes:
    layout = _MEMBERSHIP_L16 if profile is _L16 else _MEMBERSHIP_L8
    try:
        return layout.pack(_MEMBERSHIP_TYPE, MEMBERSHIP_PARAMETER_SIZE, parameter.members)
    except struct_error:
        raise _no_count(parameter.members) from None


def _no_count(*counts: int) -> EncodeError:
    wrong = next((count for count in counts if not 0 <= count < COUNT_MODULUS), counts)
    return EncodeError(f"count {wrong} is not in 0 to {COUNT_MODULUS - 1}")


_Writer = tuple[int, _Write]
WRITERS: dict[type[Any], _Writer] = {
    UnknownParameter: (BITS[UnknownParameter], _write_unknown),
    MNIdentifier: (BITS[MNIdentifier], _identifier_writer(ParameterType.MN_IDENTIFIER)),
    PoAIdentifier: (BITS[PoAIdentifier], _identifier_writer(ParameterType.POA_IDENTIFIER)),
    MulticastAddress: (BITS[MulticastAddress], _write_multicast_address),
    LMCAddress: (BITS[LMCAddress], _write_lmc_address),
    DataChannelStatus: (BITS[DataChannelStatus], _write_status),
    Membership: (BITS[Membership], _write_membership),
}
