"""Worlds that are measured, each in a process of its own: what other measurements leave in memory slows every step down."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from testbed.mmcp.simulate import HANDOVER
from testbed.mmcp.world import Plan, World
from testbed.sim.command import without_collector
from testbed.sim.faults import Faults
from testbed.sim.world import HELD, Verdict

MOVES_PER_MN_S = 0.1 / 60
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Figures:
    """What was done, and in how much processor time (s)."""

    events: int
    seconds: float

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds


@dataclass(frozen=True, slots=True)
class Hour:
    """A virtual hour: resident memory (KiB) and what was to come after ten minutes and at the end, and who was judged how."""

    whole: Figures
    early_kib: int
    late_kib: int
    early_pending: int
    late_pending: int
    handovers: dict[str, int]
    not_held: list[Verdict]


def alone(measurement: Callable[..., Result], *arguments: Any) -> Result:
    """The result of a measurement in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        return processes.submit(measurement, *arguments).result()


def for_a_while(mns: int, seconds: float) -> Figures:
    """Some virtual seconds of a world in which all MNs have joined."""
    with without_collector():
        return _measured(_world_of(mns), seconds)


def for_an_hour(mns: int) -> Hour:
    """A virtual hour of a world in which all MNs have joined."""
    with without_collector():
        world = _world_of(mns)
        first = _measured(world, 600.0)
        early, pending = _resident_kib(), world.pending
        rest = _measured(world, 3000.0)
        late, handovers = _resident_kib(), dict(world.handovers)
        late_pending, before = world.pending, world.counters()
        world.calm()
        verdicts = HANDOVER.check(world, before)
    return Hour(
        Figures(first.events + rest.events, first.seconds + rest.seconds),
        early,
        late,
        pending,
        late_pending,
        handovers,
        [verdict for verdict in verdicts if verdict.outcome != HELD],
    )


def _world_of(mns: int) -> World:
    world = World(Plan(mns, 10, 1, Faults(delay_s=0.005, jitter_s=0.005), moves_per_s=mns * MOVES_PER_MN_S))
    world.begin()
    world.run_for(world.plan.timers.srt_s + 1.0)
    return world


def _measured(world: World, seconds: float) -> Figures:
    began, events = time.process_time(), world.events
    world.run_for(seconds)
    return Figures(world.events - events, time.process_time() - began)


def _resident_kib() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])
