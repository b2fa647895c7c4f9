"""A run told in chapters: what was before the first part, then each part with all that came until the next."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from captures.additions import Additions, Part
from captures.history.parameters import named_in
from captures.ladder.drawing import LadderDrawing
from captures.ladder.table import TableRow
from captures.report.packets import Chart, make_chart
from captures.report.seen import Seen
from captures.report.stream_path import Scene, make_scene
from captures.report.topology import Plan

CHAPTERS_MAX = 50
"""A page of many hundred parts would be too large for a browser; their figures are in the tables all the same."""


@dataclass(slots=True)
class Chapter:
    """A part of the run, until before `end_ns`, with what is drawn of it."""

    part: Part
    end_ns: int
    scenes: list[Scene] = field(default_factory=list)
    chart: Chart | None = None
    ladder: LadderDrawing | None = None
    table: list[TableRow] = field(default_factory=list)
    failed: bool = False

    @property
    def zero_ns(self) -> int:
        """From where the chapter's times are told: the moment that it is about, else its begin."""
        return self.part.begin_ns if self.part.stretch is None else self.part.stretch.zero_ns

    def without_link(self) -> tuple[str, int, int] | None:
        """The node that had no link for a while, and from when until when."""
        stretch = self.part.stretch
        return None if stretch is None or stretch.no_link is None else (stretch.node, *stretch.no_link)


def chapters_of(seen: Seen, additions: Sequence[Additions], failed: Container[str]) -> tuple[list[Chapter], int]:
    """The chapters that are drawn, and how many are not: of more than `CHAPTERS_MAX` those with failures and the first.

    `failed`: the subjects of the verdicts that failed.
    """
    chapters = _divide(seen, additions)
    if len(chapters) <= CHAPTERS_MAX:
        return chapters, 0
    order = sorted(chapters, key=lambda chapter: chapter.part.subject not in failed)
    chosen = {id(chapter) for chapter in order[:CHAPTERS_MAX]}
    return [chapter for chapter in chapters if id(chapter) in chosen], len(chapters) - CHAPTERS_MAX


def _divide(seen: Seen, additions: Sequence[Additions]) -> list[Chapter]:
    """The whole capture in chapters."""
    begin_ns = min([seen.begin_ns, *(step.t_ns for step in seen.steps[:1])])
    parts = sorted((part for each in additions for part in each.parts), key=lambda part: part.begin_ns)
    if not parts or parts[0].begin_ns > begin_ns:
        titles = [each.beginning for each in additions if each.parts]
        parts.insert(0, Part("beginning", "begin", titles[0] if titles else "The whole capture", begin_ns))
    ends = [following.begin_ns for _, following in pairwise(parts)] + [seen.end_ns + 1]
    return [Chapter(part, end_ns) for part, end_ns in zip(parts, ends, strict=True)]


def draw_scenes(
    seen: Seen, additions: Sequence[Additions], chapters: Sequence[Chapter], plan: Plan | None, source: str | None
) -> None:
    """Give each chapter about something its chart and, where the lab's model is known, its drawings."""
    where = dict(plan.begin) if plan is not None else {}
    places = _places(seen, plan)
    drawn = {id(chapter.part): chapter for chapter in chapters}
    for part in (part for each in additions for part in each.parts):
        stretch, chapter = part.stretch, drawn.get(id(part))
        if stretch is None:
            continue
        if chapter is not None:
            chapter.chart = make_chart(seen, stretch, places)
        if chapter is not None and plan is not None:
            chapter.scenes = [
                make_scene(seen, plan, view, stretch.node, where=where, source=source)
                for view in stretch.views
                if view.begin_ns < view.end_ns
            ]
        if part.moved_to is not None:
            where[stretch.node] = part.moved_to


def _places(seen: Seen, plan: Plan | None) -> dict[str, str]:
    """Each cell with the interface it was captured at: that of who serves it, else another's in it."""
    served = [named for named in named_in(seen.parameters) if named.cell and named.interface]
    places = {named.cell: named.interface for named in served}
    if plan is None:
        return dict(sorted(places.items()))
    for cell in plan.heads:
        ends = [name for wire in plan.wires if cell.name in (wire.first, wire.second) for name in wire.interfaces]
        captured = [name for name in ends if name in seen.interfaces]
        if cell.name not in places and captured:
            places[cell.name] = captured[0]
    return dict(sorted(places.items()))
