"""The pace of an MPEG transport stream (ISO/IEC 13818-1): when each run of packets is due, from the file's own clock."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PACKET_SIZE = 188  # bytes
SYNC_BYTE = 0x47
PACKETS_PER_DATAGRAM = 7  # 1316 bytes: what fits an Ethernet frame after RTP, UDP and IPv6
_PCR_CLOCK = 27_000_000  # Hz
_PCR_MODULUS = (1 << 33) * 300
# Two clock references must not be further apart than 0.1 s; much more than that and the file is no stream to pace.
_MAXIMUM_PCR_DISTANCE = 60 * _PCR_CLOCK


class TransportStreamError(ValueError):
    """A file that cannot be played at its own rate; says what is wrong where."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What a whole file says about itself: seconds of play, datagrams, and their mean spacing in ns."""

    duration_s: float
    datagrams: int

    @property
    def mean_spacing_ns(self) -> int:
        """The mean time between two datagrams."""
        return round(self.duration_s * 1e9 / max(1, self.datagrams))


class TransportStream:
    """One file, mapped into memory; use as a context manager. Raises TransportStreamError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        try:
            file = self._stack.enter_context(path.open("rb"))
            self._data = self._stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:
            self._stack.close()
            raise TransportStreamError(f"{path}: cannot be read: {error}") from error
        self._packets = len(self._data) // PACKET_SIZE
        try:
            self._references = list(self._clock_references())
            if len(self._references) < 2:
                raise TransportStreamError(
                    f"{path}: no clock references (PCR) in {self._packets} packets; give an MPEG transport stream"
                )
            if not self._references[-1][1]:
                raise TransportStreamError(f"{path}: the clock (PCR) stands still; remultiplex the file")
        except TransportStreamError:
            self._stack.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def pace(self) -> Pace:
        """The whole file's duration and datagrams."""
        datagrams = -(-self._packets // PACKETS_PER_DATAGRAM)
        return Pace(self._time_of(self._packets) - self._time_of(0), datagrams)

    def datagrams(self) -> Iterator[tuple[float, bytes]]:
        """Each payload with the time it is due, in seconds from the first one's."""
        begin = self._time_of(0)
        cursor = 0
        for packet in range(0, self._packets, PACKETS_PER_DATAGRAM):
            while cursor < len(self._references) - 2 and self._references[cursor + 1][0] <= packet:
                cursor += 1
            start = packet * PACKET_SIZE
            payload = self._data[start : min(start + PACKETS_PER_DATAGRAM * PACKET_SIZE, self._packets * PACKET_SIZE)]
            yield self._interpolate(cursor, packet) - begin, payload

    def _clock_references(self) -> Iterator[tuple[int, float]]:
        """(packet index, seconds) of each reference of the first PID that carries them; wraps are unrolled."""
        data, clock_pid = self._data, -1
        base: int | None = None
        elapsed = 0
        for index in range(self._packets):
            at = index * PACKET_SIZE
            if data[at] != SYNC_BYTE:
                raise TransportStreamError(f"{self._path}: no sync byte at offset {at}; not an MPEG transport stream")
            # An adaptation field that is long enough and has its PCR flag set.
            if not data[at + 3] & 0x20 or data[at + 4] < 7 or not data[at + 5] & 0x10:
                continue
            pid = (data[at + 1] & 0x1F) << 8 | data[at + 2]
            if clock_pid not in (-1, pid):
                continue
            clock_pid = pid
            field = data[at + 6 : at + 12]
            ticks = (int.from_bytes(field[:4], "big") << 1 | field[4] >> 7) * 300 + ((field[4] & 1) << 8 | field[5])
            if base is not None:
                step = (ticks - base) % _PCR_MODULUS
                if step > _MAXIMUM_PCR_DISTANCE:
                    raise TransportStreamError(
                        f"{self._path}: the clock jumps by {step / _PCR_CLOCK:.0f} s at offset {at}; remultiplex the file"
                    )
                elapsed += step
            base = ticks
            yield index, elapsed / _PCR_CLOCK

    def _time_of(self, packet: int) -> float:
        last = len(self._references) - 2
        return self._interpolate(0 if packet <= self._references[1][0] else last, packet)

    def _interpolate(self, cursor: int, packet: int) -> float:
        (index, time), (next_index, next_time) = self._references[cursor : cursor + 2]
        return time + (packet - index) * (next_time - time) / (next_index - index)
