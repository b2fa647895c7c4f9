"""The multicast contents server's data plane: RTP to a group, at a rate of its own or at the rate of a file.

A plain loop that sleeps until each packet is due: this is the pace of the stream, not a wait for something to happen.
"""

from __future__ import annotations

import random
import signal
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from types import FrameType

from agents.core.checks import check_address, check_port
from agents.core.errors import ConfigurationError
from agents.media import rtp
from agents.media.transport_stream import TransportStream

RATE_MINIMUM, RATE_MAXIMUM = 1.0, 20_000.0  # packets/s
SIZE_MINIMUM, SIZE_MAXIMUM = 8, 1400  # bytes of RTP payload: room for the send time; no fragments
HOP_LIMIT = 16
_BEHIND = 0.01  # s: a packet sent later than this after it was due is counted


@dataclass(frozen=True, slots=True)
class SourceConfiguration:
    """Where to send and what: ``rate`` packets/s of ``size`` payload bytes, or the MPEG-TS file ``media`` in a loop."""

    group: str
    port: int
    interface: str
    rate: float = 1000.0
    size: int = 188
    media: str | None = None
    ssrc: int | None = None

    def check(self) -> None:
        """Raise ConfigurationError for the first thing wrong."""
        check_address("group", self.group, multicast=True)
        check_port("port", self.port)
        if not RATE_MINIMUM <= self.rate <= RATE_MAXIMUM:
            raise ConfigurationError("rate", f"{self.rate} packets/s", f"give {RATE_MINIMUM:g} to {RATE_MAXIMUM:g}")
        if not SIZE_MINIMUM <= self.size <= SIZE_MAXIMUM:
            raise ConfigurationError("size", f"{self.size} bytes", f"give {SIZE_MINIMUM} to {SIZE_MAXIMUM}")


class Source:
    """Sends until told to stop."""

    def __init__(self, configuration: SourceConfiguration) -> None:
        configuration.check()
        self._configuration = configuration
        self._stopping = False
        self.sent = 0
        self.behind = 0
        self.unsent = 0

    def run(self) -> None:
        """Send until SIGTERM or SIGINT; then print the counters."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        configuration = self._configuration
        packets = self._synthetic() if configuration.media is None else self._file(Path(configuration.media))
        with self._open() as sender:
            print("ready", flush=True)
            begin = time.monotonic()
            for due, packet in packets:
                if self._stopping:
                    break
                ahead = begin + due - time.monotonic()
                if ahead > 0:
                    time.sleep(ahead)
                elif ahead < -_BEHIND:
                    self.behind += 1
                self._send(sender, packet)
        print(f"sent={self.sent} behind={self.behind} unsent={self.unsent}", flush=True)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _send(self, sender: socket.socket, packet: bytes) -> None:
        try:
            sender.sendto(packet, (self._configuration.group, self._configuration.port))
        except OSError:  # no route or no link for the moment: the stream goes on, the loss is counted
            self.unsent += 1
        else:
            self.sent += 1

    def _open(self) -> socket.socket:
        index = socket.if_nametoindex(self._configuration.interface)
        if ip_address(self._configuration.group).version == 4:
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", b"", b"", index))
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HOP_LIMIT)
        else:
            sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOP_LIMIT)
        return sender

    def _ssrc(self) -> int:
        given = self._configuration.ssrc
        return random.getrandbits(32) if given is None else given

    def _synthetic(self) -> Iterator[tuple[float, bytes]]:
        """Packets whose payload begins with their send time (CLOCK_REALTIME ns, 64 bits), for one-way delays."""
        configuration, ssrc = self._configuration, self._ssrc()
        padding = bytes(configuration.size - 8)
        for number in count():
            due = number / configuration.rate
            payload = time.time_ns().to_bytes(8, "big") + padding
            yield due, rtp.build(rtp.PAYLOAD_TYPE_SYNTHETIC, number, round(due * rtp.CLOCK_RATE), ssrc, payload)

    def _file(self, path: Path) -> Iterator[tuple[float, bytes]]:
        """The file in a loop; RTP timestamps go on where the last round ended (RFC 2250 section 2)."""
        ssrc = self._ssrc()
        with TransportStream(path) as stream:
            duration = stream.pace.duration_s
            numbers = count()
            for round_number in count():
                for offset, payload in stream.datagrams():
                    due = round_number * duration + offset
                    timestamp = round(due * rtp.CLOCK_RATE)
                    yield due, rtp.build(rtp.PAYLOAD_TYPE_MP2T, next(numbers), timestamp, ssrc, payload)
