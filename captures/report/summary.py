"""The top of a run's page: how it ended, its key figures, tables of what happened."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from captures.additions import Additions, Bar, Line, Table, Tile
from captures.report.chapters import Chapter
from captures.report.rule_table import RuleRow

_VERDICTS = {"pass": ("passed", "passed"), "fail": ("failed", "failed"), "could-not-run": ("could not run", "failed")}


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


def lead_of(tables: Sequence[Table], cases: Sequence[Case], rules: Sequence[RuleRow]) -> str:
    """What was done and judged."""
    done = [_counted(len(table.lines), table.thing) for table in tables if table.thing]
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
    """Everything that makes the run no good one; `rules` are those that decide, `reason`: why it was not judged, `truncated`: where its capture breaks off."""
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


def tiles_of(additions: Sequence[Additions], result: Mapping[str, Any]) -> list[Tile]:
    """Key figures: those of the protocols, and how long the stream took to come at first."""
    tiles = [tile for each in additions for tile in each.tiles]
    first = result.get("start_to_first_data_s")
    if isinstance(first, int | float) and not isinstance(first, bool):
        tiles.append(Tile("start to first data", f"{first:.1f}", "s", "empty machine to the stream at the node"))
    return tiles


def tables_of(additions: Sequence[Additions], chapters: Sequence[Chapter]) -> list[Table]:
    """The protocols' tables, whose lines lead to parts that are drawn; bars as begin and length of each part, in px."""
    drawn = {chapter.part.anchor for chapter in chapters}
    return [_drawn(table, drawn) for each in additions for table in each.tables]


def _drawn(table: Table, anchors: Container[str]) -> Table:
    lines = [list(line.cells) for line in table.lines]
    for at, column in enumerate(table.columns):
        if column.kind == "bar":
            longest = max((sum(cells[at]) for cells in lines), default=0.0) or 1.0
            for cells in lines:
                cells[at] = [
                    (begin / longest * column.width, length / longest * column.width)
                    for begin, length in _placed(cells[at])
                ]
    return replace(
        table,
        lines=tuple(
            Line(line.anchor if line.anchor in anchors else "", tuple(cells))
            for line, cells in zip(table.lines, lines, strict=True)
        ),
    )


def _placed(bar: Bar) -> Iterator[tuple[float, float]]:
    """Where each length of a bar begins, and the length."""
    begin = 0.0
    for length in bar:
        yield begin, length
        begin += length


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
