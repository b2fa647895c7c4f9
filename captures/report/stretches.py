"""What is drawn of a part of a run that is no handover: a join, a leave, a silence, around the moment that it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from captures.files.capture import CaptureError
from captures.mmcp.joins import Session, observe_join
from captures.rules import Case

if TYPE_CHECKING:
    from captures.mmcp.leaves import Leave
    from captures.mmcp.parameters import MobileNode
    from captures.mmcp.silences import Silence
    from captures.mmcp.timeline import Membership, Message, Timeline

_BEFORE_NS = 1_000_000_000  # drawn before the moment
_JOIN_NS = 3_000_000_000  # and after it, at most
_LEAVE_NS = 5_000_000_000
_SILENCE_NS = 10_000_000_000

Moment = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time around the moment `down_ns`, which `zero` names; times in ns.

    `moments` are marked: time, text and kind. `scenes` are drawn: name, begin and end. Some names are those of
    `captures.mmcp.handovers.Handover`, so that both are drawn alike.
    """

    mn: MobileNode
    begin_ns: int
    down_ns: int
    end_ns: int
    zero: str
    moments: tuple[Moment, ...]
    scenes: tuple[tuple[str, int, int], ...]
    up_ns: int | None = None

    @property
    def node(self) -> str:
        """The mobile node's own name; that of `mn` may be one of several that it goes by."""
        return self.mn.interface.partition(":")[0]


def stretches_of(timeline: Timeline, parts: Sequence[tuple[int, int]]) -> list[Stretch | None]:
    """Of each part of the run, given as begin and end, what is drawn; None where it has nothing of the kind."""
    if not timeline.parameters.known or not timeline.parameters.mns:
        return [None] * len(parts)
    case = Case(timeline)
    try:
        silences, leaves, sessions = case.silences, case.leaves, case.sessions
    except CaptureError:  # the judgement says what is wrong with a step
        return [None] * len(parts)
    found: list[Stretch | None] = []
    for begin, end in parts:
        silence = next((each for each in silences if each.begin_ns == begin), None)
        session = next((each for each in sessions if each.begin_ns == begin), None)
        leave = next((each for each in leaves if begin <= each.begin_ns < end), None)
        if silence is not None and "status" in timeline.parameters.expects:
            found.append(_silence(timeline, silence, end))
        elif leave is not None:
            found.append(_leave(timeline, leave, begin, end))
        else:
            found.append(None if session is None else _join(timeline, session, end))
    return found


def cell_of(timeline: Timeline, stretch: Stretch) -> str | None:
    """The cell of the node, by the address it sent from last before the stretch's end; None if it sent nothing."""
    cells = {address: cell for cell, address in stretch.mn.addresses.items()}
    sent = (m for m in reversed(timeline.messages) if m.interface == stretch.mn.interface and m.t_ns <= stretch.end_ns)
    return next((cells[message.source] for message in sent if message.source in cells), None)


def _join(timeline: Timeline, session: Session, end_ns: int) -> Stretch:
    join = observe_join(timeline, session)
    zero = session.begin_ns if join.request is None else join.request.t_ns
    end = min(session.end_ns, end_ns, zero + _JOIN_NS)
    flow = timeline.flow(session.mn.interface)
    data = flow.span(zero, end)
    first = flow.t_ns[data[0]] if len(data) else None
    return Stretch(
        session.mn,
        max(session.begin_ns, zero - _BEFORE_NS),
        zero,
        end,
        "the session's begin" if join.request is None else "the first SJR",
        _moments(
            (_time(join.request), "SJR", "mmcp"),
            (_time(join.confirm), "SJC", "mmcp"),
            (_time(join.local_confirm), "LJC", "mmcp"),
            (_time(join.report), "report", "step"),
            (first, "first packet", "stream"),
            end=end,
        ),
        (("Before", session.begin_ns, zero if first is None else first - 1), ("After", first or zero, end)),
    )


def _leave(timeline: Timeline, leave: Leave, begin_ns: int, end_ns: int) -> Stretch:
    zero = leave.since_ns
    end = min(leave.until_ns, end_ns, zero + _LEAVE_NS, timeline.end_ns)
    begin = max(begin_ns, zero - _BEFORE_NS)
    last = leave.last_data_ns
    return Stretch(
        leave.session.mn,
        begin,
        zero,
        end,
        "the leave" if leave.request is None else "the ULR",
        _moments(
            (zero, "leave" if leave.request is None else "ULR", "mmcp"),
            (_time(leave.confirm), "ULC", "mmcp"),
            (_time(leave.report), "left the group", "step"),
            (last, "last packet", "stream"),
            end=end,
        ),
        (("Before", begin, zero), ("After", max(zero, min(last or zero, end)) + 1, end)),
    )


def _silence(timeline: Timeline, silence: Silence, end_ns: int) -> Stretch:
    parameters = timeline.parameters
    mn = parameters.mn(silence.role) or parameters.mns[0]
    zero, over = silence.begin_ns, silence.end_ns
    end = min(end_ns, zero + _SILENCE_NS, timeline.end_ns)
    return Stretch(
        mn,
        zero - _BEFORE_NS,
        zero,
        end,
        f"the silence of {silence.role}",
        _moments((zero, f"{silence.role} is silent", "step"), (over, "speaks again", "step"), end=end),
        (("Before", zero - _BEFORE_NS, zero), ("Meanwhile", zero, min(over, end))),
    )


def _time(thing: Message | Membership | None) -> int | None:
    return None if thing is None else thing.t_ns


def _moments(*found: tuple[int | None, str, str], end: int) -> tuple[Moment, ...]:
    return tuple((t_ns, text, kind) for t_ns, text, kind in found if t_ns is not None and t_ns <= end)
