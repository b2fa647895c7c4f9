"""What checks of the rule language with deadlines share."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from captures.history.events import Event
from captures.rules.coverage import Coverage
from captures.rules.findings import Outcomes
from captures.rules.language import Checker, Key, Pattern

NOBODY_THERE = "nobody was there to answer: the port was unreachable"
_UNDECIDED_MAX = 1024


class Deadlines(Checker):
    """What checks with deadlines share: `expire` is called for each key whose deadline has passed, oldest first."""

    def __init__(self, tell: Outcomes, coverage: Coverage, patterns: Iterable[Pattern]) -> None:
        super().__init__(tell, coverage, patterns)
        self._heap: list[tuple[int, int, Key]] = []
        self._count = 0
        self._undecided: list[tuple[Event, str, tuple[int, ...]]] = []

    def at(self, t_ns: int, key: Key) -> None:
        """Call `expire` for the key when an event comes after `t_ns`."""
        self._count += 1
        heapq.heappush(self._heap, (t_ns, self._count, key))

    def advance(self, now_ns: int) -> None:
        """Deadlines before that have passed."""
        while self._heap and self._heap[0][0] < now_ns:
            t_ns, _, key = heapq.heappop(self._heap)
            self.expire(key, t_ns)

    def expire(self, key: Key, t_ns: int) -> None:
        """A deadline has passed; `t_ns` is which of them. Not called where nothing has one."""

    def missing(self, event: Event, text: str, frames: tuple[int, ...]) -> None:
        """Something is missing in the direction back to `event`'s sender: failed, if that direction was ever heard.

        Not if nobody was there to send it: its port was unreachable, or a step says that it was made silent.
        """
        if self.coverage.refused(event.interface, event.protocol, event.destination):
            self.tell.unseen(event.interface, NOBODY_THERE)
        elif self.coverage.silenced(event.destination, event.t_ns):
            self.tell.unseen(event.interface, "a step says that who should have answered was made silent")
        elif len(self._undecided) < _UNDECIDED_MAX:
            self._undecided.append((event, text, frames))
        else:
            self.tell.failed(event.interface, text, frames)

    def finish(self, end_ns: int) -> None:
        """The capture ended."""
        self.advance(end_ns)
        for event, text, frames in self._undecided:
            if self.coverage.heard(event.interface, event.protocol, event.destination, event.source):
                self.tell.failed(event.interface, text, frames)
            else:
                self.tell.unseen(
                    event.interface, f"nothing from {event.destination} to {event.source} was captured here"
                )
