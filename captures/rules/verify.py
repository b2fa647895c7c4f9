"""Judging any capture: one pass over its events and streams, every rule of the packs that were asked for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captures.files.capture import CaptureError
from captures.files.reading import CaptureReader
from captures.history.control import every_protocol
from captures.history.events import Event
from captures.history.history import History
from captures.mmcp.rules.wire import mmcp_pack
from captures.rules.coverage import Coverage
from captures.rules.findings import Finding, Outcomes
from captures.rules.judge import COULD_NOT_JUDGE, LAB, exit_code, judge
from captures.rules.language import Checker, Rule, Unseen
from captures.rules.packs.membership import igmp_pack, mld_pack
from captures.rules.packs.pack import Pack, Settings
from captures.rules.packs.pim import pim_pack
from captures.rules.packs.rtp import rtp_pack
from captures.rules.verdict import Verdict
from captures.wire.rtp import Stream

PACKS = ("mmcp", "igmp", "mld", "pim", "rtp")


@dataclass(slots=True)
class PackVerdicts:
    """What one pack found."""

    name: str
    verdicts: list[Verdict]

    def count(self, outcome: str) -> int:
        """How many verdicts are "passed", "failed" or "unseen"."""
        return sum(verdict.verdict == outcome for verdict in self.verdicts)

    def as_dict(self) -> dict[str, Any]:
        """As JSON: ``passed``, ``failed`` and ``unseen``, which are counts, and ``verdicts``.

        Each of these is ``{"pack", "rule", "clause", "subject", "verdict", "message", "frames"}``.
        """
        return {
            **{outcome: self.count(outcome) for outcome in ("passed", "failed", "unseen")},
            "verdicts": [{"pack": self.name, **verdict.as_dict()} for verdict in self.verdicts],
        }


@dataclass(slots=True)
class Verification:
    """What was found in one capture. `truncated` tells where it broke off, None if it is whole.

    `asked`: the packs that were named, of which each must have something to judge.
    """

    source: str
    packs: list[PackVerdicts]
    frames: int
    seconds: float
    interfaces: dict[str, int]
    streams: list[Stream]
    passed_over: dict[str, int]
    warnings: list[str]
    truncated: str | None
    has_parameters: bool = False
    asked: tuple[str, ...] = ()

    @property
    def not_judged(self) -> list[str]:
        """Packs that were named and had nothing to judge."""
        judged = {pack.name for pack in self.packs if any(found.verdict != "unseen" for found in pack.verdicts)}
        return [name for name in self.asked if name not in judged]

    @property
    def verdicts(self) -> list[Verdict]:
        """Those of all packs."""
        return [verdict for pack in self.packs for verdict in pack.verdicts]

    def count(self, outcome: str) -> int:
        """How many verdicts are "passed", "failed" or "unseen"."""
        return sum(pack.count(outcome) for pack in self.packs)

    def exit_code(self) -> int:
        """As `exit_code`, and 2 too if nothing of what was asked could be judged."""
        code = exit_code(failed=self.count("failed"), truncated=self.truncated)
        return code or (COULD_NOT_JUDGE if self.not_judged or not self.count("passed") else 0)

    def as_dict(self) -> dict[str, Any]:
        """As JSON, the output of ``python -m captures verify --json``.

        ``packs``: by name `PackVerdicts.as_dict`; ``streams``: `captures.wire.rtp.Stream.as_dict` of
        each; ``interfaces``: frames by name; ``passed_over``: frames that were not judged, by reason; ``frames``,
        ``seconds`` (from the first to the last), ``warnings``, ``truncated``, ``source``; ``not_judged``: packs that were
        named and had nothing to judge.
        """
        return {
            "source": self.source,
            "frames": self.frames,
            "seconds": self.seconds,
            "packs": {pack.name: pack.as_dict() for pack in self.packs},
            "streams": [stream.as_dict() for stream in self.streams],
            "interfaces": self.interfaces,
            "passed_over": self.passed_over,
            "warnings": self.warnings,
            "truncated": self.truncated,
            "not_judged": self.not_judged,
        }


def verify_file(
    path: Path,
    names: Sequence[str] = (),
    settings: Settings | None = None,
    progress: Callable[[int], None] | None = None,
) -> Verification:
    """As `verify`, and by the lab rules too if the capture is a lab's. Raises `CaptureError` if it cannot be read."""
    found = verify(CaptureReader(path), [name for name in names if name != LAB] or names, settings, progress)
    if LAB in names or (not names and found.has_parameters):
        try:
            judgement = judge(path)
        except CaptureError as error:
            found.warnings.append(f"the lab rules were left out: {error}")
        else:
            found.packs.append(PackVerdicts(LAB, judgement.verdicts))
            found.warnings += judgement.warnings
    found.asked = tuple(names)
    return found


class _Running:
    """One rule at work."""

    def __init__(self, rule: Rule, coverage: Coverage) -> None:
        self.rule = rule
        self.outcomes = Outcomes()
        assert rule.check is not None
        self.checker: Checker = rule.check(self.outcomes, coverage)


def verify(
    reader: CaptureReader,
    names: Sequence[str] = (),
    settings: Settings | None = None,
    progress: Callable[[int], None] | None = None,
) -> Verification:
    """Judge a capture by the packs named, without names by all whose protocol occurs.

    `progress` is called with the number of frames read now and then. Raises `CaptureError` if the capture holds nothing at all.
    """
    settings = settings or Settings()
    history, coverage = History(reader, every_protocol(settings.ports), progress), Coverage()
    coverage.began = history.began
    packs = [pack for pack in _all_packs(settings) if not names or pack.name in names]
    running = {pack.name: [_Running(rule, coverage) for rule in pack.rules] for pack in packs}
    seen = _run([one for pack in running.values() for one in pack], history, coverage, settings)
    if not history.frames and not history.steps:
        broken = f" before it breaks off ({reader.truncated})" if reader.truncated else ""
        raise CaptureError(f"{reader.path} holds no packets{broken}")
    streams = history.streams.found()
    if streams:
        seen.add("rtp")
    judged = [
        PackVerdicts(pack.name, _all_verdicts(pack, running[pack.name], streams, settings.left_out))
        for pack in packs
        if names or pack.name in seen
    ]
    passed_over = history.passed_over
    if other := history.streams.not_streams():
        passed_over["UDP datagrams of other protocols"] += other
    return Verification(
        source=str(reader.path),
        packs=judged,
        frames=history.frames,
        seconds=round((history.end_ns - history.begin_ns) / 1e9, 9),
        interfaces=dict(reader.packets),
        streams=streams,
        passed_over=dict(passed_over.most_common()),
        warnings=[*reader.warnings, *_warnings(history, running, streams)],
        truncated=reader.truncated,
        has_parameters="parameters" in seen,
        asked=tuple(names),
    )


def rule_summaries() -> dict[str, str]:
    """What each rule of the packs asks, in one sentence, by its name."""
    found: dict[str, str] = {}
    for pack in _all_packs(Settings()):
        found |= {rule.name: rule.summary for rule in pack.rules}
        found |= {rule.name: rule.summary for rule in pack.stream_rules}
    return found


def _all_packs(settings: Settings) -> list[Pack]:
    return [mmcp_pack(settings), igmp_pack(), mld_pack(), pim_pack(), rtp_pack(settings)]


def _run(
    running: list[_Running],
    history: History,
    coverage: Coverage,
    settings: Settings,
) -> set[str]:
    """Walk the capture; return which protocols occurred, and "parameters" if that step did."""
    interested = _Interested([one.checker for one in running])
    seen: set[str] = set()
    now_ns = 0
    for event in history:
        seen.add(event.protocol)
        if event.protocol == "step" and event.kind == "parameters":
            seen.add("parameters")
            settings.learn(event.fields)
        now_ns = max(now_ns, event.t_ns)
        coverage.note(event)
        for checker in interested.all:
            checker.advance(now_ns)
        for checker in interested.of(event):
            checker.event(event)
    for checker in interested.all:
        checker.finish(history.end_ns)
    return seen


class _Interested:
    """Which checks want which events."""

    def __init__(self, checkers: Iterable[Checker]) -> None:
        self.all = list(checkers)
        self._by_kind: dict[tuple[str, str], list[Checker]] = {}
        self._by_protocol: dict[str, list[Checker]] = defaultdict(list)
        for checker in self.all:
            for protocol in {pattern.protocol for pattern in checker.patterns}:
                self._by_protocol[protocol].append(checker)

    def of(self, event: Event) -> Iterator[Checker]:
        name = (event.protocol, event.kind)
        wanted = self._by_kind.get(name)
        if wanted is None:
            wanted = self._by_kind[name] = [
                checker
                for checker in self._by_protocol.get(event.protocol, ())
                if any(
                    p.protocol == event.protocol and (not p.kinds or event.kind in p.kinds) for p in checker.patterns
                )
            ]
        return (checker for checker in wanted if any(pattern.matches(event) for pattern in checker.patterns))


def _verdicts(running: list[_Running], left_out: Mapping[str, str]) -> Iterator[Verdict]:
    for one in running:
        rule = one.rule
        if rule.name in left_out:
            yield from _named(rule.name, rule.clause, rule.summary, [Finding("", "unseen", left_out[rule.name])])
        else:
            yield from _named(rule.name, rule.clause, rule.summary, list(one.outcomes.findings()))


def _named(name: str, clause: str, summary: str, findings: list[Finding]) -> Iterator[Verdict]:
    if not findings:
        yield Verdict(name, clause, "the capture", "unseen", f"did not come up: {summary}")
    for finding in findings:
        yield Verdict(name, clause, finding.subject, finding.verdict, finding.message, finding.frames)


def _all_verdicts(
    pack: Pack, running: list[_Running], streams: list[Stream], left_out: Mapping[str, str]
) -> list[Verdict]:
    return [*_verdicts(running, left_out), *_stream_verdicts(pack, streams, left_out)]


def _stream_verdicts(pack: Pack, streams: list[Stream], left_out: Mapping[str, str]) -> Iterator[Verdict]:
    for rule in pack.stream_rules:
        if rule.name in left_out:
            yield from _named(rule.name, rule.clause, rule.summary, [Finding("", "unseen", left_out[rule.name])])
            continue
        findings = []
        for stream in streams:
            problem = rule.problem(stream)
            subject = f"{stream.name} at {stream.key.interface}"
            frames = (stream.first_frame, stream.last_frame)
            if problem is None:
                findings.append(Finding(subject, "passed", f"{stream.packets} packets", frames))
            else:
                outcome = "unseen" if isinstance(problem, Unseen) else "failed"
                findings.append(Finding(subject, "unseen" if outcome == "unseen" else "failed", str(problem), frames))
        yield from _named(rule.name, rule.clause, rule.summary, findings)


def _warnings(history: History, running: dict[str, list[_Running]], streams: list[Stream]) -> Iterator[str]:
    backward = sum(stream.backward for stream in streams)
    if backward:
        yield (
            f"{backward} RTP packets stand in the file behind ones that came later: their order was judged by their times,"
            " gaps and jitter in the order of the file"
        )
    if history.late:
        yield f"{history.late} control packets came out of order by more than a second, and were judged where they stand"
    if history.streams.evicted:
        yield (
            f"{history.streams.evicted} streams ({history.streams.evicted_packets} packets) were forgotten for lack of room"
        )
    for pack, rules in running.items():
        evicted = max((one.checker.evicted for one in rules), default=0)
        if evicted:
            yield f"{pack}: up to {evicted} peers were forgotten for lack of room, and what they did later judged anew"
