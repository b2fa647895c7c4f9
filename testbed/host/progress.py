"""What the lab is doing, for the person watching.

On a terminal: the step in progress, since when, and what is seen meanwhile, on one line that refreshes itself.
Elsewhere, and for every finished step: one plain line.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

REFRESHES_PER_S = 8


def counted(number: int, thing: str) -> str:
    """So many of a thing, in words."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


class ProgressStep:
    """One step in progress."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._started = time.monotonic()
        self._seen = ""

    def seen(self, what: str) -> None:
        """What is observed at present, in words."""
        self._seen = what

    @property
    def elapsed_s(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._started

    def __rich__(self) -> Text:
        line = f"… {self.what} ({self.elapsed_s:.1f} s)"
        return Text(f"{line}: {self._seen}" if self._seen else line, no_wrap=True, overflow="ellipsis", style="cyan")


class Progress:
    """Steps may be nested; a terminal shows the innermost. `quiet` shows nothing at all."""

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.console = console or Console(stderr=True, quiet=quiet)
        self._steps: list[ProgressStep] = []
        self._live: Live | None = None

    @contextmanager
    def step(self, what: str) -> Iterator[ProgressStep]:
        """Shows `what` while the body runs, then one line with its duration (and whether it failed)."""
        step = ProgressStep(what)
        self._steps.append(step)
        if self.console.is_terminal and self._live is None:
            self._live = Live(
                get_renderable=self._innermost, console=self.console, transient=True, refresh_per_second=REFRESHES_PER_S
            )
            self._live.start()
        outcome = "failed after"
        try:
            yield step
            outcome = "done in"
        finally:
            self._steps.remove(step)
            if self._live is not None and not self._steps:
                self._live.stop()
                self._live = None
            self.note(f"{step.what}: {outcome} {step.elapsed_s:.2f} s")

    def note(self, line: str) -> None:
        """One plain line."""
        self.console.print(Text(line), soft_wrap=True)

    def _innermost(self) -> ProgressStep | Text:
        return self._steps[-1] if self._steps else Text("")
