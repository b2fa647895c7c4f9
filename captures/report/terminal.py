"""A judgement as text: tables in a terminal, plain aligned lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from captures.protocols import protocols

if TYPE_CHECKING:
    from captures.rules.findings import Verdict
    from captures.rules.judgement import Judgement

_ORDER = {"failed": 0, "unseen": 1, "passed": 2}
_COLOURS = {"failed": "bold red", "unseen": "yellow", "passed": "green"}
RULE_COLUMNS = ("verdict", "rule", "clause", "subject", "what was seen", "frames")
_FRAMES_SHOWN = 8


def show(judgement: Judgement) -> None:
    """Print it to stdout: every verdict that decides, and how many the other packs have, with those that failed."""
    table = rich_table if sys.stdout.isatty() else plain_table
    topics = {topic.name: topic for known in protocols() for topic in known.topics}
    for topic in (topics[name] for name in judgement.about if name in topics):
        rows = [[_cell(record[key]) for _, key in topic.columns] for record in judgement.records.get(topic.records, ())]
        table(topic.title, [name for name, _ in topic.columns], rows)
        print()
    table("Rules", RULE_COLUMNS, rule_rows(_in_order(judgement.decided)))
    print()
    if judgement.beside:
        rows = [[pack.name, *(str(pack.count(outcome)) for outcome in _ORDER)] for pack in judgement.beside]
        table("Packs", ("pack", *_ORDER), rows)
        print()
    broken = [verdict for pack in judgement.beside for verdict in pack.verdicts if verdict.verdict == "failed"]
    if broken:
        table("Rules of packs that are broken", RULE_COLUMNS, rule_rows(broken))
        print()
    for warning in judgement.warnings:
        print(f"warning: {warning}")
    print(", ".join(f"{judgement.count(outcome)} {outcome}" for outcome in _ORDER))


def _in_order(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """What failed first, each with what follows from it below it."""
    failed = [verdict for verdict in verdicts if verdict.verdict == "failed"]
    rules = dict.fromkeys(verdict.rule for verdict in failed)
    found = [
        verdict
        for rule in rules
        for verdict in (*(v for v in failed if v.rule == rule), *(v for v in verdicts if v.follows == rule))
    ]
    others = [verdict for verdict in verdicts if verdict.verdict != "failed" and verdict.follows not in rules]
    return found + sorted(others, key=lambda verdict: _ORDER[verdict.verdict])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return " ".join(_cell(item) for item in value) or "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def rule_rows(verdicts: Iterable[Verdict]) -> list[list[str]]:
    """Verdicts as rows of a table with `RULE_COLUMNS`."""
    return [[v.verdict, v.rule, v.clause, v.subject, v.message, _frames_shown(v.frames)] for v in verdicts]


def _frames_shown(frames: Sequence[int]) -> str:
    """The first few frame numbers."""
    shown = " ".join(str(number) for number in frames[:_FRAMES_SHOWN])
    return f"{shown} ..." if len(frames) > _FRAMES_SHOWN else shown


def plain_table(_title: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns, for pipes and files."""
    widths = [max(len(row[i]) for row in [titles, *rows]) for i in range(len(titles))]
    for row in [titles, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def rich_table(title: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table for a terminal; a cell that is a verdict is coloured."""
    from rich.console import Console  # noqa: PLC0415  only where somebody looks
    from rich.table import Table  # noqa: PLC0415  as above
    from rich.text import Text  # noqa: PLC0415  as above

    table = Table(title=title, title_justify="left")
    for name in titles:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
    Console().print(table)
