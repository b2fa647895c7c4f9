"""The operators of the rule language: each makes a check. What all have in common stands in `captures.rules.language`.

============== =====================================================================================================
holds          every event of a pattern is as a function of it says
answered       a request is answered within a time, else asked again or given up as the clause allows
asked          an answer has a request ahead of it: one request, one answer
exactly_once   a request gets one answer within a time, no more and no less
same_answer    a request that is repeated gets the answer it got before
never_before   one event never comes before another, from the beginning or since a third
in_order       the events of an exchange come in the order given
at_most        no more than so many events in any stretch of a time
periodic       events come once in a period, given or learned from the first ones
============== =====================================================================================================
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace

from captures.events import Event
from captures.rules.language import (
    Bounded,
    Check,
    Checker,
    Key,
    Outcomes,
    Pattern,
    Same,
    Scene,
    Seconds,
    in_seconds,
    key_of,
    nanoseconds,
)

_UNDECIDED_MAX = 1024
_REMEMBERED = 16  # requests of one key that wait for their answers


class Unseen(str):
    """What a function given to `holds` returns where the wire does not tell; the text says why."""

    __slots__ = ()


def holds(
    pattern: Pattern, problem: Callable[[Event], str | None], *, subject: Callable[[Event], str] | None = None
) -> Check:
    """For every event of the pattern `problem` returns None; a text says what is wrong, `Unseen` that it cannot be told."""
    return lambda tell, scene: _Holds(tell, scene, pattern, problem, subject)


class _Holds(Checker):
    def __init__(
        self,
        tell: Outcomes,
        scene: Scene,
        pattern: Pattern,
        problem: Callable[[Event], str | None],
        subject: Callable[[Event], str] | None,
    ) -> None:
        super().__init__(tell, scene, [pattern])
        self._problem = problem
        self._subject = subject

    def event(self, event: Event) -> None:
        subject = event.interface if self._subject is None else self._subject(event)
        found = self._problem(event)
        if found is None:
            self.tell.passed(subject, [event.number])
        elif isinstance(found, Unseen):
            self.tell.unseen(subject, found)
        else:
            text = f"{event.kind} of {event.source} (frame {event.number}): {found}"
            self.tell.failed(subject, text, [event.number])


class _Deadlines(Checker):
    """What checks with deadlines share: `expire` is called for each key whose deadline has passed, oldest first."""

    def __init__(self, tell: Outcomes, scene: Scene, *patterns: Pattern | None) -> None:
        super().__init__(tell, scene, [pattern for pattern in patterns if pattern is not None])
        self._heap: list[tuple[int, int, Key]] = []
        self._count = 0
        self._undecided: list[tuple[Event, str, tuple[int, ...]]] = []

    def at(self, t_ns: int, key: Key) -> None:
        self._count += 1
        heapq.heappush(self._heap, (t_ns, self._count, key))

    def advance(self, now_ns: int) -> None:
        while self._heap and self._heap[0][0] < now_ns:
            t_ns, _, key = heapq.heappop(self._heap)
            self.expire(key, t_ns)

    def expire(self, key: Key, t_ns: int) -> None:
        raise NotImplementedError

    def missing(self, event: Event, text: str, frames: tuple[int, ...]) -> None:
        """Something is missing in the direction back to `event`'s sender: failed, if that direction was ever heard."""
        if len(self._undecided) < _UNDECIDED_MAX:
            self._undecided.append((event, text, frames))
        else:
            self.tell.failed(event.interface, text, frames)

    def finish(self, end_ns: int) -> None:
        self.advance(end_ns)
        for event, text, frames in self._undecided:
            if self.scene.heard(event.interface, event.protocol, event.destination, event.source):
                self.tell.failed(event.interface, text, frames)
            else:
                self.tell.unseen(
                    event.interface, f"nothing from {event.destination} to {event.source} was captured here"
                )


@dataclass(frozen=True, slots=True)
class _Request:
    """A request that waits: the last time it was asked, until when it is answered in time, and given up at the latest."""

    event: Event
    frames: tuple[int, ...]
    deadline: int
    patience: int
    overdue: bool = False


def answered(
    request: Pattern,
    *,
    by: Pattern,
    within: Seconds,
    same: Same,
    patience: Seconds = 0,
    unless: Pattern | None = None,
    unless_same: Same = (),
    not_then: Pattern | None = None,
) -> Check:
    """Each `request` is followed by an answer `by` within `within`.

    Asked again with the same key, it is one request with the last one's deadline. Unanswered, it has failed when
    `patience` has passed since it was asked, unless until then it was asked again, or an event `unless` came that has
    `unless_same` in common with the request: the sender did what the clause allows. (An event of the request's own kind
    counts only after the deadline: before it may be the request, as another interface saw it.) A late answer has failed, and
    so has a request after which an event `not_then` shows, by `unless_same`, that the sender goes on as if it was answered.
    """
    return lambda tell, scene: _Answered(
        tell, scene, request, by, within, same, patience, unless, unless_same, not_then
    )


class _Answered(_Deadlines):
    def __init__(
        self,
        tell: Outcomes,
        scene: Scene,
        request: Pattern,
        by: Pattern,
        within: Seconds,
        same: Same,
        patience: Seconds,
        unless: Pattern | None,
        unless_same: Same,
        not_then: Pattern | None,
    ) -> None:
        super().__init__(tell, scene, request, by, unless, not_then)
        self._request, self._by, self._unless, self._not_then = request, by, unless, not_then
        self._within, self._patience = within, patience
        self._same, self._unless_same = same, unless_same
        self._waiting: Bounded[Key, _Request] = Bounded()
        self._given_up_by: Bounded[Key, set[Key]] = Bounded()

    def event(self, event: Event) -> None:
        if self._unless is not None and self._unless.matches(event):
            self._given_up(event)
        if self._not_then is not None and self._not_then.matches(event):
            self._went_on(event)
        if self._request.matches(event):
            self._asked(event)
        elif self._by.matches(event):
            self._answer(event)

    def _asked(self, event: Event) -> None:
        key = key_of(event, self._same)
        if key is None:
            return
        before = self._waiting.pop(key)
        frames: tuple[int, ...] = (event.number,)
        if before is not None and before.overdue:
            self.tell.passed(event.interface, (*before.frames, event.number))
        elif before is not None:
            frames = (*before.frames[-2:], event.number)
        deadline = event.t_ns + nanoseconds(self._within, event)
        patience = max(deadline, event.t_ns + nanoseconds(self._patience, event))
        self._waiting.set(key, _Request(event, frames, deadline, patience))
        self.at(deadline, key)
        if self._unless is not None:
            other = key_of(event, self._unless_same)
            if other is not None:
                keys = self._given_up_by.obtain(other, set)
                if len(keys) < _REMEMBERED:
                    keys.add(key)

    def _answer(self, event: Event) -> None:
        key = key_of(event, self._same)
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
        own = key_of(event, self._same)
        other = key_of(event, self._unless_same)
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
        other = key_of(event, self._unless_same)
        keys = None if other is None else self._given_up_by.get(other)
        for key in list(keys or ()):
            request = self._waiting.get(key)
            if request is not None and event.kind == request.event.kind and not request.overdue:
                continue  # the request itself, as another interface saw it
            if keys is not None:
                keys.discard(key)
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
        again = ", nor sent again or given up" if self._patience else ""
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


@dataclass(slots=True)
class _Credits:
    requests: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))


def asked(answer: Pattern, *, by: Pattern, within: Seconds, same: Same) -> Check:
    """Each `answer` has a request `by` at most `within` ahead of it, and each request has at most one answer.

    Unseen where the interface was captured for less than `within` before the answer and no request was seen so far.
    """
    return lambda tell, scene: _Asked(tell, scene, answer, by, within, same)


class _Asked(_Deadlines):
    def __init__(self, tell: Outcomes, scene: Scene, answer: Pattern, by: Pattern, within: Seconds, same: Same) -> None:
        super().__init__(tell, scene, answer, by)
        self._answer, self._by, self._within, self._same = answer, by, within, same
        self._credits: Bounded[Key, _Credits] = Bounded()

    def event(self, event: Event) -> None:
        key = key_of(event, self._same)
        if key is None:
            return
        if self._by.matches(event):
            self._credits.obtain(key, _Credits).requests.append((event.t_ns, event.number))
            return
        within = nanoseconds(self._within, event)
        known = self._credits.get(key)
        while known is not None and known.requests:
            t_ns, number = known.requests.popleft()
            if event.t_ns - t_ns <= within:
                self.tell.passed(event.interface, (number, event.number))
                return
        if known is None and self.scene.covered_ns(event) < within:
            self.tell.unseen(event.interface, "the capture began too late to show the request")
            return
        text = f"{event.kind} of {event.source} to {event.destination} (frame {event.number}) was not asked for"
        self.missing(event, text, (event.number,))

    def expire(self, key: Key, t_ns: int) -> None:
        """Nothing here has a deadline."""


@dataclass(slots=True)
class _Counted:
    event: Event
    deadline: int
    answers: list[int] = field(default_factory=list)


def exactly_once(answer: Pattern, *, per: Pattern, within: Seconds, same: Same) -> Check:
    """Each request `per` gets exactly one `answer` within `within`; a request repeated before its answer is one request."""
    return lambda tell, scene: _ExactlyOnce(tell, scene, answer, per, within, same)


class _ExactlyOnce(_Deadlines):
    def __init__(
        self, tell: Outcomes, scene: Scene, answer: Pattern, per: Pattern, within: Seconds, same: Same
    ) -> None:
        super().__init__(tell, scene, answer, per)
        self._per, self._within, self._same = per, within, same
        self._open: Bounded[Key, _Counted] = Bounded()

    def event(self, event: Event) -> None:
        key = key_of(event, self._same)
        if key is None:
            return
        counted = self._open.get(key)
        if self._per.matches(event):
            if counted is not None and counted.answers:
                self._judge(counted)
            deadline = event.t_ns + nanoseconds(self._within, event)
            self._open.set(key, _Counted(event, deadline))
            self.at(deadline, key)
        elif counted is not None:
            counted.answers.append(event.number)

    def _judge(self, counted: _Counted) -> None:
        event, answers = counted.event, counted.answers
        frames = (event.number, *answers[:4])
        if len(answers) == 1:
            self.tell.passed(event.interface, frames)
        elif answers:
            text = f"{event.kind} of {event.source} (frame {event.number}) got {len(answers)} answers"
            self.tell.failed(event.interface, text, frames)
        else:
            text = f"{event.kind} of {event.source} to {event.destination} (frame {event.number}) got no answer"
            self.missing(event, text, frames)

    def expire(self, key: Key, t_ns: int) -> None:
        counted = self._open.get(key)
        if counted is not None and counted.deadline == t_ns:
            self._open.pop(key)
            self._judge(counted)

    def finish(self, end_ns: int) -> None:
        super().finish(end_ns)
        for counted in self._open.values():
            self.tell.unseen(counted.event.interface, "the capture ends before the answer is due")


def same_answer(
    answer: Pattern,
    *,
    to: Pattern,
    same: Same,
    request_same: Same,
    within: Seconds,
    content: Callable[[Event], Hashable],
) -> Check:
    """A request `to` that comes again within `within` of its `answer` gets an answer of the same `content`.

    `same` is what a request and its answer have in common, `request_same` what makes two requests the same one.
    """
    return lambda tell, scene: _SameAnswer(tell, scene, answer, to, same, request_same, within, content)


class _SameAnswer(Checker):
    def __init__(
        self,
        tell: Outcomes,
        scene: Scene,
        answer: Pattern,
        to: Pattern,
        same: Same,
        request_same: Same,
        within: Seconds,
        content: Callable[[Event], Hashable],
    ) -> None:
        super().__init__(tell, scene, [answer, to])
        self._to, self._same, self._request_same = to, same, request_same
        self._within, self._content = within, content
        self._asked: Bounded[Key, tuple[Key, int]] = Bounded()
        self._given: Bounded[Key, tuple[Hashable, int, int]] = Bounded()

    def event(self, event: Event) -> None:
        key = key_of(event, self._same)
        if key is None:
            return
        if self._to.matches(event):
            request = key_of(event, self._request_same)
            if request is not None:
                self._asked.set(key, (request, event.t_ns))
            return
        asked_for = self._asked.get(key)
        if asked_for is None:
            return
        request, asked_ns = asked_for
        content = self._content(event)
        before = self._given.get(request)
        if before is not None:
            told, t_ns, number = before
            if t_ns < asked_ns <= t_ns + nanoseconds(self._within, event):
                if told == content:
                    self.tell.passed(event.interface, (number, event.number))
                else:
                    text = f"{event.kind} of {event.source} (frame {event.number}) says {content}, frame {number} said {told}"
                    self.tell.failed(event.interface, text, (number, event.number))
        self._given.set(request, (content, event.t_ns, event.number))
