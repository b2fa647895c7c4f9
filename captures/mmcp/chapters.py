"""What a page shows of MMCP: a chapter and figures for each handover, or for each join, leave and silence."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from captures.additions import Additions, Column, Line, Moment, Part, Stretch, Table, Tile, View
from captures.files.capture import CaptureError
from captures.history.outages import PARTS as OUTAGE_PARTS
from captures.mmcp.handovers import Handover, accepted_confirm, first_data_after, handover_requests
from captures.mmcp.joins import Session, observe_join

if TYPE_CHECKING:
    from captures.files.capture import Step
    from captures.mmcp.lab import Lab
    from captures.mmcp.leaves import Leave
    from captures.mmcp.messages import Membership, Message
    from captures.mmcp.parameters import MobileNode
    from captures.mmcp.silences import Silence

_BEFORE_NS = 1_000_000_000  # drawn before the moment
_JOIN_NS = 3_000_000_000  # and after it, at most
_LEAVE_NS = 5_000_000_000
_SILENCE_NS = 10_000_000_000
_GOOD_OUTCOMES = ("predictive", "reactive", "silent")


def additions(lab: Lab, records: Mapping[str, Any], failed: Collection[str]) -> Additions:
    """Each handover is a part; without handovers each MN's session is, and each silence. Of every MMCP session, in order of time."""
    found = sorted(
        ((view, handover) for view in lab.views() for handover in view.handovers), key=lambda pair: pair[1].begin_ns
    )
    handovers = [handover for _, handover in found]
    parts = _handover_parts(found) if found else _other_parts(lab)
    lines = list(records.get("handovers", ()))
    return Additions(
        parts=tuple(parts),
        beginning="Before the first handover" if handovers else "The beginning",
        tables=tuple(_tables(lines, handovers, parts, failed)),
        tiles=tuple(_tiles(lines)),
    )


# --- handovers


def _handover_parts(found: Sequence[tuple[Lab, Handover]]) -> list[Part]:
    """Of each handover, as the lab of its MMCP session sees it."""
    return [
        Part(
            anchor=f"handover-{number}",
            short=str(each.number),
            title=f"Handover {each.number}, {each.mode}: {each.mn.name} from {each.origin} to {each.target}",
            begin_ns=each.begin_ns,
            stretch=_handover(view, each),
            subject=each.name,
            moved_to=each.target,
        )
        for number, (view, each) in enumerate(found, 1)
    ]


def _handover(lab: Lab, handover: Handover) -> Stretch:
    down, up = handover.down_ns, handover.up_ns
    return Stretch(
        node=handover.mn.name,
        label=handover.mn.name,
        interfaces=(handover.mn.interface, *handover.mn.other_interfaces),
        begin_ns=handover.begin_ns,
        zero_ns=handover.begin_ns if down is None else down,
        end_ns=handover.end_ns,
        zero="link down",
        moments=tuple(_handover_moments(lab, handover)),
        views=tuple(_handover_views(lab, handover)),
        no_link=None if down is None or up is None or up < down else (down, up),
    )


def _handover_moments(lab: Lab, handover: Handover) -> Iterator[Moment]:
    requests = handover_requests(lab, handover)
    confirm = accepted_confirm(lab, handover)
    found = [
        (requests[0].t_ns if requests else None, "HIR", "mmcp"),
        (_time(confirm), "HIC", "mmcp"),
        (handover.down_ns, "link down", "link"),
        (handover.up_ns, "link up", "link"),
        (_first_after(lab, handover), "first packet", "stream"),
    ]
    if not requests:
        found.append((handover.trigger_ns, "trigger", "step"))
    for t_ns, text, kind in found:
        if t_ns is not None and handover.within(t_ns):
            yield Moment(t_ns, text, kind)


def _first_after(lab: Lab, handover: Handover) -> int | None:
    index = first_data_after(lab, handover)
    return None if index is None else lab.flow(handover.mn.interface).t_ns[index]


def _handover_views(lab: Lab, handover: Handover) -> Iterator[View]:
    """Before the handover, while the node is without a link or has two, and after it."""
    begin, end = handover.begin_ns, handover.end_ns
    down, up = handover.down_ns, handover.up_ns
    both = (handover.origin, handover.target)
    yield View("Before", begin, min(t for t in (handover.trigger_ns, down, up, end) if t is not None), both[:1])
    if down is not None and up is not None:
        yield View("No link", down, up, both, linked=False) if down <= up else View("Two links", up, down, both)
    if up is not None:
        times = (down, up, begin, _first_after(lab, handover))
        yield View("After", max(t for t in times if t is not None), end, both[1:])


def _table(
    records: Sequence[Mapping[str, Any]], handovers: Sequence[Handover], parts: Sequence[Part], failed: Collection[str]
) -> Table:
    """One line for each, from the result's rows or the judge's records."""
    anchors = {each.number: part.anchor for each, part in zip(handovers, parts, strict=False)}
    names = {each.number: each.name for each in handovers}
    lines = []
    for record in records:
        number, disruption = record.get("handover"), _number(record.get("disruption_ms"))
        gap = _number(record.get("l2_gap_ms"))
        drawn = disruption or 0.0
        cells = (
            number,
            str(record.get("mode")),
            f"{record.get('from')} → {record.get('to')}",
            gap,
            disruption,
            (min(gap or 0.0, drawn), max(0.0, drawn - (gap or 0.0))),
            _number(record.get("excess_ms")),
            record.get("lost"),
            record.get("duplicates"),
            _number(record.get("hir_hic_ms")),
            _number(record.get("first_packet_after_link_up_ms")),
            _verdict(record, failed=names.get(number) in failed),
        )
        lines.append(Line(anchors.get(number, ""), cells))
    return Table("Handovers", "handover", _CAPTION, _COLUMNS, tuple(lines))


def _tables(
    records: Sequence[Mapping[str, Any]], handovers: Sequence[Handover], parts: Sequence[Part], failed: Collection[str]
) -> Iterator[Table]:
    """Of the handovers there are, and of what their outages were spent on as far as that was seen."""
    if records:
        yield _table(records, handovers, parts, failed)
    anchors = {each.number: part.anchor for each, part in zip(handovers, parts, strict=False)}
    lines = tuple(
        _outage(record, outage, anchors.get(record.get("handover"), ""))
        for record in records
        for outage in (record.get("outage"),)
        if isinstance(outage, Mapping)
    )
    if lines:
        yield Table("What the outages were spent on", "", _OUTAGE_CAPTION, _OUTAGE_COLUMNS, lines)


def _outage(record: Mapping[str, Any], outage: Mapping[str, Any], anchor: str) -> Line:
    lengths = [_number(outage.get(f"{part}_ms")) for part in OUTAGE_PARTS]
    cells = (
        record.get("handover"),
        str(record.get("mode")),
        _number(record.get("disruption_ms")),
        tuple(length or 0.0 for length in lengths),
        *lengths,
        "ahead" if outage.get("tree_is_ahead") else "made",
        _number(outage.get("address_after_ms")),
        _number(outage.get("join_after_ms")),
    )
    return Line(anchor, cells)


_OUTAGE_CAPTION = (
    "Times in milliseconds. Link: until it was up again. Address: from then until the node could use its own there, where its"
    " report waited for that. Join: until its first report that routers heed. Tree: from that to the data. Other: the data was in"
    " the cell first (tree ahead), or had stopped before the link went. What nothing waited for is 0; the last columns say what it"
    " took from link up on."
)
_OUTAGE_COLUMNS = (
    Column("#"),
    Column("mode"),
    Column("outage", "weighty ms"),
    Column("outage, drawn", "bar", OUTAGE_PARTS, legend=True, width=290.0),
    *(Column(part, "ms") for part in OUTAGE_PARTS),
    Column("tree was"),
    Column("address after", "ms"),
    Column("join after", "ms"),
)


_CAPTION = (
    "Times in milliseconds. Gap: link down to link up, as the scenario set it. Disruption: the longest time without a packet at"
    " the node, less one packet's spacing. Excess: disruption beyond the gap, drawn in blue. Arrival: first packet after link up."
)
_COLUMNS = (
    Column("#"),
    Column("mode"),
    Column("from, to"),
    Column("gap", "ms"),
    Column("disruption", "weighty ms"),
    Column("disruption, drawn", "bar", parts=("gap", "excess")),
    Column("excess", "ms"),
    Column("lost", "count"),
    Column("dup", "count"),
    Column("HIR→HIC", "ms"),
    Column("arrival", "ms"),
    Column("verdict", "verdict"),
)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _verdict(record: Mapping[str, Any], *, failed: bool) -> tuple[str, str]:
    if record.get("problems") or failed:
        return "fail", "failed"
    outcome = str(record.get("outcome"))
    if outcome in _GOOD_OUTCOMES:
        return "pass", "passed"
    # A lab that kills roles lets a node join again after the window in which its handover was measured.
    if outcome == "failed":
        return ("pass: later", "passed") if "problems" in record else ("no stream", "unseen")
    return f"pass: {outcome}", "passed"


def _tiles(records: Sequence[Mapping[str, Any]]) -> Iterator[Tile]:
    """For each mode how long the stream was away."""
    for mode in dict.fromkeys(str(record.get("mode")) for record in records):
        mine = [record for record in records if str(record.get("mode")) == mode]
        disruptions, excesses, lost = (
            [value for record in mine if (value := _number(record.get(name))) is not None]
            for name in ("disruption_ms", "excess_ms", "lost")
        )
        if disruptions:
            notes = [f"median of {len(disruptions)} handover{'s' if len(disruptions) > 1 else ''}"]
            if excesses:
                notes.append(f"{median(excesses):.1f} ms beyond the gap")
            if lost:
                notes.append(f"{median(lost):.0f} packets lost")
            yield Tile(f"disruption, {mode}", f"{median(disruptions):.1f}", "ms", ", ".join(notes))


# --- joins, leaves and silences


def _other_parts(lab: Lab) -> list[Part]:
    sessions = [step for step in lab.steps if step.name == "session_begin"]
    heads = [(step, f"session-{n}", str(n), _session_title(n, step)) for n, step in enumerate(sessions, 1)]
    if "status" in lab.parameters.expects:
        silences = [step for step in lab.steps if step.name == "silence_begin"]
        heads += [(step, f"silence-{n}", f"silence {n}", _silence_title(n, step)) for n, step in enumerate(silences, 1)]
        heads.sort(key=lambda head: head[0].t_ns)
    ends = [*(step.t_ns for step, *_ in heads[1:]), lab.end_ns + 1]
    return [
        Part(anchor, short, title, step.t_ns, _drawn(lab, step, end))
        for (step, anchor, short, title), end in zip(heads, ends, strict=False)  # of no heads there is one end
    ]


def _drawn(lab: Lab, step: Step, end_ns: int) -> Stretch | None:
    """What is drawn of a part that a step begins, as the MMCP session sees it that has something of the kind."""
    drawn = (_stretch(view, step.t_ns, end_ns) for view in lab.views())
    return next((stretch for stretch in drawn if stretch is not None), None)


def _session_title(number: int, step: Step) -> str:
    name = f"Session {number}, of {step.fields.get('mn', 'an MN')}"
    return f"{name}, expected: {step.fields['expected']}" if step.fields.get("expected") else name


def _silence_title(number: int, step: Step) -> str:
    why = step.fields.get("why", "nobody says why")
    return f"Silence {number}, of {step.fields.get('role', 'a role')}: {why}"


def _stretch(lab: Lab, begin_ns: int, end_ns: int) -> Stretch | None:
    """What is drawn of a part; None where it has nothing of the kind."""
    if not lab.parameters.mns:
        return None
    try:
        silences, leaves, sessions = lab.silences, lab.leaves, lab.sessions
    except CaptureError:  # the judgement says what is wrong with a step
        return None
    silence = next((each for each in silences if each.begin_ns == begin_ns), None)
    if silence is not None and "status" in lab.parameters.expects:
        return _silence(lab, silence, end_ns)
    leave = next((each for each in leaves if begin_ns <= each.begin_ns < end_ns), None)
    if leave is not None:
        return _leave(lab, leave, begin_ns, end_ns)
    session = next((each for each in sessions if each.begin_ns == begin_ns), None)
    return None if session is None else _join(lab, session, end_ns)


def _around(
    lab: Lab,
    mn: MobileNode,
    zero: tuple[int, str],
    window: tuple[int, int],
    moments: Sequence[tuple[int | None, str, str]],
    views: Sequence[tuple[str, int, int]],
) -> Stretch:
    """Before and after, in the one cell in which the node is: that of the address it sent from last."""
    begin, end = window
    cells = {address: cell for cell, address in mn.addresses.items()}
    sent = (m for m in reversed(lab.messages) if m.interface == mn.interface and m.t_ns <= end)
    cell = next((cells[message.source] for message in sent if message.source in cells), None)
    return Stretch(
        # The name of `mn` may be one of several that the node goes by.
        node=mn.interface.partition(":")[0],
        label=mn.name,
        interfaces=(mn.interface, *mn.other_interfaces),
        begin_ns=begin,
        zero_ns=zero[0],
        end_ns=end,
        zero=zero[1],
        moments=tuple(Moment(t_ns, text, kind) for t_ns, text, kind in moments if t_ns is not None and t_ns <= end),
        views=tuple(View(*view, () if cell is None else (cell,)) for view in views),
    )


def _join(lab: Lab, session: Session, end_ns: int) -> Stretch:
    join = observe_join(lab, session)
    zero = session.begin_ns if join.request is None else join.request.t_ns
    end = min(session.end_ns, end_ns, zero + _JOIN_NS)
    flow = lab.flow(session.mn.interface)
    data = flow.span(zero, end)
    first = flow.t_ns[data[0]] if len(data) else None
    return _around(
        lab,
        session.mn,
        (zero, "the session's begin" if join.request is None else "the first SJR"),
        (max(session.begin_ns, zero - _BEFORE_NS), end),
        [
            (_time(join.request), "SJR", "mmcp"),
            (_time(join.confirm), "SJC", "mmcp"),
            (_time(join.local_confirm), "LJC", "mmcp"),
            (_time(join.report), "report", "step"),
            (first, "first packet", "stream"),
        ],
        [("Before", session.begin_ns, zero if first is None else first - 1), ("After", first or zero, end)],
    )


def _leave(lab: Lab, leave: Leave, begin_ns: int, end_ns: int) -> Stretch:
    zero = leave.since_ns
    end = min(leave.until_ns, end_ns, zero + _LEAVE_NS, lab.end_ns)
    begin = max(begin_ns, zero - _BEFORE_NS)
    last = leave.last_data_ns
    return _around(
        lab,
        leave.session.mn,
        (zero, "the leave" if leave.request is None else "the ULR"),
        (begin, end),
        [
            (zero, "leave" if leave.request is None else "ULR", "mmcp"),
            (_time(leave.confirm), "ULC", "mmcp"),
            (_time(leave.report), "left the group", "step"),
            (last, "last packet", "stream"),
        ],
        [("Before", begin, zero), ("After", max(zero, min(last or zero, end)) + 1, end)],
    )


def _silence(lab: Lab, silence: Silence, end_ns: int) -> Stretch:
    mn = lab.parameters.mn(silence.role) or lab.parameters.mns[0]
    zero, over = silence.begin_ns, silence.end_ns
    begin, end = zero - _BEFORE_NS, min(end_ns, zero + _SILENCE_NS, lab.end_ns)
    return _around(
        lab,
        mn,
        (zero, f"the silence of {silence.role}"),
        (begin, end),
        [(zero, f"{silence.role} is silent", "step"), (over, "speaks again", "step")],
        [("Before", begin, zero), ("Meanwhile", zero, min(over, end))],
    )


def _time(thing: Message | Membership | None) -> int | None:
    return None if thing is None else thing.t_ns
