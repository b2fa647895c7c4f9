"""The history of one agent as JSON lines, on the clock that the captures use."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO


class TraceFile:
    """Appends ``{"t_ns": CLOCK_REALTIME ns, "node": …, "event": …, …}`` lines; without a path it does nothing."""

    def __init__(self, path: Path | None, node: str) -> None:
        self._node = node
        self._file: TextIO | None = None if path is None else path.open("a", encoding="utf-8", buffering=1)

    @property
    def is_kept(self) -> bool:
        """Whether lines go anywhere."""
        return self._file is not None

    def write(self, event: str, details: Mapping[str, object]) -> None:
        """Append one line, with the time of now."""
        if self._file is not None:
            line = {"t_ns": time.time_ns(), "node": self._node, "event": event, **details}
            self._file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
