"""Timers of one agent, on the caller's clock: set, cancel, the next deadline, and those that are due."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from heapq import heapify, heappop, heappush
from typing import Any, Generic, Protocol, TypeVar

Key = TypeVar("Key", bound=Hashable)
TimerKey = tuple[Any, ...]
"""What a role names a timer: what it times, and of whom, such as ("spt", 1)."""

# A timer that is set again and again leaves its old entries in the heap; it is rebuilt when they outnumber the live ones.
_MINIMUM_STALE_ENTRIES = 64


class Alarms(Protocol):
    """What a role does with its timers, wherever they are kept. Deadlines are in seconds."""

    def __contains__(self, key: TimerKey) -> bool: ...
    def __len__(self) -> int: ...
    def set(self, key: TimerKey, deadline: float) -> None:
        """Arm ``key`` to fire at ``deadline``, in place of any earlier deadline it had."""

    def cancel(self, key: TimerKey) -> None:
        """Disarm ``key``; nothing happens when it is not armed."""

    def clear(self) -> None:
        """Disarm all."""


class Timers(Generic[Key]):
    """Named deadlines in seconds. Setting a timer again moves it; equal deadlines fire in the order they were set.

    An entry that has been moved or cancelled stays in the heap until it comes to its top, where none is left: drivers ask
    for the next deadline after every datagram, and timers change seldom.
    """

    __slots__ = ("_armed", "_heap", "_sequence")

    def __init__(self) -> None:
        self._armed: dict[Key, tuple[float, int, Key]] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._sequence = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._armed

    def __len__(self) -> int:
        return len(self._armed)

    def set(self, key: Key, deadline: float) -> None:
        """Arm ``key`` to fire at ``deadline`` (seconds), in place of any earlier deadline it had."""
        self._sequence += 1
        entry = (deadline, self._sequence, key)
        heappush(self._heap, entry)
        is_moved = key in self._armed
        self._armed[key] = entry
        if is_moved:
            self._drop_stale()

    def cancel(self, key: Key) -> None:
        """Disarm ``key``; nothing happens when it is not armed."""
        if self._armed.pop(key, None) is not None:
            self._drop_stale()

    def clear(self) -> None:
        """Disarm all."""
        self._armed.clear()
        self._heap.clear()

    def armed(self) -> Iterator[tuple[Key, float]]:
        """Every armed timer and its deadline, in the order in which they were set first."""
        return ((key, deadline) for deadline, _, key in self._armed.values())

    def next_deadline(self) -> float | None:
        """The earliest deadline, or None when no timer is armed."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> Iterator[Key]:
        """Disarm and yield each timer whose deadline is ``now`` or earlier, earliest first.

        A timer that is set during the iteration with a deadline that has passed fires in the same iteration.
        """
        heap = self._heap
        while heap and heap[0][0] <= now:
            key = heappop(heap)[2]
            del self._armed[key]
            self._uncover()
            yield key

    def _drop_stale(self) -> None:
        """Leave no stale entry at the top, and not too many below it."""
        heap = self._heap
        if len(heap) > 2 * len(self._armed) + _MINIMUM_STALE_ENTRIES:
            heap[:] = self._armed.values()
            heapify(heap)
        else:
            self._uncover()

    def _uncover(self) -> None:
        heap, armed = self._heap, self._armed
        while heap and armed.get(heap[0][2]) is not heap[0]:
            heappop(heap)
