"""A run as tables that other programs read: results, verdicts, and everything that happened, one file each.

| table | a row is |
|---|---|
| as the result names them, such as ``handovers`` | a row of the lab's own table; what was nested has a dotted name |
| ``rules`` | a verdict: pack, rule, clause, subject, verdict, message, frames |
| ``messages`` | a control packet as one interface saw it |
| ``streams`` | the packets of one flow at one interface in one window of 10 ms |
| ``steps``, ``link_events``, ``traces``, ``logs`` | what the scenario did, what links did, what agents and daemons say |

Times are nanoseconds since the epoch (``t_ns``), as in ``timeline.jsonl``; figures whose name ends in ``_ms`` are milliseconds. A list
or an object that stays whole is JSON text. What is not there is empty in CSV, null in Parquet.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from captures.files.capture import CaptureError
from captures.history.lines import as_dict, line_kind
from captures.history.run import Counts, Run, history_of

Cell = str | int | float | bool | None
Rows = list[dict[str, Cell]]
Writer = Callable[[Path, list[str], Rows], None]

TABLE_OF_KIND = {
    "frame": "messages",
    "data": "streams",
    "step": "steps",
    "link": "link_events",
    "trace": "traces",
    "log": "logs",
}
_VERDICT = ("pack", "rule", "clause", "subject", "verdict", "message", "frames")


def export(run: Run, target: Path, ending: str, write: Writer) -> dict[Path, int]:
    """Write every table that the run has something for into a folder; returns the rows of each file.

    ``ending``: of the files' names, such as "csv". Raises `CaptureError` if the run cannot be read or a file not be written.
    """
    tables: dict[str, Rows] = {}
    result = run.result()
    for table in result.get("tables", ()):
        tables[str(table["name"])] = [_flat(row) for row in result.get(table["name"], ())]
    tables["rules"] = [_whole({name: verdict.get(name) for name in _VERDICT}) for verdict in _verdicts(result)]
    counts = Counts()
    for event in history_of(run, counts):
        line = as_dict(event)
        del line["kind"]
        tables.setdefault(TABLE_OF_KIND[line_kind(event)], []).append(_whole(line))
    written: dict[Path, int] = {}
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, rows in tables.items():
            if rows:
                file = target / f"{name}.{ending}"
                write(file, list(dict.fromkeys(column for row in rows for column in row)), rows)
                written[file] = len(rows)
    except OSError as error:
        raise CaptureError(f"cannot write into {target}: {error.strerror or error}") from error
    if counts.truncated is not None:
        raise CaptureError(f"{run.capture} breaks off ({counts.truncated}): written as far as it goes, into {target}")
    return written


def write_csv(file: Path, columns: list[str], rows: Rows) -> None:
    """RFC 4180 in UTF-8, with a line of names."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _verdicts(result: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from result.get("rules", {}).get("all", ())
    for pack in result.get("packs", {}).values():
        yield from pack["verdicts"]


def _whole(row: Mapping[str, Any]) -> dict[str, Cell]:
    return {name: _cell(value) for name, value in row.items()}


def _flat(row: Mapping[str, Any]) -> dict[str, Cell]:
    return dict(_dotted(row, ""))


def _dotted(row: Mapping[str, Any], before: str) -> Iterable[tuple[str, Cell]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", _cell(value)


def _cell(value: Any) -> Cell:
    if value is None or isinstance(value, str | int | float):
        return value
    return json.dumps(value)
