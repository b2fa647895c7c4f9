"""Capture files: what is in them, what their formats call it, and the writer of a lab's pcapng.

A lab is captured with one pcap file per link end; `captures.files.merge` makes one pcapng of them, `captures.files.reading` reads both
kinds. Scenario steps travel in the same file as systemd Journal Export Blocks, which Wireshark shows as journal entries
between the frames. Every time is an integer of nanoseconds since the epoch.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import IO, Any, NamedTuple

# Classic pcap: magic as the four octets in the file -> byte order, nanoseconds per unit of the fraction.
PCAP_MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
PCAP_HEADER_OCTETS = 24
PCAP_RECORD_OCTETS = 16
RECORD_MAX_OCTETS = 1 << 24
"""No link layer has frames of 16 MiB: such a length means the file is damaged."""

# pcapng block types and options
SECTION_HEADER = 0x0A0D0D0A
INTERFACE_DESCRIPTION = 1
OBSOLETE_PACKET = 2
SIMPLE_PACKET = 3
ENHANCED_PACKET = 6
JOURNAL_EXPORT = 9
BYTE_ORDER_MAGIC = 0x1A2B3C4D
OPTION_IF_NAME = 2
OPTION_IF_TSRESOL = 9
OPTION_IF_TSOFFSET = 14
_OPTION_SHB_USERAPPL = 4
_NANOSECONDS = 9  # if_tsresol: units of 10^-9 s

STEP_FIELD = "LAB_STEP"
"""The journal field that carries a scenario step as JSON."""

TIMES_NS = range(1 << 64)
"""What the time of a frame or a step can be: a file may hold others, with which nothing can be reckoned."""
_INTEGERS = range(-(1 << 64), 1 << 64)
_STEP_DEPTH_MAX = 32


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


def step_of(number: int, text: str | bytes) -> Step:
    """Read a scenario step from its JSON.

    Raises ValueError if it is none, and for what JSON allows but nobody can reckon with or write down: numbers that are not
    finite or have more than 64 bits, values nested deeper than 32, halves of surrogate pairs, times outside `TIMES_NS`.
    """
    try:
        fields = json.loads(text)
        _check(fields)
        step = Step(number, int(fields["t_ns"]), str(fields["step"]), fields)
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"no scenario step: {error!r}") from None
    if step.t_ns not in TIMES_NS:
        raise ValueError(f"no scenario step: its time is {step.t_ns} ns")
    return step


def _check(value: Any, depth: int = 0) -> None:
    if depth > _STEP_DEPTH_MAX:
        raise ValueError("nested too deep")
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is no number to reckon with")
    elif isinstance(value, int):
        if value not in _INTEGERS:
            raise ValueError("an integer of more than 64 bits")
    elif value is not None:
        for inner in [*value, *value.values()] if isinstance(value, dict) else value:
            _check(inner, depth + 1)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _block(kind: int, body: bytes) -> bytes:
    total = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + total + body + total


class PcapngWriter:
    """Writes one pcapng section: the interfaces first, then frames and steps in the order given.

    An interface may also come later, before its first frame. The caller orders frames and steps by time; their positions
    become the frame numbers.
    """

    def __init__(self, stream: IO[bytes], interfaces: list[Interface]) -> None:
        self._stream = stream
        self._pending: list[bytes] = []
        section = struct.pack("<IHHq", BYTE_ORDER_MAGIC, 1, 0, -1)
        section += _option(_OPTION_SHB_USERAPPL, b"multicast protocol lab") + _option(0, b"")
        stream.write(_block(SECTION_HEADER, section))
        for interface in interfaces:
            self.interface(interface)

    def interface(self, interface: Interface) -> None:
        """Describe one more interface; its index is the number of those described before."""
        options = _option(OPTION_IF_NAME, interface.name.encode())
        options += _option(OPTION_IF_TSRESOL, bytes([_NANOSECONDS])) + _option(0, b"")
        self._pending.append(_block(INTERFACE_DESCRIPTION, struct.pack("<HHI", interface.link_type, 0, 0) + options))

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
                ENHANCED_PACKET,
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

        Wireshark shows MESSAGE; `captures.files.reading` reads `STEP_FIELD`. Journal times are microseconds, so the exact time
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
        self._pending.append(_block(JOURNAL_EXPORT, _padded(entry.encode())))

    def flush(self) -> None:
        """Hand everything written so far to the stream."""
        self._stream.write(b"".join(self._pending))
        self._pending.clear()
