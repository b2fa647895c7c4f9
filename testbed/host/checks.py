"""Waiting for what can be observed, with a deadline: never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbed.host.progress import Progress

Probe = Callable[[], tuple[bool, str]]
"""Looks once: (is it so?, what was seen, in words). May raise to end the wait at once."""

PROBE_INTERVAL_S = 0.01
"""Pause between two looks: short against anything a lab waits for, long against a look's own cost."""


class NotObserved(TimeoutError):  # noqa: N818  # reads as what happened
    """The deadline passed. Says what was awaited, for how long, and what was seen instead."""

    def __init__(self, awaited: str, deadline_s: float, seen: str) -> None:
        super().__init__(f"waited {deadline_s:g} s for {awaited}; seen instead: {seen}")
        self.awaited, self.deadline_s, self.seen = awaited, deadline_s, seen


def eventually(
    awaited: str,
    probe: Probe,
    deadline_s: float,
    *,
    check_alive: Callable[[], None] | None = None,
    progress: Progress | None = None,
    interval_s: float = PROBE_INTERVAL_S,
) -> float:
    """Probes until it is so and returns the seconds that took.

    `check_alive` runs on every round and raises when a process of the lab has died, which ends the wait at once.
    Raises NotObserved after `deadline_s`; the probe is always tried at least once, and once more at the deadline.
    """
    started = time.monotonic()
    with progress.step(awaited) if progress else nullcontext() as step:
        while True:
            late = time.monotonic() - started >= deadline_s
            if check_alive:
                check_alive()
            done, seen = probe()
            if done:
                return time.monotonic() - started
            if late:
                raise NotObserved(awaited, deadline_s, seen)
            if step:
                step.seen(seen)
            time.sleep(min(interval_s, max(0.0, started + deadline_s - time.monotonic())))
