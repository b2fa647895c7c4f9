"""The judge: one reading of a capture, in which every rule of the packs that were asked for looks at it.

`judge` is the door for a lab's capture, whose steps say who is who; `verify` that for any capture. Rules, verdicts and what
comes of them are the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from captures.files.capture import CaptureError, Step
from captures.files.reading import CaptureReader
from captures.history.router_load import RouterLoad
from captures.protocols import protocols
from captures.rules.findings import Excuse, Explain, Failure, Finding, Outcomes, Verdict
from captures.rules.judgement import Judgement, PackVerdicts
from captures.rules.language import Checker, Knowing, Rule
from captures.rules.packs import all_packs
from captures.rules.packs.pack import Facts, Pack, Settings
from captures.rules.reading import Progress, Reading
from captures.wire.rtp import Stream


class _OneRule:
    """One rule at work."""

    def __init__(self, rule: Rule, reading: Reading) -> None:
        self.rule, self._reading = rule, reading
        self.outcomes = Outcomes()
        self.checker = None if rule.check is None else rule.check(self.outcomes, reading.coverage)
        self.found: list[Finding] = []
        """Where who is who is known and there is something to look at: what that decides."""

    def failures(self) -> Iterator[Failure]:
        """Everything that was not as it has to be."""
        if not self.found:
            yield from (failure for failure in self.outcomes.failures() if not self._doubt(failure))
        for finding in self.found:
            if finding.verdict == "failed":
                yield Failure(finding.subject, finding.message, finding.frames)

    def findings(self, about: Collection[str] | None, explain: Explain) -> Iterator[Finding]:
        """What there is to say, with consequences told as such; `about` are the topics of a lab, None if it is none."""
        rule = self.rule
        found = [_explained(finding, explain) for finding in self.found]
        found = found or list(self.outcomes.findings(lambda failure: self._doubt(failure) or explain(failure)))
        yield from found
        if found:
            return
        if rule.check is None and about is None:
            yield Finding("the capture", "unseen", f"nothing says who is who: {rule.summary}")
        elif about is None or not rule.topics or not set(rule.topics).isdisjoint(about):
            yield Finding("the capture", "unseen", f"did not come up: {rule.summary}")

    def _doubt(self, failure: Failure) -> Excuse | None:
        """A rule has found nothing where it goes by times that come from a wrong clock, or where the lab wants it so."""
        why = self._reading.doubt(failure) if self.checker is not None and self.checker.goes_by_time else ""
        why = why or self._reading.coverage.on_purpose.why(failure.subject, self.rule.spoiled_by)
        return Excuse(why) if why else None


def _believed(check: Knowing, facts: Facts) -> Iterator[Finding]:
    """What a check finds; where it looked at what tells nothing it has found nothing."""
    for finding in check(facts):
        why = facts.doubt()
        yield replace(finding, verdict="unseen", message=f"{why}: {finding.message}") if why else finding


def _explained(finding: Finding, explain: Explain) -> Finding:
    failed = finding.verdict == "failed"
    excuse = explain(Failure(finding.subject, finding.message, finding.frames)) if failed else None
    if excuse is None:
        return finding
    return replace(finding, verdict="unseen", message=f"{excuse.why}: {finding.message}", follows=excuse.follows)


class _Running:
    """One pack at work, which `decides` if the capture is its lab's. `about`: of a lab that speaks of it, what it is about."""

    def __init__(self, pack: Pack, reading: Reading) -> None:
        self.pack, self.name, self._reading = pack, pack.name, reading
        self.rules = [_OneRule(rule, reading) for rule in pack.rules]
        self.about: tuple[str, ...] | None = None
        self.topics = {
            topic.name: topic.step for known in protocols() if known.name == pack.name for topic in known.topics
        }
        if pack.facts is not None:
            reading.gather(pack.facts)
        self.decides = False
        self._section: Mapping[str, Any] | None = None
        reading.learning.append(self._learn)

    def _learn(self, step: Step) -> None:
        section = step.fields.get(self.name)
        self._section = section if isinstance(section, Mapping) else None
        if self.pack.timers is not None and self._section is not None:
            self.pack.timers.learn(self._section)

    def checkers(self) -> Iterator[Checker]:
        """Those that are to be given events."""
        yield from (one.checker for one in self.rules if one.checker is not None)

    def conclude(self, found: Judgement, left_out: Collection[str]) -> None:
        """Look at what was gathered if the lab is one of the protocol, but for the rules `left_out`.

        Raises `CaptureError` for steps that cannot be used.
        """
        facts = self.pack.facts
        self.decides = self.name in _of_lab(self._reading)
        if facts is not None and facts.problem is not None:
            raise CaptureError(facts.problem)
        if facts is not None and facts.known:
            records = facts.records()
            for one in self.rules:
                if one.rule.knowing is not None and one.rule.name not in left_out:
                    believed = [each for view in facts.views() for each in _believed(one.rule.knowing, view)]
                    one.found = [self._as_far_as_it_goes(finding) for finding in believed]
            found.records.update(records)
            found.deciding |= facts.deciding
            found.warnings += facts.warnings
        if self._section is not None:
            self.about = tuple(topic for topic in found.about if topic in self.topics)

    def verdicts(self, failures: Mapping[str, Sequence[Failure]], left_out: Mapping[str, str]) -> Iterator[Verdict]:
        """Those of all its rules; `failures` are those of the rules of every pack, `left_out` are reasons, by name."""
        for one in self.rules:
            rule = one.rule
            if rule.name in left_out:
                yield Verdict(self.name, rule.name, rule.clause, "the capture", "unseen", left_out[rule.name])
                continue
            causes = [(name, cause) for name in rule.explained_by for cause in failures.get(name, ())]

            def explain(failure: Failure, causes: Sequence[tuple[str, Failure]] = causes) -> Excuse | None:
                by = (name for name, cause in causes if self._reading.explains(cause, failure))
                return next((Excuse(f"follows from {name}", name) for name in by), None)

            for finding in one.findings(self.about, explain):
                yield Verdict(
                    self.name,
                    rule.name,
                    rule.clause,
                    finding.subject,
                    finding.verdict,
                    finding.message,
                    finding.frames,
                    finding.follows,
                )

    def _as_far_as_it_goes(self, finding: Finding) -> Finding:
        """What a capture that breaks off tells: nothing failed of who is who that may have come right after its end."""
        facts = self.pack.facts
        if finding.verdict != "failed" or facts is None or self._reading.reader.truncated is None:
            return finding
        since = facts.undecided_from()
        if since is None or max(finding.frames, default=since) < since:
            return finding
        return replace(finding, verdict="unseen", message=f"the capture breaks off meanwhile: {finding.message}")

    def not_shown(self) -> Iterator[str]:
        """Why a lab's capture does not show what the lab is about."""
        reader = self._reading.reader
        broken = f" before it breaks off ({reader.truncated})" if reader.truncated else ""
        for topic in self.about or ():
            step = self.topics[topic]
            only = [finding for one in self.rules if one.rule.topics == (topic,) for finding in one.found]
            if step and step not in self._reading.steps:
                yield f"{reader.path} shows no {topic}{broken}: no {step} step was seen, nothing to judge"
            elif all(finding.verdict == "unseen" for finding in only):
                yield f"{reader.path} shows no {topic}{broken} that a rule could judge"


def verify(
    reader: CaptureReader,
    names: Sequence[str] = (),
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Judgement:
    """Judge a capture by the packs named, without names by all whose protocol occurs.

    Raises `CaptureError` if the capture cannot be read or holds nothing at all.
    """
    settings = settings or Settings()
    reading, routers = Reading(reader, settings.ports, progress), RouterLoad()
    reading.gather(routers)
    packs = [_Running(pack, reading) for pack in all_packs(settings) if not names or pack.name in names]
    reading.read([checker for pack in packs for checker in pack.checkers()])
    found = _as_read(reading, packs, tuple(names))
    if known_routers := routers.records():
        found.records["routers"] = known_routers
    left_out = _left_out(reading.parameters)
    rules = {rule.name for pack in all_packs(settings) for rule in pack.rules}
    found.warnings += [f"left_out names {name}, which is no rule" for name in left_out if name not in rules]
    for pack in packs:
        try:
            pack.conclude(found, left_out)
        except CaptureError as error:
            found.lacks.append(str(error))
    ones = [one for pack in packs for one in pack.rules if one.rule.name not in left_out]
    failures = {one.rule.name: list(one.failures()) for one in ones}
    for pack in packs:
        if names or pack.name in reading.seen or pack.decides:
            found.packs.append(PackVerdicts(pack.name, list(pack.verdicts(failures, left_out)), pack.decides))
            found.lacks += pack.not_shown()
    known = [topic for pack in packs if pack.about is not None for topic in pack.topics]
    if known and (not found.about or not set(found.about) <= set(known)):
        found.lacks.insert(0, f"{found.source}: expects is {list(found.about)}, not some of {', '.join(known)}")
    if found.has_parameters:
        found.warnings += [f"not judged as a lab: {why}" for why in found.lacks]
    return found


def judge(path: Path, progress: Progress | None = None) -> Judgement:
    """Judge a lab's capture.

    Raises `CaptureError` if it cannot be read, has no ``parameters`` step that can be used, or does not show what its lab is
    about: a capture in which nothing happened does not pass.
    """
    found = verify(CaptureReader(path), progress=progress)
    if found.lacks:
        raise CaptureError(found.lacks[0])
    return found


def summaries() -> dict[str, str]:
    """What each rule asks, in one sentence, by its name."""
    return {rule.name: rule.summary for pack in all_packs(Settings()) for rule in pack.rules}


def _of_lab(reading: Reading) -> Collection[str]:
    """The protocols whose lab it is: those that its parameters have a section of, else all that occur and have a room."""
    if reading.parameters is None:
        return ()
    rooms = [known.name for known in protocols()]
    told = [name for name in rooms if isinstance(reading.parameters.fields.get(name), Mapping)]
    return told or [name for name in rooms if name in reading.seen]


def _topics(expects: Any) -> tuple[str, ...]:
    return tuple(map(str, expects)) if isinstance(expects, list | tuple) else ()


def _left_out(parameters: Step | None) -> dict[str, str]:
    """Rules that cannot be asked of the lab, each with the reason."""
    told = None if parameters is None else parameters.fields.get("left_out")
    return {str(rule): str(why) for rule, why in told.items()} if isinstance(told, Mapping) else {}


def _as_read(reading: Reading, packs: Sequence[_Running], names: tuple[str, ...]) -> Judgement:
    """What there is to say before any verdict."""
    reader, history = reading.reader, reading.history
    streams = history.streams.found()
    if streams:
        reading.seen.add("rtp")
    passed_over = history.passed_over
    if other := history.streams.not_streams():
        passed_over["UDP datagrams of other protocols"] += other
    found = Judgement(
        source=str(reader.path),
        packs=[],
        frames=history.frames,
        seconds=round((history.end_ns - history.begin_ns) / 1e9, 9),
        interfaces=dict(reader.packets),
        streams=streams,
        passed_over=dict(passed_over.most_common()),
        warnings=[*reader.warnings, *history.warnings(reader.packets), *reading.warnings(), *_warnings(packs, streams)],
        truncated=reader.truncated,
        about=() if reading.parameters is None else _topics(reading.parameters.fields.get("expects")),
        has_parameters=reading.parameters is not None,
        asked=names,
    )
    if reading.parameters is None:
        broken = f" before it breaks off ({found.truncated})" if found.truncated else ""
        found.lacks.append(
            f"{found.source} has {found.frames} packets but no parameters step{broken}, so nothing tells who is who in it;"
            " merge the run's folder with its steps.jsonl first, or ask `python -m captures verify` for what any capture"
            " tells"
        )
    return found


def _warnings(packs: Sequence[_Running], streams: list[Stream]) -> Iterator[str]:
    backward = sum(stream.backward for stream in streams)
    if backward:
        yield (
            f"{backward} RTP packets stand in the file behind ones that came later: their order was judged by their times,"
            " gaps and jitter in the order of the file"
        )
    for pack in packs:
        evicted = max((checker.evicted for checker in pack.checkers()), default=0)
        if evicted:
            yield f"{pack.name}: up to {evicted} peers were forgotten for lack of room, and what they did later judged anew"
