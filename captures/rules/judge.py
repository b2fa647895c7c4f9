"""From a lab's pcapng to a judgement: every rule's verdicts and every handover's numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from captures.files.capture import CaptureError
from captures.mmcp.handovers import handover_record
from captures.mmcp.joins import join_record
from captures.mmcp.leaves import leave_record
from captures.mmcp.silences import silence_record
from captures.mmcp.timeline import read_timeline
from captures.rules import RULES, Case, Verdict

LAB = "lab"
"""What the rules here go by beside the packs."""

RULE_FAILED = 1
COULD_NOT_JUDGE = 2

_NEEDED_STEP = {"handover": "handover_begin", "join": "session_begin", "leave": "leave", "status": "silence_begin"}
"""By topic, the step without which nothing of it was seen."""


def exit_code(*, failed: int, truncated: str | None) -> int:
    """Of every command that judges: 1 if a rule failed in what there was, else 2 if that was not all, else 0."""
    if failed:
        return RULE_FAILED
    return 0 if truncated is None else COULD_NOT_JUDGE


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found in one capture. `truncated` tells where the file broke off, None if it is whole.

    `about`: what the lab says that its capture must show.
    """

    path: Path
    about: tuple[str, ...]
    handovers: list[dict[str, Any]]
    joins: list[dict[str, Any]]
    leaves: list[dict[str, Any]]
    silences: list[dict[str, Any]]
    verdicts: list[Verdict]
    interfaces: dict[str, int]
    warnings: list[str]
    truncated: str | None

    def with_verdict(self, verdict: str) -> list[Verdict]:
        """Verdicts of one kind: "passed", "failed" or "unseen"."""
        return [found for found in self.verdicts if found.verdict == verdict]

    def exit_code(self) -> int:
        """See `exit_code`."""
        return exit_code(failed=len(self.with_verdict("failed")), truncated=self.truncated)

    def as_dict(self) -> dict[str, Any]:
        """The judgement as JSON, most of the output of ``python -m captures judge --json``.

        - ``about``: what the lab must show, some of `captures.mmcp.parameters.TOPICS`;
        - ``handovers``: what `captures.mmcp.handovers.handover_record` gives for each, in order of time;
        - ``joins``: what `captures.mmcp.joins.join_record` gives for each session, in order of time;
        - ``leaves``: what `captures.mmcp.leaves.leave_record` gives for each that the scenario announces;
        - ``silences``: what `captures.mmcp.silences.silence_record` gives for each that the scenario announces;
        - ``rules``: ``checked`` (verdicts that passed or failed) and ``passed`` are counts, ``unseen``, ``failed`` and
          ``all`` are lists of ``{"pack": "lab", "rule", "clause", "subject", "verdict", "message", "frames"}``;
        - ``interfaces``: number of frames by interface name;
        - ``warnings``: texts; ``truncated``: where the file breaks off, null if it is whole.
        """
        failed, passed = self.with_verdict("failed"), self.with_verdict("passed")

        def dicts(verdicts: list[Verdict]) -> list[dict[str, Any]]:
            return [{"pack": LAB, **verdict.as_dict()} for verdict in verdicts]

        return {
            "about": list(self.about),
            "handovers": self.handovers,
            "joins": self.joins,
            "leaves": self.leaves,
            "silences": self.silences,
            "rules": {
                "checked": len(failed) + len(passed),
                "passed": len(passed),
                "unseen": dicts(self.with_verdict("unseen")),
                "failed": dicts(failed),
                "all": dicts(self.verdicts),
            },
            "interfaces": self.interfaces,
            "warnings": self.warnings,
            "truncated": self.truncated,
        }


def judge(path: Path) -> Judgement:
    """Judge a lab's pcapng.

    Raises `CaptureError` if it cannot be read, has no ``parameters`` step, or does not show what its lab is about: a
    capture in which nothing happened does not pass.
    """
    timeline = read_timeline(path)
    case = Case(timeline)
    broken = f" before it breaks off ({timeline.truncated})" if timeline.truncated else ""
    about = {"handover": case.handovers, "join": case.joins, "leave": case.leaves, "status": case.silences}
    for topic in timeline.parameters.expects:
        if not about[topic]:
            step = _NEEDED_STEP[topic]
            raise CaptureError(f"{path} shows no {topic}{broken}: no {step} step was seen, nothing to judge")
    left_out = timeline.parameters.left_out
    timeline.warnings += [f"rule {name} left out: {why}" for name, why in left_out.items()]
    verdicts: list[Verdict] = []
    judged: set[str] = set()
    for rule in RULES:
        if rule.name not in left_out:
            found = list(rule.judge(case))
            verdicts += found
            if len(rule.topics) == 1 and any(verdict.verdict != "unseen" for verdict in found):
                judged.update(rule.topics)
    for topic in timeline.parameters.expects:
        if topic not in judged:
            raise CaptureError(f"{path} shows no {topic}{broken} that a rule could judge")
    if timeline.truncated is not None:
        verdicts = _as_far_as_it_goes(verdicts, _undecided_from(case))
    return Judgement(
        path,
        timeline.parameters.expects,
        [handover_record(timeline, handover) for handover in case.handovers],
        [join_record(timeline, session) for session in case.sessions],
        [leave_record(timeline, leave) for leave in case.leaves],
        [silence_record(timeline, case.families, silence) for silence in case.silences],
        verdicts,
        timeline.interfaces,
        timeline.warnings,
        timeline.truncated,
    )


def _undecided_from(case: Case) -> int | None:
    """Frame number from which on something was under way when the capture broke off; None if nothing was.

    That is a handover, and in a lab that is not about handovers a session, in which leaves and silences lie.
    """
    begun: dict[tuple[str, object], int] = {}
    for step in case.timeline.steps:
        topic, _, moment = step.name.rpartition("_")
        if topic == "handover" or (topic == "session" and not case.handovers):
            thing = topic, step.fields.get("handover" if topic == "handover" else "mn")
            if moment == "begin":
                begun[thing] = step.number
            elif moment == "end":
                begun.pop(thing, None)
    return min(begun.values(), default=None)


def _as_far_as_it_goes(verdicts: list[Verdict], undecided_from: int | None) -> list[Verdict]:
    """What a capture that breaks off tells: nothing failed that may have come right after its end."""
    if undecided_from is None:
        return verdicts
    return [
        replace(verdict, verdict="unseen", message=f"the capture breaks off meanwhile: {verdict.message}")
        if verdict.verdict == "failed" and max(verdict.frames, default=undecided_from) >= undecided_from
        else verdict
        for verdict in verdicts
    ]
