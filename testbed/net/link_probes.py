"""Sends probes from one end of a link to the other and says what became of them.

Frames of an EtherType for local experiments, stamped when they are sent and, by the kernel, when they arrive, go over all
links side by side. Nobody else answers or forwards them: each is addressed to the interface that waits for it.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Self

from testbed.net.netlink import NetworkNamespace

ETHER_TYPE = 0x88B5  # IEEE 802: local experimental
FRAME_MIN = 60
FRAME_MAX = 1514

_ETHERNET = struct.Struct("!6s6sH")
_STAMP = struct.Struct("!IIQ")  # run and number of the probe, nanoseconds of CLOCK_REALTIME
_TIMESPEC = struct.Struct("@qq")

# linux/if_packet.h, asm-generic/socket.h
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
_SO_TIMESTAMPNS, _SO_RCVBUFFORCE = 35, 33
_ETH_P_ALL = 3

_BUFFER_OCTETS = 16 << 20
_ROUND = 64
"""Frames that are sent before what has arrived is taken, where sockets hold as little as an ordinary user's may."""


@dataclass(frozen=True, slots=True)
class Station:
    """An interface that probes go out of and come in at."""

    namespace: NetworkNamespace
    interface: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """A probe that came through: its number, how long it took and when it came, seconds, and its octets."""

    number: int
    delay_s: float
    at_s: float
    size: int


@dataclass(slots=True)
class Track:
    """One direction of one link: from where to where, how many probes were sent, and those that arrived, in order."""

    name: str
    sender: Station
    receiver: Station
    run: int = 0
    sent: int = 0
    arrivals: list[Arrival] = field(default_factory=list)
    _out: socket.socket | None = None
    _in: socket.socket | None = None
    _header: bytes = b""
    is_roomy: bool = False
    """Whether what arrives may wait until all is sent."""

    def open(self, stack: ExitStack) -> None:
        """Open its sockets, in the namespaces of its ends."""
        self._out = stack.enter_context(_packet_socket(self.sender, 0))
        # A bridge takes what comes in at its port before a socket of one EtherType sees it.
        self._in = stack.enter_context(_packet_socket(self.receiver, _ETH_P_ALL))
        self.is_roomy = self._in.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= _BUFFER_OCTETS
        here, there = (
            bytes.fromhex(station.namespace.state(station.interface).hardware_address.replace(":", ""))
            for station in (self.sender, self.receiver)
        )
        self._header = _ETHERNET.pack(there, here, ETHER_TYPE)

    def fileno(self) -> int:
        """Of the socket where probes arrive."""
        assert self._in is not None
        return self._in.fileno()

    def send(self, size: int) -> None:
        """Send one probe of so many octets, without their checksum."""
        assert self._out is not None
        head = self._header + _STAMP.pack(self.run, self.sent, time.time_ns())
        try:
            self._out.send(head.ljust(size, b"\0"))
        except BlockingIOError:
            return  # as much waits on the link as this socket may have on its way: nothing was sent
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # a full queue: lost like any other
                raise
        self.sent += 1

    def take(self) -> None:
        """Note whatever has arrived."""
        assert self._in is not None
        with suppress(BlockingIOError):
            while True:
                frame, ancillary, _, _ = self._in.recvmsg(2048, 64)
                _, _, kind = _ETHERNET.unpack_from(frame)
                stamps = [
                    data for level, what, data in ancillary if (level, what) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS)
                ]
                if kind == ETHER_TYPE and stamps:
                    whole, nanoseconds = _TIMESPEC.unpack(stamps[0])
                    run, number, sent_ns = _STAMP.unpack_from(frame, _ETHERNET.size)
                    came_ns = whole * 10**9 + nanoseconds
                    if run == self.run:  # not one that was late
                        self.arrivals.append(Arrival(number, (came_ns - sent_ns) / 1e9, came_ns / 1e9, len(frame)))

    @property
    def is_complete(self) -> bool:
        """Whether as many have arrived as were sent."""
        return len(self.arrivals) >= self.sent

    def forget(self) -> None:
        """Begin anew."""
        self.run, self.sent, self.arrivals = self.run + 1, 0, []


def _packet_socket(station: Station, protocol: int) -> socket.socket:
    def make() -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        made.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        try:
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_OCTETS)
        except PermissionError:  # an ordinary user's: as much as the host allows
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_OCTETS)
        made.bind((station.interface, protocol))
        return made

    return station.namespace.run(make)


class Prober:
    """Sends and takes the probes of several tracks, in one thread. A context manager."""

    def __init__(self, tracks: Iterable[Track]) -> None:
        self.tracks = tuple(tracks)
        self._stack = ExitStack()
        self._poll = select.epoll()
        self._by_number: dict[int, Track] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._poll.close)
            for track in self.tracks:
                track.open(stack)
                self._poll.register(track.fileno(), select.EPOLLIN)
                self._by_number[track.fileno()] = track
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, schedule: Sequence[tuple[float, Track, int]], drain_s: float) -> None:
        """Send what the schedule says: seconds from now, track and octets, in order of time.

        Returns when all have arrived, or when none has for ``drain_s`` after the last was sent.
        """
        for track in self.tracks:
            track.forget()
        begun = time.monotonic()
        position = 0
        end = float("inf")
        while True:
            elapsed = time.monotonic() - begun
            round_ends = min(position + _ROUND, len(schedule))
            while position < round_ends and schedule[position][0] <= elapsed:
                _, track, size = schedule[position]
                track.send(size)
                position += 1
            if position == len(schedule) and end == float("inf"):
                end = elapsed + drain_s
            wait_s = (schedule[position][0] if position < len(schedule) else end) - elapsed
            if wait_s <= 0 and position < len(schedule) and all(track.is_roomy for track in self.tracks):
                continue  # late: sending comes first
            came = self._poll.poll(max(0.0, wait_s))
            for number, _ in came:
                self._by_number[number].take()
            if came and position == len(schedule):
                end = time.monotonic() - begun + drain_s
            if position == len(schedule) and (elapsed >= end or all(track.is_complete for track in self.tracks)):
                return
