"""Reading captures: pcap and pcapng, from a file or from a stream that cannot seek, as raw records walked by octet offset.

Both byte orders, micro- and nanoseconds, any number of interfaces and sections. Readers stream: memory does not grow with
the file. What is passed over is counted by reason, and a file that breaks off is read as far as it goes.
"""

from __future__ import annotations

import io
import struct
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from captures.files.capture import (
    ENHANCED_PACKET,
    INTERFACE_DESCRIPTION,
    JOURNAL_EXPORT,
    OBSOLETE_PACKET,
    OPTION_IF_NAME,
    OPTION_IF_TSOFFSET,
    OPTION_IF_TSRESOL,
    PCAP_HEADER_OCTETS,
    PCAP_MAGIC,
    PCAP_RECORD_OCTETS,
    RECORD_MAX_OCTETS,
    SECTION_HEADER,
    SIMPLE_PACKET,
    STEP_FIELD,
    TIMES_NS,
    CaptureError,
    Frame,
    Interface,
    Step,
    step_of,
)
from captures.wire.headers import LINKTYPE_LINUX_SLL, LINKTYPE_LINUX_SLL2

_READ_OCTETS = 1 << 20
_SECTION_MAGIC = SECTION_HEADER.to_bytes(4, "big")  # reads the same in both byte orders
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd", b"\xfd\x37": "xz", b"\x04\x22": "lz4", b"\x42\x5a": "bzip2"}
_SECOND = 1_000_000_000
_NAMES_MAX, _LINKS_MAX = 4096, 256
_new_frame = tuple.__new__  # half the time of calling a NamedTuple's class


def where_it_breaks_off(path: Path) -> str | None:
    """Where a capture breaks off, as `CaptureReader.truncated`; its frames are not looked at. Raises as that does."""
    reader = CaptureReader(path)
    reader.walk()
    return reader.truncated


class PcapReader:
    """Records of one classic pcap file, microsecond or nanosecond, of either byte order.

    `truncated` says after the walk where the file broke off, None if it is whole. Raises `CaptureError` if the file
    cannot be opened or is no pcap; an empty file or one cut inside its header has no records and is `truncated`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.packets = 0
        self.truncated: str | None = None
        try:
            with path.open("rb") as stream:
                header = _read_up_to(stream, PCAP_HEADER_OCTETS)
        except OSError as error:
            raise CaptureError(f"cannot read {path}: {error.strerror}") from error
        if len(header) >= 4 and header[:4] not in PCAP_MAGIC:
            raise CaptureError(f"{path} is no pcap file: it starts with {header[:4].hex()}")
        walk = _PcapWalk(header)
        self.link_type = walk.link_type
        self.truncated = walk.truncated

    def records(self, tag: int = 0) -> Iterator[tuple[int, int, bytes, int]]:
        """Yield (time in ns, `tag`, octets captured, octets on the wire) in file order."""
        self.packets = 0
        with self.path.open("rb") as stream:
            walk = _PcapWalk(_read_up_to(stream, PCAP_HEADER_OCTETS))
            for t_ns, data, original in walk.records(stream):
                self.packets += 1
                yield t_ns, tag, data, original
        self.truncated = walk.truncated


class _PcapWalk:
    """The records behind a pcap header; the stream stands right behind it."""

    def __init__(self, header: bytes) -> None:
        self.truncated: str | None = None
        self.link_type = 1
        self.octets = len(header)
        self._order, self._unit = PCAP_MAGIC.get(header[:4], ("<", 1))
        if len(header) < PCAP_HEADER_OCTETS:
            self.truncated = f"{len(header)} octets, a pcap header has {PCAP_HEADER_OCTETS}"
            return
        # The upper bits of the last word carry the length of a frame check sequence, not the link type.
        self.link_type = struct.unpack(self._order + "I", header[20:24])[0] & 0xFFFF

    def records(self, stream: io.BufferedIOBase) -> Iterator[tuple[int, bytes, int]]:
        if self.truncated:
            return
        unpack_from = struct.Struct(self._order + "IIII").unpack_from
        unit = self._unit
        position, buffer, offset, end = PCAP_HEADER_OCTETS, b"", 0, 0
        while True:
            body = offset + PCAP_RECORD_OCTETS
            if body <= end:
                seconds, fraction, captured, original = unpack_from(buffer, offset)
                following = body + captured
                if following <= end:
                    yield seconds * _SECOND + fraction * unit, buffer[body:following], original
                    offset = following
                    continue
                if captured > RECORD_MAX_OCTETS:
                    self.truncated = f"damaged at octet {position + offset}: a record of {captured} octets"
                    return
            position += offset
            more = stream.read1(_READ_OCTETS)
            if not more:
                if offset < end:
                    self.truncated = f"the last record, at octet {position}, is cut off"
                return
            self.octets += len(more)
            buffer = buffer[offset:] + more
            offset, end = 0, len(buffer)


@dataclass(slots=True)
class _DescribedInterface:
    interface: Interface
    units_per_second: int = 1_000_000
    offset_s: int = 0
    plain: bool = False
    """Its times are nanoseconds since the epoch as they stand, and its frames are of one link."""

    def nanoseconds(self, units: int) -> int:
        if self.units_per_second != _SECOND:
            units = units * _SECOND // self.units_per_second
        return units + self.offset_s * _SECOND


class _Names:
    """What the links of a capture are called: each is a witness of its own, so no two may share a name."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}
        self._of_link: dict[tuple[str, bytes], str] = {}

    def distinct(self, name: str) -> str:
        """The name, or "name (2)" where another has it already."""
        wanted = name
        while name in self._given:
            self._given[wanted] += 1
            name = f"{wanted} ({self._given[wanted]})"
        if len(self._given) < _NAMES_MAX:
            self._given[name] = 1
        return name

    def of_link(self, name: str, index: bytes) -> str:
        """Of a frame that itself says at which of the host's interfaces it was captured: "any[3]" for the third."""
        found = self._of_link.get((name, index))
        if found is None:
            found = f"{name}[{int.from_bytes(index)}]" if len(self._of_link) < _LINKS_MAX else f"{name}[others]"
            if len(self._of_link) < 2 * _LINKS_MAX:
                self._of_link[name, index] = found
        return found


class CaptureReader:
    """Frames and steps of one capture in file order, pcap or pcapng, of a path or of a stream such as stdin.

    A path can be walked again and again, a stream once. After a walk, and during it for what has been read so far,
    `truncated` says where the capture breaks off (None if it is whole), `passed_over` counts records that could not be
    read by reason, `packets` counts frames by interface name, `octets` says how much has been read. A pcap file's one
    interface is called like the file, the second "eth0" of a pcapng file "eth0 (2)" (mergecap makes such files of several
    hosts' captures), and of Linux' ``any`` each interface that its frames name is one, "any[3]". Raises `CaptureError` if it cannot be opened or is no capture.
    """

    def __init__(self, source: Path | io.BufferedIOBase) -> None:
        self.path = source if isinstance(source, Path) else Path("stdin")
        self._stream = None if isinstance(source, Path) else source
        self.truncated: str | None = None
        self.passed_over: Counter[str] = Counter()
        self.packets: dict[str, int] = {}
        self.octets = 0
        self._set_order("<")
        self._interfaces: list[_DescribedInterface] = []
        self._names = _Names()
        self._cooked = False
        try:
            with self._opened() as stream:
                self._start = _read_up_to(stream, 4)
        except OSError as error:
            raise CaptureError(f"cannot read {self.path}: {error.strerror}") from error
        self.format = _format_of(self.path, self._start)

    def _set_order(self, order: str) -> None:
        """Of the integers of a section."""
        self._order = order
        self._enhanced = struct.Struct(order + "IIII").unpack_from
        self._obsolete = struct.Struct(order + "HxxIII").unpack_from

    @property
    def warnings(self) -> list[str]:
        """What was passed over, and what the capture cannot tell, as texts."""
        found = [f"{count} {reason}, passed over" for reason, count in self.passed_over.items()]
        if self._cooked:
            found.append(
                "frames of link type 113 (LINUX_SLL) do not tell at which interface they were captured, so that what a"
                " router forwards looks as if it came twice: `tcpdump -y LINUX_SLL2` captures that too"
            )
        return found

    @contextmanager
    def _opened(self) -> Iterator[io.BufferedIOBase]:
        if self._stream is not None:
            yield self._stream
        else:
            with self.path.open("rb") as stream:
                yield stream

    def __iter__(self) -> Iterator[Frame | Step]:
        self.truncated, self.passed_over, self.packets, self._interfaces = None, Counter(), {}, []
        self._names, self._cooked = _Names(), False
        with self._opened() as stream:
            if self._stream is None:
                stream.read(len(self._start))
            self.octets = len(self._start)
            yield from self._pcap(stream) if self.format == "pcap" else self._pcapng(stream)

    def walk(self) -> None:
        """Only find out whether it is whole, in a fraction of the time that its frames take."""
        with self._opened() as stream:
            stream.read(len(self._start))
            if self.format == "pcap":
                walk = _PcapWalk(self._start + _read_up_to(stream, PCAP_HEADER_OCTETS - 4))
                deque(walk.records(stream), maxlen=0)
                self.truncated = walk.truncated
            else:
                deque(self._blocks(stream), maxlen=0)

    def _pcap(self, stream: io.BufferedIOBase) -> Iterator[Frame]:
        walk = _PcapWalk(self._start + _read_up_to(stream, PCAP_HEADER_OCTETS - 4))
        name, link_type = self.path.stem, walk.link_type
        if link_type == LINKTYPE_LINUX_SLL2:
            yield from self._pcap_of_links(walk, stream)
            return
        number = 0
        self.packets[name] = 0
        self._cooked = link_type == LINKTYPE_LINUX_SLL
        try:
            for number, (t_ns, data, _) in enumerate(walk.records(stream), 1):
                if not number & 1023:
                    self.octets, self.packets[name] = walk.octets, number
                yield Frame(number, t_ns, name, link_type, data)
        finally:
            self.truncated, self.octets, self.packets[name] = walk.truncated, walk.octets, number

    def _pcap_of_links(self, walk: _PcapWalk, stream: io.BufferedIOBase) -> Iterator[Frame]:
        try:
            for number, (t_ns, data, _) in enumerate(walk.records(stream), 1):
                name = self._name_of_link(self.path.stem, data[:8])
                self.octets, self.packets[name] = walk.octets, self.packets.get(name, 0) + 1
                yield Frame(number, t_ns, name, walk.link_type, data)
        finally:
            self.truncated, self.octets = walk.truncated, walk.octets

    def _name_of_link(self, name: str, header: bytes) -> str:
        """Of a frame of LINUX_SLL2, by the interface index in its header."""
        return self._names.of_link(name, header[4:8]) if len(header) == 8 else name

    def _pcapng(self, stream: io.BufferedIOBase) -> Iterator[Frame | Step]:
        number = 0
        interfaces, unpack, packets = self._interfaces, self._enhanced, self.packets
        for kind, buffer, body, end in self._blocks(stream):
            if kind == ENHANCED_PACKET and body + 20 <= end:
                # What most blocks are, here to save a call; what is out of the ordinary about one is seen to below.
                index, high, low, captured = unpack(buffer, body)
                data = body + 20
                if index < len(interfaces) and data + captured <= end:
                    described = interfaces[index]
                    if described.plain:
                        number += 1
                        name, link_type = described.interface
                        packets[name] += 1
                        octets = buffer[data : data + captured]
                        yield _new_frame(Frame, (number, high << 32 | low, name, link_type, octets))
                        continue
            if kind in (ENHANCED_PACKET, OBSOLETE_PACKET):
                number += 1
                frame = self._packet(number, kind, buffer, body, end)
                if frame is not None:
                    yield frame
            elif kind == JOURNAL_EXPORT:
                number += 1
                step = self._journal(number, buffer[body:end])
                if step is not None:
                    yield step
            elif kind == SIMPLE_PACKET:
                number += 1
                self.passed_over["frames without a time (simple packet blocks)"] += 1
            elif kind == INTERFACE_DESCRIPTION:
                self._describe(buffer[body:end])
            elif kind == SECTION_HEADER:
                interfaces, unpack = self._interfaces, self._enhanced

    def _blocks(self, stream: io.BufferedIOBase) -> Iterator[tuple[int, bytes, int, int]]:
        """Yield (block type, buffer, offset of the body, offset after the body)."""
        position = offset = 0
        buffer = self._start
        available = len(buffer)
        unpack = struct.Struct("<II").unpack_from
        while True:
            if offset + 12 <= available:
                kind, total = unpack(buffer, offset)
                if kind == SECTION_HEADER:  # the same in both byte orders
                    little = buffer[offset + 8 : offset + 12] == b"\x4d\x3c\x2b\x1a"
                    self._set_order("<" if little else ">")
                    unpack = struct.Struct(self._order + "II").unpack_from
                    self._interfaces = []
                    kind, total = unpack(buffer, offset)
                if total & 3 or not 12 <= total <= RECORD_MAX_OCTETS:
                    self.truncated = f"damaged at octet {position + offset}: a block of {total} octets"
                    return
                if offset + total <= available:
                    yield kind, buffer, offset + 8, offset + total - 4
                    offset += total
                    continue
            position += offset
            more = stream.read1(_READ_OCTETS)
            if not more:
                if offset < available:
                    self.truncated = f"the last block, at octet {position}, is cut off"
                return
            self.octets += len(more)
            buffer = buffer[offset:] + more
            offset, available = 0, len(buffer)

    def _packet(self, number: int, kind: int, buffer: bytes, body: int, end: int) -> Frame | None:
        data = body + 20
        if data > end:
            self.passed_over["damaged packet blocks"] += 1
            return None
        unpack = self._enhanced if kind == ENHANCED_PACKET else self._obsolete
        index, high, low, captured = unpack(buffer, body)
        if index >= len(self._interfaces) or data + captured > end:
            self.passed_over["damaged packet blocks"] += 1
            return None
        described = self._interfaces[index]
        name, link_type = described.interface
        t_ns = high << 32 | low
        if not described.plain:
            t_ns = described.nanoseconds(t_ns)
            if t_ns not in TIMES_NS:
                self.passed_over["frames whose time cannot be"] += 1
                return None
            if link_type == LINKTYPE_LINUX_SLL2:
                name = self._name_of_link(name, buffer[data : data + min(captured, 8)])
                self.packets.setdefault(name, 0)
        self.packets[name] += 1
        return _new_frame(Frame, (number, t_ns, name, link_type, buffer[data : data + captured]))

    def _describe(self, body: bytes) -> None:
        if len(body) < 8:
            # Its packets must not be taken for another interface's.
            body = body.ljust(8, b"\xff")
            self.passed_over["damaged interface descriptions"] += 1
        link_type = struct.unpack_from(self._order + "H", body)[0]
        name = ""
        described = _DescribedInterface(Interface(name, link_type))
        offset = 8
        while offset + 4 <= len(body):
            code, size = struct.unpack_from(self._order + "HH", body, offset)
            value = body[offset + 4 : offset + 4 + size]
            if code == 0:
                break
            if code == OPTION_IF_NAME:
                # The name ends up in terminals and reports, and may come from anywhere.
                name = "".join(c if c.isprintable() else "?" for c in value.decode(errors="replace"))
            elif code == OPTION_IF_TSRESOL and value:
                described.units_per_second = 2 ** (value[0] & 0x7F) if value[0] & 0x80 else 10 ** value[0]
            elif code == OPTION_IF_TSOFFSET and len(value) == 8:
                described.offset_s = struct.unpack(self._order + "q", value)[0]
            offset += 4 + size + (-size % 4)
        name = self._names.distinct(name.strip() or f"interface {len(self._interfaces)}")
        described.interface = Interface(name, link_type)
        described.plain = (
            described.units_per_second == _SECOND and not described.offset_s and link_type != LINKTYPE_LINUX_SLL2
        )
        self._interfaces.append(described)
        if link_type != LINKTYPE_LINUX_SLL2:  # whose links are named as they are seen
            self.packets.setdefault(name, 0)
        self._cooked |= link_type == LINKTYPE_LINUX_SLL

    def _journal(self, number: int, entry: bytes) -> Step | None:
        marker = f"{STEP_FIELD}=".encode()
        for line in entry.split(b"\n"):
            if line.startswith(marker):
                try:
                    return step_of(number, line[len(marker) :])
                except ValueError:
                    self.passed_over["scenario steps that cannot be read"] += 1
                    return None
        return None  # somebody else's journal entry


def _read_up_to(stream: io.BufferedIOBase, octets: int) -> bytes:
    """Read so many octets, fewer only where the stream ends: a pipe hands them over in pieces."""
    data = b""
    while len(data) < octets:
        more = stream.read1(octets - len(data))
        if not more:
            break
        data += more
    return data


def _format_of(path: Path, start: bytes) -> str:
    if not start:
        raise CaptureError(f"{path} is empty")
    if start in PCAP_MAGIC:
        return "pcap"
    if start == _SECTION_MAGIC:
        return "pcapng"
    if start[:2] in _COMPRESSED:
        raise CaptureError(f"{path} is compressed ({_COMPRESSED[start[:2]]}): decompress it first")
    raise CaptureError(f"{path} is no pcap or pcapng capture: it starts with {start.hex()}")
