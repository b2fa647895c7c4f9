"""RTP streams as Wireshark measures them, and captures in the form in which it can."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from captures.files.capture import Frame, Interface, PcapngWriter
from captures.files.reading import CaptureReader
from captures.wire.headers import LINKTYPE_ETHERNET, PROTOCOL_UDP, ip_packet

PORT = 5004
_CLOCK_90_KHZ = 33  # a payload type whose clock rate Wireshark knows [RFC 3551 6]

# SSRC, payload type in words, packets, lost (share), and of deltas and jitter the smallest, mean and largest.
_ROW = re.compile(r"0x([0-9A-F]{8})\s+(?:\S.*?)\s+(\d+)\s+(-?\d+) \(-?[\d.]+%\)" + r"\s+(-?[\d.]+)" * 6)


class Measured(NamedTuple):
    """Packets, loss and jitter (mean and largest, ms) of one stream."""

    packets: int
    lost: int
    mean: float
    largest: float


def wireshark(tool: str, *arguments: str) -> str:
    """Standard output of one of Wireshark's tools."""
    path = shutil.which(tool)
    if path is None:
        pytest.fail(f"{tool} is not installed: apt-get install --no-install-recommends tshark")
    done = subprocess.run([path, *arguments], check=False, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout


def measured_by_wireshark(path: Path, ssrc: int) -> Measured:
    """The stream of that SSRC; there must be one."""
    arguments = ["-r", str(path), "-d", f"udp.port=={PORT},rtp", "-q", "-z", "rtp,streams"]
    shown = wireshark("tshark", *arguments)
    (row,) = [row for row in map(_ROW.search, shown.splitlines()) if row and int(row[1], 16) == ssrc]
    return Measured(int(row[2]), int(row[3]), float(row[8]), float(row[9]))


def with_known_clock(path: Path, folder: Path) -> dict[str, Path]:
    """Copy the frames of each interface into a capture of its own, the stream's with a payload type of 90 kHz.

    Wireshark has no clock for dynamic payload types, and takes what several interfaces saw of a stream for one.
    UDP's checksum is not put right; neither side looks at it.
    """
    frames: dict[str, list[Frame]] = {}
    for record in CaptureReader(path):
        if isinstance(record, Frame):
            frames.setdefault(record.interface, []).append(record)
    copies = {}
    for number, (name, seen) in enumerate(frames.items()):
        copies[name] = folder / f"interface{number}.pcapng"
        with copies[name].open("wb") as stream:
            writer = PcapngWriter(stream, [Interface(name, LINKTYPE_ETHERNET)])
            for frame in seen:
                writer.frame(frame.t_ns, 0, _of_known_clock(frame))
            writer.flush()
    return copies


def _of_known_clock(frame: Frame) -> bytes:
    packet = ip_packet(frame.link_type, frame.data)
    if packet is None or packet.protocol != PROTOCOL_UDP or packet.fragment:
        return frame.data
    begin = packet.begin
    if int.from_bytes(frame.data[begin + 2 : begin + 4]) != PORT:
        return frame.data
    marker = frame.data[begin + 9] & 0x80
    return frame.data[: begin + 9] + bytes([marker | _CLOCK_90_KHZ]) + frame.data[begin + 10 :]
