r"""A mobile node walks between two cells of different subnets while it receives a multicast stream.

::

    mcs ──── rr ──── sm            rr is the rendezvous point, the first router
            /  \
          ar1   ar2                access routers: PIM towards rr, IGMP or MLD towards their cell
           |     |
         poa1   poa2               points of attachment: Linux bridges, one radio cell each
         /  \   /  \
      lmc1   mn     lmc2           mn moves between poa1 and poa2; an LMC in each cell

The scenario compares ways to move, in one run: *proactive* (MMCP: the LMC of the next cell joins before the node is there),
*reactive* (no MMCP: the node joins again when it has its new address) and *silent* (the node waits for the router's query).
Each measured handover begins cold: the next cell's router has nothing of the group, in its daemon and in the kernel.
"""

from __future__ import annotations

import time
from dataclasses import replace

from testbed.mmcp import expectation, handover_figures, streaming
from testbed.mmcp import session as mmcp_session
from testbed.mmcp.options import address_delay_option, stream_options
from testbed.mmcp.results import TABLES, SessionMeasurements
from testbed.mmcp.session import begin
from testbed.mmcp.streaming import nominal_spacing_ns, receiver_window
from testbed.mmcp.two_cells import two_cells
from testbed.mmcp.walking import Walk, await_stream, hand_over, stop_mobile_node
from testbed.net.model import Lab
from testbed.run.laboratory import RunningLab, Topology
from testbed.run.options import Values, duration_option, family_option, file_option, list_option, number_option

MODES = ("proactive", "reactive", "silent")


def _with_media(values: Values, _model: Lab) -> str:
    return "with --media, which has a rate and a size of its own" if values.file("media") else ""


OPTIONS = (
    family_option(),
    list_option("modes", "Ways to move, in this order", "proactive,reactive", MODES),
    number_option("repeat", "Handovers of each mode", "5", 1, 1000),
    duration_option("l2-gap", "Time without any link between the cells", "50ms", 0.0, 10.0),
    duration_option("overlap", "Link trigger until link down", "200ms", 0.0, 10.0),
    address_delay_option(),
    *(replace(option, idle=_with_media) for option in stream_options("1000")),
    file_option("media", "MPEG-TS file to stream at its own rate instead; what the node receives is kept"),
    duration_option("max-excess", "Bound on a proactive handover's disruption beyond the gap", "250ms", 0.001, 60.0),
)


def build(values: Values) -> Lab:
    """The model, IPv4 or IPv6. A media file that cannot be streamed is refused before anything is made."""
    nominal_spacing_ns(values)
    return two_cells("handover", values.family)


def perform(lab: RunningLab) -> SessionMeasurements:
    """Start the roles, let the node walk in every mode, and measure."""
    measurements = SessionMeasurements()
    spacing_ns = nominal_spacing_ns(lab.values)
    mmcp_session.record_parameters(lab, spacing_ns)
    infrastructure = mmcp_session.start_infrastructure(lab)
    receiver = streaming.start_receiver(lab)
    walk = Walk()
    for mode in lab.values.words("modes"):
        lab.steps.add("session_begin", mode=mode, mn="mn")
        node = mmcp_session.start_mobile_node(lab, mode, walk.cell)
        await_stream(lab, f"the stream at the mobile node ({mode})")
        if measurements.start_to_first_data_s is None:
            measurements.start_to_first_data_s = round(time.monotonic() - lab.started, 3)
        for _ in range(lab.values.number("repeat")):
            number, begin_ns, end_ns = hand_over(lab, node, mode, walk)
            window = receiver_window(receiver, begin_ns, end_ns)
            measurements.windows[number] = window
            if "error" not in window:
                gap_ms = window["longest_gap_ns"] / 1e6
                lab.progress.note(f"  the receiver: {gap_ms:.1f} ms without a packet, {window['lost']} lost")
        stop_mobile_node(lab, node, walk)
        lab.steps.add("session_end", mode=mode, mn="mn")
    for role in (receiver, *infrastructure):
        lab.roles.stop(role)
    return measurements


TOPOLOGY = Topology(
    name="handover",
    summary="a mobile node walks between two cells and keeps receiving",
    options=OPTIONS,
    build=build,
    perform=perform,
    conclude=handover_figures.conclude,
    foresee=expectation.foresee,
    tables=TABLES,
    begin=begin,
    example="--family 6 --l2-gap 20ms",
)
