"""From a lab's pcapng to a judgement: every rule's verdicts and every handover's numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captures.capture import CaptureError
from captures.handovers import handover_record
from captures.rules import RULES, Case, Verdict
from captures.timeline import read_timeline


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found in one capture. `truncated` tells where the file broke off, None if it is whole."""

    path: Path
    handovers: list[dict[str, Any]]
    verdicts: list[Verdict]
    interfaces: dict[str, int]
    warnings: list[str]
    truncated: str | None

    def with_verdict(self, verdict: str) -> list[Verdict]:
        """Verdicts of one kind: "passed", "failed" or "unseen"."""
        return [found for found in self.verdicts if found.verdict == verdict]

    def exit_code(self) -> int:
        """0 if nothing failed, 1 if a rule did, 2 if the file breaks off, so that the rest cannot be judged."""
        if self.truncated is not None:
            return 2
        return 1 if self.with_verdict("failed") else 0

    def as_dict(self) -> dict[str, Any]:
        """The judgement as JSON, the output of ``python -m captures judge --json``.

        - ``handovers``: what `captures.handovers.handover_record` gives for each, in order of time;
        - ``rules``: ``checked`` (verdicts that passed or failed) and ``passed`` are counts, ``unseen``, ``failed`` and
          ``all`` are lists of ``{"rule", "clause", "subject", "verdict", "message", "frames"}``;
        - ``interfaces``: number of frames by interface name;
        - ``warnings``: texts; ``truncated``: where the file breaks off, null if it is whole.
        """
        failed, passed = self.with_verdict("failed"), self.with_verdict("passed")
        return {
            "handovers": self.handovers,
            "rules": {
                "checked": len(failed) + len(passed),
                "passed": len(passed),
                "unseen": [verdict.as_dict() for verdict in self.with_verdict("unseen")],
                "failed": [verdict.as_dict() for verdict in failed],
                "all": [verdict.as_dict() for verdict in self.verdicts],
            },
            "interfaces": self.interfaces,
            "warnings": self.warnings,
            "truncated": self.truncated,
        }


def judge(path: Path) -> Judgement:
    """Judge a lab's pcapng.

    Raises `CaptureError` if it cannot be read, has no ``parameters`` step, or shows no handover: a capture in which
    nothing happened does not pass.
    """
    timeline = read_timeline(path)
    case = Case(timeline)
    if not case.handovers:
        broken = f" before it breaks off ({timeline.truncated})" if timeline.truncated else ""
        raise CaptureError(f"{path} shows no handover{broken}: no handover_begin step was seen, nothing to judge")
    left_out = timeline.parameters.left_out
    timeline.warnings += [f"rule {name} left out: {why}" for name, why in left_out.items()]
    verdicts = [verdict for rule in RULES if rule.name not in left_out for verdict in rule.judge(case)]
    records = [handover_record(timeline, handover) for handover in case.handovers]
    return Judgement(path, records, verdicts, timeline.interfaces, timeline.warnings, timeline.truncated)
