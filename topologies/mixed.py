r"""Routers of two kinds in one network: a core that speaks PIM and OSPF, and edges whose multicast routes are static.

::

    mcs ──── c1 ──── sm            c1, c2, c3: FRR; c1 is the rendezvous point
            /  \
          c2 ── c3                 OSPF on all routers gives them their unicast routes
          |     | \
          a1   e1  e2              a1: FRR too; e1, e2: SMCRoute, which join the group at c3 as a host would
          |     |   |
        poa1  poa2  poa3           a cell each, with an LMC; mn1 walks through them, again and again

A static edge has the stream in its cell before anybody asks for it: who comes to poa2 or poa3 has it as soon as it has the link,
prepared or not; to poa1 the stream comes when somebody there is a member. Traffic is the price: e1 and e2 are sent the stream as
long as the lab runs, as `trees.txt` in the run's folder shows.
"""

from __future__ import annotations

from testbed.mmcp.roaming import roaming, session_lab
from testbed.net.model import Lab
from testbed.net.shapes import Shape
from testbed.routing.pim import FRR
from testbed.routing.static_trees import SMCROUTE
from testbed.run.options import Values


def world(values: Values) -> Lab:
    """The model, IPv4 or IPv6."""
    shape = Shape(values.family, FRR)
    for name in ("c1", "c2", "c3", "a1"):
        shape.router(name)
    shape.daemon = SMCROUTE
    for name in ("e1", "e2"):
        shape.router(name)
    for first, second in (("c1", "c2"), ("c1", "c3"), ("c2", "c3"), ("c2", "a1"), ("c3", "e1"), ("c3", "e2")):
        shape.connect(first, second)
    for number, router in enumerate(("a1", "e1", "e2"), 1):
        shape.cell(f"poa{number}", router)
    return session_lab("mixed", shape, mobiles=1, unicast="ospf")


TOPOLOGY = roaming(
    "mixed",
    "a core of FRR with OSPF, edges of static routes: the same handovers over both",
    world,
    rate="500",
    modes="proactive,reactive",
    example="--family 6 --unicast static",
)
