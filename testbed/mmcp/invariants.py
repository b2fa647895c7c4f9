"""What must be true of an MMCP world after it has been quiet, beside what must be true of any.

The one that is watched while the world runs (idle-groups) has left its breaches with the network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agents.core.agent import Agent
from agents.mmcp.constants import DEFAULT_PORT
from agents.mmcp.mobile_node_state import State
from testbed.mmcp.world import SESSION, SM_ADDRESS, Mobile, World

OWN = f"{SM_ADDRESS}:{DEFAULT_PORT}"  # the SM, for MNs whose parent it is

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
}


def inspect(world: World) -> Iterator[tuple[str, str]]:
    """What is wrong in a world that has been quiet: the invariant's name, and what is seen."""
    for node, _ in world.controllers:
        if node.groups:
            world.check_idle_group(node)
    yield from _membership(world)


def _membership(world: World) -> Iterator[tuple[str, str]]:
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
            yield name, f"{mobile.node.name} {seen}"


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
