"""Roles without a protocol: one that does what a test tells it and keeps what it hears, and a server with a counter."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from agents.core.agent import (
    Agent,
    Commit,
    Committed,
    Endpoint,
    Event,
    Notify,
    SendDatagram,
    StreamClosed,
    StreamOpened,
)
from agents.core.room import Port
from agents.core.timers import TimerKey
from testbed.run.options import Values, number_option
from testbed.sim.faults import PERFECT, Faults
from testbed.sim.network import Network
from testbed.sim.node import Node
from testbed.sim.world import Simulation, World

PORTS = (Port(number=7), Port("second", 8), Port("listen", 9, "tcp"), Port("raw", 103, "ip"))
SERVER = Endpoint("10.0.0.1", 7)


class Puppet(Agent):
    """It keeps what it hears, with the time in ``times``."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []
        self.times: list[float] = []
        self.restored: Mapping[str, bytes] | None = None

    def restore(self, entries: Mapping[str, bytes]) -> None:
        self.restored = entries

    def start(self, now: float) -> None:
        self._hear("start", now)

    def receive(self, data: bytes, source: Endpoint, now: float, port: str = "") -> None:
        self._hear((port, data, source), now)

    def received(self, stream: Hashable, data: bytes, now: float) -> None:
        self._hear((stream, data), now)

    def handle(self, event: Event, now: float) -> None:
        self._hear(event, now)

    def timer_expired(self, key: TimerKey, now: float) -> None:
        self._hear(key, now)

    def describe(self) -> Mapping[str, object]:
        return {}

    def _hear(self, what: Any, now: float) -> None:
        self.heard.append(what)
        self.times.append(now)

    def data(self, stream: Hashable) -> list[bytes]:
        """What has come of a stream, as it was cut."""
        return [heard[1] for heard in self.heard if isinstance(heard, tuple) and heard[0] == stream]

    def opened(self) -> list[StreamOpened]:
        """The streams it was told of."""
        return [heard for heard in self.heard if isinstance(heard, StreamOpened)]

    def closed(self) -> list[StreamClosed]:
        """The ends it was told of."""
        return [heard for heard in self.heard if isinstance(heard, StreamClosed)]


def acts(network: Network, node: Node, *actions: Any) -> None:
    """Let a puppet ask for something, now."""
    for action in actions:
        node.agent.act(action)
    network.tell(node, Event())


def puppets(count: int = 2, faults: Faults = PERFECT, seed: int = 1) -> tuple[Network, list[Node]]:
    """So many puppets, 10.0.0.1 and up, each at a site of its own ("site1" and up)."""
    network = Network(seed, faults)
    return network, [
        network.add(f"n{number}", Puppet(), f"10.0.0.{number}/24", PORTS, f"site{number}")
        for number in range(1, count + 1)
    ]


def puppet(node: Node) -> Puppet:
    """The puppet at a node."""
    assert isinstance(node.agent, Puppet)
    return node.agent


# --- a server that counts, and the world it lives in ------------------------------------------------------------------


class Counter(Puppet):
    """It adds what it is sent to a durable number and says the sum. A hasty one says it before it is on disk."""

    def __init__(self, *, hasty: bool = False) -> None:
        super().__init__()
        self.hasty = hasty
        self.sum = 0

    def restore(self, entries: Mapping[str, bytes]) -> None:
        self.sum = int(entries.get("sum", b"0"))

    def receive(self, data: bytes, source: Endpoint, now: float, port: str = "") -> None:
        self.sum += int(data)
        self.act(Commit((source, self.sum), {"sum": str(self.sum).encode()}))
        if self.hasty:
            self._say((source, self.sum))

    def handle(self, event: Event, now: float) -> None:
        if isinstance(event, Committed) and event.succeeded and not self.hasty:
            self._say(event.key)

    def _say(self, key: Any) -> None:
        self.act(SendDatagram(str(key[1]).encode(), key[0]))


class Client(Puppet):
    """It asks once a second and tells its application what it hears."""

    def start(self, now: float) -> None:
        self.timers.set(("ask",), now)

    def timer_expired(self, key: TimerKey, now: float) -> None:
        self.act(SendDatagram(b"1", SERVER))
        self.timers.set(key, now + 1.0)

    def receive(self, data: bytes, source: Endpoint, now: float, port: str = "") -> None:
        self.act(Notify("sum", {"sum": int(data)}))


class Counting(World):
    """A server whose machine dies every few seconds, and clients."""

    def __init__(self, values: Values, faults: Faults, *, hasty: bool = False) -> None:
        super().__init__(values.number("seed"), faults)
        self.hasty = hasty
        self.heard = 0  # the greatest sum that anybody was told
        self.server = self.add("server", Counter(hasty=hasty), SERVER.address, PORTS[:1])
        for number in range(values.number("clients")):
            self.add(f"client{number}", Client(), f"10.0.1.{number}", PORTS[:1])
        for second in range(3, int(values.seconds("duration")), 3):
            self.later(second + 0.0073, self.replace, self.server, Counter(hasty=hasty))

    def notified(self, node: Node, notice: Notify) -> None:
        self.heard = max(self.heard, int(str(notice.details["sum"])))

    def lost(self) -> Iterator[tuple[str, str]]:
        """What was said and is not there."""
        if int(self.disk(self.server).entries.get("sum", b"0")) < self.heard:
            yield "durable", f"{self.heard} was said"


COUNTING = Simulation(
    "counting",
    "a server that counts",
    "A server that counts, and its clients.",
    Counting,
    (number_option("clients", "Clients", "5", 1, 100),),
    {"durable": "what was said is on disk"},
    Counting.lost,
    lambda world: {"sum": world.heard},
)
