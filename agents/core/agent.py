"""The interface between a protocol role and whatever runs it: a real network or a simulated one.

A role is driven by six calls (``restore``, ``start``, ``receive``, ``received``, ``handle``, ``expire``), all but the first with
the time, and answers with actions that the driver takes with ``take_actions`` after every call and carries out. It never
waits, never reads a clock and never opens anything. The driver owes it one call of ``expire`` when ``next_deadline`` has
come. What a driver must do for each action is written down once, in `agents.core.driver`. Randomness is an argument as the
time is: a driver gives ``random_bytes`` before it calls anything.

Ports have names. The empty one is the role's own, from which it sends unless it says another; the other well-known ones
are in the role's description (`agents.core.room.Role`) and open before ``start``. A name that nobody described is an
extra UDP port of any number, opened at its first use.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import field
from typing import ClassVar, NamedTuple

from agents.core.counters import Counters
from agents.core.record import record
from agents.core.timers import Alarms, TimerKey, Timers


class Endpoint(NamedTuple):
    """A UDP or TCP endpoint: the IP address in its canonical text form, and the port; port 0 for bare IP."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


# --- what a role asks of its driver -----------------------------------------------------------------------------------


@record
class SendDatagram:
    """Send ``data`` to ``destination``, an address or a group, from the port of that name.

    From a port of kind "ip", ``data`` is the payload of an IP packet of the port's protocol number, and the destination's
    port is 0. ``dscp`` marks the packet (0 to 63); a multicast packet leaves by ``interface`` ("": as the routes say).
    What arrives at the port is handed to ``receive`` with its name.
    """

    data: bytes
    destination: Endpoint
    port: str = ""
    dscp: int = 0
    interface: str = ""


@record
class ClosePort:
    """Close an extra port; later datagrams to it are lost."""

    port: str


@record
class Connect:
    """Open the stream ``stream``, a name of the role's own, to ``destination``.

    Answered by StreamOpened or, where nobody listens or answers, StreamClosed.
    """

    stream: Hashable
    destination: Endpoint


@record
class SendStream:
    """Send ``data`` on an open stream, in order. A stream that is not open (any more) takes nothing, which is counted."""

    stream: Hashable
    data: bytes


@record
class CloseStream:
    """Close a stream: after what was sent has gone, or at once and with a reset (``abort``). No event follows."""

    stream: Hashable
    abort: bool = False


@record
class JoinGroup:
    """Join ``group`` on ``interface`` with IGMP or MLD; answered by a GroupJoined event once the report is on the wire.

    ``source`` makes it source-specific. ``port``, the data's UDP port, is given by who receives the data here: from it
    the driver learns where the data comes from, so that a RenewMembership loses none of it. With ``listen``, a port name
    of the role's choice, the group's datagrams to that UDP port are handed to ``receive`` under this name, until the
    group is left. Without ``expects_report`` the interface may have no address yet, and no report is waited for: a
    RenewMembership follows once there is one.

    Until the group is left the driver looks after the membership: it has it reported again when a link or an address has
    come to the interface, and joins anew when the interface itself has; further GroupJoined events tell of a loss and its
    end. A role that ``renews_itself``, since only it knows by which address and when, is told of a loss and does the rest:
    with a RenewMembership or another JoinGroup.
    """

    group: str
    interface: str
    source: str | None = None
    port: int | None = None
    expects_report: bool = True
    listen: str = ""
    renews_itself: bool = False


@record
class LeaveGroup:
    """Leave ``group`` on ``interface``."""

    group: str
    interface: str
    source: str | None = None


@record
class RenewMembership:
    """Make the membership of ``group`` visible on the link that ``interface`` is on now.

    The kernel sends no IGMP report of its own after a change of link, so the driver drops and adds the membership,
    without a moment in which the data would not be taken. ``at_once``: a report of the driver's own, where it may send one,
    goes out ahead of those of the kernel, which come some timer ticks later, of IGMP and of MLD.
    """

    group: str
    interface: str
    source: str | None = None
    at_once: bool = False


@record
class ConfigureAddress:
    """Replace the interface's address by ``address`` ("address/prefix length") with a default route by ``gateway``.

    Where ``is_given``, the node's own DHCP or SLAAC client sees to both: the driver waits until there is an address of the same
    subnet, and a default route. Answered by an AddressConfigured event, with ``address``.
    """

    interface: str
    address: str
    gateway: str
    is_given: bool = False


@record
class Commit:
    """Put ``changes`` into the role's durable store, all or none: a value for each key, None to forget the key.

    Answered by a Committed event once they are on disk. What a peer is told must be committed before. Commits are carried
    out in order; ``key`` names this one in the answer.
    """

    key: Hashable
    changes: Mapping[str, bytes | None]


@record
class AskOperator:
    """Ask the command that the operator has configured, with ``words`` as its arguments; answered by OperatorAnswered.

    One that has not answered ``within`` seconds refuses. ``key`` names the question in the answer.
    """

    key: Hashable
    words: tuple[str, ...]
    within: float


@record
class DeliverData:
    """Hand ``data`` to the application that this role works for."""

    data: bytes


@record
class Notify:
    """Tell the application what happened to it: ``event`` is a stable word, ``details`` are plain values.

    ``secrets`` are further details that are the application's alone: no history has them.
    """

    event: str
    details: Mapping[str, object] = field(default_factory=dict)
    secrets: Mapping[str, object] = field(default_factory=dict)


@record
class Trace:
    """One line of the role's history, for the run's timeline; the driver adds the time."""

    event: str
    details: Mapping[str, object] = field(default_factory=dict)


@record
class End:
    """The role has done its work: carry out what was asked before, close everything, and end with ``status`` (0: well)."""

    status: int = 0
    reason: str = ""


Action = (
    SendDatagram | ClosePort | Connect | SendStream | CloseStream | JoinGroup | LeaveGroup | RenewMembership
    | ConfigureAddress | Commit | AskOperator | DeliverData | Notify | Trace | End
)  # fmt: skip


# --- what the driver tells a role -------------------------------------------------------------------------------------


class Event:
    """Something that happens to a role beside datagrams, streams and timers; a protocol may add its own."""

    __slots__ = ()


@record
class AddressConfigured(Event):
    """A ConfigureAddress was carried out."""

    interface: str
    address: str


@record
class GroupJoined(Event):
    """A JoinGroup was carried out (``succeeded``) or could not be; ``reason`` says why not.

    Later ones tell that the membership is lost, with its interface or by a renewal that failed, and that it is there again.
    """

    group: str
    interface: str
    succeeded: bool
    reason: str = ""


@record
class StreamOpened(Event):
    """A stream is open: one that the role connected (``port`` is "" then), or one accepted at the listening ``port``.

    An accepted one is named by the driver.
    """

    stream: Hashable
    peer: Endpoint
    port: str = ""


@record
class StreamClosed(Event):
    """A stream is no more, or could not be opened; nothing more comes of it and nothing can be sent.

    ``reason``: "" if the peer has closed it in order, "refused", "unreachable", "timeout", "reset", or "overflow" where the
    peer did not take what was sent and the driver's bound was reached.
    """

    stream: Hashable
    reason: str = ""


@record
class Committed(Event):
    """A Commit is on disk (``succeeded``), or could not be put there, and nothing of it was; ``reason`` says why not."""

    key: Hashable
    succeeded: bool
    reason: str = ""


@record
class OperatorAnswered(Event):
    """What the operator's command says to a question; ``reason`` says why not."""

    key: Hashable
    granted: bool
    reason: str = ""


@record
class ApplicationData(Event):
    """Data from the application that the role works for."""

    data: bytes


def _no_random_bytes(_count: int) -> bytes:
    raise RuntimeError("the role needs randomness: its driver must set random_bytes before it calls the role")


class Agent(ABC):
    """A protocol role without input, output, clock or randomness. Subclasses are the roles.

    A driver that writes no history sets ``keeps_history`` to False: the role then queues no Trace, and spends no time on
    any. That is the only difference. ``random_bytes`` gives that many bytes which nobody can guess (in a simulation: which
    follow from its seed); a role asks for keys, tokens and the like, when it is called and not when it is made.
    """

    __slots__ = ("_actions", "_own_timers", "counters", "keeps_history", "random_bytes", "timers")

    LISTS: ClassVar[tuple[str, ...]] = ()
    """What ``rows`` has."""

    def __init__(self) -> None:
        self.keeps_history = True
        self.random_bytes: Callable[[int], bytes] = _no_random_bytes
        self.counters = Counters()
        self._own_timers: Timers[TimerKey] | None = Timers()
        self.timers: Alarms = self._own_timers
        self._actions: list[Action] = []

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Take back what earlier runs have committed; called once, before ``start``, by a driver that has a store."""
        if entries:
            self.counters.add("ignored.restored-entries", len(entries))

    @abstractmethod
    def start(self, now: float) -> None:
        """Begin: what the role does without being asked, such as joining its session."""

    @abstractmethod
    def receive(self, data: bytes, source: Endpoint, now: float, port: str = "") -> None:
        """Take one datagram that came to ``port``. Whatever it holds, nothing is raised; what is wrong with it is counted."""

    def received(self, stream: Hashable, data: bytes, now: float) -> None:
        """Take the next bytes of an open stream, cut anywhere. A role without streams counts and ignores them."""
        self.counters.add("ignored.stream-data")

    @abstractmethod
    def handle(self, event: Event, now: float) -> None:
        """Take one event of the world below or above. Events that do not concern the role are counted and ignored."""

    @abstractmethod
    def timer_expired(self, key: TimerKey, now: float) -> None:
        """The timer ``key`` is due."""

    @abstractmethod
    def describe(self) -> Mapping[str, object]:
        """The role's state as plain values, in brief: of what there may be many, only how many there are."""

    def rows(self, of: str) -> Iterable[Mapping[str, object]]:
        """One of LISTS, such as members, as plain values in a lasting order; KeyError for what there is not."""
        raise KeyError(of)

    def next_deadline(self) -> float | None:
        """When ``expire`` wants to be called next, or None."""
        return None if self._own_timers is None else self._own_timers.next_deadline()

    def expire(self, now: float) -> None:
        """Fire every timer that is due at ``now``."""
        if self._own_timers is not None:
            for key in self._own_timers.due(now):
                self.timer_expired(key, now)

    def drive_with(self, alarms: Alarms, actions: list[Action]) -> None:
        """Use the driver's own timers and its own list of actions.

        The driver calls ``timer_expired`` when a timer is due, instead of ``expire``, and finds the actions in its list.
        What the role has done before goes with it.
        """
        if self._own_timers is not None:
            for key, deadline in self._own_timers.armed():
                alarms.set(key, deadline)
        actions += self._actions
        self.timers, self._own_timers, self._actions = alarms, None, actions

    def take_actions(self) -> list[Action]:
        """Hand over, in order, the actions of the calls since the last time."""
        actions = self._actions.copy()
        self._actions.clear()  # and not another list: a driver may look into this one
        return actions

    def act(self, action: Action) -> None:
        """Queue ``action`` for the driver."""
        self._actions.append(action)

    def trace(self, event: str, **details: object) -> None:
        """Queue a line of history, if it is kept."""
        if self.keeps_history:
            self._actions.append(Trace(event, details))

    def drop(self, reason: str, source: Endpoint, **details: object) -> None:
        """Count a datagram as dropped for ``reason``, and say so in the history."""
        self.counters.add(f"dropped.{reason}")
        if self.keeps_history:
            self.trace("dropped", reason=reason, source=str(source), **details)

    def ignore(self, event: Event) -> None:
        """Count an event that does not concern the role."""
        self.counters.add(f"ignored.{type(event).__name__}")
