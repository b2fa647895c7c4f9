"""Checks of the IGMP and MLD packs that no operator makes: what queriers owe hosts and each other."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import NamedTuple

from captures.dissectors.igmp_mld import TO_INCLUDE, Query
from captures.history.events import Event
from captures.rules.coverage import Coverage, who
from captures.rules.findings import Outcomes
from captures.rules.language import SECOND, Checker, in_seconds, on
from captures.rules.packs.igmp_mld_hosts import GROUPS_MAX, ROBUSTNESS, SHARE, SLACK_NS
from captures.wire.bounded import Bounded

_AGAIN_AT_ONCE_NS = SECOND // 10  # FRR asks anew with each setting that it is given
_SERIES_MORE = 2  # of last member queries, which FRR runs beside those that it owes
_KEPT = 256  # queries and leaves of a group
_ON_ITS_WAY_NS = SECOND // 20  # from one witness of a link to another
_LINK_LOCAL = ("224.0.0.", "ff02:", "ff01:")


@dataclass(slots=True)
class _Asked:
    """Specific queries for a group at an interface, and the leave that waits for one."""

    times: list[int] = field(default_factory=list)
    leave: Event | None = None


class _Leave(NamedTuple):
    """A leave as one interface saw it."""

    t_ns: int
    node: str
    interface: str


class LastMembers(Checker):
    """The querier answers the last known member's leave with a specific query, and does not repeat it without end.

    Each TO_IN that finds the group in EXCLUDE mode makes the querier ask at once and last member query count - 1 times more, an
    interval apart, whatever it asks already [RFC 3376 6.4.2, 6.6.3.1; RFC 3810 7.4.2, 7.6.3.1]. A querier of the older versions
    passes over leaves while it checks [RFC 2236 7, RFC 2710 5]. So within that time it asks no more often than the count for
    each leave; whoever is a witness of the link may have seen that, since one that sees the queries need not see all reports.
    """

    def __init__(self, tell: Outcomes, coverage: Coverage, protocol: str) -> None:
        super().__init__(tell, coverage, [on(protocol, "query", "report", "leave")])
        self._queried: Bounded[str, int] = Bounded()
        self._querier: Bounded[str, tuple[int, str]] = Bounded()
        self._leaves: Bounded[tuple[str, str], list[_Leave]] = Bounded()
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
            if record.kind == TO_INCLUDE:
                self._note_leave(event, record.group)
            members = self._members.obtain(key, set)
            if record.joins():
                if len(members) < GROUPS_MAX:
                    members.add(who(event))
                asked = self._asked.get(key)
                if asked is not None:
                    asked.leave = None
            elif record.leaves() and not record.sources and who(event) in members:
                members.discard(who(event))
                if not members:
                    self._left(event, key)

    def _link_of(self, interface: str) -> str:
        """What the witnesses of one link have in common: its querier, else the interface itself."""
        heard_ns, querier = self._querier.get(interface) or (-1, "")
        return querier if heard_ns > self.coverage.link_changed(interface) else interface

    def _note_leave(self, event: Event, group: str) -> None:
        leaves = self._leaves.obtain((self._link_of(event.interface), group), list)
        found = _Leave(event.t_ns, who(event), event.interface)
        for other in reversed(leaves):
            if event.t_ns - other.t_ns > _ON_ITS_WAY_NS:
                break
            if other.node == found.node and other.interface != found.interface:
                return  # another witness of the link has seen it
        leaves.append(found)
        del leaves[:-_KEPT]

    def _left(self, event: Event, key: tuple[str, str]) -> None:
        if (self._queried.get(event.interface) or -1) <= self.coverage.link_changed(event.interface):
            self.tell.unseen(event.interface, "no querier was heard here")
            return
        asked = self._asked.obtain(key, _Asked)
        if asked.times and event.t_ns - asked.times[-1] < SECOND:
            self.tell.passed(event.interface, [event.number])  # it is asking already
        elif asked.leave is None:
            asked.leave = event
            heapq.heappush(self._waiting, (event.t_ns + SECOND, key))

    def _query(self, event: Event, query: Query) -> None:
        self._querier.set(event.interface, (event.t_ns, who(event)))
        if not query.group:
            self._queried.set(event.interface, event.t_ns)
            return
        asked = self._asked.obtain((event.interface, query.group), _Asked)
        if asked.leave is not None:
            self.tell.passed(event.interface, (asked.leave.number, event.number))
            asked.leave = None
        if query.sources:
            return
        robustness = query.robustness or ROBUSTNESS
        window = round((robustness + 1) * query.max_response_s * SECOND) + SLACK_NS
        asked.times = [*[t_ns for t_ns in asked.times if event.t_ns - t_ns < window][1 - _KEPT :], event.t_ns]
        # The first of the queries may have followed a leave that was as long before them as they last.
        leaves = sum(
            event.t_ns - leave.t_ns < 2 * window
            for where in (event.interface, who(event))
            for leave in self._leaves.get((where, query.group)) or ()
        )
        if len(asked.times) > robustness * (max(leaves, 1) + _SERIES_MORE):
            text = (
                f"{event.source} asked for {query.group} {len(asked.times)} times in {in_seconds(window)}, and the leaves seen"
                f" were {leaves}"
            )
            self.tell.failed(event.interface, text, [event.number])


class Querier(Checker):
    """Of the routers on a link only the one with the lowest address queries."""

    def __init__(self, tell: Outcomes, coverage: Coverage, protocol: str) -> None:
        super().__init__(tell, coverage, [on(protocol, "query")])
        self._heard: Bounded[str, dict[str, tuple[int, int, int]]] = Bounded()

    def event(self, event: Event) -> None:
        """Take the next event."""
        query: Query = event.fields["message"]
        if query.group or ip_address(event.source).is_unspecified:
            return  # a switch that snoops asks from no address, and is no querier [RFC 4541 2.1.1]
        queriers = self._heard.obtain(event.interface, dict)
        # The Other Querier Present Interval [RFC 3376 8.5, RFC 3810 9.5]; with half the response time, as FRR takes it too.
        present_s = (query.robustness or ROBUSTNESS) * (query.interval_s or 125) + query.max_response_s / 2
        present_ns = round(present_s * SECOND) - SLACK_NS
        mine = ip_address(event.source).packed
        moved_ns = self.coverage.link_changed(event.interface)
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

    def __init__(self, tell: Outcomes, coverage: Coverage, protocol: str) -> None:
        super().__init__(tell, coverage, [on(protocol, "query")])
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
        moved = pace is not None and self.coverage.link_changed(event.interface) >= pace.t_ns
        if pace is None or other or moved or pace.interval_s != query.interval_s:
            self._paces.set(key, _Pace(event.t_ns, event.number, query.interval_s))
            return
        passed, interval = event.t_ns - pace.t_ns, query.interval_s * SECOND
        give = round(interval * SHARE) + SLACK_NS
        startup = query.interval_s // 4 * SECOND, max(SECOND, query.interval_s * SECOND // 4)
        frames = (pace.number, event.number)
        if abs(passed - interval) <= give:
            self.tell.passed(event.interface, frames)
            pace.startups = 0
        elif startup[0] - give <= passed <= startup[1] + give and pace.startups < (query.robustness or ROBUSTNESS):
            pace.startups += 1
            self.tell.passed(event.interface, frames)
        else:
            what = "late" if passed > interval else "early"
            text = (
                f"query of {event.source} (frame {event.number}) came {in_seconds(passed)} after the one before, {what}"
            )
            self.tell.failed(event.interface, f"{text} for {query.interval_s} s", frames)
        pace.t_ns, pace.number = event.t_ns, event.number
