"""The interface between a protocol role and whatever runs it: a real network or a simulated one.

A role is driven by four calls (``start``, ``receive``, ``handle``, ``expire``), each with the time, and answers with
actions that the driver takes with ``take_actions`` after every call and carries out. It never waits, never reads a clock
and never opens anything. The driver owes it one call of ``expire`` when ``next_deadline`` has come.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import field
from typing import NamedTuple

from agents.core.counters import Counters
from agents.core.record import record
from agents.core.timers import Alarms, TimerKey, Timers


class Endpoint(NamedTuple):
    """A UDP endpoint: the IP address in its canonical text form, and the port."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


# --- what a role asks of its driver -----------------------------------------------------------------------------------


@record
class SendDatagram:
    """Send ``data`` to ``destination`` from the role's own port, or from the extra port that ``channel`` (> 0) names.

    The driver opens a channel's port at its first use; what arrives there is handed to ``receive`` with that channel.
    """

    data: bytes
    destination: Endpoint
    channel: int = 0


@record
class CloseChannel:
    """Close the extra port ``channel``; later datagrams to it are lost."""

    channel: int


@record
class JoinGroup:
    """Join ``group`` on ``interface`` with IGMP or MLD; answered by a GroupJoined event once the report is on the wire.

    ``source`` makes it source-specific. ``port``, the data's UDP port, is given by who receives the data here: from it
    the driver learns where the data comes from, so that a RenewMembership loses none of it. Without ``expects_report``
    the interface may have no address yet, and no report is waited for: a RenewMembership follows once there is one.
    """

    group: str
    interface: str
    source: str | None = None
    port: int | None = None
    expects_report: bool = True


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
    without a moment in which the data would not be taken.
    """

    group: str
    interface: str
    source: str | None = None


@record
class ConfigureAddress:
    """Replace the interface's address by ``address`` ("address/prefix length") with a default route by ``gateway``.

    Answered by an AddressConfigured event.
    """

    interface: str
    address: str
    gateway: str


@record
class AskAuthorisation:
    """Ask the operator's AAA whether the node ``mn_id`` may join the session; answered by an Authorised event."""

    session_id: int
    mn_id: bytes


@record
class Notify:
    """Tell the application what happened to it: ``event`` is a stable word, ``details`` are plain values."""

    event: str
    details: Mapping[str, object] = field(default_factory=dict)


@record
class Trace:
    """One line of the role's history, for the run's timeline; the driver adds the time."""

    event: str
    details: Mapping[str, object] = field(default_factory=dict)


Action = (
    SendDatagram | CloseChannel | JoinGroup | LeaveGroup | RenewMembership | ConfigureAddress | AskAuthorisation | Notify
    | Trace
)  # fmt: skip


# --- what the driver tells a role -------------------------------------------------------------------------------------


@record
class LinkDetected:
    """A link trigger: ``point_of_attachment`` (its identifier's bytes) is in reach of ``interface`` and will be next."""

    interface: str
    point_of_attachment: bytes


@record
class LinkDown:
    """``interface`` has lost its link."""

    interface: str


@record
class LinkUp:
    """``interface`` has a link (again)."""

    interface: str


@record
class AddressConfigured:
    """A ConfigureAddress was carried out."""

    interface: str
    address: str


@record
class GroupJoined:
    """A JoinGroup was carried out (``succeeded``) or could not be; ``reason`` says why not."""

    group: str
    interface: str
    succeeded: bool
    reason: str = ""


@record
class Authorised:
    """What the operator's AAA says of a node that wants to join; ``reason`` says why not."""

    session_id: int
    mn_id: bytes
    granted: bool
    reason: str = ""


@record
class DataChannelReport:
    """What a receiver of data has counted so far, for status reports: packets since it began, of ``group`` (None: any)."""

    packets_received: int
    group: str | None = None


@record
class ApplicationLeave:
    """The application wants to leave a session, with notice; None: all its sessions."""

    session_id: int | None = None


Event = (
    LinkDetected | LinkDown | LinkUp | AddressConfigured | GroupJoined | Authorised | DataChannelReport | ApplicationLeave
)  # fmt: skip


class Agent(ABC):
    """A protocol role without input, output, clock or randomness. Subclasses are the roles.

    A driver that writes no history sets ``keeps_history`` to False: the role then queues no Trace, and spends no time on
    any. That is the only difference.
    """

    __slots__ = ("_actions", "_own_timers", "counters", "keeps_history", "timers")

    def __init__(self) -> None:
        self.keeps_history = True
        self.counters = Counters()
        self._own_timers: Timers[TimerKey] | None = Timers()
        self.timers: Alarms = self._own_timers
        self._actions: list[Action] = []

    @abstractmethod
    def start(self, now: float) -> None:
        """Begin: what the role does without being asked, such as joining its session."""

    @abstractmethod
    def receive(self, data: bytes, source: Endpoint, now: float, channel: int = 0) -> None:
        """Take one datagram. Whatever it holds, nothing is raised; what is wrong with it is counted."""

    @abstractmethod
    def handle(self, event: Event, now: float) -> None:
        """Take one event of the world below or above. Events that do not concern the role are counted and ignored."""

    @abstractmethod
    def timer_expired(self, key: TimerKey, now: float) -> None:
        """The timer ``key`` is due."""

    @abstractmethod
    def describe(self) -> Mapping[str, object]:
        """The role's state as plain values, for people and for ``python -m agents ctl SOCKET state``."""

    def next_deadline(self) -> float | None:
        """When ``expire`` wants to be called next, or None."""
        return None if self._own_timers is None else self._own_timers.next_deadline()

    def expire(self, now: float) -> None:
        """Fire every timer that is due at ``now``."""
        if self._own_timers is not None:
            for key in self._own_timers.due(now):
                self.timer_expired(key, now)

    def drive_with(self, alarms: Alarms, actions: list[Action]) -> None:
        """Use the driver's own timers and its own list of actions, before ``start``.

        The driver calls ``timer_expired`` when a timer is due, instead of ``expire``, and finds the actions in its list.
        """
        self.timers, self._own_timers, self._actions = alarms, None, actions

    def take_actions(self) -> list[Action]:
        """Hand over, in order, the actions of the calls since the last time."""
        actions, self._actions = self._actions, []
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
