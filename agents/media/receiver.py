"""The mobile node's data plane: takes the group's RTP packets with the kernel's arrival times and measures windows.

It joins nothing: membership is the mobile node's agent's affair, and the kernel hands every socket bound to the group's
port what the host is a member of. That keeps the data flowing while the agent drops and adds its membership. Where it has
``orders``, the agent says which group's, and under which keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from agents.core.counters import Counters
from agents.core.errors import ConfigurationError
from agents.core.media_control import MediaOrder, MediaReport
from agents.core.room import Field
from agents.media import rtp
from agents.media.arrivals import ArrivalLog, WindowError
from agents.media.delivery import Delivery
from agents.media.orders import REPORT_PERIOD, Orders, check_destination
from agents.media.srtp import Keys
from agents.runtime.control import ControlError, ControlServer, Request, answering
from agents.runtime.tasks import Tasks

_SO_TIMESTAMPNS = 35  # <asm-generic/socket.h>, not in Python's socket module
_SO_RXQ_OVFL = 40
_TIMESPEC = struct.Struct("@qq")
_RECEIVE_BUFFER = 4 << 20  # bytes
_DATAGRAMS_PER_WAKE_UP = 256
_REPORT_PERIOD = 0.5  # s, between two reports to the mobile node's agent


@dataclass(frozen=True, slots=True)
class ReceiverConfiguration:
    """The group and port; ``media`` is a file for the payloads; ``report_to`` the control socket of the agent to tell.

    ``orders`` is the application socket of a role that says group and port, in their place. ``eavesdrops_on`` is an interface
    by which the receiver is a member itself, from the moment when it is told to stop, or begins without orders: it goes on, with
    what keys it has.
    """

    group: str = ""
    port: int = 0
    media: str | None = None
    report_to: str | None = None
    orders: str | None = None
    eavesdrops_on: str | None = None

    def check(self) -> None:
        """Raise ConfigurationError for the first thing wrong."""
        check_destination(self.orders, self.group, self.port)
        if self.orders is not None and self.report_to is not None:
            raise ConfigurationError("report_to", "given, and orders", "leave it out: the role that orders is told")


class Reception:
    """The state of one received stream: counts, RFC 3550 jitter, and the log of arrivals. No input or output."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.arrivals = ArrivalLog()
        self.delivery = Delivery(self.counters)
        self.ssrc: int | None = None
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.jitter = 0.0  # timestamp units (RFC 3550 A.8)
        self._highest = 0
        self._transit: float | None = None

    def packet_arrived(self, data: bytes, time_ns: int) -> list[bytes]:
        """Take one datagram; returns the payloads that are the application's now, each once and in order."""
        packet = rtp.parse(data)
        if packet is None:
            self.counters.add("dropped.not-rtp")
            return []
        self.counters.add("received.packets")
        released = self._begin_source(packet, time_ns) if packet.ssrc != self.ssrc else []
        number = rtp.extend(packet.sequence, self._highest)
        self.arrivals.add(time_ns, number)
        if self.first_ns is None:
            self.first_ns = time_ns
        self.last_ns = time_ns
        self._measure_jitter(packet, time_ns)
        if number <= self._highest:
            self.counters.add("received.old")
        else:
            self._highest = number
        return released + self.delivery.take(number, data[packet.payload_offset : packet.payload_end], time_ns)

    def _begin_source(self, packet: rtp.Packet, time_ns: int) -> list[bytes]:
        if self.ssrc is not None:
            self.counters.add("received.new-source")
        self.ssrc = packet.ssrc
        # The numbers of a new source go on above the old one's, so that a window over both shows no false duplicates.
        base = self._highest - self._highest % rtp.SEQUENCE_MODULUS + rtp.SEQUENCE_MODULUS
        self._highest = base + packet.sequence - 1
        self._transit = None
        return self.delivery.flush(time_ns)

    def _measure_jitter(self, packet: rtp.Packet, time_ns: int) -> None:
        transit = time_ns * rtp.CLOCK_RATE / 1e9 - packet.timestamp
        if self._transit is not None:
            # Timestamps wrap at 32 bits.
            difference = (transit - self._transit + 2**31) % 2**32 - 2**31
            self.jitter += (abs(difference) - self.jitter) / 16
        self._transit = transit

    def describe(self) -> dict[str, object]:
        """Counts, jitter in ms, and times of the first and last packet (CLOCK_REALTIME ns)."""
        return {
            "counters": dict(self.counters.snapshot()),
            "packets_received": self.counters["received.packets"],
            "jitter_ms": self.jitter * 1000 / rtp.CLOCK_RATE,
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "forgotten": self.arrivals.overwritten,
        }


class Receiver:
    """The receiver process."""

    def __init__(self, configuration: ReceiverConfiguration, control: str | None) -> None:
        configuration.check()
        self._configuration = configuration
        self._tasks = Tasks(self._fail)
        self._finished = asyncio.Event()
        self._failure: BaseException | None = None
        self._control = None if control is None else ControlServer(Path(control), self._command, self._tasks)
        self._reception = Reception()
        self._answer = answering(self._requests())
        self._socket: socket.socket | None = None
        self._order = MediaOrder("stop")
        self._keys: Keys | None = None
        self._orders = None
        if configuration.orders is None:
            self._order = MediaOrder("receive", configuration.group, configuration.port)
            self._socket = self._open(self._order)
            if configuration.eavesdrops_on is not None:
                self._keys = Keys(self._reception.counters)  # none
                _join(self._socket, configuration.group, configuration.eavesdrops_on)
        else:
            self._orders = Orders(configuration.orders, self._reception.counters)
        media = configuration.media
        # Unbuffered, so that what a full disk does not take is lost at once and counted, and nothing fails at the end.
        self._media: FileIO | None = None if media is None else Path(media).open("wb", buffering=0)  # noqa: SIM115  closed by run
        self._kernel_drops = 0

    async def run(self) -> None:
        """Receive until SIGTERM or SIGINT, then print the counters; or until an error of ours, which is raised."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._finished.set)
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._close)
            if self._orders is not None:
                stack.callback(self._orders.close)
            if self._media is not None:
                stack.callback(self._media.close)
            stack.callback(self._play_what_waits)
            stack.push_async_callback(self._tasks.close)
            if self._control is not None:
                stack.push_async_callback(self._control.close)
                await self._control.start()
            if self._socket is not None:
                loop.add_reader(self._socket, self._drain)
            self._tasks.begin(self._report_forever() if self._orders is None else self._attend_forever(self._orders))
            print("ready", flush=True)
            await self._finished.wait()
        if self._failure is not None:
            raise self._failure
        print(json.dumps(self._describe()), flush=True)

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._finished.set()

    def _play_what_waits(self) -> None:
        self._play(self._reception.delivery.flush(time.time_ns()))

    def _open(self, order: MediaOrder) -> socket.socket:
        family = socket.AF_INET if ip_address(order.group).version == 4 else socket.AF_INET6
        opened = socket.socket(family, socket.SOCK_DGRAM)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # several receivers of a group on one host
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            opened.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
            opened.setblocking(False)
            opened.bind((order.group, order.port))
        except OSError:
            opened.close()
            raise
        self._kernel_drops = 0
        return opened

    def _close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _drain(self) -> None:
        if self._socket is None:
            return
        now = time.monotonic()
        for _ in range(_DATAGRAMS_PER_WAKE_UP):
            try:
                data, ancillary, _, _ = self._socket.recvmsg(65535, 128)
            except BlockingIOError:
                return
            time_ns: int | None = None
            for _, kind, value in ancillary:
                if kind == _SO_TIMESTAMPNS:
                    seconds, nanoseconds = _TIMESPEC.unpack(value[: _TIMESPEC.size])
                    time_ns = seconds * 1_000_000_000 + nanoseconds
                elif kind == _SO_RXQ_OVFL:
                    drops = int.from_bytes(value[:4], "little")
                    self._reception.counters.add("dropped.receive-queue-full", drops - self._kernel_drops)
                    self._kernel_drops = drops
            if time_ns is None:
                self._reception.counters.add("dropped.no-arrival-time")
                continue
            if self._keys is not None:
                plain = self._keys.unprotect(data, now)
                if plain is None:
                    continue
                data = plain
            self._play(self._reception.packet_arrived(data, time_ns))

    def _play(self, payloads: list[bytes]) -> None:
        """The application: a file, or nothing. A payload that finds no room, or not enough, is counted as lost."""
        if self._media is None:
            return
        for payload in payloads:
            try:
                is_whole = self._media.write(payload) == len(payload)
            except OSError:
                is_whole = False
            if not is_whole:
                self._reception.counters.add("dropped.media")

    def _requests(self) -> Iterator[Request]:
        reception = self._reception
        yield Request("state", "What has been received.", lambda _: {"state": {"role": "receiver", **self._describe()}})
        yield Request("counters", "What was counted.", lambda _: {"counters": dict(reception.counters.snapshot())})
        yield Request(
            "window",
            "What arrived, and what was delivered, between two times.",
            self._window,
            (Field("begin_ns", "CLOCK_REALTIME, ns.", int), Field("end_ns", "CLOCK_REALTIME, ns.", int)),
        )

    def _window(self, values: Mapping[str, Any]) -> Mapping[str, object]:
        begin_ns, end_ns = values["begin_ns"], values["end_ns"]
        try:
            arrived = self._reception.arrivals.window(begin_ns, end_ns).plain()
            delivered = self._reception.delivery.log.window(begin_ns, end_ns).plain()
        except WindowError as error:
            raise ControlError(str(error)) from error
        return {"window": {**arrived, "delivered": delivered}}

    async def _command(self, request: Mapping[str, object]) -> Mapping[str, object]:
        self._drain()  # what has arrived before the question belongs to the answer
        return await self._answer(request)

    def _describe(self) -> dict[str, object]:
        """What was received, what a receiver that has orders does, and how many packets each generation of keys has opened."""
        described = self._reception.describe()
        if self._orders is not None:
            order = self._order
            described["order"] = {"action": order.action, "group": order.group, "generation": order.generation}
        if self._keys is not None:
            described["decrypted"] = dict(self._keys.decrypted)
        return described

    async def _attend_forever(self, orders: Orders) -> None:
        """Take the role's orders as they come, and report to it."""
        report_at = now = time.monotonic()
        while True:
            if now >= report_at:
                orders.attend(self._report())
                report_at = now + REPORT_PERIOD
            await _readable(orders.connection, report_at - now)
            changes = [self._obey(order) for order in orders.taken()]
            now = time.monotonic()
            if any(changes):
                report_at = now

    def _obey(self, order: MediaOrder) -> bool:
        """Do what an order says that is for a receiver; whether it has changed anything."""
        if order.action == "send" or order == self._order:
            return False
        if order.action == "stop" and self._socket is not None and self._configuration.eavesdrops_on is not None:
            _join(self._socket, self._order.group, self._configuration.eavesdrops_on)
            self._order = order  # says so, and goes on
            return True
        self._drain()  # what has arrived before the order is taken as it was until now
        if (order.action, order.group, order.port) != (self._order.action, self._order.group, self._order.port):
            self._close()
            self._keys = None
            self._play_what_waits()
            if order.action == "receive":
                try:
                    self._socket = self._open(order)
                except OSError as error:
                    # The report says that nothing is received, and the role orders again.
                    self._reception.counters.add(f"failed.receive.{error.errno}")
                    self._order = MediaOrder("stop")
                    return True
                asyncio.get_running_loop().add_reader(self._socket, self._drain)
        if order.key is None:
            self._keys = None
        else:
            keys = self._keys or Keys(self._reception.counters)
            if not keys.take(order.generation, order.key, order.roll_over_counter, time.monotonic()):
                return False
            self._keys = keys
        self._order = order
        return True

    def _report(self) -> MediaReport:
        roll_over_counter = 0 if self._keys is None else self._keys.roll_over_counter
        packets = self._reception.counters["received.packets"]
        return MediaReport(roll_over_counter, packets, self._order.generation, self._order.action)

    async def _report_forever(self) -> None:
        """Tell the mobile node's agent what has been received, for its status reports. Its absence is counted."""
        if self._configuration.report_to is None:
            return
        while True:
            await asyncio.sleep(_REPORT_PERIOD)
            message = {
                "command": "data-channel-status",
                "packets_received": self._reception.counters["received.packets"],
                "group": str(ip_address(self._configuration.group)),
            }
            try:
                reader, writer = await asyncio.open_unix_connection(self._configuration.report_to)
            except OSError:
                self._reception.counters.add("unsent.report")
                continue
            try:
                writer.write(json.dumps(message).encode() + b"\n")
                await reader.readline()
            except ConnectionError:
                self._reception.counters.add("unsent.report")
            finally:
                writer.close()


def _join(member: socket.socket, group: str, interface: str) -> None:
    index = socket.if_nametoindex(interface)
    octets = ip_address(group).packed
    if len(octets) == 4:
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, octets + struct.pack("=4xi", index))  # ip_mreqn
    else:
        member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, octets + struct.pack("=i", index))


async def _readable(connection: socket.socket | None, at_most: float) -> None:
    """Wait until there is something to read, ``at_most`` s."""
    loop = asyncio.get_running_loop()
    come = asyncio.Event()
    if connection is not None:
        loop.add_reader(connection, come.set)
    try:
        await asyncio.wait_for(come.wait(), at_most)
    except TimeoutError:
        pass
    finally:
        if connection is not None:
            loop.remove_reader(connection)
