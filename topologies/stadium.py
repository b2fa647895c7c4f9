r"""Everybody goes at once: two hundred mobile nodes hand over within one second, or as fast as the machine can, from one cell to two.

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

import os
from collections.abc import Sequence
from dataclasses import replace

from testbed.mmcp.plan import walks
from testbed.mmcp.roaming import BEGIN_S, roaming, session_lab
from testbed.net.model import Lab, Membership
from testbed.net.shapes import Shape
from testbed.radio.link_events import LinkEvent
from testbed.run.options import Values, duration_option, number_option, seconds

OPTIONS = (
    number_option("mobiles", "Mobile nodes", "200", 1, 900),
    duration_option(
        "within", "From the first trigger to the last; else 1s, or what this machine needs for them", None, 0.0, 600.0
    ),
    duration_option("l2-gap", "Time without any link between the cells", "50ms", 0.0, 10.0),
    duration_option("overlap", "Link trigger until link down", "1s", 0.0, 10.0),
)
START, TARGETS = "poa1", ("poa2", "poa3")
QUERY_INTERVAL_S = 30  # every node of a cell answers each query
AT_ONCE_S = 1.0
HANDOVER_S = 0.05
"""What one takes of a processor: the link, the exchange of three agents, what the cells' other nodes hear of it. Some 0.03 s as
measured, and as much again for whatever else the machine does."""


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
        first_s={node: BEGIN_S + pace_s(values) * number / len(nodes) for number, node in enumerate(nodes)},
        gap_s=values.seconds("l2-gap"),
        overlap_s=values.seconds("overlap"),
    )


def pace_s(values: Values) -> float:
    """From the first trigger to the last, s: as asked for, or as fast as this machine's processors can follow."""
    asked = values.given("within")
    if isinstance(asked, float):
        return asked
    return max(AT_ONCE_S, values.number("mobiles") * HANDOVER_S / len(os.sched_getaffinity(0)))


def foresee(values: Values, model: Lab) -> Sequence[str]:
    """Says too where this machine cannot have everybody go within a second."""
    said = STADIUM.foresee(values, model)
    if values.given("within") is not None or (needed_s := pace_s(values)) <= AT_ONCE_S:
        return said
    processors = len(os.sched_getaffinity(0))
    slower = (
        f"{values.number('mobiles')} handovers within {seconds(round(needed_s, 1))}, not within {seconds(AT_ONCE_S)}: one takes about "
        f"{seconds(HANDOVER_S)} of a processor, and there are {processors} (--within {seconds(AT_ONCE_S)} asks for it all the same)"
    )
    return [slower, *said]


STADIUM = roaming(
    "stadium",
    "two hundred mobile nodes hand over within one second, from one cell to two",
    build,
    events=events,
    options=OPTIONS,
    rate="10",
    example="--mobiles 30 --family 6",
)
TOPOLOGY = replace(STADIUM, foresee=foresee)
