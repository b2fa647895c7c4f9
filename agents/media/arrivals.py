"""What a receiver remembers of the packets that came, in bounded memory, and what it measures over a window of time."""

from __future__ import annotations

from array import array
from dataclasses import asdict, dataclass

# Packets remembered: 16 bytes each. At 1000 packets/s about nine minutes; older ones are overwritten and counted.
CAPACITY = 1 << 19


class WindowError(ValueError):
    """A window that cannot be measured; says why."""


@dataclass(frozen=True, slots=True)
class Window:
    """What arrived between two moments (CLOCK_REALTIME ns, both inclusive).

    lost = (highest - lowest sequence number + 1) - distinct ones; duplicates = packets - distinct ones; the longest gap
    is the largest difference of arrival time between two packets that follow each other; ``first_ns`` and ``last_ns`` are
    when the first and the last packet came.
    """

    begin_ns: int
    end_ns: int
    packets: int
    lost: int
    duplicates: int
    reordered: int
    longest_gap_ns: int
    gap_begin_ns: int
    gap_end_ns: int
    first_ns: int
    last_ns: int

    def plain(self) -> dict[str, int]:
        """The fields as plain values."""
        return asdict(self)


class ArrivalLog:
    """A ring of (arrival time, extended sequence number)."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._times = array("q")
        self._numbers = array("q")
        self.added = 0

    @property
    def overwritten(self) -> int:
        """How many packets are no longer remembered."""
        return max(0, self.added - self._capacity)

    def add(self, time_ns: int, number: int) -> None:
        """Remember one packet."""
        if self.added < self._capacity:
            self._times.append(time_ns)
            self._numbers.append(number)
        else:
            position = self.added % self._capacity
            self._times[position] = time_ns
            self._numbers[position] = number
        self.added += 1

    def window(self, begin_ns: int, end_ns: int) -> Window:
        """Measure a window; raises WindowError when it is partly forgotten or holds fewer than two packets."""
        first = self.overwritten
        if self.overwritten and self._times[first % self._capacity] > begin_ns:
            raise WindowError(f"the window's first packets are forgotten: only the last {self._capacity} are kept")
        distinct: set[int] = set()
        packets = reordered = longest = gap_begin = gap_end = first_ns = 0
        previous_time: int | None = None
        highest: int | None = None
        for index in range(first, self.added):
            position = index % self._capacity
            time_ns = self._times[position]
            if not begin_ns <= time_ns <= end_ns:
                continue
            number = self._numbers[position]
            packets += 1
            first_ns = first_ns or time_ns
            distinct.add(number)
            if highest is not None and number < highest:
                reordered += 1
            highest = number if highest is None else max(highest, number)
            if previous_time is not None and time_ns - previous_time > longest:
                longest, gap_begin, gap_end = time_ns - previous_time, previous_time, time_ns
            previous_time = time_ns
        if packets < 2 or previous_time is None:
            raise WindowError(
                f"{packets} packets in a window of {(end_ns - begin_ns) / 1e6:.0f} ms: nothing to measure"
            )
        lost = max(distinct) - min(distinct) + 1 - len(distinct)
        duplicates = packets - len(distinct)
        return Window(
            begin_ns, end_ns, packets, lost, duplicates, reordered, longest, gap_begin, gap_end, first_ns, previous_time
        )
