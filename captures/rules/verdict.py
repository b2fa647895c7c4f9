"""What a rule says, and the list of all rules.

A rule is a function from a `Case` to verdicts, one per subject it looked at. It *passed* or *failed* only on what was
seen; "unseen" means that the capture cannot tell: the situation did not come up, or an absence could not be believed
because the thing was never seen at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from captures.files.capture import CaptureError
from captures.mmcp.children import Family, find_families
from captures.mmcp.handovers import Handover, find_handovers, messages_at
from captures.mmcp.joins import OUTCOMES, Join, Session, observe_join
from captures.mmcp.leaves import Leave, observe_leave
from captures.mmcp.parameters import TOPICS
from captures.mmcp.silences import Silence, find_silences
from captures.rules.findings import Finding, Outcome

if TYPE_CHECKING:
    from captures.mmcp.timeline import Message, Timeline

_RECOVERY_NS = 500_000_000  # in which a role that speaks again answers what has gathered meanwhile


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
        """Sessions of mode "proactive": in the other modes the MN runs without MMCP. Raises CaptureError."""
        found: list[Session] = []
        steps = self.timeline.steps
        for index, step in enumerate(steps):
            mn = self.parameters.mn(str(step.fields.get("mn")))
            if step.name != "session_begin" or step.fields.get("mode") != "proactive" or mn is None:
                continue
            ends = (s.t_ns for s in steps[index + 1 :] if s.name == "session_end" and s.fields.get("mn") == mn.name)
            expected = step.fields.get("expected")
            if expected not in (None, *OUTCOMES):
                raise CaptureError(f"session_begin (frame {step.number}) expects {expected!r}: no way a join can end")
            found.append(Session(mn, step.t_ns, next(ends, self.timeline.end_ns), step.number, expected))
        return found

    @cached_property
    def silences(self) -> list[Silence]:
        """What the scenario did to roles between its silence_begin and silence_end steps, in order of time."""
        return find_silences(self.timeline)

    def silences_of(self, role: str) -> list[tuple[int, int]]:
        """Begin and end of each of a role's silences, which ends when it has had time to say what it had to."""
        return [(s.begin_ns, s.end_ns + _RECOVERY_NS) for s in self.silences if s.role == role]

    @cached_property
    def families(self) -> list[Family]:
        """Every LMC with its MNs, and the SM with its children."""
        return find_families(self.timeline)

    @cached_property
    def joins(self) -> list[Join]:
        """The first join of each session."""
        return [observe_join(self.timeline, session) for session in self.sessions]

    @cached_property
    def leaves(self) -> list[Leave]:
        """What the scenario announces with a step ``leave``, each in the session of its MN."""
        found: list[Leave] = []
        for step in self.timeline.steps:
            if step.name == "leave":
                name, t_ns = step.fields.get("mn"), step.t_ns
                within = (s for s in self.sessions if s.mn.name == name and s.begin_ns <= t_ns <= s.end_ns)
                session = next(within, None)
                if session is None:
                    raise CaptureError(f"the leave in frame {step.number} is in no session of {name!r}")
                found.append(observe_leave(self.timeline, session, step, self.confirms(session)))
        return found

    def confirms(self, session: Session) -> list[Message]:
        """What made the MN a member in a session, at its interface: each LJC F=1, and each SJC F=1 without an LMC."""
        mn, begin, end = session.mn, session.begin_ns, session.end_ns
        own = set(mn.addresses.values())
        local = self.messages(mn.interface, "LJC", begin, end, f=1)
        direct = [
            confirm
            for confirm in self.messages(mn.interface, "SJC", begin, end, f=1)
            if confirm.parameter("lmc") is None and confirm.source == self.parameters.session_manager
        ]
        return sorted((c for c in (*local, *direct) if c.destination in own), key=lambda c: (c.t_ns, c.number))

    def parent_at(self, session: Session, t_ns: int) -> str | None:
        """Address of the one whose member the MN was at a time, as its own interface shows it; None: nobody's.

        Nobody's it is from its leave on, and until it is a member again from a HIC with another LMC, or an SJR that renews
        nothing.
        """
        confirms = [confirm for confirm in self.confirms(session) if confirm.t_ns < t_ns]
        if not confirms or any(leave.session is session and leave.begin_ns < t_ns for leave in self.leaves):
            return None
        mn, since, parent = session.mn, confirms[-1].t_ns, confirms[-1].source
        gone = self.messages(mn.interface, "ULR", since, t_ns, mn_id=mn.mn_id, destination=parent)
        if confirms[-1].packet == "LJC":
            gone += self.messages(mn.interface, "SJR", since, t_ns, mn_id=mn.mn_id)
        handed_over = self.messages(mn.interface, "HIC", since, t_ns, source=parent, f=1)
        gone += [confirm for confirm in handed_over if (confirm.parameter("lmc") or (parent,))[0] != parent]
        return None if gone else parent

    def proactive(self) -> list[Handover]:
        """Handovers the MN was to make with MMCP."""
        return [handover for handover in self.handovers if handover.mode == "proactive"]

    def messages(self, interface: str, packet: str, begin_ns: int, end_ns: int, **criteria: Any) -> list[Message]:
        """As `captures.mmcp.handovers.messages_at`."""
        return messages_at(self.timeline, interface, packet, begin_ns=begin_ns, end_ns=end_ns, **criteria)


RuleFunction = Callable[[Case], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule's name, the clause or decision it stands for, its function, and the labs that are to show what it judges.

    It judges every lab. In one about other `topics` it says nothing where it finds nothing to look at.
    """

    name: str
    clause: str
    function: RuleFunction
    topics: tuple[str, ...]

    def judge(self, case: Case) -> Iterator[Verdict]:
        """Verdicts of the rule; one "unseen" if there was nothing it could look at."""
        nothing = True
        for finding in self.function(case):
            nothing = False
            yield Verdict(self.name, self.clause, finding.subject, finding.verdict, finding.message, finding.frames)
        if nothing and not set(self.topics).isdisjoint(case.parameters.expects):
            summary = (self.function.__doc__ or "").strip().splitlines()[0]
            yield Verdict(self.name, self.clause, "the capture", "unseen", f"did not come up: {summary}")


RULES: list[Rule] = []


def rule(name: str, clause: str, *topics: str) -> Callable[[RuleFunction], RuleFunction]:
    """Register a function as a rule under a name and the clause or decision it checks; no topics are all of them."""

    def register(function: RuleFunction) -> RuleFunction:
        RULES.append(Rule(name, clause, function, topics or TOPICS))
        return function

    return register


def milliseconds(nanoseconds: int) -> str:
    """A time for people."""
    return f"{nanoseconds / 1_000_000:.1f} ms"


def numbers(*things: Any) -> tuple[int, ...]:
    """Frame numbers of messages and the like, in order, leaving out None."""
    return tuple(sorted({thing.number for thing in things if thing is not None}))
