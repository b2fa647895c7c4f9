"""A network in virtual time whose course reads like a sequence chart.

The simulator's network carries out what roles ask for; this one notes it, as lines such as ``mn HIR lmc1`` or ``lmc2 joins
239.1.1.1``, and decides the fate of each datagram: lost, repeated or slow, as a test has asked by the names of packets.
Every datagram that a role sends is read by ``read``, the judge's dissector of the protocol, so that no test passes on a
message that is none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from agents.core.agent import (
    Agent,
    AskOperator,
    Connect,
    Endpoint,
    Event,
    JoinGroup,
    LeaveGroup,
    RenewMembership,
    SendDatagram,
)
from agents.core.links import LinkDown, LinkUp
from agents.core.room import Port
from testbed.sim.faults import Faults
from testbed.sim.network import Datagram, Network
from testbed.sim.node import Node

BEGIN = 100.0  # s: a role must not take the time for its age
DELAY = 0.001  # s, one way between any two nodes
STEPS_MAXIMUM = 20_000  # of one run: more means that the roles answer each other forever

Reading = tuple[str, str, dict[str, Any]]
"""What a dissector reads in a datagram: the packet's name, what the chart puts behind it, all fields."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One datagram: when (s), who to whom, and what the judge reads in it."""

    time: float
    sender: str
    receiver: str
    packet: str
    mark: str
    fields: dict[str, Any]
    data: bytes
    source: Endpoint
    destination: Endpoint
    lost: bool

    def line(self) -> str:
        """``lmc1 HIC+ mn``."""
        return f"{self.sender} {self.packet}{self.mark} {self.receiver}" + (" (lost)" if self.lost else "")


class Chart:
    """Roles by name on a network, and what happened there.

    ``interfaces`` says what a role's interfaces are called, the one with the default route first; the chart does not name
    that one. All nodes have the same ``ports``, and the addresses of a subnet the same first octets (IPv6: groups).
    """

    def __init__(
        self,
        read: Callable[[bytes], Reading],
        ports: Sequence[Port],
        interfaces: Callable[[str, Agent], Sequence[str]] = lambda _name, _agent: ("lan",),
    ) -> None:
        self.read = read
        self.sent: list[Sent] = []
        self.chart: list[tuple[float, str]] = []
        self.loss: deque[str] = deque()
        self.delays: dict[str, float] = {}
        self.repeats: deque[str] = deque()
        self.delivered: list[tuple[str, bytes]] = []  # by whom to its application
        self.network = _Charted(self)
        self.nodes = self.network.nodes
        self._ports = ports
        self._interfaces = interfaces

    # --- building and running -------------------------------------------------------------------------------------

    def add(self, name: str, agent: Agent, address: str) -> Node:
        """Put a role at an address, in place of one of that name that dies; it is started with ``start``."""
        if name in self.nodes:
            self.network.kill(self.nodes[name])
            self.network.install(self.nodes[name], agent)
            return self.nodes[name]
        subnet = f"{address}/{64 if ':' in address else 24}"
        first, *others = self._interfaces(name, agent)
        node = self.network.add(name, agent, subnet, self._ports, interface=first)
        for other in others:
            self.network.add_interface(node, other)
        return node

    def kill(self, name: str) -> None:
        """The role is there no more: it says nothing and hears nothing."""
        self.network.kill(self.nodes[name])

    def start(self, *names: str) -> None:
        """Start roles, in this order, at this moment."""
        for name in names:
            self.network.start(self.nodes[name])

    def tell(self, name: str, event: Event) -> None:
        """Hand an event to a role now."""
        self.network.tell(self.nodes[name], event)

    def give(self, name: str, data: bytes, source: Endpoint, port: str = "") -> None:
        """Hand a datagram from anywhere to a role now."""
        self.network.hand_over(self.nodes[name], data, source, port)

    def run_for(self, seconds: float) -> None:
        """Let time pass: what is on its way arrives and timers fire, in order."""
        before = self.network.events
        self.network.run_for(seconds)
        steps = self.network.events - before
        assert steps <= STEPS_MAXIMUM, f"{steps} steps in {seconds} s: {self.lines()[-10:]}"

    @property
    def now(self) -> float:
        """The time (s)."""
        return self.network.now

    # --- what the world does --------------------------------------------------------------------------------------

    def link_down(self, name: str, interface: str) -> None:
        """A link goes; datagrams by it are lost from now on."""
        self.note(f"{name} link down")
        self.network.lose_link(self.nodes[name], interface)
        self.tell(name, LinkDown(interface))

    def link_up(self, name: str, interface: str, where: str = "") -> None:
        """A link comes; ``where``: to which point of attachment, if that is told."""
        self.note(f"{name} link up")
        self.network.regain_link(self.nodes[name], "", None, interface)
        self.tell(name, LinkUp(interface, where))

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
        return [round(time - BEGIN, 6) for time, found in self.chart if found == line]

    def packets(self, packet: str) -> list[Sent]:
        """Everything sent of one packet type."""
        return [sent for sent in self.sent if sent.packet == packet]

    def notices(self, name: str) -> list[str]:
        """The words a role has told its application."""
        return [notice.event for notice in self.nodes[name].notices]


class _Charted(Network):
    """The network under a chart: it notes what roles ask for and lets the chart decide what arrives."""

    keeps_history = True

    def __init__(self, chart: Chart) -> None:
        super().__init__(0, Faults(delay_s=DELAY), BEGIN)
        self._chart = chart
        self._copies: tuple[float, ...] = ()  # of the datagram that is being sent: when they arrive

    def send_datagram(self, node: Node, action: SendDatagram) -> None:
        chart, interface = self._chart, self.interface_for(node, action)
        packet, mark, fields = chart.read(action.data)
        lost = packet in chart.loss or not interface.link_is_up
        if packet in chart.loss:
            chart.loss.remove(packet)
        receiver = self.node_at(action.destination.address)
        name = "nobody" if receiver is None or not receiver.is_alive else receiver.name
        if receiver is None and action.destination.address in self.members:
            name = action.destination.address
        source = Endpoint(interface.address, node.port(action.port))
        sent = Sent(self.now, node.name, name, packet, mark, fields, action.data, source, action.destination, lost)
        chart.sent.append(sent)
        chart.note(sent.line())
        times = 1 + (packet in chart.repeats)
        if times == 2:
            chart.repeats.remove(packet)
        self._copies = () if lost else (chart.delays.get(packet, DELAY),) * times
        self.send_otherwise(node, action)

    def fate(self, _datagram: Datagram) -> Sequence[float]:
        return self._copies

    def connect(self, node: Node, action: Connect) -> None:
        receiver = self.node_at(action.destination.address)
        self._chart.note(f"{node.name} connects {'nobody' if receiver is None else receiver.name}")
        super().connect(node, action)

    def join_group(self, node: Node, action: JoinGroup) -> None:
        source = f" from {action.source}" if action.source else ""
        self._chart.note(f"{node.name} joins {action.group}{source}{self._on(node, action.interface)}")
        super().join_group(node, action)

    def leave_group(self, node: Node, action: LeaveGroup) -> None:
        self._chart.note(f"{node.name} leaves {action.group}{self._on(node, action.interface)}")
        super().leave_group(node, action)

    def renew_membership(self, node: Node, action: RenewMembership) -> None:
        self._chart.note(f"{node.name} renews {action.group}{self._on(node, action.interface)}")
        super().renew_membership(node, action)

    def delivered(self, node: Node, data: bytes) -> None:
        self._chart.delivered.append((node.name, data))

    def configured(self, node: Node, address: str, gateway: str) -> None:
        self._chart.note(f"{node.name} has {address} by {gateway}")

    def ask_operator(self, node: Node, action: AskOperator) -> None:
        """Keep the question: it is the test that answers."""
        self.keep(node, action)

    @staticmethod
    def _on(node: Node, interface: str) -> str:
        """How the chart names an interface: all but the first are said."""
        return "" if interface == node.interfaces[0].name else f" on {interface}"
