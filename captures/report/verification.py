"""What was found in any capture, as text: tables in a terminal, plain aligned lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from captures.report.terminal import RULE_COLUMNS, plain_table, rich_table, rule_rows

if TYPE_CHECKING:
    from captures.rules.judgement import Judgement, PackVerdicts
    from captures.wire.rtp import Stream

_OUTCOMES = ("passed", "failed", "unseen")
_STREAMS_SHOWN = 20
_STREAM_TITLES = (
    "stream", "interface", "packets", "lost", "scattered", "interruptions", "duplicates", "late", "restarts", "jitter ms", "max",
)  # fmt: skip
_PASSED_TITLES = ("rule", "clause", "verdict", "where")


def show_verification(verification: Judgement) -> None:
    """Print it to stdout."""
    print(
        f"{verification.source}: {verification.frames} packets in {verification.seconds:.3f} s"
        f" at {len(verification.interfaces)} interfaces"
    )
    _table("Packs", ("pack", *_OUTCOMES), [_counts(pack) for pack in verification.packs])
    if verification.streams:
        _table("Streams", _STREAM_TITLES, [_stream(one) for one in verification.streams[:_STREAMS_SHOWN]])
        if len(verification.streams) > _STREAMS_SHOWN:
            print(f"and {len(verification.streams) - _STREAMS_SHOWN} streams more, see --json")
    rules = [row for pack in verification.packs for row in _by_rule(pack)]
    if rules:
        _table("Rules kept, and those that the capture cannot tell", _PASSED_TITLES, rules)
    failed = [verdict for verdict in verification.verdicts if verdict.verdict == "failed"]
    if failed:
        _table("Rules broken", RULE_COLUMNS, rule_rows(failed))
    print()
    for reason, count in verification.passed_over.items():
        print(f"passed over: {count} {reason}")
    for warning in verification.warnings:
        print(f"warning: {warning}")
    print(", ".join(f"{verification.count(outcome)} {outcome}" for outcome in ("failed", "unseen", "passed")))


def _table(title: str, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = rich_table if sys.stdout.isatty() else plain_table
    print()
    table(title, titles, rows)


def _counts(pack: PackVerdicts) -> list[str]:
    return [pack.name, *(str(pack.count(outcome)) for outcome in _OUTCOMES)]


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
