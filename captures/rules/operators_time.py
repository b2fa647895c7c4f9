"""Operators about order and pace: `NeverBefore`, `InOrder`, `AtMost`, `Periodic` (see `captures.rules.operators`)."""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field

from captures.history.events import Event
from captures.rules.coverage import Coverage
from captures.rules.findings import Outcomes
from captures.rules.language import Checker, Key, Operator, Pattern, Same, Seconds, in_seconds, key_of, nanoseconds
from captures.wire.bounded import Bounded

_LEARN_FROM = 5
_LEARN_AT_LEAST = 3
_TOLERANCE_SHARE, _TOLERANCE_NS = 0.1, 100_000_000  # of a period
_BEAT_SLACK_NS, _BEAT_SHARE = 50_000_000, 0.01  # what a timer that is set anew each time may be late by
_BEATS_MAX = 4  # more than that in silence, and it is a new beginning


@dataclass(frozen=True, kw_only=True)
class NeverBefore(Operator):
    """After a `since` no `event` comes before `first`.

    ::

        S---F---E        S---E!            E---S---F---E
        S---F---S---E    S---F---G---S---E!                   (G is `forget`)

    That counts anew from each `since` on; with `forget` only from the first after the beginning or after a `forget`.
    """

    event: Pattern
    first: Pattern
    since: Pattern
    same: Same
    forget: Pattern | None = None

    def __call__(self, tell: Outcomes, coverage: Coverage) -> Checker:
        """Begin the check."""
        return _NeverBefore(tell, coverage, self)


class _NeverBefore(Checker):
    def __init__(self, tell: Outcomes, coverage: Coverage, terms: NeverBefore) -> None:
        super().__init__(tell, coverage, terms.patterns())
        self._terms = terms
        self._allowed: Bounded[Key, tuple[bool, int]] = Bounded()

    def event(self, event: Event) -> None:
        terms = self._terms
        key = key_of(event, terms.same)
        if key is None:
            return
        if terms.event.matches(event):
            self._judge(event, key)
        if terms.forget is not None and terms.forget.matches(event):
            self._allowed.pop(key)
        if terms.since.matches(event) and (terms.forget is None or self._allowed.get(key) is None):
            self._allowed.set(key, (False, event.number))
        if terms.first.matches(event) and self._allowed.get(key) is not None:
            self._allowed.set(key, (True, event.number))

    def _judge(self, event: Event, key: Key) -> None:
        state = self._allowed.get(key)
        if state is None:
            return
        allowed, number = state
        if allowed:
            self.tell.passed(event.interface, (number, event.number))
        else:
            text = f"{event.kind} of {event.source} (frame {event.number}) came too early after frame {number}"
            self.tell.failed(event.interface, text, (number, event.number))


@dataclass(frozen=True, kw_only=True)
class InOrder(Operator):
    """Events of the patterns come in the order given, none left out in between.

    ::

        A---B---C        A---B---B---C        A---C!        A---B---A---C!        A-----within-----|---C

    The first pattern begins an exchange anew; what comes more than `within` after that belongs to none. An exchange that
    ends early is no fault here: what must be answered is `Answered`'s.
    """

    order: tuple[Pattern, ...]
    same: Same
    within: Seconds

    def patterns(self) -> tuple[Pattern, ...]:
        """Those of the order."""
        return self.order

    def __call__(self, tell: Outcomes, coverage: Coverage) -> Checker:
        """Begin the check."""
        return _InOrder(tell, coverage, self)


@dataclass(slots=True)
class _Chain:
    reached: int
    frames: list[int]
    began_ns: int


class _InOrder(Checker):
    def __init__(self, tell: Outcomes, coverage: Coverage, terms: InOrder) -> None:
        super().__init__(tell, coverage, terms.patterns())
        self._same, self._within = terms.same, terms.within
        self._chains: Bounded[Key, _Chain] = Bounded()

    def event(self, event: Event) -> None:
        key = key_of(event, self._same)
        if key is None:
            return
        place = next(index for index, pattern in enumerate(self.patterns) if pattern.matches(event))
        if place == 0:
            self._chains.set(key, _Chain(0, [event.number], event.t_ns))
            return
        chain = self._chains.get(key)
        if chain is None or event.t_ns - chain.began_ns > nanoseconds(self._within, event):
            return
        chain.frames.append(event.number)
        if place > chain.reached + 1:
            left_out = " and ".join("/".join(sorted(p.kinds)) for p in self.patterns[chain.reached + 1 : place])
            text = (
                f"{event.kind} of {event.source} to {event.destination} (frame {event.number}) came before {left_out}"
            )
            self.tell.failed(event.interface, text, chain.frames)
            self._chains.pop(key)
        elif place == chain.reached + 1:
            chain.reached = place
            if place == len(self.patterns) - 1:
                self.tell.passed(event.interface, chain.frames)
                self._chains.pop(key)


@dataclass(frozen=True, kw_only=True)
class AtMost(Operator):
    """In any stretch of `per` there are no more than `count` events of the pattern; `reset` begins counting anew.

    ::

        |--------per--------|
        E    E    E!                   (count is 2)
        E    E    R    E    E          (R is `reset`)
    """

    count: int
    pattern: Pattern
    per: Seconds
    same: Same
    reset: Pattern | None = None

    def __call__(self, tell: Outcomes, coverage: Coverage) -> Checker:
        """Begin the check."""
        return _AtMost(tell, coverage, self)


class _AtMost(Checker):
    def __init__(self, tell: Outcomes, coverage: Coverage, terms: AtMost) -> None:
        super().__init__(tell, coverage, terms.patterns())
        self._terms = terms
        self._times: Bounded[Key, deque[tuple[int, int]]] = Bounded()

    def event(self, event: Event) -> None:
        terms = self._terms
        key = key_of(event, terms.same)
        if key is None:
            return
        if terms.reset is not None and terms.reset.matches(event):
            self._times.pop(key)
        if not terms.pattern.matches(event):
            return
        per = nanoseconds(terms.per, event)
        times = self._times.obtain(key, lambda: deque(maxlen=terms.count + 1))
        while times and event.t_ns - times[0][0] > per:
            times.popleft()
        times.append((event.t_ns, event.number))
        if len(times) > terms.count:
            first = times[0]
            passed = in_seconds(event.t_ns - first[0])
            text = f"{event.kind} of {event.source} to {event.destination} {len(times)} times in {passed} (frame {event.number})"
            self.tell.failed(event.interface, text, [number for _, number in times])
        else:
            self.tell.passed(event.interface, [event.number])


@dataclass(frozen=True, kw_only=True)
class Periodic(Operator):
    """Events of the pattern come once every `period`, give or take a tenth of it and 0.1 s.

    ::

        |--period--|--period--|--period--|
        E          E          E          E
        E          E                     E!              (late)
        E          E     E!                              (early, unless `only_late`)
        E          E   R          E      E               (R is `restart`)
        E          E                            W!       (W is anything else that its sender says to the same peer)

    `period` may be a function of the earlier of two events; None or 0 means that it is learned, as the median of the first
    five intervals of each key. Events within `burst` of each other are one. After a
    `restart` the next event may come early and is late only if it comes later than a period after the restart, and the
    one after it may come early: what a restart put off does not move the others. A restart that
    `renewing` matches restarts nothing if it comes on the beat of its kind: that is what its sender repeats while all goes on.
    The `beat` is in seconds; 0: not known, then two of the same length in a row are one.
    An interval in which a step says that the interface changed its link, or that the sender was made silent, is free. With
    `only_late` any may come early. Who ceases is only held to it if it goes on to speak to the same peer.
    """

    pattern: Pattern
    period: Seconds | None
    same: Same
    burst: float = 0.0
    only_late: bool = False
    restart: Pattern | None = None
    restart_same: Same | None = None
    renewing: Pattern | None = None
    beat: Seconds = 0

    def __call__(self, tell: Outcomes, coverage: Coverage) -> Checker:
        """Begin the check."""
        return _Periodic(tell, coverage, self)


@dataclass(slots=True)
class _Pace:
    last: Event
    may_be_early: bool = False
    period_ns: int | None = None
    intervals: list[tuple[int, Event, Event]] = field(default_factory=list)


class _Periodic(Checker):
    def __init__(self, tell: Outcomes, coverage: Coverage, terms: Periodic) -> None:
        super().__init__(tell, coverage, [term for term in (terms.pattern, terms.restart) if term is not None])
        self._terms = terms
        self._burst_ns = round(terms.burst * 1e9)
        self._restart_same = terms.restart_same or terms.same
        self._may_be_early = not terms.only_late  # after a restart
        self._paces: Bounded[Key, _Pace] = Bounded()
        self._restarts: Bounded[Key, int] = Bounded()
        self._beats: Bounded[tuple[Key, str], tuple[int, int]] = Bounded()

    def event(self, event: Event) -> None:
        if self._terms.restart is not None and self._terms.restart.matches(event):
            other = key_of(event, self._restart_same)
            if other is not None and not self._renews(event, other):
                self._restarts.set(other, event.t_ns)
        if not self._terms.pattern.matches(event):
            return
        key = key_of(event, self._terms.same)
        if key is None:
            return
        pace = self._paces.get(key)
        if pace is None:
            self._paces.set(key, _Pace(event, self._may_be_early and self._restarted(event) >= 0))
            return
        before, pace.last = pace.last, event
        if event.t_ns - before.t_ns >= self._burst_ns:
            self._passed(pace, before, event)

    def _renews(self, event: Event, other: Key) -> bool:
        """Whether it comes on the beat of those of its kind before it."""
        if self._terms.renewing is None or not self._terms.renewing.matches(event):
            return False
        last_ns, gap = self._beats.get((other, event.kind)) or (0, 0)
        passed = event.t_ns - last_ns
        self._beats.set((other, event.kind), (event.t_ns, passed if last_ns else 0))
        beat = nanoseconds(self._terms.beat, event) or gap
        if not last_ns or not beat:
            return False
        return on_beat(passed, beat)

    def _passed(self, pace: _Pace, before: Event, event: Event) -> None:
        """An interval that is no burst."""
        changed = self.coverage.link_changed(event.interface) >= before.t_ns
        if changed or self.coverage.silenced(event.source, before.t_ns):
            pace.may_be_early = self._may_be_early
            return
        since_ns = max(before.t_ns, self._restarted(event))
        restarted = since_ns > before.t_ns
        may_be_early = restarted or pace.may_be_early
        pace.may_be_early = restarted and self._may_be_early
        period = (0 if self._terms.period is None else nanoseconds(self._terms.period, before)) or pace.period_ns
        if period:
            self._judge(period, event.t_ns - since_ns, before, event, may_be_early=may_be_early)
        elif not may_be_early:
            pace.intervals.append((event.t_ns - before.t_ns, before, event))
            if len(pace.intervals) >= _LEARN_FROM:
                self._learn(pace)

    def _restarted(self, event: Event) -> int:
        """When the event's schedule was restarted last, -1 for never."""
        if self._terms.restart is None:
            return -1
        other = key_of(event, self._restart_same)
        return -1 if other is None else self._restarts.get(other) or -1

    def _learn(self, pace: _Pace) -> None:
        pace.period_ns = round(statistics.median(interval for interval, _, _ in pace.intervals))
        for passed, before, event in pace.intervals:
            self._judge(pace.period_ns, passed, before, event)
        pace.intervals.clear()

    def _judge(self, period: int, passed: int, before: Event, event: Event, *, may_be_early: bool = False) -> None:
        give = _give(period)
        late = passed > period + give
        if late or (passed < period - give and not (may_be_early or self._terms.only_late)):
            text = (
                f"{event.kind} of {event.source} (frame {event.number}) came {in_seconds(passed)} after the one before or a restart,"
                f" {'late' if late else 'early'} for a period of {in_seconds(period)}"
            )
            self.tell.failed(event.interface, text, (before.number, event.number))
        else:
            self.tell.passed(event.interface, (before.number, event.number))

    def finish(self, end_ns: int) -> None:
        for pace in self._paces.values():
            if len(pace.intervals) >= _LEARN_AT_LEAST:
                self._learn(pace)
            elif pace.intervals:
                self.tell.unseen(pace.last.interface, "too few came to learn their period from")
            self._ceased(pace)

    def _ceased(self, pace: _Pace) -> None:
        """Whether one that came no more should have: its sender spoke to the same peer when it was overdue."""
        last = pace.last
        period = (0 if self._terms.period is None else nanoseconds(self._terms.period, last)) or pace.period_ns
        since_ns = max(last.t_ns, self._restarted(last))
        said_ns = self.coverage.heard(last.interface, last.protocol, last.source, last.destination)
        if not period or said_ns <= since_ns + period + _give(period):
            return
        if self.coverage.link_changed(last.interface) < last.t_ns and not self.coverage.silenced(
            last.source, last.t_ns
        ):
            text = (
                f"{last.kind} of {last.source} to {last.destination} came no more after frame {last.number}, though it spoke"
                f" {in_seconds(said_ns - since_ns)} later; the period is {in_seconds(period)}"
            )
            self.tell.failed(last.interface, text, (last.number,))


def on_beat(passed: int, beat: int) -> bool:
    """Whether what repeats itself every `beat` comes `passed` after it came last, both in ns; a few may be lost between."""
    beats = round(passed / beat)
    give = beats * (_BEAT_SLACK_NS + round(beat * _BEAT_SHARE))
    return 0 < beats <= _BEATS_MAX and abs(passed - beats * beat) <= give


def _give(period: int) -> int:
    """How much earlier or later than its period an event may come, in ns."""
    return round(period * _TOLERANCE_SHARE) + _TOLERANCE_NS
