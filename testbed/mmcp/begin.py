"""A lab of MMCP's that is left to a person: everybody is there, and every mobile node in its session."""

from __future__ import annotations

from testbed.mmcp import places, session, streaming
from testbed.run.laboratory import RunningLab


def begin(lab: RunningLab) -> None:
    """Start the SM, the streams, the LMCs, and on each mobile node a receiver and MMCP's agent."""
    session.record_parameters(lab, streaming.nominal_spacing_ns(lab.values))
    session.start_infrastructure(lab)
    nodes = places.mobiles(lab.model)
    with lab.progress.step(f"{len(nodes)} mobile node{'s' if len(nodes) > 1 else ''}"):
        lab.roles.await_ready(*[streaming.launch_receiver(lab, node) for node in nodes])
        cells = {radio.node: radio.initially for radio in reversed(lab.model.radios) if radio.initially is not None}
        started = [session.launch_mobile_node(lab, "proactive", cell, node=node) for node, cell in cells.items()]
        lab.roles.await_ready(*started)
