"""What a parent owes its children, and what it reports of them: probes on schedule, and everybody in the ASR [7.4]."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from captures.mmcp.children import PROBES, Child, Family, name_of
from captures.mmcp.parameters import tolerance_ns
from captures.rules.findings import Finding, frames_of

if TYPE_CHECKING:
    from captures.mmcp.lab import Lab
    from captures.mmcp.messages import Message

_SECOND = 1_000_000_000
_BURST_NS = 100_000_000  # ASRs in a row that are one, split to fit in 1400 bytes [D M-12]


def spt_tolerance_ns(lab: Lab) -> int:
    """How far from its time a probe may be."""
    return tolerance_ns(round(lab.parameters.spt_s * _SECOND))


def probe_schedule(lab: Lab) -> Iterator[Finding]:
    """A parent probes a silent child SPT, 2 SPT and 3 SPT after it was last heard, and then no more."""
    for family in lab.watched(lab.families):
        for child in family.children:
            if finding := _judge_probes(lab, child):
                yield finding
        gone = {child.address: child for child in family.children if child.ended in ("failed", "left")}
        for stray in family.strays:
            former = gone.get(stray.destination)
            if former is not None and former.end_ns < stray.t_ns:
                text = f"{family.parent.name} probed {former.name}, which had {former.ended}"
                evidence = frames_of(former.heard[-1], *former.probes[-PROBES:], stray)
                yield Finding(_subject(former), "failed", text, evidence)


def _subject(child: Child) -> str:
    return f"{child.name} with {child.parent.name} from frame {child.heard[0].number}"


def _judge_probes(lab: Lab, child: Child) -> Finding | None:
    """One stay of a child; None where no probe was due and none was sent."""
    spt_ns, tolerance = round(lab.parameters.spt_s * _SECOND), spt_tolerance_ns(lab)
    seen: list[str] = []
    for last, probes, heard, until in child.silences():
        due = min((until - last.t_ns - tolerance) // spt_ns, PROBES)
        away_ns = _left_its_link(lab, child, last.t_ns, until)
        due_while_there = min((away_ns - last.t_ns - tolerance) // spt_ns, due)
        after = [probe.t_ns - last.t_ns for probe in probes]
        evidence = frames_of(last, *probes, heard)
        for count, waited in enumerate(after, 1):
            if count > PROBES or abs(waited - count * spt_ns) > tolerance:
                text = (
                    f"{child.parent.name} sent {child.name} probe {count} {waited / _SECOND:.3f} s after it was heard"
                )
                return Finding(_subject(child), "failed", f"{text}; {_what_is_due(lab)}", evidence)
        if due_while_there <= len(probes) < due:
            text = f"{child.name} left the link of {child.parent.name} unheard: probes there need not reach the wire"
            return Finding(_subject(child), "unseen", text, evidence)
        if len(probes) < due:
            text = (
                f"{child.parent.name} did not hear {child.name} for {(until - last.t_ns) / _SECOND:.3f} s and sent it "
            )
            return Finding(_subject(child), "failed", f"{text}{len(probes)} probe(s); {_what_is_due(lab)}", evidence)
        if probes:
            times = ", ".join(f"{waited / _SECOND:.3f}" for waited in after)
            seen.append(f"probed {times} s after it was heard, {'then heard' if heard else f'then {child.ended}'}")
    if not seen:
        return None
    evidence = frames_of(*child.probes)
    return Finding(_subject(child), "passed", f"{child.parent.name}: {child.name} {'; '.join(seen)}", evidence)


def _left_its_link(lab: Lab, child: Child, begin_ns: int, end_ns: int) -> int:
    """When an MN left the link of its LMC, on which nobody answers for its address from then on; else ``end_ns``."""
    if child.parent.is_session_manager:
        return end_ns
    downs = (handover.down_ns for handover in lab.handovers_of(child.name))
    return min((down for down in downs if down is not None and begin_ns <= down <= end_ns), default=end_ns)


def _what_is_due(lab: Lab) -> str:
    return f"SPT is {lab.parameters.spt_s:g} s, {PROBES} probes are due"


def asr_names_members(lab: Lab) -> Iterator[Finding]:
    """An ASR counts and names exactly the MNs that the LMC has: nobody who left or failed, and everybody else."""
    for family in lab.watched(lab.families):
        parent = family.parent
        if parent.is_session_manager:
            continue
        end_ns = lab.steps[-1].t_ns if lab.steps else lab.end_ns
        reports = lab.said(parent.interface, "ASR", lab.begin_ns, end_ns, source=parent.address)
        wrong: list[tuple[str, list[Message]]] = []
        named = 0
        for whole in _whole_reports(reports):
            identifiers = _named(whole)
            named += len(identifiers)
            problem = _wrong_about(lab, family, whole, identifiers)
            if problem:
                wrong.append((problem, whole))
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            frames = frames_of(*(message for _, whole in wrong for message in whole))
            yield Finding(parent.name, "failed", f"the ASR of {parent.name} {wrong[0][0]}{more}", frames)
        elif named:  # an LMC that never had anybody says nothing about those it forgot
            text = f"{len(reports)} ASRs of {parent.name} name whom it had, {named} times in all"
            yield Finding(parent.name, "passed", text, frames_of(*reports))


def _whole_reports(reports: list[Message]) -> Iterator[list[Message]]:
    """ASRs by the time they are about: those that follow until all members counted are named."""
    whole: list[Message] = []
    for report in reports:
        if whole and report.t_ns - whole[0].t_ns > _BURST_NS:
            yield whole
            whole = []
        whole.append(report)
        counted = report.parameter("membership")
        if counted is None or len(_named(whole)) >= counted[0]:
            yield whole
            whole = []
    if whole:
        yield whole


def _named(whole: list[Message]) -> list[str]:
    return [str(values[0]) for message in whole for kind, *values in message.params if kind == "mn_id"]


def _wrong_about(lab: Lab, family: Family, whole: list[Message], named: list[str]) -> str | None:
    t_ns, tolerance, identifiers = whole[0].t_ns, spt_tolerance_ns(lab), set(named)
    if len(named) > len(identifiers):
        return "names an MN twice"
    counts = [None if counted is None else counted[0] for counted in (one.parameter("membership") for one in whole)]
    wrong = [counted for counted in counts if counted != len(identifiers)]
    if wrong:
        return f"counts {'nobody' if wrong[0] is None else wrong[0]} and names {len(identifiers)}"
    members = {child.identifier: child.name for child in family.at(t_ns)}
    # Who fails is removed when the parent looks, and what a parent knew before it was silenced is not known.
    open_question = {
        child.identifier
        for child in family.children
        if (child.ended == "failed" and abs(child.end_ns - t_ns) <= tolerance)
        or (child.ended == "unknown" and child.end_ns <= t_ns)
    }
    missing = [name for identifier, name in members.items() if identifier not in identifiers | open_question]
    if missing:
        return f"does not name {', '.join(missing)}"
    too_many = sorted(identifiers - members.keys() - open_question)
    if not too_many:
        return None
    name = name_of(lab.parameters, too_many[0])
    how = [child.ended for child in family.children if child.identifier == too_many[0] and child.end_ns <= t_ns]
    return f"names {name}, which {f'had {how[-1]}' if how else 'it has not admitted'}"
