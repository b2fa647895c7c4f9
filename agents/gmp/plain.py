"""GMP's messages as plain values, for ``python -m agents decode|encode gmp`` and for test vectors.

The form has ``module``, "SM" or "MM", ``packet``, and the header's fields as numbers. SM: ``q``, ``s``, ``m``, ``i``,
``session_id``, ``user_id``, ``key_length``, ``port``, ``group``; MM: ``mode``, ``member_type``, ``r``, ``ss``, ``ui``,
``session_id``, ``user_id``, ``port``, ``group``, ``period``, ``timeout``, ``key_length``, ``reserved``. Then ``mm_port`` for SAREQ,
``members`` for UIRES as [User ID, member type] or [0, member type, others], ``options`` for the rest as [type, value in hex]. What is left
out is 0, in MM an open session and a participant; I and UI, which follow from the rest, need not be given.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from agents.core.errors import DecodeError, EncodeError
from agents.gmp import messages
from agents.gmp.constants import (
    HEADER_SIZE,
    NO_GROUP,
    OPTION_HEADER_SIZE,
    SAREQ,
    SCINF,
    UIRES,
    MembershipPacket,
    MemberType,
    SessionPacket,
)
from agents.gmp.messages import (
    ActiveMember,
    MembershipMessage,
    Message,
    SessionMessage,
    decode_membership,
    decode_session,
)
from agents.gmp.options import NO_OPTIONS, Options, option_rows, read_options

Packet = TypeVar("Packet", bound=Enum)

_OPEN, _CLOSED = 0b01, 0b10
_SM_FIELDS = frozenset({"q", "s", "m", "i", "session_id", "user_id", "key_length", "port", "group"})
_MM_FIELDS = frozenset(
    {
        "mode",
        "member_type",
        "r",
        "ss",
        "ui",
        "session_id",
        "user_id",
        "port",
        "group",
        "period",
        "timeout",
        "key_length",
    }
    | {"reserved"}
)


def decode(data: bytes, module: str) -> dict[str, object]:
    """The message that bytes are, in ``module``; raises DecodeError."""
    return to_plain(decode_session(data) if module == "SM" else decode_membership(data))


def encode(plain: Mapping[str, object]) -> bytes:
    """The bytes of a message; raises EncodeError."""
    return messages.encode(from_plain(plain))


def to_plain(message: Message) -> dict[str, object]:
    """``message`` as plain values."""
    options = [[int(code), value.hex()] for code, value in option_rows(message.options)]
    if isinstance(message, SessionMessage):
        option: dict[str, object] = (
            {"mm_port": message.options.client_mm_port} if message.packet is SAREQ else {"options": options}
        )
        return {
            "module": "SM",
            "packet": message.packet.name,
            "q": int(message.qos),
            "s": int(message.secure),
            "m": int(message.closed),
            "i": int(message.packet is SCINF and bool(options)),
            "session_id": message.session_id,
            "user_id": message.user_id,
            "key_length": message.key_length,
            "port": message.port,
            "group": message.group,
            **option,
        }
    members = [
        [member.user_id, int(member.member_type), *([] if member.user_id else [member.others])]
        for member in message.members
    ]
    return {
        "module": "MM",
        "packet": message.packet.name,
        "mode": _CLOSED if message.closed else _OPEN,
        "member_type": int(message.member_type),
        "r": int(message.more),
        "ss": int(message.ending),
        "ui": int(message.packet is UIRES),
        "session_id": message.session_id,
        "user_id": message.user_id,
        "port": message.port,
        "group": message.group,
        "period": message.period,
        "timeout": message.timeout,
        "key_length": message.key_length,
        "reserved": message.reserved,
        **({"members": members} if message.packet is UIRES else {"options": options}),
    }


def from_plain(plain: Mapping[str, object]) -> Message:
    """The message that ``plain`` describes; raises EncodeError naming the key that is missing or wrong."""
    module = plain.get("module")
    if module == "SM":
        return _session_message(plain, _packet(plain, SessionPacket))
    if module == "MM":
        return _membership_message(plain, _packet(plain, MembershipPacket))
    raise EncodeError(f"module: {module!r} is not SM or MM")


def _session_message(plain: Mapping[str, object], packet: SessionPacket) -> SessionMessage:
    option = "mm_port" if packet is SAREQ else "options"
    _check_keys(plain, _SM_FIELDS | {option})
    return SessionMessage(
        packet,
        _integer(plain, "session_id"),
        _integer(plain, "user_id"),
        secure=_flag(plain, "s"),
        closed=_flag(plain, "m"),
        qos=_flag(plain, "q"),
        key_length=_integer(plain, "key_length"),
        group=_group(plain),
        port=_integer(plain, "port"),
        options=Options(client_mm_port=_integer(plain, "mm_port")) if packet is SAREQ else _options(plain),
    )


def _membership_message(plain: Mapping[str, object], packet: MembershipPacket) -> MembershipMessage:
    _check_keys(plain, _MM_FIELDS | {"members" if packet is UIRES else "options"})
    mode = plain.get("mode", _OPEN)
    if mode not in {_OPEN, _CLOSED}:
        raise EncodeError(f"mode: {mode!r} is not {_OPEN}, open, or {_CLOSED}, closed")
    return MembershipMessage(
        packet,
        _integer(plain, "session_id"),
        _integer(plain, "user_id"),
        closed=mode == _CLOSED,
        member_type=_member_type(plain.get("member_type", int(MemberType.PARTICIPANT))),
        more=_flag(plain, "r"),
        ending=_flag(plain, "ss"),
        group=_group(plain),
        port=_integer(plain, "port"),
        period=_integer(plain, "period"),
        timeout=_integer(plain, "timeout"),
        key_length=_integer(plain, "key_length"),
        reserved=_integer(plain, "reserved"),
        options=NO_OPTIONS if packet is UIRES else _options(plain),
        members=_members(plain) if packet is UIRES else (),
    )


def _packet(plain: Mapping[str, object], packets: type[Packet]) -> Packet:
    name = plain.get("packet")
    if not isinstance(name, str) or name not in packets.__members__:
        raise EncodeError(f"packet: {name!r} is not one of {', '.join(packets.__members__)}")
    return packets[name]


def _check_keys(plain: Mapping[str, object], known: frozenset[str]) -> None:
    unknown = set(plain) - known - {"module", "packet"}
    if unknown:
        raise EncodeError(f"unknown keys: {', '.join(sorted(unknown))}")


def _integer(plain: Mapping[str, object], key: str) -> int:
    return _number(key, plain.get(key, 0))


def _number(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise EncodeError(f"{key}: {value!r} is not an integer")
    return value


def _flag(plain: Mapping[str, object], key: str) -> bool:
    value = plain.get(key, 0)
    if value not in {0, 1}:
        raise EncodeError(f"{key}: {value!r} is not 0 or 1")
    return bool(value)


def _group(plain: Mapping[str, object]) -> str:
    value = plain.get("group", NO_GROUP)
    if not isinstance(value, str):
        raise EncodeError(f"group: {value!r} is no address")
    return value


def _member_type(value: object) -> MemberType:
    try:
        return MemberType(_number("member_type", value))
    except ValueError:
        raise EncodeError(f"member_type: {value!r} is not {', '.join(str(int(kind)) for kind in MemberType)}") from None


def _rows(plain: Mapping[str, object], key: str, form: str) -> list[list[object]]:
    rows = plain.get(key, [])
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise EncodeError(f"{key}: not a list of {form}")
    return rows


def _members(plain: Mapping[str, object]) -> tuple[ActiveMember, ...]:
    members = []
    for row in _rows(plain, "members", "[User ID, member type]"):
        if len(row) not in {2, 3}:
            raise EncodeError(f"members: {row!r} is not [User ID, member type] or [0, member type, others]")
        user_id, kind, *others = row
        members.append(
            ActiveMember(
                _number("members", user_id), _member_type(kind), _number("members", others[0]) if others else 0
            )
        )
    return tuple(members)


def _options(plain: Mapping[str, object]) -> Options:
    """Options are read from the bytes that their rows stand for: one way to understand them."""
    data = bytes(HEADER_SIZE)
    for row in _rows(plain, "options", "[type, value in hex]"):
        code, text = row if len(row) == 2 else (None, None)
        try:
            value = bytes.fromhex(text if isinstance(text, str) else "?")
            size = OPTION_HEADER_SIZE + len(value)
            data += bytes([_number("options", code), 0]) + size.to_bytes(2) + value + bytes(-size % 4)
        except (ValueError, OverflowError):
            raise EncodeError(f"options: {row!r} is not [type 0 to 255, value in hex]") from None
    try:
        options = read_options(data)
    except DecodeError as error:
        raise EncodeError(f"options: {error.detail}") from None
    if options.skipped or options.unreadable:
        raise EncodeError(
            "options: a type that is not known or stands twice, text that is not UTF-8, or a name that is too long"
        )
    return options
