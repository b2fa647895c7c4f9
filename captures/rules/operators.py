"""The operators of the rule language: each makes a check. What all have in common stands in `captures.rules.language`.

`answered` is in `captures.rules.operator_answered`, the last four are in `captures.rules.operators_time`.

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

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from captures.history.events import Event
from captures.rules.deadlines import NOBODY_THERE, Deadlines
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
    key_of,
    nanoseconds,
)

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


@dataclass(slots=True)
class _Credits:
    requests: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))


def asked(answer: Pattern, *, by: Pattern, within: Seconds, same: Same) -> Check:
    """Each `answer` has a request `by` at most `within` ahead of it, and each request has at most one answer.

    Unseen where the interface was captured for less than `within` before the answer and no request was seen so far.
    """
    return lambda tell, scene: _Asked(tell, scene, answer, by, within, same)


class _Asked(Deadlines):
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


def exactly_once(answer: Pattern, *, per: Pattern, within: Seconds, same: Same, void: Pattern | None = None) -> Check:
    """Each request `per` gets exactly one `answer` within `within`; a request repeated before its answer is one request.

    `void` is as that of `answered`.
    """
    return lambda tell, scene: _ExactlyOnce(tell, scene, answer, per, within, same, void)


class _ExactlyOnce(Deadlines):
    def __init__(
        self,
        tell: Outcomes,
        scene: Scene,
        answer: Pattern,
        per: Pattern,
        within: Seconds,
        same: Same,
        void: Pattern | None,
    ) -> None:
        super().__init__(tell, scene, answer, per, void)
        self._void = void
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
        elif self._void is not None and self._void.matches(event):
            if counted is not None and not counted.answers:
                self._open.pop(key)
                self.tell.unseen(event.interface, NOBODY_THERE)
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
                elif self.scene.silenced(event.source, t_ns):
                    self.tell.unseen(event.interface, "who answers was made silent meanwhile, and may have forgotten")
                else:
                    text = f"{event.kind} of {event.source} (frame {event.number}) says {content}, frame {number} said {told}"
                    self.tell.failed(event.interface, text, (number, event.number))
        self._given.set(request, (content, event.t_ns, event.number))
