"""What must be true of an MMCP world after it has been quiet.

An invariant is held, broken, or not checked; one that is not checked says why and is never counted as held. Those that
are watched while the world runs (one-effect, idle-groups) have left their breaches with the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from agents.core.agent import Agent
from agents.mmcp.constants import DEFAULT_PORT
from agents.mmcp.mobile_node_state import State
from testbed.mmcp.world import SESSION, SM_ADDRESS, Mobile, World

HELD, BROKEN, NOT_CHECKED = "held", "broken", "not checked"
OWN = f"{SM_ADDRESS}:{DEFAULT_PORT}"  # the SM, for MNs whose parent it is
TOLD = 5  # breaches of one invariant that are told in words

INVARIANTS: Mapping[str, str] = {
    "willing-established": "every willing MN is ESTABLISHED",
    "known-by-parent": "an established MN is known to the parent it reports to",
    "one-parent": "an established MN is known to exactly one parent, and nobody else to any",
    "right-parent": "an established MN reports to the LMC that serves its place, or to the SM where none does",
    "not-forgotten": "the SM knows every willing MN",
    "sm-agrees": "the SM holds an established MN for a member of the LMC that knows it",
    "receives-again": "within SPT after the last fault and move every willing MN is in its group, as it has shown where it is",
    "in-group": "an established MN is in its group, and one that has left is not",
    "idle-groups": "no LMC stays joined to a group nobody there wants for longer than hold + linger",
    "one-effect": "every request has at most one effect",
    "counters-grow": "counters only grow",
    "nothing-raised": "no role raises",
}

Counts = list[Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One invariant: HELD, BROKEN or NOT_CHECKED, with what was seen or why it was not checked."""

    invariant: str
    outcome: str
    seen: tuple[str, ...] = ()


def counters(world: World) -> Counts:
    """A copy of the counters of every node."""
    return [node.agent.counters.snapshot() for node in world.nodes.values()]


def check(world: World, before: Counts | None = None) -> list[Verdict]:
    """Judge a world that has been quiet (``World.calm``); ``before`` are its counters some time ago."""
    found: dict[str, list[str]] = {name: [] for name in INVARIANTS}
    for node, _ in world.controllers:
        if node.groups:
            world.check_idle_group(node)
    for name, seen in world.breaches.items():
        found[name] += seen
    if before is not None:
        found["counters-grow"] += _shrunk(world, before)
    _membership(world, found)
    skipped = {} if before is not None else {"counters-grow": "no earlier counters were given"}
    return [
        Verdict(name, NOT_CHECKED, (skipped[name],))
        if name in skipped
        else Verdict(name, BROKEN if found[name] else HELD, tuple(_shortened(found[name])))
        for name in INVARIANTS
    ]


def raised(error: Exception) -> list[Verdict]:
    """The verdicts of a run that a role ended by raising."""
    ended = "the run ended before"
    return [
        Verdict(name, BROKEN, (str(error),)) if name == "nothing-raised" else Verdict(name, NOT_CHECKED, (ended,))
        for name in INVARIANTS
    ]


def _shortened(lines: list[str]) -> list[str]:
    more = len(lines) - TOLD
    return lines[:TOLD] + ([f"and {more} more"] if more > 0 else [])


def _shrunk(world: World, before: Counts) -> list[str]:
    return [
        f"{node.name}: {name} went from {value} to {node.agent.counters[name]}"
        for node, earlier in zip(world.nodes.values(), before, strict=True)
        for name, value in earlier.items()
        if node.agent.counters[name] < value
    ]


def _membership(world: World, found: dict[str, list[str]]) -> None:
    """Compare what MNs believe with what LMCs and the SM know."""
    at_sm: dict[str, Any] = {row["mn_id"]: row for row in _members(world.session_manager)}
    at_lmc: dict[str, list[str]] = {}
    names: dict[str, str | None] = {OWN: None}
    for node, lmc in world.controllers:
        endpoint = str(node.endpoint)
        names[endpoint] = node.name.encode().hex()
        for row in _members(lmc):
            at_lmc.setdefault(row["mn_id"], []).append(endpoint)
    for mobile in world.mobiles:
        mn_id = mobile.node.name.encode().hex()
        row = at_sm.get(mn_id)
        parents = at_lmc.get(mn_id, []) + ([OWN] if row is not None and row["lmc"] is None else [])
        known = ", ".join(parents) or "nobody"
        if not mobile.willing:
            breaches = _of_one_who_left(mobile, known)
        elif mobile.agent.state is not State.ESTABLISHED:
            breaches = iter([("willing-established", f"is {mobile.agent.state.value}: {mobile.agent.describe()}")])
        elif row is None:
            breaches = iter([("not-forgotten", f"is not known to the SM, but to {known}")])
        else:
            right = str(world.parent_at(mobile.cell).endpoint)
            breaches = _of_a_member(mobile, parents, right, row["lmc"], names)
        for name, seen in breaches:
            found[name].append(f"{mobile.node.name} {seen}")


def _members(role: Agent) -> Iterator[Any]:
    return (row for row in role.rows("members") if row["session_id"] == SESSION)


def _of_one_who_left(mobile: Mobile, known: str) -> Iterator[tuple[str, str]]:
    if known != "nobody":
        yield "one-parent", f"has left and is known to {known}"
    if mobile.node.groups:
        yield "in-group", "has left and is in its group"


def _of_a_member(
    mobile: Mobile, parents: list[str], right: str, at: str | None, names: Mapping[str, str | None]
) -> Iterator[tuple[str, str]]:
    described: Any = mobile.agent.describe()
    parent = described["sessions"][str(SESSION)]["parent"]
    known = ", ".join(parents) or "nobody"
    if parent not in parents:
        yield "known-by-parent", f"reports to {parent}, known to {known}"
    if parent != right:
        yield "right-parent", f"reports to {parent}, at a place of {right}"
    if len(parents) != 1:
        yield "one-parent", f"reports to {parent}, known to {known}"
    elif at != names[parents[0]]:
        yield "sm-agrees", f"is known to {known}, the SM has it at {at}"
    if not mobile.node.groups:
        yield "in-group", "is ESTABLISHED and not in its group"
