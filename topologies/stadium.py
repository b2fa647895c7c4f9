r"""Everybody goes at once: two hundred mobile nodes hand over within one second, from one cell to two.

::

    mcs ──── r1 ──── sm
            /|\
           / | \
        ar1 ar2 ar3                  an access router for each cell
         |   |   |
       poa1 poa2 poa3                an LMC in each cell
      ~~~~~~  ──▶ ~~  ~~
    mn1 … mn200                      the odd ones go to poa2, the even ones to poa3

One HCT makes an LMC join for all who come after it, one leave of two hundred must not end the stream of the others, and a router
has the same few entries of state whether one node comes or a hundred do. What it costs them in messages is in the table.
"""

from __future__ import annotations

from dataclasses import replace

from testbed.mmcp.plan import walks
from testbed.mmcp.roaming import BEGIN_S, roaming, session_lab
from testbed.net.model import Lab, Membership
from testbed.net.shapes import Shape
from testbed.radio.link_events import LinkEvent
from testbed.run.options import Values, duration_option, number_option

OPTIONS = (
    number_option("mobiles", "Mobile nodes", "200", 1, 900),
    duration_option("within", "From the first trigger to the last", "1s", 0.0, 600.0),
    duration_option("l2-gap", "Time without any link between the cells", "50ms", 0.0, 10.0),
    duration_option("overlap", "Link trigger until link down", "1s", 0.0, 10.0),
)
START, TARGETS = "poa1", ("poa2", "poa3")
QUERY_INTERVAL_S = 30  # every node of a cell answers each query


def build(values: Values) -> Lab:
    """A rendezvous router, three access routers with a cell each, and everybody in the first."""
    shape = Shape(values.family)
    shape.router("r1")
    for number, cell in enumerate((START, *TARGETS), 1):
        router = shape.router(f"ar{number}")
        shape.connect("r1", router)
        shape.cell(cell, router)
    model = session_lab(
        "stadium", shape, values.number("mobiles"), membership=Membership(query_interval_s=QUERY_INTERVAL_S)
    )
    return replace(model, radios=tuple(replace(radio, initially=START) for radio in model.radios))


def events(values: Values, model: Lab) -> list[LinkEvent]:
    """One handover of each node, one after the other at the same distance."""
    nodes = [radio.node for radio in model.radios]
    return walks(
        {node: (START, TARGETS[number % 2]) for number, node in enumerate(nodes)},
        every_s=0.0,
        first_s={node: BEGIN_S + values.seconds("within") * number / len(nodes) for number, node in enumerate(nodes)},
        gap_s=values.seconds("l2-gap"),
        overlap_s=values.seconds("overlap"),
    )


TOPOLOGY = roaming(
    "stadium",
    "two hundred mobile nodes hand over within one second, from one cell to two",
    build,
    events=events,
    options=OPTIONS,
    rate="10",
    example="--mobiles 30 --family 6",
)
