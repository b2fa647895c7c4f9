r"""The network of GMP's labs, and where the roles of a session are in it.

::

    server ──── r1 ──── creator       r1 is the rendezvous point; the stream comes from the creator's node
               /  \
            ar1    ar2                access routers: PIM towards r1, IGMP towards their cell
             |      |
           poa1    poa2               a cell each
           /  \    /  \
         p1    p2 p3   p4             participants, in turn

The server and the creator are the nodes of those names; every other host takes part, or wants to.
"""

from __future__ import annotations

from collections.abc import Sequence

from testbed.net.model import Lab, Stream
from testbed.net.shapes import Shape

SERVER, CREATOR = "server", "creator"
SOURCE = "source"
"""The role that sends the creator's stream."""

PARTICIPANTS = ("p1", "p2", "p3", "p4")
CELLS = {"poa1": "ar1", "poa2": "ar2"}
"""Each cell and its router."""

GROUP = "239.1.2.3"
SAP_GROUP = "239.195.255.255"
"""Where sessions of that group's scope are announced [RFC 2974 3]: by the server, so it is a stream of the lab as well."""


def network(name: str, members: Sequence[str] = PARTICIPANTS, of_first: int | None = None) -> Lab:
    """The model of the drawing; ``members`` are dealt out to the cells, the first ones, half of them by default, to the first."""
    shape = Shape(4)
    shape.router("r1")
    for cell, router in CELLS.items():
        shape.router(router)
        shape.connect("r1", router)
        shape.cell(cell, router)
    for host in (SERVER, CREATOR):
        shape.host(host, "r1")
    if of_first is None:
        of_first = (len(members) + 1) // 2
    for number, member in enumerate(members):
        shape.resident(member, tuple(CELLS)[number >= of_first])
    return shape.lab(name, (Stream(GROUP, CREATOR), Stream(SAP_GROUP, SERVER)))


def receiver_of(node: str) -> str:
    """The role that receives the stream at a node."""
    return f"receiver-{node}"


def role_names(model: Lab) -> frozenset[str]:
    """The roles that have a name of their own, beside those that have their node's: the source and the receivers."""
    hosts = {node.name for node in model.nodes if node.kind == "host"}
    if not {SERVER, CREATOR} <= hosts:
        return frozenset()
    return frozenset({SOURCE, *(receiver_of(host) for host in hosts - {SERVER, CREATOR})})


def interface_of(model: Lab, node: str) -> str:
    """A node's first interface."""
    return next(iter(model.ends_of(node))).interface


def router_of(model: Lab, node: str) -> str:
    """The access router of the cell that a node is in."""
    cell = next(each.point_of_attachment for each in model.attachments if each.end.node == node)
    return CELLS[cell]
