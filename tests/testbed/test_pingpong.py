"""How far apart the handovers of the back-and-forth lab are, and what is said of it."""

from __future__ import annotations

import pytest

from testbed.mmcp.results import SessionMeasurements
from testbed.run.options import Values
from topologies.pingpong import TOPOLOGY, judge_rounds, planned_round_ms


def judged(*begins_ms: int) -> SessionMeasurements:
    measurements = SessionMeasurements()
    judge_rounds([1_000_000 * each for each in begins_ms], 400.0, measurements)
    return measurements


def test_a_round_takes_400_ms_unless_asked_otherwise() -> None:
    assert planned_round_ms(Values({each.name: each.parse(str(each.default)) for each in TOPOLOGY.options})) == 400.0


def test_rounds_as_planned_are_noted() -> None:
    measurements = judged(0, 410, 815, 2_000)  # one slow round is none of the lab's doing
    assert measurements.notes == ["handovers 410 ms apart (405 to 1185), planned 400 ms"]
    assert measurements.failures == []


@pytest.mark.parametrize("begins", [(0, 600, 1_200), (0, 300, 600)])
def test_rounds_too_slow_or_too_fast_fail(begins: tuple[int, ...]) -> None:
    (failure,) = judged(*begins).failures
    assert "planned 400 ms" in failure


def test_one_handover_has_no_round() -> None:
    assert judged(5).notes == judged(5).failures == []
