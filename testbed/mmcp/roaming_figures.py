"""What many handovers together show: their figures by mode, and what they did to the routers.

A row of ``modes`` has mode, handovers, prepared (how many), failed, disruption_ms (median), disruption_95_ms (95 of 100 are no
longer), disruption_worst_ms, lost (packets of a handover, mean). A row of ``routers`` is the judge's, see
`captures.history.router_load`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, median
from typing import Any

from testbed.mmcp import handover_figures
from testbed.mmcp.results import HANDOVERS, OUTAGES, Row, SessionMeasurements
from testbed.run.laboratory import Conclusion
from testbed.run.options import Values
from testbed.run.results import Column, Table

MODES = Table(
    "modes",
    (
        Column("mode", "mode"),
        Column("handovers", "handovers"),
        Column("prepared", "prepared"),
        Column("failed", "failed"),
        Column("disruption", "disruption_ms", "ms"),
        Column("95 %", "disruption_95_ms", "ms"),
        Column("worst", "disruption_worst_ms", "ms"),
        Column("lost", "lost", "packets"),
    ),
    note="disruption: the median; lost: packets of one handover, on average",
    more=True,
)
ROUTERS = Table(
    "routers",
    (
        Column("router", "router"),
        Column("reports", "reports"),
        Column("leaves", "leaves"),
        Column("queries", "queries"),
        Column("joins", "joins_sent"),
        Column("prunes", "prunes_sent"),
        Column("joined", "joins_received"),
        Column("pruned", "prunes_received"),
        Column("entries", "peak_entries"),
    ),
    note="during handovers: IGMP or MLD from its links, PIM to and from its neighbours; entries: of state, at most",
    more=True,
)
TABLES = (HANDOVERS, OUTAGES, MODES, ROUTERS)


def conclude(values: Values, measurements: SessionMeasurements, verdict: Mapping[str, Any]) -> Conclusion:
    """All handovers as `handover_figures.conclude` has them, and what they are together."""
    conclusion = handover_figures.conclude(values, measurements, verdict)
    conclusion.rows[MODES.name] = by_mode(verdict["handovers"])
    conclusion.rows[ROUTERS.name] = [{**row, "problems": []} for row in verdict.get("routers", ())]
    return conclusion


def by_mode(judged: Sequence[Row]) -> list[dict[str, Any]]:
    """A row for each mode, in the order in which they came."""
    found = []
    for mode in dict.fromkeys(row["mode"] for row in judged):
        mine = [row for row in judged if row["mode"] == mode]
        disruptions = sorted(row["disruption_ms"] for row in mine if row["disruption_ms"] is not None)
        lost = [row["lost"] for row in mine if row["lost"] is not None]
        found.append(
            {
                "mode": mode,
                "handovers": len(mine),
                "prepared": sum(row["outcome"] == "predictive" for row in mine),
                "failed": sum(row["outcome"] == "failed" for row in mine),
                "disruption_ms": median(disruptions) if disruptions else None,
                "disruption_95_ms": disruptions[-(-95 * len(disruptions) // 100) - 1] if disruptions else None,
                "disruption_worst_ms": disruptions[-1] if disruptions else None,
                "lost": mean(lost) if lost else None,
                "problems": [],
            }
        )
    return found
