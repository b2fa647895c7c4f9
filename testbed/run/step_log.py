"""The scenario's own history: ``steps.jsonl``, on the clock that the captures use, merged into the capture at the end."""

from __future__ import annotations

import json
import time
from pathlib import Path


class StepLog:
    """Appends ``{"t_ns": CLOCK_REALTIME ns, "step": name, …}`` lines."""

    def __init__(self, run_folder: Path) -> None:
        self._file = (run_folder / "steps.jsonl").open("a", encoding="utf-8", buffering=1)
        self.names: set[str] = set()  # of the steps so far

    def add(self, step: str, **details: object) -> int:
        """Record that ``step`` happens now; returns the time, CLOCK_REALTIME ns."""
        now = time.time_ns()
        self.names.add(step)
        self._file.write(json.dumps({"t_ns": now, "step": step, **details}) + "\n")
        return now

    def close(self) -> None:
        """Close the file."""
        self._file.close()
