"""What is to come in a world in virtual time: a queue in order of time, and within one moment in order of arrival.

Theory of operation. Time is cut into slots. What lies in a later slot only waits in that slot's list; the slot that has
come is a heap. So a step of the queue touches the few entries of one slot, and not, as one heap of everything would, one
entry on each of its levels all over the memory: a world of many nodes is not slower for each of its events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from itertools import chain
from typing import Any

_SLOTS_PER_S = 128  # a power of two, so that a time's slot is exact

Entry = tuple[float, int, Callable[[Any], None], Any]
"""The time (s), the number in order of arrival, and what is to be called with which argument."""


class Agenda:
    """Entries by time."""

    __slots__ = ("_arrivals", "_current", "_later", "_now", "_number", "_numbers")

    def __init__(self) -> None:
        self._now = 0.0  # the time of what was taken out last
        self._arrivals = 0
        self._number = -1  # of the slot that has come last
        self._current: list[Entry] = []  # its entries, and those of the past: a heap
        self._later: dict[int, list[Entry]] = {}
        self._numbers: list[int] = []  # of the later slots: a heap

    def __len__(self) -> int:
        return len(self._current) + sum(map(len, self._later.values()))

    def __iter__(self) -> Iterator[Entry]:
        """All that is to come, in no particular order."""
        return chain(self._current, *self._later.values())

    def put(self, time: float, what: Callable[[Any], None], argument: Any) -> None:
        """Call ``what`` with ``argument`` at ``time``, or at once when that has passed."""
        self._arrivals += 1
        number = int(time * _SLOTS_PER_S)
        slot = self._later.get(number)
        if slot is not None:
            slot.append((time, self._arrivals, what, argument))
        elif number <= self._number:
            heappush(self._current, (max(time, self._now), self._arrivals, what, argument))
        else:
            self._later[number] = [(time, self._arrivals, what, argument)]
            heappush(self._numbers, number)

    def take_until(self, end: float) -> Iterator[Entry]:
        """Take out, one by one, what is to come up to and including the moment ``end``; more may be put meanwhile."""
        last = int(end * _SLOTS_PER_S)
        while True:
            current = self._current
            while current and current[0][0] <= end:
                entry = heappop(current)
                self._now = entry[0]
                yield entry
            if current or not self._numbers or self._numbers[0] > last:
                return
            self._number = heappop(self._numbers)
            self._current = self._later.pop(self._number)
            heapify(self._current)
