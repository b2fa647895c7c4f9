"""What the simulated world carries: ten thousand mobile nodes for an hour, two hundred thousand for a minute."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed.sim import invariants
from testbed.sim.mmcp import Plan, World
from testbed.sim.network import Faults
from testbed.simulate import without_collector

pytestmark = pytest.mark.timeout(1800)

FEW, MANY = 10_000, 200_000
MOVES_PER_MN_S = 0.1 / 60
MINUTE_S, HOUR_S = 60.0, 3600.0
HOUR_TARGET_S = 60.0
LEAST_OF_FEW = 2 / 3  # events per second with many MNs, in proportion to those with few
GROWTH_MAXIMUM = 1.1  # of resident memory from the tenth minute to the end of the hour


@dataclass(frozen=True, slots=True)
class Figures:
    events: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.events / self.seconds


def world_of(mns: int) -> World:
    """A world in which all MNs have joined."""
    world = World(Plan(mns, 10, 1, Faults(delay_s=0.005, jitter_s=0.005), moves_per_s=mns * MOVES_PER_MN_S))
    world.begin()
    world.run_for(world.plan.timers.srt_s + 1.0)
    return world


def measured(world: World, seconds: float) -> Figures:
    began, events = time.process_time(), world.events
    world.run_for(seconds)
    return Figures(world.events - events, time.process_time() - began)


def resident_kib() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def test_ten_thousand_nodes_for_an_hour() -> None:
    with without_collector():
        world = world_of(FEW)
        first = measured(world, 600.0)
        early, pending = resident_kib(), world.pending
        rest = measured(world, HOUR_S - 600.0)
        late = resident_kib()
        seconds = first.seconds + rest.seconds
        before = invariants.counters(world)
        world.calm()
        verdicts = invariants.check(world, before)
    print(
        f"\n{FEW} MNs, one virtual hour: {seconds:.1f} s (target {HOUR_TARGET_S:g}), "
        f"{first.events + rest.events} events, {(first.events + rest.events) / seconds:.0f}/s; handovers "
        f"{world.handovers}; memory {early} KiB after 10 min, {late} KiB after 60; {pending} and {world.pending} pending"
    )
    assert [verdict for verdict in verdicts if verdict.outcome != invariants.HELD] == []
    assert late <= early * GROWTH_MAXIMUM
    assert seconds <= HOUR_TARGET_S


def test_two_hundred_thousand_nodes_for_a_minute() -> None:
    with without_collector():
        few = measured(world_of(FEW), MINUTE_S)
        many = measured(world_of(MANY), MINUTE_S)
    print(
        f"\nevents per second: {few.rate:.0f} with {FEW} MNs, {many.rate:.0f} with {MANY}: "
        f"{many.rate / few.rate:.2f} (target {LEAST_OF_FEW:.2f}); {many.seconds:.0f} s for a virtual minute"
    )
    assert many.rate >= few.rate * LEAST_OF_FEW
