"""Handovers while the control path loses datagrams (see testbed.mmcp.two_cells).

Once the node is in its session, every role loses a share of the MMCP datagrams that reach it; the stream loses none. Every
handover must be prepared or fall back, none may hang: all roles agree again within eight SPT.
"""

from __future__ import annotations

from testbed.mmcp import places, role_agreement
from testbed.mmcp import session as mmcp_session
from testbed.mmcp.options import stream_options, walk_options
from testbed.mmcp.results import TABLES, SessionMeasurements
from testbed.mmcp.session import begin
from testbed.mmcp.two_cells import two_cells
from testbed.mmcp.walking import hand_over, proactive_session
from testbed.net.impairment import datagrams_lost, lose_datagrams
from testbed.net.model import Lab
from testbed.run.laboratory import RunningLab, Topology
from testbed.run.options import Values, family_option, number_option

OPTIONS = (
    family_option(),
    number_option("loss", "Share of the MMCP datagrams that each role loses", "20", 0, 90, "percent"),
    number_option("repeat", "Handovers", "10", 1, 1000),
    *walk_options(overlap="1s", address_delay="20ms"),
    *stream_options("500"),
)

# The judge sees what was sent and not what reached a role, so it cannot ask for answers, nor for what follows from them.
WHY = "datagrams are lost in this lab after they were captured"
LEFT_OUT = (
    "mmcp-asr-complete", "mmcp-data-waits-for-mn", "mmcp-fallback-join", "mmcp-handover-context", "mmcp-handover-order",
    "mmcp-handover-answered", "mmcp-join-order", "mmcp-leave-answered", "mmcp-local-join-after-link-up",
    "mmcp-local-join-answered", "mmcp-new-cell-cold", "mmcp-no-session-join-after-confirm", "mmcp-old-lmc-forgets",
    "mmcp-probe-answered", "mmcp-probe-schedule", "mmcp-report-after-join", "mmcp-report-after-local-join",
    "mmcp-session-join-answered", "mmcp-transfer-answered", "mmcp-usr-period", "mmcp-usr-to-parent",
)  # fmt: skip


def build(values: Values) -> Lab:
    """The two-cell model."""
    return two_cells("lossy", values.family)


def perform(lab: RunningLab) -> SessionMeasurements:
    """Join, then lose, and walk."""
    measurements = SessionMeasurements()
    network = lab.network
    roles = ("sm", *places.controllers(lab.model).values(), "mn")
    with proactive_session(lab, measurements, dict.fromkeys(LEFT_OUT, WHY)) as joined:
        for name in roles:
            lose_datagrams(network, name, mmcp_session.MMCP_PORT, lab.values.number("loss") / 100)
        for _ in range(lab.values.number("repeat")):
            hand_over(lab, joined.node, "proactive", joined.walk, cold=False, expects=False)
            role_agreement.await_agreement(
                lab, joined, "after the handover", role_agreement.AGREEMENT_DEADLINE_WITH_LOSS_S
            )
        lost = {name: datagrams_lost(network, name) for name in roles}
    measurements.notes.append(f"MMCP datagrams lost: {', '.join(f'{name} {count}' for name, count in lost.items())}")
    if lab.values.number("loss") and not sum(lost.values()):
        measurements.failures.append("no datagram was lost: this run shows nothing")
    return measurements


TOPOLOGY = Topology(
    name="lossy",
    summary="handovers while the control path loses a share of its datagrams",
    options=OPTIONS,
    build=build,
    perform=perform,
    conclude=role_agreement.conclude,
    tables=TABLES,
    begin=begin,
)
