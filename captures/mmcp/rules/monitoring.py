"""Status reports: USR of every MN and ASR of every LMC, once per SRT [7.4]."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from captures.mmcp.joins import Session
from captures.mmcp.parameters import tolerance_ns
from captures.rules.findings import Finding, frames_of
from captures.rules.language import knowing
from captures.rules.operators_time import on_beat

if TYPE_CHECKING:
    from captures.mmcp.lab import Lab
    from captures.mmcp.messages import Message

_SECOND = 1_000_000_000
_ANSWER_NS = 500_000_000  # a report this soon after a probe or a leave answers it
_CROSSING_NS = 20_000_000  # two messages this close may have crossed
_BURST_NS = 100_000_000  # reports in a row that are one, split to fit in 1400 bytes [D M-12]


class _Schedule:
    """When the next report of a node is due, and what is wrong with the ones that were seen.

    `anchors` are the times from which the period may count: the last report on schedule, and whatever has happened
    since that may have restarted it, such as an answered probe or a new local join.
    """

    def __init__(self, period_s: float, start_ns: int) -> None:
        self.period_ns = round(period_s * _SECOND)
        self.tolerance_ns = tolerance_ns(self.period_ns)
        self.wrong: list[tuple[str, tuple[int, ...]]] = []
        self._anchors = [start_ns]
        self._last: Message | None = None
        self._interruptions = 0
        self._interrupted = False

    def restart(self, t_ns: int, _report: Message | None = None) -> None:
        """The period may count from here as well."""
        self._anchors.append(t_ns)

    def interruption_begins(self, _t_ns: int, _report: Message | None = None) -> None:
        """From here on a report that is due may be lost or left out."""
        self._interruptions += 1
        self._interrupted = True

    def interruption_ends(self, t_ns: int, _report: Message | None = None) -> None:
        """Reports are due again, one period from here at the latest."""
        self._interruptions -= 1
        self.restart(t_ns)

    def answer(self, t_ns: int, report: Message | None) -> None:
        """A report that was asked for. It is no fault itself, but that it took a question may be one."""
        # At the sender's own interface nothing is lost: what was not seen there was not sent.
        self._overdue(t_ns, "it was asked for", report)
        self.restart(t_ns)
        self._last = report

    def report(self, t_ns: int, report: Message | None) -> None:
        """A report that nobody asked for: neither late nor, after the first one, early."""
        since = [t_ns - anchor for anchor in self._anchors]
        low, high = self.period_ns - self.tolerance_ns, self.period_ns + self.tolerance_ns
        free = self._last is None or self._interrupted  # the first one may come at once, as after an interruption
        late = not self._interruptions and min(since) > high
        if late or not (free or any(low <= passed <= high for passed in since)):
            nearest = min(since, key=lambda passed: abs(passed - self.period_ns))
            self._note(f"came {nearest / _SECOND:.3f} s after the last", report)
        # One that an interruption has put off does not move the others: the next may come on the old schedule [M-21].
        # And where one is due just now, this may have been another: that one may still come.
        due = [self._last_due(anchor, t_ns) for anchor in self._anchors] if self._interrupted else []
        kept = due + [at - self.period_ns for at in due if t_ns - at <= self.tolerance_ns]
        self._anchors = [t_ns, *kept]
        self._interrupted = self._interruptions > 0
        self._last = report

    def _last_due(self, anchor: int, t_ns: int) -> int:
        """The last time before ``t_ns`` at which the schedule that counts from ``anchor`` had a report due."""
        return anchor + (t_ns - anchor) // self.period_ns * self.period_ns

    def end(self, t_ns: int) -> None:
        """Nothing can be seen from here on."""
        self._overdue(t_ns, "the end", None)

    def _overdue(self, t_ns: int, what: str, report: Message | None) -> None:
        since = t_ns - max(self._anchors)
        if not self._interruptions and since > self.period_ns + self.tolerance_ns:
            self._note(f"missing for {since / _SECOND:.3f} s before {what}", report)

    def _note(self, problem: str, report: Message | None) -> None:
        self.wrong.append((problem, frames_of(self._last, report)))


def usr_period(lab: Lab) -> Iterator[Finding]:
    """Each MN reports its status every SRT while it is established; reports lost in a handover or a silence are excused."""
    for session in lab.watched(lab.sessions):
        mn, begin, end = session.mn, session.begin_ns, session.end_ns
        confirms = lab.confirms(session)
        if not confirms and session.is_to_fail:
            continue
        if not confirms:
            yield Finding(session.name, "unseen", f"{mn.name} was never established, nothing is due")
            continue
        reports = lab.said(mn.interface, "USR", begin, end, mn_id=mn.mn_id)
        leaves = lab.said(mn.interface, "ULR", confirms[0].t_ns, end, mn_id=mn.mn_id)
        gone = [leave.begin_ns for leave in lab.leaves if leave.session is session]
        until = min([end, *gone, *(leave.t_ns for leave in leaves)])
        probes = lab.received(mn, "USP", begin, end)
        schedule = _Schedule(lab.parameters.srt_s, confirms[0].t_ns)
        interruptions = [
            *_interruptions(lab, session, confirms),
            *_returns(lab, session, confirms),
            *lab.silences_of(mn.name),
        ]
        yield _judge(
            session.name,
            f"{mn.name}: USR",
            schedule,
            [report for report in reports if confirms[0].t_ns <= report.t_ns <= until],
            asked=[probe.t_ns for probe in probes],
            restarts=_restarts(lab, confirms),
            interruptions=interruptions,
            until=until,
        )


@knowing(
    "mmcp-usr-to-parent",
    "7.4",
    explained_by=("mmcp-join-order", "mmcp-local-join-after-link-up", "mmcp-lost-parent"),
)
def usr_to_parent(lab: Lab) -> Iterator[Finding]:
    """An MN reports to the one that made it a member: its LMC, or the SM where it has none."""
    for session in lab.watched(lab.sessions):
        mn, begin, end = session.mn, session.begin_ns, session.end_ns
        confirms = lab.confirms(session)
        reports = lab.said(mn.interface, "USR", begin, end, mn_id=mn.mn_id)
        pairs = [(report, confirm) for report in reports if (confirm := _parent_for(report, confirms))]
        wrong = [(report, confirm) for report, confirm in pairs if report.destination != confirm.source]
        if wrong:
            report, confirm = wrong[0]
            text = f"{mn.name} reported to {report.destination}, {confirm.source} had made it a member"
            yield Finding(session.name, "failed", text, frames_of(report, confirm))
        elif pairs:
            parents = " and ".join(sorted({confirm.source for _, confirm in pairs}))
            text = f"{mn.name} sent {len(pairs)} USR to its parent, {parents}"
            yield Finding(session.name, "passed", text, frames_of(*(report for report, _ in pairs)))


def _parent_for(report: Message, confirms: Sequence[Message]) -> Message | None:
    """The confirm that made the MN a member of the one it should report to; it may cross with the report."""
    before = [confirm for confirm in confirms if confirm.t_ns < report.t_ns]
    crossed = len(before) > 1 and report.t_ns - before[-1].t_ns < _CROSSING_NS
    if crossed and report.destination == before[-2].source:
        return before[-2]
    return before[-1] if before else None


def _interruptions(lab: Lab, session: Session, confirms: Sequence[Message]) -> list[tuple[int, int]]:
    """Times in which a handover may cost reports: from the link trigger until the MN is established again."""
    found = []
    for handover in lab.handovers_of(session.mn.name):
        if not session.begin_ns <= handover.begin_ns <= session.end_ns:
            continue
        begin = handover.trigger_ns or handover.begin_ns
        arrived = handover.up_ns or handover.begin_ns
        again = next((confirm.t_ns for confirm in confirms if confirm.t_ns >= arrived), handover.end_ns)
        found.append((begin, again))
    return found


def _returns(lab: Lab, session: Session, confirms: Sequence[Message]) -> list[tuple[int, int]]:
    """Times in which an MN that has lost its LMC is nobody's: from an SJR that is no renewal until it is a member again."""
    mn, found = session.mn, []
    for request in lab.said(mn.interface, "SJR", confirms[0].t_ns, session.end_ns, mn_id=mn.mn_id):
        before = [confirm for confirm in confirms if confirm.t_ns < request.t_ns]
        if before and before[-1].packet == "LJC":
            again = next((confirm.t_ns for confirm in confirms if confirm.t_ns > request.t_ns), session.end_ns)
            found.append((request.t_ns, again))
    return found


def asr_period(lab: Lab) -> Iterator[Finding]:
    """Each LMC reports to the SM every SRT; reports split over several packets count once."""
    parameters = lab.parameters
    if not lab.steps:
        return
    # After the last step the lab is being taken down.
    begin, end = lab.begin_ns, lab.steps[-1].t_ns
    for lmc in lab.watched(parameters.lmcs):
        sm = parameters.session_manager
        confirms = lab.said(lmc.interface, "SJC", begin, end, source=sm, destination=lmc.address, f=1)
        reports = lab.said(lmc.interface, "ASR", begin, end, source=lmc.address, destination=sm)
        # An LMC that was announced before the capture began is judged from its first report.
        known = [message.t_ns for message in (*confirms[:1], *reports[:1])]
        if not known:
            heard = lab.seen_at(lmc.interface)
            used = [m for m in heard if m.source == lmc.address and m.session_id == parameters.session_id]
            if used:
                first = used[0].number
                yield Finding(lmc.name, "failed", f"{lmc.name} spoke MMCP, but no ASR of it was seen", (first,))
            else:
                yield Finding(lmc.name, "unseen", f"{lmc.name} was never heard")
            continue
        leaves = lab.said(lmc.interface, "ULR", begin, end, destination=lmc.address)
        probes = lab.said(lmc.interface, "USP", begin, end, source=sm, destination=lmc.address)
        schedule = _Schedule(parameters.srt_s, min(known))
        yield _judge(
            lmc.name,
            f"{lmc.name}: ASR",
            schedule,
            _without_bursts(reports),
            asked=sorted(message.t_ns for message in (*leaves, *probes)),
            restarts=_restarts(lab, confirms),  # announced anew: it was started again
            interruptions=lab.silences_of(lmc.name),
            until=end,
        )


def _restarts(lab: Lab, confirms: Sequence[Message]) -> list[int]:
    """When a schedule may begin anew: with each confirm but the first, and those that only renew, SPT after the one before."""
    found, spt_ns = [], round(lab.parameters.spt_s * _SECOND)
    for before, confirm in pairwise(confirms):
        if not on_beat(confirm.t_ns - before.t_ns, spt_ns) or confirm.source != before.source:
            found.append(confirm.t_ns)
    return found


def _without_bursts(reports: Sequence[Message]) -> list[Message]:
    kept: list[Message] = []
    last: int | None = None
    for report in reports:
        if last is None or report.t_ns - last > _BURST_NS:
            kept.append(report)
        last = report.t_ns
    return kept


def _judge(
    subject: str,
    what: str,
    schedule: _Schedule,
    reports: Sequence[Message],
    *,
    asked: Sequence[int],
    restarts: Sequence[int],
    interruptions: Sequence[tuple[int, int]],
    until: int,
) -> Finding:
    answers = {
        answer.number
        for question in asked
        for answer in [next((r for r in reports if question < r.t_ns <= question + _ANSWER_NS), None)]
        if answer is not None
    }
    # At one time an interruption begins before, and ends after, whatever else happens then.
    changes: list[tuple[int, int, Callable[[int, Message | None], None], Message | None]] = []
    for begin, end in interruptions:
        changes += [(begin, 0, schedule.interruption_begins, None), (end, 3, schedule.interruption_ends, None)]
    changes += [(t_ns, 1, schedule.restart, None) for t_ns in restarts]
    changes += [(r.t_ns, 2, schedule.answer if r.number in answers else schedule.report, r) for r in reports]
    for t_ns, _, happen, report in sorted(changes, key=lambda change: change[:2]):
        happen(t_ns, report)
    schedule.end(until)
    srt = f"SRT is {schedule.period_ns / _SECOND:g} s, tolerance {schedule.tolerance_ns / _SECOND:g} s"
    if schedule.wrong:
        frames = tuple(sorted({number for _, group in schedule.wrong for number in group}))
        more = f" (and {len(schedule.wrong) - 1} more)" if len(schedule.wrong) > 1 else ""
        return Finding(subject, "failed", f"{what} {schedule.wrong[0][0]}{more}; {srt}", frames)
    if not reports:
        return Finding(subject, "unseen", f"{what}: the time was too short for one; {srt}")
    evidence = tuple(report.number for report in reports)
    return Finding(subject, "passed", f"{what} seen {len(reports)} times on schedule; {srt}", evidence)
