"""How a session join ends [7.2]: member of an LMC or of the SM, refused by either, or unanswered; and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from captures.mmcp.joins import Join, group_reports
from captures.rules.findings import Finding
from captures.rules.verdict import Case, milliseconds, numbers, rule

_TOLERANCE_SHARE = 0.1  # of a waiting time, but at least:
_TOLERANCE_MIN_NS = 200_000_000  # which a machine that is busy may be late by, however short JWT is
_IN_WORDS = {
    "lmc": "a member of an LMC",
    "direct": "a member of the SM itself",
    "refused-by-sm": "refused by the SM",
    "refused-by-lmc": "refused by the LMC",
    "unanswered": "without an answer",
}


@rule("join-outcome", "7.2", "join")
def join_outcome(case: Case) -> Iterator[Finding]:
    """Who is admitted, who is refused and which LMC is assigned is as the operator has provisioned it."""
    for join in case.joins:
        session = join.session
        if session.expected is None:
            continue
        evidence = numbers(*join.messages) or (session.frame,)
        wanted, found = _IN_WORDS[session.expected], _IN_WORDS[join.outcome]
        if join.outcome != session.expected:
            text = f"{session.mn.name} was to be {wanted}, and was {found}"
            yield Finding(session.name, "failed", text, evidence)
        elif join.request is None:
            yield Finding(session.name, "failed", f"{session.mn.name} never sent an SJR", evidence)
        else:
            yield Finding(session.name, "passed", f"{session.mn.name} was {found}", evidence)


@rule("refusal-is-empty", "8.3.2, D M-4", "join")
def refusal_is_empty(case: Case) -> Iterator[Finding]:
    """SJC with F=0 holds no parameters."""
    refusals = [
        message
        for message in case.timeline.messages
        if message.packet == "SJC" and not message.f and message.session_id == case.parameters.session_id
    ]
    wrong = [message for message in refusals if message.params]
    if wrong:
        held = ", ".join(str(kind) for kind, *_ in wrong[0].params)
        yield Finding("the capture", "failed", f"an SJC with F=0 holds {held}", numbers(*wrong))
    elif refusals:
        yield Finding("the capture", "passed", "every SJC with F=0 is without parameters", numbers(*refusals))


@rule("nothing-after-refusal", "7.2", "join")
def nothing_after_refusal(case: Case) -> Iterator[Finding]:
    """An MN whose join has failed is no member: it asks no LMC and reports its status to nobody."""
    for join in case.joins:
        session, mn = join.session, join.session.mn
        if not session.is_to_fail or not join.messages:
            continue
        last = join.messages[-1]
        after = [
            message
            for packet in ("LJR", "USR")
            for message in case.messages(mn.interface, packet, last.t_ns, session.end_ns, mn_id=mn.mn_id)
            if message.number != last.number and not (packet == "LJR" and join.outcome == "unanswered" and join.lmc)
        ]
        if after:
            text = f"{mn.name} sent {after[0].packet} although its join had failed"
            yield Finding(session.name, "failed", text, numbers(last, *after))
        else:
            yield Finding(session.name, "passed", f"{mn.name} sent neither LJR nor USR afterwards", numbers(last))


@rule("no-report-when-refused", "7.1", "join")
def no_report_when_refused(case: Case) -> Iterator[Finding]:
    """No IGMP or MLD report for the group ever leaves an MN that is not admitted."""
    for join in case.joins:
        session, mn = join.session, join.session.mn
        if not session.is_to_fail:
            continue
        reports = group_reports(case.timeline, session)
        if reports:
            text = f"{mn.name} sent {len(reports)} report(s) for {case.parameters.group} without being a member"
            yield Finding(session.name, "failed", text, numbers(*join.messages, *reports))
            continue
        # From this interface, such reports are known to be seen in the capture when they are sent.
        other = next((j.report for j in case.joins if j.report and j.report.interface == mn.interface), None)
        if other is None:
            yield Finding(session.name, "unseen", f"no report for {case.parameters.group} was seen at all")
        else:
            text = f"{mn.name} sent no report for {case.parameters.group}, others at {mn.interface} did"
            yield Finding(session.name, "passed", text, numbers(*join.messages, other))


@rule("no-data-when-refused", "7.1", "join")
def no_data_when_refused(case: Case) -> Iterator[Finding]:
    """The session's data does not reach the link of an MN that is not admitted, while it flows elsewhere."""
    for join in case.joins:
        session = join.session
        if not session.is_to_fail or join.request is None:
            continue
        interface, begin, end = session.mn.interface, join.request.t_ns, session.end_ns
        here = case.timeline.flow(interface)
        arrived = here.span(begin, end)
        flowing = [(name, flow.span(begin, end)) for name, flow in case.timeline.data.items() if flow.span(begin, end)]
        if arrived:
            text = f"{len(arrived)} data packets were seen at {interface}"
            yield Finding(session.name, "failed", text, (here.number[arrived[0]], here.number[arrived[-1]]))
        elif not flowing:
            yield Finding(session.name, "unseen", "no data was seen anywhere at that time")
        else:
            name, span = flowing[0]
            text = f"no data at {interface}, while {name} saw {len(span)} packets"
            yield Finding(session.name, "passed", text, numbers(*join.messages))


@rule("join-retries", "7.2, D M-7", "join")
def join_retries(case: Case) -> Iterator[Finding]:
    """An SJR without an answer is sent again JWT later, `join_retries` times, and then no more."""
    jwt_s, retries = case.parameters.jwt_s, case.parameters.join_retries
    if jwt_s is None or retries is None:
        return
    for join in case.joins:
        if join.request is None or join.confirm is not None:
            continue
        yield _judge_retries(join, round(jwt_s * 1e9), retries)


def _judge_retries(join: Join, jwt_ns: int, retries: int) -> Finding:
    tolerance = max(round(jwt_ns * _TOLERANCE_SHARE), _TOLERANCE_MIN_NS)
    subject, mn, evidence = join.session.name, join.session.mn, numbers(*join.requests)
    gaps = [later.t_ns - earlier.t_ns for earlier, later in pairwise(join.requests)]
    wrong = [gap for gap in gaps if abs(gap - jwt_ns) > tolerance]
    remaining = join.session.end_ns - join.requests[-1].t_ns
    if len(join.requests) > 1 + retries:
        text = f"{mn.name} sent {len(join.requests)} SJRs, join_retries is {retries}"
        return Finding(subject, "failed", text, evidence)
    if wrong:
        text = f"{mn.name} sent SJR again after {milliseconds(wrong[0])}, JWT is {milliseconds(jwt_ns)}"
        return Finding(subject, "failed", text, evidence)
    if remaining <= jwt_ns + tolerance:
        return Finding(subject, "unseen", "the session ended before another SJR could have been due", evidence)
    if len(join.requests) < 1 + retries:
        text = f"{mn.name} sent {len(join.requests)} SJR(s) and gave up, join_retries is {retries}"
        return Finding(subject, "failed", text, evidence)
    text = f"{mn.name} sent {len(join.requests)} SJR(s), {milliseconds(jwt_ns)} apart, and gave up"
    return Finding(subject, "passed", text, evidence)


@rule("report-follows-join", "7.2", "join")
def report_follows_join(case: Case) -> Iterator[Finding]:
    """The MN joins the group with IGMP or MLD once it is a member, neither before nor never."""
    for join in case.joins:
        session, established = join.session, join.established
        if session.is_to_fail or established is None:
            continue
        group = case.parameters.group
        if join.report is None:
            text = f"{session.mn.name} became a member and sent no report for {group}"
            yield Finding(session.name, "failed", text, numbers(established))
        elif join.report.t_ns < established.t_ns:
            ahead = milliseconds(established.t_ns - join.report.t_ns)
            text = f"{session.mn.name} sent its report for {group} {ahead} before {established.packet} made it a member"
            yield Finding(session.name, "failed", text, numbers(join.report, established))
        else:
            after = milliseconds(join.report.t_ns - established.t_ns)
            text = f"{session.mn.name} sent its report for {group} {after} after {established.packet}"
            yield Finding(session.name, "passed", text, numbers(established, join.report))
