"""Session descriptions in SDP (RFC 8866): what a player would not take is found before anybody is told of it.

A description goes from its creator to everybody, so it is checked once and where it comes in [7.1.1, G-26]; whoever wrote it is told the
line and the reason. Beyond the form, what a player needs must be there: media at groups with ports, and what their payload types are. A
key has no place in it, since everybody reads it [GI-41].
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from ipaddress import IPv4Address, ip_address

from agents.core.record import record

LINE_MAXIMUM = 1024  # bytes
MEDIA_MAXIMUM = 32  # streams in one description
FIRST_DYNAMIC_TYPE = 96  # payload types from here on say nothing by themselves [RFC 3551 3]
TYPE_MAXIMUM = 127
PORT_MAXIMUM = 0xFFFF
TTL_MAXIMUM = 0xFF

# What a payload type is by itself, of those that are in use [RFC 3551 6].
_STATIC = {"0": "PCMU", "3": "GSM", "8": "PCMA", "9": "G722", "10": "L16", "11": "L16", "14": "MPA", "26": "JPEG", "31": "H261", "32": "MPV",
           "33": "MP2T", "34": "H263"}  # fmt: skip

# The order of lines [RFC 8866 5]; those in front of the first m= are the session's.
_SESSION_ORDER, _MEDIA_ORDER = "vosiuepcbtrzka", "micbka"
_ONCE = frozenset("vosiuc")  # t=, r= and z= go together, several of each
_ONCE_OF_MEDIA = frozenset("i")
_TIMES = "trz"
_REQUIRED = "vost"

_LINE = re.compile(r"([a-z])=(\S.*)")
_TOKEN = re.compile(r"[!#-'*+\-.0-9A-Z^-~]+")
_NUMBER = re.compile(r"[0-9]{1,20}")
_RTPMAP = re.compile(r"([0-9]{1,3}) ([!#-'*+\-.0-9A-Z^-~]+)/([1-9][0-9]{0,9})(?:/([1-9][0-9]{0,2}))?")
_KEYED = ("crypto:", "key-mgmt:")  # attributes that carry keys [RFC 4568, RFC 4567]
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class MalformedSdpError(ValueError):
    """A description that no player would take: the number of the line, from 1 on, and the reason."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"SDP line {line}: {reason}")
        self.line = line
        self.reason = reason


@record
class Media:
    """One stream of a description. ``ttl`` is None for IPv6; ``encodings`` are those that its rtpmap attributes give."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    group: str
    ttl: int | None
    encodings: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        names = [self.encodings.get(each) or _STATIC.get(each, f"type {each}") for each in self.formats]
        return f"{self.kind} {', '.join(names)}"


def check(text: str, group: str = "", port: int = 0) -> None:
    """Raise MalformedSdpError for the first thing wrong; with ``group`` and ``port``, a stream must be there."""
    streams = media_of(text)
    if group and not any(each.group == group and each.port == port for each in streams):
        found = ", ".join(f"{each.group}:{each.port}" for each in streams)
        raise MalformedSdpError(
            _lines(text)[-1][0], f"no stream is at {group}:{port}, the session's group and port: {found}"
        )


@lru_cache(2048)
def media_of(text: str) -> tuple[Media, ...]:
    """The streams of a description; raises MalformedSdpError."""
    lines = _lines(text)
    starts = [at for at, (_, kind, _) in enumerate(lines) if kind == "m"]
    session = lines[: starts[0]] if starts else lines
    _check_session(session)
    if not starts:
        raise MalformedSdpError(lines[-1][0], "no m= line: there is nothing to play")
    if len(starts) > MEDIA_MAXIMUM:
        raise MalformedSdpError(lines[starts[MEDIA_MAXIMUM]][0], f"more than {MEDIA_MAXIMUM} streams")
    connection = next((_connection(number, value) for number, kind, value in session if kind == "c"), None)
    return tuple(
        _media(lines[start:end], connection) for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)
    )


Line = tuple[int, str, str]
"""Its number, its letter, its value."""


def _lines(text: str) -> list[Line]:
    if found := _CONTROL.search(text):
        at = text.count("\n", 0, found.start()) + 1
        raise MalformedSdpError(at, f"control character U+{ord(found[0]):04X}")
    lines: list[Line] = []
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        content = line.removesuffix("\r")
        match = _LINE.fullmatch(content)
        if match is None:
            raise MalformedSdpError(number, "a line is a lower-case letter, =, and a value without a space in front")
        if "\r" in content:
            raise MalformedSdpError(number, "a carriage return inside the line")
        if len(content.encode(errors="surrogatepass")) > LINE_MAXIMUM:
            raise MalformedSdpError(number, f"more than {LINE_MAXIMUM} bytes")
        lines.append((number, match[1], match[2]))
    return lines


def _check_order(lines: Sequence[Line], order: str, once: frozenset[str], where: str) -> None:
    """Lines stand in the order of their letters; those of times may take turns."""
    place, seen = 0, set[str]()
    for number, kind, _ in lines:
        found = order.find(kind)
        if found < 0:
            raise MalformedSdpError(number, f"{kind}= is no line of {where}")
        if kind in once and kind in seen:
            raise MalformedSdpError(number, f"a second {kind}=")
        if found < place and not (kind in _TIMES and order[place] in _TIMES):
            raise MalformedSdpError(number, f"{kind}= stands before {order[place]}= in SDP")
        seen.add(kind)
        place = max(place, found) if kind in _TIMES else found


def _check_session(lines: Sequence[Line]) -> None:
    _check_order(lines, _SESSION_ORDER, _ONCE, "a session")
    last = lines[-1][0] if lines else 1
    for wanted in _REQUIRED:
        if not any(kind == wanted for _, kind, _ in lines):
            raise MalformedSdpError(last, f"no {wanted}= line")
    for number, kind, value in lines:
        match kind:
            case "v" if value != "0":
                raise MalformedSdpError(number, "the version is not 0")
            case "o":
                _check_origin(number, value)
            case "t":
                _check_times(number, value)
            case "k" | "a":
                _check_keyless(number, kind, value)


def _check_origin(number: int, value: str) -> None:
    words = value.split(" ")
    if len(words) != 6 or not all(words):
        raise MalformedSdpError(number, "o= has six words: user, session, version, IN, IP4 or IP6, address")
    _, session, version, *network, _ = words
    if not _NUMBER.fullmatch(session) or not _NUMBER.fullmatch(version):
        raise MalformedSdpError(number, "session and version of o= are numbers")
    if network not in (["IN", "IP4"], ["IN", "IP6"]):
        raise MalformedSdpError(number, "the network of o= is IN IP4 or IN IP6")


def _check_times(number: int, value: str) -> None:
    words = value.split(" ")
    if len(words) != 2 or not all(map(_NUMBER.fullmatch, words)):
        raise MalformedSdpError(number, "t= has two numbers: start and stop")
    start, stop = map(int, words)
    if stop and stop < start:
        raise MalformedSdpError(number, "it stops before it starts")


def _check_keyless(number: int, kind: str, value: str) -> None:
    if kind == "k" or (kind == "a" and value.startswith(_KEYED)):
        raise MalformedSdpError(number, "a key, which everybody would read")


def _connection(number: int, value: str) -> tuple[str, int | None]:
    """The group and TTL of c=."""
    match value.split(" "):
        case ["IN", "IP4" | "IP6" as family, address]:
            pass
        case _:
            raise MalformedSdpError(number, "c= has three words: IN, IP4 or IP6, address")
    name, *rest = address.split("/")
    try:
        group = ip_address(name)
    except ValueError:
        raise MalformedSdpError(number, f"{name!r} is no IP address") from None
    if f"IP{group.version}" != family:
        raise MalformedSdpError(number, f"{name} is no {family} address")
    if not group.is_multicast:
        raise MalformedSdpError(number, f"{name} is no group")
    if not all(map(_NUMBER.fullmatch, rest)):
        raise MalformedSdpError(number, "what stands behind / are numbers")
    if not isinstance(group, IPv4Address):
        if rest:
            raise MalformedSdpError(number, "an IPv6 group has no TTL, and several groups are not supported")
        return str(group), None
    if len(rest) != 1 or int(rest[0]) > TTL_MAXIMUM:
        raise MalformedSdpError(number, f"an IPv4 group has a TTL of 0 to {TTL_MAXIMUM} behind /, and nothing else")
    return str(group), int(rest[0])


def _media(lines: Sequence[Line], connection: tuple[str, int | None] | None) -> Media:
    """A stream from its m= line on."""
    number, _, value = lines[0]
    match value.split(" "):
        case [kind, port, protocol, first, *others] if _TOKEN.fullmatch(kind):
            formats = (first, *others)
        case _:
            raise MalformedSdpError(number, "m= has four words or more: kind, port, protocol, formats")
    if not _NUMBER.fullmatch(port) or not 1 <= int(port) <= PORT_MAXIMUM:
        raise MalformedSdpError(number, f"port {port[:20]}: give 1 to {PORT_MAXIMUM}")
    if not all(map(_TOKEN.fullmatch, protocol.split("/"))) or not all(map(_TOKEN.fullmatch, formats)):
        raise MalformedSdpError(number, "protocol and formats are words")
    _check_order(lines, _MEDIA_ORDER, _ONCE_OF_MEDIA, "a stream")
    encodings: dict[str, str] = {}
    for at, letter, text in lines[1:]:
        _check_keyless(at, letter, text)
        if letter == "c":
            connection = _connection(at, text)
        if letter == "a" and text.startswith("rtpmap:"):
            encodings.update([_rtpmap(at, text.removeprefix("rtpmap:"))])
    if connection is None:
        raise MalformedSdpError(number, "no c= line says at which group this stream is")
    if protocol.startswith("RTP/"):
        for wrong in _unknown_types(formats, encodings):
            raise MalformedSdpError(number, wrong)
    return Media(kind, int(port), protocol, formats, *connection, encodings)


def _rtpmap(number: int, value: str) -> tuple[str, str]:
    match = _RTPMAP.fullmatch(value)
    if match is None or int(match[1]) > TYPE_MAXIMUM:
        raise MalformedSdpError(number, f"rtpmap is a payload type of 0 to {TYPE_MAXIMUM}, a name, / and a clock rate")
    return match[1], match[2]


def _unknown_types(formats: Sequence[str], encodings: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the payload types of a stream over RTP."""
    for each in formats:
        if not _NUMBER.fullmatch(each) or int(each) > TYPE_MAXIMUM:
            yield f"payload type {each[:20]}: give 0 to {TYPE_MAXIMUM}"
        elif int(each) >= FIRST_DYNAMIC_TYPE and each not in encodings:
            yield f"payload type {each} says nothing by itself, and no a=rtpmap:{each} does"
