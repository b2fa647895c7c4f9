"""PIM version 2 messages [RFC 7761 4.9] as far as the judge looks into them, over IPv4 and IPv6."""

from __future__ import annotations

import struct
from typing import Any

from captures.wire.internet import printed
from captures.wire.malformed import MalformedMessageError

TYPES = {
    0: "hello", 1: "register", 2: "register-stop", 3: "join-prune", 4: "bootstrap", 5: "assert", 6: "graft", 7: "graft-ack",
    8: "candidate-rp",
}  # fmt: skip
"""Message types [RFC 7761 4.9]."""

HEADER_OCTETS = 4
REGISTER_SUMMED_OCTETS = 8  # a Register's checksum leaves the packet inside it out [RFC 7761 4.9.3]

_OPTION_HOLDTIME, _OPTION_GENERATION, _OPTION_ADDRESSES = 1, 20, 24
_FAMILY_OCTETS = {1: 4, 2: 16}


def dissect(body: bytes) -> tuple[str, dict[str, Any]]:
    """Read a message: its kind and what it holds.

    Of a hello ``{"holdtime", "generation", "addresses"}``, each None or empty where the option is missing; of a join-prune
    ``{"upstream", "holdtime", "joins", "prunes"}``, the last two lists of ``(source, group)``, ``"*"`` for a join of all
    sources. Raises `MalformedMessageError`.
    """
    if len(body) < HEADER_OCTETS:
        raise MalformedMessageError(f"{len(body)} octets are shorter than the header of {HEADER_OCTETS}")
    version, kind = body[0] >> 4, TYPES.get(body[0] & 15)
    if version != 2:
        raise MalformedMessageError(f"version {version} is not 2")
    if kind is None:
        raise MalformedMessageError(f"type {body[0] & 15} is not known")
    try:
        if kind == "hello":
            return kind, _hello(body)
        return kind, _join_prune(body) if kind == "join-prune" else {}
    except (struct.error, IndexError, ValueError, KeyError) as error:
        raise MalformedMessageError(
            f"a {kind} of {len(body)} octets breaks off or has a wrong address family"
        ) from error


def _hello(body: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = {"holdtime": None, "generation": None, "addresses": ()}
    offset = HEADER_OCTETS
    while offset < len(body):
        code, size = struct.unpack_from("!HH", body, offset)
        value = body[offset + 4 : offset + 4 + size]
        if len(value) < size:
            raise ValueError("an option overruns the message")
        if code == _OPTION_HOLDTIME and size == 2:
            fields["holdtime"] = int.from_bytes(value)
        elif code == _OPTION_GENERATION and size == 4:
            fields["generation"] = int.from_bytes(value)
        elif code == _OPTION_ADDRESSES:
            fields["addresses"] = tuple(_secondary(value))
        offset += 4 + size
    return fields


def _secondary(value: bytes) -> list[str]:
    found, offset = [], 0
    while offset < len(value):
        address, offset = _unicast(value, offset)
        found.append(address)
    return found


def _unicast(body: bytes, offset: int) -> tuple[str, int]:
    """Encoded-Unicast address: family, encoding, address [RFC 7761 4.9.1]."""
    end = offset + 2 + _FAMILY_OCTETS[body[offset]]
    if end > len(body):
        raise ValueError("an address overruns the message")
    return printed(body[offset + 2 : end]), end


def _prefixed(body: bytes, offset: int) -> tuple[int, str, int]:
    """Encoded-Group or Encoded-Source address: family, encoding, flags, mask length, address."""
    end = offset + 4 + _FAMILY_OCTETS[body[offset]]
    if end > len(body):
        raise ValueError("an address overruns the message")
    return body[offset + 2], printed(body[offset + 4 : end]), end


_WILDCARD = 2  # flag W of an encoded source: all sources


def _join_prune(body: bytes) -> dict[str, Any]:
    upstream, offset = _unicast(body, HEADER_OCTETS)
    groups, holdtime = body[offset + 1], struct.unpack_from("!H", body, offset + 2)[0]
    offset += 4
    lists: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
    for _ in range(groups):
        _, group, offset = _prefixed(body, offset)
        counts = struct.unpack_from("!HH", body, offset)
        offset += 4
        for count, into in zip(counts, lists, strict=True):
            for _ in range(count):
                flags, source, offset = _prefixed(body, offset)
                into.append(("*" if flags & _WILDCARD else source, group))
    joins, prunes = lists
    return {"upstream": upstream, "holdtime": holdtime, "joins": joins, "prunes": prunes}
