"""GMP's messages: records to bytes and back (X.602 clause 8).

All integers are big-endian. Layouts::

    SM      version 4 = 1 | Q 1 S 1 M 1 I 1 | type 8 | checksum 16 | session id 16 | user id 16
            key length 8 | reserved 8 | group's port 16 | group's IPv4 address 32 | option
    MM      version 4 = 1 | type 4 | mode 2 | member type 3 | R 1 SS 1 UI 1 | group's port 16 | session id 16 | user id 16
            group's IPv4 address 32 | period 8 | timeout 8 | key length 8 | reserved 8 | option

The option is TLVs (``options``) but in SAREQ, where it is one word, and in UIRES, where it is a word for each member. The two
modules' messages cannot be told apart by content: the port says which they are [G-3]. I in SCINF and UI in UIRES say no more than
what follows, so they are checked and written and have no field. Where the fields stand is G-4's.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address
from struct import Struct
from struct import error as struct_error

from agents.core.errors import DecodeError, EncodeError
from agents.core.record import record
from agents.gmp.constants import (
    HEADER_SIZE,
    ID_MAXIMUM,
    MAXIMUM_MESSAGE_SIZE,
    NO_GROUP,
    OTHERS_MAXIMUM,
    SAREQ,
    SCINF,
    UIRES,
    VERSION,
    MembershipPacket,
    MemberType,
    SessionPacket,
)
from agents.gmp.options import NO_OPTIONS, Options, read_options, write_options

_SM = Struct("!BBHHHBxH4s")
_MM = Struct("!BBHHH4sBBBB")
_CHECKSUM = Struct("!H")
_CHECKSUM_AT = 2
_WORD = Struct("!HH")
_QOS, _SECURE, _CLOSED, _HAS_OPTION = 8, 4, 2, 1
_MORE, _ENDING, _USER_INFORMATION = 4, 2, 1
_OPEN_MODE, _CLOSED_MODE = 0b01, 0b10
_MODES = {_OPEN_MODE: False, _CLOSED_MODE: True}
_OTHERS_BITS = 13
_SM_PACKETS = {packet.value: packet for packet in SessionPacket}
_MM_PACKETS = {packet.value: packet for packet in MembershipPacket}
# An Enum member's value is a Python function in 3.11.
_SM_CODES = {packet: packet.value for packet in SessionPacket}
_MM_FIRST_OCTETS = {packet: VERSION << 4 | packet.value for packet in MembershipPacket}
_MEMBER_TYPES = {int(kind): kind for kind in MemberType}
_GROUPS_REMEMBERED = 4096
_PORTS_REMEMBERED = 256


@record
class SessionMessage:
    """A message of module SM. ``key_length`` is in bytes; SAREQ's word is ``options.client_mm_port``."""

    packet: SessionPacket
    session_id: int = 0
    user_id: int = 0
    secure: bool = False
    closed: bool = False
    qos: bool = False
    key_length: int = 0
    group: str = NO_GROUP
    port: int = 0
    options: Options = NO_OPTIONS


@record
class ActiveMember:
    """One word of UIRES [G-7]. User ID 0 stands for ``others``, who are not named [G-22]."""

    user_id: int
    member_type: MemberType
    others: int = 0


@record
class MembershipMessage:
    """A message of module MM. ``period`` and ``timeout`` are in 100 ms, ``key_length`` in bytes.

    ``more``, R: another UIRES follows. ``ending``, SS: the session is ending. ``reserved``: in KAREQ the low octet of the
    key generation, 0 for none [G-15]; in LVREQ the level that is left [G-14].
    """

    packet: MembershipPacket
    session_id: int = 0
    user_id: int = 0
    closed: bool = False
    member_type: MemberType = MemberType.PARTICIPANT
    more: bool = False
    ending: bool = False
    group: str = NO_GROUP
    port: int = 0
    period: int = 0
    timeout: int = 0
    key_length: int = 0
    reserved: int = 0
    options: Options = NO_OPTIONS
    members: tuple[ActiveMember, ...] = ()


Message = SessionMessage | MembershipMessage


@lru_cache(_GROUPS_REMEMBERED)
def _group_text(packed: bytes) -> str:
    return str(IPv4Address(packed))


@lru_cache(_PORTS_REMEMBERED)
def _port_options(port: int) -> Options:
    """Clients on hosts of their own have the same port."""
    return Options(client_mm_port=port)


@lru_cache(_GROUPS_REMEMBERED)
def _group_octets(text: str) -> bytes:
    try:
        return IPv4Address(text).packed
    except ValueError:
        raise EncodeError(f"group {text}: GMP's messages have room for an IPv4 address alone") from None


# --- bytes to message ---------------------------------------------------------------------------------------------


def decode_session(data: bytes) -> SessionMessage:
    """Read one message of module SM.

    Raises DecodeError: too-short, wrong-version, unknown-type, wrong-checksum, option-mismatch (I in SCINF, the word of
    SAREQ), and those of `read_options`.
    """
    try:
        first, code, _, session_id, user_id, key_length, port, group = _SM.unpack_from(data)
    except struct_error:
        raise _too_short(data) from None
    if first >> 4 != VERSION:
        raise _wrong_version(first)
    try:
        packet = _SM_PACKETS[code]
    except KeyError:
        raise DecodeError("unknown-type", f"SM type {code}, known are 1 to {len(SessionPacket)}") from None
    if _sum(data):  # RFC 1071 over the whole message gives all ones [G-5]
        raise DecodeError("wrong-checksum", f"{packet.name} with checksum {data[2]:02x}{data[3]:02x}")
    if packet is SAREQ:
        if len(data) != HEADER_SIZE + _WORD.size:
            raise DecodeError(
                "option-mismatch", f"SAREQ with an option of {len(data) - HEADER_SIZE} bytes, not one word"
            )
        options = _port_options(_WORD.unpack_from(data, HEADER_SIZE)[1])
    else:
        options = read_options(data)
        if packet is SCINF and bool(first & _HAS_OPTION) is (len(data) == HEADER_SIZE):
            raise DecodeError("option-mismatch", f"SCINF of {len(data)} bytes with I={first & _HAS_OPTION}")
    return SessionMessage(
        packet,
        session_id,
        user_id,
        bool(first & _SECURE),
        bool(first & _CLOSED),
        bool(first & _QOS),
        key_length,
        _group_text(group),
        port,
        options,
    )


def decode_membership(data: bytes) -> MembershipMessage:
    """Read one message of module MM.

    Raises DecodeError: too-short, wrong-version, unknown-type, wrong-mode, wrong-member-type [G-26], option-mismatch (UI in
    UIRES, a word cut short), and those of `read_options`.
    """
    try:
        first, second, port, session_id, user_id, group, period, timeout, key_length, reserved = _MM.unpack_from(data)
    except struct_error:
        raise _too_short(data) from None
    if first >> 4 != VERSION:
        raise _wrong_version(first)
    try:
        packet = _MM_PACKETS[first & 0xF]
    except KeyError:
        raise DecodeError("unknown-type", f"MM type {first & 0xF}, known are 1 to {len(MembershipPacket)}") from None
    try:
        closed = _MODES[second >> 6]
    except KeyError:
        raise DecodeError("wrong-mode", f"{packet.name} of mode {second >> 6:02b}") from None
    member_type = _member_type(second >> 3 & 0b111)
    members: tuple[ActiveMember, ...] = ()
    options = NO_OPTIONS
    if packet is UIRES:
        if not second & _USER_INFORMATION:
            raise DecodeError("option-mismatch", "UIRES with UI=0")
        members = _read_members(data)
    else:
        options = read_options(data)
    return MembershipMessage(
        packet,
        session_id,
        user_id,
        closed,
        member_type,
        bool(second & _MORE),
        bool(second & _ENDING),
        _group_text(group),
        port,
        period,
        timeout,
        key_length,
        reserved,
        options,
        members,
    )


def _read_members(data: bytes) -> tuple[ActiveMember, ...]:
    if (len(data) - HEADER_SIZE) % _WORD.size:
        raise DecodeError("option-mismatch", f"UIRES with an option of {len(data) - HEADER_SIZE} bytes: no whole words")
    return tuple(
        ActiveMember(user_id, _member_type(rest >> _OTHERS_BITS), 0 if user_id else rest & OTHERS_MAXIMUM)
        for user_id, rest in _WORD.iter_unpack(data[HEADER_SIZE:])
    )


def _member_type(bits: int) -> MemberType:
    try:
        return _MEMBER_TYPES[bits]
    except KeyError:
        raise DecodeError("wrong-member-type", f"member type {bits:03b} has not exactly one bit") from None


def _too_short(data: bytes) -> DecodeError:
    return DecodeError("too-short", f"{len(data)} bytes, a header has {HEADER_SIZE}")


def _wrong_version(first: int) -> DecodeError:
    return DecodeError("wrong-version", f"version {first >> 4}, known is {VERSION}")


def _sum(data: bytes) -> int:
    """The sum of all 16-bit words modulo 0xffff, which ones' complement addition is; a last odd byte is a word's high one."""
    return int.from_bytes(data if len(data) % 2 == 0 else data + b"\0") % 0xFFFF


# --- message to bytes ---------------------------------------------------------------------------------------------


def encode(message: Message) -> bytes:
    """Write one message of either module; raises EncodeError for what cannot be written."""
    return encode_session(message) if isinstance(message, SessionMessage) else encode_membership(message)


def encode_session(message: SessionMessage) -> bytes:
    """Write one message of module SM, with its checksum; raises EncodeError for what cannot be written."""
    packet, options = message.packet, message.options
    option = _sareq_word(options) if packet is SAREQ else write_options(options)
    first = (
        VERSION << 4
        | (_QOS if message.qos else 0)
        | (_SECURE if message.secure else 0)
        | (_CLOSED if message.closed else 0)
        | (_HAS_OPTION if packet is SCINF and option else 0)
    )
    try:
        data = bytearray(
            _SM.pack(
                first,
                _SM_CODES[packet],
                0,
                message.session_id,
                message.user_id,
                message.key_length,
                message.port,
                _group_octets(message.group),
            )
        )
    except struct_error as error:
        raise EncodeError(f"{packet.name}: session {message.session_id}, user {message.user_id}: {error}") from None
    data += option
    _check_size(packet, data)
    _CHECKSUM.pack_into(data, _CHECKSUM_AT, 0xFFFF - (_sum(bytes(data)) or 0xFFFF))
    return bytes(data)


def _sareq_word(options: Options) -> bytes:
    if options.client_mm_port is None or options != Options(client_mm_port=options.client_mm_port):
        raise EncodeError("SAREQ's option is the client's MM port and nothing else")
    try:
        return _WORD.pack(0, options.client_mm_port)
    except struct_error:
        raise EncodeError(f"MM port {options.client_mm_port}: not in 0 to 65535") from None


def encode_membership(message: MembershipMessage) -> bytes:
    """Write one message of module MM; raises EncodeError for what cannot be written."""
    packet = message.packet
    second = (
        (_CLOSED_MODE if message.closed else _OPEN_MODE) << 6
        | message.member_type << 3
        | (_MORE if message.more else 0)
        | (_ENDING if message.ending else 0)
        | (_USER_INFORMATION if packet is UIRES else 0)
    )
    try:
        data = _MM.pack(
            _MM_FIRST_OCTETS[packet],
            second,
            message.port,
            message.session_id,
            message.user_id,
            _group_octets(message.group),
            message.period,
            message.timeout,
            message.key_length,
            message.reserved,
        )
    except struct_error as error:
        raise EncodeError(f"{packet.name}: session {message.session_id}, user {message.user_id}: {error}") from None
    if packet is UIRES:
        if message.options != NO_OPTIONS:
            raise EncodeError("UIRES has members and no options")
        data += b"".join(map(_write_member, message.members))
    else:
        if message.members:
            raise EncodeError(f"{packet.name} has no members")
        data += write_options(message.options)
    _check_size(packet, data)
    return data


def _write_member(member: ActiveMember) -> bytes:
    if not 0 <= member.user_id <= ID_MAXIMUM or not 0 <= member.others <= (0 if member.user_id else OTHERS_MAXIMUM):
        raise EncodeError(f"{member}: a word has User ID 0 to {ID_MAXIMUM}, and with 0 up to {OTHERS_MAXIMUM} others")
    return _WORD.pack(member.user_id, member.member_type << _OTHERS_BITS | member.others)


def _check_size(packet: SessionPacket | MembershipPacket, data: bytes | bytearray) -> None:
    if len(data) > MAXIMUM_MESSAGE_SIZE:
        raise EncodeError(f"{packet.name} of {len(data)} bytes: no UDP datagram holds more than {MAXIMUM_MESSAGE_SIZE}")
