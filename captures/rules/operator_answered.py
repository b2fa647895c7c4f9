"""The operator `Answered`: requests, answers, and what a sender may do without one (see `captures.rules.operators`)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from captures.history.events import Event
from captures.rules.coverage import Coverage
from captures.rules.deadlines import NOBODY_THERE, Deadlines
from captures.rules.findings import Outcomes
from captures.rules.language import Checker, Key, Operator, Pattern, Same, Seconds, in_seconds, key_of, nanoseconds
from captures.wire.bounded import Bounded

_REMEMBERED = 16  # requests of one sender that may be given up together


@dataclass(frozen=True, kw_only=True)
class Answered(Operator):
    """Each `request` is followed by an answer `by` within `within`.

    ::

        R---B                            R------within------|--B!       R---R---B

        R------within------|---U         (U is `unless`: given up, as it may be, or R itself: asked again)
        R------within------|------patience------|!
        R---N!                           (N is `not_then`)
        R---V                            (V is `void`: nobody is there to answer, unseen)

    Asked again with the same key, it is one request with the last one's deadline. Unanswered, it has failed when
    `patience` has passed since it was asked, unless until then it was asked again, or an event `unless` came that has
    `unless_same` in common with the request: the sender did what the clause allows. (An event of the request's own kind
    counts only after the deadline: before it may be the request, as another interface saw it.) A late answer has failed, and
    so has a request after which an event `not_then` shows, by `unless_same`, that the sender goes on as if it was answered.
    """

    request: Pattern
    by: Pattern
    within: Seconds
    same: Same
    patience: Seconds = 0
    unless: Pattern | None = None
    unless_same: Same = ()
    not_then: Pattern | None = None
    void: Pattern | None = None

    def __call__(self, tell: Outcomes, coverage: Coverage) -> Checker:
        """Begin the check."""
        return _Answered(tell, coverage, self)


@dataclass(frozen=True, slots=True)
class _Request:
    """A request that waits: the last time it was asked, until when it is answered in time, and given up at the latest."""

    event: Event
    frames: tuple[int, ...]
    deadline: int
    patience: int
    overdue: bool = False


class _Answered(Deadlines):
    def __init__(self, tell: Outcomes, coverage: Coverage, terms: Answered) -> None:
        super().__init__(tell, coverage, terms.patterns())
        self._terms = terms
        self._waiting: Bounded[Key, _Request] = Bounded()
        self._given_up_by: Bounded[Key, dict[Key, None]] = Bounded()  # in the order asked

    def event(self, event: Event) -> None:
        if self._terms.unless is not None and self._terms.unless.matches(event):
            self._given_up(event)
        if self._terms.not_then is not None and self._terms.not_then.matches(event):
            self._went_on(event)
        if self._terms.request.matches(event):
            self._asked(event)
        elif self._terms.by.matches(event):
            self._answer(event)
        elif self._terms.void is not None and self._terms.void.matches(event):
            key = key_of(event, self._terms.same)
            if key is not None and self._waiting.pop(key) is not None:
                self.tell.unseen(event.interface, NOBODY_THERE)

    def _asked(self, event: Event) -> None:
        key = key_of(event, self._terms.same)
        if key is None:
            return
        before = self._waiting.pop(key)
        frames: tuple[int, ...] = (event.number,)
        if before is not None and before.overdue:
            self.tell.passed(event.interface, (*before.frames, event.number))
        elif before is not None:
            frames = (*before.frames[-2:], event.number)
        deadline = event.t_ns + nanoseconds(self._terms.within, event)
        patience = max(deadline, event.t_ns + nanoseconds(self._terms.patience, event))
        self._waiting.set(key, _Request(event, frames, deadline, patience))
        self.at(deadline, key)
        if self._terms.unless is not None:
            other = key_of(event, self._terms.unless_same)
            if other is not None:
                keys = self._given_up_by.obtain(other, dict)
                if len(keys) >= _REMEMBERED:
                    for gone in keys.keys() - self._waiting.keys():
                        del keys[gone]
                if len(keys) < _REMEMBERED:
                    keys[key] = None

    def _answer(self, event: Event) -> None:
        key = key_of(event, self._terms.same)
        request = None if key is None else self._waiting.pop(key)
        if request is None:
            return
        if request.overdue:
            late = in_seconds(event.t_ns - request.event.t_ns)
            text = f"{request.event.kind} of {request.event.source} (frame {request.event.number}) answered late, after {late}"
            self.tell.failed(event.interface, text, (*request.frames, event.number))
        else:
            self.tell.passed(event.interface, (*request.frames, event.number))

    def _went_on(self, event: Event) -> None:
        own = key_of(event, self._terms.same)
        other = key_of(event, self._terms.unless_same)
        for key in list((None if other is None else self._given_up_by.get(other)) or ()):
            request = self._waiting.get(key)
            if request is None or key[1:] == (own or ())[1:]:
                continue  # of one and the same conversation: it was in it before
            self._waiting.pop(key)
            asked_for = request.event
            text = (
                f"{asked_for.kind} of {asked_for.source} to {asked_for.destination} (frame {asked_for.number}) not answered"
                f" when {event.kind} followed (frame {event.number})"
            )
            self.missing(asked_for, text, (*request.frames, event.number))

    def _given_up(self, event: Event) -> None:
        other = key_of(event, self._terms.unless_same)
        keys = None if other is None else self._given_up_by.get(other)
        for key in list(keys or ()):
            request = self._waiting.get(key)
            if request is not None and event.kind == request.event.kind and not request.overdue:
                continue  # the request itself, as another interface saw it
            if keys is not None:
                del keys[key]
            if request is None:
                continue
            self._waiting.pop(key)
            if request.overdue:
                self.tell.passed(request.event.interface, (*request.frames, event.number))
            else:
                self.tell.unseen(request.event.interface, "given up before its answer was due")

    def expire(self, key: Key, t_ns: int) -> None:
        request = self._waiting.get(key)
        if request is None or t_ns != (request.patience if request.overdue else request.deadline):
            return
        if not request.overdue and request.patience > t_ns:
            self._waiting.set(key, replace(request, overdue=True))
            self.at(request.patience, key)
            return
        self._waiting.pop(key)
        again = ", nor sent again or given up" if self._terms.patience else ""
        event = request.event
        text = (
            f"{event.kind} of {event.source} to {event.destination} (frame {event.number}) not answered within"
            f" {in_seconds(request.deadline - event.t_ns)}{again}"
        )
        self.missing(event, text, request.frames)

    def finish(self, end_ns: int) -> None:
        super().finish(end_ns)
        for request in self._waiting.values():
            self.tell.unseen(request.event.interface, "the capture ends before the answer is due")
