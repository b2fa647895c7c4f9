"""The top of a run's page: how it ended, its key figures, one line for each handover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from captures.report.chapters import Chapter
from captures.report.rule_table import RuleRow

if TYPE_CHECKING:
    from captures.mmcp.handovers import Handover

BAR_WIDTH = 120.0  # px, of the longest disruption
_GOOD_OUTCOMES = ("predictive", "reactive", "silent")
_VERDICTS = {"pass": ("passed", "passed"), "fail": ("failed", "failed"), "could-not-run": ("could not run", "failed")}


@dataclass(frozen=True, slots=True)
class HandoverRow:
    """A line of the table of handovers; times in ms, None where nothing was measured, lengths of bars in px."""

    number: Any
    anchor: str
    mode: str
    origin: str
    target: str
    gap: float | None
    disruption: float | None
    excess: float | None
    lost: int | None
    duplicates: int | None
    hir_hic: float | None
    arrival: float | None
    verdict: str
    verdict_kind: str
    bar_gap: float
    bar_excess: float


@dataclass(frozen=True, slots=True)
class Tile:
    """A key figure."""

    name: str
    figure: str
    unit: str
    note: str


@dataclass(frozen=True, slots=True)
class Problem:
    """What made the run fail; `anchor` is the place on the page that shows it, empty for none."""

    text: str
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """What was seen in one case of a lab that is no walk."""

    name: str
    seen: str
    problems: tuple[str, ...]


def verdict_of(result: Mapping[str, Any], rules: Sequence[RuleRow], *, truncated: str | None) -> tuple[str, str]:
    """How the run ended, in words, and whether that is "passed", "failed" or "unseen".

    What a result said of a capture that has broken off since is no longer true of it.
    """
    counts = count_rules(rules)
    if truncated is not None:
        return ("rules failed, breaks off", "failed") if counts["failed"] else ("breaks off", "unseen")
    if result.get("verdict") in _VERDICTS:
        return _VERDICTS[result["verdict"]]
    if not counts["failed"] + counts["passed"]:
        return "not judged", "unseen"
    return ("rules failed", "failed") if counts["failed"] else ("rules passed", "passed")


def count_rules(rules: Sequence[RuleRow]) -> dict[str, int]:
    """How many verdicts there are of each kind."""
    counts = {"failed": 0, "unseen": 0, "passed": 0}
    for row in rules:
        counts[row.verdict] += len(row.subjects)
    return counts


def lead_of(rows: Sequence[HandoverRow], cases: Sequence[Case], rules: Sequence[RuleRow]) -> str:
    """What was done and judged."""
    done = [_counted(len(rows), "handover")] if rows else []
    done += [_counted(len(cases), "case")] if cases else []
    told = []
    for pack in dict.fromkeys(row.pack for row in rules):
        counts = count_rules([row for row in rules if row.pack == pack])
        checked = counts["failed"] + counts["passed"]
        if checked:
            told.append(f"{pack} {counts['passed']} of {checked}")
    sentences = [", ".join(done)] if done else []
    sentences.append(f"Rules passed: {', '.join(told)}" if told else "Nothing was judged")
    unseen = count_rules(rules)["unseen"]
    return f"{'. '.join(sentences)}{f'; {unseen} saw nothing to judge' if unseen else ''}."


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def rules_lead_of(rules: Sequence[RuleRow]) -> str:
    """What stands above the table of rules."""
    counts = count_rules(rules)
    if not any(counts.values()):
        return "Nothing was judged."
    return (
        f"{counts['failed']} failed, {counts['unseen']} unseen, {counts['passed']} passed. The judge passes or fails only what"
        " it saw: a rule is unseen where what it asks about did not come up, or an absence could not be believed."
    )


def when_of(result: Mapping[str, Any], begin_ns: int, end_ns: int) -> list[str]:
    """Date, duration and versions, each for people."""
    began = datetime.fromtimestamp(begin_ns / 1e9, UTC)
    duration = (end_ns - begin_ns) / 1e9
    what = "captured"
    with suppress(KeyError, TypeError, ValueError):  # without a result the capture has times too
        began = datetime.fromisoformat(str(result["started"])).astimezone(UTC)
        duration, what = float(result["duration_s"]), "run"
    found = [f"{began.day} {began:%B %Y, %H:%M:%S} UTC", f"{what} in {duration:.1f} s"]
    versions = result.get("versions")
    if isinstance(versions, Mapping):
        found += [f"{name} {version}" for name, version in versions.items()]
    return found


def problems_of(
    result: Mapping[str, Any], rules: Sequence[RuleRow], reason: str | None, truncated: str | None
) -> list[Problem]:
    """Everything that makes the run no good one; `reason`: why it was not judged, `truncated`: where its capture breaks off."""
    found = (
        []
        if truncated is None
        else [Problem(f"the capture breaks off ({truncated}): judged and shown as far as it goes")]
    )
    found += [] if reason is None else [Problem(reason)]
    if result.get("error"):
        found.append(Problem(str(result["error"])))
    found += [Problem(str(failure)) for failure in result.get("failures", ())]
    for row in rules:
        if row.verdict == "failed":
            for each in row.subjects:
                linked = next((f"frame-{frame.number}" for frame in each.frames if frame.linked), each.anchor)
                found.append(Problem(f"{row.rule} [{row.clause}], {each.subject}: {each.message}", linked))
    return found


def handover_rows(
    records: Sequence[Mapping[str, Any]], chapters: Sequence[Chapter], rules: Sequence[RuleRow]
) -> list[HandoverRow]:
    """The table of handovers, from the result's rows or the judge's records."""
    by_number: dict[Any, Chapter] = {chapter.handover.number: chapter for chapter in chapters if chapter.handover}
    failed = {each.subject for row in rules if row.verdict == "failed" for each in row.subjects}
    longest = max((_number(record.get("disruption_ms")) or 0.0 for record in records), default=0.0) or 1.0
    rows = []
    for record in records:
        chapter = by_number.get(record.get("handover"))
        gap, disruption = _number(record.get("l2_gap_ms")), _number(record.get("disruption_ms"))
        drawn = (disruption or 0.0) / longest * BAR_WIDTH
        bar_gap = min((gap or 0.0) / longest * BAR_WIDTH, drawn)
        verdict, kind = _verdict(record, chapter.handover if chapter else None, failed)
        rows.append(
            HandoverRow(
                number=record.get("handover"),
                anchor=chapter.anchor if chapter else "",
                mode=str(record.get("mode")),
                origin=str(record.get("from")),
                target=str(record.get("to")),
                gap=gap,
                disruption=disruption,
                excess=_number(record.get("excess_ms")),
                lost=record.get("lost"),
                duplicates=record.get("duplicates"),
                hir_hic=_number(record.get("hir_hic_ms")),
                arrival=_number(record.get("first_packet_after_link_up_ms")),
                verdict=verdict,
                verdict_kind=kind,
                bar_gap=bar_gap,
                bar_excess=max(0.0, drawn - bar_gap),
            )
        )
    return rows


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _verdict(record: Mapping[str, Any], handover: Handover | None, failed: set[str]) -> tuple[str, str]:
    if record.get("problems") or (handover is not None and handover.name in failed):
        return "fail", "failed"
    outcome = str(record.get("outcome"))
    if outcome in _GOOD_OUTCOMES:
        return "pass", "passed"
    # A lab that kills roles lets a node join again after the window in which its handover was measured.
    if outcome == "failed":
        return ("pass: later", "passed") if "problems" in record else ("no stream", "unseen")
    return f"pass: {outcome}", "passed"


def tiles_of(rows: Sequence[HandoverRow], result: Mapping[str, Any]) -> list[Tile]:
    """For each mode how long the stream was away, and how long it took to come at first."""
    tiles = []
    for mode in dict.fromkeys(row.mode for row in rows):
        mine = [row for row in rows if row.mode == mode]
        disruptions = [row.disruption for row in mine if row.disruption is not None]
        excesses = [row.excess for row in mine if row.excess is not None]
        lost = [row.lost for row in mine if row.lost is not None]
        if disruptions:
            notes = [f"median of {_counted(len(disruptions), 'handover')}"]
            if excesses:
                notes.append(f"{median(excesses):.1f} ms beyond the gap")
            if lost:
                notes.append(f"{median(lost):.0f} packets lost")
            tiles.append(Tile(f"disruption, {mode}", f"{median(disruptions):.1f}", "ms", ", ".join(notes)))
    first = _number(result.get("start_to_first_data_s"))
    if first is not None:
        tiles.append(Tile("start to first data", f"{first:.1f}", "s", "empty machine to the stream at the node"))
    return tiles


def cases_of(result: Mapping[str, Any]) -> list[Case]:
    """Cases of a lab that is no walk."""
    return [
        Case(
            str(case.get("case")),
            str(case.get("seen", "")),
            tuple(str(problem) for problem in case.get("problems", ())),
        )
        for case in result.get("cases", ())
    ]
