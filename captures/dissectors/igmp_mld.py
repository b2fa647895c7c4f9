"""IGMP [RFC 1112, RFC 2236, RFC 3376] and MLD [RFC 2710, RFC 3810] messages, in full."""

from __future__ import annotations

import struct
from typing import NamedTuple

from captures.wire.internet import printed
from captures.wire.malformed import MalformedMessageError

_IGMP_QUERY, _IGMPV1_REPORT, _IGMPV2_REPORT, _IGMPV2_LEAVE, _IGMPV3_REPORT = 0x11, 0x12, 0x16, 0x17, 0x22
_MLD_QUERY, _MLDV1_REPORT, _MLDV1_DONE, _MLDV2_REPORT = 130, 131, 132, 143
MLD_TYPES = frozenset({_MLD_QUERY, _MLDV1_REPORT, _MLDV1_DONE, _MLDV2_REPORT})

# Group record types, the same in IGMPv3 and MLDv2 [RFC 3376 4.2.12, RFC 3810 5.2.12].
MODE_IS_INCLUDE, MODE_IS_EXCLUDE, TO_INCLUDE, TO_EXCLUDE, ALLOW, BLOCK = range(1, 7)
STATE_CHANGES = frozenset({TO_INCLUDE, TO_EXCLUDE, ALLOW, BLOCK})


class Record(NamedTuple):
    """One group record of a report; what v1 and v2 report counts as a change to EXCLUDE of nothing, a leave to INCLUDE."""

    kind: int
    group: str
    sources: tuple[str, ...]

    def joins(self) -> bool:
        """Whether something of the group is wanted from here on."""
        if self.kind in (MODE_IS_EXCLUDE, TO_EXCLUDE):
            return True
        return self.kind in (MODE_IS_INCLUDE, TO_INCLUDE, ALLOW) and bool(self.sources)

    def leaves(self) -> bool:
        """Whether something of the group is no longer wanted; blocked sources are no full leave of an any-source member."""
        return not self.joins() and self.kind in (TO_INCLUDE, BLOCK)


class Query(NamedTuple):
    """A query; `group` is empty in a general one, times are in seconds, v3 fields of older queries None."""

    version: int
    group: str
    sources: tuple[str, ...]
    max_response_s: float
    suppress: bool
    robustness: int | None
    interval_s: int | None


class Report(NamedTuple):
    """A report or leave of any version; `leave` is a message of its own in IGMPv2 and MLDv1 only."""

    version: int
    leave: bool
    records: tuple[Record, ...]


def igmp(body: bytes) -> Query | Report | None:
    """Read an IGMP message; None for types that are not membership. Raises `MalformedMessageError`."""
    try:
        return _igmp(body)
    except (struct.error, IndexError, ValueError) as error:
        raise MalformedMessageError(
            f"{len(body)} octets are too few for an IGMP message of type {body[:1].hex()}"
        ) from error


def mld(body: bytes) -> Query | Report | None:
    """Read an MLD message, ICMPv6 header included; None for other ICMPv6. Raises `MalformedMessageError`."""
    try:
        return _mld(body)
    except (struct.error, IndexError, ValueError) as error:
        raise MalformedMessageError(f"{len(body)} octets are too few for an MLD message of type {body[0]}") from error


def _igmp(body: bytes) -> Query | Report | None:
    kind = body[0]
    if kind == _IGMPV3_REPORT:
        return Report(3, leave=False, records=_records(body, 4))
    if kind == _IGMP_QUERY:
        return _igmp_query(body)
    group = printed(body[4:8])
    if kind in (_IGMPV1_REPORT, _IGMPV2_REPORT):
        version = 1 if kind == _IGMPV1_REPORT else 2
        return Report(version, leave=False, records=(Record(TO_EXCLUDE, group, ()),))
    return Report(2, leave=True, records=(Record(TO_INCLUDE, group, ()),)) if kind == _IGMPV2_LEAVE else None


def _igmp_query(body: bytes) -> Query:
    """Tell the versions apart by size and Max Resp Code [RFC 3376 7.1]."""
    code, group = body[1], body[4:8]
    name = printed(group) if any(group) else ""
    if len(body) >= 12:
        flags, interval, count = struct.unpack_from("!BBH", body, 8)
        sources = _addresses(body, 12, count, 4)
        return Query(3, name, sources, _code8(code) / 10, bool(flags & 8), flags & 7, _code8(interval))
    if len(body) != 8:
        raise ValueError("neither 8 nor at least 12 octets")
    if code == 0:
        return Query(1, "", (), 10.0, suppress=False, robustness=None, interval_s=None)
    return Query(2, name, (), code / 10, suppress=False, robustness=None, interval_s=None)


def _mld(body: bytes) -> Query | Report | None:
    kind = body[0]
    if kind == _MLDV2_REPORT:
        return Report(2, leave=False, records=_records(body, 16))
    if kind not in MLD_TYPES:
        return None
    group = printed(body[8:24])
    if kind == _MLD_QUERY:
        return _mld_query(body, "" if group == "::" else group)
    if kind == _MLDV1_REPORT:
        return Report(1, leave=False, records=(Record(TO_EXCLUDE, group, ()),))
    return Report(1, leave=True, records=(Record(TO_INCLUDE, group, ()),))


def _mld_query(body: bytes, group: str) -> Query:
    """Tell the versions apart by size [RFC 3810 8.1]."""
    code = struct.unpack_from("!H", body, 4)[0]
    if len(body) >= 28:
        flags, interval, count = struct.unpack_from("!BBH", body, 24)
        delay = code if code < 0x8000 else (code & 0xFFF | 0x1000) << ((code >> 12 & 7) + 3)
        sources = _addresses(body, 28, count, 16)
        return Query(2, group, sources, delay / 1000, bool(flags & 8), flags & 7, _code8(interval))
    if len(body) != 24:
        raise ValueError("neither 24 nor at least 28 octets")
    return Query(1, group, (), code / 1000, suppress=False, robustness=None, interval_s=None)


def _code8(code: int) -> int:
    """Max Resp Code and QQIC: exponential from 128 on [RFC 3376 4.1.1, 4.1.7]."""
    return code if code < 128 else (code & 15 | 16) << ((code >> 4 & 7) + 3)


def _addresses(body: bytes, offset: int, count: int, octets: int) -> tuple[str, ...]:
    if offset + count * octets > len(body):
        raise ValueError("sources overrun the message")
    return tuple(printed(body[at : at + octets]) for at in range(offset, offset + count * octets, octets))


def _records(body: bytes, octets: int) -> tuple[Record, ...]:
    found = []
    offset = 8
    for _ in range(struct.unpack_from("!H", body, 6)[0]):
        kind, auxiliary, sources = struct.unpack_from("!BBH", body, offset)
        group = printed(body[offset + 4 : offset + 4 + octets])
        found.append(Record(kind, group, _addresses(body, offset + 4 + octets, sources, octets)))
        offset += 4 + octets * (1 + sources) + auxiliary * 4
    if offset > len(body):
        raise ValueError("auxiliary data overruns the message")
    return tuple(found)
