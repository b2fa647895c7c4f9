"""Checks of the IGMP and MLD packs that no operator makes: what hosts owe a querier."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

from captures.dissectors.igmp_mld import STATE_CHANGES, Query, Report
from captures.history.events import Event
from captures.rules.coverage import Coverage, who
from captures.rules.findings import Outcomes
from captures.rules.language import SECOND, Checker, on
from captures.wire.bounded import STATE_MAX, Bounded

SLACK_NS = SECOND // 5  # timer ticks, and the way from host to capture
SHARE = 0.1
_UNSOLICITED_NS = SECOND  # RFC 3376 8.11, RFC 3810 9.11
ROBUSTNESS = 2  # RFC 3376 8.1, where no query has said another
GROUPS_MAX = 1024
_SUSPECTS_MAX = 16  # of each host


@dataclass(slots=True)
class _Host:
    """A member as one interface knows it; `owed` are the groups it has to report, by `deadline`.

    `Asked` is the turn of the query, counted in the events of the check.
    """

    groups: dict[str, int] = field(default_factory=dict)
    owed: set[str] = field(default_factory=set)
    asked_ns: int = 0
    deadline: int = 0
    query: int = 0
    asked: int = 0


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A report that did not come; held against its host only if that is heard again."""

    deadline: int
    groups: frozenset[str]
    text: str
    frames: tuple[int, ...]


class _Hosts(Checker):
    """What checks of hosts share: a host that is gone owes nothing, nor does one that joins anew when it is back."""

    def __init__(self, tell: Outcomes, coverage: Coverage, protocol: str) -> None:
        super().__init__(tell, coverage, [on(protocol, "query", "report", "leave")])
        self._heap: list[tuple[int, str, str]] = []
        self._suspects: Bounded[tuple[str, str], list[_Suspect]] = Bounded()

    def advance(self, now_ns: int) -> None:
        """Deadlines before that have passed."""
        while self._heap and self._heap[0][0] < now_ns:
            deadline, interface, node = heapq.heappop(self._heap)
            self.expire(interface, node, deadline)

    def expire(self, interface: str, node: str, deadline: int) -> None:
        """A deadline of the host has passed."""
        raise NotImplementedError

    def suspect(self, interface: str, node: str, suspect: _Suspect, since_ns: int | None = None) -> None:
        """Something of the host, due since a time, did not come by its deadline."""
        heard = self.coverage.last_heard(node, interface)
        elsewhere = since_ns is not None and self.coverage.link_changed(interface) >= since_ns
        if elsewhere or self.coverage.link_changed() >= heard - SECOND or self.coverage.elsewhere(node, interface):
            self.tell.unseen(interface, "the host left the link meanwhile")
            return
        suspects = self._suspects.obtain((interface, node), list)
        if len(suspects) < _SUSPECTS_MAX:
            suspects.append(suspect)

    def heard_again(self, event: Event, report: Report) -> None:
        """A report of a host: where it joins anew, it was away, or had left without a word."""
        suspects = self._suspects.get((event.interface, who(event)))
        if not suspects:
            return
        joined = {record.group for record in report.records if record.kind in STATE_CHANGES and record.joins()}
        for suspect in [one for one in suspects if one.groups & joined]:
            suspects.remove(suspect)
            self.tell.unseen(event.interface, "the host joined anew afterwards")

    def finish(self, end_ns: int) -> None:
        """The capture ended."""
        self.advance(end_ns)
        for (interface, node), suspects in zip(self._suspects.keys(), self._suspects.values(), strict=True):
            heard = self.coverage.last_heard(node, interface)
            for one in suspects:
                if heard > one.deadline:
                    self.tell.failed(interface, one.text, one.frames)
                else:
                    self.tell.unseen(interface, "the host was not heard again")


class QueriesAnswered(_Hosts):
    """Every host that has reported groups reports them again after a general query."""

    def __init__(self, tell: Outcomes, coverage: Coverage, protocol: str, newest: int) -> None:
        super().__init__(tell, coverage, protocol)
        self._newest = newest
        self._hosts: Bounded[tuple[str, str], _Host] = Bounded()
        self._turn = 0
        # When somebody's report of an older version last stood for all members of a group: looked at where it matters,
        # since a walk over the members at each report would let a flood of reports stand still.
        self._spoken_for: Bounded[tuple[str, str], int] = Bounded(16 * STATE_MAX)
        self._all_asked: Bounded[str, bool] = Bounded()

    def event(self, event: Event) -> None:
        """Take the next event."""
        self._turn += 1
        message = event.fields["message"]
        if isinstance(message, Query):
            if not message.group:
                self._asked(event, message)
        else:
            self._reported(event, message)

    def _asked(self, event: Event, query: Query) -> None:
        if self._all_asked.get(event.interface):
            return
        self._all_asked.set(event.interface, value=True)
        querier = who(event)
        moved_ns = self.coverage.link_changed(event.interface)
        wait = round(query.max_response_s * SECOND * (1 + SHARE)) + SLACK_NS
        for key, host in zip(self._hosts.keys(), self._hosts.values(), strict=True):
            interface, node = key
            if interface != event.interface or node == querier or not host.groups or self._still_owes(interface, host):
                continue
            if self.coverage.last_heard(node, interface) <= moved_ns:
                continue  # it was heard on the link that the interface was on before
            host.owed, host.query, host.asked = set(host.groups), event.number, self._turn
            host.asked_ns, host.deadline = event.t_ns, event.t_ns + wait
            heapq.heappush(self._heap, (host.deadline, interface, node))

    def _reported(self, event: Event, report: Report) -> None:
        self.heard_again(event, report)
        self._all_asked.pop(event.interface)
        host = self._hosts.obtain((event.interface, who(event)), _Host)
        owed_before = self._still_owes(event.interface, host)
        for record in report.records:
            host.owed.discard(record.group)
            if record.joins():
                if len(host.groups) < GROUPS_MAX:
                    host.groups[record.group] = event.number
            else:
                host.groups.pop(record.group, None)
            if report.version < self._newest:
                self._spoken_for.set((event.interface, record.group), self._turn)
        if owed_before and not self._still_owes(event.interface, host):
            self.tell.passed(event.interface, (host.query, event.number))

    def _still_owes(self, interface: str, host: _Host) -> bool:
        """Whether there is a group for which neither the host nor another member has spoken since the query."""
        while host.owed:
            group = next(iter(host.owed))
            if (self._spoken_for.get((interface, group)) or 0) <= host.asked:
                return True
            host.owed.discard(group)
        return False

    def expire(self, interface: str, node: str, deadline: int) -> None:
        """A deadline of the host has passed."""
        self._all_asked.pop(interface)
        host = self._hosts.get((interface, node))
        if host is None or host.deadline != deadline:
            return
        owed = frozenset(group for group in host.owed if (self._spoken_for.get((interface, group)) or 0) <= host.asked)
        host.owed = set()
        if not owed:
            return
        frames = (*sorted({host.groups[group] for group in owed if group in host.groups})[:3], host.query)
        text = f"{node} did not report {', '.join(sorted(owed)[:3])} after the query in frame {host.query}"
        self.suspect(interface, node, _Suspect(deadline, owed, text, frames), host.asked_ns)


@dataclass(slots=True)
class _Change:
    """A change of a membership as it was reported: how often so far, and until when the next is due."""

    joins: bool
    count: int
    deadline: int
    frames: list[int]


class Repeated(_Hosts):
    """A host reports each change as often as the robustness variable says."""

    def __init__(self, tell: Outcomes, coverage: Coverage, protocol: str, newest: int) -> None:
        super().__init__(tell, coverage, protocol)
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
        wanted = self._robustness.get(event.interface) or ROBUSTNESS
        change = changes.get(group)
        if change is None or change.joins != joins or event.t_ns > change.deadline:
            if change is None and len(changes) >= GROUPS_MAX:
                return
            # The first that is seen may be the last of several that came before the capture.
            early = self.coverage.covered_ns(event) < _UNSOLICITED_NS + SLACK_NS
            change = changes[group] = _Change(joins, wanted if early else 0, 0, [])
        change.count += 1
        change.frames = [*change.frames[-4:], event.number]
        change.deadline = event.t_ns + _UNSOLICITED_NS + SLACK_NS
        if change.count == wanted:
            self.tell.passed(event.interface, change.frames)
        elif change.count < wanted:
            heapq.heappush(self._heap, (change.deadline, event.interface, who(event)))

    def expire(self, interface: str, node: str, deadline: int) -> None:
        """A deadline of the host has passed."""
        wanted = self._robustness.get(interface) or ROBUSTNESS
        for group, change in (self._changes.get((interface, node)) or {}).items():
            if change.deadline != deadline or change.count >= wanted:
                continue
            change.count = wanted
            if (self._older.get(interface) or -1) > deadline - _UNSOLICITED_NS - SLACK_NS:
                self.tell.unseen(interface, "an older querier came meanwhile")
                continue
            what = "join" if change.joins else "leave"
            text = f"{node} reported its {what} of {group} (frame {change.frames[-1]}) fewer than {wanted} times"
            self.suspect(interface, node, _Suspect(deadline, frozenset(), text, tuple(change.frames)))


class Compatibility(Checker):
    """For ten seconds after an older querier asked, all that report do so in its version.

    The RFCs ask it for minutes, but how many depends on what the older query does not say.
    """

    def __init__(self, tell: Outcomes, coverage: Coverage, protocol: str, newest: int) -> None:
        super().__init__(tell, coverage, [on(protocol, "query", "report")])
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
        if older is None or not SLACK_NS < event.t_ns - older[1] <= 10 * SECOND:
            return
        if message.version > older[0]:
            text = f"{event.source} reports in version {message.version} (frame {event.number}) to a querier of version {older[0]}"
            self.tell.failed(event.interface, text, (older[2], event.number))
        else:
            self.tell.passed(event.interface, (older[2], event.number))
