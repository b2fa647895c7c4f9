r"""Twenty mobile nodes with an agent that reports for them, and the same without: the comparison that was published for FAMH.

::

    mcs ──── r1 ──── sm
            /  \
          r2    r3                   access routers
           |     |
         poa1   poa2                 an LMC in each cell: the agent that reports for nodes which are on their way
         ~ ~  ▶◀  ~ ~
    mn1 … mn20                       ten begin in each cell, and each goes to the other

FAMH, an early form of what became MMCP, was compared with nodes that report for themselves when they have arrived. What was
published is that a handover then disturbs the stream a twelfth of the time, and loses a quarter of the packets. Here the same nodes go
the same ways twice, with MMCP (proactive) and without (reactive), and the table has both ratios beside those published. They depend
on the gap, which no agent shortens, and on how long a node waits for its address. Each node has a stream of its own, which nobody in
the next cell receives yet: where others do, it is there already, and no agent gains anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from testbed.mmcp import roaming_figures
from testbed.mmcp.results import Row, SessionMeasurements
from testbed.mmcp.roaming import WALK_OPTIONS, roaming, session_lab
from testbed.net.model import Lab
from testbed.net.shapes import tree
from testbed.run.laboratory import Conclusion
from testbed.run.options import Values, number_option
from testbed.run.results import Column, Table

PUBLISHED = {"disruption": (1 / 12, "disruption_ms"), "loss": (1 / 4, "lost")}

COMPARISON = Table(
    "comparison",
    (
        Column("figure", "figure"),
        Column("without", "reactive"),
        Column("with", "proactive"),
        Column("ratio", "ratio"),
        Column("published", "published"),
    ),
    note="with the agent and without: median disruption in ms, packets lost in a handover; ratio: with to without",
    more=True,
)

OPTIONS = (
    number_option("mobiles", "Mobile nodes", "20", 1, 200),
    # A router forgets a node that went without a word a while later: it must not be back before that.
    *(replace(option, default="1") if option.name == "handovers" else option for option in WALK_OPTIONS),
)


def build(values: Values) -> Lab:
    """Two cells, each with an access router, and the nodes spread over them."""
    mobiles = values.number("mobiles")
    return session_lab("famh", tree(values.family, depth=1, branches=2), mobiles, streams=mobiles)


def conclude(values: Values, measurements: SessionMeasurements, verdict: Mapping[str, Any]) -> Conclusion:
    """As of any lab whose nodes roam, and the two modes compared."""
    conclusion = roaming_figures.conclude(values, measurements, verdict)
    conclusion.rows[COMPARISON.name] = compared(conclusion.rows[roaming_figures.MODES.name])
    return conclusion


def compared(modes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each figure that was published; empty where only one mode was asked for."""
    of: dict[str, Row] = {row["mode"]: row for row in modes}
    if not {"proactive", "reactive"} <= of.keys():
        return []
    found = []
    for figure, (published, key) in PUBLISHED.items():
        without, with_agent = of["reactive"][key], of["proactive"][key]
        ratio = with_agent / without if with_agent is not None and without else None
        found.append(
            {
                "figure": figure,
                "reactive": without,
                "proactive": with_agent,
                "ratio": None if ratio is None else f"{ratio:.2f}",
                "published": f"{published:.2f}",
                "problems": [],
            }
        )
    return found


TOPOLOGY = roaming(
    "famh",
    "twenty mobile nodes with an agent that reports for them and without, beside what was published",
    build,
    options=OPTIONS,
    modes="proactive,reactive",
    rate="50",
    conclude=conclude,
    tables=(COMPARISON, *roaming_figures.TABLES),
    example="--mobiles 6 --l2-gap 10ms",
)
