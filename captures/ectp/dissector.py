"""Scapy layers of ECTP, the duplex multicast transport with QoS management (X.607, X.607.1).

``ECTP(data)`` dissects as far as the octets go and never raises; ``problems(layer)`` says what is wrong with it.
``dissect(data)`` is the strict reading, a plain ``dict`` or `MalformedMessageError`; ``build(fields)`` is its reverse.
Importing this module binds nothing: inside ``with bound_to_udp(port):`` scapy finds ECTP at that port. There is no
default one: group, port and the owner's address are announced beforehand.
"""

# ruff: noqa: RUF012  scapy's way of declaring a layer is a mutable class attribute

from __future__ import annotations

import struct
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from scapy.fields import BitEnumField, BitField, ByteEnumField, ByteField, IntField, ShortField, XShortField, XStrField

from captures.dissectors import message_layer
from captures.dissectors.fields import checksum_problem, with_checksum
from captures.dissectors.message_layer import JudgedLayer, Undissected, bound, code_of, name_of, strict, whole_header_or
from captures.ectp.dissector_elements import (
    ACKNOWLEDGEMENT,
    CONNECTION,
    ELEMENTS,
    MEMBERSHIP,
    NO_ELEMENT,
    TIMESTAMP,
    ElementListField,
    chain_problems,
    code_of_element,
    first_code,
    layer_of,
    plain,
)

VERSION = 0
DUPLEX = 0b10
HEADER_OCTETS = 16

PACKETS = {
    1: "CR", 2: "CC", 3: "TJ", 4: "TC", 5: "DT", 6: "ND", 7: "RD", 8: "ACK", 9: "HB", 10: "HBACK", 11: "JR", 12: "JC",
    13: "UL", 14: "CT", 15: "TGR", 16: "TGC", 17: "TRR", 18: "TRC",
}  # fmt: skip
"""Packet type to its name [D E-3]."""

WITH_DATA = frozenset({"DT", "RD"})

_MANDATORY: dict[str, tuple[int, ...]] = {
    "CR": (CONNECTION,),
    "ACK": (ACKNOWLEDGEMENT,),
    "HB": (MEMBERSHIP, TIMESTAMP),
    "HBACK": (MEMBERSHIP, TIMESTAMP),
    "TGR": (CONNECTION,),
}
_MANDATORY_WHEN_ACCEPTED: dict[str, tuple[int, ...]] = {"TC": (MEMBERSHIP,), "JC": (CONNECTION,)}

problems = message_layer.problems


class CutShort(message_layer.CutShort):
    """Fewer octets than the base header has."""

    name = "ECTP (cut short)"
    protocol = "ECTP"
    header_octets = HEADER_OCTETS


class ECTP(JudgedLayer):
    """The base header [X.607.1 6.1], then elements or data."""

    name = "ECTP"
    fields_desc = [
        BitEnumField("next_element", None, 4, {NO_ELEMENT: "none", **ELEMENTS}),
        BitField("version", VERSION, 2),
        BitField("ct", DUPLEX, 2),
        ByteEnumField("type", 1, PACKETS),
        XShortField("checksum", None),
        IntField("connection_id", 0),
        IntField("psn", 0),
        ShortField("length", None),
        BitField("f", 0, 1),
        BitField("reserved", 0, 5),
        BitField("n", 0, 1),
        BitField("qos", 0, 1),
        ByteField("token_id", 0),
        ElementListField("elements"),
        XStrField("data", b""),
    ]

    dispatch_hook = whole_header_or(CutShort)

    def post_build(self, pkt: bytes, pay: bytes) -> bytes:
        """Fill in the first Next element, Payload length and Checksum."""
        if self.next_element is None:
            pkt = bytes([first_code(self.elements) << 4 | pkt[0] & 0x0F]) + pkt[1:]
        if self.length is None:
            pkt = pkt[:12] + struct.pack("!H", len(pkt) - HEADER_OCTETS) + pkt[14:]
        return (with_checksum(pkt) if self.checksum is None else pkt) + pay

    def title(self) -> str:
        """What it is, for summaries."""
        return f"ECTP {PACKETS.get(self.type, self.type)} connection {self.connection_id} PSN {self.psn}"

    def own_problems(self) -> list[str]:
        """What is wrong with the base header, then with elements or data."""
        octets = bytes(self.original)
        following = len(octets) - HEADER_OCTETS
        packet = PACKETS.get(self.type)
        found = []
        if self.version != VERSION:
            found.append(f"octet 0: version {self.version} is not {VERSION}")
        if self.ct != DUPLEX:
            found.append(f"octet 0: connection type {self.ct:02b} is not duplex, {DUPLEX:02b}")
        if packet is None:
            found.append(f"octet 1: packet type {self.type} is not one of 1 to {max(PACKETS)}")
        if problem := checksum_problem(octets):
            found.append(problem)
        if self.length != following:
            found.append(f"octet 12: Payload length is {self.length}, {following} octets follow the header")
        return found + (self._data_problems(packet) if packet in WITH_DATA else self._chain_problems(packet))

    def _data_problems(self, packet: str) -> list[str]:
        if self.next_element == NO_ELEMENT:
            return []
        name = ELEMENTS.get(self.next_element, f"element {self.next_element}")
        return [f"octet 0: names {name} as next, where {packet} carries nothing but data"]

    def _chain_problems(self, packet: str | None) -> list[str]:
        found = chain_problems(self.next_element, self.elements, HEADER_OCTETS)
        if self.data:
            at = len(self.original) - len(self.data)
            found.append(f"octet {at}: {len(self.data)} octets behind the last element")
        if packet is not None and not found:
            present = {code_of_element(element) for element in self.elements}
            missing = [ELEMENTS[code] for code in _mandatory(packet, self.f) if code not in present]
            found += [f"{packet} lacks its mandatory {name}" for name in missing]
        return found


def _mandatory(packet: str, accepted: int) -> tuple[int, ...]:
    return _MANDATORY.get(packet, ()) + (_MANDATORY_WHEN_ACCEPTED.get(packet, ()) if accepted else ())


def dissect(data: bytes) -> dict[str, Any]:
    """Read one datagram strictly.

    Returns ``{"packet", "connection_id", "psn", "f", "n", "qos", "token_id", "elements", "data"}``: `packet` is the name of
    the type, `data` hex, all else numbers as on the wire; `elements` are in wire order as one of
    ``["connection", {"tco", "ro", "agn", "mss"}]``, ``["ack", {"status", "bitmap", "adn", "lsn"}]``,
    ``["membership", {"level", "child_id"}]``, ``["timestamp", {"timestamp"}]``,
    ``["qos", {"direction", "mss", "throughput", "delay", "jitter", "loss"}]``, ``["address", {"port", "address"}]``:
    `status` of throughput, delay, jitter and loss, `bitmap` of "0" and "1", `throughput` as [CHQ, OT, LQA] in bytes/s,
    `delay` and `jitter` in ms and `loss` in 0.01 % as [OT, LQA], `timestamp` in ns.

    Raises `MalformedMessageError` with every reason found and all that could be read.
    """
    layer = ECTP(data)
    return strict(layer, problems(layer), _fields)


def _fields(layer: ECTP) -> dict[str, Any]:
    shown = ("connection_id", "psn", "f", "n", "qos", "token_id")
    return {
        "packet": name_of(PACKETS, layer.type),
        **{name: getattr(layer, name) for name in shown},
        "elements": [plain(element) for element in layer.elements if not isinstance(element, Undissected)],
        "data": layer.data.hex(),
    }


def build(fields: Mapping[str, Any]) -> bytes:
    """Octets of a packet given as `dissect` returns it; what is left out is 0 or none.

    Nothing is checked beyond what the layers can hold, so that wrong packets can be made too. Raises KeyError for an
    unknown name of a packet or element, or a value that an element lacks.
    """
    header = {name: fields.get(name, 0) for name in ("connection_id", "psn", "f", "n", "qos", "token_id")}
    packet = ECTP(
        type=code_of(PACKETS, fields["packet"]),
        **header,
        elements=[layer_of(name, values) for name, values in fields.get("elements", ())],
        data=bytes.fromhex(fields.get("data", "")),
    )
    return bytes(packet)


def bound_to_udp(port: int) -> AbstractContextManager[None]:
    """Let scapy dissect UDP to or from `port` as ECTP inside the ``with`` block, and only there."""
    return bound(ECTP, "udp", port)
