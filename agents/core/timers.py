"""Timers of one agent, on the caller's clock: set, cancel, the next deadline, and those that are due."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

# A timer that is set again and again leaves its old entries in the heap; it is rebuilt when they outnumber the live ones.
_MINIMUM_STALE_ENTRIES = 64


class Timers(Generic[Key]):
    """Named deadlines in seconds. Setting a timer again moves it; equal deadlines fire in the order they were set."""

    def __init__(self) -> None:
        self._deadlines: dict[Key, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._sequence = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._deadlines

    def __len__(self) -> int:
        return len(self._deadlines)

    def set(self, key: Key, deadline: float) -> None:
        """Arm ``key`` to fire at ``deadline`` (seconds), in place of any earlier deadline it had."""
        self._sequence += 1
        self._deadlines[key] = (deadline, self._sequence)
        heapq.heappush(self._heap, (deadline, self._sequence, key))
        self._drop_stale()

    def cancel(self, key: Key) -> None:
        """Disarm ``key``; nothing happens when it is not armed."""
        self._deadlines.pop(key, None)
        self._drop_stale()

    def clear(self) -> None:
        """Disarm all."""
        self._deadlines.clear()
        self._heap.clear()

    def next_deadline(self) -> float | None:
        """The earliest deadline, or None when no timer is armed."""
        while self._heap and not self._is_live(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> Iterator[Key]:
        """Disarm and yield each timer whose deadline is ``now`` or earlier, earliest first.

        A timer that is set during the iteration with a deadline that has passed fires in the same iteration.
        """
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            _, _, key = heapq.heappop(self._heap)
            del self._deadlines[key]
            yield key

    def _is_live(self, entry: tuple[float, int, Key]) -> bool:
        deadline, sequence, key = entry
        return self._deadlines.get(key) == (deadline, sequence)

    def _drop_stale(self) -> None:
        if len(self._heap) > 2 * len(self._deadlines) + _MINIMUM_STALE_ENTRIES:
            self._heap = [(deadline, order, key) for key, (deadline, order) in self._deadlines.items()]
            heapq.heapify(self._heap)
