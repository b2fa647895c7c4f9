"""Checks of the IGMP and MLD packs that no operator makes: what hosts and queriers owe each other."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from ipaddress import ip_address

from captures.dissectors.membership import STATE_CHANGES, Query, Report
from captures.events import Event
from captures.rules.language import SECOND, Bounded, Checker, Outcomes, Scene, in_seconds, on, who

_SLACK_NS = SECOND // 5  # timer ticks, and the way from host to capture
_SHARE = 0.1
_UNSOLICITED_NS = SECOND  # RFC 3376 8.11, RFC 3810 9.11
_ROBUSTNESS = 2  # RFC 3376 8.1, where no query has said another
_AGAIN_AT_ONCE_NS = SECOND // 10  # FRR asks anew with each setting that it is given
_SERIES = 3  # of last member queries, which FRR runs side by side
_GROUPS_MAX = 1024
_SUSPECTS_MAX = 1024
_LINK_LOCAL = ("224.0.0.", "ff02:", "ff01:")


@dataclass(slots=True)
class _Host:
    """A member as one interface knows it; `owed` are the groups it has to report, by `deadline`."""

    groups: dict[str, int] = field(default_factory=dict)
    owed: set[str] = field(default_factory=set)
    deadline: int = 0
    query: int = 0


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A report that did not come; held against its host only if that is heard again."""

    interface: str
    node: str
    deadline: int
    text: str
    frames: tuple[int, ...]


class _Hosts(Checker):
    """What checks of hosts share: a host that is gone owes nothing."""

    def __init__(self, tell: Outcomes, scene: Scene, protocol: str) -> None:
        super().__init__(tell, scene, [on(protocol, "query", "report", "leave")])
        self._heap: list[tuple[int, str, str]] = []
        self._suspects: list[_Suspect] = []

    def advance(self, now_ns: int) -> None:
        """Deadlines before that have passed."""
        while self._heap and self._heap[0][0] < now_ns:
            deadline, interface, node = heapq.heappop(self._heap)
            self.expire(interface, node, deadline)

    def expire(self, interface: str, node: str, deadline: int) -> None:
        """A deadline of the host has passed."""
        raise NotImplementedError

    def suspect(self, interface: str, node: str, deadline: int, text: str, frames: tuple[int, ...]) -> None:
        """Something of the host did not come by its deadline."""
        heard = self.scene.last_heard(node, interface)
        if self.scene.link_changed() >= heard - SECOND or self.scene.elsewhere(node, interface):
            self.tell.unseen(interface, "the host left the link meanwhile")
        elif len(self._suspects) < _SUSPECTS_MAX:
            self._suspects.append(_Suspect(interface, node, deadline, text, frames))

    def finish(self, end_ns: int) -> None:
        """The capture ended."""
        self.advance(end_ns)
        for one in self._suspects:
            if self.scene.last_heard(one.node, one.interface) > one.deadline:
                self.tell.failed(one.interface, one.text, one.frames)
            else:
                self.tell.unseen(one.interface, "the host was not heard again")


class QueriesAnswered(_Hosts):
    """Every host that has reported groups reports them again after a general query."""

    def __init__(self, tell: Outcomes, scene: Scene, protocol: str, newest: int) -> None:
        super().__init__(tell, scene, protocol)
        self._newest = newest
        self._hosts: Bounded[tuple[str, str], _Host] = Bounded()

    def event(self, event: Event) -> None:
        """Take the next event."""
        message = event.fields["message"]
        if isinstance(message, Query):
            if not message.group:
                self._asked(event, message)
        else:
            self._reported(event, message)

    def _asked(self, event: Event, query: Query) -> None:
        querier = who(event)
        wait = round(query.max_response_s * SECOND * (1 + _SHARE)) + _SLACK_NS
        for key, host in zip(self._hosts.keys(), self._hosts.values(), strict=True):
            interface, node = key
            if interface != event.interface or node == querier or host.owed or not host.groups:
                continue
            host.owed, host.deadline, host.query = set(host.groups), event.t_ns + wait, event.number
            heapq.heappush(self._heap, (host.deadline, interface, node))

    def _reported(self, event: Event, report: Report) -> None:
        host = self._hosts.obtain((event.interface, who(event)), _Host)
        owed_before = bool(host.owed)
        for record in report.records:
            host.owed.discard(record.group)
            if record.joins():
                if len(host.groups) < _GROUPS_MAX:
                    host.groups[record.group] = event.number
            else:
                host.groups.pop(record.group, None)
            if report.version < self._newest:
                self._suppress(event.interface, record.group)
        if owed_before and not host.owed:
            self.tell.passed(event.interface, (host.query, event.number))

    def _suppress(self, interface: str, group: str) -> None:
        """One member's report of an older version stands for all."""
        for key, host in zip(self._hosts.keys(), self._hosts.values(), strict=True):
            if key[0] == interface:
                host.owed.discard(group)

    def expire(self, interface: str, node: str, deadline: int) -> None:
        """A deadline of the host has passed."""
        host = self._hosts.get((interface, node))
        if host is None or host.deadline != deadline or not host.owed:
            return
        groups = ", ".join(sorted(host.owed)[:3])
        frames = (*sorted({host.groups[group] for group in host.owed if group in host.groups})[:3], host.query)
        host.owed = set()
        text = f"{node} did not report {groups} after the query in frame {host.query}"
        self.suspect(interface, node, deadline, text, frames)


@dataclass(slots=True)
class _Change:
    """A change of a membership as it was reported: how often so far, and until when the next is due."""

    joins: bool
    count: int
    deadline: int
    frames: list[int]


class Repeated(_Hosts):
    """A host reports each change as often as the robustness variable says."""

    def __init__(self, tell: Outcomes, scene: Scene, protocol: str, newest: int) -> None:
        super().__init__(tell, scene, protocol)
        self._newest = newest
        self._robustness: Bounded[str, int] = Bounded()
        self._changes: Bounded[tuple[str, str], dict[str, _Change]] = Bounded()
        self._older: Bounded[str, int] = Bounded()

    def event(self, event: Event) -> None:
        """Take the next event."""
        message = event.fields["message"]
        if isinstance(message, Query):
            if message.robustness:
                self._robustness.set(event.interface, message.robustness)
            if message.version < self._newest:
                # Hosts drop what they have not sent yet, and report in the older version.
                self._older.set(event.interface, event.t_ns)
            return
        if message.version < self._newest:
            return
        changes = self._changes.obtain((event.interface, who(event)), dict)
        for record in message.records:
            if record.kind in STATE_CHANGES:
                self._changed(event, changes, record.group, joins=record.joins())

    def _changed(self, event: Event, changes: dict[str, _Change], group: str, *, joins: bool) -> None:
        wanted = self._robustness.get(event.interface) or _ROBUSTNESS
        change = changes.get(group)
        if change is None or change.joins != joins or event.t_ns > change.deadline:
            if change is None and len(changes) >= _GROUPS_MAX:
                return
            # The first that is seen may be the last of several that came before the capture.
            early = self.scene.covered_ns(event) < _UNSOLICITED_NS + _SLACK_NS
            change = changes[group] = _Change(joins, wanted if early else 0, 0, [])
        change.count += 1
        change.frames = [*change.frames[-4:], event.number]
        change.deadline = event.t_ns + _UNSOLICITED_NS + _SLACK_NS
        if change.count == wanted:
            self.tell.passed(event.interface, change.frames)
        elif change.count < wanted:
            heapq.heappush(self._heap, (change.deadline, event.interface, who(event)))

    def expire(self, interface: str, node: str, deadline: int) -> None:
        """A deadline of the host has passed."""
        wanted = self._robustness.get(interface) or _ROBUSTNESS
        for group, change in (self._changes.get((interface, node)) or {}).items():
            if change.deadline != deadline or change.count >= wanted:
                continue
            change.count = wanted
            if (self._older.get(interface) or -1) > deadline - _UNSOLICITED_NS - _SLACK_NS:
                self.tell.unseen(interface, "an older querier came meanwhile")
                continue
            what = "join" if change.joins else "leave"
            text = f"{node} reported its {what} of {group} (frame {change.frames[-1]}) fewer than {wanted} times"
            self.suspect(interface, node, deadline, text, tuple(change.frames))


@dataclass(slots=True)
class _Asked:
    """Specific queries for a group at an interface, and the leave that waits for one."""

    times: list[int] = field(default_factory=list)
    leaves: list[int] = field(default_factory=list)
    leave: Event | None = None


class LastMembers(Checker):
    """The querier answers the last known member's leave with a specific query, and does not repeat it without end."""

    def __init__(self, tell: Outcomes, scene: Scene, protocol: str) -> None:
        super().__init__(tell, scene, [on(protocol, "query", "report", "leave")])
        self._querier: Bounded[str, str] = Bounded()
        self._members: Bounded[tuple[str, str], set[str]] = Bounded()
        self._asked: Bounded[tuple[str, str], _Asked] = Bounded()
        self._waiting: list[tuple[int, tuple[str, str]]] = []

    def advance(self, now_ns: int) -> None:
        """Deadlines before that have passed."""
        while self._waiting and self._waiting[0][0] < now_ns:
            deadline, key = heapq.heappop(self._waiting)
            asked = self._asked.get(key)
            if asked is None or asked.leave is None or asked.leave.t_ns + SECOND != deadline:
                continue
            leave, asked.leave = asked.leave, None
            text = f"leave of {key[1]} by {leave.source} (frame {leave.number}) was not followed by a query for it"
            self.tell.failed(leave.interface, text, [leave.number])

    def event(self, event: Event) -> None:
        """Take the next event."""
        message = event.fields["message"]
        if isinstance(message, Query):
            self._query(event, message)
            return
        for record in message.records:
            if record.group.startswith(_LINK_LOCAL):
                continue
            key = (event.interface, record.group)
            members = self._members.obtain(key, set)
            if record.joins():
                if len(members) < _GROUPS_MAX:
                    members.add(who(event))
                asked = self._asked.get(key)
                if asked is not None:
                    asked.leave = None
            elif record.leaves() and not record.sources:
                asked = self._asked.obtain(key, _Asked)
                asked.leaves = [*asked.leaves[-64:], event.t_ns]
                if who(event) in members:
                    members.discard(who(event))
                    if not members:
                        self._left(event, key)

    def _left(self, event: Event, key: tuple[str, str]) -> None:
        querier = self._querier.get(event.interface)
        if querier is None:
            self.tell.unseen(event.interface, "no querier was heard here")
            return
        asked = self._asked.obtain(key, _Asked)
        if asked.times and event.t_ns - asked.times[-1] < SECOND:
            self.tell.passed(event.interface, [event.number])  # it is asking already
        elif asked.leave is None:
            asked.leave = event
            heapq.heappush(self._waiting, (event.t_ns + SECOND, key))

    def _query(self, event: Event, query: Query) -> None:
        if not query.group:
            self._querier.set(event.interface, event.source)
            return
        asked = self._asked.obtain((event.interface, query.group), _Asked)
        if asked.leave is not None:
            self.tell.passed(event.interface, (asked.leave.number, event.number))
            asked.leave = None
        if query.sources:
            return
        robustness = query.robustness or _ROBUSTNESS
        window = round((robustness + 1) * query.max_response_s * SECOND) + _SLACK_NS
        asked.times = [*[t_ns for t_ns in asked.times if event.t_ns - t_ns < window][-64:], event.t_ns]
        asked.leaves = [t_ns for t_ns in asked.leaves if event.t_ns - t_ns < window]
        # Each leave, each time it is repeated, and each state it leaves behind may have a series of its own.
        if len(asked.times) > _SERIES * robustness * max(len(asked.leaves), 1):
            text = f"{event.source} asked for {query.group} {len(asked.times)} times in {in_seconds(window)}"
            self.tell.failed(event.interface, text, [event.number])


class Querier(Checker):
    """Of the routers on a link only the one with the lowest address queries."""

    def __init__(self, tell: Outcomes, scene: Scene, protocol: str) -> None:
        super().__init__(tell, scene, [on(protocol, "query")])
        self._heard: Bounded[str, dict[str, tuple[int, int, int]]] = Bounded()

    def event(self, event: Event) -> None:
        """Take the next event."""
        query: Query = event.fields["message"]
        if query.group or ip_address(event.source).is_unspecified:
            return  # a switch that snoops asks from no address, and is no querier [RFC 4541 2.1.1]
        queriers = self._heard.obtain(event.interface, dict)
        present_ns = round(
            ((query.robustness or _ROBUSTNESS) * (query.interval_s or 125) + query.max_response_s) * SECOND
        )
        mine = ip_address(event.source).packed
        moved_ns = self.scene.link_changed(event.interface)
        for address, (t_ns, number, present) in queriers.items():
            if (
                moved_ns < t_ns < event.t_ns - SECOND
                and event.t_ns - t_ns <= present
                and ip_address(address).packed < mine
            ):
                text = f"{event.source} queries (frame {event.number}) though {address} does (frame {number})"
                self.tell.failed(event.interface, text, (number, event.number))
                break
        else:
            self.tell.passed(event.interface, [event.number])
        if len(queriers) < 64 or event.source in queriers:
            queriers[event.source] = (event.t_ns, event.number, present_ns)


@dataclass(slots=True)
class _Pace:
    t_ns: int
    number: int
    interval_s: int
    startups: int = 0


class QueryPace(Checker):
    """General queries come once in the interval they name; the first few once in a quarter of it."""

    def __init__(self, tell: Outcomes, scene: Scene, protocol: str) -> None:
        super().__init__(tell, scene, [on(protocol, "query")])
        self._paces: Bounded[tuple[str, str], _Pace] = Bounded()
        self._last_source: Bounded[str, str] = Bounded()

    def event(self, event: Event) -> None:
        """Take the next event."""
        query: Query = event.fields["message"]
        if query.group or not query.interval_s:
            return
        key = (event.interface, event.source)
        pace = self._paces.get(key)
        other = self._last_source.get(event.interface) not in (None, event.source)
        self._last_source.set(event.interface, event.source)
        if pace is not None and event.t_ns - pace.t_ns < _AGAIN_AT_ONCE_NS:
            pace.t_ns, pace.number, pace.interval_s = event.t_ns, event.number, query.interval_s
            return
        moved = pace is not None and self.scene.link_changed(event.interface) >= pace.t_ns
        if pace is None or other or moved or pace.interval_s != query.interval_s:
            self._paces.set(key, _Pace(event.t_ns, event.number, query.interval_s))
            return
        passed, interval = event.t_ns - pace.t_ns, query.interval_s * SECOND
        give = round(interval * _SHARE) + _SLACK_NS
        startup = query.interval_s // 4 * SECOND, query.interval_s * SECOND // 4
        frames = (pace.number, event.number)
        if abs(passed - interval) <= give:
            self.tell.passed(event.interface, frames)
            pace.startups = 0
        elif startup[0] - give <= passed <= startup[1] + give and pace.startups < (query.robustness or _ROBUSTNESS):
            pace.startups += 1
            self.tell.passed(event.interface, frames)
        else:
            what = "late" if passed > interval else "early"
            text = (
                f"query of {event.source} (frame {event.number}) came {in_seconds(passed)} after the one before, {what}"
            )
            self.tell.failed(event.interface, f"{text} for {query.interval_s} s", frames)
        pace.t_ns, pace.number = event.t_ns, event.number


class Compatibility(Checker):
    """For ten seconds after an older querier asked, all that report do so in its version.

    The RFCs ask it for minutes, but how many depends on what the older query does not say.
    """

    def __init__(self, tell: Outcomes, scene: Scene, protocol: str, newest: int) -> None:
        super().__init__(tell, scene, [on(protocol, "query", "report")])
        self._newest = newest
        self._older: Bounded[str, tuple[int, int, int]] = Bounded()

    def event(self, event: Event) -> None:
        """Take the next event."""
        message = event.fields["message"]
        older = self._older.get(event.interface)
        if isinstance(message, Query):
            if message.version < self._newest and (older is None or message.version <= older[0]):
                self._older.set(event.interface, (message.version, event.t_ns, event.number))
            return
        if older is None or not _SLACK_NS < event.t_ns - older[1] <= 10 * SECOND:
            return
        if message.version > older[0]:
            text = f"{event.source} reports in version {message.version} (frame {event.number}) to a querier of version {older[0]}"
            self.tell.failed(event.interface, text, (older[2], event.number))
        else:
            self.tell.passed(event.interface, (older[2], event.number))
