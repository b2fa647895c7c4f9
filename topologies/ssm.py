r"""A mobile node walks between two cells while it receives a source-specific group (see testbed.mmcp.two_cells).

The group is of 232/8 or ff3x::/32: a join without a source does nothing there. MMCP's packets cannot carry a source, so the
SM, the LMCs and the node have it from provisioning, and every IGMP or MLD join, the LMC's ahead of the node and the node's
own, names it. PIM then builds a tree from the source and needs no rendezvous point.
"""

from __future__ import annotations

from testbed.mmcp import expectation, handover_figures
from testbed.mmcp.options import max_excess_option, stream_options, walk_options
from testbed.mmcp.results import TABLES, SessionMeasurements
from testbed.mmcp.session import begin
from testbed.mmcp.two_cells import two_cells
from testbed.mmcp.walking import hand_over, proactive_session
from testbed.net.model import Lab
from testbed.run.laboratory import RunningLab, Topology
from testbed.run.options import Values, family_option, number_option

OPTIONS = (
    family_option(),
    number_option("repeat", "Handovers", "4", 1, 1000),
    *walk_options(overlap="200ms", address_delay="100ms"),
    *stream_options("1000"),
    max_excess_option(),
)


def build(values: Values) -> Lab:
    """The two-cell model with a source-specific group."""
    return two_cells("ssm", values.family, source_specific=True)


def perform(lab: RunningLab) -> SessionMeasurements:
    """Start the roles, then walk."""
    measurements = SessionMeasurements()
    with proactive_session(lab, measurements) as joined:
        for _ in range(lab.values.number("repeat")):
            hand_over(lab, joined.node, "proactive", joined.walk)
    return measurements


TOPOLOGY = Topology(
    name="ssm",
    summary="a mobile node walks between two cells and receives a source-specific group",
    options=OPTIONS,
    build=build,
    perform=perform,
    conclude=handover_figures.conclude,
    foresee=expectation.foresee,
    tables=TABLES,
    begin=begin,
)
