r"""A mobile node walks between two cells while it receives a source-specific group (see testbed.mmcp.two_cells).

The group is of 232/8 or ff3x::/32: a join without a source does nothing there. MMCP's packets cannot carry a source, so the
SM, the LMCs and the node have it from provisioning, and every IGMP or MLD join, the LMC's ahead of the node and the node's
own, names it. PIM then builds a tree from the source and needs no rendezvous point.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from testbed.mmcp import handover_figures
from testbed.mmcp.two_cells import two_cells
from testbed.mmcp.walking import hand_over, nominal_spacing_ns, proactive_session
from testbed.net.model import Lab
from testbed.run.laboratory import Conclusion, Measurements, RunningLab, Topology
from testbed.run.options import Values, choice_option, duration_option, number_option

OPTIONS = (
    choice_option("family", "IP version", "4", ("4", "6")),
    number_option("repeat", "Handovers", "4", 1, 1000),
    duration_option("l2-gap", "Time without any link between the cells", "50ms", 0.0, 10.0),
    duration_option("overlap", "Link trigger until link down", "200ms", 0.0, 10.0),
    duration_option("address-delay", "Link up until the new address is there", "100ms", 0.0, 10.0),
    number_option("rate", "Stream", "1000", 10, 5000, "packets/s"),
    number_option("size", "RTP payload of each packet", "188", 8, 1400, "bytes"),
    duration_option("max-excess", "Bound on a handover's disruption beyond the gap", "250ms", 0.001, 60.0),
)


def build(values: Values) -> Lab:
    """The two-cell model with a source-specific group."""
    return two_cells("ssm", 4 if values.word("family") == "4" else 6, source_specific=True)


def perform(lab: RunningLab) -> Measurements:
    """Start the roles, then walk."""
    measurements = Measurements()
    with proactive_session(lab, measurements) as joined:
        for _ in range(lab.values.number("repeat")):
            hand_over(lab, joined.node, "proactive", joined.walk)
    return measurements


def conclude(values: Values, measurements: Measurements, verdict: Mapping[str, Any]) -> Conclusion:
    """Each handover must have been prepared, and both witnesses must agree on it."""
    conclusion = handover_figures.conclude(
        verdict["handovers"],
        measurements.windows,
        expected=values.number("repeat"),
        nominal_spacing_ns=nominal_spacing_ns(values),
        bound_ms=values.milliseconds("max-excess"),
    )
    handover_figures.require_prepared(conclusion)
    return conclusion


TOPOLOGY = Topology(
    name="ssm",
    summary="a mobile node walks between two cells and receives a source-specific group",
    options=OPTIONS,
    build=build,
    perform=perform,
    conclude=conclude,
)
