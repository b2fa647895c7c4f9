"""What only judges where a lab says who is who: whose messages they are, what was agreed, and the data beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from captures.gmp.constants import FROM_CLIENT, FROM_SERVER
from captures.gmp.roster import Standing
from captures.rules.findings import Finding
from captures.rules.language import in_seconds, knowing

if TYPE_CHECKING:
    from captures.gmp.lab import Change, Lab, Membership
    from captures.gmp.roster import Session

_JOINS_NS = (
    2_000_000_000  # from a member's activation until it has joined the group, and from its leave until it has left
)
_STARTS_NS = 300_000_000  # the source may be told of the start or the end a moment before the capture shows its message
_STOPS_NS = 2_000_000_000
_DELETED_NS = 5_000_000_000


@knowing("gmp-parties", "5, D G-3")
def parties(lab: Lab) -> Iterator[Finding]:
    """The server speaks as the server, everybody else as a client."""
    lab.looks_at(lab.parameters.server.interface)
    server, wrong = lab.parameters.server.address, []
    for event in lab.messages:
        speaks = event.source == server
        if (event.kind in FROM_SERVER and not speaks) or (event.kind in FROM_CLIENT and speaks):
            wrong.append(event)
    if wrong:
        first = wrong[0]
        text = f"{first.kind} of {first.source} to {first.destination}, the server is {server}"
        yield Finding("the server", "failed", text, tuple(event.number for event in wrong[:20]))
    elif lab.messages:
        yield Finding("the server", "passed", f"{len(lab.messages)} messages", (lab.messages[0].number,))


@knowing("gmp-as-agreed", "7.1.1, D G-26")
def as_agreed(lab: Lab) -> Iterator[Finding]:
    """A session is open or closed, secure or not, with the core members, the period and the timeout that the lab has said."""
    lab.looks_at(lab.parameters.server.interface)
    agreed = lab.parameters
    for session in lab.sessions.values():
        if session.description is None or session.created is None:
            continue
        frames = (session.created.number, session.description.number)
        told = session.keep_alive or (0, 0)
        pairs = (
            ("closed", agreed.closed, session.closed),
            ("secure", agreed.secure, session.secure),
            ("a period in 100 ms of", _deciseconds(agreed.period_s), told[0]),
            ("a timeout in 100 ms of", _deciseconds(agreed.timeout_s), told[1]),
            ("core members", _names(agreed.core_members), _names(session.names("core_members"))),
        )
        wrong = [f"{what} {found}, not {wanted}" for what, wanted, found in pairs if wanted not in (None, found)]
        if wrong:
            yield Finding(f"session {session.id}", "failed", "; ".join(wrong), frames)
        else:
            yield Finding(f"session {session.id}", "passed", "as the lab has said", frames)


def _deciseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 10)


def _names(names: tuple[str, ...] | None) -> str | None:
    return None if names is None else " ".join(sorted(names))


@knowing("gmp-data-while-active", "7.1.5, D G-27")
def data_while_active(lab: Lab) -> Iterator[Finding]:
    """The source sends while the creator of a session is active, and at no other time."""
    flow = lab.flow(lab.parameters.source_interface)
    spans = _active_spans(lab)
    if not spans or not len(flow.t_ns):
        return
    lab.looks_at(lab.parameters.source_interface)
    outside = [
        index
        for index, t_ns in enumerate(flow.t_ns)
        if not any(begin - _STARTS_NS <= t_ns <= end + _STOPS_NS for begin, end, _ in spans)
    ]
    frames = tuple(number for _, _, number in spans)
    if outside:
        first = outside[0]
        text = f"{len(outside)} data packets while no creator was active, the first in frame {flow.number[first]}"
        yield Finding("the source", "failed", text, (flow.number[first], flow.number[outside[-1]], *frames))
    elif any(len(flow.span(begin, end)) for begin, end, _ in spans):
        yield Finding("the source", "passed", f"{len(flow.t_ns)} data packets, all while a creator was active", frames)


def _active_spans(lab: Lab) -> list[tuple[int, int, int]]:
    """When the creator of any session was active, with the frame by which it began."""
    found: list[tuple[int, int, int]] = []
    begun: dict[int, Change] = {}
    for change in lab.changes:
        if lab.sessions[change.session].creator != change.user:
            continue
        if change.standing is Standing.ACTIVE:
            begun.setdefault(change.session, change)
        elif (begin := begun.pop(change.session, None)) is not None:
            found.append((begin.t_ns, change.t_ns, begin.event.number))
    return [*found, *((change.t_ns, lab.end_ns, change.event.number) for change in begun.values())]


@knowing("gmp-joins-when-active", "7.1.5")
def joins_when_active(lab: Lab) -> Iterator[Finding]:
    """A participant that becomes active joins the group, unless it is in it; when it leaves that is its own affair."""
    for party in lab.parameters.participants:
        lab.looks_at(party.interface)
        reports = lab.memberships_of(party)
        mine = [
            change
            for change in lab.changes
            if change.standing is Standing.ACTIVE
            and change.t_ns + _JOINS_NS < lab.end_ns
            and lab.party_of(change.session, change.user) is party
        ]
        if not mine or not lab.parameters.group:
            continue
        missing = [change for change in mine if not _joins(change.t_ns, reports)]
        if missing:
            first = missing[0].event
            text = f"{party.name} did not join the group within {in_seconds(_JOINS_NS)} of {first.kind} (frame {first.number})"
            frames = tuple(change.event.number for change in missing)
            yield Finding(party.name, "failed" if reports else "unseen", text, frames)
        else:
            yield Finding(
                party.name, "passed", f"joined {len(mine)} times", tuple(change.event.number for change in mine)
            )


def _joins(t_ns: int, reports: list[Membership]) -> bool:
    """Whether a host is in the group at a time, or joins it soon after."""
    before = [report for report in reports if report.t_ns <= t_ns]
    after = any(report.joins and t_ns <= report.t_ns <= t_ns + _JOINS_NS for report in reports)
    return after or (bool(before) and before[-1].joins)


@knowing("gmp-announcement-deleted", "7.1.2, RFC 2974 5")
def announcement_deleted(lab: Lab) -> Iterator[Finding]:
    """What was announced of a session is taken back when it ends, and not announced after that."""
    lab.looks_at(lab.parameters.server.interface)
    for session in lab.sessions.values():
        if session.ended is None:
            continue
        mine = [event for event in lab.announcements if event.fields.get("title") == _title(session)]
        numbers = {(event.destination, event.fields["origin"], event.fields["hash"]) for event in mine}
        ended = session.ended
        until = ended.t_ns + _DELETED_NS
        if not numbers or until > lab.end_ns:
            continue
        deleted = [
            event
            for event in lab.deletions
            if (event.destination, event.fields["origin"], event.fields["hash"]) in numbers and event.t_ns <= until
        ]
        left = numbers - {(event.destination, event.fields["origin"], event.fields["hash"]) for event in deleted}
        late = [event for event in mine if event.t_ns > until and not _another(lab, session)]
        frames = (ended.number, *(event.number for event in (*deleted, *late)))
        if left or late:
            what = f"{len(left)} announcements were not taken back" if left else "it is announced still"
            text = f"session {session.id} ended in frame {ended.number}, and {what}"
            yield Finding(f"session {session.id}", "failed", text, frames)
        else:
            yield Finding(f"session {session.id}", "passed", f"{len(numbers)} announcements taken back", frames)


def _title(session: Session) -> str | None:
    return None if session.description is None else session.description.fields.get("title")


def _another(lab: Lab, session: Session) -> bool:
    """Whether another session has the same name."""
    return any(each is not session and _title(each) == _title(session) for each in lab.sessions.values())
