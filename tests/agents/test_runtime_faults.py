"""What the runtime does when the kernel refuses: it counts, tells the application, tries again; no protocol role ends of it."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pyroute2.netlink.exceptions import NetlinkError

from agents.__main__ import main
from agents.core.agent import (
    AddressConfigured,
    Agent,
    ClosePort,
    Commit,
    ConfigureAddress,
    Endpoint,
    Event,
    GroupJoined,
    JoinGroup,
    Notify,
    RenewMembership,
    SendDatagram,
)
from agents.core.counters import Counters
from agents.core.links import LinkDown
from agents.core.room import Port
from agents.runtime import host as host_module
from agents.runtime.addresses import AddressError, Addresses
from agents.runtime.configuration import RuntimeConfiguration
from agents.runtime.datagram import DatagramPort, PortError, allow_open_files
from agents.runtime.host import AgentHost
from agents.runtime.links import Links, _Link
from agents.runtime.membership import Loss, MembershipError, Memberships, _Membership
from tests.agents.hosts import HERE, free_ports, running, told, until
from tests.agents.roles import Asking

THERE = Endpoint("127.0.0.1", 9)


def driven(agent: Agent, until: Callable[[], object], prepare: Callable[[AgentHost], None] = lambda _: None) -> None:
    """Start the agent on a host of its own, and run until ``until`` is true."""

    async def scene() -> None:
        host = AgentHost(agent, RuntimeConfiguration())
        prepare(host)
        host._drive(agent.start)
        async with asyncio.timeout(5):
            while not until():  # noqa: ASYNC110  what is waited for is no asyncio event
                await asyncio.sleep(0)
        assert host._failure is None
        assert host._timer is not None
        host._stop_timer()
        host._close_ports()
        host._output.close()

    asyncio.run(scene())


# --- ports ------------------------------------------------------------------------------------------------------------


def test_a_channel_without_a_port_loses_its_datagram_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class NoPort(DatagramPort):
        def __init__(self, *_: object, **__: object) -> None:
            raise PortError("127.0.0.1", 0, OSError(errno.EMFILE, "Too many open files"))

    monkeypatch.setattr(host_module, "DatagramPort", NoPort)
    agent = Asking(SendDatagram(b"x", THERE, "extra"), ClosePort("extra"), Notify("later"))
    driven(agent, lambda: True)
    assert agent.counters == {"unsent.PortError.24": 1}
    assert capfd.readouterr().out == "later\n"


def test_secrets_are_told_to_the_application_and_not_written_down(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trace = tmp_path / "role.jsonl"

    async def scene() -> None:
        agent = Asking(Notify("registered", {"session": 1}, {"token": "0a0b"}))
        async with running(agent, runtime=RuntimeConfiguration(trace=str(trace))):
            await until(lambda: "registered" in trace.read_text())

    asyncio.run(scene())
    assert "registered session=1 token=0a0b\n" in capfd.readouterr().out
    assert "0a0b" not in trace.read_text()


def test_the_timer_is_armed_again_after_a_step_that_failed() -> None:
    async def scene() -> bool:
        agent = Asking()
        host = AgentHost(agent, RuntimeConfiguration())

        def fail(now: float) -> None:
            agent.timers.set(("later",), now + 3600)
            raise RuntimeError("a fault of ours")

        with pytest.raises(RuntimeError, match="ours"):
            host._drive(fail)
        is_armed = host._timer is not None
        host._stop_timer()
        host._output.close()
        return is_armed

    assert asyncio.run(scene())


def test_open_files_are_raised_to_the_hard_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[object] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.append(wanted))
    allow_open_files()
    assert limits == [(4096, 4096)]


class Faulty(Asking):
    """Raises for one datagram, for one timer, and for everything that happens."""

    def start(self, now: float) -> None:
        super().start(now)
        self.timers.set(("soon",), now)

    def receive(self, data: bytes, source: Endpoint, now: float, port: str = "") -> None:
        super().receive(data, source, now, port)
        if data == b"bad":
            raise LookupError("a bad datagram")

    def timer_expired(self, key: object, now: float) -> None:
        raise ArithmeticError("a bad time")

    def handle(self, event: Event, now: float) -> None:
        super().handle(event, now)
        raise ValueError("a bad event")


def test_faults_of_a_role_are_counted_told_and_survived(capfd: pytest.CaptureFixture[str]) -> None:
    async def scene() -> None:
        [number] = free_ports(1)
        itself = Endpoint(HERE, number)
        agent = Faulty(SendDatagram(b"bad", itself), SendDatagram(b"good", itself), Commit("k", {}))
        async with running(agent, Port("", number, address=HERE)):
            await until(lambda: len(agent.heard) == 2 and len(agent.counters) == 3)
        assert [data for _, data, _ in agent.heard] == [b"bad", b"good"]
        assert agent.counters == {f"raised.{kind}": 1 for kind in ("LookupError", "ArithmeticError", "ValueError")}

    asyncio.run(scene())
    told = capfd.readouterr().err
    for fault in ("LookupError: a bad datagram", "ArithmeticError: a bad time", "ValueError: a bad event"):
        assert f"\n{fault}\n" in told
    assert told.count("Traceback") == 3
    assert "the role cannot take Committed(key='k'" in told


def test_interfaces_group_is_lost_though_the_role_cannot_take_the_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows from a link's change is done whatever the role makes of it."""

    async def scene() -> None:
        agent = Faulty()
        async with running(agent) as host:
            asked: list[str] = []

            def link_changed(interface: str) -> list[JoinGroup]:
                asked.append(interface)
                return []

            monkeypatch.setattr(host._memberships, "link_changed", link_changed)
            host._links._listener("lo", False)
            assert asked == ["lo"]
        assert agent.told == [LinkDown("lo")]
        assert agent.counters["raised.ValueError"] == 1

    asyncio.run(scene())


# --- groups -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expects_report", [True, False])
def test_group_on_an_interface_that_is_not_there_is_not_joined(expects_report: bool) -> None:
    async def scene() -> Memberships:
        memberships = Memberships(Counters())
        reason = "No such device|no interface with this name"
        with pytest.raises(MembershipError, match=rf"^cannot join 239\.1\.1\.1 on nosuch0: ({reason})$"):
            await memberships.join(JoinGroup("239.1.1.1", "nosuch0", expects_report=expects_report))
        return memberships

    assert asyncio.run(scene())._joined == {}


def test_link_that_goes_while_the_report_is_awaited_is_a_join_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Watcher:
        async def seen(self) -> bool:
            raise OSError(errno.ENETDOWN, "Network is down")

        def close(self) -> None:
            pass

    monkeypatch.setattr("agents.runtime.reports.ReportWatcher.open", lambda *_: Watcher())

    async def scene() -> Memberships:
        memberships = Memberships(Counters())
        with pytest.raises(MembershipError, match=r"^cannot join 239\.1\.1\.1 on lo: Network is down$"):
            await memberships.join(JoinGroup("239.1.1.1", "lo"))
        return memberships

    assert asyncio.run(scene())._joined == {}


ON_LO = JoinGroup("239.1.1.1", "lo", expects_report=False)
LOST = Loss(ON_LO, "lo has gone, and 239.1.1.1 with it")
RENEWS_ITSELF = replace(ON_LO, renews_itself=True)


async def joined(action: JoinGroup) -> tuple[Memberships, Counters]:
    counters = Counters()
    memberships = Memberships(counters)
    assert await memberships.join(action)
    counters.clear()
    return memberships, counters


@pytest.mark.parametrize(
    ("action", "counted"),
    [
        (ON_LO, {"renewed.membership.link-up": 1}),
        (replace(ON_LO, source="127.0.0.1"), {"renewed.membership.link-up": 1}),
        (replace(ON_LO, group="ff3e::1"), {}),  # the kernel does so
        (RENEWS_ITSELF, {}),
    ],
)
def test_membership_is_reported_when_the_link_has_come(action: JoinGroup, counted: dict[str, int]) -> None:
    async def scene() -> None:
        memberships, counters = await joined(action)
        assert memberships.link_came("other0") == []
        assert counters == {}
        assert memberships.link_changed("lo") == []
        assert memberships.link_came("lo") == []
        assert counters == counted
        memberships.close()

    asyncio.run(scene())


def test_membership_is_reported_from_an_address_that_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        for action in (ON_LO, RENEWS_ITSELF, replace(ON_LO, group="ff3e::1")):
            memberships, counters = await joined(action)
            memberships.address_came("lo")
            assert counters == {}
            with monkeypatch.context() as patch:
                patch.setattr("agents.runtime.membership._ipv4_address", lambda _: b"\x0a\0\0\x01")
                for _ in range(2):
                    memberships.address_came("lo")
            assert counters == ({"renewed.membership.address": 1} if action is ON_LO else {})
            memberships.close()

    asyncio.run(scene())


def test_membership_goes_with_its_interface_and_comes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        for action in (ON_LO, RENEWS_ITSELF):
            memberships, counters = await joined(action)
            key = (action.group, action.interface, action.source)
            with monkeypatch.context() as patch:
                patch.setattr(socket, "if_nametoindex", refuse)
                assert memberships.link_changed("lo") == [LOST._replace(action=action)]
                assert memberships.link_changed("lo") == []
                with pytest.raises(MembershipError, match="No such device"):
                    await memberships.join(action)
            assert memberships.link_came("lo") == []
            assert memberships.to_join_on("lo") == ([] if action.renews_itself else [action])
            assert memberships.to_join_on("other0") == []
            assert memberships.renew(*key) is action
            assert await memberships.join(action)
            assert counters == {"joined.without-report": 1, "rejoined.membership": 1}
            assert memberships.link_changed("lo") == []
            with monkeypatch.context() as patch:
                patch.setattr(socket, "if_nametoindex", lambda _: 4711)  # another one of that name
                assert memberships.renew(*key) is action
            memberships.leave(*key)
            assert memberships.renew(*key) is None
            assert memberships.to_join_on("lo") == []

    def refuse(_name: str) -> int:
        raise OSError(errno.ENODEV, "No such device")

    asyncio.run(scene())


@pytest.mark.parametrize("is_left", [True, False])
def test_join_of_what_was_left_or_lost_meanwhile_is_no_news(monkeypatch: pytest.MonkeyPatch, is_left: bool) -> None:
    class Watcher:
        async def seen(self) -> bool:
            if is_left:
                memberships.leave("239.1.1.1", "lo", None)
            else:
                monkeypatch.setattr(socket, "if_nametoindex", lambda _: 4711)
                assert memberships.link_changed("lo") == [LOST._replace(action=action)]
            raise OSError(errno.ENETDOWN, "Network is down")

        def close(self) -> None:
            pass

    memberships, action = Memberships(Counters()), JoinGroup("239.1.1.1", "lo")
    monkeypatch.setattr("agents.runtime.reports.ReportWatcher.open", lambda *_: Watcher())
    assert asyncio.run(memberships.join(action)) is False
    assert memberships.to_join_on("lo") == ([] if is_left else [action])


FAILED = "cannot renew 239.1.1.1 on lo: No buffer space available"


def refuse_membership_calls(monkeypatch: pytest.MonkeyPatch, first: int) -> list[socket.socket]:
    """Let the kernel's membership calls fail from number ``first`` on; gives the sockets of all, as they are called."""
    called, change = list[socket.socket](), _Membership._change

    def refused(membership: _Membership, of: socket.socket, what: tuple[int, int], source: str | None) -> None:
        called.append(of)
        if len(called) > first:
            raise OSError(errno.ENOBUFS, "No buffer space available")
        change(membership, of, what, source)

    monkeypatch.setattr(_Membership, "_change", refused)
    return called


@pytest.mark.parametrize(("action", "first"), [(ON_LO, 1), (replace(ON_LO, source="127.0.0.1"), 0)])
def test_membership_whose_renewal_fails_is_lost_and_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch, action: JoinGroup, first: int
) -> None:
    async def scene() -> None:
        for is_asked_for in (True, False):
            memberships, counters = await joined(action)
            with monkeypatch.context() as patch:
                called = refuse_membership_calls(patch, first)
                if is_asked_for:
                    with pytest.raises(MembershipError, match=f"^{FAILED}$"):
                        memberships.renew(action.group, action.interface, action.source)
                else:
                    assert memberships.link_came("lo") == [Loss(action, FAILED)]
                assert [each.fileno() for each in called] == [-1] * len(called)
            assert counters == {"failed.renew": 1}
            assert memberships._joined == {}
            assert memberships.to_join_on("lo") == [action]
            assert memberships.renew(action.group, action.interface, action.source) is action

    asyncio.run(scene())


def had_address(host: AgentHost) -> None:
    host._memberships._joined["239.1.1.1", "lo", None]._reported_from = b"another"
    host._groups.address_came("lo")


def renewed(host: AgentHost) -> None:
    host.renew_membership(None, RenewMembership("239.1.1.1", "lo"))


@pytest.mark.parametrize(
    ("happens", "is_joined_again"),
    [(lambda host: host._link_changed("lo", is_up=True), True), (had_address, True), (renewed, False)],
    ids=["link", "address", "asked for"],
)
def test_role_is_told_of_a_renewal_that_failed_and_joins_and_listens_anew(
    monkeypatch: pytest.MonkeyPatch, happens: Callable[[AgentHost], None], is_joined_again: bool
) -> None:
    async def scene() -> None:
        [number] = free_ports(1)
        agent = Asking(replace(ON_LO, port=number, listen="data"))
        async with running(agent) as host:
            [first] = await told(agent, GroupJoined)
            assert first.succeeded
            listens = host._ports["data"]
            with monkeypatch.context() as patch:
                refuse_membership_calls(patch, 1)
                happens(host)
            assert not listens._is_open
            _, second = await told(agent, GroupJoined, 2)
            assert (second.succeeded, second.reason) == (False, FAILED)
            assert agent.counters["failed.renew"] == 1
            if not is_joined_again:
                assert host._ports == {}
                host._link_changed("lo", is_up=True)
            assert (await told(agent, GroupJoined, 3))[2].succeeded
            assert host._ports["data"]._is_open
            assert agent.counters["rejoined.membership"] == 1

    asyncio.run(scene())


def test_renewal_of_what_was_joined_on_an_interface_that_is_no_more_joins_and_listens_anew() -> None:
    async def scene() -> None:
        [number] = free_ports(1)
        agent = Asking(replace(RENEWS_ITSELF, port=number, listen="data"))
        async with running(agent) as host:
            await told(agent, GroupJoined)
            listens = host._ports["data"]
            host._memberships._joined["239.1.1.1", "lo", None]._index += 4711
            renewed(host)
            assert not listens._is_open
            assert host._ports["data"]._is_open
            assert [event.succeeded for event in await told(agent, GroupJoined, 2)] == [True, True]

    asyncio.run(scene())


def test_role_is_told_of_a_loss_with_an_interface_that_had_no_carrier() -> None:
    async def scene() -> None:
        agent = Asking(ON_LO)
        async with running(agent) as host:
            await told(agent, GroupJoined)
            host._memberships._joined["239.1.1.1", "lo", None]._index += 4711
            host._links._links[4711] = _Link("lo", is_up=False, changes=1)
            host._links._gone(4711)
            _, lost = await told(agent, GroupJoined, 2)
            assert (lost.succeeded, lost.reason) == (False, LOST.reason)
            assert not any(isinstance(event, LinkDown) for event in agent.told)

    asyncio.run(scene())


def test_role_is_told_of_a_join_that_failed() -> None:
    agent = Asking(JoinGroup("239.1.1.1", "nosuch0"))
    driven(agent, lambda: agent.told)
    [event] = agent.told
    assert isinstance(event, GroupJoined)
    assert not event.succeeded
    assert event.reason.startswith("cannot join 239.1.1.1 on nosuch0: ")


def test_lmc_whose_interface_is_missing_is_refused_at_start(tmp_path: Path) -> None:
    file = tmp_path / "lmc.toml"
    file.write_text(
        'name = "lmc1"\ninterface = "nosuch0"\nsubnet = "127.0.0.0/8"\nsession_manager = "127.0.0.9"\nsessions = [1]\n'
        '[[controllers]]\nname = "lmc1"\naddress = "127.0.0.3"\npoints_of_attachment = ["poa1"]\n'
    )
    result = CliRunner().invoke(main, ["mmcp", "lmc", "--config", str(file)], catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{file}: interface: 'nosuch0' is no interface of this node; give one of " in result.stderr
    assert "lo" in result.stderr.rpartition("one of ")[2]


# --- addresses --------------------------------------------------------------------------------------------------------


class Refusing:
    """Links of which the kernel refuses the first addresses, for these reasons."""

    def __init__(self, *reasons: str, is_up: bool = True) -> None:
        self.reasons = list(reasons)
        self.asked = 0
        self.link_is_up = is_up

    def is_up(self, _interface: str) -> bool:
        return self.link_is_up

    async def configure_address(self, *_: str) -> None:
        self.asked += 1
        if self.reasons:
            raise AddressError(errno.ENETUNREACH, self.reasons.pop(0))


ADDRESS = ConfigureAddress("radio", "10.0.2.100/24", "10.0.2.1")


def asking_for_address(monkeypatch: pytest.MonkeyPatch, links: Any, until: Callable[[Asking, Any], object]) -> Asking:
    monkeypatch.setattr(host_module, "ADDRESS_RETRY", 0.0)
    agent, hosts = Asking(ADDRESS), list[AgentHost]()

    def prepare(host: AgentHost) -> None:
        hosts.append(host)
        host._links = host._addresses = links

    driven(agent, lambda: until(agent, hosts[0]), prepare)
    return agent


def test_address_that_is_refused_is_told_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    agent = asking_for_address(monkeypatch, Refusing("no route", "no route"), lambda agent, _: agent.told)
    assert agent.told == [AddressConfigured("radio", "10.0.2.100/24")]
    assert agent.counters == {"failed.address": 2}
    assert capfd.readouterr().out == "address-failed interface=radio reason=no route\n"


def test_address_is_not_tried_again_once_its_link_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    links = Refusing(*["no route"] * 9, is_up=False)
    agent = asking_for_address(monkeypatch, links, lambda _, host: links.asked and not host._tasks)
    assert (links.asked, agent.told) == (1, [])


def test_what_netlink_refuses_is_a_link_error() -> None:
    class Requests:
        async def addr(self, *_: object, **__: object) -> None:
            raise NetlinkError(errno.ENETUNREACH)

    async def scene() -> None:
        links = Addresses()
        links._requests = Requests()
        await links.configure_address("lo", "10.0.2.100/24", "10.0.3.1")

    text = r"lo cannot be given 10\.0\.2\.100/24 with the router 10\.0\.3\.1: Network is unreachable"
    with pytest.raises(AddressError, match=f"^{text}$"):
        asyncio.run(scene())
    with pytest.raises(AddressError, match=r"nosuch0 cannot be given .*: no interface with this name"):
        asyncio.run(Addresses().configure_address("nosuch0", "10.0.2.100/24", "10.0.2.1"))


# --- links ------------------------------------------------------------------------------------------------------------


def test_links_that_cannot_be_followed_any_more_end_the_agent_with_the_error() -> None:
    class Broken:
        def recv(self, _size: int) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

        def fileno(self) -> int:
            return 0

        def close(self) -> None:
            pass

    async def scene() -> None:
        host = AgentHost(Asking(), RuntimeConfiguration())

        def break_links() -> None:
            host._links.close()
            host._links._socket = Broken()  # type: ignore[assignment]  # a socket that fails cannot be had
            host._links._follow()
            assert host._links._socket is None

        asyncio.get_running_loop().call_soon(break_links)
        await host.run()

    with pytest.raises(OSError, match="Input/output error"):
        asyncio.run(scene())


def test_interfaces_that_are_there_are_no_event() -> None:
    events: list[object] = []

    async def scene() -> None:
        links = Links(lambda *event: events.append(event), events.append, events.append, events.append, Counters())
        links.start()
        assert "lo" in {link.name for link in links._links.values()}
        assert not links.is_up("nosuch0")
        links.close()
        links.close()

    asyncio.run(scene())
    assert events == []


@pytest.mark.parametrize("is_up", [True, False])
def test_interface_that_is_renamed_or_deleted_has_gone_whatever_its_carrier(is_up: bool) -> None:
    carriers, gone = list[tuple[str, bool]](), list[str]()
    links = Links(lambda *event: carriers.append(event), lambda _: None, gone.append, lambda _: None, Counters())
    links._seen(7, _Link("first", is_up, 1))
    links._seen(7, _Link("second", is_up, 1))
    assert gone == ["first"]
    links._gone(7)
    links._gone(7)
    assert gone == ["first", "second"]
    assert carriers == [(name, carrier) for name in gone for carrier in (True, False) if is_up]
