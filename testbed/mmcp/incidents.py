"""What a person has happen in a simulated world at given times: roles that begin again, LMCs that leave, cells that are cut off.

Roles are named as in traces: ``sm``, and ``lmc0`` to the last cell's. "lmc3@20s" restarts that LMC, or has it leave;
"lmc3@10s+5s" cuts its cell off from the SM for five seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from testbed.mmcp.world import CORE, World
from testbed.run.options import Option, OptionError, Values, duration

DAY_S = 86_400.0

_RESTART = re.compile(r"(sm|lmc(\d+))@(\S+)")
_LEAVE = re.compile(r"lmc(\d+)@(\S+)")
_PARTITION = re.compile(r"lmc(\d+)@([^+\s]+)\+(\S+)")


@dataclass(frozen=True, slots=True)
class Restart:
    """A role dies at ``at_s`` and begins again with empty memory: the LMC of ``cell``, or the SM (None)."""

    at_s: float
    cell: int | None

    def happen(self, world: World) -> None:
        """It dies now."""
        if self.cell is None:
            world.restart_session_manager()
        else:
            world.restart_controller(self.cell)


@dataclass(frozen=True, slots=True)
class Leave:
    """The LMC of ``cell`` leaves the session at ``at_s``; a later restart brings it back."""

    at_s: float
    cell: int

    def happen(self, world: World) -> None:
        """It leaves now."""
        world.leave_controller(self.cell)


@dataclass(frozen=True, slots=True)
class Partition:
    """Nothing passes between a cell and the SM's site for ``lasts_s`` from ``at_s`` on."""

    at_s: float
    lasts_s: float
    cell: int

    def happen(self, world: World) -> None:
        """It begins now."""
        site = f"cell{self.cell}"
        world.cut(site, CORE)
        world.later(self.lasts_s, world.mend, site, CORE)


Incident = Restart | Leave | Partition


def restart(word: str) -> Restart:
    """What "sm@20s" or "lmc3@20s" asks for."""
    match = _RESTART.fullmatch(word)
    if match is None:
        raise OptionError(f"{word!r} is no restart: write a role and when, such as sm@20s or lmc3@20s")
    return Restart(duration(match[3], 0.0, DAY_S), None if match[2] is None else int(match[2]))


def leave(word: str) -> Leave:
    """What "lmc3@20s" asks for."""
    match = _LEAVE.fullmatch(word)
    if match is None:
        raise OptionError(f"{word!r} is no leave: write an LMC and when, such as lmc3@20s")
    return Leave(duration(match[2], 0.0, DAY_S), int(match[1]))


def partition(word: str) -> Partition:
    """What "lmc3@10s+5s" asks for."""
    match = _PARTITION.fullmatch(word)
    if match is None:
        raise OptionError(f"{word!r} is no partition: write an LMC, when and for how long, such as lmc3@10s+5s")
    return Partition(duration(match[2], 0.0, DAY_S), duration(match[3], 0.0, DAY_S), int(match[1]))


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _option(name: str, read: Callable[[str], Incident], help_text: str, metavar: str) -> Option:
    """Any number of words, kept as text so that they can be written out again; none by default."""

    def parse(text: str) -> tuple[str, ...]:
        words = _words(text)
        for word in words:
            read(word)
        return tuple(words)

    return Option(name, help_text, "", parse, metavar)


OPTIONS = (
    _option("restart", restart, "Roles that begin again with empty memory, such as sm@20s,lmc3@30s", "ROLE@TIME,…"),
    _option("leave", leave, "LMCs that leave the session, such as lmc3@30s", "LMC@TIME,…"),
    _option("partition", partition, "Cells cut off from the SM for a time, such as lmc3@10s+5s", "LMC@TIME+TIME,…"),
)


def planned(values: Values) -> list[Incident]:
    """All of them that are within the duration of the run; OptionError for a cell that is not there."""
    cells = values.number("cells")
    found: list[Incident] = [
        *map(restart, values.words("restart")),
        *map(leave, values.words("leave")),
        *map(partition, values.words("partition")),
    ]
    for incident in found:
        if incident.cell is not None and incident.cell >= cells:
            raise OptionError(f"there is no lmc{incident.cell}: with {cells} cells the last is lmc{cells - 1}")
    return [incident for incident in found if incident.at_s < values.seconds("duration")]
