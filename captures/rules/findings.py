"""What rules say: findings while a capture is read, verdicts of all rules in the end.

A rule *passed* or *failed* only on what was seen; "unseen" means that the capture cannot tell: the situation did not come up,
an absence could not be believed because the thing was never seen at all, or the failure of another rule explains this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Outcome = Literal["passed", "failed", "unseen"]

_SUBJECTS_MAX = 512
_FAILURES_MAX = 20  # kept of one subject; the others are counted
_TEXTS_MAX = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found about one subject; `frames` are the frame numbers of the evidence, in the file's own numbering.

    `follows`: the rule whose failure explains what was found; it is then no failure of its own, and "unseen".
    """

    subject: str
    verdict: Outcome
    message: str
    frames: tuple[int, ...] = ()
    follows: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A finding, with the rule's name and clause and the pack that it belongs to."""

    pack: str
    rule: str
    clause: str
    subject: str
    verdict: Outcome
    message: str
    frames: tuple[int, ...] = ()
    follows: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As JSON: the fields here; ``follows`` only of a consequence."""
        return {
            "pack": self.pack,
            "rule": self.rule,
            "clause": self.clause,
            "subject": self.subject,
            "verdict": self.verdict,
            "message": self.message,
            "frames": list(self.frames),
            **({"follows": self.follows} if self.follows else {}),
        }


def frames_of(*things: Any) -> tuple[int, ...]:
    """Frame numbers of messages and the like, in order, leaving out None."""
    return tuple(sorted({thing.number for thing in things if thing is not None}))


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that was not as it has to be: of what, what it was, and in which frames."""

    subject: str
    text: str
    frames: tuple[int, ...]


class Excuse(NamedTuple):
    """Why a failure is none of its own: `why` is told ahead of it, `follows` is the rule that it follows from, if any."""

    why: str
    follows: str = ""


Explain = Callable[[Failure], Excuse | None]
"""What excuses a failure, None if nothing does."""


@dataclass(slots=True)
class _Tally:
    passed: int = 0
    failed: int = 0
    unseen: int = 0
    failures: list[Failure] = field(default_factory=list)
    passed_frames: list[int] = field(default_factory=list)
    unseen_text: str = ""

    def finding(self, subject: str, explain: Explain) -> Finding:
        """All of it in one."""
        judged = [(failure, explain(failure)) for failure in self.failures]
        excused = [(failure, excuse) for failure, excuse in judged if excuse is not None]
        own = [failure for failure, excuse in judged if excuse is None]
        if own:
            failed = self.failed - len(excused)
            texts = [failure.text for failure in own[:_TEXTS_MAX]]
            more = f" (and {failed - len(texts)} more)" if failed > len(texts) else ""
            text = f"{failed} of {self.passed + self.failed}: {'; '.join(texts)}{more}"
            return Finding(subject, "failed", text, _frames(own))
        if excused:
            first, excuse = excused[0]
            unkept = f" (and {self.failed - len(excused)} that were not kept)" if self.failed > len(excused) else ""
            frames = _frames(failure for failure, _ in excused)
            return Finding(subject, "unseen", f"{excuse.why}: {first.text}{unkept}", frames, excuse.follows)
        if self.passed:
            rest = f", {self.unseen} unseen" if self.unseen else ""
            frames = tuple(sorted(set(self.passed_frames)))
            return Finding(subject, "passed", f"{self.passed} times{rest}", frames)
        return Finding(subject, "unseen", f"{self.unseen} times: {self.unseen_text}")


def _frames(failures: Iterable[Failure]) -> tuple[int, ...]:
    return tuple(sorted({number for failure in failures for number in failure.frames}))


def _nothing(_failure: Failure) -> Excuse | None:
    return None


class Outcomes:
    """What a rule has found so far, by subject (the interface, unless the rule says another); bounded."""

    def __init__(self) -> None:
        self._tallies: dict[str, _Tally] = {}

    def _tally(self, subject: str) -> _Tally:
        if subject not in self._tallies and len(self._tallies) >= _SUBJECTS_MAX:
            subject = "others"
        return self._tallies.setdefault(subject, _Tally())

    def passed(self, subject: str, frames: Iterable[int]) -> None:
        """Something was as it has to be."""
        tally = self._tally(subject)
        tally.passed += 1
        if tally.passed <= _TEXTS_MAX:
            tally.passed_frames += frames

    def failed(self, subject: str, text: str, frames: Iterable[int]) -> None:
        """Something was not; `text` says what, `frames` where."""
        tally = self._tally(subject)
        tally.failed += 1
        if len(tally.failures) < _FAILURES_MAX:
            tally.failures.append(Failure(subject, text, tuple(frames)))

    def unseen(self, subject: str, text: str) -> None:
        """Something came up, but the wire does not tell how it was."""
        tally = self._tally(subject)
        tally.unseen += 1
        tally.unseen_text = tally.unseen_text or text

    def failures(self) -> Iterator[Failure]:
        """Those that were kept."""
        for tally in self._tallies.values():
            yield from tally.failures

    def findings(self, explain: Explain = _nothing) -> Iterator[Finding]:
        """One finding for each subject."""
        for subject, tally in self._tallies.items():
            yield tally.finding(subject, explain)
