"""Where a run's files go, what its ``result.json`` says, and how a person is told.

``result.json`` (schema 1): lab, family, verdict ("pass", "fail" or "could-not-run"), error (of a run that could not
run), failures (bounds and agreements not kept), handovers (one object each: handover, mode, outcome, mn, from, to,
l2_gap_ms, overlap_ms, address_delay_ms, disruption_ms, excess_ms, packets, lost, duplicates, hir_hic_ms,
first_packet_after_link_up_ms, receiver (its own window), problems), cases (of a lab that is no walk, one object each: case,
seen, problems, and the judge's figures), rules {checked, passed, unseen, failed: [{pack,
rule, clause, subject, verdict, message, frames}], all} (the lab's own, whose pack is "lab"), packs (what each pack of rules
for a protocol says that the capture shows, by the pack's name: {passed, failed, unseen, verdicts}, of which the first three
are counts and the last is a list of objects like those of rules; they are shown and do not fail the run), warnings,
pcap, started (ISO 8601, UTC), duration_s, start_to_first_data_s,
counters (by role: what it sent, received, dropped and why, resent, refused), versions, parameters. Times in ms unless the
name says otherwise; null where there is nothing to measure.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

RESULT_SCHEMA = 1
RESULT = "result.json"
RUNS = Path(__file__).resolve().parents[2] / "captures" / "runs"
STATUS = {"pass": 0, "fail": 1, "could-not-run": 2}


class ResultError(RuntimeError):
    """A folder or file of results cannot be made; says which and why."""


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


# Short headers, so that the table fits 80 columns; its title gives the units.
_COLUMNS = (
    ("mode", "mode"),
    ("gap", "l2_gap_ms"),
    ("disruption", "disruption_ms"),
    ("excess", "excess_ms"),
    ("lost", "lost"),
    ("dup", "duplicates"),
    ("HIR-HIC", "hir_hic_ms"),
    ("arrival", "first_packet_after_link_up_ms"),
)


def show(result: Mapping[str, Any], run_folder: Path, console: Console) -> None:
    """Print the table of handovers, what failed, and where the files are."""
    if result["handovers"] or not result["cases"]:
        _show_handovers(result["handovers"], console)
    if result["cases"]:
        _show_cases(result["cases"], console)
    rules, packs = result["rules"], result["packs"]
    broken = [verdict for pack in packs.values() for verdict in pack["verdicts"] if verdict["verdict"] == "failed"]
    for failed in [*rules["failed"], *broken]:
        frames = ", ".join(str(frame) for frame in failed.get("frames", [])[:8])
        whose = "FAILED" if failed in rules["failed"] else f"pack {failed['pack']}: FAILED"
        console.print(
            f"{whose} {failed['rule']} [{failed['clause']}] {failed.get('subject', '')}: {failed['message']}"
            + (f" (frames {frames})" if frames else ""),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    for line in (*(f"FAILED {failure}" for failure in result["failures"]), *result["warnings"]):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    unseen = f", {len(rules['unseen'])} saw nothing to judge" if rules.get("unseen") else ""
    console.print(
        f"{result['verdict'].upper()}  {_counted(result)}, "
        f"{rules['passed']} of {rules['checked']} rules passed{unseen}, {result['duration_s']:.1f} s\n"
        f"{_told_by_packs(packs)}"
        f"capture  {run_folder / result['pcap']}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


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


def _plain_table() -> Table:
    return Table(box=None, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)


def _show_handovers(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    table = _plain_table()
    table.add_column("#", justify="right")
    for title, _ in _COLUMNS:
        table.add_column(title, justify="left" if title == "mode" else "right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        table.add_row(str(row["handover"]), *(_cell(row, key) for _, key in _COLUMNS), _verdict(row))
    console.print("times in ms, lost and dup in packets; arrival: first packet after link up", highlight=False)
    console.print(table)


def _show_cases(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    table = _plain_table()
    table.add_column("case", no_wrap=True)
    table.add_column("what was seen", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        table.add_row(row["case"], row["seen"], "FAIL" if row["problems"] else "pass")
    console.print(table, highlight=False)


def _counted(result: Mapping[str, Any]) -> str:
    """How many handovers, or cases, the result is about."""
    if result["cases"]:
        return f"{len(result['cases'])} cases"
    return f"{len(result['handovers'])} handovers"


def _cell(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if value is None:
        return "-"
    return f"{round(value, 1) + 0.0:.1f}" if isinstance(value, float) else str(value)  # + 0.0: never "-0.0"


def _verdict(row: Mapping[str, Any]) -> str:
    if row["problems"]:
        return "FAIL"
    if row["outcome"] in ("predictive", row["mode"]):
        return "pass"
    # A lab that kills roles lets a node join again after the window in which its handover was measured.
    return "pass: later" if row["outcome"] == "failed" else f"pass: {row['outcome']}"


def could_not_run(lab: str, reason: str, failures: Sequence[str] = ()) -> dict[str, Any]:
    """The result of a run that did not get to its verdict."""
    return {
        "lab": lab,
        "verdict": "could-not-run",
        "error": reason,
        "failures": list(failures),
        "handovers": [],
        "cases": [],
        "rules": {"checked": 0, "passed": 0, "unseen": [], "failed": []},
        "packs": {},
        "warnings": [],
    }
