"""A network in virtual time that carries out every action of every role, and does to datagrams what networks do.

Theory of operation. All that will happen stands in one agenda, ordered by time and then by the order in which it was put
there, so that a run has one order only. The timers of the roles stand there too; one that was moved or cancelled is passed
over when its time comes, so the agenda holds what is due and never the past. No step looks at all nodes. Randomness comes
from one generator with the run's seed. Everything that happens goes into a BLAKE2b hash: two runs of one plan have the same
hash, and a run that differs in a single bit or moment has another. Roles write no history here: the hash is of what they do.

A run of many nodes is bound by memory more than by anything else: each event finds its node's objects cold. So what belongs
to a node is few objects, and two steps that are taken for every datagram are written into one.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

from agents.core.agent import (
    Action,
    AddressConfigured,
    Agent,
    ClosePort,
    ConfigureAddress,
    Endpoint,
    Event,
    GroupJoined,
    JoinGroup,
    LeaveGroup,
    Notify,
    RenewMembership,
    SendDatagram,
)
from agents.core.timers import TimerKey
from testbed.sim.agenda import Agenda
from testbed.sim.node import Group, Node, NodeTimers

JOIN_TIME_S = 0.010  # from a join to its report on the wire
ADDRESS_TIME_S = 0.001  # from the request to configure an address until it is there
BROKEN_MAXIMUM = 20  # how many breaches of invariants are told; the others are counted
_ENTRY = Struct("!dIBI")


@dataclass(frozen=True, slots=True)
class Faults:
    """What happens to datagrams. Times are seconds, the others probabilities of each datagram.

    ``jitter_s`` is added to the delay in equal distribution. A datagram that is reordered is held back by
    ``held_back_s``; of a duplicated one a second copy arrives, with its own jitter. ``only_delay`` follows from the others:
    nothing else happens to a datagram.
    """

    delay_s: float = 0.005
    jitter_s: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    held_back_s: float = 0.05
    only_delay: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "only_delay", not (self.loss or self.duplication or self.reordering))


PERFECT = Faults()


@dataclass(frozen=True, slots=True)
class Breach:
    """An invariant that did not hold: its name, when (s), at which node, and what was seen."""

    invariant: str
    time: float
    node: str
    seen: str


class RoleError(Exception):
    """A role raised: a bug of the role. The exception that it raised is the cause."""


class Network:
    """Nodes, the time in seconds, what is to come, and what has happened in numbers."""

    def __init__(self, seed: int, faults: Faults = PERFECT) -> None:
        self.faults = faults
        # A text is hashed by SHA-512, on every machine alike.
        self._chance = random.Random(f"network {seed}").random
        self.nodes: list[Node] = []
        self.events = 0  # taken out of the agenda, less the timers that had been moved or cancelled
        self._sent = self._delivered = 0  # datagrams
        self._rare_fates = dict.fromkeys(
            ("lost", "duplicated", "reordered", "partitioned", "no-link", "no-receiver"), 0
        )
        self.breaches: list[Breach] = []
        self.breach_count = 0
        self._cuts: set[tuple[str, str]] = set()
        # By a datagram's first octet: called before it is handed over.
        self.watches: dict[int, Callable[[Node], None]] = {}
        self._addresses: dict[str, Node] = {}
        self._agenda = Agenda()
        # Bound once: what stands in the agenda, and with every node, a hundred thousand times.
        self._put, self._arrive_datagram, self._expire_timer = self._agenda.put, self._arrive, self._expire
        self._actions: list[Action] = []  # of the role that has just been called
        self._ways: dict[type[Action], Callable[[Node, Any], None]] = {
            SendDatagram: self._send,
            ClosePort: self._close_port,
            JoinGroup: self._join_group,
            LeaveGroup: self._leave_group,
            RenewMembership: self._renew_membership,
            ConfigureAddress: self._configure_address,
            Notify: self._notify,
        }
        self._driven: Node | None = None
        self._digest = hashlib.blake2b(digest_size=16)
        self._undigested: list[bytes] = []

    # --- building and running -------------------------------------------------------------------------------------

    def add(self, name: str, agent: Agent, address: str, port: int, site: str) -> Node:
        """Put a role at an address; it does nothing before ``start``."""
        node = Node(len(self.nodes), name, agent, address, port, site)
        self._run(agent, node)
        self.nodes.append(node)
        self._addresses[address] = node
        return node

    def start(self, node: Node) -> None:
        """Start a role now (again: for a role that has closed)."""
        self._record(1, node, b"")
        node.agent.start(self.now)
        self._carry_out(node)

    def replace(self, node: Node, agent: Agent) -> None:
        """The node's program has died and begins again as ``agent``, which knows nothing; so does its kernel."""
        node.agent = agent
        self._run(agent, node)
        node.groups.clear()
        node.numbers.clear()
        node.ports.clear()
        self.start(node)

    def tell(self, node: Node, event: Event) -> None:
        """Hand an event to a role now."""
        self._record(2, node, type(event).__name__.encode())
        node.agent.handle(event, self._agenda.now)
        if self._actions:
            self._carry_out(node)

    def later(self, delay_s: float, what: Callable[..., None], *arguments: Any) -> None:
        """Call ``what`` when ``delay_s`` have passed."""
        self._put(self._agenda.now + delay_s, self._call, what, arguments)

    def run_until(self, end: float) -> None:
        """Let everything happen up to and including the moment ``end``; RoleError when a role raises."""
        agenda = self._agenda
        try:
            for portion in agenda.take_until(end):
                for agenda.now, what, first, second in portion:
                    what(first, second)
                self.events += len(portion)
                self._digest_what_happened()
        except Exception as error:
            driven = "no node" if self._driven is None else self._driven.name
            raise RoleError(f"at {self.now:.6f} s, {driven}: {type(error).__name__}: {error}") from error
        agenda.now = end

    def run_for(self, seconds: float) -> None:
        """Let time pass."""
        self.run_until(self.now + seconds)

    @property
    def now(self) -> float:
        """The time (s)."""
        return self._agenda.now

    @property
    def fates(self) -> dict[str, int]:
        """What became of the datagrams, in numbers."""
        return {"sent": self._sent, "delivered": self._delivered, **self._rare_fates}

    @property
    def trace_hash(self) -> str:
        """The hash over everything that has happened so far, as hexadecimal digits."""
        self._digest_what_happened()
        return self._digest.hexdigest()

    @property
    def pending(self) -> int:
        """How many things are to come: a measure of memory."""
        return len(self._agenda)

    # --- faults ---------------------------------------------------------------------------------------------------

    def cut(self, one: str, other: str) -> None:
        """Let no datagram pass between two sites from now on; what is under way is lost too."""
        self._cuts |= {(one, other), (other, one)}

    def heal(self) -> None:
        """Undo every ``cut``."""
        self._cuts.clear()

    def lose_link(self, node: Node) -> None:
        """The node's link goes: nothing leaves it and nothing reaches it."""
        node.link_is_up = False
        node.changed()

    def regain_link(self, node: Node, site: str, routable_as: str) -> None:
        """The node has a link at ``site``, where only the address ``routable_as`` fits."""
        node.link_is_up, node.site, node.routable_as = True, site, routable_as
        node.changed()

    def break_invariant(self, invariant: str, node: Node, seen: str) -> None:
        """Note that an invariant did not hold at this moment."""
        self.breach_count += 1
        if len(self.breaches) < BROKEN_MAXIMUM:
            self.breaches.append(Breach(invariant, self.now, node.name, seen))

    # --- what a world built on this network may look at -------------------------------------------------------------

    def notified(self, node: Node, notice: Notify) -> None:
        """Called when a role tells its application something."""

    def left_group(self, node: Node, group: Group) -> None:
        """Called after a role has left a group."""

    # --- inside ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _call(what: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        what(*arguments)

    def _record(self, kind: int, node: Node, data: bytes) -> None:
        self._driven = node
        self._undigested += (_ENTRY.pack(self._agenda.now, node.index, kind, len(data)), data)

    def _digest_what_happened(self) -> None:
        self._digest.update(b"".join(self._undigested))
        self._undigested.clear()

    def _run(self, agent: Agent, node: Node) -> None:
        agent.keeps_history = False
        node.alarms = timers = NodeTimers(node, self._put, self._expire_timer)
        agent.drive_with(timers, self._actions)

    def _carry_out(self, node: Node) -> None:
        actions = self._actions.copy()
        self._actions.clear()
        for action in actions:
            self._ways[type(action)](node, action)

    def _expire(self, key: TimerKey, node: Node) -> None:
        now, alarms = self._agenda.now, node.alarms
        deadline = alarms.pop(key, None)
        if deadline is None or deadline > now:  # it was cancelled, or moved: nothing happens
            self.events -= 1
            if deadline is not None:
                alarms[key] = deadline
            return
        self._driven = node
        self._undigested.append(_ENTRY.pack(now, node.index, 3, 0))
        node.agent.timer_expired(key, now)
        actions = self._actions
        if len(actions) == 1:
            action = actions.pop()
            self._ways[type(action)](node, action)
        elif actions:
            self._carry_out(node)

    def _send(self, node: Node, action: SendDatagram) -> None:
        self._sent += 1
        if not node.is_reachable:
            self._rare_fates["no-link"] += 1
            return
        faults, port = self.faults, action.port
        source = Endpoint(node.endpoint.address, node.port(port)) if port else node.endpoint
        datagram = (action.destination, action.data, source)
        if faults.only_delay:
            delay = faults.delay_s + self._chance() * faults.jitter_s
            self._put(self._agenda.now + delay, self._arrive_datagram, datagram, node)
        elif faults.loss and self._chance() < faults.loss:
            self._rare_fates["lost"] += 1
            self._record(4, node, action.data)
        else:
            self._send_disturbed(node, datagram, faults)

    def _send_disturbed(self, node: Node, datagram: tuple[Endpoint, bytes, Endpoint], faults: Faults) -> None:
        chance, copies = self._chance, 1
        if faults.duplication and chance() < faults.duplication:
            self._rare_fates["duplicated"] += 1
            copies = 2
        for _ in range(copies):
            delay = faults.delay_s + chance() * faults.jitter_s
            if faults.reordering and chance() < faults.reordering:
                self._rare_fates["reordered"] += 1
                delay += faults.held_back_s
            self._put(self._agenda.now + delay, self._arrive_datagram, datagram, node)

    def _arrive(self, datagram: tuple[Endpoint, bytes, Endpoint], sender: Node) -> None:
        destination, data, source = datagram
        node = self._addresses.get(destination[0])
        if node is None or not node.is_reachable:
            self._rare_fates["no-receiver"] += 1
            return
        if self._cuts and (sender.site, node.site) in self._cuts:
            self._rare_fates["partitioned"] += 1
            return
        port = ""
        if destination != node.endpoint:
            if destination.port not in node.ports:
                self._rare_fates["no-receiver"] += 1
                return
            port = node.ports[destination.port]
        self._delivered += 1
        now = self._agenda.now
        self._driven = node
        self._undigested += (_ENTRY.pack(now, node.index, 5, len(data)), data)
        if data[0] in self.watches:
            self.watches[data[0]](node)
        node.agent.receive(data, source, now, port)
        actions = self._actions
        if len(actions) == 1:
            action = actions.pop()
            self._ways[type(action)](node, action)
        elif actions:
            self._carry_out(node)

    def _close_port(self, node: Node, action: ClosePort) -> None:
        node.close_port(action.port)

    def _join_group(self, node: Node, action: JoinGroup) -> None:
        group = (action.group, action.interface, action.source)
        if group in node.groups:
            self.break_invariant("one-effect", node, f"joined {action.group} a second time")
        node.groups[group] = self.now
        node.show_membership(self.now)
        self._record(6, node, action.group.encode())
        self.later(JOIN_TIME_S, self._joined, node, action)

    def _joined(self, node: Node, action: JoinGroup) -> None:
        if (action.group, action.interface, action.source) in node.groups:  # else it has left, or died, since
            self.tell(node, GroupJoined(action.group, action.interface, succeeded=True))

    def _leave_group(self, node: Node, action: LeaveGroup) -> None:
        group = (action.group, action.interface, action.source)
        if node.groups.pop(group, None) is None:
            self.break_invariant("one-effect", node, f"left {action.group} without being in it")
        self._record(7, node, action.group.encode())
        self.left_group(node, group)

    def _renew_membership(self, node: Node, action: RenewMembership) -> None:
        if (action.group, action.interface, action.source) not in node.groups:
            self.break_invariant("one-effect", node, f"renewed {action.group} without being in it")
        node.show_membership(self.now)
        self._record(8, node, action.group.encode())

    def _notify(self, node: Node, action: Notify) -> None:
        self._record(9, node, f"{action.event} {action.details}".encode())
        self.notified(node, action)

    def _configure_address(self, node: Node, action: ConfigureAddress) -> None:
        self.later(ADDRESS_TIME_S, self._configured, node, action)

    def _configured(self, node: Node, action: ConfigureAddress) -> None:
        if self._addresses.get(node.endpoint.address) is node:
            del self._addresses[node.endpoint.address]
        address = action.address.partition("/")[0]
        node.endpoint = Endpoint(address, node.endpoint.port)
        self._addresses[address] = node
        node.changed()
        self.tell(node, AddressConfigured(action.interface, action.address))
