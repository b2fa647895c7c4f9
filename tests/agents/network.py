"""A network in virtual time that carries out what MMCP roles ask for, so that tests read like sequence charts.

The network knows where each role is, carries datagrams with a delay, answers joins and address changes, and fires timers
in order; nothing waits. What happened is kept as a chart of lines such as ``mn HIR lmc1`` or ``lmc2 joins 239.1.1.1``.
Every datagram that a role sends is read by the judge's dissector, so that no test passes on a message that is none.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agents.core.agent import (
    Action,
    AddressConfigured,
    Agent,
    AskOperator,
    ClosePort,
    ConfigureAddress,
    Endpoint,
    Event,
    GroupJoined,
    JoinGroup,
    LeaveGroup,
    LinkDown,
    LinkUp,
    Notify,
    RenewMembership,
    SendDatagram,
    Trace,
)
from agents.mmcp.events import LinkDetected
from captures.mmcp import dissector as judge

PORT = 24793
DELAY = 0.001  # s, one way between any two nodes
JOIN_DELAY = 0.010  # s, from a join to its report on the wire
STEPS_MAXIMUM = 20_000  # of one run: more means that the roles answer each other forever
INTERFACE = "mn-radio"
SECOND_INTERFACE = "mn-second"
WITH_FLAG = ("SJC", "LJC", "ULC", "HTA", "HIC")


def _on(interface: str) -> str:
    """How the chart names an interface: the second one of an MN is said, all others go without saying."""
    return f" on {interface}" if interface == SECOND_INTERFACE else ""


@dataclass(frozen=True, slots=True)
class Sent:
    """One datagram: when (s), who to whom, and what the judge reads in it."""

    time: float
    sender: str
    receiver: str
    fields: dict[str, Any]
    data: bytes
    source: Endpoint
    destination: Endpoint
    lost: bool

    @property
    def packet(self) -> str:
        """The packet's name."""
        return str(self.fields["packet"])

    def line(self) -> str:
        """``lmc1 HIC+ mn``: + and - stand for F = 1 and F = 0 where F has a meaning."""
        flag = "-+"[self.fields["f"]] if self.packet in WITH_FLAG else ""
        return f"{self.sender} {self.packet}{flag} {self.receiver}" + (" (lost)" if self.lost else "")


@dataclass(slots=True)
class Node:
    """A role at its place."""

    agent: Agent
    addresses: dict[str, str]  # by interface
    default: str = INTERFACE  # the interface of the default route
    links_down: set[str] = field(default_factory=set)
    ports: dict[str, int] = field(default_factory=dict)
    joins_succeed: bool = True
    join_delay: float = JOIN_DELAY
    notices: list[Notify] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    questions: list[AskOperator] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The address of the default route's interface."""
        return self.addresses[self.default]

    def interface_to(self, destination: str) -> str:
        """The interface of that subnet, else the default route's; a link that is down keeps its routes."""
        subnet = destination.rpartition(".")[0]
        return next((name for name, own in self.addresses.items() if own.rpartition(".")[0] == subnet), self.default)


class Network:
    """Roles by name, the time, and the chart of what happened."""

    def __init__(self) -> None:
        self.now = 100.0
        self.nodes: dict[str, Node] = {}
        self.sent: list[Sent] = []
        self.chart: list[tuple[float, str]] = []
        self.loss: deque[str] = deque()
        self.delays: dict[str, float] = {}
        self.repeats: deque[str] = deque()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._next_port = 40_000

    # --- building and running -------------------------------------------------------------------------------------

    def add(self, name: str, agent: Agent, address: str) -> Node:
        """Put a role at an address; it is started with ``start``."""
        self.nodes[name] = node = Node(agent, {INTERFACE: address})
        return node

    def start(self, *names: str) -> None:
        """Start roles, in this order, at this moment."""
        for name in names:
            self._drive(name, lambda agent: agent.start(self.now))

    def tell(self, name: str, event: Event) -> None:
        """Hand an event to a role now."""
        self._drive(name, lambda agent: agent.handle(event, self.now))

    def give(self, name: str, data: bytes, source: Endpoint, port: str = "") -> None:
        """Hand a datagram from anywhere to a role now."""
        self._drive(name, lambda agent: agent.receive(data, source, self.now, port))

    def run_for(self, seconds: float) -> None:
        """Let time pass: deliver what is on its way and fire timers, in order."""
        end = self.now + seconds
        for _ in range(STEPS_MAXIMUM):
            deadlines = [
                (d, name) for name, node in self.nodes.items() if (d := node.agent.next_deadline()) is not None
            ]
            deadline, name = min(deadlines, default=(float("inf"), ""))
            event = self._queue[0][0] if self._queue else float("inf")
            if min(deadline, event) > end:
                self.now = end
                return
            self.now = max(self.now, min(deadline, event))
            if event <= deadline:
                heapq.heappop(self._queue)[2]()
            else:
                self._drive(name, lambda agent: agent.expire(self.now))
        raise AssertionError(f"more than {STEPS_MAXIMUM} steps in {seconds} s: {self.lines()[-10:]}")

    # --- what the world does --------------------------------------------------------------------------------------

    def trigger(self, point: str, name: str = "mn", interface: str = INTERFACE) -> None:
        """A link trigger: the point of attachment is in reach."""
        self.note(f"{name} detects {point}")
        self.tell(name, LinkDetected(interface, point.encode()))

    def link_down(self, name: str = "mn", interface: str = INTERFACE) -> None:
        """The link goes; datagrams of the node are lost from now on."""
        self.note(f"{name} link down")
        self.nodes[name].links_down.add(interface)
        self.tell(name, LinkDown(interface))

    def link_up(self, name: str = "mn", interface: str = INTERFACE) -> None:
        """The link comes."""
        self.note(f"{name} link up")
        self.nodes[name].links_down.discard(interface)
        self.tell(name, LinkUp(interface))

    def lose(self, *packets: str) -> None:
        """Lose the next datagram of each of these packet types, in this order where a type is named twice."""
        self.loss.extend(packets)

    def repeat(self, *packets: str) -> None:
        """Deliver the next datagram of each of these packet types twice."""
        self.repeats.extend(packets)

    # --- what is seen ---------------------------------------------------------------------------------------------

    def note(self, line: str) -> None:
        """Add a line to the chart."""
        self.chart.append((self.now, line))

    def mark(self) -> int:
        """Where the chart ends now, for ``lines``."""
        return len(self.chart)

    def lines(self, since: int = 0) -> list[str]:
        """The chart from a mark on."""
        return [line for _, line in self.chart[since:]]

    def times(self, line: str) -> list[float]:
        """When a line happened, in seconds after the network began."""
        return [round(time - 100.0, 6) for time, found in self.chart if found == line]

    def packets(self, packet: str) -> list[Sent]:
        """Everything sent of one packet type."""
        return [sent for sent in self.sent if sent.packet == packet]

    def notices(self, name: str) -> list[str]:
        """The words a role has told its application."""
        return [notice.event for notice in self.nodes[name].notices]

    # --- inside ---------------------------------------------------------------------------------------------------

    def _drive(self, name: str, step: Callable[[Agent], None]) -> None:
        step(self.nodes[name].agent)
        for action in self.nodes[name].agent.take_actions():
            self._carry_out(name, self.nodes[name], action)

    def _later(self, delay: float, what: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._queue, (self.now + delay, self._sequence, what))

    def _carry_out(self, name: str, node: Node, action: Action) -> None:
        match action:
            case SendDatagram():
                self._send(name, node, action)
            case ClosePort():
                del node.ports[action.port]
            case JoinGroup():
                self.note(
                    f"{name} joins {action.group}"
                    + (f" from {action.source}" if action.source else "")
                    + _on(action.interface)
                )
                answer = GroupJoined(action.group, action.interface, node.joins_succeed, "")
                self._later(node.join_delay, lambda: self.tell(name, answer))
            case LeaveGroup():
                self.note(f"{name} leaves {action.group}{_on(action.interface)}")
            case RenewMembership():
                self.note(f"{name} renews {action.group}{_on(action.interface)}")
            case ConfigureAddress():
                self._later(DELAY, lambda: self._configure(name, action))
            case Notify():
                node.notices.append(action)
            case Trace():
                node.traces.append(action)
            case AskOperator():
                node.questions.append(action)

    def _configure(self, name: str, action: ConfigureAddress) -> None:
        self.nodes[name].addresses[action.interface] = action.address.partition("/")[0]
        self.nodes[name].default = action.interface
        self.note(f"{name} has {action.address} by {action.gateway}")
        self.tell(name, AddressConfigured(action.interface, action.address))

    def _send(self, name: str, node: Node, action: SendDatagram) -> None:
        port = PORT
        if action.port:
            if action.port not in node.ports:
                node.ports[action.port] = self._next_port
                self._next_port += 1
            port = node.ports[action.port]
        interface = node.interface_to(action.destination.address)
        source = Endpoint(node.addresses[interface], port)
        fields = judge.dissect(action.data)
        lost = fields["packet"] in self.loss or interface in node.links_down
        if fields["packet"] in self.loss:
            self.loss.remove(fields["packet"])
        receiver = next(
            (key for key, row in self.nodes.items() if action.destination.address in row.addresses.values()), "nobody"
        )
        sent = Sent(self.now, name, receiver, fields, action.data, source, action.destination, lost)
        self.sent.append(sent)
        self.note(sent.line())
        times = 1 + (fields["packet"] in self.repeats)
        if times == 2:
            self.repeats.remove(fields["packet"])
        for _ in range(0 if lost else times):
            self._later(self.delays.get(fields["packet"], DELAY), lambda: self._deliver(sent))

    def _deliver(self, sent: Sent) -> None:
        for name, node in self.nodes.items():
            if sent.destination.address in [
                address for interface, address in node.addresses.items() if interface not in node.links_down
            ]:
                if sent.destination.port == PORT:
                    self.give(name, sent.data, sent.source)
                for port, number in list(node.ports.items()):
                    if number == sent.destination.port:
                        self.give(name, sent.data, sent.source, port)
