"""How a parent watches children that should report: probes after silence, and failure (clause 7.4, decision M-13).

A child is silent for SPT: USP; the probes repeat every SPT; three without an answer, and at 4 SPT after its last report it
has failed. Any report clears the count.

Theory of operation. A report costs no timer, and one timer serves all children of a session: every half SPT all are looked
over, and only those that will be due before the next time, if they stay silent, are looked at when they are due. Of
children that report as they should there are none. Where many are due at once, such as after their link has failed, they are
looked at some at a time: a parent must go on answering meanwhile, and its probes must find room in a socket.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from heapq import heapify, heappop, heappush
from typing import TypeVar

from agents.mmcp.constants import UNANSWERED_PROBES

LOOK_MAXIMUM = 1000  # children that are looked at in one go: some milliseconds' work
LOOK_PAUSE = 0.01  # s, until the rest are


class Watch(Enum):
    """What is to be done about a child now."""

    WAIT = "wait"
    PROBE = "probe"
    FAILED = "failed"


@dataclass(slots=True)
class Child:
    """When a child was last heard (seconds), and how many probes it has left unanswered."""

    last_heard: float
    probes: int = 0

    def heard(self, now: float) -> None:
        """It has reported."""
        self.last_heard = now
        self.probes = 0

    def deadline(self, probe_time: float) -> float:
        """When to look at it next, in seconds, if it stays silent; ``probe_time`` is SPT."""
        return self.last_heard + probe_time * (self.probes + 1)

    def look(self, now: float, probe_time: float) -> Watch:
        """What its silence until ``now`` asks for; a probe is counted as sent."""
        if now < self.deadline(probe_time):
            return Watch.WAIT
        if self.probes >= UNANSWERED_PROBES:
            return Watch.FAILED
        self.probes += 1
        return Watch.PROBE


AnyChild = TypeVar("AnyChild", bound=Child)


class Children(dict[bytes, AnyChild]):
    """The children of one parent by name; ``probe_time`` is SPT, in seconds.

    The parent calls ``look`` SPT after the first has come, and from then on at ``next_look`` for as long as it has any.
    """

    __slots__ = ("_next_survey", "_not_before", "_probe_time", "_suspects")

    def __init__(self, probe_time: float) -> None:
        super().__init__()
        self._probe_time = probe_time
        self._next_survey = 0.0
        self._not_before = 0.0  # a look that was cut short goes on then
        self._suspects: list[tuple[float, bytes]] = []  # who may be due before the next survey, and when: a heap

    @property
    def next_look(self) -> float:
        """When to look next, in seconds: no child is due before, but for those that the last look left over."""
        return max(self._suspects[0][0] if self._suspects else self._next_survey, self._not_before)

    def look(self, now: float) -> Iterator[tuple[bytes, AnyChild, Watch]]:
        """Whom to probe, and who has failed and is no child any more; LOOK_MAXIMUM children are looked at, at most."""
        if now >= self._next_survey:
            self._survey(now)
        for _ in range(LOOK_MAXIMUM):
            if not self._suspects or self._suspects[0][0] > now:
                return
            _, name = heappop(self._suspects)
            child = self.get(name)
            what = Watch.WAIT if child is None else child.look(now, self._probe_time)
            if child is None or what is Watch.WAIT:
                continue  # it has left, or was heard: not before the next survey is there anything to see
            if what is Watch.FAILED:
                del self[name]
            elif (deadline := child.deadline(self._probe_time)) < self._next_survey:  # the clock is far ahead
                heappush(self._suspects, (deadline, name))
            yield name, child, what
        self._not_before = now + LOOK_PAUSE

    def _survey(self, now: float) -> None:
        self._next_survey = now + self._probe_time / 2
        latest = self._next_survey - self._probe_time  # who was heard after it is not due, whatever it was asked
        silent = [(name, child) for name, child in self.items() if child.last_heard < latest]
        self._suspects = [
            (deadline, name)
            for name, child in silent
            if (deadline := child.deadline(self._probe_time)) < self._next_survey
        ]
        heapify(self._suspects)
