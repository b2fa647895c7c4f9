"""How a parent watches a child that should report: probes after silence, and failure (clause 7.4, decision M-13).

A child is silent for SPT: USP; the probes repeat every SPT; three without an answer, and at 4 SPT after its last report it
has failed. Any report clears the count. A report costs no timer: the one timer of a child looks, when it fires, how long
ago the child was last heard.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from agents.mmcp.constants import UNANSWERED_PROBES


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
