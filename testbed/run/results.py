"""Where a run's files go, what its ``result.json`` says, and how a person is told.

``result.json`` (schema 1): lab, family, verdict ("pass", "fail", "could-not-run", or "kept" of
a lab that was built for its console and not judged), error (of a run that could not
run), failures (bounds and agreements not kept), tables (what the lab's tables are called and what is in their columns:
[{name, note, more, columns: [{title, key, unit}]}]; more: of rows of another one), under each table's name its rows (one object each, with verdict, "fail" or
"pass" and perhaps words after it, problems, and whatever else the lab knows; the module of the table says what), rules
{checked, passed, unseen, failed: [{pack, rule, clause, subject, verdict, message, frames, follows}], all} (of the
protocols whose lab it is: they decide; follows names the rule whose failure explains what an unseen one found, and is only
there then), packs (of the other protocols that the capture shows, by name: {passed, failed, unseen, verdicts}, of which the
first three are counts and the last is a list of objects like those of rules; they are shown and do not fail the run),
warnings, pcap, started (ISO 8601, UTC), duration_s, start_to_first_data_s,
counters (by role: what it sent, received, dropped and why, resent, refused), versions, parameters. Times in ms unless the
name says otherwise; null where there is nothing to measure.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as PrintedTable

from testbed.host.progress import counted

RESULT_SCHEMA = 1
ROWS_SHOWN, FAILURES_SHOWN = 40, 5
"""Of a table, and of one rule."""
RESULT = "result.json"
RUNS = Path(__file__).resolve().parents[2] / "captures" / "runs"
STATUS = {"pass": 0, "kept": 0, "fail": 1, "could-not-run": 2}


class ResultError(RuntimeError):
    """A folder or file of results cannot be made; says which and why."""


@dataclass(frozen=True, slots=True)
class Column:
    """What a table shows of its rows: the value that has this ``key``. ``unit``: such as "ms"; empty for words and counts."""

    title: str
    key: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table that a lab fills. The first column says which row it is; a column for the verdict comes by itself.

    ``name``: what its rows are, in the plural, and where ``result.json`` has them. ``row``: the word before the first
    column's value in what is said of a row. ``note``: a line above it for people, such as its units. ``more``: it says more of
    another table's rows, which are those that are counted and have a verdict.
    """

    name: str
    columns: tuple[Column, ...]
    row: str = ""
    note: str = ""
    more: bool = False

    def failures(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """The rows' ``problems``, each with the row it belongs to."""
        key = self.columns[0].key
        return [f"{self.row} {row[key]}: {problem}".lstrip() for row in rows for problem in row["problems"]]


def filled(tables: Sequence[Table], rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """The part of a result that its tables are: what they are, and the rows of each. Raises KeyError for an unknown table."""
    if unknown := sorted(set(rows) - {table.name for table in tables}):
        raise KeyError(f"rows of {', '.join(unknown)}, which is no table of the lab's")
    return {
        "tables": [asdict(table) for table in tables],
        **{
            table.name: [
                {**row, "verdict": "fail" if row["problems"] else row.get("verdict", "pass")}
                for row in rows.get(table.name, ())
            ]
            for table in tables
        },
    }


def make_run_folder(runs: Path, lab: str) -> Path:
    """A new folder ``<stamp>-<lab>`` below ``runs``; several runs in one second get a number."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    for number in range(1000):
        folder = runs / (f"{stamp}-{lab}" if not number else f"{stamp}.{number}-{lab}")
        try:
            runs.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise ResultError(f"{folder}: cannot be made: {error.strerror}; give another folder with --runs") from None
        return folder
    raise ResultError(f"{runs}: a thousand runs began in one second; give another folder with --runs")


def point_latest(run_folder: Path) -> None:
    """Make ``latest`` beside the run's folder point to it, in one step: another lab may do the same now."""
    link = run_folder.parent / "latest"
    temporary = run_folder.parent / f".latest-{os.getpid()}-{run_folder.name}"
    temporary.symlink_to(run_folder.name)
    temporary.replace(link)


def write_result(run_folder: Path, result: Mapping[str, Any]) -> None:
    """Write ``result.json`` in one step."""
    temporary = run_folder / f".{RESULT}"
    temporary.write_text(json.dumps({"schema": RESULT_SCHEMA, **result}, indent=2) + "\n", encoding="utf-8")
    temporary.replace(run_folder / RESULT)


LINKS_SHOWN = 6
"""Directions of links that are told in full; the result has all."""


def show(result: Mapping[str, Any], run_folder: Path, console: Console) -> None:
    """Print the tables that have rows, what failed, and where the files are."""
    for table in result["tables"]:
        if result[table["name"]]:
            _show_table(table, result[table["name"]], console)
    rules, packs = result["rules"], result["packs"]
    broken = [verdict for pack in packs.values() for verdict in pack["verdicts"] if verdict["verdict"] == "failed"]
    told: Counter[tuple[str, str]] = Counter()
    for failed in [*rules["failed"], *broken]:
        told[failed["pack"], failed["rule"]] += 1
        if told[failed["pack"], failed["rule"]] > FAILURES_SHOWN:
            continue
        frames = ", ".join(str(frame) for frame in failed.get("frames", [])[:8])
        whose = "FAILED" if failed in rules["failed"] else f"pack {failed['pack']}: FAILED"
        console.print(
            f"{whose} {failed['rule']} [{failed['clause']}] {failed.get('subject', '')}: {failed['message']}"
            + (f" (frames {frames})" if frames else ""),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    for (pack, rule), count in told.items():
        if count > FAILURES_SHOWN:
            more = f"{pack}: {rule} failed {count - FAILURES_SHOWN} times more, all in {run_folder / RESULT}"
            console.print(more, markup=False, highlight=False, soft_wrap=True)
    for line in (*(f"FAILED {failure}" for failure in result["failures"]), *result["warnings"]):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    unseen = f", {len(rules['unseen'])} saw nothing to judge" if rules.get("unseen") else ""
    console.print(
        f"{result['verdict'].upper()}  {_counted(result)}"
        f"{rules['passed']} of {rules['checked']} rules passed{unseen}, {result['duration_s']:.1f} s\n"
        f"{_told_of_links(result.get('links', []))}"
        f"{_told_by_packs(packs)}"
        f"capture  {run_folder / result['pcap']}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _told_of_links(links: Sequence[Mapping[str, Any]]) -> str:
    """A line on the links that were asked to be anything but perfect, empty where there are none."""
    asked = [
        f"{link['direction']} {link['found']} ({link['mechanism']})" for link in links if link["mechanism"] != "none"
    ]
    more = f"; and {len(asked) - LINKS_SHOWN} more" if len(asked) > LINKS_SHOWN else ""
    return f"links    as asked: {'; '.join(asked[:LINKS_SHOWN])}{more}\n" if asked else ""


def _told_by_packs(packs: Mapping[str, Mapping[str, Any]]) -> str:
    """A line on what the packs said, empty if none saw anything."""
    if not packs:
        return ""
    passed, failed = (sum(pack[outcome] for pack in packs.values()) for outcome in ("passed", "failed"))
    counts = ", ".join(
        f"{name} {pack['passed']}" + (f" ({pack['failed']} FAILED)" if pack["failed"] else "")
        for name, pack in packs.items()
    )
    return f"packs    {passed} of {passed + failed} rules passed: {counts}\n"


def _show_table(table: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    printed = PrintedTable(box=None, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for column in table["columns"]:
        words = any(isinstance(row.get(column["key"]), str) for row in rows)
        printed.add_column(
            column["title"],
            justify="left" if words else "right",
            no_wrap=not words,
            overflow="fold" if words else "ellipsis",
        )
    if not table["more"]:
        printed.add_column("verdict", no_wrap=True)
    shown = _shown(rows)
    for row in shown:
        verdict = "FAIL" if row["verdict"] == "fail" else row["verdict"]
        cells = (_cell(row.get(column["key"])) for column in table["columns"])
        printed.add_row(*cells, *([] if table["more"] else [verdict]))
    if table["note"]:
        console.print(table["note"], highlight=False)
    console.print(printed, highlight=False, markup=False)
    if len(shown) < len(rows):
        console.print(f"and {len(rows) - len(shown)} {table['name']} more in {RESULT}", highlight=False)


def _shown(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows that a person is shown, in their order: those that failed first of all."""
    numbers = sorted(range(len(rows)), key=lambda number: (rows[number]["verdict"] != "fail", number))
    return [rows[number] for number in sorted(numbers[:ROWS_SHOWN])]


def _counted(result: Mapping[str, Any]) -> str:
    """How many rows each table has, with a comma behind; empty of a lab without tables."""
    counts = {table["name"]: len(result[table["name"]]) for table in result["tables"] if not table["more"]}
    shown = {name: count for name, count in counts.items() if count} or dict(list(counts.items())[:1])
    return "".join(f"{counted(count, name.removesuffix('s'))}, " for name, count in shown.items())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{round(value, 1) + 0.0:.1f}" if isinstance(value, float) else str(value)  # + 0.0: never "-0.0"


def could_not_run(lab: str, reason: str, tables: Sequence[Table] = ()) -> dict[str, Any]:
    """The result of a run that did not get to its verdict; its tables are empty."""
    return {
        "lab": lab,
        "verdict": "could-not-run",
        "error": reason,
        "failures": [],
        **filled(tables, {}),
        "rules": {"checked": 0, "passed": 0, "unseen": [], "failed": []},
        "packs": {},
        "warnings": [],
    }
