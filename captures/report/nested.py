"""Sets one in the other over time: for each member a lane in which the bar of an inner set lies in that of the outer one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from captures.additions import Change, Nested
from captures.ladder.drawing import CHARACTER_WIDTH
from captures.report.axis import ticks

LANES_MAX = 60
"""Of more members the first are drawn, and all are counted."""
WIDTH, LEFT, RIGHT = 1120.0, 112.0, 14.0
LANE_HEIGHT, BAR_HEIGHT, THINNER = 34.0, 16.0, 5.0
COUNTS_HEIGHT, HEAD, FOOT = 64.0, 20.0, 34.0
_TICKS, _NAME_MAX = 12, 14


@dataclass(frozen=True, slots=True)
class Bar:
    """A time in one of the sets; lengths in px."""

    x: float
    y: float
    width: float
    height: float
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A change, or several that lie so close that their texts are one."""

    x: float
    text: str
    told: str


@dataclass(frozen=True, slots=True)
class Lane:
    """A member."""

    name: str
    y: float
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class NestedDrawing:
    """The drawing; lengths in px. `areas` are paths of how many were in each set, `most` the largest number."""

    title: str
    caption: str
    levels: tuple[str, ...]
    width: float
    height: float
    left: float
    right: float
    areas: tuple[str, ...]
    most: int
    counts_bottom: float
    lanes: tuple[Lane, ...]
    bottom: float
    ticks: tuple[tuple[float, str], ...]
    sentence: str
    left_out: int
    rows: tuple[tuple[str, str, str, str, int], ...]
    """The same as a table: seconds, member, set, what did it, frame."""


def draw_nested(nested: Nested, begin_ns: int) -> NestedDrawing | None:
    """Draw it from a time on; None where nothing ever changed."""
    if not nested.changes:
        return None
    first, last = nested.changes[0].t_ns, max(nested.end_ns, nested.changes[-1].t_ns)
    margin = max((last - first) // 50, 1_000_000)
    since, until = first - margin, last + margin
    scale = (WIDTH - LEFT - RIGHT) / (until - since)

    def x(t_ns: int) -> float:
        return LEFT + (t_ns - since) * scale

    of: dict[str, list[Change]] = {}
    for change in nested.changes:
        of.setdefault(change.who, []).append(change)
    counts_bottom = HEAD + COUNTS_HEIGHT
    lanes = []
    for place, (who, changes) in enumerate(list(of.items())[:LANES_MAX]):
        y = counts_bottom + 24 + place * LANE_HEIGHT
        spans = [(begin.t_ns, end.t_ns, begin.level) for begin, end in pairwise(changes)]
        spans.append((changes[-1].t_ns, last, changes[-1].level))
        bars = tuple(
            Bar(
                x(begin),
                y + 14 + level * THINNER / 2,
                max((end - begin) * scale, 1.0),
                BAR_HEIGHT - level * THINNER,
                level,
                f"{who} {nested.levels[level]}",
            )
            for level in range(len(nested.levels))
            for begin, end in _joined(spans, level)
        )
        lanes.append(Lane(who[:_NAME_MAX], y, bars, tuple(_marks(changes, nested.levels, x))))
    areas, most = _areas(nested, of, x, counts_bottom, last)
    bottom = counts_bottom + 24 + len(lanes) * LANE_HEIGHT
    axis = ticks((since - begin_ns) / 1e9, (until - begin_ns) / 1e9, _TICKS)
    peaks = ", ".join(f"{name} {count}" for name, count in zip(nested.levels, most, strict=True))
    return NestedDrawing(
        title=nested.title,
        caption=nested.caption,
        levels=nested.levels,
        width=WIDTH,
        height=bottom + FOOT,
        left=LEFT,
        right=WIDTH - RIGHT,
        areas=areas,
        most=most[0],
        counts_bottom=counts_bottom,
        lanes=tuple(lanes),
        bottom=bottom,
        ticks=tuple((x(begin_ns + round(tick * 1e9)), f"{tick:g}") for tick in axis),
        sentence=f"{nested.title}: at most {peaks} at once.",
        left_out=len(of) - len(lanes),
        rows=tuple(_rows(nested, begin_ns)),
    )


def _joined(spans: Sequence[tuple[int, int, int]], level: int) -> list[tuple[int, int]]:
    """The times in which the level was reached, those that follow each other as one."""
    found: list[tuple[int, int]] = []
    for begin, end, reached in spans:
        if reached <= level:
            continue
        if found and found[-1][1] == begin:
            found[-1] = (found[-1][0], end)
        else:
            found.append((begin, end))
    return found


def _marks(changes: Sequence[Change], levels: Sequence[str], x: object) -> list[Mark]:
    """Texts that would overlap are one, told one after the other."""
    assert callable(x)
    found: list[Mark] = []
    end = 0.0
    for change in changes:
        at = float(x(change.t_ns))
        told = f"{change.text} (frame {change.frame}): {standing(change.level, levels)}"
        if found and at < end:
            before = found[-1]
            text = before.text if before.text.endswith(change.text) else f"{before.text} {change.text}"
            found[-1] = Mark(before.x, text, f"{before.told}; {told}")
        else:
            found.append(Mark(at, change.text, told))
        end = found[-1].x + (len(found[-1].text) + 1) * CHARACTER_WIDTH
    return found


def standing(level: int, levels: Sequence[str]) -> str:
    """In words, where somebody is."""
    return levels[level - 1] if level else "outside"


def _areas(
    nested: Nested, of: dict[str, list[Change]], x: object, bottom: float, last: int
) -> tuple[tuple[str, ...], list[int]]:
    """Of each set the path of an area, and its largest number."""
    assert callable(x)
    now = dict.fromkeys(of, 0)
    counts = [0] * len(nested.levels)
    most = [0] * len(nested.levels)
    steps: list[tuple[float, list[int]]] = []
    for change in nested.changes:
        before, now[change.who] = now[change.who], change.level
        for level in range(min(before, change.level), max(before, change.level)):
            counts[level] += 1 if change.level > before else -1
        most = [max(pair) for pair in zip(most, counts, strict=True)]
        steps.append((float(x(change.t_ns)), list(counts)))
    highest = max(most[0], 1)
    end = float(x(last))
    paths = []
    for level in range(len(nested.levels)):
        path = [f"M{steps[0][0]:.1f} {bottom:.1f}"]
        path += [f"H{at:.1f}V{bottom - COUNTS_HEIGHT * each[level] / highest:.1f}" for at, each in steps]
        paths.append("".join([*path, f"H{end:.1f}V{bottom:.1f}Z"]))
    return tuple(paths), most


def _rows(nested: Nested, begin_ns: int) -> list[tuple[str, str, str, str, int]]:
    return [
        (
            f"{(change.t_ns - begin_ns) / 1e9:.3f}",
            change.who,
            standing(change.level, nested.levels),
            change.text,
            change.frame,
        )
        for change in nested.changes
    ]
