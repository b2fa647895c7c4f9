"""How an MN leaves [7.3]: its notice, the group left on the link, the end of the data and of the reports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from captures.mmcp.leaves import first_report_without
from captures.rules.findings import Finding, frames_of
from captures.rules.language import in_seconds, knowing

if TYPE_CHECKING:
    from captures.mmcp.lab import Lab

_SECOND = 1_000_000_000
_ANSWER_NS = 500_000_000  # what follows from a leave at once comes this soon
_AT_ONCE_NS = 200_000_000
_ROUTER_TOLERANCE_NS = 300_000_000  # beyond a router's own timers


@knowing("mmcp-leave-request", "7.3", "leave")
def leave_request(lab: Lab) -> Iterator[Finding]:
    """An MN that leaves with notice sends ULR to its parent, one that is gone without sends none."""
    for leave in lab.watched(lab.leaves):
        mn, request = leave.session.mn, leave.request
        if not leave.notice:
            if request is not None:
                yield Finding(leave.name, "failed", f"{mn.name} was killed, and sent ULR", frames_of(request))
            else:
                yield Finding(leave.name, "passed", f"{mn.name} went without ULR", (leave.frame,))
        elif request is None:
            joined = lab.confirms(leave.session)[-1:]
            yield Finding(leave.name, "failed", f"{mn.name} sent no ULR", (leave.frame, *frames_of(*joined)))
        elif request.destination != leave.parent:
            text = f"{mn.name} sent ULR to {request.destination}, its parent was {leave.parent}"
            yield Finding(leave.name, "failed", text, frames_of(request))
        else:
            yield Finding(leave.name, "passed", f"{mn.name} sent ULR to its parent, {leave.parent}", frames_of(request))


def leave_answered(lab: Lab) -> Iterator[Finding]:
    """Each ULR is answered with ULC by the one it went to, were it sent again or not."""
    for session in lab.sessions:
        mn = session.mn
        own = set(mn.addresses.values())
        for request in lab.said(mn.interface, "ULR", session.begin_ns, session.end_ns, mn_id=mn.mn_id):
            until = request.t_ns + _ANSWER_NS
            answers = lab.said(mn.interface, "ULC", request.t_ns, until, source=request.destination)
            answer = next((answer for answer in answers if answer.destination in own), None)
            subject = f"ULR of {mn.name} in frame {request.number}"
            if answer is not None:
                text = f"ULC {in_seconds(answer.t_ns - request.t_ns)} after ULR"
                yield Finding(subject, "passed", text, frames_of(request, answer))
            elif until > lab.end_ns:
                yield Finding(subject, "unseen", "the capture ends before the answer is due", frames_of(request))
            else:
                text = f"{request.destination} sent no ULC within {in_seconds(_ANSWER_NS)}"
                yield Finding(subject, "failed", text, frames_of(request))


@knowing("mmcp-leave-group", "7.3", "leave")
def leave_group(lab: Lab) -> Iterator[Finding]:
    """However it leaves, the MN leaves the group with IGMP or MLD at once, and asks for it no more."""
    group = lab.parameters.group
    for leave in lab.watched(lab.leaves):
        mn, report = leave.session.mn, leave.report
        if report is None or report.t_ns - leave.since_ns > _ANSWER_NS:
            when = "at all" if report is None else f"before {in_seconds(report.t_ns - leave.since_ns)}"
            text = f"{mn.name} did not leave {group} {when}"
            yield Finding(leave.name, "failed", text, frames_of(leave.request, report) or (leave.frame,))
            continue
        again = [
            other
            for other in lab.reports_of(mn.interface, mn.addresses.values())
            if group in other.joins and report.t_ns < other.t_ns <= leave.until_ns
        ]
        if again:
            text = f"{mn.name} reported {group} again {in_seconds(again[0].t_ns - report.t_ns)} after it left"
            yield Finding(leave.name, "failed", text, frames_of(report, *again))
        else:
            text = f"{report.version} leave {in_seconds(report.t_ns - leave.since_ns)} after the MN left"
            yield Finding(leave.name, "passed", text, frames_of(leave.request, report))


@knowing("mmcp-leave-ends-stream", "7.3", "leave")
def leave_ends_stream(lab: Lab) -> Iterator[Finding]:
    """After the MN has left the group, its router stops the data on its link when its own timers allow."""
    bound_ns = round(lab.parameters.last_member_query_s * _SECOND) + _ROUTER_TOLERANCE_NS
    for leave in lab.watched(lab.leaves):
        latency = leave.latency_ns
        if leave.report is None:
            continue  # leave-group says so
        if latency is None:
            yield Finding(leave.name, "unseen", "no data was seen before the leave either", frames_of(leave.report))
        elif latency > bound_ns:
            text = (
                f"data {in_seconds(latency)} after the MN had left the group; {in_seconds(bound_ns)} are the router's"
            )
            yield Finding(leave.name, "failed", text, frames_of(leave.report))
        elif leave.until_ns - leave.report.t_ns <= bound_ns:
            text = f"nothing can be seen after {in_seconds(leave.until_ns - leave.report.t_ns)}"
            yield Finding(leave.name, "unseen", text, frames_of(leave.report))
        else:
            text = f"the last data packet came {in_seconds(latency)} after the MN had left the group"
            yield Finding(leave.name, "passed", text, frames_of(leave.report))


@knowing("mmcp-leave-is-final", "7.3", "leave")
def leave_is_final(lab: Lab) -> Iterator[Finding]:
    """An MN that has left says no more in its session."""
    for leave in lab.watched(lab.leaves):
        mn = leave.session.mn
        after = [
            message
            for packet in ("SJR", "LJR", "USR", "HIR")
            for message in lab.said(mn.interface, packet, leave.since_ns, leave.until_ns, mn_id=mn.mn_id)
            if message.t_ns > leave.since_ns
        ]
        evidence = frames_of(leave.request, *after) or (leave.frame,)
        if after:
            first = min(after, key=lambda message: message.t_ns)
            text = f"{mn.name} sent {first.packet} {in_seconds(first.t_ns - leave.since_ns)} after it left"
            yield Finding(leave.name, "failed", text, evidence)
        else:
            yield Finding(leave.name, "passed", f"{mn.name} was silent from then on", evidence)


@knowing("mmcp-asr-on-leave", "7.3", "leave", explained_by=("mmcp-leave-request",))
def asr_on_leave(lab: Lab) -> Iterator[Finding]:
    """An LMC that is provisioned so tells the SM of a leave at once, with an ASR that names the MN no more."""
    for leave in lab.watched(lab.leaves):
        if not leave.asr_on_leave or leave.confirm is None:
            continue
        report = first_report_without(lab, leave)
        waited = None if report is None else report.t_ns - leave.confirm.t_ns
        if waited is None or waited > _AT_ONCE_NS:
            when = "none came" if waited is None else f"the first came after {in_seconds(waited)}"
            text = f"no ASR without {leave.session.mn.name} within {in_seconds(_AT_ONCE_NS)} of ULC: {when}"
            yield Finding(leave.name, "failed", text, frames_of(leave.confirm, report))
        else:
            text = f"ASR without {leave.session.mn.name} {in_seconds(waited)} after ULC"
            yield Finding(leave.name, "passed", text, frames_of(leave.confirm, report))
