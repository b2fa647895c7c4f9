"""When active members are asked: each a period after it was asked last, whenever it came."""

from __future__ import annotations

import pytest

from agents.core.agent import Endpoint
from agents.gmp.constants import MemberType
from agents.gmp.rounds import Rounds
from agents.gmp.session import Member

PERIOD = 0.5  # s


def member(user_id: int) -> Member:
    return Member(user_id, None, MemberType.PARTICIPANT, Endpoint("10.0.0.1", user_id))


@pytest.mark.parametrize("later", [0.0, 0.06, 0.27, 0.499])
def test_who_comes_later_is_asked_a_period_after_that(later: float) -> None:
    rounds, asked = Rounds(PERIOD), {1: [10.0], 2: [10.0 + later]}
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
        first, *others = [after - before for before, after in zip(times, times[1:], strict=False)]
        assert PERIOD * 0.88 < first < PERIOD * 1.001, "within a slot's width"
        assert others == pytest.approx([PERIOD] * len(others))
