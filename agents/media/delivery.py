"""What the application gets of a stream that may arrive on several interfaces at once: each packet once, in order.

While a node is a member on two interfaces it receives every packet twice, one path a little behind the other. A packet
that was delivered already is suppressed; one that is ahead of a missing packet waits for it, ``HOLD_NS`` at most, for the
other path may still bring it. What is missing after that is skipped. Everything is counted.
"""

from __future__ import annotations

from agents.core.counters import Counters
from agents.media.arrivals import ArrivalLog

HOLD_NS = 40_000_000  # ns a packet waits for one before it: more than two paths of one network differ
PENDING_MAXIMUM = 512  # packets that wait at most


class Delivery:
    """Puts packets, known by their extended sequence numbers, in order; ``log`` holds what was delivered and when."""

    def __init__(self, counters: Counters) -> None:
        self.log = ArrivalLog()
        self._counters = counters
        self._next: int | None = None
        self._pending: dict[int, bytes] = {}
        self._waiting_since = 0

    def take(self, number: int, payload: bytes, now_ns: int) -> list[bytes]:
        """Take one packet that arrived at ``now_ns``; returns the payloads that are the application's now, in order."""
        if self._next is None:
            self._next = number
        if number < self._next or number in self._pending:
            self._counters.add("suppressed.duplicate-or-late")
            return []
        if not self._pending:
            if number == self._next:
                return [self._deliver(payload, now_ns)]
            self._waiting_since = now_ns
        self._pending[number] = payload
        released = self._release(now_ns)
        while self._pending and (now_ns - self._waiting_since >= HOLD_NS or len(self._pending) > PENDING_MAXIMUM):
            self._skip()
            released += self._release(now_ns)
        return released

    def flush(self, now_ns: int) -> list[bytes]:
        """Give up on all that is missing: the payloads that wait, in order. The next packet may have any number."""
        released: list[bytes] = []
        while self._pending:
            self._skip()
            released += self._release(now_ns)
        self._next = None
        return released

    def _skip(self) -> None:
        first = min(self._pending)
        assert self._next is not None  # something waits for it
        self._counters.add("skipped.missing", first - self._next)
        self._next = first

    def _release(self, now_ns: int) -> list[bytes]:
        """All that follows without a gap; what still waits begins to wait anew."""
        released: list[bytes] = []
        while self._next in self._pending:
            released.append(self._deliver(self._pending.pop(self._next), now_ns))
        if released:
            self._waiting_since = now_ns
        return released

    def _deliver(self, payload: bytes, now_ns: int) -> bytes:
        assert self._next is not None  # set by the first packet
        self.log.add(now_ns, self._next)
        self._counters.add("delivered.packets")
        self._next += 1
        return payload
