"""TCP streams of an agent: listening ports, connections out, and what is sent and received on them.

A stream has a name: the role's own for one that it connects, ("accepted", number) for one that a listening port takes. The
role hears of each at most one StreamOpened and one StreamClosed, and nothing after that or after its own CloseStream.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections import Counter
from collections.abc import Callable, Hashable
from functools import partial

from agents.core.agent import CloseStream, Connect, Endpoint, Event, SendStream, StreamClosed, StreamOpened
from agents.core.counters import Counters
from agents.core.room import Port
from agents.runtime.datagram import PortError, socket_family
from agents.runtime.tasks import Tasks

CONNECT_TIMEOUT = 10.0  # s
BACKLOG_MAXIMUM = 1024 * 1024  # bytes of a stream that its peer has not taken; more is an overflow
WAITING_MAXIMUM = 1024  # connections that are not accepted yet; the kernel may allow fewer (net.core.somaxconn)
ACCEPTED_MAXIMUM = 4096  # streams taken at once, where the process may open as many files
ACCEPTED_OF_PEER_MAXIMUM = 256  # of them from one address, so that one peer cannot take all
FILES_KEPT = 64  # open files that accepted streams leave to everything else
LINGER = 5.0  # s: how long a stream that is closed may take to send what was asked before
UNACKNOWLEDGED_TIMEOUT = 20_000  # ms: so long may a peer that has gone without a word leave data or probes unanswered
PROBE_AFTER = 10  # s of silence, after which a peer is asked whether it is there still
PROBE_PERIOD = 3  # s; how many are asked in vain follows from UNACKNOWLEDGED_TIMEOUT, which Linux takes for TCP_KEEPCNT

_REASONS: tuple[tuple[type[OSError], str], ...] = (
    (ConnectionRefusedError, "refused"),
    (ConnectionError, "reset"),
    (TimeoutError, "timeout"),
)


def _reason(error: Exception | None) -> str:
    """The word for what has ended a stream."""
    if error is None:
        return ""
    return next((word for kind, word in _REASONS if isinstance(error, kind)), "unreachable")


class Streams:
    """The streams of one agent: ``tell`` takes what happens to them, ``received`` their data, as each comes."""

    def __init__(
        self,
        counters: Counters,
        tell: Callable[[Event], None],
        received: Callable[[Hashable, bytes], None],
        tasks: Tasks,
    ) -> None:
        self.counters = counters
        self._tasks = tasks
        self.tell = tell
        self.received = received
        self.accepted = 0  # that are open now
        self._accepted_of_peer = Counter[str]()  # by its address
        self._count = 0
        self._known: dict[Hashable, _Stream] = {}
        self._flushing: set[_Stream] = set()
        self._listeners: list[asyncio.Server] = []

    # --- what a role asks for -------------------------------------------------------------------------------------

    async def listen(self, port: Port) -> None:
        """Listen at a port from now on; who connects waits until ``serve``. Raises PortError."""
        opened = socket.socket(socket_family(port.family), socket.SOCK_STREAM)
        try:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if port.family == 6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.bind((port.address, port.number))
            opened.listen(WAITING_MAXIMUM)
            make = partial(_Stream, self, None, port.name, None)
            server = asyncio.get_running_loop().create_server
            self._listeners.append(await server(make, sock=opened, backlog=WAITING_MAXIMUM, start_serving=False))
        except OSError as error:
            opened.close()
            raise PortError(port.address, port.number, error, "TCP") from error

    async def serve(self) -> None:
        """Accept streams from now on."""
        for listener in self._listeners:
            await listener.start_serving()

    def connect(self, action: Connect, source: str) -> None:
        """Begin to connect, from the address ``source`` ("": as the routes say); ValueError for a name that is in use."""
        if action.stream in self._known:
            raise ValueError(f"a stream {action.stream!r} is open already")
        stream = self._known[action.stream] = _Stream(self, action.stream, "", action.destination)
        self._tasks.begin(self._connect(stream, action.destination, source))

    def send(self, action: SendStream) -> None:
        """Queue the data; a stream that its peer does not read is closed with "overflow"."""
        stream = self._known.get(action.stream)
        transport = None if stream is None else stream.transport
        if stream is None or transport is None:
            self.counters.add("unsent.no-stream")
            return
        transport.write(action.data)
        if transport.get_write_buffer_size() > BACKLOG_MAXIMUM:
            self.forget(stream)
            transport.abort()
            asyncio.get_running_loop().call_soon(self.tell, StreamClosed(action.stream, "overflow"))

    def close(self, action: CloseStream) -> None:
        """Close when what was sent has gone, or at once; nothing happens where no such stream is open."""
        stream = self._known.get(action.stream)
        if stream is None:
            return
        self.forget(stream)
        if stream.transport is None:  # it is still connecting
            return
        if action.abort:
            stream.reset()
        else:
            self.finish(stream)

    async def close_all(self) -> None:
        """Close everything in order, and wait a while until what was sent has gone."""
        for listener in self._listeners:
            listener.close()
        for name in list(self._known):
            self.close(CloseStream(name))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while self._flushing:
                    await next(iter(self._flushing)).gone.wait()

    # --- inside ---------------------------------------------------------------------------------------------------

    async def _connect(self, stream: _Stream, destination: Endpoint, source: str) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await asyncio.get_running_loop().create_connection(
                    lambda: stream, *destination, local_addr=(source, 0) if source else None
                )
        except OSError as error:  # TimeoutError is one too
            if self.knows(stream):
                self.forget(stream)
                self.tell(StreamClosed(stream.name, _reason(error)))

    def has_room(self) -> bool:
        """Whether one more may be accepted."""
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        allowed = ACCEPTED_MAXIMUM if files == resource.RLIM_INFINITY else min(ACCEPTED_MAXIMUM, files - FILES_KEPT)
        return self.accepted < allowed

    def accept(self, stream: _Stream, peer: Endpoint) -> bool:
        """Name a stream that a listening port took; False where it may not stay, which is counted."""
        refusal = ""
        if not self.has_room():
            refusal = "refused.too-many-streams"
        elif self._accepted_of_peer[peer.address] >= ACCEPTED_OF_PEER_MAXIMUM:
            refusal = "refused.too-many-streams-of-peer"
        self.accepted += 1
        self._accepted_of_peer[peer.address] += 1
        if refusal:
            self.counters.add(refusal)
            return False
        self._count += 1
        stream.name = ("accepted", self._count)
        self._known[stream.name] = stream
        return True

    def left(self, peer: Endpoint) -> None:
        """The connection of a stream that a listening port took is no more."""
        self.accepted -= 1
        self._accepted_of_peer[peer.address] -= 1
        if not self._accepted_of_peer[peer.address]:
            del self._accepted_of_peer[peer.address]

    def knows(self, stream: _Stream) -> bool:
        """Whether the role still hears of it."""
        return self._known.get(stream.name) is stream

    def forget(self, stream: _Stream) -> None:
        """The role hears no more of it."""
        del self._known[stream.name]

    def finish(self, stream: _Stream) -> None:
        """Close it once what was sent has gone; a peer that does not take it in time is not waited for."""
        if stream.transport is not None:
            self._flushing.add(stream)
            stream.transport.close()
            stream.deadline = asyncio.get_running_loop().call_later(LINGER, stream.transport.abort)

    def ended(self, stream: _Stream) -> None:
        """Its connection is no more."""
        self._flushing.discard(stream)


class _Stream(asyncio.Protocol):
    """One stream; ``transport`` is None until it is open; one that is accepted gets its name and peer then."""

    def __init__(self, streams: Streams, name: Hashable, port: str, peer: Endpoint | None) -> None:
        self._streams = streams
        self.name = name
        self._port = port
        self._peer = peer
        self._is_accepted = peer is None
        self.transport: asyncio.Transport | None = None
        self.deadline: asyncio.TimerHandle | None = None
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        streams = self._streams
        self.transport = transport
        if self._peer is None:
            address, port, *_ = transport.get_extra_info("peername")
            self._peer = Endpoint(address.partition("%")[0], port)
            if not streams.accept(self, self._peer):
                self.reset()
                return
        elif not streams.knows(self):  # the role has closed it meanwhile
            transport.abort()
            return
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_TIMEOUT)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, PROBE_AFTER)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_PERIOD)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        streams.tell(StreamOpened(self.name, self._peer, self._port))

    def data_received(self, data: bytes) -> None:
        if self._is_heard:
            self._streams.received(self.name, data)

    def eof_received(self) -> bool:
        """The peer has closed it: the role hears so now, and what it had sent before still goes out."""
        if self._is_heard:
            self._streams.forget(self)
            self._streams.tell(StreamClosed(self.name))
            self._streams.finish(self)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
        if self._is_accepted and self._peer is not None:
            self._streams.left(self._peer)
        is_heard = self._is_heard
        self.transport = None
        self._streams.ended(self)
        self.gone.set()
        if is_heard:
            self._streams.forget(self)
            self._streams.tell(StreamClosed(self.name, _reason(exc)))

    def reset(self) -> None:
        """Close it at once, and have the peer told so."""
        if self.transport is not None:
            raw = self.transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self.transport.abort()

    @property
    def _is_heard(self) -> bool:
        return self.transport is not None and self._streams.knows(self)


# struct linger: on, 0 s: closing sends a reset, and drops what was not sent.
_AT_ONCE = b"\1\0\0\0\0\0\0\0"
