"""Two runs side by side: which messages came in another order or not at all, how delays compare, which rules changed.

Messages are compared handover by handover, in order of time; outside of handovers for each two participants by themselves,
for who of several speaks first is chance there. What comes by the clock (status reports, an LMC's announcements after its
first) is left out, and so are protocols that the routers' own timers drive, unless they are asked for or neither run has
any other.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import SequenceMatcher
from statistics import median
from typing import Any

from captures.files.capture import CaptureError
from captures.history.events import STEP, Event
from captures.history.run import Counts, Progress, Run, history_of
from captures.ladder.builder import build
from captures.ladder.rows import Ladder, MessageRow
from captures.ladder.words import is_periodic
from captures.protocol import Compared
from captures.protocols import names, protocol, protocols
from captures.rules.engine import judge
from captures.rules.judgement import RULE_FAILED, Judgement, exit_code

MEDIAN = "median"
"""The subject of a figure that is that of all records of a group."""

_FRAME_IN_SUBJECT = re.compile(r" from frame \d+")
_NOT_JUDGED = "not judged"


@dataclass(frozen=True, slots=True)
class Side:
    """What one run has to compare. `truncated` tells where its capture broke off, None if it is whole."""

    name: str
    ladder: Ladder
    judgement: Judgement | None
    why_not_judged: str
    verdict: str
    parameters: Mapping[str, Any]
    versions: Mapping[str, Any]
    truncated: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """Messages that one run has where the other has others or none; `after` is the last one that both have before."""

    after: str
    a: tuple[str, ...]
    b: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A stretch of messages that differs; `only_in` is "a" or "b" if the other run has nothing like it."""

    name: str
    only_in: str | None
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Delay:
    """A figure of a record in the judgement's list `records`, such as that of one handover; `ratio` is b / a.

    With `subject` `MEDIAN` it is that of all records of a group, such as the mode of handovers.
    """

    records: str
    subject: str
    group: str
    what: str
    a: float | None
    b: float | None
    ratio: float | None


@dataclass(frozen=True, slots=True)
class RuleChange:
    """A rule that says something else: "passed", "failed", "unseen", or "absent" where it did not look at the subject."""

    rule: str
    subject: str
    a: str
    b: str
    message: str


@dataclass(frozen=True, slots=True)
class ValueChange:
    """A parameter or version that differs; None where a run has none."""

    name: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that two runs have different; `compared` counts messages that were compared, of a and of b.

    `incomplete` says why it is not the whole comparison: a capture breaks off, or there was nothing to compare.
    """

    a: str
    b: str
    verdicts: tuple[str, str]
    compared: tuple[int, int]
    sections: tuple[Section, ...]
    delays: tuple[Delay, ...]
    rules: tuple[RuleChange, ...]
    parameters: tuple[ValueChange, ...]
    versions: tuple[ValueChange, ...]
    notes: tuple[str, ...]
    incomplete: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there was nothing to compare: no messages, and no judgement of either."""
        return self.compared == (0, 0) and self.verdicts == (_NOT_JUDGED, _NOT_JUDGED)

    @property
    def same(self) -> bool:
        """Whether verdicts and message sequences are the same; delays and parameters may differ."""
        alike = self.verdicts[0] == self.verdicts[1] and not self.sections and not self.rules
        return alike and not self.empty

    def exit_code(self) -> int:
        """0 if they are the same, 1 if not, 2 if that cannot be said of the whole of both."""
        if self.incomplete:
            return 2
        return 0 if self.same else 1

    def as_dict(self) -> dict[str, Any]:
        """As JSON, the output of ``python -m captures diff --json``: the fields here, and ``same``."""
        return {"same": self.same, **asdict(self)}


def read_side(run: Run, progress: Progress | None = None) -> Side:
    """What there is of a run: its ladder, and its judgement, made anew, so that both runs meet the same judge.

    Raises `CaptureError` if its capture cannot be read or holds nothing.
    """
    parameters: dict[str, Any] = {}

    def noted(events: Iterable[Event]) -> Iterable[Event]:
        for event in events:
            if event.protocol == STEP and event.kind == "parameters":
                parameters.update(event.fields)
            yield event

    counts = Counts()
    ladder = build(noted(history_of(run, counts, progress)), model=run.model())
    if not ladder.rows:
        raise CaptureError(f"{run.capture} holds nothing that could be compared")
    judgement, why = None, ""
    try:
        judgement = judge(run.capture)
    except CaptureError as error:
        why = str(error)
    result = run.result()
    # A result may know of a bound that was broken, but nothing of what has become of the capture since.
    verdict = _verdict(judgement)
    if counts.truncated is None and verdict != "fail":
        verdict = str(result.get("verdict") or verdict)
    given = result.get("parameters")
    return Side(
        run.name,
        ladder,
        judgement,
        why,
        verdict,
        {**_flat(parameters), **(given if isinstance(given, dict) else {})},
        result.get("versions") or {},
        counts.truncated,
    )


def _verdict(judgement: Judgement | None) -> str:
    """As the run decides: what packs tell beside its lab's rules fails no run."""
    if judgement is None:
        return _NOT_JUDGED
    code = exit_code(failed=len(judgement.with_verdict("failed")), truncated=judgement.truncated)
    return {0: "pass", RULE_FAILED: "fail"}.get(code, "breaks off")


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A step's fields by dotted names, what is nested too; which rules are left out the judge says."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        inner = {str(index): one for index, one in enumerate(value)} if isinstance(value, list) else value
        if isinstance(inner, Mapping):
            found.update(_flat(inner, f"{prefix}{name}.") if name != "left_out" else {})
        else:
            found[f"{prefix}{name}"] = value
    return found


def compare(a: Side, b: Side, protocols: Collection[str] | None = None) -> Comparison:
    """What is different; `protocols` are those whose messages are compared.

    By default they are those of the roles themselves, and if neither run has any of these, all that occur.
    """
    wanted = protocols if protocols is not None else _protocols(a.ladder, b.ladder)
    sequences = _sequences(a.ladder, wanted), _sequences(b.ladder, wanted)
    names = dict.fromkeys([*sequences[0], *sequences[1]])
    sections = [_section(name, sequences[0].get(name), sequences[1].get(name)) for name in names]
    compared = (sum(map(len, sequences[0].values())), sum(map(len, sequences[1].values())))
    comparison = Comparison(
        a=a.name,
        b=b.name,
        verdicts=(a.verdict, b.verdict),
        compared=compared,
        sections=tuple(section for section in sections if section.changes or section.only_in),
        delays=tuple(_delays(a, b)),
        rules=tuple(_rules(a.judgement, b.judgement)),
        parameters=tuple(_values(a.parameters, b.parameters)),
        versions=tuple(_values(a.versions, b.versions)),
        notes=tuple(_notes(a, b)),
        incomplete=tuple(
            f"{side.name} breaks off ({side.truncated}): compared as far as it goes"
            for side in (a, b)
            if side.truncated is not None
        ),
    )
    if comparison.empty and not comparison.incomplete:
        nothing = f"{a.name} and {b.name} have nothing to compare: neither can be judged, and there is no message of "
        comparison = replace(comparison, incomplete=(nothing + ", ".join(sorted(wanted)),))
    return comparison


def _protocols(a: Ladder, b: Ladder) -> set[str]:
    of_roles = set(names())
    seen = {*a.protocols, *b.protocols}
    return of_roles if seen & of_roles or not seen else seen


def _notes(a: Side, b: Side) -> Iterable[str]:
    """What the judge could not judge, and what it warns of in one run only."""
    said_a, said_b = (side.judgement.warnings if side.judgement else [side.why_not_judged] for side in (a, b))
    yield from (f"{a.name}: {warning}" for warning in said_a if warning not in said_b)
    yield from (f"{b.name}: {warning}" for warning in said_b if warning not in said_a)


def _sequences(ladder: Ladder, protocols: Collection[str]) -> dict[str, list[str]]:
    """The messages of each section as texts that two runs can share."""
    found: dict[str, list[str]] = {f"handover {span.handover}": [] for span in ladder.handovers}
    roles = {column.name: column.role for column in ladder.columns}
    announced: set[str] = set()
    for row in ladder.rows:
        if not isinstance(row, MessageRow) or row.protocol not in protocols or row.background:
            continue
        if is_periodic(row.protocol, row.packet):
            continue
        text = f"{row.label} {row.sender} to {', '.join(row.receivers) or 'nobody'}"
        text += ", lost" if row.fate == "lost" else ""
        if any(row.packet in _announced(row.protocol, roles.get(node, "")) for node in row.nodes):
            if text in announced:
                continue
            announced.add(text)
        pair = " and ".join(sorted({row.sender, *row.receivers}))
        for section in [f"handover {name}" for name in row.handovers] or [f"outside handovers, {pair}"]:
            found.setdefault(section, []).append(text)
    return found


def _announced(name: str, role: str) -> Collection[str]:
    return protocol(name).announced.get(role, ()) if name in names() else ()


def _section(name: str, a: list[str] | None, b: list[str] | None) -> Section:
    only_in = None if None not in (a, b) else "b" if a is None else "a"
    return Section(name, only_in, _changes(a or [], b or []))


def _changes(a: Sequence[str], b: Sequence[str]) -> tuple[Change, ...]:
    matcher = SequenceMatcher(None, a, b, autojunk=False)
    return tuple(
        Change(a[a_from - 1] if a_from else "", tuple(a[a_from:a_to]), tuple(b[b_from:b_to]))
        for kind, a_from, a_to, b_from, b_to in matcher.get_opcodes()
        if kind != "equal"
    )


def _delays(a: Side, b: Side) -> Iterable[Delay]:
    for known in protocols():
        for compared in known.compared:
            yield from _delays_of(compared, _records(a, compared), _records(b, compared))


def _records(side: Side, compared: Compared) -> dict[str, Mapping[str, Any]]:
    told = [] if side.judgement is None else side.judgement.records.get(compared.records, [])
    return {str(record[compared.name]): record for record in told}


def _delays_of(
    compared: Compared, a: Mapping[str, Mapping[str, Any]], b: Mapping[str, Mapping[str, Any]]
) -> Iterable[Delay]:
    group, figures = compared.group, [figure.name for figure in compared.figures]
    both = [(name, one, b[name]) for name, one in a.items() if name in b]
    for name, one, other in both:
        mode = str(one[group]) if one[group] == other[group] else f"{one[group]}, {other[group]}"
        yield from (_delay(compared, name, mode, what, one.get(what), other.get(what)) for what in figures)
    for mode in dict.fromkeys(one[group] for _, one, other in both if one[group] == other[group]):
        for what in figures:
            values = [
                (one[what], other[what])
                for _, one, other in both
                if one[group] == other[group] == mode and None not in (one.get(what), other.get(what))
            ]
            if values:
                medians = (float(median(side)) for side in zip(*values, strict=True))
                yield _delay(compared, MEDIAN, str(mode), what, *medians)


def _delay(compared: Compared, subject: str, group: str, what: str, a: float | None, b: float | None) -> Delay:
    ratio = None if a is None or b is None or a <= 0 else round(b / a, 3)
    return Delay(compared.records, subject, group, what, a, b, ratio)


def _rules(a: Judgement | None, b: Judgement | None) -> Iterable[RuleChange]:
    verdicts = [_by_subject(side) for side in (a, b)]
    for key in dict.fromkeys([*verdicts[0], *verdicts[1]]):
        one, other = (side.get(key, ("absent", "")) for side in verdicts)
        if one[0] != other[0]:
            yield RuleChange(*key, one[0], other[0], other[1] or one[1])


def _by_subject(judgement: Judgement | None) -> dict[tuple[str, str], tuple[str, str]]:
    """Verdict and message by rule and subject; frame numbers differ from run to run, so subjects are counted instead."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    own = {pack.name for pack in judgement.packs if pack.decides} if judgement is not None else set()
    for verdict in judgement.decided if judgement is not None else ():
        if verdict.pack not in own and verdict.verdict != "failed":
            continue  # of IGMP or MLD, by the lab's IP version: that it was kept is no difference
        subject = plain = _FRAME_IN_SUBJECT.sub("", verdict.subject)
        count = 1
        while (verdict.rule, subject) in found:
            count += 1
            subject = f"{plain} ({count})"
        found[verdict.rule, subject] = verdict.verdict, verdict.message
    return found


def _values(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterable[ValueChange]:
    for name in dict.fromkeys([*a, *b]):
        if a.get(name) != b.get(name):
            yield ValueChange(name, a.get(name), b.get(name))
