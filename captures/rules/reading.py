"""One reading of a capture: its events in order of time, given to all who want them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from captures.files.capture import CaptureError, Step
from captures.files.reading import CaptureReader
from captures.history.control import every_protocol
from captures.history.events import STEP, Event
from captures.history.history import History
from captures.rules.coverage import Coverage
from captures.rules.findings import Failure
from captures.rules.language import Checker
from captures.rules.packs.pack import Gatherer

Progress = Callable[[int], None]
"""Is called with the number of frames read now and then."""

_SENT_MAX = 65_536
_ON_ITS_WAY_NS = 100_000_000  # one packet is seen at several interfaces one after the other


class _Sent(NamedTuple):
    """When a packet was sent, and the two that it went between."""

    t_ns: int
    ends: frozenset[str]


class Reading:
    """One reading of a capture: its history, with what facts and checks make of it."""

    def __init__(self, reader: CaptureReader, ports: Mapping[str, int], progress: Progress | None = None) -> None:
        self.reader = reader
        self.history = History(reader, every_protocol(ports), progress)
        self.history.on_parameters = self._learn
        self.coverage = Coverage()
        self.coverage.began, self.coverage.streams = self.history.began, self.history.streams
        self.seen: set[str] = set()
        """Names of the protocols that occurred."""
        self.steps: set[str] = set()
        """Names of the steps that occurred."""
        self.parameters: Step | None = None
        """The first ``parameters`` step."""
        self.learning: list[Callable[[Step], None]] = []
        """What is called with it when it is read, ahead of the events of its time."""
        self._facts: list[Gatherer] = []
        self._sent: dict[int, _Sent] = {}

    def _learn(self, step: Step) -> None:
        if self.parameters is None:
            self.parameters = step
            for learn in self.learning:
                learn(step)

    def gather(self, facts: Gatherer) -> None:
        """Give the facts what they are to gather."""
        self._facts.append(facts)
        self.learning.append(lambda step: facts.learn(step, self.history.streams))

    def read(self, checkers: Sequence[Checker] = ()) -> None:
        """Walk the capture. Raises `CaptureError` if it cannot be read or holds nothing at all."""
        interested = _Interested(checkers)
        advancing = [checker for checker in checkers if type(checker).advance is not Checker.advance]
        gathering: dict[str, list[Gatherer]] = defaultdict(list)
        for facts in self._facts:
            for protocol in facts.protocols:
                gathering[protocol].append(facts)
        now_ns = 0
        for event in self.history:
            self.seen.add(event.protocol)
            if event.protocol == STEP:
                self.steps.add(event.kind)
            now_ns = max(now_ns, event.t_ns)
            self._note(event)
            self.coverage.note(event)
            for checker in advancing:
                checker.advance(now_ns)
            for checker in interested.of(event):
                checker.event(event)
            for facts in gathering.get(event.protocol, ()):
                facts.event(event)
        for checker in checkers:
            checker.finish(self.history.end_ns)
        for facts in self._facts:
            facts.finish(self.history, dict(self.reader.packets), self.reader.truncated)
        if not self.history.frames and not self.history.steps:
            broken = f" before it breaks off ({self.reader.truncated})" if self.reader.truncated else ""
            raise CaptureError(f"{self.reader.path} holds no packets{broken}")

    def _note(self, event: Event) -> None:
        if event.source:
            self._sent[event.number] = _Sent(event.t_ns, frozenset((event.source, event.destination)))
            if len(self._sent) > _SENT_MAX:
                for number in list(islice(self._sent, _SENT_MAX // 2)):
                    del self._sent[number]

    def explains(self, cause: Failure, failure: Failure) -> bool:
        """Whether two failures are about the same node, or the same subject, and the cause is not the later one."""
        causes = [self._sent[number] for number in cause.frames if number in self._sent]
        effects = [self._sent[number] for number in failure.frames if number in self._sent]
        if not causes or not effects:  # evidence that is no control packet
            return cause.subject == failure.subject
        if min(sent.t_ns for sent in causes) > max(sent.t_ns for sent in effects) + _ON_ITS_WAY_NS:
            return False
        return any(one.ends & other.ends for one in causes for other in effects)


class _Interested:
    """Which checks want which events."""

    def __init__(self, checkers: Iterable[Checker]) -> None:
        self._by_kind: dict[tuple[str, str], list[Checker]] = {}
        self._by_protocol: dict[str, list[Checker]] = defaultdict(list)
        for checker in checkers:
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
