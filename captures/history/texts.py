"""What nodes wrote down themselves, as events: the agents' traces and the daemons' logs of a run's folder.

A log line can be put in order only if it carries its own time, as FRR's do (in UTC: a lab's daemons run so). Lines without
one are left out and counted, by file.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from captures.history.events import LOG, TRACE, Event

TRACES = "traces"
LOGS = "logs"

_FRR = re.compile(r"(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d)(?:\.(\d{1,9}))? [A-Z0-9]+: (.*)")


def trace_events(folder: Path, left_out: Counter[str]) -> list[Event]:
    """All trace records of a run, in order of time; what is none, such as a last line cut off, goes to `left_out`."""
    found = []
    for path in sorted((folder / TRACES).glob("*.jsonl")):
        for text in _lines(path):
            try:
                fields = json.loads(text)
                t_ns, node, event = (
                    int(fields.pop("t_ns")),
                    str(fields.pop("node", path.stem)),
                    str(fields.pop("event")),
                )
            except (ValueError, KeyError, TypeError, AttributeError):
                left_out[f"{TRACES}/{path.name}"] += 1
            else:
                found.append(Event(0, t_ns, node, TRACE, event, "", "", fields))
    return sorted(found, key=lambda event: event.t_ns)


def log_events(folder: Path, left_out: Counter[str]) -> list[Event]:
    """Log lines that have a time of their own, in its order; ``ar1-pimd.log`` is the log of pimd on ar1."""
    found = []
    for path in sorted((folder / LOGS).glob("*.log")):
        node, _, daemon = path.stem.rpartition("-")
        for text in _lines(path):
            match = _FRR.fullmatch(text)
            t_ns = None if match is None else _time_of(match)
            if match is None or t_ns is None:
                left_out[f"{LOGS}/{path.name}"] += 1
            else:
                said = {"text": match[3], "resolution_ns": 10 ** (9 - len(match[2] or ""))}
                found.append(Event(0, t_ns, node or daemon, LOG, daemon, "", "", said))
    return sorted(found, key=lambda event: event.t_ns)


def _time_of(match: re.Match[str]) -> int | None:
    try:
        second = datetime.strptime(match[1], "%Y/%m/%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(second.timestamp()) * 1_000_000_000 + int((match[2] or "").ljust(9, "0"))


def _lines(path: Path) -> Iterable[str]:
    with path.open(encoding="utf-8", errors="replace") as stream:
        yield from (text for line in stream if (text := line.strip()))
