"""What follows from silence [7.4]: probes answered by who is there, and what becomes of those whose parent is gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from captures.mmcp.children import PROBES
from captures.mmcp.rules.children import spt_tolerance_ns
from captures.mmcp.silences import first_report_without, reaction_to
from captures.rules.findings import Finding, frames_of
from captures.rules.language import in_seconds, knowing

if TYPE_CHECKING:
    from captures.mmcp.joins import Session
    from captures.mmcp.lab import Lab
    from captures.mmcp.messages import Message
    from captures.mmcp.silences import Silence

_SECOND = 1_000_000_000
_AT_ONCE_NS = 200_000_000


def probe_answered(lab: Lab) -> Iterator[Finding]:
    """A probe is answered at once: by an MN with USR to its parent, by an LMC with ASR to the SM."""
    for session in lab.watched(lab.sessions):
        mn = session.mn
        probes = [
            probe
            for probe in lab.received(mn, "USP", session.begin_ns, session.end_ns)
            if probe.source == lab.parent_at(session, probe.t_ns)
        ]
        answers = lab.said(mn.interface, "USR", session.begin_ns, session.end_ns, mn_id=mn.mn_id)
        yield from _judge_answers(lab, mn.name, probes, answers)
    sm = lab.parameters.session_manager
    begin, end = lab.begin_ns, lab.end_ns
    for lmc in lab.watched(lab.parameters.lmcs):
        probes = lab.said(lmc.interface, "USP", begin, end, source=sm, destination=lmc.address)
        reports = lab.said(lmc.interface, "ASR", begin, end, source=lmc.address, destination=sm)
        yield from _judge_answers(lab, lmc.name, probes, reports)


def _judge_answers(lab: Lab, name: str, probes: list[Message], answers: list[Message]) -> Iterator[Finding]:
    """Nothing is asked of one that the scenario keeps silent, but what it answers counts."""
    answered: list[Message] = []
    slowest_ns = 0
    for probe in probes:
        until = probe.t_ns + _AT_ONCE_NS
        answer = next((a for a in answers if probe.t_ns <= a.t_ns <= until and a.destination == probe.source), None)
        if answer is not None:
            answered += [probe, answer]
            slowest_ns = max(slowest_ns, answer.t_ns - probe.t_ns)
        elif not any(silence.excuses(probe.t_ns) for silence in lab.silences if silence.role == name):
            text = f"{name} did not answer {probe.source} within {in_seconds(_AT_ONCE_NS)}"
            yield Finding(f"probe of {name} in frame {probe.number}", "failed", text, frames_of(probe))
    if answered:
        text = f"{name} answered {len(answered) // 2} probe(s), {in_seconds(slowest_ns)} after them at most"
        yield Finding(name, "passed", text, frames_of(*answered))


@knowing("mmcp-silent-child-given-up", "7.4, D M-13", "status", explained_by=("mmcp-probe-schedule",))
def silent_child_given_up(lab: Lab) -> Iterator[Finding]:
    """A child that stays silent is given up 4 SPT after it was last heard; an LMC's next ASR does not name it any more."""
    for silence in lab.watched(lab.silences):
        reaction = reaction_to(lab.watched(lab.families), silence)
        if reaction is None:
            continue
        over_ns = reaction.last.t_ns + round((PROBES + 1) * lab.parameters.spt_s * _SECOND) + spt_tolerance_ns(lab)
        evidence = frames_of(reaction.last, *reaction.probes, reaction.heard)
        # It was heard in time, was no child any more, or its parent was silenced too.
        heard_ns = over_ns if reaction.heard is None else reaction.heard.t_ns
        if not reaction.failed and min(heard_ns, silence.end_ns, reaction.child.end_ns) < over_ns:
            continue
        if not reaction.failed:
            text = f"{reaction.child.parent.name} did not probe {silence.role} three times: it was not given up"
            yield Finding(silence.name, "failed", text, evidence)
            continue
        parent, unnamed = reaction.child.parent, first_report_without(lab, reaction)
        how = f"{parent.name} gave {silence.role} up after {len(reaction.probes)} probes"
        if parent.is_session_manager:
            yield Finding(silence.name, "passed", f"{how}; the SM reports to nobody", evidence)
        elif unnamed is None:
            yield Finding(silence.name, "failed", f"{how}, and its ASRs still name it", evidence)
        else:
            after = (unnamed.t_ns - reaction.last.t_ns) / _SECOND
            text = f"{how}; its ASR names it no more {after:.3f} s after it was heard"
            yield Finding(silence.name, "passed", text, (*evidence, unnamed.number))


@knowing("mmcp-failed-lmc-not-assigned", "7.4, D M-18", "status")
def failed_lmc_not_assigned(lab: Lab) -> Iterator[Finding]:
    """The SM assigns an LMC that it has given up to nobody until that LMC has announced itself again."""
    for family in lab.watched(lab.families):
        if not family.parent.is_session_manager:
            continue
        confirms = lab.said(
            family.parent.interface,
            "SJC",
            lab.begin_ns,
            lab.end_ns,
            source=family.parent.address,
            f=1,
        )
        for child in family.children:
            if child.ended != "failed":
                continue
            lmc = next((lmc for lmc in lab.parameters.lmcs if lmc.name == child.name), None)
            if lmc is None:
                continue
            again = [
                c.begin_ns for c in family.children if c.identifier == child.identifier and c.begin_ns > child.end_ns
            ]
            until = min([*again, lab.end_ns])
            later = [c for c in confirms if child.end_ns < c.t_ns < until and c.destination != lmc.address]
            naming = [c for c in later if (named := c.parameter("lmc")) is not None and named[0] == lmc.address]
            wrong = [c for c in naming if c.t_ns > child.end_ns + spt_tolerance_ns(lab)]
            subject = f"{lmc.name}, silent from frame {child.heard[-1].number}"
            if wrong:
                text = f"{wrong[0].destination} was given {lmc.name} although it had failed"
                yield Finding(subject, "failed", text, frames_of(*wrong))
            elif len(later) > len(naming):
                text = f"{len(later) - len(naming)} SJC after its failure do not name it"
                yield Finding(subject, "passed", text, frames_of(*later))
            else:
                yield Finding(subject, "unseen", "nobody has joined since it failed")


@knowing("mmcp-lost-parent", "D M-25, D M-27", "status", explained_by=("mmcp-session-join-answered",))
def lost_parent(lab: Lab) -> Iterator[Finding]:
    """An MN whose LMC answers no more joins the session again: SJR after three renewals in vain, and so on until it is in."""
    for silence in lab.watched(lab.silences):
        lmc = next((lmc for lmc in lab.parameters.lmcs if lmc.name == silence.role), None)
        if lmc is None:
            continue
        for session in lab.watched(lab.sessions):
            if session.begin_ns <= silence.begin_ns <= session.end_ns and (
                lab.parent_at(session, silence.begin_ns) == lmc.address
            ):
                yield _judge_return(lab, session, silence, lmc.address)


def _judge_return(lab: Lab, session: Session, silence: Silence, lmc: str) -> Finding:
    mn = session.mn
    due_ns = silence.begin_ns + round((PROBES + 1) * lab.parameters.spt_s * _SECOND) + spt_tolerance_ns(lab)
    until = min(session.end_ns, silence.end_ns)
    requests = lab.said(mn.interface, "SJR", silence.begin_ns, until, mn_id=mn.mn_id)
    subject = f"{mn.name} without {silence.name}"
    if not requests or requests[0].t_ns > due_ns:
        if until < due_ns:
            return Finding(subject, "unseen", "the silence was too short for it", (silence.frame,))
        text = f"{mn.name} sent no SJR within {(due_ns - silence.begin_ns) / _SECOND:.1f} s"
        in_vain = lab.said(mn.interface, "LJR", silence.begin_ns, until, mn_id=mn.mn_id, destination=lmc)
        return Finding(subject, "failed", text, (silence.frame, *frames_of(*in_vain, *requests)))
    renewals = lab.said(mn.interface, "LJR", silence.begin_ns, requests[0].t_ns, mn_id=mn.mn_id, destination=lmc)
    evidence = frames_of(*renewals, *requests)
    if len(renewals) != PROBES:
        text = f"{mn.name} sent SJR after {len(renewals)} LJR without an answer, {PROBES} are due"
        return Finding(subject, "failed", text, evidence)
    confirm = next((c for c in lab.confirms(session) if c.t_ns > requests[0].t_ns), None)
    if confirm is None:
        return Finding(subject, "failed", f"{mn.name} did not become a member again", evidence)
    left = [
        report
        for report in lab.reports_of(mn.interface, mn.addresses.values())
        if lab.parameters.group in report.leaves and silence.begin_ns <= report.t_ns <= confirm.t_ns
    ]
    if left:
        return Finding(subject, "failed", f"{mn.name} left the group meanwhile", frames_of(*left, *requests))
    after = (confirm.t_ns - silence.begin_ns) / _SECOND
    text = f"{len(renewals)} LJR in vain, {len(requests)} SJR; a member of {confirm.source} again after {after:.1f} s"
    return Finding(subject, "passed", text, (*evidence, confirm.number))
