"""A comparison of two runs as text."""

from __future__ import annotations

from collections.abc import Iterator

from captures.protocol import Figure
from captures.protocols import protocols
from captures.report.comparison import MEDIAN, Comparison, Delay, RuleChange

Segment = tuple[str, str]

_FAR = 1.5  # a delay that is so many times another is worth a colour


def comparison_lines(comparison: Comparison) -> Iterator[list[Segment]]:
    """What differs, the weightiest first; a line each, as styled segments."""
    yield [("a  ", "bold"), (f"{comparison.a}: {comparison.verdicts[0]}", "")]
    yield [("b  ", "bold"), (f"{comparison.b}: {comparison.verdicts[1]}", "")]
    yield from _rules(comparison)
    yield from _sequences(comparison)
    yield from _values(comparison)
    yield from _delays(comparison)
    for note in comparison.notes:
        yield [(f"note: {note}", "dim")]
    yield []
    if comparison.empty:
        yield [("NOT COMPARED", "bold red"), (": there was nothing to compare", "")]
    elif comparison.same:
        so_far = " as far as they go" if comparison.incomplete else ""
        yield [("SAME", "bold green"), (f" verdicts and message sequence{so_far}", "")]
    else:
        yield [("DIFFERENT", "bold red"), (f": {_summary(comparison)}", "")]


def _summary(comparison: Comparison) -> str:
    parts = []
    if comparison.verdicts[0] != comparison.verdicts[1]:
        parts.append(f"{comparison.verdicts[0]} became {comparison.verdicts[1]}")
    if comparison.rules:
        parts.append(f"{len(comparison.rules)} verdicts of rules changed")
    if comparison.sections:
        parts.append(f"messages differ in {len(comparison.sections)} stretches")
    return "; ".join(parts)


def _rules(comparison: Comparison) -> Iterator[list[Segment]]:
    """One line for each verdict, or for each rule where many changed in the same way."""
    if not comparison.rules:
        return
    yield []
    yield [("rules", "bold")]
    alike: dict[tuple[str, str, str], list[RuleChange]] = {}
    for change in comparison.rules:
        alike.setdefault((change.a, change.b, change.rule), []).append(change)
    for (a, b, rule), changes in alike.items():
        style = "red" if b == "failed" else "green" if a == "failed" else "yellow"
        first = changes[0]
        said = f"{first.subject}: {first.message}" if len(changes) == 1 else "; ".join(c.subject for c in changes)
        yield [(f"  {a} -> {b}", style), (f"  {rule}  {said}", "")]


def _sequences(comparison: Comparison) -> Iterator[list[Segment]]:
    yield []
    yield [("messages", "bold"), (f"  {comparison.compared[0]} and {comparison.compared[1]} compared", "dim")]
    for section in comparison.sections:
        if section.only_in is not None:
            count = sum(len(change.a) + len(change.b) for change in section.changes)
            yield [(f"  {section.name}", "bold"), (f": only in {section.only_in}, {count} messages", "yellow")]
            continue
        yield [(f"  {section.name}", "bold")]
        for change in section.changes:
            if change.after:
                yield [(f"      {change.after}", "dim")]
            for text in change.a:
                yield [(f"    - {text}", "red")]
            for text in change.b:
                yield [(f"    + {text}", "green")]
    if not comparison.sections:
        yield [("  the same sequence", "")]


def _values(comparison: Comparison) -> Iterator[list[Segment]]:
    for title, changes in (("parameters", comparison.parameters), ("versions", comparison.versions)):
        if changes:
            yield []
            yield [(title, "bold")]
        for change in changes:
            yield [(f"  {change.name}: {_value(change.a)} -> {_value(change.b)}", "")]


def _value(value: object) -> str:
    return "-" if value is None else str(value)


def _delays(comparison: Comparison) -> Iterator[list[Segment]]:
    """One line for each record, a cell for each figure: a, b and how many times a b is."""
    for compared in (each for known in protocols() for each in known.compared):
        rows: dict[tuple[str, str], dict[str, Delay]] = {}
        for delay in comparison.delays:
            if delay.records == compared.records:
                rows.setdefault((delay.subject, delay.group), {})[delay.what] = delay
        if not rows:
            continue
        yield []
        yield [("delays", "bold"), (f"  a, b and b / a; {compared.note}", "dim")]
        width, group_width = max(8, len(compared.name)), max(len(group) for _, group in rows)
        titles = "".join(figure.title.rjust(_CELL) for figure in compared.figures)
        yield [(f"  {compared.name:>{width}} {compared.group:{group_width}}{titles}", "dim")]
        for (subject, group), cells in rows.items():
            style = "bold" if subject == MEDIAN else ""
            line = [(f"  {subject:>{width}} {group:{group_width}}", style)]
            yield [*line, *(_cell(cells.get(figure.name), figure, style) for figure in compared.figures)]


_CELL = 22


def _cell(delay: Delay | None, figure: Figure, style: str) -> Segment:
    if delay is None or delay.a is delay.b is None:
        return "-".rjust(_CELL), style
    text = f"{_number(delay.a)} {_number(delay.b)}"
    if delay.ratio is None:
        return f"{text}      -".rjust(_CELL), style
    far = figure.time and not 1 / _FAR <= delay.ratio <= _FAR
    return f"{text} x{delay.ratio:.2f}".rjust(_CELL), "yellow" if far else style


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}"
