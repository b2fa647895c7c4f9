"""What a person has happen in a simulated world at given times: roles that begin again, cells that are cut off.

Roles are named as in traces: ``sm``, and ``lmc0`` to the last cell's. "lmc3@20s" restarts that LMC, "lmc3@10s+5s" cuts its
cell off from the SM for five seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from testbed.options import Option, OptionError, duration
from testbed.sim.mmcp import CORE, World

DAY_S = 86_400.0

_RESTART = re.compile(r"(sm|lmc(\d+))@(\S+)")
_PARTITION = re.compile(r"lmc(\d+)@([^+\s]+)\+(\S+)")


@dataclass(frozen=True, slots=True)
class Restart:
    """A role dies at ``at_s`` and begins again with empty memory: the LMC of ``cell``, or the SM (None)."""

    at_s: float
    cell: int | None


@dataclass(frozen=True, slots=True)
class Partition:
    """Nothing passes between a cell and the SM's site from ``at_s`` until ``until_s``."""

    at_s: float
    until_s: float
    cell: int


def restart(word: str) -> Restart:
    """What "sm@20s" or "lmc3@20s" asks for."""
    match = _RESTART.fullmatch(word)
    if match is None:
        raise OptionError(f"{word!r} is no restart: write a role and when, such as sm@20s or lmc3@20s")
    return Restart(duration(match[3], 0.0, DAY_S), None if match[2] is None else int(match[2]))


def partition(word: str) -> Partition:
    """What "lmc3@10s+5s" asks for."""
    match = _PARTITION.fullmatch(word)
    if match is None:
        raise OptionError(f"{word!r} is no partition: write an LMC, when and for how long, such as lmc3@10s+5s")
    at_s = duration(match[2], 0.0, DAY_S)
    return Partition(at_s, at_s + duration(match[3], 0.0, DAY_S), int(match[1]))


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _option(name: str, help_text: str, metavar: str) -> Option:
    """Any number of words, kept as text so that they can be written out again; none by default."""

    def parse(text: str) -> tuple[str, ...]:
        words = _words(text)
        for word in words:
            restart(word) if name == "restart" else partition(word)
        return tuple(words)

    return Option(name, help_text, "", parse, metavar)


OPTIONS = (
    _option("restart", "Roles that begin again with empty memory, such as sm@20s,lmc3@30s", "ROLE@TIME,…"),
    _option("partition", "Cells cut off from the SM for a time, such as lmc3@10s+5s", "LMC@TIME+TIME,…"),
)


def planned(restarts: tuple[str, ...], partitions: tuple[str, ...], cells: int) -> list[Restart | Partition]:
    """All of them; OptionError for a cell that is not there."""
    found: list[Restart | Partition] = [*map(restart, restarts), *map(partition, partitions)]
    for incident in found:
        if incident.cell is not None and incident.cell >= cells:
            raise OptionError(f"there is no lmc{incident.cell}: with {cells} cells the last is lmc{cells - 1}")
    return found


def times(incidents: list[Restart | Partition]) -> set[float]:
    """When something happens or ends, in seconds."""
    return {each.at_s for each in incidents} | {each.until_s for each in incidents if isinstance(each, Partition)}


def happen(world: World, incidents: list[Restart | Partition], now: float) -> None:
    """Do what is to be done at ``now``, one of ``times``."""
    world.heal()
    for incident in incidents:
        if isinstance(incident, Partition):
            if incident.at_s <= now < incident.until_s:
                world.cut(f"cell{incident.cell}", CORE)
        elif incident.at_s == now:
            if incident.cell is None:
                world.restart_session_manager()
            else:
                world.restart_controller(incident.cell)
