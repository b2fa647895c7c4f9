"""Data packets per 10 ms in each cell and at the mobile node, around one handover, as steps over a common axis of time.

Drawn with the page's own templates. A plotting library was weighed: pygal's SVG names hosts and brings scripts that the
page must not have, matplotlib and what it needs are 120 MB and take two seconds for ten charts, plotly's script alone is
larger than the page may be, and with each the marks of gap and handover would still be ours to draw.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from captures.mmcp.handovers import Handover, accepted_confirm, first_data_after, handover_requests, stream_numbers
from captures.report.axis import CHARACTER_WIDTH, Label, in_lanes, lanes, ticks
from captures.report.stretches import Stretch

if TYPE_CHECKING:
    from captures.mmcp.timeline import DataFlow, Timeline

BIN_NS = 10_000_000
AROUND_NS = 30_000_000_000
"""What is drawn at most on either side of time zero."""
_MILLISECOND = 1_000_000

WIDTH, LEFT, RIGHT = 1120.0, 96.0, 14.0
ROW_HEIGHT, ROW_GAP, LANE_HEIGHT, FOOT = 54.0, 18.0, 18.0, 26.0
_TICKS = 12


@dataclass(frozen=True, slots=True)
class Row:
    """Packets per bin at one place; `top` and `bottom` in px, `area` the path of an SVG."""

    name: str
    interface: str
    counts: tuple[int, ...]
    top: float
    bottom: float
    area: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment, marked across all rows."""

    x: float
    kind: str


@dataclass(frozen=True, slots=True)
class Span:
    """A time between two moments; `label` is empty for none."""

    x: float
    width: float
    label: Label | None


@dataclass(frozen=True, slots=True)
class Chart:
    """The drawing of one handover; lengths in px. `note` says what is left out, empty for nothing."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    most: int
    begin_ms: int
    rows: tuple[Row, ...]
    marks: tuple[Mark, ...]
    labels: tuple[Label, ...]
    link_gap: Span | None
    longest_gap: Span | None
    ticks: tuple[tuple[float, str], ...]
    sentence: str
    zero: str
    """What happened at time zero."""
    note: str

    def table(self) -> list[tuple[str, list[int]]]:
        """Times and counts of all rows; bins in which nothing changes are one line."""
        lines: list[tuple[int, int, list[int]]] = []
        for number, counts in enumerate(zip(*(row.counts for row in self.rows), strict=True)):
            begin = self.begin_ms + number * BIN_NS // _MILLISECOND
            end = begin + BIN_NS // _MILLISECOND
            if lines and lines[-1][2] == list(counts):
                lines[-1] = (lines[-1][0], end, lines[-1][2])
            else:
                lines.append((begin, end, list(counts)))
        return [(f"{begin} to {end}", counts) for begin, end, counts in lines]


def make_chart(timeline: Timeline, handover: Handover | Stretch, places: Mapping[str, str]) -> Chart:
    """Draw the window of a handover, or of what else there is; `places` are the names of cells with the interface each was captured at.

    Time zero is link down, else the window's begin. Of a window without end, as a wrong step makes one, only what lies
    around time zero is drawn.
    """
    zero, window = _window(handover)
    first = (window[0] - zero) // BIN_NS
    count = max(1, -((zero - window[1]) // BIN_NS) - first)
    begin_ns = zero + first * BIN_NS
    scale = (WIDTH - LEFT - RIGHT) / (count * BIN_NS)

    def x(t_ns: int) -> float:
        return LEFT + (t_ns - begin_ns) * scale

    moments = [moment for moment in _moments(timeline, handover) if window[0] <= moment[0] <= window[1]]
    labels = in_lanes([(x(t_ns) - LEFT, text) for t_ns, text, _ in moments], WIDTH - LEFT)
    labels = [Label(label.at + LEFT, label.text, label.lane, label.anchor) for label in labels]
    top = LANE_HEIGHT * lanes(labels) + 6
    flows = [(cell, interface) for cell, interface in places.items()]
    flows.append((handover.mn.name, handover.mn.interface))
    counted = [_counts(timeline.flow(interface), begin_ns, count) for _, interface in flows]
    most = max((max(counts) for counts in counted), default=0) or 1
    rows = []
    for number, ((name, interface), counts) in enumerate(zip(flows, counted, strict=True)):
        row_top = top + number * (ROW_HEIGHT + ROW_GAP)
        bottom = row_top + ROW_HEIGHT
        rows.append(Row(name, interface, tuple(counts), row_top, bottom, _steps(counts, most, row_top, bottom)))
    bottom = rows[-1].bottom
    numbers = stream_numbers(timeline.flow(handover.mn.interface), handover.begin_ns, handover.end_ns)
    longest = link_gap = None
    named = handover.zero if isinstance(handover, Stretch) else "link down"
    sentence = f"Data packets per 10 ms from {(begin_ns - zero) // _MILLISECOND} ms on, {named} at 0 ms."
    note = ""
    if window != (handover.begin_ns, handover.end_ns):
        note = f"Its steps are {(handover.end_ns - handover.begin_ns) / 1e9:.0f} s apart, of which no more than"
        note += f" {AROUND_NS // 10**9} s before and after are drawn."
    if numbers is not None and window[0] <= numbers.gap_begin_ns <= numbers.gap_end_ns <= window[1]:
        milliseconds = (numbers.gap_end_ns - numbers.gap_begin_ns) / _MILLISECOND
        begin, end = x(numbers.gap_begin_ns), x(numbers.gap_end_ns)
        text = f"{milliseconds:.1f} ms without a packet"
        half = len(text) * CHARACTER_WIDTH / 2
        longest = Span(
            begin, end - begin, Label(min(max((begin + end) / 2, LEFT + half), WIDTH - half), text, 0, "middle")
        )
        sentence += f" At {handover.mn.name} {text}."
    down, up = handover.down_ns, handover.up_ns
    if down is not None and up is not None and window[0] <= down < up <= window[1]:
        link_gap = Span(x(down), x(up) - x(down), None)
    begin_ms = (begin_ns - zero) // _MILLISECOND
    axis = ticks(begin_ms, begin_ms + count * BIN_NS / _MILLISECOND, _TICKS)
    return Chart(
        width=WIDTH,
        height=bottom + ROW_GAP + FOOT + 6,
        left=LEFT,
        right=WIDTH - RIGHT,
        top=top,
        bottom=bottom,
        most=most,
        begin_ms=begin_ms,
        rows=tuple(rows),
        marks=tuple(Mark(x(t_ns), kind) for t_ns, _, kind in moments),
        labels=tuple(labels),
        link_gap=link_gap,
        longest_gap=longest,
        ticks=tuple((x(zero + round(tick * _MILLISECOND)), f"{tick:g}") for tick in axis),
        sentence=sentence,
        zero=named,
        note=note,
    )


def _window(handover: Handover | Stretch) -> tuple[int, tuple[int, int]]:
    """Time zero, and what is drawn of the handover's time."""
    begin, end = handover.begin_ns, max(handover.begin_ns, handover.end_ns)
    zero = begin if handover.down_ns is None else handover.down_ns
    if not begin - AROUND_NS <= zero <= end + AROUND_NS:
        zero = begin
    return zero, (max(begin, zero - AROUND_NS), min(end, zero + AROUND_NS))


def _moments(timeline: Timeline, handover: Handover | Stretch) -> list[tuple[int, str, str]]:
    """What is marked: time, text and kind."""
    if isinstance(handover, Stretch):
        return list(handover.moments)
    requests = handover_requests(timeline, handover)
    confirm = accepted_confirm(timeline, handover)
    first = first_data_after(timeline, handover)
    flow = timeline.flow(handover.mn.interface)
    found: list[tuple[int | None, str, str]] = [
        (requests[0].t_ns if requests else None, "HIR", "mmcp"),
        (confirm.t_ns if confirm else None, "HIC", "mmcp"),
        (handover.down_ns, "link down", "link"),
        (handover.up_ns, "link up", "link"),
        (None if first is None else flow.t_ns[first], "first packet", "stream"),
    ]
    if not requests:
        found.append((handover.trigger_ns, "trigger", "step"))
    return [(t_ns, text, kind) for t_ns, text, kind in found if t_ns is not None and handover.within(t_ns)]


def _counts(flow: DataFlow, begin_ns: int, count: int) -> list[int]:
    edges = [bisect_left(flow.t_ns, begin_ns + number * BIN_NS) for number in range(count + 1)]
    return [after - before for before, after in pairwise(edges)]


def _steps(counts: Sequence[int], most: int, top: float, bottom: float) -> str:
    """The path of an area whose height is the count; bins of equal height are one step."""
    pitch = (WIDTH - LEFT - RIGHT) / max(1, len(counts))
    path = [f"M{LEFT:.1f} {bottom:.1f}"]
    before: int | None = 0
    for number, count in enumerate(counts):
        if count != before:
            path.append(f"H{LEFT + number * pitch:.1f}V{bottom - (bottom - top) * count / most:.1f}")
            before = count
    path.append(f"H{WIDTH - RIGHT:.1f}V{bottom:.1f}Z")
    return "".join(path)
