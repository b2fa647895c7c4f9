"""What a pack is made of, and what somebody who judges a capture may know beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from captures.files.capture import Step
from captures.history.events import Event
from captures.history.history import History
from captures.rules.language import Rule
from captures.wire.rtp import Streams

SECONDS_MAX = 1_000_000.0
"""No timer is longer."""


class Timers(dict[str, float | None]):
    """A protocol's provisioned times in seconds, by name; None for one that nobody knows.

    `given` are those that somebody said: they stay. Of the rest the protocol's section of a lab's ``parameters`` step fills in what it tells.
    """

    def __init__(self, known: Mapping[str, float | None], given: Mapping[str, float]) -> None:
        super().__init__(known)
        self._given = frozenset(given)
        self.update((name, seconds) for name, seconds in given.items() if name in known)

    def learn(self, section: Mapping[str, Any]) -> None:
        """Take over what the protocol's section says, such as ``srt_s``; what no time can be is passed over."""
        for name in self.keys() - self._given:
            value = section.get(f"{name}_s")
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= SECONDS_MAX:
                self[name] = float(value)


@dataclass(frozen=True)
class Settings:
    """What somebody knows who judges a capture: provisioned timers, ports, and limits for streams."""

    timers: Mapping[str, float] = field(default_factory=dict)
    """In seconds, by name."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """By protocol, where its messages are sent to if that is not its own port."""
    max_loss: float = 0.0
    """Share of a stream's packets that may be missing, scattered."""
    max_gap_s: float | None = None
    """How long a stream may be interrupted; None: not judged."""
    max_jitter_s: float | None = None
    """None: not judged."""


class Gatherer(Protocol):
    """What is given the events that rules are given."""

    protocols: frozenset[str]
    """Of which protocols it takes the events."""

    def learn(self, step: Step, streams: Streams) -> None:
        """Take a ``parameters`` step, when it is read: ahead of the events of its time."""

    def event(self, event: Event) -> None:
        """Take the next event of its `protocols`."""

    def finish(self, history: History, interfaces: Mapping[str, int], truncated: str | None) -> None:
        """The capture ended: `interfaces` are frames by name, `truncated` is where it broke off."""


class Facts(Gatherer, Protocol):
    """What a protocol's room gathers of who is who."""

    problem: str | None
    """Why the capture's ``parameters`` step cannot be used, None if it can."""
    warnings: list[str]
    """What is odd about the capture."""
    deciding: frozenset[str]
    """Names of other packs' rules that decide too whether a run passed, where who is who is known."""

    @property
    def known(self) -> bool:
        """Whether the capture says who is who."""

    def views(self) -> Sequence[Facts]:
        """What checks are asked of one by one: itself, and where there are several sessions, each of the others."""

    def doubt(self) -> str:
        """Why what a check has just looked at tells nothing, such as a dead capture; empty if it does."""

    def undecided_from(self) -> int | None:
        """Frame number from which on something was under way when the capture broke off; None if nothing was."""

    def records(self) -> Mapping[str, list[dict[str, Any]]]:
        """What a judgement says of the lab beside verdicts. Raises CaptureError."""


@dataclass(frozen=True)
class Pack:
    """Rules about one protocol; `facts` gathers who is who for them, None where nobody needs to know.

    `timers`: those that its rules go by and that the capture may tell.
    """

    name: str
    rules: tuple[Rule, ...] = ()
    facts: Facts | None = None
    timers: Timers | None = None
