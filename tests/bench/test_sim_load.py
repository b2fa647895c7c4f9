"""What the simulated world carries: ten thousand mobile nodes for an hour, two hundred thousand for a minute."""

from __future__ import annotations

import pytest

from tests.bench.worlds import alone, for_a_while, for_an_hour

pytestmark = pytest.mark.timeout(1800)

FEW, MANY = 10_000, 200_000
MINUTE_S = 60.0
HOUR_TARGET_S = 60.0
LEAST_OF_FEW = 2 / 3  # events per second with many MNs, in proportion to those with few
GROWTH_MAXIMUM = 1.1  # of resident memory from the tenth minute to the end of the hour


def test_ten_thousand_nodes_for_an_hour() -> None:
    hour = alone(for_an_hour, FEW)
    seconds = hour.whole.seconds
    print(
        f"\n{FEW} MNs, one virtual hour: {seconds:.1f} s (target {HOUR_TARGET_S:g}), {hour.whole.events} events, "
        f"{hour.whole.rate:.0f}/s; handovers {hour.handovers}; memory {hour.early_kib} KiB after 10 min, "
        f"{hour.late_kib} KiB after 60; {hour.early_pending} and {hour.late_pending} pending"
    )
    assert hour.not_held == []
    assert hour.late_kib <= hour.early_kib * GROWTH_MAXIMUM
    assert seconds <= HOUR_TARGET_S


def test_two_hundred_thousand_nodes_for_a_minute() -> None:
    few, many = (alone(for_a_while, mns, MINUTE_S) for mns in (FEW, MANY))
    print(
        f"\nevents per second: {few.rate:.0f} with {FEW} MNs, {many.rate:.0f} with {MANY}: "
        f"{many.rate / few.rate:.2f} (target {LEAST_OF_FEW:.2f}); {many.seconds:.0f} s for a virtual minute"
    )
    assert many.rate >= few.rate * LEAST_OF_FEW
