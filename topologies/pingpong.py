"""A mobile node that goes back and forth between two cells, faster than its LMCs leave the group (see testbed.mmcp.two_cells).

Every handover is MMCP's. The cell it goes to is warm: its LMC may still be joined from the time before, or still hold the
node for its own. What must hold all the same: each handover is prepared, the stream goes on, all roles agree at the end. And
the handovers must follow each other as fast as was planned, or this lab does not show what it is for.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise

from testbed.mmcp import expectation, handover_figures, role_agreement
from testbed.mmcp.options import max_excess_option, stream_options, walk_options
from testbed.mmcp.results import TABLES, SessionMeasurements
from testbed.mmcp.session import begin
from testbed.mmcp.streaming import nominal_spacing_ns
from testbed.mmcp.two_cells import two_cells
from testbed.mmcp.walking import hand_over, proactive_session
from testbed.net.model import Lab
from testbed.run.laboratory import RunningLab, Topology
from testbed.run.options import Values, family_option, number_option

# Before the trigger and, twice, after the move. With the other defaults a round takes 400 ms.
QUIET_PACKETS = 60
FASTER_AT_MOST, SLOWER_AT_MOST = 0.9, 1.25  # the median round against the planned one

OPTIONS = (
    family_option(),
    number_option("repeat", "Handovers", "10", 1, 1000),
    *walk_options(overlap="150ms", address_delay="20ms"),
    *stream_options("1000"),
    max_excess_option(),
)


def build(values: Values) -> Lab:
    """The two-cell model."""
    return two_cells("pingpong", values.family)


def perform(lab: RunningLab) -> SessionMeasurements:
    """Start the roles, then go back and forth without a rest."""
    measurements = SessionMeasurements()
    with proactive_session(lab, measurements) as joined:
        for _ in range(lab.values.number("repeat")):
            hand_over(lab, joined.node, "proactive", joined.walk, cold=False, quiet_packets=QUIET_PACKETS)
        took_s = role_agreement.await_agreement(lab, joined, "after the last handover")
        measurements.notes.append(f"all agree {took_s:.1f} s after the last handover")
        begins_ns = [begin_ns for _, begin_ns, _ in joined.walk.done]
        judge_rounds(begins_ns, planned_round_ms(lab.values), measurements)
    return measurements


def planned_round_ms(values: Values) -> float:
    """From the beginning of one handover to that of the next, if nothing took any time but what was asked for."""
    quiet_ms = 3 * QUIET_PACKETS * nominal_spacing_ns(values) / 1e6
    return quiet_ms + sum(values.milliseconds(name) for name in ("overlap", "l2-gap", "address-delay"))


def judge_rounds(begins_ns: Sequence[int], planned_ms: float, measurements: SessionMeasurements) -> None:
    """Note how far apart the handovers began (CLOCK_REALTIME ns), and a failure if that was not as planned."""
    rounds_ms = [(after - before) / 1e6 for before, after in pairwise(begins_ns)]
    if not rounds_ms:
        return
    median = statistics.median(rounds_ms)
    figures = f"{median:.0f} ms apart ({min(rounds_ms):.0f} to {max(rounds_ms):.0f}), planned {planned_ms:.0f} ms"
    measurements.notes.append(f"handovers {figures}")
    if not FASTER_AT_MOST * planned_ms <= median <= SLOWER_AT_MOST * planned_ms:
        measurements.failures.append(f"handovers were {figures}: this run does not show what it should")


TOPOLOGY = Topology(
    name="pingpong",
    summary="a mobile node goes back and forth between two cells, 400 ms apart",
    options=OPTIONS,
    build=build,
    perform=perform,
    conclude=handover_figures.conclude,
    foresee=expectation.foresee,
    tables=TABLES,
    begin=begin,
)
