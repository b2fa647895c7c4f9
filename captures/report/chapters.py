"""A run told in parts: what was before the first handover, then each handover with all that came until the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from captures.ladder.drawing import LadderDrawing
from captures.ladder.table import TableRow
from captures.mmcp.handovers import Handover, first_data_after
from captures.report.packets import Chart, make_chart
from captures.report.stream_path import Scene, make_scene
from captures.report.stretches import Stretch, cell_of, stretches_of
from captures.report.topology import Plan

if TYPE_CHECKING:
    from captures.mmcp.timeline import Timeline

CHAPTERS_MAX = 50
"""A page of many hundred handovers would be too large for a browser; their figures are in the table all the same."""


@dataclass(slots=True)
class Chapter:
    """A part of the run, from `begin_ns` until before `end_ns`; `short` is its name where there is little room."""

    anchor: str
    short: str
    title: str
    begin_ns: int
    end_ns: int
    handover: Handover | None = None
    stretch: Stretch | None = None
    scenes: list[Scene] = field(default_factory=list)
    chart: Chart | None = None
    ladder: LadderDrawing | None = None
    table: list[TableRow] = field(default_factory=list)
    failed: bool = False

    @property
    def zero_ns(self) -> int:
        """From where the chapter's times are told: link down or what else it is about, else its begin."""
        if self.handover is not None:
            return self.handover.begin_ns if self.handover.down_ns is None else self.handover.down_ns
        if self.stretch is not None:
            return self.stretch.down_ns
        return self.begin_ns

    def without_link(self) -> tuple[str, int, int] | None:
        """The mobile node that had no link for a while, and from when until when."""
        handover = self.handover
        if handover is None or handover.down_ns is None or handover.up_ns is None or handover.up_ns < handover.down_ns:
            return None
        return handover.mn.name, handover.down_ns, handover.up_ns


def chapters_of(
    timeline: Timeline, handovers: Sequence[Handover], verdicts: Sequence[Mapping[str, Any]]
) -> tuple[list[Chapter], int]:
    """The chapters that are drawn, and how many are not: of more than `CHAPTERS_MAX` those with failures and the first."""
    chapters = _divide(timeline, handovers)
    if len(chapters) <= CHAPTERS_MAX:
        return chapters, 0
    failed = {str(verdict["subject"]) for verdict in verdicts if verdict["verdict"] == "failed"}
    order = sorted(chapters, key=lambda chapter: chapter.handover is None or chapter.handover.name not in failed)
    chosen = {id(chapter) for chapter in order[:CHAPTERS_MAX]}
    return [chapter for chapter in chapters if id(chapter) in chosen], len(chapters) - CHAPTERS_MAX


def _divide(timeline: Timeline, handovers: Sequence[Handover]) -> list[Chapter]:
    """The whole capture in chapters: each handover begins one; without handovers each session does, and each silence."""
    end_ns = timeline.end_ns + 1
    begin_ns = min([timeline.begin_ns, *(step.t_ns for step in timeline.steps[:1])])
    if handovers:
        heads = [
            Chapter(f"handover-{number}", str(handover.number), _title(handover), handover.begin_ns, end_ns, handover)
            for number, handover in enumerate(handovers, 1)
        ]
    else:
        sessions = [step for step in timeline.steps if step.name == "session_begin"]
        heads = [
            Chapter(f"session-{number}", str(number), _session(number, step.fields), step.t_ns, end_ns)
            for number, step in enumerate(sessions, 1)
        ]
        if "status" in timeline.parameters.expects:
            silences = [step for step in timeline.steps if step.name == "silence_begin"]
            heads += [
                Chapter(f"silence-{number}", f"silence {number}", _silence(number, step.fields), step.t_ns, end_ns)
                for number, step in enumerate(silences, 1)
            ]
            heads.sort(key=lambda head: head.begin_ns)
    if not heads or heads[0].begin_ns > begin_ns:
        title = "Before the first handover" if handovers else "The beginning" if heads else "The whole capture"
        heads.insert(0, Chapter("beginning", "begin", title, begin_ns, end_ns))
    for chapter, following in pairwise(heads):
        chapter.end_ns = following.begin_ns
    if not handovers:
        parts = [(chapter.begin_ns, chapter.end_ns) for chapter in heads]
        for chapter, stretch in zip(heads, stretches_of(timeline, parts), strict=True):
            chapter.stretch = stretch
    return heads


def _title(handover: Handover) -> str:
    moves = f"{handover.mn.name} from {handover.origin} to {handover.target}"
    return f"Handover {handover.number}, {handover.mode}: {moves}"


def _session(number: int, fields: Mapping[str, Any]) -> str:
    name = f"Session {number}, of {fields.get('mn', 'an MN')}"
    return f"{name}, expected: {fields['expected']}" if fields.get("expected") else name


def _silence(number: int, fields: Mapping[str, Any]) -> str:
    return f"Silence {number}, of {fields.get('role', 'a role')}: {fields.get('why', 'nobody says why')}"


def draw_scenes(
    timeline: Timeline,
    handovers: Sequence[Handover],
    chapters: Sequence[Chapter],
    plan: Plan | None,
    source: str | None,
) -> None:
    """Give each chapter about something its chart and, where the lab's model is known, its drawings."""
    where = dict(plan.begin) if plan is not None else {}
    drawn = {id(chapter.handover): chapter for chapter in chapters if chapter.handover is not None}
    for handover in handovers:
        chapter = drawn.get(id(handover))
        if chapter is not None:
            chapter.chart = make_chart(timeline, handover, _places(timeline, plan))
        if chapter is not None and plan is not None:
            chapter.scenes = _scenes(timeline, plan, handover, where, source)
        where[handover.mn.name] = handover.target

    for chapter in chapters:
        if chapter.stretch is not None:
            chapter.chart = make_chart(timeline, chapter.stretch, _places(timeline, plan))
            if plan is not None:
                chapter.scenes = _scenes_of(timeline, plan, chapter.stretch, source)


def _scenes_of(timeline: Timeline, plan: Plan, stretch: Stretch, source: str | None) -> list[Scene]:
    """Before and after, in the one cell in which the node is."""
    cell = cell_of(timeline, stretch) or plan.begin.get(stretch.node)
    return [
        make_scene(
            timeline,
            plan,
            name=name,
            window=(begin, end),
            mobile_node=stretch.node,
            cells=[] if cell is None else [cell],
            linked=True,
            others={},
            source=source,
        )
        for name, begin, end in stretch.scenes
        if begin < end
    ]


def _places(timeline: Timeline, plan: Plan | None) -> dict[str, str]:
    """Each cell with the interface it was captured at: its LMC's, else another's in it."""
    places = {lmc.point_of_attachment: lmc.interface for lmc in timeline.parameters.lmcs}
    if plan is None:
        return dict(sorted(places.items()))
    for cell in plan.heads:
        ends = [name for wire in plan.wires if cell.name in (wire.first, wire.second) for name in wire.interfaces]
        seen = [name for name in ends if name in timeline.interfaces]
        if cell.name not in places and seen:
            places[cell.name] = seen[0]
    return dict(sorted(places.items()))


def _scenes(
    timeline: Timeline, plan: Plan, handover: Handover, where: Mapping[str, str | None], source: str | None
) -> list[Scene]:
    """Before the handover, while the node is without a link or has two, and after it."""
    begin, end = handover.begin_ns, handover.end_ns
    down, up = handover.down_ns, handover.up_ns
    first = min(time for time in (handover.trigger_ns, down, up, end) if time is not None)
    found = [("Before", (begin, first), [handover.origin], True)]
    if down is not None and up is not None:
        if down <= up:
            found.append(("No link", (down, up), [handover.origin, handover.target], False))
        else:
            found.append(("Two links", (up, down), [handover.origin, handover.target], True))
    last = max(time for time in (down, up, begin) if time is not None)
    index = first_data_after(timeline, handover)
    if index is not None:
        last = max(last, timeline.flow(handover.mn.interface).t_ns[index])
    if up is not None:
        found.append(("After", (last, end), [handover.target], True))
    return [
        make_scene(
            timeline,
            plan,
            name=name,
            window=window,
            mobile_node=handover.mn.name,
            cells=cells,
            linked=linked,
            others=where,
            source=source,
        )
        for name, window, cells, linked in found
    ]
