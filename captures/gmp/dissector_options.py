"""The options of GMP messages as scapy layers: TLVs [D G-8], the word of SAREQ, the words of UIRES [D G-7, G-22]."""

# ruff: noqa: RUF012  scapy's way of declaring a layer is a mutable class attribute

from __future__ import annotations

from typing import Any

from scapy.fields import (
    BitEnumField,
    BitField,
    ByteEnumField,
    ByteField,
    IntField,
    LongField,
    ShortField,
    StrLenField,
    XStrLenField,
)
from scapy.packet import Packet

from captures.dissectors.fields import utf8_problem
from captures.dissectors.message_layer import Undissected
from captures.dissectors.tlv import TLV, TLVListField, TLVTable, tlv_header, value_size

WORD_OCTETS = 4

NAME_AND_PURPOSE, CONTENT, OWNER, START_TIME, END_TIME, MEDIA, CORE_MEMBER, KEEP_ALIVE, INVITED_MEMBER = range(1, 10)
CLIENT_NAME, ACCESS_TOKEN, GROUP_KEY, KEY_GENERATION, REJECT_REASON = range(16, 21)
CLIENT_MM_PORT, START_CONDITION, ROLL_OVER_COUNTER = range(21, 24)
OPTIONS = {
    NAME_AND_PURPOSE: "name and purpose",
    CONTENT: "content",
    OWNER: "owner",
    START_TIME: "start time",
    END_TIME: "end time",
    MEDIA: "media",
    CORE_MEMBER: "core member name",
    KEEP_ALIVE: "keep-alive",
    INVITED_MEMBER: "invited member name",
    CLIENT_NAME: "client name",
    ACCESS_TOKEN: "access token",
    GROUP_KEY: "group key",
    KEY_GENERATION: "key generation",
    REJECT_REASON: "reject reason",
    CLIENT_MM_PORT: "client MM port",
    START_CONDITION: "start condition",
    ROLL_OVER_COUNTER: "roll-over counter",
}
"""Type of a TLV to its name [D G-8, G-15, G-25, G-29]."""

UTF8 = frozenset({NAME_AND_PURPOSE, CONTENT, OWNER})  # of the other names no encoding is said

REJECT_REASONS = {
    1: "resources",
    2: "not authorised",
    3: "secure mode unsupported",
    4: "unknown session",
    5: "bad token",
    6: "wrong state",
    7: "QoS management unsupported",
    8: "description malformed",
}
"""Reason of a refusal to its meaning [D G-8, G-16]."""

START_CONDITIONS = {0: "none", 1: "core members registered", 2: "core members enrolled"}
"""What must be so before the creator's SAREQ starts a session [D G-25]."""

MEMBER_TYPES = {0b100: "creator", 0b010: "core member", 0b001: "participant"}
"""Member type of a header and of an entry in UIRES [8.4, table 6]."""


class Text(TLV):
    """A name, a description, or the session's media as SDP (RFC 8866)."""

    name = "text"
    fields_desc = [*tlv_header(OPTIONS), StrLenField("text", b"", length_from=value_size)]

    def value_problem(self, offset: int) -> str | None:
        """Not UTF-8 where it has to be."""
        return utf8_problem(self.text, offset) if self.type in UTF8 else None


class Time(TLV):
    """Begin or end of the session in Unix seconds."""

    name = "time"
    value_octets = (8,)
    fields_desc = [*tlv_header(OPTIONS), LongField("seconds", 0)]


class KeepAlive(TLV):
    """Keep-alive period and timeout in 100 ms."""

    name = "keep-alive"
    value_octets = (4,)
    fields_desc = [*tlv_header(OPTIONS), ByteField("period", 0), ByteField("timeout", 0), ShortField("spare", 0)]


class Secret(TLV):
    """An access token, or a group key as it is wrapped [D G-12]."""

    name = "secret"
    fields_desc = [*tlv_header(OPTIONS), XStrLenField("octets", b"", length_from=value_size)]


class KeyGeneration(TLV):
    """Which of the session's keys it is."""

    name = "key generation"
    value_octets = (4,)
    fields_desc = [*tlv_header(OPTIONS), IntField("generation", 0)]


class RejectReason(TLV):
    """Why a request is refused, one of `REJECT_REASONS`."""

    name = "reject reason"
    value_octets = (2,)
    fields_desc = [*tlv_header(OPTIONS), ShortField("reason", 0)]


class ClientMMPort(TLV):
    """Where the client's MM module listens, told with SJREQ [D G-15]."""

    name = "client MM port"
    value_octets = (2,)
    fields_desc = [*tlv_header(OPTIONS), ShortField("mm_port", 0)]


class StartCondition(TLV):
    """What must be so before the session may start, one of `START_CONDITIONS`."""

    name = "start condition"
    value_octets = (1,)
    fields_desc = [*tlv_header(OPTIONS), ByteEnumField("condition", 1, START_CONDITIONS)]


class RollOverCounter(TLV):
    """SRTP's roll-over counter when the key beside it was sent [D G-29]."""

    name = "roll-over counter"
    value_octets = (4,)
    fields_desc = [*tlv_header(OPTIONS), IntField("counter", 0)]


TABLE = TLVTable(
    OPTIONS,
    {
        **dict.fromkeys((NAME_AND_PURPOSE, CONTENT, OWNER, MEDIA, CORE_MEMBER, INVITED_MEMBER, CLIENT_NAME), Text),
        **dict.fromkeys((START_TIME, END_TIME), Time),
        **dict.fromkeys((ACCESS_TOKEN, GROUP_KEY), Secret),
        KEEP_ALIVE: KeepAlive,
        KEY_GENERATION: KeyGeneration,
        REJECT_REASON: RejectReason,
        CLIENT_MM_PORT: ClientMMPort,
        START_CONDITION: StartCondition,
        ROLL_OVER_COUNTER: RollOverCounter,
    },
    alignment=WORD_OCTETS,
)


class ClientPort(Packet):
    """The option of SAREQ: the port on which the client's MM module listens."""

    name = "client's MM port"
    fields_desc = [ShortField("reserved", 0), ShortField("mm_port", 0)]


class ActiveMember(Packet):
    """One entry in UIRES; with User ID 0 `reserved` is how many others there are [D G-22]."""

    name = "active member"
    fields_desc = [
        ShortField("user_id", 0), BitEnumField("member_type", 0b001, 3, MEMBER_TYPES), BitField("reserved", 0, 13),
    ]  # fmt: skip

    def plain(self) -> list[int]:
        """User ID and member type, and where the User ID is 0 how many others there are."""
        return [self.user_id, self.member_type, *((self.reserved,) if self.user_id == 0 else ())]


class OptionListField(TLVListField):
    """The option of a message: words where the message's type says so, TLVs elsewhere."""

    __slots__ = ("words",)

    def __init__(self, name: str, words: dict[int, type[Packet]]) -> None:
        super().__init__(name, TABLE)
        self.words = words

    def getfield(self, pkt: Packet, s: bytes) -> tuple[bytes, list[Any]]:
        """Read words or TLVs to the end; what is no whole word becomes `Undissected`."""
        word = self.words.get(pkt.type)
        if word is None:
            return super().getfield(pkt, s)
        pieces = [s[at : at + WORD_OCTETS] for at in range(0, len(s), WORD_OCTETS)]
        return b"", [(word if len(piece) == WORD_OCTETS else Undissected)(piece, _parent=pkt) for piece in pieces]


def word_problems(options: list[Packet], offset: int) -> list[str]:
    """Everything wrong with the words of SAREQ or UIRES, the first of which stands at `offset`."""
    found = []
    for option in options:
        if isinstance(option, Undissected):
            found.append(f"octet {offset}: {len(option.original)} octets left, a word has {WORD_OCTETS}")
        elif isinstance(option, ActiveMember) and option.member_type not in MEMBER_TYPES:
            found.append(f"octet {offset + 2}: {member_type_problem(option.member_type)}")
        offset += WORD_OCTETS
    return found


def member_type_problem(member_type: int) -> str:
    """What to say of a member type that is not one of `MEMBER_TYPES`."""
    return f"member type {member_type:03b} is none of " + ", ".join(f"{code:03b}" for code in MEMBER_TYPES)
