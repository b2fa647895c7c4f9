"""Leaves that the scenario announces: what the MN said and was answered, and when the data stopped on its link [7.3]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from captures.files.capture import Step
    from captures.mmcp.joins import Session
    from captures.mmcp.lab import Lab
    from captures.mmcp.messages import Membership, Message

_MILLISECOND = 1_000_000
_BEFORE_NS = 1_000_000_000  # data must have been seen this shortly before, for its end to mean anything
_GOING_ON_NS = (
    100_000_000  # beside the stream's own pauses: data this shortly before the end of a session has not ended
)


@dataclass(frozen=True, slots=True)
class Leave:
    """One leave. `notice`: the MN is told to leave, else it is killed. `asr_on_leave`: its LMC is to tell the SM at once.

    `parent` is the address of the one whose member the MN was. `until_ns`: when the node may begin something new.
    `packets_before` and `last_data_ns` are of the data at the MN's interface, before the leave and after `report`, the
    first IGMP or MLD message in which the MN leaves the group. `goes_on`: the data had not ended when the session did.
    """

    session: Session
    notice: bool
    asr_on_leave: bool
    begin_ns: int
    until_ns: int
    frame: int
    parent: str | None
    request: Message | None
    confirm: Message | None
    report: Membership | None
    packets_before: int
    last_data_ns: int | None
    goes_on: bool

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"leave of {self.session.mn.name} at frame {self.frame}"

    @property
    def since_ns(self) -> int:
        """When the MN left: with its ULR, or when the scenario says so."""
        return self.begin_ns if self.request is None else self.request.t_ns

    @property
    def latency_ns(self) -> int | None:
        """From the MN's leave of the group to the last data packet on its link; None where either was not seen."""
        if self.report is None or not self.packets_before:
            return None
        return 0 if self.last_data_ns is None else self.last_data_ns - self.report.t_ns


def observe_leave(lab: Lab, session: Session, step: Step, confirms: Sequence[Message]) -> Leave:
    """The leave that a ``leave`` step announces; `confirms` are what made the MN a member in its session."""
    mn, begin = session.mn, step.t_ns
    begins = (s.t_ns for s in lab.steps if s.name == "session_begin" and s.t_ns > begin)
    until = next(begins, lab.steps[-1].t_ns)
    before = [confirm.source for confirm in confirms if confirm.t_ns < begin]
    requests = lab.said(mn.interface, "ULR", begin, until, mn_id=mn.mn_id)
    confirm = None
    if requests:
        confirm = lab.answer(mn, "ULC", requests[0].t_ns, until, source=requests[0].destination)
    report = next(
        (
            report
            for report in lab.reports_of(mn.interface, mn.addresses.values())
            if lab.parameters.group in report.leaves and begin <= report.t_ns <= until
        ),
        None,
    )
    flow = lab.flow(mn.interface)
    after = flow.span(begin if report is None else report.t_ns, until)
    last = flow.t_ns[after[-1]] if after else None
    pause_ns = _GOING_ON_NS + 2 * lab.parameters.nominal_spacing_ns
    return Leave(
        session,
        notice=bool(step.fields.get("notice", True)),
        asr_on_leave=bool(step.fields.get("asr_on_leave")),
        begin_ns=begin,
        until_ns=until,
        frame=step.number,
        parent=before[-1] if before else None,
        request=requests[0] if requests else None,
        confirm=confirm,
        report=report,
        packets_before=len(flow.span(begin - _BEFORE_NS, begin)),
        last_data_ns=last,
        goes_on=last is not None and last > session.end_ns - pause_ns,
    )


def first_report_without(lab: Lab, leave: Leave) -> Message | None:
    """The first ASR of the MN's LMC, sent after it left, that does not name it; None also where the SM was its parent."""
    lmc = next((lmc for lmc in lab.parameters.lmcs if lmc.address == leave.parent), None)
    if lmc is None:
        return None
    since = leave.since_ns if leave.confirm is None else leave.confirm.t_ns
    return lab.report_without(lmc, since, leave.session.mn.mn_id)


def leave_record(lab: Lab, leave: Leave) -> dict[str, Any]:
    """One entry of the judgement's ``leaves``. Times in ms, from ULR or, without notice, from the leave itself.

    ``latency_ms`` and ``observed_ms``, when the session ended, from the report; of data that went on until then there is no latency.
    """
    unnamed = first_report_without(lab, leave)

    def since(t_ns: int | None) -> float | None:
        return None if t_ns is None else _in_ms(t_ns - leave.since_ns)

    names = {lmc.address: lmc.name for lmc in lab.parameters.lmcs} | {lab.parameters.session_manager: "sm"}
    return {
        "mn": leave.session.mn.name,
        "notice": leave.notice,
        "parent": None if leave.parent is None else names.get(leave.parent, leave.parent),
        "asr_on_leave": leave.asr_on_leave,
        "ulr_ulc_ms": since(None if leave.confirm is None else leave.confirm.t_ns),
        "report_ms": since(None if leave.report is None else leave.report.t_ns),
        "latency_ms": None if leave.latency_ns is None or leave.goes_on else _in_ms(leave.latency_ns),
        "observed_ms": None if leave.report is None else _in_ms(leave.session.end_ns - leave.report.t_ns),
        "goes_on": leave.goes_on,
        "unnamed_ms": since(None if unnamed is None else unnamed.t_ns),
    }


def _in_ms(duration_ns: int) -> float:
    return round(duration_ns / _MILLISECOND, 6)
