"""Worlds that are measured, each in a process of its own: what other measurements leave in memory slows every step down."""

from __future__ import annotations

import math
import multiprocessing
import random
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from heapq import heapify, heapreplace
from pathlib import Path
from typing import Any, TypeVar

from testbed.mmcp.simulate import HANDOVER
from testbed.mmcp.world import Plan, World
from testbed.sim.command import without_collector
from testbed.sim.faults import Faults
from testbed.sim.world import HELD, Verdict

MOVES_PER_MN_S = 0.1 / 60
TURN_S = 10.0  # of virtual time, between two of the bare loop
PENDING = 10_000  # entries of the bare loop
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Figures:
    """What was done, in how much processor time (s), and in how much a bare loop took as many events out of a heap."""

    events: int
    seconds: float
    bare_seconds: float

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds

    @property
    def ratio(self) -> float:
        """How many times as long as the bare loop it took."""
        return self.seconds / self.bare_seconds


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
        return _measured(_world_of(mns), seconds, BareLoop(PENDING))


def for_an_hour(mns: int) -> Hour:
    """A virtual hour of a world in which all MNs have joined."""
    with without_collector():
        world, bare = _world_of(mns), BareLoop(PENDING)
        first = _measured(world, 600.0, bare)
        early, pending = _resident_kib(), world.pending
        rest = _measured(world, 3000.0, bare)
        late, handovers = _resident_kib(), dict(world.handovers)
        late_pending, before = world.pending, world.counters()
        world.calm()
        verdicts = HANDOVER.check(world, before)
    return Hour(
        Figures(first.events + rest.events, first.seconds + rest.seconds, first.bare_seconds + rest.bare_seconds),
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


class BareLoop:
    """What any world in virtual time does at least: the next of ``pending`` entries is taken out of a heap, what it calls
    does nothing, and it is put back for later.

    It is the yardstick for a world's speed, whatever machine this is and whatever else runs on it.
    """

    def __init__(self, pending: int) -> None:
        chance = random.Random(1).random
        self._delays = [chance() for _ in range(9973)]
        self._heap = [(chance(), number, self._nothing) for number in range(pending)]
        heapify(self._heap)

    @staticmethod
    def _nothing() -> None:
        pass

    def run(self, events: int) -> None:
        """Let so many things happen."""
        heap, delays = self._heap, self._delays
        count = len(delays)
        for number in range(events):
            time, index, what = heap[0]
            what()
            heapreplace(heap, (time + delays[number % count], index, what))


def _measured(world: World, seconds: float, bare: BareLoop) -> Figures:
    """Turn by turn with the bare loop, so that both meet the same machine."""
    events, taken, bare_taken = world.events, 0.0, 0.0
    for _ in range(math.ceil(seconds / TURN_S)):
        before, began = world.events, time.process_time()
        world.run_for(TURN_S)
        between = time.process_time()
        bare.run(world.events - before)
        taken += between - began
        bare_taken += time.process_time() - between
    return Figures(world.events - events, taken, bare_taken)


def _resident_kib() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])
