"""The history of one agent as JSON lines, on the clock that the captures use."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

from agents.core.counters import Counters
from agents.runtime.output import Output


class TraceFile:
    """Appends ``{"t_ns": CLOCK_REALTIME ns, "node": …, "event": …, …}`` lines; without a path it does nothing.

    Lines that the disk had no room for are lost: a line with the event "trace-lost" says how many.
    """

    def __init__(self, path: Path | None, node: str, counters: Counters) -> None:
        """Open the file; raises OSError."""
        self._node = node
        self._output: Output | None = None
        if path is not None:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o666)
            self._output = Output(descriptor, "trace", counters, self._lost)

    @property
    def is_kept(self) -> bool:
        """Whether lines go anywhere."""
        return self._output is not None

    def write(self, event: str, details: Mapping[str, object]) -> None:
        """Append one line, with the time of now."""
        if self._output is not None:
            self._output.write(self._line(event, details))

    def _line(self, event: str, details: Mapping[str, object]) -> str:
        return json.dumps({"t_ns": time.time_ns(), "node": self._node, "event": event, **details}) + "\n"

    def _lost(self, lines: int) -> str:
        return self._line("trace-lost", {"lines": lines})

    def close(self) -> None:
        """Close the file."""
        if self._output is not None:
            self._output.close()
            self._output = None
