"""A swarm of MNs against an SM and an LMC on 127.0.0.1, all in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import re
import resource
from collections.abc import AsyncIterator, Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, get_args

import pytest
from click.testing import CliRunner

from agents.__main__ import main
from agents.core.agent import (
    Action,
    AddressConfigured,
    Agent,
    AskOperator,
    ClosePort,
    CloseStream,
    Commit,
    Committed,
    ConfigureAddress,
    Connect,
    DeliverData,
    End,
    Endpoint,
    Event,
    GroupJoined,
    JoinGroup,
    LeaveGroup,
    Notify,
    OperatorAnswered,
    RenewMembership,
    SendDatagram,
    SendStream,
    StreamOpened,
)
from agents.core.errors import ConfigurationError
from agents.core.room import LoadConfiguration, Port
from agents.mmcp.configuration import (
    Controller,
    LocalMobilityControllerConfiguration,
    Session,
    SessionManagerConfiguration,
)
from agents.mmcp.load import SWARM, SwarmConfiguration
from agents.mmcp.local_mobility_controller import LocalMobilityController
from agents.mmcp.session_manager import SessionManager
from agents.mmcp.timing import Timers
from agents.runtime import load
from agents.runtime.datagram import DatagramPort, PortError
from agents.runtime.load import FILES_OF_THE_PROCESS, Loading, LoadResult, percentiles, require_open_files
from tests.agents.hosts import HERE, free_ports, running, until
from tests.agents.roles import Asking

SESSION = 1
TIMERS = Timers(srt_s=0.05)
GIVEN = SwarmConfiguration(session_manager=HERE, session_id=SESSION, count=10, attached_to="poa1", address=HERE)


class World:
    """An SM and, once it is wanted, an LMC, as they run on a real network."""

    def __init__(self, allowed: list[str] | None = None) -> None:
        self.sm_port, lmc_port = free_ports(2)
        rows = [Controller("lmc1", HERE, ["poa1"], lmc_port)]
        sessions = [Session(SESSION, "239.1.1.1", 5004, allowed_mn_ids=allowed)]
        self.sm = SessionManager(SessionManagerConfiguration(HERE, sessions, rows, port=self.sm_port))
        self.lmc = LocalMobilityController(
            LocalMobilityControllerConfiguration(
                "lmc1", "lo", "127.0.0.0/8", HERE, rows, [SESSION], self.sm_port, timers=TIMERS
            )
        )
        self.ports = {self.sm: self.sm_port, self.lmc: lmc_port}

    def swarm(self, count: int, **changes: Any) -> Loading:
        return Loading(SWARM, replace(GIVEN, count=count, session_manager_port=self.sm_port, timers=TIMERS, **changes))

    @contextlib.asynccontextmanager
    async def running(self, *, with_lmc: bool = True) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for agent in (self.sm, self.lmc)[: 1 + with_lmc]:
                await stack.enter_async_context(running(agent, Port("", self.ports[agent], address=HERE)))
            await until(lambda: not with_lmc or self.sm.counters["sent.SJC"] > 0)
            yield


def test_all_join_the_lmc_report_and_leave() -> None:
    async def scene() -> LoadResult:
        async with world.running():
            result = await world.swarm(40, joining=7, duration_s=0.2).run()
            await until(lambda: world.lmc.counters["received.ULR"] == 40)
            return result

    world = World()
    result = asyncio.run(scene())
    assert (result.joined, result.failed, result.round_trips) == (40, 0, 80)
    assert result.round_trips_per_second == pytest.approx(80 / result.join_time_s)
    reports = result.counted["reports_sent"]
    assert reports >= 40
    assert result.plain()["reports_sent"] == reports == result.counters["sent.USR"]
    assert world.lmc.counters["received.USR"] == reports
    assert result.counters["sent.SJR"] == 40
    assert result.counters["sent.LJR"] >= 40, "and renewals [M-25]"
    assert world.lmc.counters["dropped.unknown-mn"] == 0
    waits = list(result.latency_ms.values())
    assert all(value is not None and value > 0 for value in waits)
    assert waits == sorted(waits, key=float)  # type: ignore[arg-type]


def test_without_an_lmc_the_sm_is_the_parent_and_who_is_not_allowed_fails() -> None:
    async def scene() -> LoadResult:
        async with world.running(with_lmc=False):
            return await world.swarm(6, joining=6, leave=False).run()

    world = World(allowed=["swarm2", "swarm5"])
    result = asyncio.run(scene())
    assert (result.joined, result.failed, result.round_trips) == (2, 4, 6)
    assert world.sm.counters["received.ULR"] == 0
    assert result.lines()[0].startswith("2 of 6 MNs joined in ")
    assert json.loads(json.dumps(result.plain()))["failed"] == 4


def test_where_nobody_answers_all_fail_after_jwt_and_progress_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> LoadResult:
        given = replace(GIVEN, count=3, session_manager_port=port, timers=Timers(jwt_s=0.1))
        return await Loading(SWARM, given, said.append).run()

    monkeypatch.setattr(load, "PROGRESS_AFTER", 0.06)
    said: list[str] = []
    [port] = free_ports(1)
    result = asyncio.run(scene())
    assert (result.joined, result.failed, result.round_trips) == (0, 3, 0)
    assert result.latency_ms == {"p50": None, "p90": None, "p99": None, "worst": None}
    assert said[0] == "0 of 3 joined, 0 failed, 0 reports sent"


def test_percentiles_are_by_nearest_rank() -> None:
    assert percentiles([n / 1000 for n in range(1, 201)]) == {"p50": 100, "p90": 180, "p99": 198, "worst": 200}
    assert percentiles([0.001]) == {"p50": 1, "p90": 1, "p99": 1, "worst": 1}


def test_more_files_than_allowed_are_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1024))
    raised_to = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised_to.append(limits))
    require_open_files(256)
    assert raised_to == []
    require_open_files(1024)
    assert raised_to == [(1024, 1024)]
    remedy = f"give at most {1024 - FILES_OF_THE_PROCESS}, or raise the limit: ulimit -Hn 1025 as root"
    with pytest.raises(
        ConfigurationError, match=re.escape(f"1025 open files are needed and 1024 are allowed; {remedy}")
    ):
        require_open_files(1025)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"count": 0}, "count"),
        ({"joining": 0}, "joining"),
        ({"duration_s": -1.0}, "duration_s"),
        ({"address": "::1"}, "address"),
        ({"session_manager": "nobody"}, "session_manager"),
        ({"name": "x" * 253}, "mn_id"),
        ({"timers": Timers(srt_s=0)}, "timers.srt_s"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(changes: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        replace(GIVEN, **changes).check()  # type: ignore[arg-type]
    assert raised.value.key == key


def test_the_command_prints_json_and_tells_by_its_status_that_some_failed(tmp_path: Path) -> None:
    [port] = free_ports(1)
    path = tmp_path / "swarm.toml"
    path.write_text(
        f'session_manager = "{HERE}"\nsession_manager_port = {port}\nsession_id = 1\ncount = 9\n'
        'attached_to = "poa1"\ntimers.jwt_s = 0.05\n'
    )
    ran = CliRunner().invoke(main, ["mmcp", "swarm", "--config", str(path), "--count", "2", "--json"])
    assert ran.exit_code == 1
    assert json.loads(ran.stdout)["failed"] == 2
    path.write_text("counts = 1")
    ran = CliRunner().invoke(main, ["mmcp", "swarm", "--config", str(path)])
    assert ran.exit_code == 2


class Streaming(Asking):
    """Asks on a stream once all it wanted of the world has been granted, and again from a second port when it is answered."""

    WANTED: ClassVar = {GroupJoined, AddressConfigured, Committed, OperatorAnswered}

    def __init__(self, where: Endpoint) -> None:
        super().__init__(
            JoinGroup("239.1.1.1", "none"),
            RenewMembership("239.1.1.1", "none"),
            LeaveGroup("239.1.1.1", "none"),
            ConfigureAddress("none", "10.0.0.1/24", "10.0.0.2"),
            Commit("k", {}),
            AskOperator("q", (), 1.0),
            DeliverData(b"x"),
        )
        self.where = where

    def handle(self, event: Event, now: float) -> None:
        super().handle(event, now)
        if {type(each) for each in self.told} == self.WANTED:
            self.act(Connect("s", self.where))
        elif isinstance(event, StreamOpened):
            self.act(SendStream(event.stream, b"?"))

    def received(self, stream: Hashable, data: bytes, now: float) -> None:
        self.act(SendDatagram(b"bye", self.where, "second"))
        self.act(ClosePort("second"))
        self.act(CloseStream(stream))
        self.act(Notify("in"))
        self.act(End())


def test_load_of_any_protocol_may_use_streams_and_all_else() -> None:
    async def scene() -> LoadResult:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"!" + await reader.readexactly(1))
            await reader.read()
            writer.close()

        async with await asyncio.start_server(answer, HERE, 0) as server:
            where = Endpoint(*server.sockets[0].getsockname())
            of = replace(
                SWARM,
                agent=lambda _, __: Streaming(where),
                family=lambda _: 4,
                is_request=lambda data: data == b"?",
                is_answer=lambda data: data == b"!?",
                joined=frozenset({"in"}),
                counted={},
            )
            given = LoadConfiguration(count=5, address="127.0.0.8", joining=2, leave=False)
            async with asyncio.timeout(10):
                return await Loading(of, given).run()

    result = asyncio.run(scene())
    assert (result.joined, result.failed, result.round_trips) == (5, 0, 5)
    assert result.counters == {"undelivered.no-application": 5}


class Plain(Asking):
    """Asks for what it is given when it starts, and for more after a moment."""

    def __init__(self, *actions: Action, later: tuple[Action, ...] = ()) -> None:
        super().__init__(*actions)
        self.later = later

    def start(self, now: float) -> None:
        super().start(now)
        self.timers.set(("soon",), now + 0.02)

    def timer_expired(self, key: object, now: float) -> None:
        for action in self.later:
            self.act(action)


def load_of(*agents: Agent, duration_s: float = 0.0) -> LoadResult:
    """What comes of a load of these agents, one after the other."""

    async def scene() -> LoadResult:
        of = replace(
            SWARM,
            agent=lambda _, number: agents[number - 1],
            family=lambda _: 4,
            joined=frozenset({"in"}),
            counted={},
        )
        given = LoadConfiguration(count=len(agents), address=HERE, joining=1, duration_s=duration_s)
        async with asyncio.timeout(5):
            return await Loading(of, given).run()

    return asyncio.run(scene())


def refuse_port(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the port of that number, counted from 1, be one too many for this process."""
    opened = 0

    def open_or_not(*arguments: Any) -> DatagramPort:
        nonlocal opened
        opened += 1
        if opened == number:
            raise PortError(HERE, 0, OSError(errno.EMFILE, "Too many open files"))
        return DatagramPort(*arguments)

    monkeypatch.setattr(load, "DatagramPort", open_or_not)


def test_an_agent_that_has_ended_does_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_port(monkeypatch, 2)  # a second one would be told by a counter
    agent = Plain(End(), Notify("in"), later=(SendDatagram(b"late", Endpoint(HERE, 9), "second"),))
    result = load_of(agent, duration_s=0.1)
    assert (result.joined, result.failed, result.counters) == (0, 1, {})
    assert agent.told == [], "not even to leave"


def test_what_fails_after_all_have_joined_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [OSError("it broke")]

    close = Loading._close

    async def fail_once(node: Any) -> None:
        await close(node)
        if failures:
            raise failures.pop()

    monkeypatch.setattr(Loading, "_close", staticmethod(fail_once))
    with pytest.raises(OSError, match="it broke"):
        load_of(Plain(Notify("in"), later=(End(),)), duration_s=0.1)


def test_a_port_that_cannot_be_opened_ends_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_port(monkeypatch, 2)
    with pytest.raises(PortError, match="Too many open files"):
        load_of(*(Plain(Notify("in")) for _ in range(3)))


def test_what_would_leave_by_an_extra_port_that_there_cannot_be_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_port(monkeypatch, 2)
    result = load_of(Plain(SendDatagram(b"x", Endpoint(HERE, 9), "second"), Notify("in")))
    assert (result.joined, result.counters) == (1, {f"unsent.PortError.{errno.EMFILE}": 1})


def test_load_has_a_way_for_every_action() -> None:
    async def scene() -> set[object]:
        return set(Loading(SWARM, GIVEN).ways)

    assert asyncio.run(scene()) == set(get_args(Action))
