"""What the simulated world carries: ten thousand mobile nodes for an hour, two hundred thousand for a minute."""

from __future__ import annotations

import pytest

from tests.bench.worlds import alone, for_a_while, for_an_hour

pytestmark = pytest.mark.timeout(1800)

FEW, MANY = 10_000, 200_000
MINUTE_S = 60.0
HOUR_MAXIMUM = 12.0  # times the processor time of a bare loop; 8.5 were measured, in shorter stretches up to 11
MOST_OF_FEW = 1.5  # of an event's time with many MNs, in proportion to that with few
GROWTH_MAXIMUM = 1.1  # of resident memory from the tenth minute to the end of the hour


def test_ten_thousand_nodes_for_an_hour() -> None:
    hour = alone(for_an_hour, FEW)
    print(
        f"\n{FEW} MNs, one virtual hour: {hour.whole.seconds:.1f} s, {hour.whole.ratio:.1f} times a bare loop's "
        f"(target {HOUR_MAXIMUM:g}); {hour.whole.events} events, {hour.whole.rate:.0f}/s; handovers {hour.handovers}; memory {hour.early_kib} KiB after 10 min, "
        f"{hour.late_kib} KiB after 60; {hour.early_pending} and {hour.late_pending} pending"
    )
    assert hour.not_held == []
    assert hour.late_kib <= hour.early_kib * GROWTH_MAXIMUM
    assert hour.whole.ratio <= HOUR_MAXIMUM


def test_two_hundred_thousand_nodes_for_a_minute() -> None:
    few, many = (alone(for_a_while, mns, MINUTE_S) for mns in (FEW, MANY))
    print(
        f"\nevents per second: {few.rate:.0f} with {FEW} MNs, {many.rate:.0f} with {MANY}; {few.ratio:.1f} and "
        f"{many.ratio:.1f} times a bare loop: {many.ratio / few.ratio:.2f} (target {MOST_OF_FEW:g}); "
        f"{many.seconds:.0f} s for a virtual minute"
    )
    assert many.ratio <= few.ratio * MOST_OF_FEW
