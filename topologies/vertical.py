r"""A mobile node with two radios goes from one cell to the other and is in both for a while: vertical handover.

::

    mcs ──── rr ──── sm
            /  \
          ar1   ar2
           |     |
         poa1   poa2               the cells overlap; mn has a radio for each
         /  \   /  \
      lmc1   \ /    lmc2
              mn

The second radio gets its link while the first still has one. The node joins the group there before it leaves it on the first
radio, so not one packet may be lost; for that while the kernel gives it every packet twice, and what its receiver hands on
to the application must be each packet once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from testbed.mmcp import handover_figures
from testbed.mmcp.options import address_delay_option, stream_options
from testbed.mmcp.results import HANDOVERS, TABLES, SessionMeasurements
from testbed.mmcp.session import begin
from testbed.mmcp.two_cells import two_cells
from testbed.mmcp.walking import (
    QUIET_PACKETS,
    JoinedSession,
    measured_handover,
    pass_time,
    proactive_session,
)
from testbed.net.model import Lab
from testbed.run.laboratory import Conclusion, RunningLab, Topology
from testbed.run.mobility import attach, detach
from testbed.run.options import Values, duration_option, family_option, number_option

OPTIONS = (
    family_option(),
    number_option("repeat", "Handovers", "4", 1, 1000),
    duration_option("lead", "Link trigger until the other radio has its link", "100ms", 0.0, 10.0),
    duration_option("overlap", "Time in which both radios have a link", "300ms", 0.05, 10.0),
    address_delay_option(),
    *stream_options("1000"),
    duration_option("max-excess", "Bound on the longest time without a packet", "50ms", 0.001, 60.0),
)


def build(values: Values) -> Lab:
    """The two-cell model with a radio for each cell."""
    return two_cells("vertical", values.family, two_radios=True)


def perform(lab: RunningLab) -> SessionMeasurements:
    """Start the roles, then go from cell to cell, in both for a while."""
    measurements = SessionMeasurements()
    with proactive_session(lab, measurements) as joined:
        for _ in range(lab.values.number("repeat")):
            _hand_over(lab, joined)
    return measurements


def _hand_over(lab: RunningLab, joined: JoinedSession) -> None:
    network, steps, values, walk = lab.network, lab.steps, lab.values, joined.walk
    radios = {cell: radio for radio in network.model.radios_of("mn") for cell, _ in radio.addresses}
    origin, target = walk.cell, walk.next_cell
    overlap_s = values.seconds("overlap")
    with measured_handover(lab, "proactive", walk, 0.0, overlap_s, cold=True, quiet_packets=QUIET_PACKETS) as number:
        steps.add("link_trigger", handover=number)
        joined.node.ask(
            "link-event", event="link_detected", interface=radios[target].interface, point_of_attachment=target
        )
        pass_time(values.seconds("lead"))
        attach(network, radios[target], target, steps, handover=number)
        pass_time(overlap_s)
        detach(network, radios[origin], steps, handover=number)


def conclude(values: Values, measurements: SessionMeasurements, verdict: Mapping[str, Any]) -> Conclusion:
    """Nothing lost on the wire, and each packet handed on once, in order.

    Over routers whose latencies are their clock's an overlap may be too short, so that packets are lost.
    """
    prompt = "prompt" not in measurements.cannot
    # What the wire brings before the node is a member there, its kernel rightly drops: only the wire has seen it.
    conclusion = handover_figures.conclude(values, measurements, verdict, compared=("lost",))
    for row in conclusion.rows[HANDOVERS.name]:
        delivered = row["receiver"].get("delivered", {})
        if prompt and row["lost"] != 0:
            row["problems"].append(f"{row['lost']} packets were lost")
        if prompt and not row["duplicates"]:
            row["problems"].append("no packet came twice: the node was never a member on both radios")
        row["problems"] += [
            f"{delivered.get(what)} {what} among what was handed to the application, must be 0"
            for what in ("lost", "duplicates", "reordered")[0 if prompt else 1 :]
            if delivered.get(what) != 0
        ]
    return conclusion


TOPOLOGY = Topology(
    name="vertical",
    summary="a mobile node with two radios joins on the second before it leaves the first",
    options=OPTIONS,
    build=build,
    perform=perform,
    conclude=conclude,
    tables=TABLES,
    begin=begin,
)
