"""Many agents in one process, each with its own UDP socket, to load the peers of their protocol.

All share one event loop and one table of deadlines with a single timer behind it: with 10,000 agents, to move one deadline
in the table takes 0.6 us, to cancel an asyncio timer of each agent's own and set it again 1.5 us. The agents join a few at
a time, so that a socket's buffer at a peer holds what they send at once. None of them really joins a group, since no data
is taken: routers see nothing of a load.
"""

from __future__ import annotations

import asyncio
import math
import os
import resource
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from agents.core.agent import (
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
    Trace,
)
from agents.core.counters import Counters
from agents.core.driver import Driver
from agents.core.errors import ConfigurationError
from agents.core.room import Load, LoadConfiguration
from agents.core.timers import Timers as Deadlines
from agents.runtime.datagram import DatagramPort, PortError
from agents.runtime.streams import Streams
from agents.runtime.tasks import Tasks

PROGRESS_AFTER = 2.0  # s: what takes longer says how far it is, each time as long has passed
FILES_OF_THE_PROCESS = 32  # open files beside the sockets: standard streams, the event loop's own, libraries
PERCENTILES = (50.0, 90.0, 99.0, 100.0)


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a load has seen; a round trip's latency counts resends. ``counted`` are the sums that its protocol names."""

    who: str
    count: int
    joined: int
    failed: int
    join_time_s: float
    round_trips: int
    latency_ms: Mapping[str, float | None]
    counted: Mapping[str, int]
    counters: Mapping[str, int]

    @property
    def round_trips_per_second(self) -> float:
        """Over the time in which the agents joined."""
        return self.round_trips / self.join_time_s if self.join_time_s else 0.0

    def plain(self) -> dict[str, object]:
        """As it is written with ``--json``."""
        return {
            "count": self.count,
            "joined": self.joined,
            "failed": self.failed,
            "join_time_s": round(self.join_time_s, 6),
            "round_trips": self.round_trips,
            "round_trips_per_second": round(self.round_trips_per_second, 1),
            "latency_ms": dict(self.latency_ms),
            **self.counted,
            "counters": dict(self.counters),
        }

    def lines(self) -> list[str]:
        """As people read it."""
        latency = ", ".join(f"{name} {value} ms" for name, value in self.latency_ms.items())
        lines = [
            f"{self.joined} of {self.count} {self.who} joined in {self.join_time_s:.2f} s, {self.failed} failed",
            f"{self.round_trips} round trips, {self.round_trips_per_second:.0f}/s: {latency}",
            *_in_words(self.counted),
        ]
        return lines + [f"{name}: {amount}" for name, amount in self.counters.items()]


def _in_words(counted: Mapping[str, int]) -> list[str]:
    """``{"reports_sent": 7}`` as ``7 reports sent``."""
    return [f"{amount} {name.replace('_', ' ')}" for name, amount in counted.items()]


class _Loader:
    """One agent with its ports and streams, and since when it waits for an answer."""

    __slots__ = ("agent", "asked_at", "deadline", "number", "ports", "streams")

    def __init__(self, number: int, agent: Agent) -> None:
        self.number = number
        self.agent = agent
        self.ports: dict[str, DatagramPort] = {}
        self.streams: Streams | None = None
        self.asked_at: float | None = None
        self.deadline: float | None = None


class Loading(Driver[_Loader]):
    """Drives the many agents of a load; ``progress`` is given a line now and then.

    What they need of the world beside their peers is granted and not done: they are members of no group, keep nothing for
    good, have no operator and no application.
    """

    def __init__(
        self, load: Load, configuration: LoadConfiguration, progress: Callable[[str], None] | None = None
    ) -> None:
        configuration.check()
        self._load = load
        self._configuration = configuration
        self._progress = progress
        self._family = load.family(configuration)
        self._counters = Counters()  # of the sockets
        self._nodes: dict[int, _Loader] = {}
        self._deadlines: Deadlines[int] = Deadlines()
        self._alarm: asyncio.TimerHandle | None = None
        self._waiting: Iterator[int] = iter(range(1, configuration.count + 1))
        self._settled: set[int] = set()
        self._joined: set[int] = set()
        self._ended: set[int] = set()  # they are driven no more
        self._all_settled = asyncio.Event()
        self._latencies: list[float] = []
        self._ways = self.ways
        self._tasks = Tasks(self._fail)
        self._failure: BaseException | None = None

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._all_settled.set()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def run(self) -> LoadResult:
        """Join all, go on for the configured time, leave. Raises OSError or ConfigurationError with a remedy."""
        numbered = len(self._load.ports(self._configuration, 1))
        require_open_files(self._configuration.count * (1 + numbered) + FILES_OF_THE_PROCESS)
        progress = asyncio.create_task(self._tell_progress())
        try:
            began = asyncio.get_running_loop().time()
            for _ in range(self._configuration.joining):
                self._start_next()
            await self._all_settled.wait()
            self._check()
            join_time = asyncio.get_running_loop().time() - began
            await asyncio.sleep(self._configuration.duration_s)
            self._check()
            if self._configuration.leave:
                for node in self._nodes.values():
                    self._drive(node, partial(node.agent.handle, self._load.leaving))
            return self._result(join_time)
        finally:
            self._waiting = iter(())  # nobody starts any more
            progress.cancel()
            if self._alarm is not None:
                self._alarm.cancel()
            for node in self._nodes.values():
                await self._close(node)
            await self._tasks.close()

    # --- driving --------------------------------------------------------------------------------------------------

    def _start_next(self) -> None:
        number = next(self._waiting, None)
        if number is None:
            return
        node = self._nodes[number] = _Loader(number, self._load.agent(self._configuration, number))
        node.agent.keeps_history = False
        node.agent.random_bytes = os.urandom
        self._open_port(node, "")
        for name, port in self._load.ports(self._configuration, number).items():
            self._open_port(node, name, port)
        self._drive(node, node.agent.start)

    def _start_next_soon(self) -> None:
        """Called by the event loop, to which an error would be of no concern."""
        try:
            self._start_next()
        except (ConfigurationError, OSError) as error:
            self._fail(error)

    def _open_port(self, node: _Loader, name: str, number: int = 0) -> DatagramPort:
        receiver = partial(self._received, node, name)
        opened = DatagramPort(self._family, self._configuration.address, number, self._counters, receiver)
        node.ports[name] = opened
        return opened

    @staticmethod
    async def _close(node: _Loader) -> None:
        for port in node.ports.values():
            port.close()
        node.ports.clear()
        if node.streams is not None:
            await node.streams.close_all()

    def _received(self, node: _Loader, port: str, data: bytes, source: Endpoint) -> None:
        self._heard(node, data)
        self._drive(node, lambda now: node.agent.receive(data, source, now, port))

    def _stream_received(self, node: _Loader, stream: Hashable, data: bytes) -> None:
        self._heard(node, data)
        self._drive(node, partial(node.agent.received, stream, data))

    def _heard(self, node: _Loader, data: bytes) -> None:
        if node.asked_at is not None and self._load.is_answer(data):
            self._latencies.append(asyncio.get_running_loop().time() - node.asked_at)
            node.asked_at = None

    def _said(self, node: _Loader, data: bytes) -> None:
        if node.asked_at is None and node.number not in self._settled and self._load.is_request(data):
            node.asked_at = asyncio.get_running_loop().time()

    def _happened(self, node: _Loader, event: Event) -> None:
        self._drive(node, partial(node.agent.handle, event))

    def _soon(self, node: _Loader, event: Event) -> None:
        asyncio.get_running_loop().call_soon(self._happened, node, event)

    def _drive(self, node: _Loader, step: Callable[[float], None]) -> None:
        if node.number in self._ended:
            return
        step(asyncio.get_running_loop().time())
        ways = self._ways
        for action in node.agent.take_actions():
            ways[type(action)](node, action)
            if node.number in self._ended:  # what it has asked for behind that is not done
                break
        deadline = None if node.number in self._ended else node.agent.next_deadline()
        if deadline == node.deadline:
            return
        node.deadline = deadline
        if deadline is None:
            self._deadlines.cancel(node.number)
        else:
            self._deadlines.set(node.number, deadline)
            self._set_alarm()

    # --- the ways of a Driver -------------------------------------------------------------------------------------

    def send_datagram(self, place: _Loader, action: SendDatagram) -> None:
        """Send from the agent's port of that name."""
        self._said(place, action.data)
        try:
            port = place.ports.get(action.port) or self._open_port(place, action.port)
        except PortError as error:
            place.agent.counters.add(f"unsent.PortError.{error.errno}")
            return
        port.send(action.data, action.destination, action.dscp, action.interface)

    def close_port(self, place: _Loader, action: ClosePort) -> None:
        """Close it."""
        port = place.ports.pop(action.port, None)
        if port is not None:
            port.close()

    def connect(self, place: _Loader, action: Connect) -> None:
        """Connect from where all send."""
        if place.streams is None:
            tell, received = partial(self._happened, place), partial(self._stream_received, place)
            place.streams = Streams(place.agent.counters, tell, received, self._tasks)
        place.streams.connect(action, self._configuration.address)

    def send_stream(self, place: _Loader, action: SendStream) -> None:
        """Queue the data."""
        self._said(place, action.data)
        if place.streams is not None:
            place.streams.send(action)

    def close_stream(self, place: _Loader, action: CloseStream) -> None:
        """Close it."""
        if place.streams is not None:
            place.streams.close(action)

    def join_group(self, place: _Loader, action: JoinGroup) -> None:
        """Say that it is done."""
        self._soon(place, GroupJoined(action.group, action.interface, succeeded=True))

    def leave_group(self, place: _Loader, action: LeaveGroup) -> None:
        """Nothing was joined."""

    def renew_membership(self, place: _Loader, action: RenewMembership) -> None:
        """Nothing was joined."""

    def configure_address(self, place: _Loader, action: ConfigureAddress) -> None:
        """Say that it is done."""
        self._soon(place, AddressConfigured(action.interface, action.address))

    def commit(self, place: _Loader, action: Commit) -> None:
        """Say that it is done."""
        self._soon(place, Committed(action.key, succeeded=True))

    def ask_operator(self, place: _Loader, action: AskOperator) -> None:
        """Refuse, as where no command is configured."""
        self._soon(place, OperatorAnswered(action.key, granted=False, reason="a load has no operator"))

    def deliver_data(self, place: _Loader, action: DeliverData) -> None:
        """Count it."""
        self._counters.add("undelivered.no-application")

    def notify(self, place: _Loader, action: Notify) -> None:
        """Take note of what settles the agent."""
        if action.event in self._load.joined or action.event in self._load.failed:
            self._settle(place, joined=action.event in self._load.joined)

    def write_trace(self, place: _Loader, action: Trace) -> None:
        """Nobody reads a history of so many."""

    def end(self, place: _Loader, action: End) -> None:
        """Close what the agent has, and drive it no more; one that ends before it has joined has failed."""
        self._ended.add(place.number)
        place.asked_at = None
        self._tasks.begin(self._close(place))
        if place.number not in self._settled:
            self._settle(place, joined=False)

    def _settle(self, node: _Loader, *, joined: bool) -> None:
        (self._joined.add if joined else self._joined.discard)(node.number)
        if node.number in self._settled:
            return
        self._settled.add(node.number)
        # Soon, not now: starting the next from within this one's step would nest as deep as there are refusals.
        asyncio.get_running_loop().call_soon(self._start_next_soon)
        if len(self._settled) == self._configuration.count:
            self._all_settled.set()

    def _set_alarm(self) -> None:
        """Have ``_expire`` called at the earliest deadline. An alarm that is too early does no harm and stays."""
        deadline = self._deadlines.next_deadline()
        if deadline is None or (self._alarm is not None and self._alarm.when() <= deadline):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._alarm = None
        for number in self._deadlines.due(asyncio.get_running_loop().time()):
            node = self._nodes[number]
            node.deadline = None
            self._drive(node, node.agent.expire)
        self._set_alarm()

    # --- telling --------------------------------------------------------------------------------------------------

    async def _tell_progress(self) -> None:
        while self._progress is not None:
            await asyncio.sleep(PROGRESS_AFTER)
            failed = len(self._settled) - len(self._joined)
            reached = f"{len(self._joined)} of {self._configuration.count} joined, {failed} failed"
            self._progress(", ".join([reached, *_in_words(self._counted())]))

    def _counted(self) -> dict[str, int]:
        agents = [node.agent for node in self._nodes.values()]
        return {name: sum(agent.counters[counter] for agent in agents) for name, counter in self._load.counted.items()}

    def _result(self, join_time: float) -> LoadResult:
        counters = self._counters
        for node in self._nodes.values():
            for name, amount in node.agent.counters.snapshot().items():
                counters.add(name, amount)
        return LoadResult(
            who=self._load.who,
            count=self._configuration.count,
            joined=len(self._joined),
            failed=len(self._settled) - len(self._joined),
            join_time_s=join_time,
            round_trips=len(self._latencies),
            latency_ms=percentiles(self._latencies),
            counted=self._counted(),
            counters=counters.snapshot(),
        )


def percentiles(latencies: list[float]) -> dict[str, float | None]:
    """``{"p50": ms, …, "worst": ms}`` of latencies in seconds, by nearest rank; None where there are none."""
    ordered = sorted(latencies)
    names = ("worst" if percent == 100 else f"p{percent:g}" for percent in PERCENTILES)
    ranks = (max(0, math.ceil(len(ordered) * percent / 100) - 1) for percent in PERCENTILES)
    return {name: round(ordered[rank] * 1000, 3) if ordered else None for name, rank in zip(names, ranks, strict=True)}


def require_open_files(wanted: int) -> None:
    """Let this process open ``wanted`` files, raising its own limit as far as the hard limit allows.

    Raises ConfigurationError where that is not enough.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or wanted <= soft:
        return
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise ConfigurationError(
            "count",
            f"{wanted} open files are needed and {hard} are allowed",
            f"give at most {max(0, hard - FILES_OF_THE_PROCESS)}, or raise the limit: ulimit -Hn {wanted} as root",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def to_stderr(line: str) -> None:
    """Print progress where it does not mix with the summary."""
    print(line, file=sys.stderr, flush=True)
