"""The judge's verdicts as a table to read: what failed first, each rule once, its verdicts by subject below it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from captures.rules.engine import summaries

FRAMES_SHOWN = 12  # links of one verdict; the rest is a number
VERDICTS = ("failed", "unseen", "passed")


@dataclass(frozen=True, slots=True)
class Evidence:
    """A frame a verdict names; `linked` if the ladder shows it."""

    number: int
    linked: bool


@dataclass(frozen=True, slots=True)
class SubjectVerdict:
    """One verdict: what was looked at, what was seen, and where."""

    anchor: str
    subject: str
    message: str
    frames: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class RuleRow:
    """One rule with all its verdicts of one kind; `meaning` is the rule in one sentence, empty for a rule of old."""

    verdict: str
    pack: str
    rule: str
    clause: str
    meaning: str
    subjects: tuple[SubjectVerdict, ...]


def rule_table(verdicts: Iterable[Mapping[str, Any]], in_ladder: Container[int]) -> list[RuleRow]:
    """Group what the judge said: failed, each with what follows from it, unseen, passed, in the judge's own order of rules."""
    meanings = summaries()
    groups: dict[tuple[str, str, str, str, str], list[Mapping[str, Any]]] = {}
    for verdict in verdicts:
        kind, pack, rule, clause = (str(verdict[name]) for name in ("verdict", "pack", "rule", "clause"))
        groups.setdefault((kind, pack, rule, clause, str(verdict.get("follows", ""))), []).append(verdict)
    failed = list(dict.fromkeys(rule for kind, _, rule, *_ in groups if kind == "failed"))

    def place(group: tuple[str, str, str, str, str]) -> tuple[int, int, bool]:
        kind, _, rule, _, follows = group
        cause = rule if kind == "failed" else follows
        return (0, failed.index(cause), bool(follows)) if cause in failed else (VERDICTS.index(kind), 0, False)

    rows: list[RuleRow] = []
    for (kind, pack, rule, clause, _), members in sorted(groups.items(), key=lambda group: place(group[0])):
        subjects = tuple(
            _subject(f"rule-{len(rows) + 1}-{number}", member, in_ladder) for number, member in enumerate(members, 1)
        )
        meaning = meanings.get(rule, "")
        # Where nothing came up the judge repeats the rule.
        subjects = tuple(replace(s, message=s.message.removesuffix(f": {meaning}")) if meaning else s for s in subjects)
        rows.append(RuleRow(kind, pack, rule, clause, meaning, subjects))
    return rows


def failures_by_frame(rows: Sequence[RuleRow]) -> dict[int, list[tuple[str, str, str]]]:
    """By frame number the failed verdicts that name it: rule, what was seen, and the anchor of its line in the table."""
    found: dict[int, list[tuple[str, str, str]]] = {}
    for row in rows:
        if row.verdict == "failed":
            for subject in row.subjects:
                for frame in subject.frames:
                    found.setdefault(frame.number, []).append((row.rule, subject.message, subject.anchor))
    return found


def _subject(anchor: str, verdict: Mapping[str, Any], in_ladder: Container[int]) -> SubjectVerdict:
    frames = tuple(Evidence(int(frame), int(frame) in in_ladder) for frame in verdict.get("frames", ()))
    return SubjectVerdict(anchor, str(verdict["subject"]), str(verdict["message"]), frames)
