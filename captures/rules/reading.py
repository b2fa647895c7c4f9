"""One reading of a capture: its events in order of time, given to all who want them."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from ipaddress import ip_address
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
# What begins later has a cause of its own. Until a child is given up, and its parent's reports show it, four SPT pass.
_FOLLOWS_WITHIN_NS = 8_000_000_000
_HUB_AT_LEAST = 3  # partners


class _Sent(NamedTuple):
    """When and where a packet was seen, and those of the two that it went between that are hosts; nobody of what is none."""

    t_ns: int
    interface: str
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
        self._forgotten = 0

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
        ends = frozenset(end for end in (event.source, event.destination) if end and not ip_address(end).is_multicast)
        self._sent[event.number] = _Sent(event.t_ns, event.interface, ends)
        if len(self._sent) > _SENT_MAX:
            self._forgotten += _SENT_MAX // 2
            for number in list(islice(self._sent, _SENT_MAX // 2)):
                del self._sent[number]

    def warnings(self) -> Iterator[str]:
        """What was forgotten for lack of room, as texts."""
        if evicted := self.coverage.evicted:
            yield (
                f"{evicted} directions, ports and nodes were forgotten for lack of room: what was missing there is held"
                " against nobody"
            )
        if self._forgotten:
            yield f"{self._forgotten} events were forgotten for lack of room: what failed in them follows from nothing"

    @cached_property
    def _hubs(self) -> frozenset[str]:
        """Who speaks with everybody, and so makes no two things belong together: known when the capture has been read.

        That is who a lab has only one of, or without a lab the one that had more partners than any other.
        """
        if only := self.coverage.only:
            return frozenset(only)
        partners: dict[str, set[str]] = defaultdict(set)
        for sent in self._sent.values():
            for end in sent.ends:
                partners[end] |= sent.ends - {end}
        most = max(map(len, partners.values()), default=0)
        found = [end for end, others in partners.items() if len(others) == most]
        return frozenset(found if most >= _HUB_AT_LEAST and len(found) == 1 else ())

    @cached_property
    def _numbers(self) -> list[int]:
        return sorted(self._sent)

    def _time(self, number: int) -> int | None:
        """When a frame was captured, of a data packet when the event before it was; None if that is forgotten."""
        place = bisect_right(self._numbers, number)
        return self._sent[self._numbers[place - 1]].t_ns if place else None

    def _about(self, frames: Iterable[int]) -> set[str]:
        """Whom packets are about: those that they went between, but for hubs that others were there beside."""
        ends = {end for number in frames if number in self._sent for end in self._sent[number].ends}
        return (ends - self._hubs) or ends

    @cached_property
    def _shifted(self) -> dict[str, int]:
        return self.history.clock_shifts()

    def doubt(self, failure: Failure) -> str:
        """Why the clocks of a failure's subject and evidence make it doubtful; empty if they do not."""
        if not self._shifted:
            return ""
        places = {self._sent[number].interface for number in failure.frames if number in self._sent}
        wrong = [name for name in self._shifted for place in {failure.subject, *places} if _is_at(place, name)]
        return f"the clock of {' and '.join(dict.fromkeys(wrong))} is wrong" if wrong else ""

    def explains(self, cause: Failure, failure: Failure) -> bool:
        """Whether two failures are about the same node, or without packets the same subject, and one soon after the other."""
        began, since = ([t for n in one.frames if (t := self._time(n)) is not None] for one in (cause, failure))
        if not began or not since or min(began) > max(since) + _ON_ITS_WAY_NS:
            return False
        if min(since) > max(began) + _FOLLOWS_WITHIN_NS:
            return False
        causes, effects = self._about(cause.frames), self._about(failure.frames)
        if not causes or not effects:  # evidence that is no control packet
            return cause.subject == failure.subject
        return bool(causes & effects)


def _is_at(interface: str, name: str) -> bool:
    """Whether an interface is the one called so, or a VLAN or tunnel of it."""
    return interface == name or interface.startswith(f"{name}.")


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
