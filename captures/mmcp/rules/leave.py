"""How an MN leaves [7.3]: its notice and the answer, the group left on the link, the end of the data and of the reports."""

from __future__ import annotations

from collections.abc import Iterator

from captures.mmcp.leaves import first_report_without
from captures.rules.findings import Finding
from captures.rules.verdict import Case, milliseconds, numbers, rule

_SECOND = 1_000_000_000
_ANSWER_NS = 500_000_000  # an answer, or what follows from a leave at once, comes this soon
_AT_ONCE_NS = 200_000_000
_ROUTER_TOLERANCE_NS = 300_000_000  # beyond a router's own timers


@rule("leave-request", "7.3", "leave")
def leave_request(case: Case) -> Iterator[Finding]:
    """An MN that leaves with notice sends ULR to its parent, one that is gone without sends none."""
    for leave in case.leaves:
        mn, request = leave.session.mn, leave.request
        if not leave.notice:
            if request is not None:
                yield Finding(leave.name, "failed", f"{mn.name} was killed, and sent ULR", numbers(request))
            else:
                yield Finding(leave.name, "passed", f"{mn.name} went without ULR", (leave.frame,))
        elif request is None:
            yield Finding(leave.name, "failed", f"{mn.name} sent no ULR", (leave.frame,))
        elif request.destination != leave.parent:
            text = f"{mn.name} sent ULR to {request.destination}, its parent was {leave.parent}"
            yield Finding(leave.name, "failed", text, numbers(request))
        else:
            yield Finding(leave.name, "passed", f"{mn.name} sent ULR to its parent, {leave.parent}", numbers(request))


@rule("leave-confirmed", "7.3", "leave")
def leave_confirmed(case: Case) -> Iterator[Finding]:
    """Each ULR is answered with ULC, by the one it went to."""
    for session in case.sessions:
        mn = session.mn
        own = set(mn.addresses.values())
        requests = case.messages(mn.interface, "ULR", session.begin_ns, session.end_ns, mn_id=mn.mn_id)
        for request in requests:
            until = request.t_ns + _ANSWER_NS
            answers = case.messages(mn.interface, "ULC", request.t_ns, until, source=request.destination)
            answer = next((answer for answer in answers if answer.destination in own), None)
            subject = f"ULR of {mn.name} in frame {request.number}"
            if answer is None:
                text = f"{request.destination} sent no ULC within {milliseconds(_ANSWER_NS)}"
                yield Finding(subject, "failed", text, numbers(request))
            else:
                text = f"ULC {milliseconds(answer.t_ns - request.t_ns)} after ULR"
                yield Finding(subject, "passed", text, numbers(request, answer))


@rule("leave-group", "7.3", "leave")
def leave_group(case: Case) -> Iterator[Finding]:
    """However it leaves, the MN leaves the group with IGMP or MLD at once, and asks for it no more."""
    group = case.parameters.group
    for leave in case.leaves:
        mn, report = leave.session.mn, leave.report
        if report is None or report.t_ns - leave.since_ns > _ANSWER_NS:
            when = "at all" if report is None else f"before {milliseconds(report.t_ns - leave.since_ns)}"
            text = f"{mn.name} did not leave {group} {when}"
            yield Finding(leave.name, "failed", text, numbers(leave.request, report) or (leave.frame,))
            continue
        again = [
            other
            for other in case.timeline.reports_of(mn.interface, mn.addresses.values())
            if group in other.message.joins and report.t_ns < other.t_ns <= leave.until_ns
        ]
        if again:
            text = f"{mn.name} reported {group} again {milliseconds(again[0].t_ns - report.t_ns)} after it left"
            yield Finding(leave.name, "failed", text, numbers(report, *again))
        else:
            text = f"{report.message.version} leave {milliseconds(report.t_ns - leave.since_ns)} after the MN left"
            yield Finding(leave.name, "passed", text, numbers(leave.request, report))


@rule("leave-ends-stream", "7.3", "leave")
def leave_ends_stream(case: Case) -> Iterator[Finding]:
    """After the MN has left the group, its router stops the data on its link when its own timers allow."""
    bound_ns = round(case.parameters.last_member_query_s * _SECOND) + _ROUTER_TOLERANCE_NS
    for leave in case.leaves:
        latency = leave.latency_ns
        if leave.report is None:
            continue  # leave-group says so
        if latency is None:
            yield Finding(leave.name, "unseen", "no data was seen before the leave either", numbers(leave.report))
        elif latency > bound_ns:
            text = f"data {milliseconds(latency)} after the MN had left the group; {milliseconds(bound_ns)} are the router's"
            yield Finding(leave.name, "failed", text, numbers(leave.report))
        elif leave.until_ns - leave.report.t_ns <= bound_ns:
            text = f"nothing can be seen after {milliseconds(leave.until_ns - leave.report.t_ns)}"
            yield Finding(leave.name, "unseen", text, numbers(leave.report))
        else:
            text = f"the last data packet came {milliseconds(latency)} after the MN had left the group"
            yield Finding(leave.name, "passed", text, numbers(leave.report))


@rule("leave-is-final", "7.3", "leave")
def leave_is_final(case: Case) -> Iterator[Finding]:
    """An MN that has left says no more in its session."""
    for leave in case.leaves:
        mn = leave.session.mn
        after = [
            message
            for packet in ("SJR", "LJR", "USR", "HIR")
            for message in case.messages(mn.interface, packet, leave.since_ns, leave.until_ns, mn_id=mn.mn_id)
            if message.t_ns > leave.since_ns
        ]
        evidence = numbers(leave.request, *after) or (leave.frame,)
        if after:
            first = min(after, key=lambda message: message.t_ns)
            text = f"{mn.name} sent {first.packet} {milliseconds(first.t_ns - leave.since_ns)} after it left"
            yield Finding(leave.name, "failed", text, evidence)
        else:
            yield Finding(leave.name, "passed", f"{mn.name} was silent from then on", evidence)


@rule("asr-on-leave", "7.3", "leave")
def asr_on_leave(case: Case) -> Iterator[Finding]:
    """An LMC that is provisioned so tells the SM of a leave at once, with an ASR that names the MN no more."""
    for leave in case.leaves:
        if not leave.asr_on_leave or leave.confirm is None:
            continue
        report = first_report_without(case.timeline, leave)
        waited = None if report is None else report.t_ns - leave.confirm.t_ns
        if waited is None or waited > _AT_ONCE_NS:
            when = "none came" if waited is None else f"the first came after {milliseconds(waited)}"
            text = f"no ASR without {leave.session.mn.name} within {milliseconds(_AT_ONCE_NS)} of ULC: {when}"
            yield Finding(leave.name, "failed", text, numbers(leave.confirm, report))
        else:
            text = f"ASR without {leave.session.mn.name} {milliseconds(waited)} after ULC"
            yield Finding(leave.name, "passed", text, numbers(leave.confirm, report))
