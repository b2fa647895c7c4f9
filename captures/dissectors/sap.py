"""Session announcements (SAP) [RFC 2974] as far as the judge looks into them, with the session description (SDP) in them."""

from __future__ import annotations

import ipaddress
import zlib
from typing import Any

from captures.wire.internet import printed
from captures.wire.malformed import MalformedMessageError

PORT = 9875  # of SAP, over UDP [RFC 2974 3]
VERSION = 1
SDP_TYPE = "application/sdp"

_HEADER_OCTETS = 4
_IPV6, _DELETION, _ENCRYPTED, _COMPRESSED = 0x10, 0x04, 0x02, 0x01
_PAYLOAD_MAX = 1 << 16
_V0 = b"v=0"  # of a description that no payload type stands before [RFC 2974 6]


def dissect(body: bytes) -> tuple[str, dict[str, Any]]:
    """Read a packet: "announcement" or "deletion", and what it holds.

    ``hash``, ``origin`` (the originating source's address), ``payload_type``, ``payload`` (hex), and of a description that can
    be read ``session`` (user name, ID and address of its ``o=`` line), ``title``, ``group`` and ``port`` (of its first medium).
    Raises `MalformedMessageError`.
    """
    if len(body) < _HEADER_OCTETS:
        raise MalformedMessageError(f"{len(body)} octets are shorter than the header of {_HEADER_OCTETS}")
    flags = body[0]
    if flags >> 5 != VERSION:
        raise MalformedMessageError(f"octet 0: version {flags >> 5} is not {VERSION}")
    address_octets = 16 if flags & _IPV6 else 4
    begin = _HEADER_OCTETS + address_octets + 4 * body[1]
    if len(body) < begin:
        raise MalformedMessageError(f"{len(body)} octets end inside a header of {begin}")
    fields: dict[str, Any] = {
        "hash": int.from_bytes(body[2:4]),
        "origin": printed(body[_HEADER_OCTETS : _HEADER_OCTETS + address_octets]),
        "payload_type": SDP_TYPE,
    }
    payload = body[begin:]
    if not flags & _ENCRYPTED:
        if flags & _COMPRESSED:
            payload = _inflated(payload)
        if not payload.startswith((_V0, b"o=")):
            text, zero, rest = payload.partition(b"\0")
            if not zero and payload:
                raise MalformedMessageError(f"octet {begin}: neither a description nor a payload type that ends")
            fields["payload_type"], payload = text.decode("ascii", errors="replace") or SDP_TYPE, rest
        if fields["payload_type"] == SDP_TYPE:
            fields |= description(payload.decode("utf-8", errors="replace"))
    fields["payload"] = payload.hex()
    return "deletion" if flags & _DELETION else "announcement", fields


def _inflated(payload: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(payload, _PAYLOAD_MAX)
    except zlib.error as error:
        raise MalformedMessageError(f"a payload that is not compressed as it says: {error}") from error


def description(text: str) -> dict[str, Any]:
    """What a session description tells of itself [RFC 8866 5]: ``session``, ``title``, ``group``, ``port``, as far as it does."""
    found: dict[str, Any] = {}
    for line in text.splitlines():
        key, _, value = line.partition("=")
        words = value.split()
        if key == "o" and len(words) == 6:
            found.setdefault("session", (words[0], words[1], words[5]))
        elif key == "s":
            found.setdefault("title", value)
        elif key == "c" and len(words) == 3:
            address = words[2].partition("/")[0]
            try:
                found.setdefault("group", str(ipaddress.ip_address(address)))
            except ValueError:
                continue
        elif key == "m" and len(words) >= 4 and words[1].partition("/")[0].isdecimal():
            found.setdefault("port", int(words[1].partition("/")[0]))
    return found
