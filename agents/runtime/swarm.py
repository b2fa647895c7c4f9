"""Many MNs in one process, each with its own UDP socket, to load an SM and its LMCs.

All share one event loop and one table of deadlines with a single timer behind it: with 10,000 MNs, to move one deadline in the
table takes 0.6 us, to cancel an asyncio timer of each MN's own and set it again 1.5 us. The MNs join a few at a time, so that a socket's buffer at the
SM or LMC holds what they send at once. None of them joins the group, since no data is taken: routers see nothing of a swarm.
"""

from __future__ import annotations

import asyncio
import math
import resource
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from agents.core.agent import Action, Endpoint, GroupJoined, JoinGroup, Notify, SendDatagram
from agents.core.checks import check_address, check_port
from agents.core.counters import Counters
from agents.core.errors import ConfigurationError
from agents.core.timers import Timers as Deadlines
from agents.mmcp import constants as c
from agents.mmcp.configuration import MobileNodeConfiguration, NodeInterface, PointOfAttachment, WantedSession
from agents.mmcp.constants import PacketType
from agents.mmcp.events import ApplicationLeave
from agents.mmcp.mobile_node import MobileNode
from agents.mmcp.timing import Timers
from agents.runtime.datagram import DatagramPort, family_of

COUNT_MAXIMUM = 100_000
DURATION_MAXIMUM = 86_400.0  # s
PROGRESS_AFTER = 2.0  # s: what takes longer says how far it is, each time as long has passed
FILES_OF_THE_PROCESS = 32  # open files beside the sockets: standard streams, the event loop's own, libraries
PERCENTILES = (50.0, 90.0, 99.0, 100.0)

_REQUESTS = frozenset({PacketType.SJR, PacketType.LJR})
_CONFIRMS = frozenset({PacketType.SJC, PacketType.LJC})
_JOINED = "established"
_FAILURES = frozenset({"join-failed", "join-refused"})


@dataclass(frozen=True, slots=True)
class SwarmConfiguration:
    """What a swarm is given. The MNs are named ``name`` and a number from 1; times are seconds.

    ``address`` is where they all send from ("": as the routes say), ``joining`` how many join at once, ``duration_s`` how
    long they go on reporting once all have joined or failed. With ``leave`` they leave with notice at the end.
    """

    session_manager: str
    session_id: int
    count: int
    attached_to: str
    session_manager_port: int = c.DEFAULT_PORT
    address: str = ""
    name: str = "swarm"
    joining: int = 64
    duration_s: float = 0.0
    leave: bool = True
    timers: Timers = field(default_factory=Timers)

    def check(self) -> None:
        """Raise ConfigurationError for the first thing wrong."""
        version = check_address("session_manager", self.session_manager)
        check_port("session_manager_port", self.session_manager_port)
        if self.address and check_address("address", self.address) != version:
            raise ConfigurationError("address", self.address, f"give an IPv{version} address like the SM's")
        if not 1 <= self.count <= COUNT_MAXIMUM:
            raise ConfigurationError("count", str(self.count), f"give 1 to {COUNT_MAXIMUM}")
        if not 1 <= self.joining <= COUNT_MAXIMUM:
            raise ConfigurationError("joining", str(self.joining), f"give 1 to {COUNT_MAXIMUM}")
        if not 0 <= self.duration_s <= DURATION_MAXIMUM:
            raise ConfigurationError("duration_s", str(self.duration_s), f"give 0 to {DURATION_MAXIMUM:g} s")
        self.mobile_node(self.count).check()

    def mobile_node(self, number: int) -> MobileNodeConfiguration:
        """The configuration of the MN of that number."""
        place = "::1" if family_of(self.session_manager) == 6 else "127.0.0.1"  # it never moves
        return MobileNodeConfiguration(
            mn_id=f"{self.name}{number}",
            session_manager=self.session_manager,
            session_manager_port=self.session_manager_port,
            sessions=[WantedSession(self.session_id)],
            interfaces=[NodeInterface("none", [PointOfAttachment(self.attached_to, place, place)], self.attached_to)],
            timers=self.timers,
        )


@dataclass(frozen=True, slots=True)
class SwarmResult:
    """What a swarm has seen. A round trip is a join request and its confirm (no renewal); its latency counts resends."""

    count: int
    joined: int
    failed: int
    join_time_s: float
    round_trips: int
    latency_ms: Mapping[str, float | None]
    reports_sent: int
    counters: Mapping[str, int]

    @property
    def round_trips_per_second(self) -> float:
        """Over the time in which the MNs joined."""
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
            "reports_sent": self.reports_sent,
            "counters": dict(self.counters),
        }

    def lines(self) -> list[str]:
        """As people read it."""
        latency = ", ".join(f"{name} {value} ms" for name, value in self.latency_ms.items())
        lines = [
            f"{self.joined} of {self.count} MNs joined in {self.join_time_s:.2f} s, {self.failed} failed",
            f"{self.round_trips} round trips, {self.round_trips_per_second:.0f}/s: {latency}",
            f"{self.reports_sent} status reports sent",
        ]
        return lines + [f"{name}: {amount}" for name, amount in self.counters.items()]


class _SwarmNode:
    """One MN with its socket, and since when it waits for an answer."""

    __slots__ = ("agent", "asked_at", "deadline", "number", "port")

    def __init__(self, number: int, agent: MobileNode) -> None:
        self.number = number
        self.agent = agent
        self.port: DatagramPort | None = None
        self.asked_at: float | None = None
        self.deadline: float | None = None


class Swarm:
    """Drives many MobileNodes; ``progress`` is given a line now and then."""

    def __init__(self, configuration: SwarmConfiguration, progress: Callable[[str], None] | None = None) -> None:
        configuration.check()
        self._configuration = configuration
        self._progress = progress
        self._family = family_of(configuration.session_manager)
        self._counters = Counters()  # of the sockets
        self._nodes: dict[int, _SwarmNode] = {}
        self._deadlines: Deadlines[int] = Deadlines()
        self._alarm: asyncio.TimerHandle | None = None
        self._waiting = iter(range(1, configuration.count + 1))
        self._settled: set[int] = set()
        self._joined: set[int] = set()
        self._all_settled = asyncio.Event()
        self._latencies: list[float] = []
        self._reports_sent = 0

    async def run(self) -> SwarmResult:
        """Join all, report for the configured time, leave. Raises OSError or ConfigurationError with a remedy."""
        require_open_files(self._configuration.count + FILES_OF_THE_PROCESS)
        progress = asyncio.create_task(self._tell_progress())
        try:
            began = asyncio.get_running_loop().time()
            for _ in range(self._configuration.joining):
                self._start_next()
            await self._all_settled.wait()
            join_time = asyncio.get_running_loop().time() - began
            await asyncio.sleep(self._configuration.duration_s)
            if self._configuration.leave:
                for node in self._nodes.values():
                    self._drive(node, partial(node.agent.handle, ApplicationLeave()))
            return self._result(join_time)
        finally:
            progress.cancel()
            if self._alarm is not None:
                self._alarm.cancel()
            for node in self._nodes.values():
                if node.port is not None:
                    node.port.close()

    # --- driving --------------------------------------------------------------------------------------------------

    def _start_next(self) -> None:
        number = next(self._waiting, None)
        if number is None:
            return
        node = self._nodes[number] = _SwarmNode(number, MobileNode(self._configuration.mobile_node(number)))
        receiver = partial(self._received, node)
        node.port = DatagramPort(self._family, self._configuration.address, 0, self._counters, receiver)
        self._drive(node, node.agent.start)

    def _received(self, node: _SwarmNode, data: bytes, source: Endpoint) -> None:
        if node.asked_at is not None and data[:1] and data[0] in _CONFIRMS:
            self._latencies.append(asyncio.get_running_loop().time() - node.asked_at)
            node.asked_at = None
        self._drive(node, lambda now: node.agent.receive(data, source, now))

    def _drive(self, node: _SwarmNode, step: Callable[[float], None]) -> None:
        now = asyncio.get_running_loop().time()
        step(now)
        for action in node.agent.take_actions():
            self._carry_out(node, action, now)
        deadline = node.agent.next_deadline()
        if deadline == node.deadline:
            return
        node.deadline = deadline
        if deadline is None:
            self._deadlines.cancel(node.number)
        else:
            self._deadlines.set(node.number, deadline)
            self._set_alarm()

    def _carry_out(self, node: _SwarmNode, action: Action, now: float) -> None:
        match action:
            case SendDatagram() if node.port is not None:
                code = action.data[0]
                if code in _REQUESTS and node.asked_at is None and node.number not in self._settled:
                    node.asked_at = now
                elif code == PacketType.USR:
                    self._reports_sent += 1
                node.port.send(action.data, action.destination)
            case JoinGroup():
                node.agent.handle(GroupJoined(action.group, action.interface, succeeded=True), now)
            case Notify(event=event) if event == _JOINED or event in _FAILURES:
                self._settle(node, joined=event == _JOINED)

    def _settle(self, node: _SwarmNode, *, joined: bool) -> None:
        (self._joined.add if joined else self._joined.discard)(node.number)
        if node.number in self._settled:
            return
        self._settled.add(node.number)
        # Soon, not now: starting the next from within this one's step would nest as deep as there are refusals.
        asyncio.get_running_loop().call_soon(self._start_next)
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
            self._progress(
                f"{len(self._joined)} of {self._configuration.count} joined, {failed} failed, "
                f"{self._reports_sent} reports sent"
            )

    def _result(self, join_time: float) -> SwarmResult:
        counters = self._counters
        for node in self._nodes.values():
            for name, amount in node.agent.counters.snapshot().items():
                counters.add(name, amount)
        return SwarmResult(
            count=self._configuration.count,
            joined=len(self._joined),
            failed=len(self._settled) - len(self._joined),
            join_time_s=join_time,
            round_trips=len(self._latencies),
            latency_ms=percentiles(self._latencies),
            reports_sent=self._reports_sent,
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
