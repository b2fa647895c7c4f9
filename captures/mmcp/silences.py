"""Silences that the scenario announces: what the silent one's parent did about it, in frames of the parent's interface [7.4]."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from captures.mmcp.children import Child, Family
    from captures.mmcp.lab import Lab
    from captures.mmcp.messages import Message

_SECOND = 1_000_000_000
_MILLISECOND = 1_000_000
_LAST_WORDS_NS = 200_000_000  # what was being said when the scenario struck may come this much later


@dataclass(frozen=True, slots=True)
class Silence:
    """A time in which the scenario keeps a role from speaking, such as by killing it; to the capture's end if need be.

    `answers`: it is there all the same and answers probes, only what it says of itself is lost.
    """

    role: str
    begin_ns: int
    end_ns: int
    why: str
    frame: int
    answers: bool = False

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"{self.role}, {self.why}, from frame {self.frame}"

    def excuses(self, t_ns: int) -> bool:
        """Whether the role cannot answer at a time."""
        return not self.answers and self.begin_ns <= t_ns <= self.end_ns


@dataclass(frozen=True, slots=True)
class Reaction:
    """What a parent did about a silent child: what it had heard last, its probes, what it heard next (None: nothing)."""

    child: Child
    last: Message
    probes: Sequence[Message]
    heard: Message | None

    @property
    def failed(self) -> bool:
        """Whether the child was given up."""
        return self.heard is None and self.child.ended == "failed"


def find_silences(lab: Lab) -> list[Silence]:
    """What lies between silence_begin and silence_end steps, in order of time."""
    found: list[Silence] = []
    steps = lab.steps
    for index, step in enumerate(steps):
        if step.name != "silence_begin":
            continue
        role = str(step.fields.get("role"))
        ends = (s.t_ns for s in steps[index + 1 :] if s.name == "silence_end" and s.fields.get("role") == role)
        end_ns = next(ends, max(lab.end_ns, step.t_ns))
        why, answers = str(step.fields.get("why", "")), bool(step.fields.get("answers"))
        found.append(Silence(role, step.t_ns, end_ns, why, step.number, answers))
    return found


def reaction_to(families: Iterable[Family], silence: Silence) -> Reaction | None:
    """What the parent of the role did, None if it had none then."""
    for family in families:
        for child in family.children:
            if child.name != silence.role or not child.begin_ns <= silence.begin_ns < child.end_ns:
                continue
            begun = [row for row in child.silences() if row[0].t_ns <= silence.begin_ns + _LAST_WORDS_NS]
            last, probes, heard, _ = begun[-1]
            return Reaction(child, last, probes, heard)
    return None


def first_report_without(lab: Lab, reaction: Reaction) -> Message | None:
    """The first ASR of an LMC that does not name the child which it has given up; None where the SM was the parent."""
    parent = reaction.child.parent
    if parent.is_session_manager or not reaction.failed:
        return None
    return lab.report_without(parent, reaction.last.t_ns, reaction.child.identifier)


def silence_record(lab: Lab, families: Sequence[Family], silence: Silence) -> dict[str, Any]:
    """One entry of the judgement's ``silences``. Seconds are from the last report that the parent heard."""
    reaction = reaction_to(families, silence)
    record: dict[str, Any] = {"role": silence.role, "why": silence.why}
    if reaction is None:
        return {**record, "parent": None, "probes_s": [], "answered_ms": None, "failed": False, "unnamed_s": None}
    last_ns, probes, heard = reaction.last.t_ns, reaction.probes, reaction.heard
    unnamed = first_report_without(lab, reaction)
    return {
        **record,
        "parent": reaction.child.parent.name,
        "probes_s": [round((probe.t_ns - last_ns) / _SECOND, 6) for probe in probes],
        "answered_ms": round((heard.t_ns - probes[-1].t_ns) / _MILLISECOND, 6) if heard and probes else None,
        "failed": reaction.failed,
        "unnamed_s": None if unnamed is None else round((unnamed.t_ns - last_ns) / _SECOND, 6),
    }
