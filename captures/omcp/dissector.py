"""Scapy layers of OMCP, the Overlay Multicast Control Protocol (draft-koh-omcp-00; the wire format is ours [D O-3]).

``OMCP(data)`` dissects one message as far as the octets go and never raises; ``problems(layer)`` says what is wrong with
it. ``dissect(data)`` is the strict reading, a plain ``dict`` or `MalformedMessageError`; ``build(fields)`` is its reverse.
Importing this module binds nothing: inside ``with bound_to_tcp():`` scapy finds `OMCPStream`, the messages of a
connection, inside TCP.
"""

# ruff: noqa: RUF012  scapy's way of declaring a layer is a mutable class attribute

from __future__ import annotations

import struct
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from scapy.fields import BitField, ByteEnumField, ByteField, FlagsField, IntField, LongField

from captures.dissectors import message_layer, stream, tlv
from captures.dissectors.message_layer import JudgedLayer, bound, code_of, name_of, strict, whole_header_or
from captures.omcp.constants import FRAMING, HEADER_OCTETS, MESSAGE_MAX_OCTETS, OMCP_PORT
from captures.omcp.dissector_tlvs import TABLE

VERSION = 1

PACKETS = {
    1: "Join Request", 2: "Join Confirm", 3: "Relay Request", 4: "Relay Confirm", 5: "Status Report", 6: "Status Confirm",
}  # fmt: skip
"""Type to name."""

FLAGS = {0x01: "LEAVE", 0x02: "RELAY", 0x04: "ACCEPT", 0x08: "REJOIN"}

problems = message_layer.problems


class CutShort(message_layer.CutShort):
    """Fewer octets than the header has."""

    name = "OMCP (cut short)"
    protocol = "OMCP"
    header_octets = HEADER_OCTETS


class OMCP(JudgedLayer):
    """The header and its TLVs."""

    name = "OMCP"
    fields_desc = [
        BitField("version", VERSION, 4),
        BitField("reserved", 0, 4),
        ByteEnumField("type", 1, PACKETS),
        FlagsField("flags", 0, 8, dict(FLAGS)),
        ByteField("reserved2", 0),
        IntField("length", None),
        LongField("session_id", 0),
        tlv.TLVListField("tlvs", TABLE),
    ]

    dispatch_hook = whole_header_or(CutShort)

    def post_build(self, pkt: bytes, pay: bytes) -> bytes:
        """Fill in Length, which counts the whole message."""
        if self.length is None:
            pkt = pkt[:4] + struct.pack("!I", len(pkt)) + pkt[8:]
        return pkt + pay

    def title(self) -> str:
        """What it is, for summaries."""
        return f"OMCP {PACKETS.get(self.type, self.type)} session {self.session_id}"

    def own_problems(self) -> list[str]:
        """What is wrong with the header, then with the TLVs."""
        octets = len(self.original)
        found = []
        if self.version != VERSION:
            found.append(f"octet 0: version {self.version} is not {VERSION}")
        if self.type not in PACKETS:
            found.append(f"octet 1: type {self.type} is not one of 1 to {max(PACKETS)}")
        if self.length > MESSAGE_MAX_OCTETS:
            found.append(f"octet 4: Length {self.length} exceeds {MESSAGE_MAX_OCTETS}")
        elif self.length != octets:
            found.append(f"octet 4: Length is {self.length}, the message has {octets} octets")
        return found + TABLE.problems(self.tlvs, HEADER_OCTETS, octets)


class OMCPStream(stream.Stream):
    """Messages on a TCP connection."""

    name = "OMCP over TCP"
    framing = FRAMING
    message = OMCP


def dissect(data: bytes) -> dict[str, Any]:
    """Read one message strictly.

    Returns ``{"packet", "session_id", "flags", "tlvs"}``: `packet` is the name of the type, `session_id` a decimal number as
    text (it has 64 bits), `flags` the octet as on the wire, `tlvs` are all in wire order as ``[type, value in hex]``.

    Raises `MalformedMessageError` with every reason found and all that could be read.
    """
    layer = OMCP(data)
    return strict(layer, problems(layer), _fields)


def _fields(layer: OMCP) -> dict[str, Any]:
    return {
        "packet": name_of(PACKETS, layer.type),
        "session_id": str(layer.session_id),
        "flags": int(layer.flags),
        "tlvs": tlv.plain(layer.tlvs),
    }


def dissect_stream(data: bytes) -> tuple[list[dict[str, Any]], bytes]:
    """Read a TCP stream strictly: every whole message as `dissect` does, and the octets of one that has only begun."""
    return FRAMING.read(data, dissect)


def build(fields: Mapping[str, Any]) -> bytes:
    """Octets of a message given as `dissect` returns it; `flags` default to 0, `tlvs` to none.

    Nothing is checked beyond what the layers can hold, so that wrong messages can be made too. Raises KeyError for an
    unknown packet name.
    """
    message = OMCP(
        type=code_of(PACKETS, fields["packet"]),
        flags=fields.get("flags", 0),
        session_id=int(fields["session_id"]),
        tlvs=tlv.layers_of(fields.get("tlvs", ())),
    )
    return bytes(message)


def bound_to_tcp(port: int = OMCP_PORT) -> AbstractContextManager[None]:
    """Let scapy dissect TCP to or from `port` as OMCP inside the ``with`` block, and only there."""
    return bound(OMCPStream, "tcp", port)
