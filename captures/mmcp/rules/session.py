"""Session join and what may not come before it [7.1, 7.2]."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from captures.mmcp.joins import Session, group_reports
from captures.rules.findings import Finding, frames_of
from captures.rules.language import knowing

if TYPE_CHECKING:
    from captures.mmcp.lab import Lab
    from captures.mmcp.messages import Message


def first_confirm(lab: Lab, session: Session) -> Message | None:
    """The first SJC F=1 of the session that reached the MN's interface."""
    sm = lab.parameters.session_manager
    return lab.answer(session.mn, "SJC", session.begin_ns, session.end_ns, source=sm, f=1)


def session_join_order(lab: Lab) -> Iterator[Finding]:
    """A joining MN exchanges SJR, SJC, LJR and LJC in this order, read at its own interface."""
    for session in lab.watched(lab.sessions):
        if session.is_to_fail:
            continue
        mn, begin, end = session.mn, session.begin_ns, session.end_ns
        requests = lab.said(mn.interface, "SJR", begin, end, mn_id=mn.mn_id)
        if not requests:
            yield Finding(session.name, "failed", f"{mn.name} never sent an SJR", (session.frame,))
            continue
        request, confirm = requests[0], first_confirm(lab, session)
        local_requests = lab.said(mn.interface, "LJR", begin, end, mn_id=mn.mn_id)
        if confirm is None:
            yield Finding(session.name, "failed", f"no SJC F=1 answered the SJR of {mn.name}", frames_of(request))
            continue
        lmc = confirm.parameter("lmc")
        chain: list[Message | None] = [request, confirm]
        if lmc is not None:
            local = local_requests[0] if local_requests else None
            chain += [local, lab.answer(mn, "LJC", begin, end, source=lmc[0], f=1)]
        names = ["SJR", "SJC F=1", "LJR", "LJC F=1"][: len(chain)]
        missing = [name for name, message in zip(names, chain, strict=True) if message is None]
        seen = [message for message in chain if message is not None]
        if missing:
            yield Finding(session.name, "failed", f"{mn.name} joined without {', '.join(missing)}", frames_of(*seen))
        elif any(a.t_ns > b.t_ns for a, b in pairwise(seen)):
            order = ", ".join(message.packet for message in sorted(seen, key=lambda m: (m.t_ns, m.number)))
            yield Finding(session.name, "failed", f"{mn.name} joined in the order {order}", frames_of(*seen))
        elif lmc is not None and seen[2].destination != lmc[0]:
            wrong = f"the LJR of {mn.name} went to {seen[2].destination}, the SJC named {lmc[0]}"
            yield Finding(session.name, "failed", wrong, frames_of(*seen))
        else:
            yield Finding(session.name, "passed", f"{mn.name} joined: {', '.join(names)}", frames_of(*seen))
        yield from _later_joins(lab, session, [later for later in requests[1:] if later.t_ns > confirm.t_ns])


def _later_joins(lab: Lab, session: Session, requests: list[Message]) -> Iterator[Finding]:
    """Joins after the first, of which each SJR begins one; where no LJR follows, it renewed a membership or was resent."""
    mn = session.mn
    own = set(mn.addresses.values())
    ends = [*(request.t_ns for request in requests[1:]), session.end_ns]
    for request, end in zip(requests, ends, strict=False):
        begin = request.t_ns
        local = next(iter(lab.said(mn.interface, "LJR", begin, end, mn_id=mn.mn_id)), None)
        if local is None:
            continue
        # With a HIC that no LJC has made use of, the MN needs no SJC [D M-14].
        answers = [a.t_ns for a in lab.said(mn.interface, "LJC", session.begin_ns, begin) if a.destination in own]
        confirmed = lab.said(mn.interface, "HIC", max(answers, default=begin), local.t_ns, f=1)
        if any((c.parameter("lmc") or (None,))[0] == local.destination for c in confirmed):
            continue
        confirms = lab.said(mn.interface, "SJC", begin, end, source=lab.parameters.session_manager, f=1)
        confirm = next((c for c in confirms if c.destination in own), None)
        subject = f"{session.name}, join from frame {request.number}"
        evidence = frames_of(request, confirm, local)
        lmc = None if confirm is None else confirm.parameter("lmc")
        if confirm is None:
            yield Finding(subject, "failed", f"{mn.name} joined again without SJC F=1", evidence)
        elif local.t_ns < confirm.t_ns:
            yield Finding(subject, "failed", f"{mn.name} joined again in the order SJR, LJR, SJC", evidence)
        elif lmc is not None and local.destination != lmc[0]:
            wrong = f"the LJR of {mn.name} went to {local.destination}, the SJC named {lmc[0]}"
            yield Finding(subject, "failed", wrong, evidence)
        else:
            yield Finding(subject, "passed", f"{mn.name} joined again: SJR, SJC F=1, LJR", evidence)


@knowing("mmcp-no-report-before-confirm", "7.1", explained_by=("mmcp-join-order",))
def no_report_before_confirm(lab: Lab) -> Iterator[Finding]:
    """No IGMP or MLD report for the group leaves an MN before its SJC F=1."""
    group = lab.parameters.group
    for session in lab.watched(lab.sessions):
        if session.is_to_fail:
            continue
        mn = session.mn
        confirm = first_confirm(lab, session)
        request = next(iter(lab.said(mn.interface, "SJR", session.begin_ns, session.end_ns, mn_id=mn.mn_id)), None)
        reports = group_reports(lab, session)
        early = [report for report in reports if confirm is None or report.t_ns < confirm.t_ns]
        if early:
            yield Finding(
                session.name,
                "failed",
                f"{mn.name} sent {len(early)} {early[0].version} report(s) for {group} before "
                + ("its SJC F=1" if confirm else "any SJC F=1"),
                # A report may come from an address that no MMCP message has [RFC 3810 5.2.13]: the SJR tells whose it is.
                frames_of(request, confirm, *early),
            )
        elif not reports or confirm is None:
            # Where no report was ever seen, their absence before the SJC says nothing.
            yield Finding(session.name, "unseen", f"no report of {mn.name} for {group} was seen at all")
        else:
            yield Finding(
                session.name,
                "passed",
                f"the first report of {mn.name} followed its SJC",
                frames_of(confirm, reports[0]),
            )
