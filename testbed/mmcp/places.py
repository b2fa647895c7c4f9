"""Where the roles of an MMCP session are in a model: read from it, whatever its shape.

The SM is the node ``sm``. An LMC is a host that stays in a cell and whose name begins with ``lmc``; a cell has one at most. A
mobile node is a node that has a radio. Each stream of the model is a session, and comes from its origin.
"""

from __future__ import annotations

from dataclasses import dataclass

from testbed.net.model import End, Lab, ModelError

SESSION_MANAGER = "sm"
CONTROLLER_PREFIX = "lmc"
MN, MN_ID = "mn", "mn1"
"""The mobile node of a lab that has one, and its MN ID; where there are several, each has its node's name."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session: its stream's group, and where that comes from. `source`: the origin's address where the group asks for it."""

    session_id: int
    group: str
    origin: str
    source: str | None


@dataclass(frozen=True, slots=True)
class Mobile:
    """A mobile node in its session. `receiver`: the role that receives the stream there."""

    node: str
    mn_id: str
    session: Session
    receiver: str


def sessions(model: Lab) -> tuple[Session, ...]:
    """The session of each stream, numbered from 1 in the order of the model."""
    return tuple(
        Session(
            number,
            stream.group,
            stream.origin,
            model.address_of(stream.origin) if stream.is_source_specific else None,
        )
        for number, stream in enumerate(model.streams, 1)
    )


def mobile(model: Lab, node: str) -> Mobile:
    """A mobile node, in the session that it is in: the streams go round among the mobile nodes. ModelError if it is none."""
    names = mobiles(model)
    if node not in names:
        raise ModelError("not a mobile node", f"node {node}", f"known: {', '.join(names) or 'none'}")
    of = sessions(model)
    alone = len(names) == 1
    return Mobile(
        node,
        MN_ID if alone else node,
        of[names.index(node) % len(of)],
        "receiver" if alone else f"receiver-{node}",
    )


def controllers(model: Lab) -> dict[str, str]:
    """The LMC of each cell that has one, by cell, in the order of the cells. Raises ModelError where a cell has two."""
    found: dict[str, str] = {}
    for attachment in model.attachments:
        cell, node = attachment.point_of_attachment, attachment.end.node
        if not node.startswith(CONTROLLER_PREFIX):
            continue
        if cell in found:
            raise ModelError(f"two LMCs, {found[cell]} and {node}", f"cell {cell}", "leave one of them away")
        found[cell] = node
    return {cell.name: found[cell.name] for cell in model.points_of_attachment if cell.name in found}


def controller_of(model: Lab, cell: str) -> str:
    """The LMC of a cell. Raises ModelError where it has none."""
    try:
        return controllers(model)[cell]
    except KeyError:
        remedy = f"attach a host to it whose name begins with {CONTROLLER_PREFIX}"
        raise ModelError("no LMC serves it", f"cell {cell}", remedy) from None


def router_of(model: Lab, cell: str) -> str:
    """The access router of a cell. Raises ModelError where it has none."""
    routers = {node.name for node in model.routers()}
    for attachment in model.attachments:
        if attachment.point_of_attachment == cell and attachment.end.node in routers:
            return attachment.end.node
    raise ModelError("no router in this cell", f"cell {cell}", "attach a router to it")


def mobiles(model: Lab) -> tuple[str, ...]:
    """The mobile nodes, in the order of their radios."""
    return tuple(dict.fromkeys(radio.node for radio in model.radios))


def first_end(model: Lab, node: str) -> End:
    """A node's first interface. Raises ModelError where it has none."""
    for end in model.ends_of(node):
        return end
    raise ModelError("no interface", f"node {node}", "link it to something, or attach it to a cell")


def resident_end(model: Lab, node: str, cell: str) -> End:
    """The interface by which a node stays in a cell. Raises ModelError where it does not."""
    for attachment in model.attachments:
        if attachment.end.node == node and attachment.point_of_attachment == cell:
            return attachment.end
    raise ModelError(f"not in cell {cell}", f"node {node}", "attach it there")
