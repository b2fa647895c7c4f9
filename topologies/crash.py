"""Roles that are killed at seven steps of a handover (see testbed.mmcp.two_cells), and start again with nothing in their memory.

At each of these steps the old LMC, the new LMC and the SM are killed with SIGKILL once each. Whatever happens, the
stream must resume within SPT, and all roles must agree again within five SPT: the node is established, one LMC has it, and
the SM knows which.

A step that would be over in a moment is held open: the packet that ends it is lost on its way in, until the role is dead and
has been started again. What a role does in one go, between a packet in and a packet out, cannot be held: HIR-RCVD and
HCT-SENT of the old LMC are one step here.
"""

from __future__ import annotations

from dataclasses import dataclass

from testbed.mmcp import packets, places, role_agreement, staying
from testbed.mmcp import session as mmcp_session
from testbed.mmcp.options import address_delay_option, stream_options
from testbed.mmcp.results import TABLES, SessionMeasurements
from testbed.mmcp.session import begin
from testbed.mmcp.two_cells import two_cells
from testbed.mmcp.walking import JoinedSession, Walk, hand_over, proactive_session
from testbed.net import impairment
from testbed.net.model import Lab
from testbed.run.laboratory import RunningLab, Topology
from testbed.run.options import Values, duration_option, family_option, list_option
from testbed.run.roles import await_answer

VICTIMS = ("old-lmc", "new-lmc", "sm")
ANSWER_DEADLINE_S = 10.0
HELD_DEADLINE_S = 3.0  # HIR, HCT and LJR follow each other in some milliseconds


@dataclass(frozen=True, slots=True)
class HandoverStep:
    """A step of a handover: at which of ``walking.MOMENTS`` the role is killed, and how the step is held open until then.

    ``lost``: the packet that would end the step, and who loses it: "old-lmc", "new-lmc" or "mn". ``states``: those of the
    node and of the old LMC's handover (None: it has none) in a step that is held open.
    """

    words: str
    moment: str
    lost: tuple[bytes, str] | None = None
    states: tuple[str, str | None] = ("", None)


STEPS = {
    "trigger": HandoverStep("before the trigger", "before the trigger"),
    "hct": HandoverStep(
        "in HCT-SENT, HCT not received", "after the trigger", (packets.HCT, "new-lmc"), ("HIR-SENT", "HCT-SENT")
    ),
    "hta": HandoverStep(
        "in HCT-SENT, HTA not received", "after the trigger", (packets.HTA, "old-lmc"), ("HIR-SENT", "HCT-SENT")
    ),
    "hic": HandoverStep("after HTA, HIC not received", "after the trigger", (packets.HIC, "mn"), ("HIR-SENT", None)),
    "link-down": HandoverStep("before the link goes", "before the link goes"),
    "link-up": HandoverStep("after link up", "after link up"),
    "ljc": HandoverStep("after LJR, LJC not received", "after link up", (packets.LJC, "mn"), ("LJR-SENT", None)),
}

OPTIONS = (
    family_option(),
    list_option("victims", "Roles to kill, in this order", ",".join(VICTIMS), VICTIMS),
    list_option("steps", "When to kill each, in this order", ",".join(STEPS), tuple(STEPS)),
    duration_option("l2-gap", "Time without any link between the cells", "50ms", 0.0, 10.0),
    duration_option(
        "overlap", "Link trigger until link down, without the time that a step is held", "200ms", 0.0, 10.0
    ),
    address_delay_option(),
    *stream_options("500"),
)

WHY = "a role is killed in this lab"
LEFT_OUT = (
    "mmcp-asr-complete", "mmcp-data-waits-for-mn", "mmcp-fallback-join", "mmcp-handover-context", "mmcp-handover-order",
    "mmcp-join-order", "mmcp-local-join-after-link-up", "mmcp-new-cell-cold", "mmcp-no-session-join-after-confirm",
    "mmcp-old-lmc-forgets", "mmcp-probe-schedule", "rtp-loss",
    # Who comes after it knows nothing of what it was asked, how often it has sent, or when it was to report.
    "mmcp-asr-period", "mmcp-handover-answered", "mmcp-local-join-answered", "mmcp-probe-answered",
    "mmcp-session-join-answered", "mmcp-transfer-answered", "mmcp-transfer-count", "mmcp-transfer-pace", "mmcp-usr-period",
)  # fmt: skip


def build(values: Values) -> Lab:
    """The two-cell model."""
    return two_cells("crash", values.family)


def perform(lab: RunningLab) -> SessionMeasurements:
    """One handover for each victim and step, each followed by a look at what the roles know."""
    measurements = SessionMeasurements()
    with proactive_session(lab, measurements, dict.fromkeys(LEFT_OUT, WHY)) as joined:
        for victim in lab.values.words("victims"):
            for step in lab.values.words("steps"):
                _crash(lab, joined, victim, STEPS[step], measurements)
    return measurements


def _crash(
    lab: RunningLab, joined: JoinedSession, victim: str, step: HandoverStep, measurements: SessionMeasurements
) -> None:
    """One handover with a death in it; notes in words what became of it."""
    walk, running = joined.walk, joined.running
    cells = {"old-lmc": walk.cell, "new-lmc": walk.next_cell}
    name = "sm" if victim == "sm" else places.controller_of(lab.model, cells[victim])
    loser = None if step.lost is None else _node(lab, walk, step.lost[1])

    def disturb(now: str) -> None:
        if step.lost is not None and now == "before the trigger":
            impairment.lose_packets(lab.network, _node(lab, walk, step.lost[1]), mmcp_session.MMCP_PORT, step.lost[0])
        if now != step.moment:
            return
        if loser is not None:
            _await_held(lab, loser, step)
            seen = _states(lab, joined)
            if seen != step.states:
                measurements.failures.append(f"{name} was killed in {seen}, which is not {step.words}: {step.states}")
        lab.steps.add("crash", role=name)
        lab.network.processes.kill(running[name].process)
        if victim == "sm":
            running[name] = mmcp_session.start_session_manager(lab)
        else:
            running[name] = mmcp_session.start_controller(lab, cells[victim])
        if loser is not None:
            impairment.let_packets_pass(lab.network, loser)

    number, _, _ = hand_over(lab, joined.node, "proactive", walk, cold=False, disturb=disturb)
    await_answer(lab.network, running[name], ANSWER_DEADLINE_S)
    took_s = role_agreement.await_agreement(lab, joined, f"{name} killed {step.words}")
    measurements.notes.append(f"handover {number}: {name} killed {step.words}, all agree {took_s:.1f} s after it")


def _node(lab: RunningLab, walk: Walk, place: str) -> str:
    """The node of the mobile node, or of the LMC that is the old or the new one of the next handover."""
    if place == "mn":
        return walk.node
    return places.controller_of(lab.model, {"old-lmc": walk.cell, "new-lmc": walk.next_cell}[place])


def _await_held(lab: RunningLab, loser: str, step: HandoverStep) -> None:
    """Wait until the packet that ends the step has been lost: the handover has come to this step and not beyond."""

    def lost() -> tuple[bool, str]:
        return impairment.packets_lost(lab.network, loser) > 0, "none has come"

    assert step.lost is not None
    lab.network.eventually(f"{loser} to lose the packet that ends the step", lost, HELD_DEADLINE_S, quiet=True)


def _states(lab: RunningLab, joined: JoinedSession) -> tuple[str, str | None]:
    """The state of the mobile node, and of the handover at the LMC that it is leaving."""
    handovers = staying.table(joined.running[places.controller_of(lab.model, joined.walk.cell)])["handovers"]
    handover = handovers.get(places.MN_ID.encode().hex(), {})
    return staying.table(joined.node)["state"], handover.get("state")


TOPOLOGY = Topology(
    name="crash",
    summary="LMCs and the SM are killed at seven steps of a handover; the stream resumes, and all agree again",
    options=OPTIONS,
    build=build,
    perform=perform,
    conclude=role_agreement.conclude,
    tables=TABLES,
    begin=begin,
)
