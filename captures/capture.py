"""Capture files as raw records: classic pcap in, pcapng out and in again, walked by octet offset.

A lab is captured with one pcap file per link end; `captures.merge` makes one pcapng of them. Scenario steps travel in
the same file as systemd Journal Export Blocks, which Wireshark shows as journal entries between the frames. Every
time is an integer of nanoseconds since the epoch. Readers stream: memory does not grow with the file.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

_READ_OCTETS = 1 << 20
_RECORD_MAX_OCTETS = 1 << 24  # no link layer has frames of 16 MiB: such a length means the file is damaged

# Classic pcap: magic as the four octets in the file -> byte order, nanoseconds per unit of the fraction.
_PCAP_MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
_PCAP_HEADER_OCTETS = 24
_PCAP_RECORD_OCTETS = 16

# pcapng block types and options
_SECTION_HEADER = 0x0A0D0D0A
_INTERFACE_DESCRIPTION = 1
_OBSOLETE_PACKET = 2
_SIMPLE_PACKET = 3
_ENHANCED_PACKET = 6
_JOURNAL_EXPORT = 9
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_OPTION_IF_NAME = 2
_OPTION_IF_TSRESOL = 9
_OPTION_IF_TSOFFSET = 14
_OPTION_SHB_USERAPPL = 4
_NANOSECONDS = 9  # if_tsresol: units of 10^-9 s

STEP_FIELD = "LAB_STEP"
"""The journal field that carries a scenario step as JSON."""


class CaptureError(Exception):
    """A file cannot be read as a capture; the text names the file, what is wrong and what to do."""


class Interface(NamedTuple):
    """One captured link end: `name` is ``node:interface``, `link_type` the LINKTYPE_ number."""

    name: str
    link_type: int


class Frame(NamedTuple):
    """One captured frame; `number` is the one Wireshark shows for this file."""

    number: int
    t_ns: int
    interface: str
    link_type: int
    data: bytes


class Step(NamedTuple):
    """One scenario step; journal entries have frame numbers too."""

    number: int
    t_ns: int
    name: str
    fields: dict[str, Any]


class PcapReader:
    """Records of one classic pcap file, microsecond or nanosecond, of either byte order.

    `truncated` says after the walk where the file broke off, None if it is whole. Raises `CaptureError` if the file
    cannot be opened or is no pcap; an empty file or one cut inside its header has no records and is `truncated`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.link_type = 1
        self.packets = 0
        self.truncated: str | None = None
        self._order = "<"
        self._nanoseconds_per_unit = 1
        try:
            with path.open("rb") as stream:
                header = stream.read(_PCAP_HEADER_OCTETS)
        except OSError as error:
            raise CaptureError(f"cannot read {path}: {error.strerror}") from error
        self._whole_header = len(header) == _PCAP_HEADER_OCTETS
        if len(header) >= 4 and header[:4] not in _PCAP_MAGIC:
            raise CaptureError(f"{path} is no pcap file: it starts with {header[:4].hex()}")
        if not self._whole_header:
            self.truncated = f"{len(header)} octets, a pcap header has {_PCAP_HEADER_OCTETS}"
            return
        self._order, self._nanoseconds_per_unit = _PCAP_MAGIC[header[:4]]
        # The upper bits of the last word carry the length of a frame check sequence, not the link type.
        self.link_type = struct.unpack(self._order + "I", header[20:])[0] & 0xFFFF

    def records(self, tag: int = 0) -> Iterator[tuple[int, int, bytes, int]]:
        """Yield (time in ns, `tag`, octets captured, octets on the wire) in file order."""
        if not self._whole_header:
            return
        unpack_from = struct.Struct(self._order + "IIII").unpack_from
        unit = self._nanoseconds_per_unit
        self.packets = 0
        with self.path.open("rb") as stream:
            position = stream.seek(_PCAP_HEADER_OCTETS)
            buffer = stream.read(_READ_OCTETS)
            offset, end = 0, len(buffer)
            while True:
                body = offset + _PCAP_RECORD_OCTETS
                if body <= end:
                    seconds, fraction, captured, original = unpack_from(buffer, offset)
                    following = body + captured
                    if following <= end:
                        self.packets += 1
                        yield seconds * 1_000_000_000 + fraction * unit, tag, buffer[body:following], original
                        offset = following
                        continue
                    if captured > _RECORD_MAX_OCTETS:
                        self.truncated = f"damaged at octet {position + offset}: a record of {captured} octets"
                        return
                position += offset
                more = stream.read(_READ_OCTETS)
                if not more:
                    if offset < end:
                        self.truncated = f"the last record, at octet {position}, is cut off"
                    return
                buffer = buffer[offset:] + more
                offset, end = 0, len(buffer)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _block(kind: int, body: bytes) -> bytes:
    total = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + total + body + total


class PcapngWriter:
    """Writes one pcapng section: the interfaces first, then frames and steps in the order given.

    The caller orders them by time; their positions become the frame numbers.
    """

    def __init__(self, stream: BinaryIO, interfaces: list[Interface]) -> None:
        self._stream = stream
        self._pending: list[bytes] = []
        section = struct.pack("<IHHq", _BYTE_ORDER_MAGIC, 1, 0, -1)
        section += _option(_OPTION_SHB_USERAPPL, b"multicast protocol lab") + _option(0, b"")
        stream.write(_block(_SECTION_HEADER, section))
        for name, link_type in interfaces:
            options = _option(_OPTION_IF_NAME, name.encode())
            options += _option(_OPTION_IF_TSRESOL, bytes([_NANOSECONDS])) + _option(0, b"")
            stream.write(_block(_INTERFACE_DESCRIPTION, struct.pack("<HHI", link_type, 0, 0) + options))

    _enhanced = struct.Struct("<7I")
    _total = struct.Struct("<I")
    _padding = (b"", b"\0\0\0", b"\0\0", b"\0")

    def frame(self, t_ns: int, interface: int, data: bytes, original_octets: int | None = None) -> None:
        """Append one frame of the interface with that index; `original_octets` is its size on the wire."""
        captured = len(data)
        total = 32 + captured + (-captured & 3)
        pending = self._pending
        pending += (
            self._enhanced.pack(
                _ENHANCED_PACKET,
                total,
                interface,
                t_ns >> 32,
                t_ns & 0xFFFFFFFF,
                captured,
                captured if original_octets is None else original_octets,
            ),
            data,
            self._padding[captured & 3],
            self._total.pack(total),
        )
        if len(pending) > 16384:
            self.flush()

    def step(self, fields: Mapping[str, Any]) -> None:
        """Append one scenario step, at least ``{"t_ns", "step"}``, as a journal entry.

        Wireshark shows MESSAGE; `PcapngReader` reads `STEP_FIELD`. Journal times are microseconds, so the exact time
        stays in the JSON.
        """
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        microseconds = int(fields["t_ns"]) // 1000
        entry = (
            f"__REALTIME_TIMESTAMP={microseconds}\n"
            "PRIORITY=5\n"
            "SYSLOG_IDENTIFIER=scenario\n"
            f"MESSAGE={text}\n"
            f"{STEP_FIELD}={text}\n\n"
        )
        self._pending.append(_block(_JOURNAL_EXPORT, _padded(entry.encode())))

    def flush(self) -> None:
        """Hand everything written so far to the stream."""
        self._stream.write(b"".join(self._pending))
        self._pending.clear()


@dataclass(slots=True)
class _DescribedInterface:
    interface: Interface
    units_per_second: int = 1_000_000
    offset_s: int = 0

    def nanoseconds(self, high: int, low: int) -> int:
        units = high << 32 | low
        if self.units_per_second == 1_000_000_000:
            return units + self.offset_s * 1_000_000_000
        return units * 1_000_000_000 // self.units_per_second + self.offset_s * 1_000_000_000


class PcapngReader:
    """Frames and steps of one pcapng file, of either byte order and any time resolution, in file order.

    After the walk `truncated` says where the file broke off (None if it is whole), `warnings` what was passed over, and
    `packets` counts frames by interface name. Raises `CaptureError` if the file cannot be opened or is no pcapng.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.truncated: str | None = None
        self.warnings: list[str] = []
        self.packets: dict[str, int] = {}
        self._order = "<"
        self._interfaces: list[_DescribedInterface] = []
        try:
            with path.open("rb") as stream:
                start = stream.read(4)
        except OSError as error:
            raise CaptureError(f"cannot read {path}: {error.strerror}") from error
        if not start:
            raise CaptureError(f"{path} is empty")
        if start in _PCAP_MAGIC:
            raise CaptureError(f"{path} is a classic pcap file, which holds no scenario steps; give the lab's pcapng")
        if start != _SECTION_HEADER.to_bytes(4, "big"):
            raise CaptureError(f"{path} is no pcapng capture: it starts with {start.hex()}")

    def __iter__(self) -> Iterator[Frame | Step]:
        number = 0
        self.truncated, self.warnings, self.packets, self._interfaces = None, [], {}, []
        for kind, buffer, body, end in self._blocks():
            if kind in (_ENHANCED_PACKET, _OBSOLETE_PACKET):
                number += 1
                frame = self._packet(number, kind, buffer, body, end)
                if frame is not None:
                    yield frame
            elif kind == _JOURNAL_EXPORT:
                number += 1
                step = self._journal(number, buffer[body:end])
                if step is not None:
                    yield step
            elif kind == _SIMPLE_PACKET:
                number += 1
                self.warnings.append(f"frame {number} has no time (simple packet block) and is passed over")
            elif kind == _INTERFACE_DESCRIPTION:
                self._describe(buffer[body:end])

    def _blocks(self) -> Iterator[tuple[int, bytes, int, int]]:
        """Yield (block type, buffer, offset of the body, offset after the body)."""
        with self.path.open("rb") as stream:
            position = offset = 0
            buffer = stream.read(_READ_OCTETS)
            available = len(buffer)
            header = struct.Struct("<II")
            while True:
                if offset + 12 <= available:
                    if buffer[offset : offset + 4] == b"\x0a\x0d\x0d\x0a":
                        little = buffer[offset + 8 : offset + 12] == b"\x4d\x3c\x2b\x1a"
                        self._order = "<" if little else ">"
                        header = struct.Struct(self._order + "II")
                        self._interfaces = []
                    kind, total = header.unpack_from(buffer, offset)
                    if total < 12 or total % 4 or total > _RECORD_MAX_OCTETS:
                        self.truncated = f"damaged at octet {position + offset}: a block of {total} octets"
                        return
                    if offset + total <= available:
                        yield kind, buffer, offset + 8, offset + total - 4
                        offset += total
                        continue
                position += offset
                more = stream.read(_READ_OCTETS)
                if not more:
                    if offset < available:
                        self.truncated = f"the last block, at octet {position}, is cut off"
                    return
                buffer = buffer[offset:] + more
                offset, available = 0, len(buffer)

    def _packet(self, number: int, kind: int, buffer: bytes, body: int, end: int) -> Frame | None:
        if end - body < 20:
            self.warnings.append(f"frame {number} has a damaged block and is passed over")
            return None
        layout = "IIIII" if kind == _ENHANCED_PACKET else "HHIIII"
        index, *rest = struct.unpack_from(self._order + layout, buffer, body)
        high, low, captured, _original = rest[-4:]
        if index >= len(self._interfaces) or body + 20 + captured > end:
            self.warnings.append(f"frame {number} has a damaged block and is passed over")
            return None
        described = self._interfaces[index]
        name, link_type = described.interface
        self.packets[name] = self.packets.get(name, 0) + 1
        return Frame(
            number, described.nanoseconds(high, low), name, link_type, buffer[body + 20 : body + 20 + captured]
        )

    def _describe(self, body: bytes) -> None:
        link_type = struct.unpack_from(self._order + "H", body)[0]
        described = _DescribedInterface(Interface(f"interface {len(self._interfaces)}", link_type))
        offset = 8
        while offset + 4 <= len(body):
            code, size = struct.unpack_from(self._order + "HH", body, offset)
            value = body[offset + 4 : offset + 4 + size]
            if code == 0:
                break
            if code == _OPTION_IF_NAME:
                described.interface = Interface(value.decode(errors="replace"), link_type)
            elif code == _OPTION_IF_TSRESOL and value:
                described.units_per_second = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
            elif code == _OPTION_IF_TSOFFSET and len(value) == 8:
                described.offset_s = struct.unpack(self._order + "q", value)[0]
            offset += 4 + size + (-size % 4)
        self._interfaces.append(described)
        self.packets.setdefault(described.interface.name, 0)

    def _journal(self, number: int, entry: bytes) -> Step | None:
        marker = f"{STEP_FIELD}=".encode()
        for line in entry.split(b"\n"):
            if line.startswith(marker):
                try:
                    fields = json.loads(line[len(marker) :])
                    return Step(number, int(fields["t_ns"]), str(fields["step"]), fields)
                except (ValueError, KeyError, TypeError) as error:
                    self.warnings.append(f"frame {number} is a step that cannot be read: {error!r}")
                    return None
        return None  # somebody else's journal entry
