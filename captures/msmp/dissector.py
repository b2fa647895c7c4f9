"""Scapy layers of MSMP, the Multicast Session Management Protocol (ISO/IEC 24792; the wire format is ours [D S-1]).

``MSMP(data)`` dissects as far as the octets go and never raises; ``problems(layer)`` says what is wrong with it.
``dissect(data)`` is the strict reading, a plain ``dict`` or `MalformedMessageError`; ``build(fields)`` is its reverse.
Importing this module binds nothing: inside ``with bound_to_udp():`` scapy finds MSMP between members and server, inside
``with bound_to_tcp():`` between an MSMP server and a GMP server.
"""

# ruff: noqa: RUF012  scapy's way of declaring a layer is a mutable class attribute

from __future__ import annotations

import struct
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from scapy.fields import BitField, ByteEnumField, IntField, ShortField

from captures.dissectors import message_layer, stream, tlv
from captures.dissectors.message_layer import JudgedLayer, bound, code_of, name_of, strict, whole_header_or
from captures.msmp.constants import FRAMING, MSMP_PORT
from captures.msmp.dissector_tlvs import TABLE

VERSION = 1
HEADER_OCTETS = 12

PACKETS = {
    1: "QRREQ", 2: "QRRES", 3: "QSREQ", 4: "QSRES", 5: "QUREQ", 6: "QURES", 7: "QVREQ", 8: "QVRES", 9: "QTREQ", 10: "QTIND",
    32: "SNREQ", 33: "SNRES", 34: "MNREQ", 35: "MNRES", 36: "SLREQ", 37: "SLRES",
}  # fmt: skip
"""Type to name; those from 32 on pass between servers."""

problems = message_layer.problems


class CutShort(message_layer.CutShort):
    """Fewer octets than the header has."""

    name = "MSMP (cut short)"
    protocol = "MSMP"
    header_octets = HEADER_OCTETS


class MSMP(JudgedLayer):
    """The header and its TLVs."""

    name = "MSMP"
    fields_desc = [
        BitField("version", VERSION, 4),
        BitField("reserved", 0, 4),
        ByteEnumField("type", 1, PACKETS),
        ShortField("length", None),
        ShortField("session_id", 0),
        ShortField("user_id", 0),
        IntField("transaction_id", 0),
        tlv.TLVListField("tlvs", TABLE),
    ]

    dispatch_hook = whole_header_or(CutShort)

    def post_build(self, pkt: bytes, pay: bytes) -> bytes:
        """Fill in Length, which counts the whole message."""
        if self.length is None:
            pkt = pkt[:2] + struct.pack("!H", len(pkt)) + pkt[4:]
        return pkt + pay

    def title(self) -> str:
        """What it is, for summaries."""
        return f"MSMP {PACKETS.get(self.type, self.type)} session {self.session_id}"

    def own_problems(self) -> list[str]:
        """What is wrong with the header, then with the TLVs."""
        octets = len(self.original)
        found = []
        if self.version != VERSION:
            found.append(f"octet 0: version {self.version} is not {VERSION}")
        if self.type not in PACKETS:
            found.append(f"octet 1: type {self.type} is not one of 1 to 10 and 32 to 37")
        if self.length != octets:
            found.append(f"octet 2: Length is {self.length}, the message has {octets} octets")
        return found + TABLE.problems(self.tlvs, HEADER_OCTETS, octets)


class MSMPStream(stream.Stream):
    """Messages on the connection between two servers."""

    name = "MSMP over TCP"
    framing = FRAMING
    message = MSMP


def dissect(data: bytes) -> dict[str, Any]:
    """Read one message strictly.

    Returns ``{"packet", "session_id", "user_id", "transaction_id", "tlvs"}``: `packet` is the name of the type, `tlvs` are
    all in wire order as ``[type, value in hex]``.

    Raises `MalformedMessageError` with every reason found and all that could be read.
    """
    layer = MSMP(data)
    return strict(layer, problems(layer), _fields)


def _fields(layer: MSMP) -> dict[str, Any]:
    return {
        "packet": name_of(PACKETS, layer.type),
        "session_id": layer.session_id,
        "user_id": layer.user_id,
        "transaction_id": layer.transaction_id,
        "tlvs": tlv.plain(layer.tlvs),
    }


def dissect_stream(data: bytes) -> tuple[list[dict[str, Any]], bytes]:
    """Read a TCP stream strictly: every whole message as `dissect` does, and the octets of one that has only begun."""
    return FRAMING.read(data, dissect)


def build(fields: Mapping[str, Any]) -> bytes:
    """Octets of a message given as `dissect` returns it; `user_id` and `transaction_id` default to 0, `tlvs` to none.

    Nothing is checked beyond what the layers can hold, so that wrong messages can be made too. Raises KeyError for an
    unknown packet name.
    """
    message = MSMP(
        type=code_of(PACKETS, fields["packet"]),
        session_id=fields["session_id"],
        user_id=fields.get("user_id", 0),
        transaction_id=fields.get("transaction_id", 0),
        tlvs=tlv.layers_of(fields.get("tlvs", ())),
    )
    return bytes(message)


def bound_to_udp(port: int = MSMP_PORT) -> AbstractContextManager[None]:
    """Let scapy dissect UDP to or from `port` as MSMP inside the ``with`` block, and only there."""
    return bound(MSMP, "udp", port)


def bound_to_tcp(port: int = MSMP_PORT) -> AbstractContextManager[None]:
    """Let scapy dissect TCP to or from `port` as messages between servers inside the ``with`` block, and only there."""
    return bound(MSMPStream, "tcp", port)
