"""The message ladder of a run, divided among the page's chapters, and the rules that lead to its frames."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from captures.history.run import Run, events_of
from captures.ladder.builder import build
from captures.ladder.drawing import Drawer, Evidence, Shown, frames_of, shown
from captures.ladder.table import Fields, table_of
from captures.report.chapters import Chapter
from captures.report.rule_table import RuleRow, failures_by_frame, rule_table
from captures.report.seen import Seen
from captures.rules.ruling import Verdicts
from captures.wire.flows import Flow


def draw_ladders(
    run: Run,
    model: Mapping[str, Any],
    seen: Seen,
    chapters: Sequence[Chapter],
    told: Verdicts,
) -> tuple[list[RuleRow], tuple[str, ...]]:
    """Give each chapter its part of the ladder.

    Returns the table of rules, whose frames are linked where they are drawn, and the protocols that occur.
    """
    fields = Fields()
    ladder = build(fields.watching(events_of(run)), model=model)
    # What packs find good beside is nearly every packet: only what they find broken is worth a row of its own.
    telling = [
        verdict for verdict in told.verdicts if verdict["rule"] in told.deciding or verdict["verdict"] == "failed"
    ]
    wanted = {int(frame) for verdict in telling for frame in verdict.get("frames", ())}
    in_rows = {frame for row in ladder.rows for frame in row.frames}
    rows = shown(ladder, _evidence(seen.data, wanted, in_rows), wanted)
    parts = [[row for row in rows if chapter.part.begin_ns <= row.t_ns < chapter.end_ns] for chapter in chapters]
    rules = rule_table(told.verdicts, {frame for part in parts for row in part for frame in frames_of(row)})
    flags = failures_by_frame(rules)
    drawer = Drawer(ladder, rows, flags)
    for chapter, part in zip(chapters, parts, strict=True):
        chapter.ladder = drawer.draw(
            part, chapter.part.begin_ns, chapter.end_ns, chapter.zero_ns, chapter.without_link()
        )
        chapter.table = table_of(part, fields, chapter.zero_ns)
        chapter.failed = _any_flag(part, flags)
    return rules, ladder.protocols


def _evidence(data: Mapping[str, Flow], frames: Iterable[int], in_rows: Container[int]) -> list[Evidence]:
    """The data packets among the frames, in order of time; what is neither in a row nor data is left out."""
    found = []
    for frame in set(frames):
        if frame in in_rows:
            continue
        for interface, flow in data.items():
            at = bisect_left(flow.number, frame)
            if at < len(flow.number) and flow.number[at] == frame:
                found.append(Evidence(frame, flow.t_ns[at], interface))
    return sorted(found, key=lambda each: (each.t_ns, each.frame))


def _any_flag(rows: Sequence[Shown], flags: Mapping[int, object]) -> bool:
    return any(frame in flags for row in rows for frame in frames_of(row))
