"""When members are asked: once in a period each, spread over it however they came."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from agents.core.agent import Endpoint
from agents.gmp.constants import MemberType
from agents.gmp.rounds import Rounds
from agents.gmp.session import Member

PERIOD, SHORT = 5.0, 0.5  # s


def member(number: int) -> Member:
    return Member(number, None, MemberType.PARTICIPANT, Endpoint("10.0.0.1", number))


def course(rounds: Rounds, begin: float, end: float) -> list[tuple[float, int]]:
    """Who is asked when, by a timer that is set as the server sets it."""
    found = []
    while (due := rounds.next_time) is not None and due < end:
        found += [(max(due, begin), each.user_id) for each in rounds.due(max(due, begin))]
    return found


def test_members_that_come_at_one_moment_are_spread_over_the_period() -> None:
    rounds = Rounds(PERIOD)
    for number in range(1, 2001):
        rounds.add(member(number), 100.0)
    asked = course(rounds, 100.0, 105.01)
    assert {user for _, user in asked} == set(range(1, 2001))
    assert max(Counter(round(time, 1) for time, _ in asked).values()) <= 2000 / PERIOD / 10 * 4
    again = course(rounds, 105.01, 110.01)
    last = {user: time for time, user in asked}
    assert len(again) == 2000
    assert all(time - last[user] == pytest.approx(PERIOD) for time, user in again)


def test_nobody_waits_longer_than_a_period() -> None:
    random, rounds, now = Random(1), Rounds(PERIOD), 50.0
    last: dict[int, float] = {}
    members: dict[int, Member] = {}
    for number in range(1, 3000):
        now += random.choice((0.0, 0.001, 0.05))
        due = rounds.next_time
        if due is not None and due <= now:
            for each in rounds.due(now):
                assert now - last[each.user_id] <= PERIOD + 0.06, each.user_id  # the course's own steps
                last[each.user_id] = now
        if members and not random.randrange(3):
            gone = members.pop(random.choice(list(members)))
            rounds.remove(gone)
            del last[gone.user_id]
        members[number] = member(number)
        rounds.add(members[number], now)
        last[number] = now
    assert len(rounds) == len(members)
    assert all(now - time <= PERIOD + 0.06 for time in last.values())


def test_member_that_comes_before_the_timer_has_it_set_anew() -> None:
    rounds = Rounds(PERIOD)
    rounds.add(member(1), 100.0)
    assert rounds.is_early
    rounds.awaited, rounds.is_early = 105.0, False
    rounds.add(member(2), 101.0)
    assert not rounds.is_early
    for number in range(3, 1000):
        rounds.add(member(number), 101.0)
    assert rounds.is_early


def test_machine_that_slept_asks_nobody_twice_for_it() -> None:
    rounds = Rounds(PERIOD)
    for number in range(1, 11):
        rounds.spread(member(number), 100.0)
    assert len(rounds.due(10_000.0)) <= 20
    assert rounds.next_time is not None
    assert rounds.next_time > 10_000.0 - PERIOD


def test_other_period_keeps_everybody() -> None:
    rounds = Rounds(PERIOD)
    for number in range(1, 11):
        rounds.add(member(number), 100.0)
    rounds.pace(1.0)
    assert {user for _, user in course(rounds, 100.0, 107.0)} == set(range(1, 11))


@pytest.mark.parametrize("later", [0.0, 0.06, 0.27, 0.499])
def test_who_comes_later_is_asked_a_period_after_that(later: float) -> None:
    rounds, asked = Rounds(SHORT), {1: [10.0], 2: [10.0 + later]}
    rounds.add(member(1), 10.0)
    rounds.add(member(2), 10.0 + later)
    now = 10.0
    while now < 12.0:
        due = rounds.next_time
        assert due is not None
        now = max(now, due)
        for each in rounds.due(now):
            asked[each.user_id].append(now)
    for times in asked.values():
        first, *others = [after - before for before, after in pairwise(times)]
        assert SHORT * 0.88 < first < SHORT * 1.001, "within a slot's width"
        assert others == pytest.approx([SHORT] * len(others))


def test_who_is_due_is_not_passed_over_when_another_comes_first() -> None:
    rounds = Rounds(PERIOD)
    rounds.add(member(1), 0.0)
    rounds.add(member(2), PERIOD)
    assert 1 in {each.user_id for each in rounds.due(PERIOD)}
