"""Data packets per 10 ms in each cell and at a node, around a moment, as steps over a common axis of time.

Drawn with the page's own templates. A plotting library was weighed: pygal's SVG names hosts and brings scripts that the
page must not have, matplotlib and what it needs are 120 MB and take two seconds for ten charts, plotly's script alone is
larger than the page may be, and with each the marks of gap and moments would still be ours to draw.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from captures.additions import PLAIN_KINDS, Stretch
from captures.ladder.drawing import CHARACTER_WIDTH
from captures.ladder.families import family_of
from captures.report.axis import Label, in_lanes, lanes, ticks
from captures.report.seen import Seen

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
    """The drawing of one stretch; lengths in px. `note` says what is left out, empty for nothing."""

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


def make_chart(seen: Seen, stretch: Stretch, places: Mapping[str, str]) -> Chart:
    """Draw a stretch; `places` are the names of cells with the interface each was captured at.

    Of one without end, as a wrong step makes it, only what lies around time zero is drawn.
    """
    zero, window = _window(stretch)
    first = (window[0] - zero) // BIN_NS
    count = max(1, -((zero - window[1]) // BIN_NS) - first)
    begin_ns = zero + first * BIN_NS
    scale = (WIDTH - LEFT - RIGHT) / (count * BIN_NS)

    def x(t_ns: int) -> float:
        return LEFT + (t_ns - begin_ns) * scale

    moments = [moment for moment in stretch.moments if window[0] <= moment.t_ns <= window[1]]
    labels = in_lanes([(x(moment.t_ns) - LEFT, moment.text) for moment in moments], WIDTH - LEFT)
    labels = [Label(label.at + LEFT, label.text, label.lane, label.anchor) for label in labels]
    top = LANE_HEIGHT * lanes(labels) + 6
    mine = seen.times(*stretch.interfaces)
    flows = [*((cell, interface, seen.times(interface)) for cell, interface in places.items())]
    flows.append((stretch.label, stretch.interfaces[0], mine))
    counted = [_counts(times, begin_ns, count) for _, _, times in flows]
    most = max((max(counts) for counts in counted), default=0) or 1
    rows = []
    for number, ((name, interface, _), counts) in enumerate(zip(flows, counted, strict=True)):
        row_top = top + number * (ROW_HEIGHT + ROW_GAP)
        bottom = row_top + ROW_HEIGHT
        rows.append(Row(name, interface, tuple(counts), row_top, bottom, _steps(counts, most, row_top, bottom)))
    bottom = rows[-1].bottom
    longest = link_gap = None
    sentence = f"Data packets per 10 ms from {(begin_ns - zero) // _MILLISECOND} ms on, {stretch.zero} at 0 ms."
    note = ""
    if window != (stretch.begin_ns, stretch.end_ns):
        note = f"Its steps are {(stretch.end_ns - stretch.begin_ns) / 1e9:.0f} s apart, of which no more than"
        note += f" {AROUND_NS // 10**9} s before and after are drawn."
    gap = longest_gap(mine, stretch.begin_ns, stretch.end_ns)
    if gap is not None and window[0] <= gap[0] <= gap[1] <= window[1]:
        begin, end = x(gap[0]), x(gap[1])
        text = f"{(gap[1] - gap[0]) / _MILLISECOND:.1f} ms without a packet"
        half = len(text) * CHARACTER_WIDTH / 2
        longest = Span(
            begin, end - begin, Label(min(max((begin + end) / 2, LEFT + half), WIDTH - half), text, 0, "middle")
        )
        sentence += f" At {stretch.label} {text}."
    if stretch.no_link is not None and window[0] <= stretch.no_link[0] < stretch.no_link[1] <= window[1]:
        down, up = stretch.no_link
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
        marks=tuple(
            Mark(x(moment.t_ns), moment.kind if moment.kind in PLAIN_KINDS else family_of(moment.kind))
            for moment in moments
        ),
        labels=tuple(labels),
        link_gap=link_gap,
        longest_gap=longest,
        ticks=tuple((x(zero + round(tick * _MILLISECOND)), f"{tick:g}") for tick in axis),
        sentence=sentence,
        zero=stretch.zero,
        note=note,
    )


def _window(stretch: Stretch) -> tuple[int, tuple[int, int]]:
    """Time zero, and what is drawn of the stretch."""
    begin, end = stretch.begin_ns, max(stretch.begin_ns, stretch.end_ns)
    zero = stretch.zero_ns
    if not begin - AROUND_NS <= zero <= end + AROUND_NS:
        zero = begin
    return zero, (max(begin, zero - AROUND_NS), min(end, zero + AROUND_NS))


def longest_gap(times: Sequence[int], begin_ns: int, end_ns: int) -> tuple[int, int] | None:
    """The longest time between two packets of a window, the first of equally long ones; None for fewer than two packets."""
    first, last = bisect_left(times, begin_ns), bisect_right(times, end_ns)
    return max(pairwise(times[first:last]), key=lambda pair: pair[1] - pair[0], default=None)


def _counts(times: Sequence[int], begin_ns: int, count: int) -> list[int]:
    edges = [bisect_left(times, begin_ns + number * BIN_NS) for number in range(count + 1)]
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
