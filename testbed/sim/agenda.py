"""What is to come in a world in virtual time: a queue in order of time, and within one moment in order of arrival.

Theory of operation. Time is cut into slots. What lies in a later slot only waits in that slot's list, which is sorted when
its time comes. So a step of the queue touches the few entries of one slot, and not, as a heap of everything would, one entry
on each of its levels all over the memory: a world of many nodes is not slower for each of its events.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import chain
from operator import itemgetter
from typing import Any

_SLOTS_PER_S = 128  # a power of two, so that a time's slot is exact

Entry = tuple[float, Callable[[Any, Any], None], Any, Any]
"""The time (s), and what is to be called with which two arguments."""

_by_time = itemgetter(0)  # equal times stay in order of arrival: sorting is stable, and insort puts an equal one behind


class Agenda:
    """Entries by time, and the time: ``now`` (s) is set by whoever carries out what ``take_until`` hands over."""

    __slots__ = ("_current", "_later", "_number", "_numbers", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self._number = -1  # of the slot that has come last
        self._current: list[Entry] = []  # what is left of it, and what was late: sorted
        self._later: dict[int, list[Entry]] = {}
        self._numbers: list[int] = []  # of the later slots: a heap

    def __len__(self) -> int:
        return len(self._current) + sum(map(len, self._later.values()))

    def __iter__(self) -> Iterator[Entry]:
        """All that is to come, in no particular order."""
        return chain(self._current, *self._later.values())

    def put(self, time: float, what: Callable[[Any, Any], None], first: Any, second: Any) -> None:
        """Call ``what`` with the two arguments at ``time``, or at once when that has passed."""
        number = int(time * _SLOTS_PER_S)
        if number in self._later:
            self._later[number].append((time, what, first, second))
        elif number <= self._number:
            insort(self._current, (max(time, self.now), what, first, second), key=_by_time)
        else:
            self._later[number] = [(time, what, first, second)]
            heappush(self._numbers, number)

    def take_until(self, end: float) -> Iterator[list[Entry]]:
        """Take out what is to come up to and including the moment ``end``, in portions that are carried out one by one.

        ``for agenda.now, what, first, second in portion``: what is put there meanwhile for a time within the portion
        appears in it, behind what is being carried out.
        """
        last = int(end * _SLOTS_PER_S)
        while True:
            slot = self._current
            if self._number < last:
                yield slot
                slot.clear()
            else:  # the end lies in this slot, or before it
                while slot and slot[0][0] <= end:
                    yield [slot.pop(0)]
            if not self._numbers or self._numbers[0] > last:
                return
            self._number = heappop(self._numbers)
            self._current = self._later.pop(self._number)
            self._current.sort(key=_by_time)
