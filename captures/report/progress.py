"""How far a long judgement is, for somebody who watches."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

_PATIENCE_S = 2.0
_EVERY_S = 0.2


class Progress:
    """A line on stderr after two seconds, where that is a terminal; nothing elsewhere. Call it with the packets so far."""

    def __init__(self) -> None:
        self.frames = 0
        self._began = time.monotonic()
        self._next = self._began + _PATIENCE_S if sys.stderr.isatty() else float("inf")
        self._shown = False

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the line away."""
        self.clear()

    def __call__(self, frames: int) -> None:
        """So many packets have been read."""
        self.frames = frames
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _EVERY_S
            self._shown = True
            rate = frames / (now - self._began)
            print(f"\r{frames:,} packets, {rate:,.0f} a second\x1b[K", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = False
