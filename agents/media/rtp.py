"""RTP packets (RFC 3550 section 5.1) and sequence numbers extended past 16 bits (appendix A.1)."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

RTP_VERSION = 2
CLOCK_RATE = 90_000  # Hz: RFC 2250 for MPEG-TS, and the usual one for video
PAYLOAD_TYPE_MP2T = 33  # RFC 3551: MPEG-2 transport stream
PAYLOAD_TYPE_SYNTHETIC = 96  # RFC 3551: dynamic
HEADER_SIZE = 12  # bytes, without contributing sources and extension
SEQUENCE_MODULUS = 1 << 16

_HEADER = Struct("!BBHII")
_EXTENSION_LENGTH = Struct("!2xH")


class Packet(NamedTuple):
    """One RTP packet as received: ``payload_offset`` is where its payload begins in the datagram."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload_offset: int
    payload_end: int


def build(payload_type: int, sequence: int, timestamp: int, ssrc: int, payload: bytes) -> bytes:
    """One RTP packet without contributing sources, extension or padding; counters are taken modulo their size."""
    return (
        _HEADER.pack(
            RTP_VERSION << 6, payload_type, sequence % SEQUENCE_MODULUS, timestamp & 0xFFFFFFFF, ssrc & 0xFFFFFFFF
        )
        + payload
    )


def parse(data: bytes) -> Packet | None:
    """Read one datagram, or None when it is no RTP packet of version 2."""
    if len(data) < HEADER_SIZE:
        return None
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != RTP_VERSION:
        return None
    offset = HEADER_SIZE + 4 * (first & 0x0F)
    if first & 0x10:
        if len(data) < offset + 4:
            return None
        offset += 4 + 4 * int(_EXTENSION_LENGTH.unpack_from(data, offset)[0])
    end = len(data)
    if first & 0x20:
        end -= data[-1]
    if offset > end:
        return None
    return Packet(second & 0x7F, sequence, timestamp, ssrc, offset, end)


def extend(sequence: int, highest: int) -> int:
    """The extended number nearest to ``highest`` (extended) whose lowest 16 bits are ``sequence``."""
    half = SEQUENCE_MODULUS // 2
    return highest + (sequence - highest + half) % SEQUENCE_MODULUS - half
