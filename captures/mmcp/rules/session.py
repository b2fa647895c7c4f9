"""Session join and what may not come before it [7.1, 7.2], and the form of every message [8]."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from captures.mmcp.joins import Session, group_reports
from captures.rules.findings import Finding
from captures.rules.verdict import Case, numbers, rule

if TYPE_CHECKING:
    from captures.mmcp.timeline import Message


def first_confirm(case: Case, session: Session) -> Message | None:
    """The first SJC F=1 of the session that reached the MN's interface."""
    confirms = case.messages(
        session.mn.interface,
        "SJC",
        session.begin_ns,
        session.end_ns,
        source=case.parameters.session_manager,
        f=1,
    )
    return next((c for c in confirms if c.destination in session.mn.addresses.values()), None)


@rule("messages-well-formed", "8")
def messages_well_formed(case: Case) -> Iterator[Finding]:
    """Every datagram on the MMCP port is an MMCP message."""
    for malformed in case.timeline.malformed:
        yield Finding(
            malformed.interface,
            "failed",
            f"malformed MMCP message from {malformed.source}: {malformed.reason}",
            (malformed.number,),
        )
    if case.timeline.messages and not case.timeline.malformed:
        yield Finding("the capture", "passed", f"{len(case.timeline.messages)} MMCP messages, all well-formed")


@rule("session-join-order", "7.2")
def session_join_order(case: Case) -> Iterator[Finding]:
    """A joining MN exchanges SJR, SJC, LJR and LJC in this order, read at its own interface."""
    for session in case.sessions:
        if session.is_to_fail:
            continue
        mn, begin, end = session.mn, session.begin_ns, session.end_ns
        own = set(mn.addresses.values())
        requests = case.messages(mn.interface, "SJR", begin, end, mn_id=mn.mn_id)
        if not requests:
            yield Finding(session.name, "failed", f"{mn.name} never sent an SJR", (session.frame,))
            continue
        request, confirm = requests[0], first_confirm(case, session)
        local_requests = case.messages(mn.interface, "LJR", begin, end, mn_id=mn.mn_id)
        if confirm is None:
            yield Finding(session.name, "failed", f"no SJC F=1 answered the SJR of {mn.name}", numbers(request))
            continue
        lmc = confirm.parameter("lmc")
        chain: list[Message | None] = [request, confirm]
        if lmc is not None:
            local = local_requests[0] if local_requests else None
            accepted = [
                c for c in case.messages(mn.interface, "LJC", begin, end, source=lmc[0], f=1) if c.destination in own
            ]
            chain += [local, accepted[0] if accepted else None]
        names = ["SJR", "SJC F=1", "LJR", "LJC F=1"][: len(chain)]
        missing = [name for name, message in zip(names, chain, strict=True) if message is None]
        seen = [message for message in chain if message is not None]
        if missing:
            yield Finding(session.name, "failed", f"{mn.name} joined without {', '.join(missing)}", numbers(*seen))
        elif any(a.t_ns > b.t_ns for a, b in pairwise(seen)):
            order = ", ".join(message.packet for message in sorted(seen, key=lambda m: (m.t_ns, m.number)))
            yield Finding(session.name, "failed", f"{mn.name} joined in the order {order}", numbers(*seen))
        elif lmc is not None and seen[2].destination != lmc[0]:
            wrong = f"the LJR of {mn.name} went to {seen[2].destination}, the SJC named {lmc[0]}"
            yield Finding(session.name, "failed", wrong, numbers(*seen))
        else:
            yield Finding(session.name, "passed", f"{mn.name} joined: {', '.join(names)}", numbers(*seen))


@rule("no-report-before-confirm", "7.1")
def no_report_before_confirm(case: Case) -> Iterator[Finding]:
    """No IGMP or MLD report for the group leaves an MN before its SJC F=1."""
    group = case.parameters.group
    for session in case.sessions:
        if session.is_to_fail:
            continue
        mn = session.mn
        confirm = first_confirm(case, session)
        reports = group_reports(case.timeline, session)
        early = [report for report in reports if confirm is None or report.t_ns < confirm.t_ns]
        if early:
            yield Finding(
                session.name,
                "failed",
                f"{mn.name} sent {len(early)} {early[0].message.version} report(s) for {group} before "
                + ("its SJC F=1" if confirm else "any SJC F=1"),
                numbers(confirm, *early),
            )
        elif not reports or confirm is None:
            # Where no report was ever seen, their absence before the SJC says nothing.
            yield Finding(session.name, "unseen", f"no report of {mn.name} for {group} was seen at all")
        else:
            yield Finding(
                session.name, "passed", f"the first report of {mn.name} followed its SJC", numbers(confirm, reports[0])
            )
