"""The elements of ECTP control packets as scapy layers, and the chain in which each names the kind of the next [D E-6]."""

# ruff: noqa: RUF012  scapy's way of declaring a layer is a mutable class attribute

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from scapy.fields import (
    BitEnumField,
    BitField,
    ByteField,
    Field,
    IntField,
    LongField,
    PacketListField,
    ShortField,
    XStrLenField,
)
from scapy.packet import Packet

from captures.dissectors.fields import ADDRESS_OCTETS, AddressField
from captures.dissectors.message_layer import Undissected
from captures.dissectors.qos_target import DELAY, JITTER, LOSS, THROUGHPUT, direction_field, target_fields

NO_ELEMENT, CONNECTION, ACKNOWLEDGEMENT, MEMBERSHIP, TIMESTAMP, QOS, ADDRESS = range(7)
ELEMENTS = {
    CONNECTION: "connection",
    ACKNOWLEDGEMENT: "ack",
    MEMBERSHIP: "membership",
    TIMESTAMP: "timestamp",
    QOS: "qos",
    ADDRESS: "address",
}
"""Code in the Next element field to the name used in dissections [X.607.1 6.3, table 1]."""

FIXED_OCTETS = {CONNECTION: 4, MEMBERSHIP: 4, TIMESTAMP: 12, QOS: 28}
ACKNOWLEDGEMENT_MIN_OCTETS = 12  # without a bitmap
ADDRESS_HEADER_OCTETS = 4

RELIABILITY = {0b10: "reliable", 0b01: "semi-reliable", 0b00: "unreliable"}
STATUS = {0: "normal", 1: "reasonable", 2: "possibly abnormal", 3: "abnormal"}
PARAMETERS = ("throughput", "delay", "jitter", "loss")
"""What has a status and targets, in wire order."""


def _next_element() -> Field[Any, Any]:
    return BitEnumField("next_element", None, 4, {NO_ELEMENT: "none", **ELEMENTS})


class Connection(Packet):
    """Kind of the connection: reliability `ro`, acknowledgement number `agn`, segment size `mss`."""

    name = "connection"
    code = CONNECTION
    fields_desc = [
        _next_element(), BitField("tco", 0, 2), BitEnumField("ro", 0b10, 2, RELIABILITY), ByteField("agn", 0),
        ShortField("mss", 0),
    ]  # fmt: skip


class Acknowledgement(Packet):
    """What was received: `adn` packets acknowledged, `lsn` the lowest lost, then a bit for each from it on [D E-5]."""

    name = "acknowledgement"
    code = ACKNOWLEDGEMENT
    fields_desc = [
        _next_element(),
        BitField("reserved", 0, 4),
        *(BitEnumField(f"{parameter}_status", 0, 2, STATUS) for parameter in PARAMETERS),
        ShortField("bitmap_bits", 0),
        IntField("adn", 0),
        IntField("lsn", 0),
        XStrLenField("bitmap", b"", length_from=lambda ack: bitmap_octets(ack.bitmap_bits)),
    ]


class Membership(Packet):
    """Place on the control tree."""

    name = "membership"
    code = MEMBERSHIP
    fields_desc = [_next_element(), BitField("reserved", 0, 4), ByteField("level", 0), ShortField("child_id", 0)]


class Timestamp(Packet):
    """A time in ns, copied from HB to HBACK."""

    name = "timestamp"
    code = TIMESTAMP
    fields_desc = [_next_element(), BitField("reserved", 0, 28), LongField("timestamp", 0)]


class QoS(Packet):
    """Targets for one direction: throughput in bytes/s, delay and jitter in ms, loss in 0.01 %."""

    name = "QoS"
    code = QOS
    fields_desc = [
        _next_element(), direction_field(), ByteField("reserved", 0), *target_fields(),
    ]  # fmt: skip


class Address(Packet):
    """Where a parent on the control tree is."""

    name = "address"
    code = ADDRESS
    fields_desc = [
        _next_element(), BitField("reserved", 0, 12), ShortField("port", 0),
        AddressField("address", bytes(4), length_from=lambda element: len(element.original) - ADDRESS_HEADER_OCTETS),
    ]  # fmt: skip


LAYERS: dict[int, type[Packet]] = {
    CONNECTION: Connection,
    ACKNOWLEDGEMENT: Acknowledgement,
    MEMBERSHIP: Membership,
    TIMESTAMP: Timestamp,
    QOS: QoS,
    ADDRESS: Address,
}


def bitmap_octets(bits: int) -> int:
    """Octets of a bitmap, which is padded to words."""
    return (bits + 31) // 32 * 4


def element_octets(code: int, rest: bytes) -> int | None:
    """Size in octets of an element of a known kind that `rest` begins with, None where it ends too soon to tell.

    Only QoS elements may stand behind an Address, so that what is left tells the two sizes of Address apart.
    """
    if code == ACKNOWLEDGEMENT:
        bits = struct.unpack_from("!H", rest, 2)[0] if len(rest) >= 4 else None
        return None if bits is None else ACKNOWLEDGEMENT_MIN_OCTETS + bitmap_octets(bits)
    if code == ADDRESS:
        short, long = (ADDRESS_HEADER_OCTETS + octets for octets in ADDRESS_OCTETS)
        return long if (len(rest) - long) % FIXED_OCTETS[QOS] == 0 and len(rest) >= long else short
    return FIXED_OCTETS[code]


class ElementListField(PacketListField):
    """The chain of elements, which begins with the kind that the base header names and ends where one names none."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        super().__init__(name, [], Packet)

    def getfield(self, pkt: Packet, s: bytes) -> tuple[bytes, list[Any]]:
        """Follow the chain; what cannot be followed becomes `Undissected`, what is behind its end stays."""
        elements: list[Any] = []
        code = pkt.next_element
        offset = 0
        while code != NO_ELEMENT and offset < len(s):
            size = element_octets(code, s[offset:]) if code in LAYERS else None
            if size is None or offset + size > len(s):
                elements.append(Undissected(s[offset:], _parent=pkt))
                return b"", elements
            elements.append(LAYERS[code](s[offset : offset + size], _parent=pkt))
            offset += size
            code = elements[-1].next_element
        return s[offset:], elements

    def addfield(self, pkt: Packet, s: bytes, val: list[Any] | None) -> bytes:
        """Write the elements; each names the next one, unless it says something else by itself."""
        elements = val or []
        for number, element in enumerate(elements, 1):
            octets = bytes(element)
            if getattr(element, "next_element", NO_ELEMENT) is None:
                octets = bytes([first_code(elements[number:]) << 4 | octets[0] & 0x0F]) + octets[1:]
            s += octets
        return s


def code_of_element(element: Packet) -> int:
    """What the Next element field in front of an element holds."""
    return int(getattr(element, "code", NO_ELEMENT))


def first_code(elements: Sequence[Packet]) -> int:
    """What the Next element field in front of some elements, or of none, holds."""
    return code_of_element(elements[0]) if elements else NO_ELEMENT


def chain_problems(first: int, elements: list[Packet], offset: int) -> list[str]:
    """What keeps the chain that begins with kind `first` at `offset` from being followed; empty if nothing does."""
    code, named_at = first, 0
    for element in elements:
        octets = len(element.original)
        if isinstance(element, Undissected):
            if code not in LAYERS:
                return [f"octet {named_at}: element {code} is not one of 1 to {max(LAYERS)}"]
            size = element_octets(code, element.load)
            wanted = f"has {size}" if size else f"has at least {ACKNOWLEDGEMENT_MIN_OCTETS}"
            return [f"octet {offset}: {octets} octets left, {ELEMENTS[code]} {wanted}"]
        code, named_at = element.next_element, offset
        offset += octets
    if code != NO_ELEMENT:
        return [f"octet {named_at}: names {ELEMENTS.get(code, f'element {code}')} as next, where the packet ends"]
    return []


def plain(element: Packet) -> list[Any]:
    """An element as ``[name, values]``."""
    name = ELEMENTS[code_of_element(element)]
    if isinstance(element, Acknowledgement):
        status = [getattr(element, f"{parameter}_status") for parameter in PARAMETERS]
        bits = "".join(f"{octet:08b}" for octet in element.bitmap)[: element.bitmap_bits]
        return [name, {"status": status, "bitmap": bits, "adn": element.adn, "lsn": element.lsn}]
    if isinstance(element, QoS):
        targets = {
            parameter: [getattr(element, target) for target in names]
            for parameter, names in zip(PARAMETERS, (THROUGHPUT, DELAY, JITTER, LOSS), strict=True)
        }
        return [name, {"direction": element.channel_direction, "mss": element.mss, **targets}]
    shown = [field.name for field in element.fields_desc if field.name not in {"next_element", "reserved"}]
    return [name, {field: getattr(element, field) for field in shown}]


def layer_of(name: str, values: dict[str, Any]) -> Packet:
    """The reverse of `plain`; KeyError for a name that no element has."""
    layer = LAYERS[{name: code for code, name in ELEMENTS.items()}[name]]
    if layer is Acknowledgement:
        bits = values["bitmap"]
        bitmap = int(bits or "0", 2) << -len(bits) % 32
        status = {f"{parameter}_status": number for parameter, number in zip(PARAMETERS, values["status"], strict=True)}
        return Acknowledgement(
            **status, bitmap_bits=len(bits), adn=values["adn"], lsn=values["lsn"],
            bitmap=bitmap.to_bytes(bitmap_octets(len(bits))),
        )  # fmt: skip
    if layer is QoS:
        names = (*THROUGHPUT, *DELAY, *JITTER, *LOSS)
        targets = dict(zip(names, [target for parameter in PARAMETERS for target in values[parameter]], strict=True))
        return QoS(channel_direction=values["direction"], mss=values["mss"], **targets)
    return layer(**values)
