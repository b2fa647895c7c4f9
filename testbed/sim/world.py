"""A world in virtual time: a network with a protocol's roles, what happens there, and what must be true of it.

The room of a protocol describes each of its worlds as a `Simulation`; `testbed.sim.command` makes a command of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Generic, TypeVar

from testbed.run.options import Option, Values
from testbed.sim.faults import Faults
from testbed.sim.network import Network

HELD, BROKEN, NOT_CHECKED = "held", "broken", "not checked"
TOLD = 5  # breaches of one invariant that are told in words

GENERAL_INVARIANTS: Mapping[str, str] = {
    "one-effect": "every request has at most one effect",
    "counters-grow": "counters only grow",
    "nothing-raised": "no role raises",
}

Counts = Mapping[tuple[str, int], Mapping[str, int]]
"""The counters of every node, by its name and in which of its lives it was: a role that begins anew counts anew."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One invariant: HELD, BROKEN or NOT_CHECKED, with what was seen or why it was not checked."""

    invariant: str
    outcome: str
    seen: tuple[str, ...] = ()


class World(Network):
    """The network with its roles: ``begin``, let time pass, ``calm``, and it can be judged."""

    quiet_s = 60.0  # after so much quiet everything must have settled

    def begin(self) -> None:
        """Start every role, in the order in which they were added."""
        for node in self.nodes.values():
            self.start(node)

    def calm(self) -> None:
        """No faults from now on, and time in which everything settles."""
        self.end_faults()
        self.run_for(self.quiet_s)

    def end_faults(self) -> None:
        """Nothing but the delay happens from now on."""
        self.faults = Faults(self.faults.delay_s)
        self.heal()

    def counters(self) -> Counts:
        """A copy of the counters of every node."""
        return {(name, node.life): node.agent.counters.snapshot() for name, node in self.nodes.items()}


AnyWorld = TypeVar("AnyWorld", bound=World)
Figure = int | float | str | Mapping[str, int]


def _nothing(_world: World) -> Iterator[tuple[str, str]]:
    return iter(())


def _no_figures(_world: World) -> Mapping[str, Figure]:
    return {}


@dataclass(frozen=True, slots=True)
class Simulation(Generic[AnyWorld]):
    """A kind of world that a protocol has, and how it is run from the command line.

    ``build`` makes one from the values of its own ``options`` and of those that all have ("seed", "duration"), and the
    faults that were asked for; it raises OptionError for what cannot be. What is to happen at given times it puts there
    with ``World.later``. ``invariants`` are its own, by name; those that are watched while the world runs have their
    breaches with the network (``break_invariant``), the others are looked at by ``inspect`` once the world is calm: it
    yields an invariant's name and what was seen. ``figures`` are for the result. ``has_streams``: whether faults of
    streams can be asked for.
    """

    name: str
    summary: str
    description: str
    build: Callable[[Values, Faults], AnyWorld]
    options: tuple[Option, ...] = ()
    invariants: Mapping[str, str] = field(default_factory=dict)
    inspect: Callable[[AnyWorld], Iterator[tuple[str, str]]] = _nothing
    figures: Callable[[AnyWorld], Mapping[str, Figure]] = _no_figures
    example: str = ""
    has_streams: bool = False

    @property
    def every_invariant(self) -> Mapping[str, str]:
        """What must be true, in words, by name."""
        return {**self.invariants, **GENERAL_INVARIANTS}

    def check(self, world: AnyWorld, before: Counts | None = None) -> list[Verdict]:
        """Judge a world that has been quiet (``World.calm``); ``before`` are its counters some time ago."""
        found: dict[str, list[str]] = {name: [] for name in self.every_invariant}
        for name, line in chain(self.inspect(world), _shrunk(world, before or {})):
            found[name].append(line)
        for name, seen in world.breaches.items():
            found[name] += seen
        verdicts = {name: Verdict(name, BROKEN if found[name] else HELD, _shortened(found[name])) for name in found}
        if before is None:
            verdicts["counters-grow"] = Verdict("counters-grow", NOT_CHECKED, ("no earlier counters were given",))
        return list(verdicts.values())

    def ended_by(self, error: Exception) -> list[Verdict]:
        """The verdicts of a run that a role ended by raising."""
        return [
            Verdict(name, BROKEN, (str(error),))
            if name == "nothing-raised"
            else Verdict(name, NOT_CHECKED, ("the run ended before",))
            for name in self.every_invariant
        ]


def _shrunk(world: World, before: Counts) -> Iterator[tuple[str, str]]:
    for (name, life), counts in before.items():
        node = world.nodes[name]
        for counter, value in counts.items():
            if node.life == life and node.agent.counters[counter] < value:
                yield "counters-grow", f"{name}: {counter} went from {value} to {node.agent.counters[counter]}"


def _shortened(lines: list[str]) -> tuple[str, ...]:
    more = len(lines) - TOLD
    return (*lines[:TOLD], *([f"and {more} more"] if more > 0 else []))
