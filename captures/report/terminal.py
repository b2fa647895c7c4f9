"""A judgement as text, of a lab or of any capture: tables in a terminal, plain aligned lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from captures.protocols import protocols

if TYPE_CHECKING:
    from captures.rules.findings import Verdict
    from captures.rules.judgement import Judgement, PackVerdicts
    from captures.wire.rtp import Stream

_ORDER = {"failed": 0, "unseen": 1, "passed": 2}
_COLOURS = {"failed": "bold red", "unseen": "yellow", "passed": "green"}
_RULE_COLUMNS = ("verdict", "rule", "clause", "subject", "what was seen", "frames")
_FRAMES_SHOWN = 8
_STREAMS_SHOWN = 20
_STREAM_TITLES = (
    "stream", "interface", "packets", "lost", "scattered", "interruptions", "duplicates", "late", "restarts", "jitter ms", "max",
)  # fmt: skip


def show(judgement: Judgement) -> None:
    """Print what a lab shows to stdout: every verdict that decides, how many the other packs have, and those that failed."""
    topics = {topic.name: topic for known in protocols() for topic in known.topics}
    for topic in (topics[name] for name in judgement.about if name in topics):
        rows = [[_cell(record[key]) for _, key in topic.columns] for record in judgement.records.get(topic.records, ())]
        _table(topic.title, [name for name, _ in topic.columns], rows)
    _table("Rules", _RULE_COLUMNS, _rule_rows(_in_order(judgement.decided)))
    if judgement.beside:
        _packs(judgement.beside, tuple(_ORDER))
    _broken("Rules of packs that are broken", judgement.beside)
    _close(judgement)


def show_verification(judgement: Judgement) -> None:
    """Print what any capture shows to stdout: how many verdicts each pack has, the streams, and each rule in one line."""
    print(
        f"{judgement.source}: {judgement.frames} packets in {judgement.seconds:.3f} s"
        f" at {len(judgement.interfaces)} interfaces\n"
    )
    _packs(judgement.packs, ("passed", "failed", "unseen"))
    if judgement.streams:
        more = len(judgement.streams) - _STREAMS_SHOWN
        rows = [_stream(one) for one in judgement.streams[:_STREAMS_SHOWN]]
        _table("Streams", _STREAM_TITLES, rows, f"and {more} streams more, see --json" if more > 0 else "")
    kept = [row for pack in judgement.packs for row in _by_rule(pack)]
    if kept:
        _table("Rules kept, and those that the capture cannot tell", ("rule", "clause", "verdict", "where"), kept)
    _broken("Rules broken", judgement.packs)
    for reason, count in judgement.passed_over.items():
        print(f"passed over: {count} {reason}")
    _close(judgement)


def _packs(packs: Sequence[PackVerdicts], outcomes: Sequence[str]) -> None:
    rows = [[pack.name, *(str(pack.count(outcome)) for outcome in outcomes)] for pack in packs]
    _table("Packs", ("pack", *outcomes), rows)


def _broken(title: str, packs: Iterable[PackVerdicts]) -> None:
    failed = [verdict for pack in packs for verdict in pack.verdicts if verdict.verdict == "failed"]
    if failed:
        _table(title, _RULE_COLUMNS, _rule_rows(failed))


def _close(judgement: Judgement) -> None:
    for warning in judgement.warnings:
        print(f"warning: {warning}")
    print(", ".join(f"{judgement.count(outcome)} {outcome}" for outcome in _ORDER))


def _by_rule(pack: PackVerdicts) -> Iterator[list[str]]:
    """One line for each rule that nothing broke."""
    names = dict.fromkeys((verdict.rule, verdict.clause) for verdict in pack.verdicts)
    for name, clause in names:
        verdicts = [verdict for verdict in pack.verdicts if verdict.rule == name]
        if any(verdict.verdict == "failed" for verdict in verdicts):
            continue
        passed = [verdict for verdict in verdicts if verdict.verdict == "passed"]
        if passed:
            subjects = f"{passed[0].subject}: {passed[0].message}" if len(passed) == 1 else f"{len(passed)} subjects"
            yield [name, clause, "passed", subjects]
        else:
            yield [name, clause, "unseen", verdicts[0].message]


def _stream(stream: Stream) -> list[str]:
    figures = stream.as_dict()
    numbers = (
        "packets",
        "lost",
        "scattered",
        "interruptions",
        "duplicates",
        "reordered",
        "restarts",
        "mean_jitter_ms",
        "max_jitter_ms",
    )
    cells = ["-" if figures[name] is None else str(figures[name]) for name in numbers]
    return [stream.name, stream.key.interface, *cells]


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


def _rule_rows(verdicts: Iterable[Verdict]) -> list[list[str]]:
    """Verdicts as rows of a table with `_RULE_COLUMNS`."""
    return [[v.verdict, v.rule, v.clause, v.subject, v.message, _frames_shown(v.frames)] for v in verdicts]


def _frames_shown(frames: Sequence[int]) -> str:
    """The first few frame numbers."""
    shown = " ".join(str(number) for number in frames[:_FRAMES_SHOWN])
    return f"{shown} ..." if len(frames) > _FRAMES_SHOWN else shown


def _table(title: str, titles: Sequence[str], rows: Sequence[Sequence[str]], below: str = "") -> None:
    """Print a table and an empty line, between them what stands `below`."""
    if sys.stdout.isatty():
        _rich_table(title, titles, rows)
    else:
        _plain_table(titles, rows)
    print(f"{below}\n" if below else "")


def _plain_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print aligned columns, for pipes and files."""
    widths = [max(len(row[i]) for row in [titles, *rows]) for i in range(len(titles))]
    for row in [titles, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _rich_table(title: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
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
