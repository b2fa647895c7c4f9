"""Streams of the real host against plain sockets: opened, refused, cut at every octet, stalled, reset, half closed, bounded."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
import struct
from collections.abc import AsyncIterator, Hashable
from functools import partial
from pathlib import Path

import pytest

from agents.core.agent import CloseStream, Connect, Endpoint, Event, SendStream, StreamClosed, StreamOpened
from agents.core.room import Port
from agents.runtime import streams
from agents.runtime.configuration import RuntimeConfiguration
from agents.runtime.datagram import PortError
from agents.runtime.host import AgentHost
from tests.agents.hosts import HERE, free_ports, running, told, until
from tests.agents.roles import Asking

RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Answering(Asking):
    """Answers every whole line of a stream with the same line."""

    def received(self, stream: Hashable, data: bytes, now: float) -> None:
        before = self.streamed.get(stream, b"")
        super().received(stream, data, now)
        if (whole := self.streamed[stream].count(b"\n")) > before.count(b"\n"):
            lines = self.streamed[stream].splitlines(keepends=True)[before.count(b"\n") : whole]
            self.act(SendStream(stream, b"".join(lines)))


class Peer:
    """A plain socket, non-blocking."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        opened.setblocking(False)

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def read(self, size: int) -> bytes:
        data = b""
        async with asyncio.timeout(10):
            while len(data) < size and (more := await asyncio.get_running_loop().sock_recv(self.socket, 65536)):
                data += more
        return data


@contextlib.asynccontextmanager
async def connected(number: int, address: str = HERE) -> AsyncIterator[Peer]:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM) as opened:
        peer = Peer(opened)
        await asyncio.get_running_loop().sock_connect(opened, (address, number))
        yield peer


@contextlib.asynccontextmanager
async def listening(backlog: int = 5) -> AsyncIterator[tuple[socket.socket, Endpoint]]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as opened:
        opened.bind((HERE, 0))
        opened.listen(backlog)
        opened.setblocking(False)
        yield opened, Endpoint(*opened.getsockname())


async def accepted(listener: socket.socket) -> Peer:
    async with asyncio.timeout(10):
        return Peer((await asyncio.get_running_loop().sock_accept(listener))[0])


def has_received(agent: Asking, size: int) -> bool:
    return sum(map(len, agent.streamed.values())) == size


def ask(host: AgentHost, agent: Asking, *actions: Connect | SendStream | CloseStream) -> None:
    def step(_now: float) -> None:
        for action in actions:
            agent.act(action)

    host._drive(step)


# --- accepted ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", [HERE, "::1"])
def test_a_stream_is_accepted_cut_at_every_octet_and_closed_by_its_peer(address: str) -> None:
    async def scene() -> None:
        [number] = free_ports(1, socket.SOCK_STREAM, address)
        agent = Answering()
        async with running(agent, Port("mm", number, "tcp", address, 6 if ":" in address else 4)):
            async with connected(number, address) as peer:
                here = peer.socket.getsockname()
                peer.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for octet in range(8):
                    await peer.send(b"one\ntwo\n"[octet : octet + 1])
                    await until(partial(has_received, agent, octet + 1))
                assert await peer.read(8) == b"one\ntwo\n"
            [opened] = await told(agent, StreamOpened)
            assert (opened.peer, opened.port) == (Endpoint(here[0], here[1]), "mm")
            assert await told(agent, StreamClosed) == [StreamClosed(opened.stream)]
            assert agent.streamed == {opened.stream: b"one\ntwo\n"}

    asyncio.run(scene())


def test_peer_that_has_said_all_still_gets_its_answer() -> None:
    async def scene() -> None:
        [number] = free_ports(1, socket.SOCK_STREAM)
        agent = Answering()
        async with running(agent, Port("", number, "tcp", HERE)), connected(number) as peer:
            await peer.send(b"last words\n")
            peer.socket.shutdown(socket.SHUT_WR)
            assert await peer.read(100) == b"last words\n"
            [closed] = await told(agent, StreamClosed)
            assert closed.reason == ""

    asyncio.run(scene())


def test_reset_is_told_as_one() -> None:
    async def scene() -> None:
        [number] = free_ports(1, socket.SOCK_STREAM)
        agent = Asking()
        async with running(agent, Port("", number, "tcp", HERE)) as host:
            async with connected(number) as peer:
                [opened] = await told(agent, StreamOpened)
                peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            assert await told(agent, StreamClosed) == [StreamClosed(opened.stream, "reset")]
            ask(host, agent, SendStream(opened.stream, b"late"), CloseStream(opened.stream))
            assert agent.counters["unsent.no-stream"] == 1

    asyncio.run(scene())


def test_peer_that_does_not_read_overflows_and_delays_nobody() -> None:
    async def scene() -> None:
        [number] = free_ports(1, socket.SOCK_STREAM)
        agent = Answering()
        async with running(agent, Port("", number, "tcp", HERE)) as host, connected(number):
            [deaf] = await told(agent, StreamOpened)
            async with connected(number) as peer:
                await told(agent, StreamOpened, 2)
                sent = 0
                while not any(isinstance(event, StreamClosed) for event in agent.told):
                    ask(host, agent, SendStream(deaf.stream, b"y" * 65_536))
                    sent += 65_536
                    await asyncio.sleep(0)
                assert sent < 64 * 1024 * 1024, "what the kernel holds, and the bound"
                assert sent > streams.BACKLOG_MAXIMUM
                assert await told(agent, StreamClosed) == [StreamClosed(deaf.stream, "overflow")]
                await peer.send(b"hear\n")
                assert await peer.read(5) == b"hear\n"

    asyncio.run(scene())


def test_role_closes_in_order_or_at_once_and_hears_no_more() -> None:
    async def scene() -> None:
        [number] = free_ports(1, socket.SOCK_STREAM)
        agent = Asking()
        async with running(agent, Port("", number, "tcp", HERE)) as host:
            for abort in (False, True):
                agent.told.clear()
                async with connected(number) as peer:
                    [opened] = await told(agent, StreamOpened)
                    ask(host, agent, SendStream(opened.stream, b"bye"), CloseStream(opened.stream, abort))
                    if abort:
                        with pytest.raises(ConnectionResetError):
                            await peer.read(4)
                    else:
                        assert await peer.read(10) == b"bye"
                    with contextlib.suppress(ConnectionError):
                        await peer.send(b"unheard")
                    await until(lambda: host._streams.accepted == 0)
                assert (agent.told, agent.streamed) == ([opened], {})

    asyncio.run(scene())


def test_no_more_streams_are_accepted_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        [number] = free_ports(1, socket.SOCK_STREAM)
        agent = Answering()
        async with running(agent, Port("", number, "tcp", HERE)) as host:
            async with connected(number), connected(number) as second:
                await told(agent, StreamOpened, 2)
                async with connected(number) as third:
                    with contextlib.suppress(ConnectionResetError):
                        assert await third.read(1) == b""
                    await until(lambda: host._streams.accepted == 2)
                await second.send(b"still served\n")
                assert await second.read(13) == b"still served\n"
            await until(lambda: host._streams.accepted == 0)
            async with connected(number):
                await told(agent, StreamOpened, 3)
        assert agent.counters["refused.too-many-streams"] == 1

    monkeypatch.setattr(streams, "ACCEPTED_MAXIMUM", 2)
    asyncio.run(scene())


def test_no_more_streams_of_one_peer_are_accepted_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        [number] = free_ports(1, socket.SOCK_STREAM)
        agent = Answering()
        async with running(agent, Port("", number, "tcp", HERE)) as host:
            async with connected(number), connected(number):
                await told(agent, StreamOpened, 2)
                async with connected(number) as third:
                    with contextlib.suppress(ConnectionResetError):
                        assert await third.read(1) == b""
                    await until(lambda: host._streams.accepted == 2)
                with socket.create_connection((HERE, number), source_address=("127.0.0.5", 0)) as opened:
                    other = Peer(opened)
                    await other.send(b"served\n")
                    assert await other.read(7) == b"served\n"
            await until(lambda: host._streams.accepted == 0)
            assert not host._streams._accepted_of_peer
            async with connected(number):
                await told(agent, StreamOpened, 4)
        assert agent.counters["refused.too-many-streams-of-peer"] == 1

    monkeypatch.setattr(streams, "ACCEPTED_OF_PEER_MAXIMUM", 2)
    asyncio.run(scene())


def test_peer_that_resets_before_it_is_accepted_is_told_with_its_address() -> None:
    async def scene() -> None:
        [number] = free_ports(1, socket.SOCK_STREAM)
        agent = Asking()
        async with running(agent, Port("", number, "tcp", HERE)):
            with socket.create_connection((HERE, number)) as hasty:
                peer = Endpoint(*hasty.getsockname())
                hasty.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            [closed] = await told(agent, StreamClosed)
        assert agent.told == [StreamOpened(closed.stream, peer, ""), StreamClosed(closed.stream, "reset")]

    asyncio.run(scene())


def test_silent_peers_are_asked_whether_they_are_there() -> None:
    """At least three times before they are given up."""

    async def scene() -> None:
        [number] = free_ports(1, socket.SOCK_STREAM)
        agent = Asking(Connect("mine", Endpoint(HERE, number)))
        async with running(agent, Port("", number, "tcp", HERE)) as host:
            await told(agent, StreamOpened, 2)
            for stream in host._streams._known.values():
                assert stream.transport is not None
                raw = stream.transport.get_extra_info("socket")
                assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                idle, period = (
                    raw.getsockopt(socket.IPPROTO_TCP, option) for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL)
                )
                given_up = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000
                assert given_up <= 30
                assert idle + 2 * period < given_up

    asyncio.run(scene())


def test_bound_leaves_files_for_everything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> bool:
        async with running(Asking()) as host:
            host._streams.accepted = 100 - streams.FILES_KEPT
            return host._streams.has_room()

    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, 100))
    assert not asyncio.run(scene())
    monkeypatch.setattr(resource, "getrlimit", lambda _: (101, 101))
    assert asyncio.run(scene())


def test_nothing_reaches_a_role_before_it_is_started(tmp_path: Path) -> None:
    class Ordered(Asking):
        def __init__(self) -> None:
            super().__init__()
            self.calls: list[str] = []

        def start(self, now: float) -> None:
            self.calls.append("start")

        def handle(self, event: Event, now: float) -> None:
            self.calls.append(type(event).__name__)

    async def scene() -> list[str]:
        [number] = free_ports(1, socket.SOCK_STREAM)
        agent = Ordered()

        async def knock() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as opened:
                await until(lambda: opened.connect_ex((HERE, number)) == 0)
                await until(lambda: "StreamOpened" in agent.calls)

        knocking = asyncio.create_task(knock())
        ports = [Port("", number, "tcp", HERE), *(Port(f"{n}", 0, "tcp", HERE) for n in range(5))]
        async with running(agent, *ports, runtime=RuntimeConfiguration(control=str(tmp_path / "control"))):
            await knocking
        return agent.calls

    assert asyncio.run(scene())[:2] == ["start", "StreamOpened"]


def test_port_in_use_is_named_with_the_remedy() -> None:
    async def scene() -> None:
        async with listening() as (_, where):
            with pytest.raises(PortError, match=rf"^TCP {where} cannot be opened: Address already in use; stop what"):
                async with running(Asking(), Port("", where.port, "tcp", HERE)):
                    pytest.fail("it was run")

    asyncio.run(scene())


# --- connected --------------------------------------------------------------------------------------------------------


def test_a_stream_is_connected_from_the_roles_address() -> None:
    async def scene() -> None:
        async with listening() as (listener, where):
            agent = Answering(Connect("mine", where))
            async with running(agent, Port("", 0, address="127.0.0.5")) as host:
                assert await told(agent, StreamOpened) == [StreamOpened("mine", where)]
                peer = await accepted(listener)
                assert peer.socket.getpeername()[0] == "127.0.0.5"
                ask(host, agent, SendStream("mine", b"hello "), SendStream("mine", b"there"))
                assert await peer.read(11) == b"hello there"
                await peer.send(b"hi\n")
                assert await peer.read(3) == b"hi\n"
                peer.socket.close()
                assert await told(agent, StreamClosed) == [StreamClosed("mine")]
                agent.told.clear()
                ask(host, agent, Connect("mine", where))  # the name is free again
                await told(agent, StreamOpened)
                with pytest.raises(ValueError, match="a stream 'mine' is open already"):
                    ask(host, agent, Connect("mine", where))
                peer = await accepted(listener)
                peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
                peer.socket.close()
                assert await told(agent, StreamClosed) == [StreamClosed("mine", "reset")]
                ask(host, agent, Connect("mine", where))  # and again
                await told(agent, StreamOpened, 2)

    asyncio.run(scene())


def test_stream_that_its_peer_resets_at_once_is_told_open_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        connect = loop.sock_connect
        async with listening() as (listener, where):

            async def connect_in_vain(opened: socket.socket, address: tuple[str, int]) -> None:
                await connect(opened, address)
                peer = await accepted(listener)
                peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
                peer.socket.close()

            monkeypatch.setattr(loop, "sock_connect", connect_in_vain)
            agent = Asking(Connect("mine", where))
            async with running(agent):
                await told(agent, StreamClosed)
            assert agent.told == [StreamOpened("mine", where), StreamClosed("mine", "reset")]

    asyncio.run(scene())


def test_stream_that_is_closed_before_it_is_open_is_not_heard_of() -> None:
    async def scene() -> None:
        async with listening() as (listener, where):
            agent = Asking(Connect("mine", where), CloseStream("mine"))
            async with running(agent):
                peer = await accepted(listener)
                assert await peer.read(1) == b""
                peer.socket.close()
            assert agent.told == []

    asyncio.run(scene())


def test_what_cannot_be_connected_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "CONNECT_TIMEOUT", 0.2)

    async def scene() -> None:
        [number] = free_ports(1, socket.SOCK_STREAM)
        async with listening(0) as (_, full):
            with contextlib.ExitStack() as stack:
                for _ in range(4):  # its backlog is full: further ones are not answered
                    filler = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
                    filler.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        filler.connect(full)
                agent = Asking(
                    Connect("refused", Endpoint(HERE, number)),
                    Connect("unreachable", Endpoint("255.255.255.255", 9)),
                    Connect("timeout", full),
                    Connect("given up", full),
                    SendStream("timeout", b"too early"),
                    CloseStream("given up"),
                )
                async with running(agent):
                    events = await told(agent, StreamClosed, 3)
                    assert agent.counters["unsent.no-stream"] == 1
        assert {(event.stream, event.reason) for event in events} == {
            (word, word) for word in ("refused", "unreachable", "timeout")
        }
        assert len(agent.told) == 3

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (None, ""),
        (ConnectionRefusedError(), "refused"),
        (ConnectionResetError(), "reset"),
        (BrokenPipeError(), "reset"),
        (TimeoutError(errno.ETIMEDOUT, "it has gone without a word"), "timeout"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "unreachable"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "unreachable"),
    ],
)
def test_words_for_the_end_of_a_stream(error: OSError | None, reason: str) -> None:
    assert streams._reason(error) == reason


def test_what_was_sent_before_the_end_arrives() -> None:
    async def scene() -> bool:
        [number] = free_ports(1, socket.SOCK_STREAM)
        agent = Asking()
        async with contextlib.AsyncExitStack() as stack:
            async with running(agent, Port("", number, "tcp", HERE)) as host:
                peer = await stack.enter_async_context(connected(number))
                [opened] = await told(agent, StreamOpened)
                sent, stream = 0, host._streams._known[opened.stream]
                assert stream.transport is not None
                while not stream.transport.get_write_buffer_size():  # the kernel takes all that
                    ask(host, agent, SendStream(opened.stream, b"z" * 65_536))
                    sent += 65_536
                reading = asyncio.create_task(peer.read(sent + 1))
            assert stream.gone.is_set(), "the host has waited for it"
            return await reading == b"z" * sent

    assert asyncio.run(scene())
