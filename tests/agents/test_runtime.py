"""The runtime's hands that need no network of their own: UDP on 127.0.0.1, control sockets, trace files; the bare node."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from agents.core.agent import AddressConfigured, ConfigureAddress, Endpoint, JoinGroup, LeaveGroup, RenewMembership
from agents.core.counters import Counters
from agents.core.links import LinkDetected, LinkDown, LinkUp
from agents.mmcp.bare_node import BareNode, BareNodeConfiguration
from agents.mmcp.events import ApplicationLeave, DataChannelReport
from agents.runtime.control import MAXIMUM_LINE, ControlError, ControlServer, request
from agents.runtime.datagram import DATAGRAMS_PER_WAKE_UP, DatagramPort, PortError, family_of
from agents.runtime.tasks import Tasks
from agents.runtime.tracing import TraceFile
from tests.agents.lab import POINTS

# --- UDP --------------------------------------------------------------------------------------------------------------


THERE = Endpoint("127.0.0.1", 9)


def ignore(_data: bytes, _source: Endpoint) -> None:
    pass


def test_datagrams_are_drained_in_order_with_their_sources() -> None:
    total = 2 * DATAGRAMS_PER_WAKE_UP + 3

    async def scene() -> list[tuple[bytes, Endpoint]]:
        counters, received = Counters(), asyncio.Queue[tuple[bytes, Endpoint]]()
        there = DatagramPort(4, "127.0.0.1", 0, counters, lambda data, source: received.put_nowait((data, source)))
        here = DatagramPort(4, "127.0.0.1", 0, counters, ignore)
        where = Endpoint(*there._socket.getsockname())
        begin = Endpoint(*here._socket.getsockname())
        try:
            rows = []
            for batch in range(0, total, 100):  # what a socket's buffer holds at once
                numbers = range(batch, min(batch + 100, total))
                for number in numbers:
                    here.send(number.to_bytes(2, "big"), where)
                rows += [await received.get() for _ in numbers]
            assert {source for _, source in rows} == {begin}
            return rows
        finally:
            there.close()
            here.close()

    assert [data for data, _ in asyncio.run(scene())] == [number.to_bytes(2, "big") for number in range(total)]


def test_port_in_use_is_named_with_the_remedy() -> None:
    async def scene(port: int) -> None:
        DatagramPort(4, "127.0.0.1", port, Counters(), ignore)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(PortError) as raised:
            asyncio.run(scene(port))
    assert str(raised.value) == (
        f"UDP 127.0.0.1:{port} cannot be opened: Address already in use; "
        "stop what listens there (ss -lntup names it), or configure another port"
    )
    assert isinstance(raised.value, OSError)


def test_address_of_somebody_else_is_named_with_the_remedy() -> None:
    async def scene() -> None:
        DatagramPort(4, "192.0.2.1", 24793, Counters(), ignore)

    with pytest.raises(
        PortError, match=r"UDP 192\.0\.2\.1:24793 cannot be opened: .*; give the address to an interface"
    ):
        asyncio.run(scene())


def test_what_the_kernel_refuses_to_send_is_counted() -> None:
    async def scene() -> Mapping[str, int]:
        counters = Counters()
        port = DatagramPort(4, "127.0.0.1", 0, counters, ignore)
        port.send(bytes(65_536), Endpoint("127.0.0.1", 9))
        port.close()
        return counters.snapshot()

    [(name, amount)] = asyncio.run(scene()).items()
    assert name.startswith("unsent.OSError.")
    assert amount == 1


def test_the_end_of_a_wake_up_is_told_once_for_all_its_datagrams() -> None:
    async def scene() -> list[str]:
        told: list[str] = []
        there = DatagramPort(
            4, "127.0.0.1", 0, Counters(), lambda data, _: told.append(data.decode()), lambda: told.append("drained")
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            for data in (b"a", b"b", b"c"):
                peer.sendto(data, there._socket.getsockname())
        there._drain()
        there.close()
        return told

    assert asyncio.run(scene()) == ["a", "b", "c", "drained"]


def test_a_port_that_its_receiver_closes_is_read_no_more() -> None:
    async def scene() -> tuple[list[bytes], Mapping[str, int]]:
        counters, received = Counters(), list[bytes]()

        def receive_once(data: bytes, _source: Endpoint) -> None:
            received.append(data)
            port.close()

        port = DatagramPort(4, "127.0.0.1", 0, counters, receive_once)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            for data in (b"a", b"b"):
                peer.sendto(data, port._socket.getsockname())
        port._drain()
        return received, counters.snapshot()

    assert asyncio.run(scene()) == ([b"a"], {})


def test_too_many_open_files_are_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(PortError, match=r"Too many open files; raise this process's limit of open files \(ulimit -n\)"):
        DatagramPort(4, "127.0.0.1", 0, Counters(), ignore)


def test_icmp_error_about_an_earlier_datagram_is_counted_and_survived() -> None:
    async def scene() -> None:
        counters, received = Counters(), asyncio.Queue[bytes]()
        port = DatagramPort(4, "127.0.0.1", 0, counters, lambda data, _: received.put_nowait(data))
        mine = port._socket.getsockname()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            port._socket.connect(peer.getsockname())
        port._socket.send(b"to nobody")  # the kernel answers for the closed port before this returns
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer2:
            peer2.bind(("127.0.0.1", 0))
            port._drain()
            assert counters.snapshot() == {"socket-error.111": 1}
            port._socket.connect(peer2.getsockname())
            peer2.sendto(b"still here", mine)
            assert await received.get() == b"still here"
        port.close()

    asyncio.run(scene())


def test_what_finds_no_room_is_counted_and_more_room_is_made() -> None:
    async def scene() -> tuple[int, int, int]:
        port = DatagramPort(4, "127.0.0.1", 0, Counters(), ignore)
        port.enlarge_buffers(1)  # the kernel gives its least
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            for _ in range(100):
                peer.sendto(bytes(1400), port._socket.getsockname())
        dropped, small = port.dropped, port._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        port.enlarge_buffers()
        large = port._socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        port.close()
        return dropped, small, large

    dropped, small, large = asyncio.run(scene())
    assert 50 < dropped <= 100
    assert large > small


@pytest.mark.parametrize("here", ["127.0.0.1", "::1", ""], ids=["ipv4", "ipv6", "any"])
def test_a_detour_sends_from_the_port_and_hears_nothing(here: str) -> None:
    family, there = (6, "::1") if here == "::1" else (4, "127.0.0.1")

    async def scene() -> None:
        counters, received = Counters(), asyncio.Queue[bytes]()
        port = DatagramPort(family, here, 0, counters, lambda data, _: received.put_nowait(data))
        number = port._socket.getsockname()[1]
        with socket.socket(port._socket.family, socket.SOCK_DGRAM) as peer:
            peer.bind((there, 0))
            port._detours.send(b"by detour", Endpoint(there, peer.getsockname()[1]))
            data, source = peer.recvfrom(100)
            assert (data, source[:2]) == (b"by detour", (there, number))
            assert port._detours.open == {}  # it has left, so nothing waits
            with contextlib.closing(port._detours._make(there)):
                peer.sendto(b"an answer", (there, number))
                assert await asyncio.wait_for(received.get(), 5) == b"an answer"
        with socket.socket(port._socket.family, socket.SOCK_DGRAM) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="Address already in use"):
                other.bind((there, number))
        port.close()
        assert counters == {}

    asyncio.run(scene())


def test_what_a_detour_hears_before_it_is_deaf_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> bytes:
        received = asyncio.Queue[bytes]()
        port = DatagramPort(4, "127.0.0.1", 0, Counters(), lambda data, _: received.put_nowait(data))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:

            class Heard(socket.socket):
                def connect(self, address: object) -> None:
                    peer.sendto(b"just then", self.getsockname())
                    super().connect(address)  # type: ignore[arg-type]  # typeshed's _Address is private

            with monkeypatch.context() as patch:
                patch.setattr(socket, "socket", Heard)
                port._detours.send(b"x", THERE)
            assert received.empty()  # not within the step that sends
            try:
                return await asyncio.wait_for(received.get(), 5)
            finally:
                port.close()

    assert asyncio.run(scene()) == b"just then"


def test_what_finds_the_port_full_takes_a_detour_and_too_many_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def __getattr__(self, name: str) -> object:
            return getattr(own, name)

        def sendto(self, *_: object) -> None:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    own: socket.socket

    async def scene() -> Mapping[str, int]:
        nonlocal own
        counters = Counters()
        port = DatagramPort(4, "127.0.0.1", 0, counters, ignore)
        own = port._socket
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer, monkeypatch.context() as patch:
            peer.bind(("127.0.0.1", 0))
            patch.setattr(port, "_socket", Full())
            port.send(b"first", Endpoint(*peer.getsockname()))
            assert peer.recv(100) == b"first"
            patch.setattr("agents.runtime.detours.DETOURS_MAXIMUM", 0)
            port.send(b"second", Endpoint(*peer.getsockname()))
            patch.setattr(port, "_socket", own)
        port.close()
        return counters

    assert asyncio.run(scene()) == {"unsent.queues-full": 1}


def test_a_detour_that_drains_while_it_is_sent_by_is_kept_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        port, amounts = DatagramPort(4, "127.0.0.1", 0, Counters(), ignore), iter((5, 5, 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer, monkeypatch.context() as patch:
            peer.bind(("127.0.0.1", 0))
            there = Endpoint(*peer.getsockname())
            patch.setattr("agents.runtime.detours._waiting", lambda _: next(amounts))
            port._detours.send(b"first", there)
            for data in (b"second", b"third"):
                port.send(data, there)
            assert [peer.recv(100) for _ in range(3)] == [b"first", b"second", b"third"]
        assert port._detours.open == {}
        port._detours._close_idle()
        assert port._detours._look is None
        port.close()

    asyncio.run(scene())


def test_a_groups_port_can_be_shared_with_others_on_this_host_for_good() -> None:
    async def scene() -> None:
        port = DatagramPort(4, "239.1.1.1", 0, Counters(), ignore, group_on="lo")
        with port.shared():  # as while another group's port of this role is opened
            pass
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(port._socket.getsockname())
        port.close()

    asyncio.run(scene())


def test_family_of_an_address() -> None:
    assert (family_of("10.0.0.1"), family_of("::")) == (4, 6)


# --- control sockets --------------------------------------------------------------------------------------------------


async def handler(asked: Mapping[str, object]) -> Mapping[str, object]:
    match asked:
        case {"command": "echo", "value": value}:
            return {"value": value}
        case {"command": "number", "value": str(value)}:
            return {"value": int(value)}
    raise ControlError(f"unknown command: {asked.get('command')!r}")


def asked(path: Path, *lines: bytes) -> list[bytes]:
    """What a server at ``path`` answers to lines sent over one connection, and b"" once it hangs up."""

    async def scene() -> list[bytes]:
        server = ControlServer(path, handler, Tasks(list[BaseException]().append))
        await server.start()
        try:
            reader, writer = await asyncio.open_unix_connection(path, limit=4 * MAXIMUM_LINE)
            answers = []
            for line in lines:
                writer.write(line)
                answers.append(await reader.readline())
            writer.close()
            return answers
        finally:
            await server.close()

    return asyncio.run(scene())


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"{", "Expecting property name"),
        (b"\xff", "utf-8"),
        (b"[]", "a request is a JSON object"),
        (b"null", "a request is a JSON object"),
        (b"[" * 50_000, "recursion"),
        (b'{"command": "dance"}', "unknown command: 'dance'"),
        (b"{}", "unknown command: None"),
        (b'{"command": "number", "value": "x"}', "invalid literal"),
    ],
)
def test_bad_request_is_answered_and_the_next_is_served(tmp_path: Path, line: bytes, error: str) -> None:
    first, second = asked(tmp_path / "s", line + b"\n", b'{"command": "echo", "value": [1]}\n')
    answer = json.loads(first)
    assert answer["ok"] is False
    assert error in answer["error"]
    assert json.loads(second) == {"ok": True, "value": [1]}


def test_line_beyond_the_limit_ends_its_connection_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def scene() -> None:
        server = ControlServer(path, handler, Tasks(list[BaseException]().append))
        await server.start()
        try:
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"x" * (2 * MAXIMUM_LINE) + b"\n")
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
            answer = await asyncio.to_thread(request, path, {"command": "echo", "value": 1})
            assert answer == {"value": 1}
        finally:
            await server.close()

    asyncio.run(scene())


def test_request_and_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def scene() -> None:
        path.write_text("left by a dead agent")
        server = ControlServer(path, handler, Tasks(list[BaseException]().append))
        await server.start()
        assert path.stat().st_mode & 0o777 == 0o600
        assert await asyncio.to_thread(request, path, {"command": "echo", "value": "x"}) == {"value": "x"}
        with pytest.raises(ControlError, match="unknown command: 'dance'"):
            await asyncio.to_thread(request, path, {"command": "dance"})
        await server.close()

    asyncio.run(scene())
    assert not path.exists()
    with pytest.raises(ControlError, match="no agent answers there"):
        request(path, {"command": "state"})


def test_error_of_ours_in_a_request_is_seen_and_is_no_answer(tmp_path: Path) -> None:
    path, failures = tmp_path / "s", list[BaseException]()

    async def fail(_asked: Mapping[str, object]) -> Mapping[str, object]:
        raise RuntimeError("a fault of ours")

    async def scene() -> None:
        tasks = Tasks(failures.append)
        server = ControlServer(path, fail, tasks)
        await server.start()
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"{}\n")
        assert await reader.read() == b""
        assert [str(error) for error in failures] == ["a fault of ours"]
        assert len(tasks) == 0
        writer.close()
        await server.close()

    asyncio.run(scene())


def test_connections_end_with_the_tasks(tmp_path: Path) -> None:
    path, failures = tmp_path / "s", list[BaseException]()

    async def scene() -> None:
        tasks = Tasks(failures.append)
        server = ControlServer(path, handler, tasks)
        await server.start()
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"{}\n")
        assert await reader.readline()
        assert len(tasks) == 1
        await tasks.close()
        assert len(tasks) == 0
        assert await reader.read() == b""
        writer.close()
        await server.close()

    asyncio.run(scene())
    assert failures == []


def test_server_that_never_started_closes() -> None:
    asyncio.run(ControlServer(Path("/nonexistent/s"), handler, Tasks(list[BaseException]().append)).close())


# --- traces -----------------------------------------------------------------------------------------------------------


def test_trace_is_appended_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "mn.jsonl"
    for event in ("one", "two"):
        trace = TraceFile(file, "mn", Counters())
        trace.write(event, {"detail": "ü", "n": 1})
        assert file.read_text(encoding="utf-8").count("\n") == (1 if event == "one" else 2)  # at once, not at the end
        trace.close()
        trace.close()
        trace.write("after the end", {})
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [(row["event"], row["node"], row["detail"], row["n"]) for row in rows] == [
        ("one", "mn", "ü", 1),
        ("two", "mn", "ü", 1),
    ]
    assert rows[0]["t_ns"] <= rows[1]["t_ns"]
    assert isinstance(rows[0]["t_ns"], int)


def test_trace_without_a_file_does_nothing() -> None:
    trace = TraceFile(None, "mn", Counters())
    trace.write("one", {})
    trace.close()


# --- the node without MMCP --------------------------------------------------------------------------------------------


def bare(*, rejoin: bool = True, delay: float = 0.5) -> BareNode:
    return BareNode(
        BareNodeConfiguration(
            "radio", "239.1.1.1", POINTS, "poa1", 5004, rejoin=rejoin, source=None, address_delay_s=delay
        )
    )


@pytest.mark.parametrize("rejoin", [True, False])
def test_bare_node_moves(rejoin: bool) -> None:
    node = bare(rejoin=rejoin)
    node.start(0.0)
    assert JoinGroup("239.1.1.1", "radio", port=5004, renews_itself=True) in node.take_actions()
    node.handle(LinkDetected("radio", "poa2"), 1.0)
    node.handle(LinkDown("lo"), 1.1)
    assert node.describe()["link_is_up"] is True
    node.handle(LinkDown("radio"), 1.2)
    node.handle(LinkUp("lo"), 1.2)
    assert node.next_deadline() is None
    node.handle(LinkUp("radio"), 1.3)
    node.handle(LinkUp("radio"), 1.4)
    assert node.next_deadline() == pytest.approx(1.8)
    node.expire(1.8)
    assert node.take_actions() == [ConfigureAddress("radio", "10.0.2.100/24", "10.0.2.1")]
    node.handle(AddressConfigured("radio", "10.0.2.100/24"), 1.9)
    assert node.take_actions() == ([RenewMembership("239.1.1.1", "radio")] if rejoin else [])
    assert node.describe() == {"role": "bare", "attached_to": b"poa2".hex(), "link_is_up": True}
    node.handle(ApplicationLeave(), 2.0)
    assert node.take_actions() == [LeaveGroup("239.1.1.1", "radio")]


def test_bare_node_takes_no_messages_and_ignores_what_is_not_its_business() -> None:
    node = bare()
    node.receive(b"\x09\0\0\x08\0\0\0\x01", Endpoint("10.0.0.1", 1), 0.0)
    node.handle(DataChannelReport(1), 0.0)
    node.handle(LinkDetected("radio", "elsewhere"), 0.0)
    assert node.counters["ignored.DataChannelReport"] == 1
    assert node.counters["ignored.LinkDetected"] == 1
    assert node.describe()["attached_to"] == b"poa1".hex()
