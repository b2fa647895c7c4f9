"""GMP in virtual time: sessions of many participants, with a server whose machine dies now and then."""

from __future__ import annotations

import random
from collections.abc import Mapping

from testbed.gmp import invariants
from testbed.gmp.people import Plan
from testbed.gmp.world import ENDS, World
from testbed.run.options import OptionError, Values, duration_option, number_option
from testbed.sim.command import rate_option, share_option
from testbed.sim.faults import Faults
from testbed.sim.world import Figure, Simulation

OPTIONS = (
    number_option("participants", "Participants, dealt out to the sessions", "100", 1, 65_000),
    number_option("sessions", "Sessions, in turn open, closed, secure, and both", "4", 1, 1000),
    duration_option("arrival", "Within which participants come", "10s", 0.0, 86_400.0),
    share_option("streams", "Clients that speak over TCP", "20%", 100.0),
    rate_option("leaves", "Share of the participants that leave a level, per time, and come again", "5%/min"),
    rate_option("silences", "Share of the participants that fall silent for a while, per time", "5%/min"),
    duration_option("away", "After which who has left or fallen silent is there again, at most", "30s", 0.1, 3600.0),
    number_option("restarts", "Deaths of the server's machine, at any moment", "2", 0, 100_000),
    number_option("ends", f"Sessions that end, each in another way: {', '.join(ENDS)}", "1", 0, 1000),
    duration_option("period", "Between two keep-alive requests to a member", "5s", 0.1, 25.4),
    duration_option("timeout", "Silence after which a member is dropped", "15s", 0.2, 25.5),
)


def plan(values: Values, faults: Faults) -> Plan:
    """What the options ask for; OptionError for what cannot be."""
    period, timeout = (round(values.seconds(name) * 10) for name in ("period", "timeout"))
    if timeout <= period:
        raise OptionError("--timeout: give more than --period")
    if values.number("ends") > values.number("sessions"):
        raise OptionError(f"--ends: there are {values.number('sessions')} --sessions")
    participants = values.number("participants")
    return Plan(
        participants=participants,
        seed=values.number("seed"),
        faults=faults,
        sessions=values.number("sessions"),
        arrival_s=values.seconds("arrival"),
        streams=values.seconds("streams"),  # a share and a rate are floats as a duration is
        leaves_per_s=values.seconds("leaves") * participants,
        silences_per_s=values.seconds("silences") * participants,
        away_s=values.seconds("away"),
        period=period,
        timeout=timeout,
    )


def _build(values: Values, faults: Faults) -> World:
    world = World(plan(values, faults))
    chance, duration_s = random.Random(f"incidents {values.number('seed')}"), values.seconds("duration")
    for _ in range(values.number("restarts")):
        world.later(chance.random() * duration_s, world.restart_server)
    for number, meeting in enumerate(chance.sample(world.meetings, values.number("ends"))):
        world.later((0.5 + chance.random() / 2) * duration_s, world.end_meeting, meeting, ENDS[number % len(ENDS)])
    return world


def _figures(world: World) -> Mapping[str, Figure]:
    described = world.server.describe()
    held = {name: int(str(described[name])) for name in ("sessions", "registered", "enrolled", "active")}
    streams = sum(person.configuration.is_tcp for person in world.people.values())
    return {"people": {"clients": len(world.people), "over TCP": streams}, "happened": world.counts, "at server": held}


SIMULATION = Simulation(
    "gmp",
    "GMP: sessions that are created, joined, left and ended",
    "GMP: a server that keeps its word on disk, sessions of each mode, participants that come late, leave and fall silent.",
    _build,
    OPTIONS,
    invariants.INVARIANTS,
    invariants.inspect,
    _figures,
    "--participants 10000 --loss 5% --restarts 5 --seed 7",
    has_streams=True,
)
