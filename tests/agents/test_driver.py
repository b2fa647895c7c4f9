"""Every action of a role, carried out by the real host: each has its way, and does what its description says."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import struct
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import get_args

import pytest

from agents.core.agent import (
    Action,
    ApplicationData,
    AskOperator,
    ClosePort,
    Commit,
    Committed,
    DeliverData,
    End,
    Endpoint,
    GroupJoined,
    JoinGroup,
    LeaveGroup,
    Notify,
    OperatorAnswered,
    RenewMembership,
    SendDatagram,
)
from agents.core.room import Port
from agents.runtime import application
from agents.runtime.configuration import RuntimeConfiguration
from agents.runtime.datagram import DatagramPort, PortError
from agents.runtime.host import AgentHost
from tests.agents.hosts import HERE, free_ports, running, told, until
from tests.agents.roles import Asking


def test_every_action_has_its_way() -> None:
    async def scene() -> dict[type[Action], object]:
        return dict(AgentHost(Asking(), RuntimeConfiguration()).ways)

    assert set(asyncio.run(scene())) == set(get_args(Action))


def test_a_role_has_randomness_before_it_is_called() -> None:
    async def scene() -> tuple[bytes, bytes]:
        agents = Asking(), Asking()
        for agent in agents:
            AgentHost(agent, RuntimeConfiguration())
        return agents[0].random_bytes(16), agents[1].random_bytes(16)

    one, other = asyncio.run(scene())
    assert len(one) == len(other) == 16
    assert one != other


def test_what_the_kernel_dropped_at_a_port_is_counted_after_its_end_too() -> None:
    async def scene() -> None:
        agent = Asking()
        async with running(agent, Port("one", address=HERE), Port("two", address=HERE)) as host:
            counted = list[int]()
            for name in ("one", "two"):
                port = host._ports[name]
                port.enlarge_buffers(1)  # the kernel gives its least
                with peer() as there:
                    for _ in range(100):
                        there.sendto(bytes(1400), port._socket.getsockname())
                counted.append(host._counters()["dropped.by-kernel"])
                host.close_port(None, ClosePort(name))
                counted.append(host._counters()["dropped.by-kernel"])
        assert 0 < counted[0] == counted[1] < counted[2] == counted[3]

    asyncio.run(scene())


# --- datagrams --------------------------------------------------------------------------------------------------------


def peer(family: socket.AddressFamily = socket.AF_INET) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_DGRAM)
    opened.bind(("::1" if family == socket.AF_INET6 else HERE, 0))
    opened.setblocking(False)
    return opened


async def received(opened: socket.socket) -> tuple[bytes, Endpoint]:
    async with asyncio.timeout(5):
        data, source = await asyncio.get_running_loop().sock_recvfrom(opened, 2048)
    return data, Endpoint(source[0], source[1])


@pytest.mark.parametrize(("family", "address"), [(socket.AF_INET, HERE), (socket.AF_INET6, "::1")])
def test_ports_have_names(family: socket.AddressFamily, address: str) -> None:
    async def scene() -> None:
        first, second = free_ports(2, address=address)
        version = 6 if ":" in address else 4
        ports = [Port("", first, address=address, family=version), Port("mm", second, address=address, family=version)]
        with peer(family) as there:
            where = Endpoint(*there.getsockname()[:2])
            sent = [SendDatagram(name.encode(), where, name) for name in ("", "mm", "extra", "extra")]
            agent = Asking(*sent, ClosePort("extra"), ClosePort("extra"), SendDatagram(b"new", where, "extra"))
            async with running(agent, *ports):
                came = [await received(there) for _ in range(5)]
                assert [data for data, _ in came] == [b"", b"mm", b"extra", b"extra", b"new"]
                assert [source for _, source in came[:2]] == [Endpoint(address, first), Endpoint(address, second)]
                assert came[2][1] == came[3][1] != came[4][1]
                assert {source.address for _, source in came} == {address}
                for number in (first, second, came[4][1].port):
                    there.sendto(b"to %d" % number, (address, number))
                await until(lambda: len(agent.heard) == 3)
                assert {(port, data) for port, data, _ in agent.heard} == {
                    ("", b"to %d" % first),
                    ("mm", b"to %d" % second),
                    ("extra", b"to %d" % came[4][1].port),
                }

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("family", "level", "option", "kind"),
    [
        (socket.AF_INET, socket.IPPROTO_IP, socket.IP_RECVTOS, socket.IP_TOS),
        (socket.AF_INET6, socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, socket.IPV6_TCLASS),
    ],
)
def test_datagram_is_marked(family: socket.AddressFamily, level: int, option: int, kind: int) -> None:
    async def scene() -> None:
        with peer(family) as there:
            there.setsockopt(level, option, 1)
            where = Endpoint(*there.getsockname()[:2])
            async with running(Asking(SendDatagram(b"x", where, dscp=46), SendDatagram(b"y", where))):
                for wanted in (46, 0):
                    await until(lambda: _is_readable(there))
                    _, [(_, found, value)], _, _ = there.recvmsg(100, 100)
                    assert (found, value[0] >> 2) == (kind, wanted)

    asyncio.run(scene())


def _is_readable(opened: socket.socket) -> bool:
    try:
        opened.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    return True


def test_interface_that_is_not_there_loses_the_datagram_with_a_count() -> None:
    async def scene() -> None:
        agent = Asking(SendDatagram(b"x", Endpoint("239.1.1.1", 9), interface="nosuch0"))
        async with running(agent):
            assert agent.counters["unsent.OSError.19"] == 1

    asyncio.run(scene())


# --- groups -----------------------------------------------------------------------------------------------------------


def test_datagrams_of_a_group_are_heard_until_it_is_left() -> None:
    async def scene() -> None:
        group = "239.7.7.7"
        [number] = free_ports(1)
        # The role's own port has the group's number, on all addresses: what goes to the group must come once, and there.
        own = Port("", number)
        joined = JoinGroup(group, "lo", port=number, expects_report=False, listen="data")
        agent = Asking(joined)
        async with running(agent, own) as host:
            [event] = await told(agent, GroupJoined)
            assert (event.succeeded, event.reason) == (True, "")
            speaker = Asking(SendDatagram(b"to all", Endpoint(group, number), interface="lo"))
            async with running(speaker, Port("", 0, address=HERE)):
                await until(lambda: agent.heard)
            assert [(port, data) for port, data, _ in agent.heard] == [("data", b"to all")]
            host._drive(lambda _: agent.act(LeaveGroup(group, "lo")))
            agent.heard.clear()
            speaker = Asking(SendDatagram(b"again", Endpoint(group, number), interface="lo"))
            async with running(speaker, Port("", 0, address=HERE)) as other:
                other._drive(lambda _: speaker.act(SendDatagram(b"own", Endpoint(HERE, number))))
                await until(lambda: agent.heard)
            assert [(port, data) for port, data, _ in agent.heard] == [("", b"own")]

    asyncio.run(scene())


def test_ipv6_groups_of_any_scope_are_heard_on_their_interfaces() -> None:
    groups = ["ff15::7", "ff02::7"]
    argv = [
        "unshare",
        "--user",
        "--map-root-user",
        "--net",
        sys.executable,
        "-m",
        "tests.agents.group_program",
        *groups,
    ]
    done = subprocess.run(argv, capture_output=True, check=False, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if line != "ready"] == [f"heard {group}" for group in groups]


def has_heard(agent: Asking, count: int) -> bool:
    return len(agent.heard) == count


def test_source_specific_group_gives_what_its_source_sends() -> None:
    async def scene() -> None:
        [number] = free_ports(1)
        joins = [
            JoinGroup("232.7.7.7", "lo", source, number, expects_report=False, listen=source)
            for source in ("127.0.0.2", "127.0.0.3")
        ]
        agent = Asking(*joins)
        async with running(agent):
            await told(agent, GroupJoined, 2)
            for count, source in enumerate(("127.0.0.3", "127.0.0.2"), 1):
                speaker = Asking(SendDatagram(source.encode(), Endpoint("232.7.7.7", number), interface="lo"))
                async with running(speaker, Port("", 0, address=source)):
                    await until(partial(has_heard, agent, count))
            await until(lambda: agent.counters["ignored.other-source"] == 2)
            assert [(port, data.decode()) for port, data, _ in agent.heard] == [
                ("127.0.0.3", "127.0.0.3"),
                ("127.0.0.2", "127.0.0.2"),
            ]

    asyncio.run(scene())


def test_group_that_is_left_before_it_is_joined_stays_left() -> None:
    async def scene() -> None:
        agent = Asking(
            JoinGroup("239.7.7.7", "lo", expects_report=False),
            LeaveGroup("239.7.7.7", "lo"),
            JoinGroup("239.7.7.8", "lo", expects_report=False),
            RenewMembership("239.7.7.8", "lo"),
        )
        async with running(agent) as host:
            events = await told(agent, GroupJoined)
            assert [event.group for event in events] == ["239.7.7.8"]
            assert [key[0] for key in host._memberships._joined] == ["239.7.7.8"]

    asyncio.run(scene())


def test_group_port_that_somebody_else_has_is_a_join_that_failed() -> None:
    async def scene() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("0.0.0.0", 0))
            number = taken.getsockname()[1]
            agent = Asking(JoinGroup("239.7.7.7", "lo", port=number, expects_report=False, listen="data"))
            async with running(agent) as host:
                [event] = await told(agent, GroupJoined)
                assert not event.succeeded
                assert event.reason.startswith(f"UDP 239.7.7.7:{number} cannot be opened: Address already in use; ")
                assert host._memberships._joined == {}

    asyncio.run(scene())


# --- bare IP ----------------------------------------------------------------------------------------------------------

PROTOCOL = 253  # for experiments [RFC 3692]


@pytest.mark.parametrize(("address", "family"), [(HERE, 4), ("::1", 6)])
def test_payload_of_a_bare_ip_packet_comes_without_its_header(address: str, family: int) -> None:
    async def scene() -> None:
        port = Port("ip", PROTOCOL, "ip", address, family)
        agent = Asking(SendDatagram(b"payload", Endpoint(address, 0), "ip"))
        async with running(agent, port):
            await until(lambda: agent.heard)
        assert agent.heard == [("ip", b"payload", Endpoint(address, 0))]

    asyncio.run(scene())


def test_whole_packets_are_sent_by_the_protocol_of_raw_ones() -> None:
    def packet(payload: bytes) -> bytes:
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 9, PROTOCOL, 0)
        return header + socket.inet_aton("127.0.0.9") + socket.inet_aton(HERE) + payload

    async def scene() -> None:
        agent = Asking(SendDatagram(packet(b"inner"), Endpoint(HERE, 0), "whole"))
        async with running(agent, Port("ip", PROTOCOL, "ip"), Port("whole", 255, "ip")):
            await until(lambda: agent.heard)
        assert agent.heard == [("ip", b"inner", Endpoint("127.0.0.9", 0))]

    asyncio.run(scene())


def test_bare_ip_without_the_right_to_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuse)
    text = (
        "IP protocol 4 at any address:0 cannot be opened: Operation not permitted; run it as root, in a lab, or with "
    )
    with pytest.raises(PortError, match=f"^{text}the capability CAP_NET_RAW$"):
        DatagramPort(4, "", 0, Asking().counters, lambda *_: None, protocol=4)


# --- the application, the operator, the end -----------------------------------------------------------------------------


def test_operator_is_asked_and_answers() -> None:
    async def scene() -> None:
        agent = Asking(AskOperator("one", ("0",), 5.0), AskOperator("two", ("3",), 5.0))
        async with running(agent, runtime=RuntimeConfiguration(authorise=["sh", "-c", 'exit "$0"'])):
            answers = await told(agent, OperatorAnswered, 2)
        assert {(answer.key, answer.granted, answer.reason) for answer in answers} == {
            ("one", True, ""),
            ("two", False, "exit status 3"),
        }

    asyncio.run(scene())


def test_data_goes_both_ways_between_the_role_and_its_programs(tmp_path: Path) -> None:
    async def scene() -> None:
        path = tmp_path / "application"
        agent = Asking(DeliverData(b"nobody is there"))
        async with running(agent, runtime=RuntimeConfiguration(application=str(path))) as host:
            assert agent.counters["undelivered.no-application"] == 1
            assert path.stat().st_mode & 0o777 == 0o600
            programs = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(2)]
            for number, program in enumerate(programs):
                program.connect(str(path))
                program.setblocking(False)
                program.send(b"from %d" % number)
            events = await told(agent, ApplicationData, 2)
            assert sorted(event.data for event in events) == [b"from 0", b"from 1"]
            host._drive(lambda _: agent.act(DeliverData(b"to all")))
            assert [program.recv(100) for program in programs] == [b"to all", b"to all"]
            programs[0].close()
            programs[1].send(b"x" * 70_000)
            programs[1].send(b"y")
            await told(agent, ApplicationData, 3)
            assert agent.counters["dropped.application-data-too-long"] == 1
            for _ in range(1000):
                host._drive(lambda _: agent.act(DeliverData(b"z" * 1000)))
            assert 0 < agent.counters["undelivered.queue-full"] < 1000
            programs[1].close()
        assert not path.exists()

    asyncio.run(scene())


def test_too_many_programs_are_refused_and_a_bad_path_is_named(tmp_path: Path) -> None:
    async def scene() -> None:
        path, agent = tmp_path / "application", Asking()
        path.write_text("left by a dead agent")
        async with running(agent, runtime=RuntimeConfiguration(application=str(path))):
            programs = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(20)]
            for program in programs:
                program.connect(str(path))
            await until(lambda: agent.counters["refused.too-many-applications"] == 4)
            for program in programs:
                program.close()
            for number in range(1, 21):  # one after the other there may be any number
                with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as program:
                    program.connect(str(path))
                    program.send(b"%d" % number)
                    await told(agent, ApplicationData, number)
            assert agent.counters["refused.too-many-applications"] == 4
        for bad in (tmp_path / ("x" * 200), tmp_path / "none" / "x"):
            with pytest.raises(Exception, match=r"runtime\.application: .*; give a path of at most 107 bytes"):
                async with running(Asking(), runtime=RuntimeConfiguration(application=str(bad))):
                    pytest.fail("it was run")

    asyncio.run(scene())


def test_program_that_finds_no_open_file_left_is_accepted_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "ACCEPT_RETRY", 0.2)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def scene() -> None:
        path, agent = tmp_path / "application", Asking()
        async with running(agent, runtime=RuntimeConfiguration(application=str(path))):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as program:
                free = os.dup(program.fileno())
                os.close(free)
                resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
                try:
                    program.connect(str(path))
                    program.send(b"patient")
                    for _ in range(100):
                        await asyncio.sleep(0)
                    assert agent.counters == {f"failed.accept.{errno.EMFILE}": 1}
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
                [event] = await told(agent, ApplicationData)
        assert event.data == b"patient"

    asyncio.run(scene())


def test_role_ends_by_itself_after_what_it_asked_for_before(capfd: pytest.CaptureFixture[str]) -> None:
    async def scene() -> None:
        with peer() as there:
            where = Endpoint(*there.getsockname())
            agent = Asking(
                SendDatagram(b"before", where), Notify("bye"), End(7, "all done"), SendDatagram(b"after", where)
            )
            async with running(agent, status=7):
                assert (await received(there))[0] == b"before"
            assert not _is_readable(there)

    asyncio.run(scene())
    assert capfd.readouterr().out.endswith("bye\nended status=7 reason=all done\n")


def test_commit_without_a_store_is_answered_with_the_reason() -> None:
    async def scene() -> None:
        agent = Asking(Commit("k", {"a": b"1"}))
        async with running(agent):
            [event] = await told(agent, Committed)
        assert event == Committed("k", succeeded=False, reason="no store is configured as runtime.store")

    asyncio.run(scene())
