"""How a session join ends [7.2]: member of an LMC or of the SM, refused by either, or unanswered; and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from captures.mmcp.joins import Join, group_reports
from captures.mmcp.parameters import tolerance_ns
from captures.rules.findings import Finding, frames_of
from captures.rules.language import in_seconds, knowing

if TYPE_CHECKING:
    from captures.mmcp.lab import Lab

_IN_WORDS = {
    "lmc": "a member of an LMC",
    "direct": "a member of the SM itself",
    "refused-by-sm": "refused by the SM",
    "refused-by-lmc": "refused by the LMC",
    "unanswered": "without an answer",
}


@knowing("mmcp-join-outcome", "7.2", "join")
def join_outcome(lab: Lab) -> Iterator[Finding]:
    """Who is admitted, who is refused and which LMC is assigned is as the operator has provisioned it."""
    for join in lab.watched(lab.joins):
        session = join.session
        if session.expected is None:
            continue
        evidence = frames_of(*join.messages) or (session.frame,)
        wanted, found = _IN_WORDS[session.expected], _IN_WORDS[join.outcome]
        if join.outcome != session.expected:
            text = f"{session.mn.name} was to be {wanted}, and was {found}"
            yield Finding(session.name, "failed", text, evidence)
        elif join.request is None:
            yield Finding(session.name, "failed", f"{session.mn.name} never sent an SJR", evidence)
        else:
            yield Finding(session.name, "passed", f"{session.mn.name} was {found}", evidence)


@knowing("mmcp-nothing-after-refusal", "7.2", "join")
def nothing_after_refusal(lab: Lab) -> Iterator[Finding]:
    """An MN whose join has failed is no member: it asks no LMC and reports its status to nobody."""
    for join in lab.watched(lab.joins):
        session, mn = join.session, join.session.mn
        if not session.is_to_fail or not join.messages:
            continue
        last = join.messages[-1]
        after = [
            message
            for packet in ("LJR", "USR")
            for message in lab.said(mn.interface, packet, last.t_ns, session.end_ns, mn_id=mn.mn_id)
            if message.number != last.number and not (packet == "LJR" and join.outcome == "unanswered" and join.lmc)
        ]
        if after:
            text = f"{mn.name} sent {after[0].packet} although its join had failed"
            yield Finding(session.name, "failed", text, frames_of(last, *after))
        else:
            yield Finding(session.name, "passed", f"{mn.name} sent neither LJR nor USR afterwards", frames_of(last))


@knowing("mmcp-no-report-when-refused", "7.1", "join")
def no_report_when_refused(lab: Lab) -> Iterator[Finding]:
    """No IGMP or MLD report for the group ever leaves an MN that is not admitted."""
    for join in lab.watched(lab.joins):
        session, mn = join.session, join.session.mn
        if not session.is_to_fail:
            continue
        reports = group_reports(lab, session)
        if reports:
            text = f"{mn.name} sent {len(reports)} report(s) for {lab.parameters.group} without being a member"
            yield Finding(session.name, "failed", text, frames_of(*join.messages, *reports))
            continue
        # From this interface, such reports are known to be seen in the capture when they are sent.
        other = next((j.report for j in lab.joins if j.report and j.report.interface == mn.interface), None)
        if other is None:
            yield Finding(session.name, "unseen", f"no report for {lab.parameters.group} was seen at all")
        else:
            text = f"{mn.name} sent no report for {lab.parameters.group}, others at {mn.interface} did"
            yield Finding(session.name, "passed", text, frames_of(*join.messages, other))


@knowing("mmcp-no-data-when-refused", "7.1", "join")
def no_data_when_refused(lab: Lab) -> Iterator[Finding]:
    """The session's data does not reach the link of an MN that is not admitted, while it flows elsewhere."""
    for join in lab.watched(lab.joins):
        session = join.session
        if not session.is_to_fail or join.request is None:
            continue
        interface, begin, end = session.mn.interface, join.request.t_ns, session.end_ns
        here = lab.flow(interface)
        arrived = here.span(begin, end)
        flowing = [(name, flow.span(begin, end)) for name, flow in lab.data.items() if flow.span(begin, end)]
        if arrived:
            text = f"{len(arrived)} data packets were seen at {interface}"
            yield Finding(session.name, "failed", text, (here.number[arrived[0]], here.number[arrived[-1]]))
        elif not flowing:
            yield Finding(session.name, "unseen", "no data was seen anywhere at that time")
        else:
            name, span = flowing[0]
            text = f"no data at {interface}, while {name} saw {len(span)} packets"
            yield Finding(session.name, "passed", text, frames_of(*join.messages))


@knowing("mmcp-join-retries", "7.2, D M-7", "join")
def join_retries(lab: Lab) -> Iterator[Finding]:
    """An SJR without an answer is sent again JWT later, `join_retries` times, and then no more."""
    jwt_s, retries = lab.parameters.jwt_s, lab.parameters.join_retries
    if jwt_s is None or retries is None:
        return
    for join in lab.watched(lab.joins):
        if join.request is None or join.confirm is not None:
            continue
        yield _judge_retries(join, round(jwt_s * 1e9), retries)


def _judge_retries(join: Join, jwt_ns: int, retries: int) -> Finding:
    tolerance = tolerance_ns(jwt_ns)
    subject, mn, evidence = join.session.name, join.session.mn, frames_of(*join.requests)
    gaps = [later.t_ns - earlier.t_ns for earlier, later in pairwise(join.requests)]
    wrong = [gap for gap in gaps if abs(gap - jwt_ns) > tolerance]
    remaining = join.session.end_ns - join.requests[-1].t_ns
    if len(join.requests) > 1 + retries:
        text = f"{mn.name} sent {len(join.requests)} SJRs, join_retries is {retries}"
        return Finding(subject, "failed", text, evidence)
    if wrong:
        text = f"{mn.name} sent SJR again after {in_seconds(wrong[0])}, JWT is {in_seconds(jwt_ns)}"
        return Finding(subject, "failed", text, evidence)
    if remaining <= jwt_ns + tolerance:
        return Finding(subject, "unseen", "the session ended before another SJR could have been due", evidence)
    if len(join.requests) < 1 + retries:
        text = f"{mn.name} sent {len(join.requests)} SJR(s) and gave up, join_retries is {retries}"
        return Finding(subject, "failed", text, evidence)
    text = f"{mn.name} sent {len(join.requests)} SJR(s), {in_seconds(jwt_ns)} apart, and gave up"
    return Finding(subject, "passed", text, evidence)


@knowing("mmcp-report-follows-join", "7.2", "join", explained_by=("mmcp-no-report-before-confirm",))
def report_follows_join(lab: Lab) -> Iterator[Finding]:
    """The MN joins the group with IGMP or MLD once it is a member, neither before nor never."""
    for join in lab.watched(lab.joins):
        session, established = join.session, join.established
        if session.is_to_fail or established is None:
            continue
        group = lab.parameters.group
        if join.report is None:
            text = f"{session.mn.name} became a member and sent no report for {group}"
            yield Finding(session.name, "failed", text, frames_of(established))
        elif join.report.t_ns < established.t_ns:
            ahead = in_seconds(established.t_ns - join.report.t_ns)
            text = f"{session.mn.name} sent its report for {group} {ahead} before {established.packet} made it a member"
            yield Finding(session.name, "failed", text, frames_of(join.report, established))
        else:
            after = in_seconds(join.report.t_ns - established.t_ns)
            text = f"{session.mn.name} sent its report for {group} {after} after {established.packet}"
            yield Finding(session.name, "passed", text, frames_of(established, join.report))
