"""Every operator of the rule language: what passes it, what fails it, and what it cannot tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from captures.history.events import Event
from captures.rules.coverage import Coverage
from captures.rules.findings import Outcomes
from captures.rules.language import ANYWHERE, Check, Pattern, Unseen, key_of, on
from captures.rules.operator_answered import Answered
from captures.rules.operators import Asked, Holds, SameAnswer
from captures.rules.operators_time import AtMost, InOrder, NeverBefore, Periodic
from captures.wire.bounded import STATE_MAX, Bounded

SECOND = 1_000_000_000
NOON_S = 100_000  # stories are told from here on: no time of a capture is below zero
Story = Sequence[tuple[float, str] | tuple[float, str, dict[str, Any]]]
ASK, ANSWER, GIVE_UP, OTHER = on("p", "ask"), on("p", "answer"), on("p", "give-up"), on("p", "other")


def event(number: int, at_s: float, kind: str, **more: Any) -> Event:
    """An "ask" and what is not an "answer" goes from a to b, an "answer" back; `at` is the interface."""
    source, destination = ("b", "a") if kind == "answer" else ("a", "b")
    interface = more.pop("at", "eth0")
    fields = {"mac": "", "ports": (1, 2) if source == "a" else (2, 1), **more}
    protocol = "step" if kind in ("link_down", "link_up") else "p"
    return Event(number, round((NOON_S + at_s) * SECOND), interface, protocol, kind, source, destination, fields)


class Counted(Outcomes):
    """Outcomes that count how often something passed, failed and was unseen."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = [0, 0, 0]

    def passed(self, subject: str, frames: Iterable[int]) -> None:
        super().passed(subject, frames)
        self.counts[0] += 1

    def failed(self, subject: str, text: str, frames: Iterable[int]) -> None:
        super().failed(subject, text, frames)
        self.counts[1] += 1

    def unseen(self, subject: str, text: str) -> None:
        super().unseen(subject, text)
        self.counts[2] += 1


def told(check: Check, story: Story, *, end_s: float = 1000, began_s: float = -1000) -> tuple[int, int, int]:
    """How often the check passed, failed and could not tell."""
    outcomes, coverage = Counted(), Coverage()
    coverage.began = dict.fromkeys(("eth0", "eth1"), round((NOON_S + began_s) * SECOND))
    checker = check(outcomes, coverage)
    for number, (at_s, kind, *more) in enumerate(story, 1):
        happened = event(number, at_s, kind, **dict(more[0] if more else {}))
        coverage.note(happened)
        checker.advance(happened.t_ns)
        if any(pattern.matches(happened) for pattern in checker.patterns):
            checker.event(happened)
    checker.finish(round((NOON_S + end_s) * SECOND))
    passed, failed, unseen = outcomes.counts
    return passed, failed, unseen


PASSED, FAILED, UNSEEN, NOTHING = (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)
# The answerer was heard here at all, without which its silence says nothing.
HEARD = (-1.0, "answer")

ANSWERED = Answered(request=ASK, by=ANSWER, within=1, same=("conversation",))
PATIENT = Answered(
    request=ASK, by=ANSWER, within=1, same=("conversation",), patience=5, unless=GIVE_UP, unless_same=(ANYWHERE, "who")
)
VOID = Answered(request=ASK, by=ANSWER, within=1, same=("conversation",), void=on("p", "nobody"))
GOES_ON = Answered(
    request=ASK,
    by=ANSWER,
    within=1,
    same=("conversation",),
    patience=5,
    unless=GIVE_UP,
    unless_same=(ANYWHERE, "who"),
    not_then=OTHER,
)
ME, YOU = {"who": "me"}, {"who": "you"}


@pytest.mark.parametrize(
    ("check", "story", "expected"),
    [
        (ANSWERED, [(0, "ask"), (0.5, "answer")], PASSED),
        (ANSWERED, [(0, "ask"), (1.0, "answer")], PASSED),
        (ANSWERED, [HEARD, (0, "ask"), (1.1, "other")], FAILED),
        (ANSWERED, [HEARD, (0, "ask")], FAILED),
        (ANSWERED, [(0, "ask"), (2, "other")], UNSEEN),
        (ANSWERED, [HEARD, (999.5, "ask")], UNSEEN),
        (ANSWERED, [(0, "ask"), (0.9, "ask"), (1.8, "answer")], PASSED),
        (ANSWERED, [(0, "ask"), (0.5, "answer", {"at": "eth1"})], UNSEEN),
        (ANSWERED, [(0, "ask"), (0.5, "answer", {"ports": (2, 7)})], FAILED),
        (ANSWERED, [(0, "answer")], NOTHING),
        (PATIENT, [HEARD, (0, "ask", ME), (3, "ask", ME), (3.5, "answer")], (2, 0, 0)),
        (PATIENT, [HEARD, (0, "ask", ME), (3, "give-up", ME)], PASSED),
        (PATIENT, [HEARD, (0, "ask", ME), (3, "give-up", {**ME, "at": "eth1"})], PASSED),
        (PATIENT, [HEARD, (0, "ask", ME), (0.5, "give-up", ME)], UNSEEN),
        (PATIENT, [HEARD, (0, "ask", ME), (3, "give-up", YOU)], FAILED),
        (PATIENT, [HEARD, (0, "ask", ME), (5.5, "give-up", ME)], FAILED),
        (PATIENT, [HEARD, (0, "ask", ME), (3, "answer")], FAILED),
        (PATIENT, [HEARD, (996, "ask", ME)], UNSEEN),
        (VOID, [HEARD, (0, "ask"), (0.1, "nobody")], UNSEEN),
        (VOID, [HEARD, (0, "ask"), (0.1, "nobody", {"ports": (8, 9)})], FAILED),
        (VOID, [HEARD, (0, "ask"), (0.1, "answer"), (0.2, "nobody")], PASSED),
        (GOES_ON, [HEARD, (0, "ask", ME), (3, "other", {**ME, "ports": (5, 6)})], FAILED),
        (GOES_ON, [HEARD, (0, "ask", ME), (0.5, "answer"), (3, "other", {**ME, "ports": (5, 6)})], PASSED),
        (GOES_ON, [HEARD, (0, "ask", ME), (2, "give-up", ME), (3, "other", {**ME, "ports": (5, 6)})], PASSED),
        (GOES_ON, [HEARD, (997, "ask", ME), (998.5, "other", ME)], UNSEEN),  # of the same conversation
    ],
)  # fmt: skip
def test_answered(check: Check, story: Story, expected: tuple[int, int, int]) -> None:
    assert told(check, story) == expected


def test_many_requests_given_up_one_after_the_other_are_all_known() -> None:
    check = Answered(
        request=ASK,
        by=ANSWER,
        within=1,
        same=("conversation",),
        patience=3,
        unless=GIVE_UP,
        unless_same=(ANYWHERE, "who"),
    )
    story: list[tuple[float, str, dict[str, Any]]] = []
    for number in range(40):
        answered_ = number % 2 == 0
        story.append((10.0 * number, "ask", {**ME, "ports": (number, 2)}))
        story.append(
            (
                10.0 * number + (0.5 if answered_ else 2),
                "answer" if answered_ else "give-up",
                {**ME, "ports": (2, number)},
            )
        )
    assert told(check, story) == (40, 0, 0)


def test_requests_that_are_given_up_together_are_told_in_the_order_they_were_asked() -> None:
    """Not in that of a set, which another run would have otherwise."""
    outcomes, coverage = Outcomes(), Coverage()
    checker = PATIENT(outcomes, coverage)
    interfaces = [f"eth{number}" for number in (3, 1, 4, 5, 9, 2, 6, 8)]
    for number, interface in enumerate(interfaces):
        checker.event(event(number, 0, "ask", at=interface, **ME))
    checker.advance(round((NOON_S + 2) * SECOND))
    checker.event(event(9, 3, "give-up", **ME))
    assert [finding.subject for finding in outcomes.findings()] == interfaces


def test_a_request_that_another_interface_sees_too_does_not_excuse_itself() -> None:
    check = Answered(
        request=ASK, by=ANSWER, within=1, same=("conversation",), patience=2, unless=ASK, unless_same=(ANYWHERE, "who")
    )
    both: Story = [HEARD, (0, "ask", ME), (0.001, "ask", {**ME, "at": "eth1"}), (0.01, "answer", {"at": "eth1"})]
    assert told(check, both) == (1, 1, 0)
    assert told(check, [*both, (1.5, "ask", {**ME, "at": "eth1"})], end_s=2) == (2, 0, 1)


ASKED = Asked(answer=ANSWER, by=ASK, within=2, same=("conversation",))


@pytest.mark.parametrize(
    ("story", "expected", "began_s"),
    [
        ([(0, "ask"), (2, "answer")], PASSED, -9),
        ([(0, "ask"), (2.1, "answer")], FAILED, -9),
        ([(0, "ask"), (1, "answer"), (1.1, "answer")], (1, 1, 0), -9),
        ([(0, "ask"), (0.1, "ask"), (1, "answer"), (1.1, "answer")], (2, 0, 0), -9),
        ([(1, "answer"), (2, "ask")], FAILED, -9),
        ([(1, "answer")], UNSEEN, -9),  # nothing was ever heard from the one who must have asked
        ([(1, "answer"), (2, "ask")], UNSEEN, 0),
        ([(0.1, "ask"), (0.2, "answer"), (0.3, "answer")], (1, 1, 0), 0),
    ],
)
def test_asked(story: Story, expected: tuple[int, int, int], began_s: float) -> None:
    assert told(ASKED, story, began_s=began_s) == expected


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ([(0, "ask", ME), (1, "answer", {"says": 1}), (2, "ask", ME), (3, "answer", {"says": 1})], PASSED),
        ([(0, "ask", ME), (1, "answer", {"says": 1}), (2, "ask", ME), (3, "answer", {"says": 2})], FAILED),
        ([(0, "ask", ME), (1, "answer", {"says": 1}), (2, "ask", YOU), (3, "answer", {"says": 2})], NOTHING),
        ([(0, "ask", ME), (1, "answer", {"says": 1}), (20, "ask", ME), (21, "answer", {"says": 2})], NOTHING),
        ([(0, "answer", {"says": 1})], NOTHING),
        ([(0, "ask", ME), (1, "answer", {"says": 1}), (2, "other"), (3, "ask", ME), (4, "answer", {"says": 2})], NOTHING),
        ([(0, "other"), (1, "ask", ME), (2, "answer", {"says": 1}), (3, "ask", ME), (4, "answer", {"says": 2})], FAILED),
    ],
)  # fmt: skip
def test_same_answer(story: Story, expected: tuple[int, int, int]) -> None:
    check = SameAnswer(
        answer=ANSWER, to=ASK, same=("conversation",), request_same=("conversation", "who"), within=5,
        content=lambda happened: happened.fields.get("says"), reset=OTHER,
    )  # fmt: skip
    assert told(check, story) == expected


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ([(1, "other")], NOTHING),
        ([(0, "give-up"), (1, "other")], FAILED),
        ([(0, "give-up"), (1, "ask"), (2, "other")], PASSED),
        ([(0, "give-up"), (1, "ask"), (2, "give-up"), (3, "other")], FAILED),
        ([(0, "ask"), (1, "other")], NOTHING),
    ],
)
def test_never_before_since(story: Story, expected: tuple[int, int, int]) -> None:
    assert told(NeverBefore(event=OTHER, first=ASK, same=("source",), since=GIVE_UP), story) == expected


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ([(0, "give-up"), (1, "ask"), (2, "give-up"), (3, "other")], PASSED),
        ([(0, "give-up"), (1, "ask"), (2, "answer"), (3, "give-up"), (4, "other")], FAILED),
        ([(0, "give-up"), (1, "other")], FAILED),
    ],
)
def test_never_before_since_the_first(story: Story, expected: tuple[int, int, int]) -> None:
    check = NeverBefore(event=OTHER, first=ASK, same=("peers",), since=GIVE_UP, forget=ANSWER)
    assert told(check, story) == expected


ORDER = InOrder(order=(ASK, ANSWER, OTHER), same=("peers",), within=10)


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ([(0, "ask"), (1, "answer"), (2, "other")], PASSED),
        ([(0, "ask"), (1, "other")], FAILED),
        ([(0, "ask"), (1, "answer"), (1.5, "answer"), (2, "other")], PASSED),
        ([(0, "ask"), (1, "answer"), (1.5, "ask"), (2, "other")], FAILED),
        ([(0, "answer"), (1, "other")], NOTHING),
        ([(0, "ask"), (11, "other")], NOTHING),
        ([(0, "ask"), (1, "answer")], NOTHING),
    ],
)
def test_in_order(story: Story, expected: tuple[int, int, int]) -> None:
    assert told(ORDER, story) == expected


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ([(0, "ask"), (0.5, "ask")], (2, 0, 0)),
        ([(0, "ask"), (0.5, "ask"), (1, "ask")], (2, 1, 0)),
        ([(0, "ask"), (0.5, "ask"), (1.1, "ask")], (3, 0, 0)),
        ([(0, "ask"), (0.5, "ask"), (0.6, "give-up"), (1, "ask")], (3, 0, 0)),
        ([(0, "ask"), (0.5, "ask"), (1, "ask", {"at": "eth1"})], (3, 0, 0)),
        ([(0, "other")], NOTHING),
    ],
)
def test_at_most(story: Story, expected: tuple[int, int, int]) -> None:
    assert told(AtMost(count=2, pattern=ASK, per=1, same=("peers",), reset=GIVE_UP), story) == expected


def every(*times: float) -> Story:
    return [(at_s, "ask") for at_s in times]


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        (every(0, 1, 2.05, 3), (3, 0, 0)),
        (every(0, 1, 3), (1, 1, 0)),
        (every(0, 1, 1.5), (1, 1, 0)),
        (every(0, 1, 1.02, 2), (2, 0, 0)),  # two in a row are one
        ([*every(0, 1), (1.5, "give-up"), *every(2.5)], (2, 0, 0)),
        ([*every(0, 1), (1.5, "give-up"), *every(2.8)], (1, 1, 0)),
        ([*every(0, 1), (1.5, "give-up"), *every(1.6, 2), *every(3)], (4, 0, 0)),
        ([*every(0, 1), (1.5, "give-up"), *every(1.6, 3)], (2, 1, 0)),
        ([*every(0, 1), (1.5, "link_down"), *every(5, 6)], (2, 0, 0)),
        (every(0), NOTHING),
    ],
)
def test_periodic(story: Story, expected: tuple[int, int, int]) -> None:
    check = Periodic(pattern=ASK, period=1, same=("source",), burst=0.05, restart=GIVE_UP)
    assert told(check, story) == expected


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ([*every(0, 1, 2), (2.9, "other")], (2, 0, 0)),
        ([*every(0, 1, 2), (3.3, "other")], (2, 1, 0)),  # it speaks to the same peer, and no more of these
        ([*every(0, 1, 2), (3.3, "other", {"at": "eth1"})], (2, 0, 0)),
        ([*every(0, 1, 2), (9, "answer")], (2, 0, 0)),  # it may be gone
        ([*every(0, 1, 2), (3, "give-up"), (4, "other")], (2, 0, 0)),
        ([*every(0, 1, 2), (3, "link_down"), (9, "other")], (2, 0, 0)),
    ],
)
def test_periodic_ceases(story: Story, expected: tuple[int, int, int]) -> None:
    check = Periodic(pattern=ASK, period=1, same=("source",), burst=0.05, restart=GIVE_UP)
    assert told(check, story) == expected


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        (every(0, 2, 4, 6, 8, 10, 12), (6, 0, 0)),
        (every(0, 2, 4, 6, 10, 12, 14), (5, 1, 0)),
        (every(0, 2, 4, 6), (3, 0, 0)),
        (every(0, 2, 4), UNSEEN),
    ],
)
def test_periodic_learns_its_period(story: Story, expected: tuple[int, int, int]) -> None:
    assert told(Periodic(pattern=ASK, period=None, same=("source",)), story) == expected


def test_periodic_with_a_period_that_the_event_tells_and_only_late() -> None:
    check = Periodic(
        pattern=ASK, period=lambda happened: float(happened.fields["every"]), same=("source",), only_late=True
    )
    story = [(0, "ask", {"every": 5}), (1, "ask", {"every": 1}), (2, "ask", {"every": 1}), (4, "ask", {"every": 1})]
    assert told(check, story) == (2, 1, 0)


@pytest.mark.parametrize(("says", "expected"), [(None, PASSED), ("wrong", FAILED), (Unseen("nobody knows"), UNSEEN)])
def test_holds(says: str | None, expected: tuple[int, int, int]) -> None:
    assert told(Holds(ASK, lambda _event: says), [(0, "ask"), (1, "other")]) == expected


def test_words_of_a_key() -> None:
    there, back = event(1, 0, "ask", who="me"), event(2, 0, "answer")
    assert key_of(there, ("conversation",)) == key_of(back, ("conversation",))
    assert key_of(there, ("peers",)) == key_of(back, ("peers",))
    assert key_of(there, ("source", "destination", "who")) == ("eth0", "a", "b", "me")
    assert key_of(there, (ANYWHERE, "who")) == ("me",)
    assert key_of(there, (lambda happened: happened.kind,)) == ("eth0", "ask")
    assert key_of(back, ("who",)) is None


def test_patterns_know_protocol_kind_and_more() -> None:
    happened = event(1, 0, "ask", who="me")
    assert on("p").matches(happened)
    assert not on("q").matches(happened)
    assert not on("p", "answer").matches(happened)
    assert Pattern("p", frozenset(), lambda one: one.fields["who"] == "me").matches(happened)
    assert not on("p", "ask", where=lambda one: one.fields["who"] == "you").matches(happened)


def test_state_is_bounded_and_what_is_forgotten_counted() -> None:
    outcomes, coverage = Outcomes(), Coverage()
    coverage.began = {"eth0": 0}
    checker = ASKED(outcomes, coverage)
    for number in range(STATE_MAX + 100):
        checker.event(event(number, 0, "ask", ports=(number, 2)))
    assert checker.evicted == 100
    last = event(9, 1, "answer", ports=(2, STATE_MAX + 99))
    coverage.note(last)
    checker.event(last)
    assert [finding.verdict for finding in outcomes.findings()] == ["passed"]


def test_what_was_used_last_is_kept() -> None:
    bounded: Bounded[int, int] = Bounded(limit=2)
    for key in (1, 2):
        bounded.set(key, key)
    bounded.get(1)
    bounded.set(3, 3)
    assert (bounded.keys(), bounded.values(), bounded.evicted) == ([1, 3], [1, 3], 1)


def test_findings_count_and_show_the_first_of_many() -> None:
    outcomes = Outcomes()
    for number in range(100):
        outcomes.failed("eth0", f"wrong {number}", [number])
        outcomes.passed("eth0", [number])
    (finding,) = outcomes.findings()
    assert (finding.verdict, finding.frames) == ("failed", tuple(range(20)))
    assert finding.message == "100 of 200: wrong 0; wrong 1; wrong 2 (and 97 more)"
