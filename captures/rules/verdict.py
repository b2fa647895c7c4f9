"""What a rule says, and the list of all rules.

A rule is a function from a `Case` to verdicts, one per subject it looked at. It *passed* or *failed* only on what was
seen; "unseen" means that the capture cannot tell: the situation did not come up, or an absence could not be believed
because the thing was never seen at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from captures.handovers import Handover, find_handovers, messages_at

if TYPE_CHECKING:
    from captures.parameters import MobileNode
    from captures.timeline import Message, Timeline

Outcome = Literal["passed", "failed", "unseen"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule about one subject; `frames` are the frame numbers of the evidence, in the file's own numbering."""

    rule: str
    clause: str
    subject: str
    verdict: Outcome
    message: str
    frames: tuple[int, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Fields for the JSON judgement."""
        return {
            "rule": self.rule,
            "clause": self.clause,
            "subject": self.subject,
            "verdict": self.verdict,
            "message": self.message,
            "frames": list(self.frames),
        }


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict before its rule has put its name to it."""

    subject: str
    verdict: Outcome
    message: str
    frames: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """The time an MN runs with MMCP, from its session_begin to its session_end (else to the capture's end)."""

    mn: MobileNode
    begin_ns: int
    end_ns: int
    frame: int

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"session of {self.mn.name} from frame {self.frame}"


class Case:
    """What the rules are given: a timeline with its handovers and the sessions run with MMCP."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.parameters = timeline.parameters

    @cached_property
    def handovers(self) -> list[Handover]:
        """All handovers, in order of time."""
        return find_handovers(self.timeline)

    @cached_property
    def sessions(self) -> list[Session]:
        """Sessions of mode "proactive": in the other modes the MN runs without MMCP."""
        found: list[Session] = []
        steps = self.timeline.steps
        for index, step in enumerate(steps):
            mn = self.parameters.mn(str(step.fields.get("mn")))
            if step.name != "session_begin" or step.fields.get("mode") != "proactive" or mn is None:
                continue
            ends = (s.t_ns for s in steps[index + 1 :] if s.name == "session_end" and s.fields.get("mn") == mn.name)
            found.append(Session(mn, step.t_ns, next(ends, self.timeline.end_ns), step.number))
        return found

    def proactive(self) -> list[Handover]:
        """Handovers the MN was to make with MMCP."""
        return [handover for handover in self.handovers if handover.mode == "proactive"]

    def messages(self, interface: str, packet: str, begin_ns: int, end_ns: int, **criteria: Any) -> list[Message]:
        """As `captures.handovers.messages_at`."""
        return messages_at(self.timeline, interface, packet, begin_ns=begin_ns, end_ns=end_ns, **criteria)


RuleFunction = Callable[[Case], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule's name, the clause or decision it stands for, and its function."""

    name: str
    clause: str
    function: RuleFunction

    def judge(self, case: Case) -> Iterator[Verdict]:
        """Verdicts of the rule; one "unseen" if there was nothing it could look at."""
        nothing = True
        for finding in self.function(case):
            nothing = False
            yield Verdict(self.name, self.clause, finding.subject, finding.verdict, finding.message, finding.frames)
        if nothing:
            summary = (self.function.__doc__ or "").strip().splitlines()[0]
            yield Verdict(self.name, self.clause, "the capture", "unseen", f"did not come up: {summary}")


RULES: list[Rule] = []


def rule(name: str, clause: str) -> Callable[[RuleFunction], RuleFunction]:
    """Register a function as a rule under a name and the clause or decision it checks."""

    def register(function: RuleFunction) -> RuleFunction:
        RULES.append(Rule(name, clause, function))
        return function

    return register


def milliseconds(nanoseconds: int) -> str:
    """A time for people."""
    return f"{nanoseconds / 1_000_000:.1f} ms"


def numbers(*things: Any) -> tuple[int, ...]:
    """Frame numbers of messages and the like, in order, leaving out None."""
    return tuple(sorted({thing.number for thing in things if thing is not None}))
