"""MMCP in virtual time: many mobile nodes that walk from cell to cell."""

from __future__ import annotations

from collections.abc import Mapping

from testbed.mmcp import incidents, invariants
from testbed.mmcp.world import Plan, World
from testbed.run.options import OptionError, Values, duration_option, number_option
from testbed.sim.command import rate_option
from testbed.sim.faults import Faults
from testbed.sim.world import Figure, Simulation

OPTIONS = (
    number_option("mns", "Mobile nodes", "1000", 1, 1_000_000),
    number_option("cells", "Cells, each with one LMC", "10", 1, 1000),
    number_option("roam", "Neighbouring cells that each MN walks among", "3", 1, 16),
    rate_option("moves", "Share of the MNs that move, per time", "10%/min"),
    duration_option("overlap", "From the link trigger until the old link goes", "200ms", 0.0, 60.0),
    duration_option("gap", "From the old link until the new one", "50ms", 0.0, 60.0),
    *incidents.OPTIONS,
)


def plan(values: Values, faults: Faults) -> Plan:
    """What the options ask for; OptionError for MNs that shall move and cannot."""
    mns, rate = values.number("mns"), values.seconds("moves")  # a rate is a float as a duration is
    if rate and min(values.number("cells"), values.number("roam")) < 2:
        raise OptionError(
            "--moves: an MN that has one cell cannot move; give 2 or more --cells and --roam, or --moves=0%/s"
        )
    return Plan(
        mns=mns,
        cells=values.number("cells"),
        seed=values.number("seed"),
        faults=faults,
        moves_per_s=rate * mns,
        overlap_s=values.seconds("overlap"),
        gap_s=values.seconds("gap"),
        roam=values.number("roam"),
    )


def _build(values: Values, faults: Faults) -> World:
    planned = incidents.planned(values)
    world = World(plan(values, faults))
    for incident in planned:
        world.later(incident.at_s, incident.happen, world)
    return world


def _figures(world: World) -> Mapping[str, Figure]:
    unfinished = sum(mobile.handover is not None for mobile in world.mobiles)
    return {"moves": world.moves, "handovers": {**world.handovers, "unfinished": unfinished}, "rejoins": world.rejoins}


HANDOVER = Simulation(
    "handover",
    "MMCP: mobile nodes walk from cell to cell",
    "MMCP: one session manager, an LMC for each cell, mobile nodes that walk from cell to cell.",
    _build,
    OPTIONS,
    invariants.INVARIANTS,
    invariants.inspect,
    _figures,
    "--mns 10000 --duration 60s --loss 5% --seed 7",
)
