"""Roles on machines in virtual time: when each is called, and what its machine does for it without a network.

Theory of operation. All that will happen stands in one agenda, ordered by time and then by the order in which it was put
there, so that a run has one order only. The timers of the roles stand there too; one that was moved or cancelled is passed
over when its time comes, so the agenda holds what is due and never the past. No step looks at all nodes. Randomness comes
from one generator with the run's seed. Everything that happens goes into a BLAKE2b hash: two runs of one plan have the same
hash, and a run that differs in a single bit or moment has another. Roles write no history unless it is kept: the hash is of
what they do.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from struct import Struct
from typing import Any

from agents.core.agent import (
    Action,
    Agent,
    AskOperator,
    Commit,
    Committed,
    DeliverData,
    Event,
    Notify,
    OperatorAnswered,
    Trace,
)
from agents.core.driver import Driver
from agents.core.timers import TimerKey
from testbed.sim.agenda import Agenda
from testbed.sim.node import Node, NodeTimers
from testbed.sim.store import Store

COMMIT_TIME_S = 0.005  # from a commit until it is on disk
OPERATOR_TIME_S = 0.05  # from a question to the operator until its answer
BROKEN_MAXIMUM = 20  # how many breaches of invariants are told; the others are counted
ENTRY = Struct("!dIBI")  # of the hash: the time, the node, what happens, the length of its data


class RoleError(Exception):
    """A role raised: a bug of the role. The exception that it raised is the cause."""


class Machines(Driver[Node]):
    """Nodes by name, the time in seconds, what is to come, and what was found wrong."""

    keeps_history = False  # whether roles write a history, and nodes keep what they have told

    def __init__(self, seed: int, begin: float) -> None:
        # A text is hashed by SHA-512, on every machine alike.
        self._chance = random.Random(f"network {seed}").random
        # Of its own: what roles draw moves no fault.
        self._random_bytes = random.Random(f"roles {seed}").randbytes
        self.nodes: dict[str, Node] = {}
        self.events = 0  # taken out of the agenda, less the timers that had been moved or cancelled
        self.breaches: dict[str, list[str]] = {}  # by invariant: what was seen
        self.breach_count = 0
        self._agenda = Agenda()
        self._agenda.now = begin
        # Bound once: what stands in the agenda, and with every node, a hundred thousand times.
        self._put, self._expire_timer = self._agenda.put, self._expire
        self._actions: list[Action] = []  # of the role that has just been called
        self._ways = self.ways
        self._driven: Node | None = None
        self._digest = hashlib.blake2b(digest_size=16)
        self._undigested: list[bytes] = []

    def start(self, node: Node) -> None:
        """Start a role now (again: for a role that has closed)."""
        self._record(1, node, b"")
        node.agent.start(self.now)
        self._carry_out(node)

    def tell(self, node: Node, event: Event) -> None:
        """Hand an event to a role now; one that has ended, or whose machine is dead, hears nothing."""
        if node.ended is not None or not node.is_alive:
            return
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
    def trace_hash(self) -> str:
        """The hash over everything that has happened so far, as hexadecimal digits."""
        self._digest_what_happened()
        return self._digest.hexdigest()

    @property
    def pending(self) -> int:
        """How many things are to come: a measure of memory."""
        return len(self._agenda)

    def fill_disk(self, node: Node, failure: str = "no space left on device") -> None:
        """Let no commit of the node succeed from now on; "" ends that."""
        self.disk(node).failure = failure

    def break_invariant(self, invariant: str, node: Node, seen: str) -> None:
        """Note that an invariant did not hold at this moment."""
        self.breach_count += 1
        if self.breach_count <= BROKEN_MAXIMUM:
            self.breaches.setdefault(invariant, []).append(f"{self.now:.6f} s, {node.name}: {seen}")

    # --- what a world built on this may look at, and answer -------------------------------------------------------

    def notified(self, node: Node, notice: Notify) -> None:
        """Called when a role tells its application something."""

    def delivered(self, node: Node, data: bytes) -> None:
        """Called when a role hands data to its application."""

    def operator(self, node: Node, question: AskOperator) -> tuple[bool, str]:
        """What the operator's command says, and why not: there is none unless a world has one."""
        return False, f"nobody is there to answer {node.name} {' '.join(question.words)}"

    def disk(self, node: Node) -> Store:
        """The node's durable store."""
        if node.disk is None:
            node.disk = Store()
        return node.disk

    # --- inside ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _call(what: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        what(*arguments)

    def _record(self, kind: int, node: Node, data: bytes) -> None:
        self._driven = node
        self._undigested += (ENTRY.pack(self._agenda.now, node.index, kind, len(data)), data)

    def _digest_what_happened(self) -> None:
        self._digest.update(b"".join(self._undigested))
        self._undigested.clear()

    def _run(self, agent: Agent, node: Node) -> None:
        node.agent = agent
        agent.keeps_history = self.keeps_history
        agent.random_bytes = self._random_bytes
        node.alarms = timers = NodeTimers(node, self._put, self._expire_timer)
        agent.drive_with(timers, self._actions)
        agent.restore({} if node.disk is None else dict(node.disk.entries))
        self._carry_out(node)

    def _carry_out(self, node: Node) -> None:
        actions = self._actions.copy()
        self._actions.clear()
        for action in actions:
            self._ways[type(action)](node, action)
            if node.ended is not None:
                break

    def _answer(self, delay_s: float, node: Node, event: Event) -> None:
        """Tell a role what became of something it has asked for, unless its machine dies before."""
        self.later(delay_s, self._tell_in_life, node, node.life, event)

    def _tell_in_life(self, node: Node, life: int, event: Event) -> None:
        if node.life == life:
            self.tell(node, event)

    def _expire(self, key: TimerKey, node: Node) -> None:
        now, alarms = self._agenda.now, node.alarms
        deadline = alarms.pop(key, None)
        if deadline is None or deadline > now:  # it was cancelled, or moved: nothing happens
            self.events -= 1
            if deadline is not None:
                alarms[key] = deadline
            return
        self._driven = node
        self._undigested.append(ENTRY.pack(now, node.index, 3, 0))
        node.agent.timer_expired(key, now)
        actions = self._actions
        if len(actions) == 1:
            action = actions.pop()
            self._ways[type(action)](node, action)
        elif actions:
            self._carry_out(node)

    # --- what a machine does for its role ---------------------------------------------------------------------------

    def commit(self, node: Node, action: Commit) -> None:
        """Begin to write; the node's next commit comes to the disk after this one."""
        self.disk(node).under_way.append(action)
        self.later(COMMIT_TIME_S, self._committed, node, node.life)

    def _committed(self, node: Node, life: int) -> None:
        if node.life != life:
            return
        disk = self.disk(node)
        commit = disk.finish()
        self._record(12, node, repr((commit.key, disk.failure)).encode())
        self.tell(node, Committed(commit.key, not disk.failure, disk.failure))

    def ask_operator(self, node: Node, action: AskOperator) -> None:
        """Let the world answer, in time."""
        self.keep(node, action)
        granted, reason = self.operator(node, action)
        delay_s = min(OPERATOR_TIME_S, action.within)
        self._answer(delay_s, node, OperatorAnswered(action.key, granted, reason))

    def deliver_data(self, node: Node, action: DeliverData) -> None:
        """Hand it to the world."""
        self._record(11, node, action.data)
        self.keep(node, action)
        self.delivered(node, action.data)

    def notify(self, node: Node, action: Notify) -> None:
        """Tell the world."""
        self._record(9, node, f"{action.event} {action.details}".encode())
        self.keep(node, action)
        self.notified(node, action)

    def write_trace(self, node: Node, action: Trace) -> None:
        """Keep it, if a history is kept."""
        self.keep(node, action)

    @staticmethod
    def keep(node: Node, action: Action) -> None:
        """Remember what a role has told its surroundings, where a history is kept."""
        if node.told is not None:
            node.told.append(action)
