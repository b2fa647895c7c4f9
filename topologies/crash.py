"""Roles that are killed at each step of a handover (see testbed.two_cells), and start again with nothing in their memory.

At every moment of a handover, the old LMC, the new LMC and the SM are killed with SIGKILL once each. Whatever happens, the
stream must resume within SPT, and all roles must agree again within five SPT: the node is established, one LMC has it, and
the SM knows which.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from testbed import mmcp_session, role_agreement
from testbed.laboratory import Conclusion, Measurements, Stage, Topology
from testbed.model import Lab
from testbed.options import Values, choice_option, duration_option, list_option, number_option
from testbed.roles import RunningRole, await_answer
from testbed.two_cells import CELLS, controller_of, two_cells
from testbed.walking import (
    MOMENTS,
    Walk,
    await_stream,
    hand_over,
    nominal_spacing_ns,
    receiver_window,
    stop_mobile_node,
)

VICTIMS = ("old-lmc", "new-lmc", "sm")
ANSWER_DEADLINE_S = 10.0

OPTIONS = (
    choice_option("family", "IP version", "4", ("4", "6")),
    list_option("victims", "Roles to kill, in this order", ",".join(VICTIMS), VICTIMS),
    duration_option("l2-gap", "Time without any link between the cells", "50ms", 0.0, 10.0),
    duration_option("overlap", "Link trigger until link down", "200ms", 0.0, 10.0),
    duration_option("address-delay", "Link up until the new address is there", "100ms", 0.0, 10.0),
    number_option("rate", "Stream", "500", 10, 5000, "packets/s"),
    number_option("size", "RTP payload of each packet", "188", 8, 1400, "bytes"),
)

WHY = "a role is killed in this lab"
LEFT_OUT = (
    "asr-period", "data-waits-for-mn", "fallback-join", "handover-context", "handover-order", "local-join-after-link-up",
    "new-cell-cold", "no-session-join-after-confirm", "old-lmc-forgets-mn", "session-join-order", "usr-period",
)  # fmt: skip


def build(values: Values) -> Lab:
    """The two-cell model."""
    return two_cells("crash", 4 if values.word("family") == "4" else 6)


def perform(stage: Stage) -> Measurements:
    """One handover for each victim and moment, each followed by a look at what the roles know."""
    measurements = Measurements()
    walk = Walk()
    mmcp_session.record_parameters(stage, nominal_spacing_ns(stage.values), dict.fromkeys(LEFT_OUT, WHY))
    running = {role.name: role for role in mmcp_session.start_infrastructure(stage)}
    receiver = mmcp_session.start_receiver(stage)
    stage.steps.add("session_begin", mode="proactive", mn="mn")
    node = mmcp_session.start_mobile_node(stage, "proactive", walk.cell)
    await_stream(stage, "the stream at the mobile node")
    measurements.start_to_first_data_s = round(time.monotonic() - stage.started, 3)
    for victim in stage.values.words("victims"):
        for moment in MOMENTS:
            measurements.notes.append(_crash(stage, node, walk, running, victim, moment))
            number, begin_ns, end_ns = walk.last
            measurements.windows[number] = receiver_window(receiver, begin_ns, end_ns)
    stop_mobile_node(stage, node, walk)
    stage.steps.add("session_end", mode="proactive", mn="mn")
    for name in ("mcs", *map(controller_of, CELLS), "sm"):
        stage.roles.stop(running[name])
    stage.roles.stop(receiver)
    return measurements


def _crash(
    stage: Stage, node: RunningRole, walk: Walk, running: dict[str, RunningRole], victim: str, moment: str
) -> str:
    """One handover with a death in it; says in words what became of it."""
    cells = {"old-lmc": walk.cell, "new-lmc": walk.next_cell}
    name = "sm" if victim == "sm" else controller_of(cells[victim])

    def disturb(now: str) -> None:
        if now != moment:
            return
        stage.steps.add("crash", role=name)
        stage.world.processes.kill(running[name].process)
        if victim == "sm":
            running[name] = mmcp_session.start_session_manager(stage)
        else:
            running[name] = mmcp_session.start_controller(stage, cells[victim])

    walk.last = hand_over(stage, node, "proactive", walk, cold=False, disturb=disturb)
    await_answer(stage.world, running[name], ANSWER_DEADLINE_S)
    took_s = role_agreement.await_agreement(stage, node, running, walk.cell, f"{name} killed {moment}")
    return f"handover {walk.last[0]}: {name} killed {moment}, all agree {took_s:.1f} s after it"


def conclude(values: Values, measurements: Measurements, verdict: Mapping[str, Any]) -> Conclusion:
    """The stream must have resumed within SPT, in every handover."""
    expected = len(values.words("victims")) * len(MOMENTS)
    return role_agreement.conclude(verdict["handovers"], measurements.windows, expected=expected)


TOPOLOGY = Topology(
    name="crash",
    summary="LMCs and the SM are killed at every step of a handover; the stream resumes, and all agree again",
    options=OPTIONS,
    build=build,
    perform=perform,
    conclude=conclude,
)
