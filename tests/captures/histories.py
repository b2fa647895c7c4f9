"""Histories of frames that a test writes down."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from typing import Any

from captures.files.capture import Interface, PcapngWriter
from captures.files.reading import CaptureReader
from captures.history.control import every_protocol
from captures.history.history import History
from tests.captures.scripted_link import T0, ethernet, ip

Frames = Iterable[tuple[float, str, int, bytes]]


def history(frames: Frames, **more: Any) -> History:
    """Frames of (seconds, interface, link type, octets), in this order."""
    frames = list(frames)
    interfaces = sorted({(name, link_type) for _, name, link_type, _ in frames})
    stream = io.BytesIO()
    writer = PcapngWriter(stream, [Interface(*one) for one in interfaces])
    for at_s, name, link_type, data in frames:
        writer.frame(T0 + round(at_s * 1e9), interfaces.index((name, link_type)), data)
    writer.flush()
    stream.seek(0)
    return History(CaptureReader(stream), every_protocol({}), **more)


def on_ethernet(*packets: bytes) -> Frames:
    return [(index / 1000, "eth0", 1, ethernet("a", packet)) for index, packet in enumerate(packets)]


def tcp(octets: bytes) -> bytes:
    """A segment to OMCP's port."""
    header = struct.pack("!HHIIBBHHH", 40000, 24794, 100, 0, 5 << 4, 16, 1000, 0, 0)
    return ip("10.0.0.1", "10.0.0.2", 6, header + octets)


RELAY = bytes.fromhex("10030100000000160000000000000007010000067231")
