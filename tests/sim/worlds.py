"""Small worlds with short timers, so that a run with its quiet takes some ten milliseconds."""

from __future__ import annotations

from typing import Any

from agents.mmcp.timing import Timers
from testbed.mmcp.simulate import HANDOVER
from testbed.mmcp.world import Plan, World
from testbed.sim.faults import Faults
from testbed.sim.world import BROKEN, Verdict

TIMERS = Timers(jwt_s=0.5, join_retries=10, srt_s=1.0, hit_s=0.4, ctt_s=0.1, linger_s=0.5)
ROUGH = Faults(delay_s=0.005, jitter_s=0.01, loss=0.1, duplication=0.05, reordering=0.05, held_back_s=0.05)


def plan(seed: int = 1, **changes: Any) -> Plan:
    given: dict[str, Any] = {
        "mns": 20, "cells": 4, "seed": seed, "faults": ROUGH, "moves_per_s": 4.0, "timers": TIMERS,
    }  # fmt: skip
    return Plan(**{**given, **changes})


def ran(wanted: Plan, seconds: float = 8.0) -> World:
    world = World(wanted)
    world.begin()
    world.run_for(seconds)
    return world


def judged(world: World) -> list[Verdict]:
    before = world.counters()
    world.calm()
    return HANDOVER.check(world, before)


def broken(verdicts: list[Verdict]) -> dict[str, tuple[str, ...]]:
    return {verdict.invariant: verdict.seen for verdict in verdicts if verdict.outcome == BROKEN}
