"""Session joins: what an MN was answered, in the frames its own interface saw, and how long each part took [7.2]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from captures.mmcp.lab import Lab
    from captures.mmcp.messages import Membership, Message
    from captures.mmcp.parameters import MobileNode

_MILLISECOND = 1_000_000

REFUSED = ("refused-by-sm", "refused-by-lmc", "unanswered")
OUTCOMES = ("lmc", "direct", *REFUSED)
"""How a join may end: member of an LMC, of the SM itself, refused by one of the two, or without any answer."""


@dataclass(frozen=True, slots=True)
class Session:
    """The time an MN runs with MMCP, from its session_begin to its session_end (else to the capture's end).

    `expected`: how the session's provisioning lets the join end, one of OUTCOMES; None where the lab does not say, and
    then the MN is to become a member.
    """

    mn: MobileNode
    begin_ns: int
    end_ns: int
    frame: int
    expected: str | None = None

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"session of {self.mn.name} from frame {self.frame}"

    @property
    def is_to_fail(self) -> bool:
        """Whether the MN must not become a member."""
        return self.expected in REFUSED


@dataclass(frozen=True, slots=True)
class Join:
    """The first join of a session, as far as it came; `report` is the MN's first IGMP or MLD report for the group."""

    session: Session
    requests: list[Message]
    confirm: Message | None
    local_request: Message | None
    local_confirm: Message | None
    report: Membership | None

    @property
    def request(self) -> Message | None:
        """The first SJR."""
        return self.requests[0] if self.requests else None

    @property
    def lmc(self) -> str | None:
        """Address of the LMC that the SM assigned."""
        named = None if self.confirm is None else self.confirm.parameter("lmc")
        return None if named is None else str(named[0])

    @property
    def outcome(self) -> str:
        """How it ended, one of OUTCOMES."""
        if self.confirm is None:
            return "unanswered"
        if not self.confirm.f:
            return "refused-by-sm"
        if self.lmc is None:
            return "direct"
        if self.local_confirm is None:
            return "unanswered"
        return "lmc" if self.local_confirm.f else "refused-by-lmc"

    @property
    def established(self) -> Message | None:
        """The message that made the MN a member, None if none did."""
        return {"lmc": self.local_confirm, "direct": self.confirm}.get(self.outcome)

    @property
    def messages(self) -> list[Message]:
        """What was said, in the order it should come in."""
        said = (self.request, self.confirm, self.local_request, self.local_confirm)
        return [message for message in said if message is not None]


def observe_join(lab: Lab, session: Session) -> Join:
    """What the MN's interface saw of its join. Answers count that come after what they answer."""
    mn, begin, end = session.mn, session.begin_ns, session.end_ns
    requests = lab.said(mn.interface, "SJR", begin, end, mn_id=mn.mn_id)
    confirm = local_request = local_confirm = None
    if requests:
        sm = lab.parameters.session_manager
        confirm = lab.answer(mn, "SJC", requests[0].t_ns, end, source=sm)
    named = None if confirm is None or not confirm.f else confirm.parameter("lmc")
    if confirm is not None and named is not None:
        lmc = str(named[0])
        local_requests = lab.said(mn.interface, "LJR", confirm.t_ns, end, mn_id=mn.mn_id, destination=lmc)
        if local_requests:
            local_request = local_requests[0]
            local_confirm = lab.answer(mn, "LJC", local_request.t_ns, end, source=lmc)
    return Join(session, requests, confirm, local_request, local_confirm, _first_report(lab, session))


def group_reports(lab: Lab, session: Session) -> list[Membership]:
    """The MN's IGMP or MLD reports for the group in a session."""
    mn = session.mn
    return [
        report
        for report in lab.reports_of(mn.interface, mn.addresses.values())
        if lab.parameters.group in report.joins and session.begin_ns <= report.t_ns <= session.end_ns
    ]


def _first_report(lab: Lab, session: Session) -> Membership | None:
    return next(iter(group_reports(lab, session)), None)


def join_record(lab: Lab, session: Session) -> dict[str, Any]:
    """One entry of the judgement's ``joins``. Times in ms; None where there is nothing to measure."""
    join = observe_join(lab, session)
    flow = lab.flow(session.mn.interface)
    span = flow.span(session.begin_ns, session.end_ns)
    began = None if join.request is None else join.request.t_ns

    def since(begin_ns: int | None, end_ns: int | None) -> float | None:
        return None if begin_ns is None or end_ns is None else round((end_ns - begin_ns) / _MILLISECOND, 6)

    def between(first: Message | None, second: Message | None) -> float | None:
        return since(None if first is None else first.t_ns, None if second is None else second.t_ns)

    return {
        "mn": session.mn.name,
        "expected": session.expected,
        "outcome": join.outcome,
        "requests": len(join.requests),
        "sjr_sjc_ms": between(join.request, join.confirm),
        "ljr_ljc_ms": between(join.local_request, join.local_confirm),
        "established_ms": between(join.request, join.established),
        "report_ms": since(began, None if join.report is None else join.report.t_ns),
        "first_data_ms": since(began, flow.t_ns[span[0]] if span else None),
        "packets": len(span),
    }
