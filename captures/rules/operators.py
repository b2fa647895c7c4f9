"""The operators of the rule language: each makes a check. What all have in common stands in `captures.rules.language`.

`Answered` is in `captures.rules.operator_answered`, the last four are in `captures.rules.operators_time`.

=========== =======================================================================================================
Holds       every event of a pattern is as a function of it says
Answered    a request is answered within a time, else asked again or given up as the clause allows
Asked       an answer has a request ahead of it: one request, one answer
SameAnswer  a request that is repeated gets the answer it got before
NeverBefore since one event, a second never comes before a third
InOrder     the events of an exchange come in the order given
AtMost      no more than so many events in any stretch of a time
Periodic    events come once in a period, given or learned from the first ones
=========== =======================================================================================================

In the drawings time goes to the right, capitals are events, and what fails is marked with ``!``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from captures.history.events import Event
from captures.rules.coverage import Coverage
from captures.rules.deadlines import Deadlines
from captures.rules.findings import Outcomes
from captures.rules.language import Checker, Key, Operator, Pattern, Same, Seconds, Unseen, key_of, nanoseconds
from captures.wire.bounded import Bounded

_REMEMBERED = 16  # requests of one key that wait for their answers


@dataclass(frozen=True)
class Holds(Operator):
    """For every event of the pattern `problem` returns None; a text says what is wrong, `Unseen` that it cannot be told.

    ::

        E(good)   E(good)   E(bad)!
    """

    pattern: Pattern
    problem: Callable[[Event], str | None]

    def __call__(self, tell: Outcomes, coverage: Coverage) -> Checker:
        """Begin the check."""
        return _Holds(tell, coverage, self)


class _Holds(Checker):
    goes_by_time = False

    def __init__(self, tell: Outcomes, coverage: Coverage, terms: Holds) -> None:
        super().__init__(tell, coverage, terms.patterns())
        self._problem = terms.problem

    def event(self, event: Event) -> None:
        found = self._problem(event)
        if found is None:
            self.tell.passed(event.interface, [event.number])
        elif isinstance(found, Unseen):
            self.tell.unseen(event.interface, found)
        else:
            text = f"{event.kind} of {event.source} (frame {event.number}): {found}"
            self.tell.failed(event.interface, text, [event.number])


@dataclass(frozen=True, kw_only=True)
class Asked(Operator):
    """Each `answer` has a request `by` at most `within` ahead of it, and each request has at most one answer.

    ::

        B---A        A!       B---A---A!       B------within------|--A!

    Unseen where the interface was captured for less than `within` before the answer and no request was seen so far.
    """

    answer: Pattern
    by: Pattern
    within: Seconds
    same: Same

    def __call__(self, tell: Outcomes, coverage: Coverage) -> Checker:
        """Begin the check."""
        return _Asked(tell, coverage, self)


@dataclass(slots=True)
class _Credits:
    requests: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))


class _Asked(Deadlines):
    def __init__(self, tell: Outcomes, coverage: Coverage, terms: Asked) -> None:
        super().__init__(tell, coverage, terms.patterns())
        self._terms = terms
        self._credits: Bounded[Key, _Credits] = Bounded()

    def event(self, event: Event) -> None:
        terms = self._terms
        key = key_of(event, terms.same)
        if key is None:
            return
        if terms.by.matches(event):
            self._credits.obtain(key, _Credits).requests.append((event.t_ns, event.number))
            return
        within = nanoseconds(terms.within, event)
        known = self._credits.get(key)
        while known is not None and known.requests:
            t_ns, number = known.requests.popleft()
            if event.t_ns - t_ns <= within:
                self.tell.passed(event.interface, (number, event.number))
                return
        if known is None and self.coverage.covered_ns(event) < within:
            self.tell.unseen(event.interface, "the capture began too late to show the request")
            return
        text = f"{event.kind} of {event.source} to {event.destination} (frame {event.number}) was not asked for"
        self.missing(event, text, (event.number,))


@dataclass(frozen=True, kw_only=True)
class SameAnswer(Operator):
    """A request `to` that comes again within `within` of its `answer` gets an answer of the same `content`.

    ::

        T---A(x)---T---A(x)       T---A(x)---T---A(y)!       T---A(x)-----within-----|---T---A(y)       T---A(x)---R---T---A(y)

    `same` is what a request and its answer have in common, `request_same` what makes two requests the same one. After a `reset`
    R of the same two a request is a new one.
    """

    answer: Pattern
    to: Pattern
    same: Same
    request_same: Same
    within: Seconds
    content: Callable[[Event], Hashable]
    reset: Pattern | None = None

    def __call__(self, tell: Outcomes, coverage: Coverage) -> Checker:
        """Begin the check."""
        return _SameAnswer(tell, coverage, self)


class _SameAnswer(Checker):
    def __init__(self, tell: Outcomes, coverage: Coverage, terms: SameAnswer) -> None:
        super().__init__(tell, coverage, terms.patterns())
        self._terms = terms
        self._asked: Bounded[Key, tuple[Key, int]] = Bounded()
        self._given: Bounded[Key, tuple[Hashable, int, int]] = Bounded()
        self._anew_ns: Bounded[Key, int] = Bounded()

    def event(self, event: Event) -> None:
        terms = self._terms
        key = key_of(event, terms.same)
        if key is None:
            return
        if terms.reset is not None and terms.reset.matches(event):
            self._anew_ns.set(key, event.t_ns)
            return
        if terms.to.matches(event):
            request = key_of(event, terms.request_same)
            if request is not None:
                self._asked.set(key, (request, event.t_ns))
            return
        asked_for = self._asked.get(key)
        if asked_for is None:
            return
        request, asked_ns = asked_for
        content = terms.content(event)
        before = self._given.get(request)
        if before is not None:
            told, t_ns, number = before
            since_ns = max(t_ns, self._anew_ns.get(key) or 0)
            if since_ns == t_ns < asked_ns <= t_ns + nanoseconds(terms.within, event):
                if told == content:
                    self.tell.passed(event.interface, (number, event.number))
                elif self.coverage.silenced(event.source, t_ns):
                    self.tell.unseen(event.interface, "who answers was made silent meanwhile, and may have forgotten")
                else:
                    text = f"{event.kind} of {event.source} (frame {event.number}) says {content}, frame {number} said {told}"
                    self.tell.failed(event.interface, text, (number, event.number))
        self._given.set(request, (content, event.t_ns, event.number))
