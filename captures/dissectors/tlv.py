"""The parameters that several protocols have alike: Type 8, Reserved 8, Length 16 of header and value, value.

Which types there are, and whether each is padded to words, is the protocol's: its `TLVTable` says so.
"""

# ruff: noqa: RUF012  scapy's way of declaring a layer is a mutable class attribute

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scapy.fields import ByteEnumField, ByteField, Field, PacketListField, ShortField, XStrLenField
from scapy.packet import Packet

from captures.dissectors.message_layer import Undissected

HEADER_OCTETS = 4
VALUE_MAX_OCTETS = 0xFFFF - HEADER_OCTETS

Sizes = range | tuple[int, ...]


class TLV(Packet):
    """What all TLVs share: Length is filled in when it was left out."""

    value_octets: Sizes = range(VALUE_MAX_OCTETS + 1)
    """Sizes that the value may have; with another one a TLV is shown as `OtherTLV`."""

    def post_build(self, pkt: bytes, pay: bytes) -> bytes:
        """Fill in Length, which counts the header too, but no padding."""
        if self.length is None:
            pkt = pkt[:2] + struct.pack("!H", len(pkt)) + pkt[4:]
        return pkt + pay

    def value_problem(self, _offset: int) -> str | None:
        """Say what is wrong with a value of the right size that stands at `_offset`, None if nothing is."""
        return None


def tlv_header(names: Mapping[int, str]) -> list[Field[Any, Any]]:
    """Type, Reserved and Length, the first fields of every TLV."""
    return [ByteEnumField("type", 0, dict(names)), ByteField("reserved", 0), ShortField("length", None)]


def value_size(tlv: Packet) -> int:
    """Size of a dissected TLV's value in octets, for a field that takes all of it."""
    return int(tlv.length) - HEADER_OCTETS


class OtherTLV(TLV):
    """An unknown TLV, skipped by its Length; also a known one whose size is not its own."""

    name = "TLV not known"
    fields_desc = [*tlv_header({}), XStrLenField("value", b"", length_from=value_size)]


@dataclass(frozen=True, slots=True)
class TLVTable:
    """The TLVs of a protocol: names and layers by type, and the size in octets that each is padded to a multiple of."""

    names: Mapping[int, str]
    layers: Mapping[int, type[TLV]]
    alignment: int = 1

    def padding(self, size: int) -> int:
        """Octets of padding behind a TLV of `size` octets."""
        return -size % self.alignment

    def walk(self, octets: bytes, parent: Packet | None = None) -> list[Packet]:
        """Read TLVs to the end; what cannot be walked by its Length becomes `Undissected`."""
        found: list[Packet] = []
        offset = 0
        while offset < len(octets):
            left = len(octets) - offset
            size = struct.unpack_from("!H", octets, offset + 2)[0] if left >= HEADER_OCTETS else 0
            if not HEADER_OCTETS <= size <= left:
                found.append(Undissected(octets[offset:], _parent=parent))
                break
            chunk = octets[offset : offset + size]
            layer = OtherTLV if self.size_problem(chunk) else self.layers.get(chunk[0], OtherTLV)
            found.append(layer(chunk, _parent=parent))
            offset += size + self.padding(size)
        return found

    def size_problem(self, chunk: bytes) -> str | None:
        """Say what is wrong with the size of a whole TLV, None if nothing is."""
        layer = self.layers.get(chunk[0])
        size = len(chunk) - HEADER_OCTETS
        if layer is None or size in layer.value_octets:
            return None
        return f"{self.names[chunk[0]]} has a value of {size} octets, not {_in_words(layer.value_octets)}"

    def problems(self, tlvs: Iterable[Packet], offset: int, end: int) -> list[str]:
        """Everything wrong with dissected TLVs, the first of which stands at `offset` of a message of `end` octets."""
        found = []
        for tlv in tlvs:
            octets = bytes(tlv.original)
            problem: str | None
            if isinstance(tlv, Undissected):
                problem = f"octet {offset}: {_stop_reason(octets)}"
            elif problem := self.size_problem(octets):
                problem = f"octet {offset}: {problem}"
            elif isinstance(tlv, TLV):
                problem = tlv.value_problem(offset + HEADER_OCTETS)
            if problem:
                found.append(problem)
            offset += len(octets) + self.padding(len(octets))
            if offset > end and not isinstance(tlv, Undissected):
                found.append(f"octet {end}: {offset - end} octets of padding are missing")
        return found


class TLVListField(PacketListField):
    """The TLVs that fill a message to its end."""

    __slots__ = ("table",)

    def __init__(self, name: str, table: TLVTable) -> None:
        super().__init__(name, [], Packet)
        self.table = table

    def getfield(self, pkt: Packet, s: bytes) -> tuple[bytes, list[Any]]:
        """Walk the TLVs by their Lengths."""
        return b"", list(self.table.walk(s, pkt))

    def addfield(self, pkt: Packet, s: bytes, val: list[Any] | None) -> bytes:
        """Write the TLVs, each with its padding."""
        for tlv in val or ():
            octets = bytes(tlv)
            s += octets + bytes(self.table.padding(len(octets)))
        return s


def plain(tlvs: Iterable[Packet]) -> list[list[Any]]:
    """Dissected TLVs as ``[type, value in hex]``, in wire order, without octets that are no TLV."""
    return [[tlv.type, bytes(tlv.original)[HEADER_OCTETS:].hex()] for tlv in tlvs if not isinstance(tlv, Undissected)]


def layers_of(rows: Iterable[Sequence[Any]]) -> list[Packet]:
    """The reverse of `plain`."""
    return [OtherTLV(type=code, value=bytes.fromhex(value)) for code, value in rows]


def _stop_reason(rest: bytes) -> str:
    if len(rest) < HEADER_OCTETS:
        return f"{len(rest)} octets left, a TLV header has {HEADER_OCTETS}"
    size = struct.unpack_from("!H", rest, 2)[0]
    if size < HEADER_OCTETS:
        return f"TLV Length {size} is below its minimum of {HEADER_OCTETS}"
    return f"TLV of {size} octets overruns the message by {size - len(rest)}"


def _in_words(sizes: Sizes) -> str:
    if isinstance(sizes, range):
        return f"{sizes[0]} to {sizes[-1]}"
    return " or ".join(str(size) for size in sizes)
