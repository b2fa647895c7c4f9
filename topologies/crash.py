"""Roles that are killed at each step of a handover (see testbed.two_cells), and start again with nothing in their memory.

At every moment of a handover, the old LMC, the new LMC and the SM are killed with SIGKILL once each. Whatever happens, the
stream must resume within SPT, and all roles must agree again within five SPT: the node is established, one LMC has it, and
the SM knows which.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from testbed import mmcp_session, role_agreement
from testbed.laboratory import Conclusion, Measurements, Stage, Topology
from testbed.model import Lab
from testbed.options import Values, choice_option, duration_option, list_option, number_option
from testbed.roles import await_answer
from testbed.two_cells import controller_of, two_cells
from testbed.walking import MOMENTS, Company, hand_over, nominal_spacing_ns, proactive_session

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
    "asr-names-members", "asr-period", "data-waits-for-mn", "fallback-join", "handover-context", "handover-order",
    "local-join-after-link-up", "new-cell-cold", "no-session-join-after-confirm", "old-lmc-forgets-mn",
    "probe-schedule", "session-join-order", "usr-period",
)  # fmt: skip


def build(values: Values) -> Lab:
    """The two-cell model."""
    return two_cells("crash", 4 if values.word("family") == "4" else 6)


def perform(stage: Stage) -> Measurements:
    """One handover for each victim and moment, each followed by a look at what the roles know."""
    measurements = Measurements()
    with proactive_session(stage, measurements, dict.fromkeys(LEFT_OUT, WHY)) as company:
        for victim in stage.values.words("victims"):
            for moment in MOMENTS:
                measurements.notes.append(_crash(stage, company, victim, moment))
    return measurements


def _crash(stage: Stage, company: Company, victim: str, moment: str) -> str:
    """One handover with a death in it; says in words what became of it."""
    walk, running = company.walk, company.running
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

    number, _, _ = hand_over(stage, company.node, "proactive", walk, cold=False, disturb=disturb)
    await_answer(stage.world, running[name], ANSWER_DEADLINE_S)
    took_s = role_agreement.await_agreement(stage, company, f"{name} killed {moment}")
    return f"handover {number}: {name} killed {moment}, all agree {took_s:.1f} s after it"


def conclude(values: Values, measurements: Measurements, verdict: Mapping[str, Any]) -> Conclusion:
    """The stream must have resumed within SPT, in every handover."""
    expected = len(values.words("victims")) * len(MOMENTS)
    spacing_ns = nominal_spacing_ns(values)
    return role_agreement.conclude(
        verdict["handovers"], measurements.windows, expected=expected, nominal_spacing_ns=spacing_ns
    )


TOPOLOGY = Topology(
    name="crash",
    summary="LMCs and the SM are killed at every step of a handover; the stream resumes, and all agree again",
    options=OPTIONS,
    build=build,
    perform=perform,
    conclude=conclude,
)
