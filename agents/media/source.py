"""The multicast contents server's data plane: RTP to a group, at a rate of its own or at the rate of a file.

A plain loop that waits until each packet is due: this is the pace of the stream, not a wait for something to happen. Where
the source has ``orders``, its role says when, where to, and under which key it sends, and the same wait hears it.
"""

from __future__ import annotations

import random
import select
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

import pylibsrtp

from agents.core.counters import Counters
from agents.core.errors import ConfigurationError
from agents.core.media_control import MediaOrder, MediaReport
from agents.media import rtp
from agents.media.orders import REPORT_PERIOD, Orders, check_destination
from agents.media.srtp import Protection
from agents.media.transport_stream import TransportStream

RATE_MINIMUM, RATE_MAXIMUM = 1.0, 20_000.0  # packets/s
SIZE_MINIMUM, SIZE_MAXIMUM = 8, 1400  # bytes of RTP payload: room for the send time; no fragments
PROTECTED_SIZE_MAXIMUM = 1344  # bytes, where it may have to be SRTP: what pylibsrtp takes
FIRST_NUMBER_MAXIMUM = (1 << 47) - 1
HOP_LIMIT = 16
ORPHANED_S = 10.0  # s that a source goes on without its role, which may be starting again
_BEHIND = 0.01  # s: a packet sent later than this after it was due is counted
_IDLE_S = 0.2  # s between two looks at whether to end, while nothing is sent
_LATE_PACKETS_PER_LOOK = 64  # sent without a look at the orders, while there is no time to wait

Payload = bytes | None
"""What a packet carries; None: the time at which it is sent, and padding."""


@dataclass(frozen=True, slots=True)
class SourceConfiguration:
    """Where to send and what: ``rate`` packets/s of ``size`` payload bytes, or the MPEG-TS file ``media`` in a loop.

    ``orders`` is the application socket of a role that says where to, in place of ``group``, ``port`` and ``interface``.
    ``first_number`` is the first packet's number, extended by the roll-over counter: 65,500 wraps after 36 packets.
    """

    group: str = ""
    port: int = 0
    interface: str = ""
    rate: float = 1000.0
    size: int = 188
    media: str | None = None
    ssrc: int | None = None
    first_number: int = 0
    orders: str | None = None

    def check(self) -> None:
        """Raise ConfigurationError for the first thing wrong."""
        check_destination(self.orders, self.group, self.port, interface=self.interface)
        if self.orders is not None and self.ssrc is not None:
            # Begun again under the same key, the source would use the same key stream for other data [RFC 3711 9.1].
            raise ConfigurationError("ssrc", f"{self.ssrc}, and orders", "leave it out: it is drawn at each start")
        if not RATE_MINIMUM <= self.rate <= RATE_MAXIMUM:
            raise ConfigurationError("rate", f"{self.rate} packets/s", f"give {RATE_MINIMUM:g} to {RATE_MAXIMUM:g}")
        size_maximum = SIZE_MAXIMUM if self.orders is None else PROTECTED_SIZE_MAXIMUM
        if not SIZE_MINIMUM <= self.size <= size_maximum:
            raise ConfigurationError("size", f"{self.size} bytes", f"give {SIZE_MINIMUM} to {size_maximum}")
        if not 0 <= self.first_number <= FIRST_NUMBER_MAXIMUM:
            raise ConfigurationError("first_number", str(self.first_number), f"give 0 to {FIRST_NUMBER_MAXIMUM}")


class Source:
    """Sends until told to stop."""

    def __init__(self, configuration: SourceConfiguration) -> None:
        configuration.check()
        self._configuration = configuration
        self._counters = Counters()
        self._orders = None if configuration.orders is None else Orders(configuration.orders, self._counters)
        self._order = MediaOrder("stop")
        if self._orders is None:
            self._order = MediaOrder("send", configuration.group, configuration.port, configuration.interface)
        self._sender: socket.socket | None = None
        self._protection: Protection | None = None
        # Keys, and when (monotonic s) each takes the place of the one before.
        self._ssrc = random.getrandbits(32) if configuration.ssrc is None else configuration.ssrc
        self._number = configuration.first_number
        self._begin = 0.0  # s, monotonic: when the stream would have begun if it had never paused
        self._paused = 0.0  # s, of all pauses together
        self._report_at = 0.0
        self._role_seen = 0.0
        self._stopping = False
        self.sent = 0
        self.behind = 0
        self.unsent = 0

    def run(self) -> None:
        """Send until SIGTERM or SIGINT; then print the counters."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        media = self._configuration.media
        payloads = self._synthetic() if media is None else self._file(Path(media))
        if self._orders is None:
            self._sender = self._open(self._order)
        print("ready", flush=True)
        try:
            self.send_all(payloads, time.monotonic())
        finally:
            self.close()
        print(f"sent={self.sent} behind={self.behind} unsent={self.unsent}", flush=True)
        for name, value in self._counters.snapshot().items():
            print(f"{name}={value}", flush=True)

    def close(self) -> None:
        """Close what is open."""
        self._close()
        if self._orders is not None:
            self._orders.close()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    # --- the stream ---------------------------------------------------------------------------------------------------

    def send_all(self, payloads: Iterator[tuple[float, Payload]], begin: float) -> None:
        """Send each payload when it is due, counted from ``begin`` (monotonic s), while there is somewhere to send to."""
        self._begin = self._role_seen = begin
        for due, payload in payloads:
            self._await(due)
            if self._stopping:
                return
            self._send(self._packet(due, payload))

    def _await(self, due: float) -> None:
        """Until a packet is due, and may be sent: orders are heard meanwhile."""
        is_late = False
        while not self._stopping:
            now = time.monotonic()
            ahead = self._begin + due - now
            if self._orders is None:
                if ahead > 0:
                    time.sleep(ahead)
                    return
            elif self._sender is None:
                self._listen(now, _IDLE_S)
                self._pause(now)
                continue
            elif ahead > 0 or (not is_late and self._number % _LATE_PACKETS_PER_LOOK == 0):
                is_late = ahead <= 0
                self._listen(now, max(ahead, 0.0))
                continue
            if ahead < -_BEHIND:
                self.behind += 1
            return

    def _pause(self, since: float) -> None:
        gone = time.monotonic() - since
        self._begin += gone
        self._paused += gone

    def _packet(self, due: float, payload: Payload) -> bytes:
        kind = rtp.PAYLOAD_TYPE_MP2T
        if payload is None:
            kind = rtp.PAYLOAD_TYPE_SYNTHETIC
            payload = time.time_ns().to_bytes(8, "big") + bytes(self._configuration.size - 8)
        timestamp = round((due + self._paused) * rtp.CLOCK_RATE)
        return rtp.build(kind, self._number, timestamp, self._ssrc, payload)

    def _send(self, packet: bytes) -> None:
        assert self._sender is not None  # waited for
        try:
            if self._protection is not None:
                packet = self._protection.protect(packet)
            self._sender.sendto(packet, (self._order.group, self._order.port))
        except (OSError, pylibsrtp.Error):
            # No route or no link for the moment, or a key that has served its time: the stream goes on, the loss is counted.
            self.unsent += 1
        else:
            self.sent += 1
        self._number += 1
        if self._number % rtp.SEQUENCE_MODULUS == 0:
            self._report_at = 0.0  # the roll-over counter has changed

    def _open(self, order: MediaOrder) -> socket.socket:
        index = socket.if_nametoindex(order.interface)
        if ip_address(order.group).version == 4:
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", b"", b"", index))
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, HOP_LIMIT)
        else:
            sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOP_LIMIT)
        return sender

    def _close(self) -> None:
        self._protection = None
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def _synthetic(self) -> Iterator[tuple[float, Payload]]:
        """When each packet is due; its payload begins with its send time (CLOCK_REALTIME ns, 64 bits)."""
        for number in count():
            yield number / self._configuration.rate, None

    def _file(self, path: Path) -> Iterator[tuple[float, Payload]]:
        """The file in a loop; RTP timestamps go on where the last round ended (RFC 2250 section 2)."""
        with TransportStream(path) as stream:
            duration = stream.pace.duration_s
            for round_number in count():
                for offset, payload in stream.datagrams():
                    yield round_number * duration + offset, payload

    # --- the role's orders --------------------------------------------------------------------------------------------

    def _listen(self, now: float, at_most: float) -> None:
        """Take orders that come within ``at_most`` s, or report if it is time to."""
        assert self._orders is not None  # there is nobody to listen to else
        if now >= self._report_at:
            self._orders.attend(self._report())
            self._report_at = now + REPORT_PERIOD
        connection = self._orders.connection
        wait = min(at_most, self._report_at - now)
        if connection is None:
            if wait > 0:
                time.sleep(wait)
            if self._order.action != "stop" and now - self._role_seen > ORPHANED_S:
                self._counters.add("stopped.no-role")
                self._obey(MediaOrder("stop"))
            return
        self._role_seen = now
        readable, _, _ = select.select([connection], [], [], wait)
        if readable:
            for order in self._orders.taken():
                self._obey(order)

    def _obey(self, order: MediaOrder) -> None:
        """Do what an order says that is for a source, and report if anything has changed by it."""
        if order.action == "receive" or order == self._order:
            return
        last, self._order = self._order, order
        if (order.group, order.port, order.interface) != (last.group, last.port, last.interface):
            self._close()
            if order.action == "send":
                try:
                    self._sender = self._open(order)
                except OSError as error:
                    # The report says that nothing is sent, and the role orders again.
                    self._counters.add(f"failed.send.{error.errno or 'no-interface'}")
                    self._order = MediaOrder("stop")
        if order.key is None:
            self._protection = None
        elif self._protection is None or order.key != last.key:
            self._protection = Protection(order.key, self._ssrc, self._number)
        self._report_at = 0.0

    def _report(self) -> MediaReport:
        roll_over_counter = self._number // rtp.SEQUENCE_MODULUS % (1 << 32)
        return MediaReport(roll_over_counter, self.sent, self._order.generation, self._order.action)
