"""What a page shows of a capture beside messages and verdicts: the scenario's steps, the stream at each interface, and facts."""

from __future__ import annotations

import ipaddress
from array import array
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import merge
from typing import Any

from captures.files.capture import CaptureError, Step
from captures.files.reading import CaptureReader
from captures.history.events import STEP, Event
from captures.history.history import History
from captures.history.run import Run
from captures.rules.packs import all_packs
from captures.rules.packs.pack import Facts, Settings
from captures.rules.reading import Reading
from captures.wire.flows import Flow, flows_of, without_vlans
from captures.wire.rtp import Streams


@dataclass(eq=False)
class Seen:
    """What was seen; `interfaces` are frames by name, `parameters` the fields of the lab's step, empty if there is none.

    `facts`: by protocol, who is who, of those whose lab it is.
    """

    protocols = frozenset({STEP})

    parameters: Mapping[str, Any] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    data: Mapping[str, Flow] = field(default_factory=dict)
    interfaces: Mapping[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    begin_ns: int = 0
    end_ns: int = 0
    truncated: str | None = None
    facts: dict[str, Facts] = field(default_factory=dict)

    # --- gathering

    def learn(self, step: Step, streams: Streams) -> None:
        """Take the lab's parameters."""
        self.parameters = step.fields
        # A lab may be without a stream, or its step say nothing of use.
        with suppress(LookupError, ValueError, TypeError, OverflowError):
            streams.keep(ipaddress.ip_address(str(step.fields["group"])).packed, int(step.fields["port"]))

    def event(self, event: Event) -> None:
        """Take a step."""
        self.steps.append(Step(event.number, event.t_ns, event.kind, dict(event.fields)))

    def finish(self, history: History, interfaces: Mapping[str, int], truncated: str | None) -> None:
        """The capture ended."""
        self.interfaces, self.truncated = interfaces, truncated
        self.begin_ns, self.end_ns = history.begin_ns, history.end_ns
        self.data = flows_of(history.streams, {name: without_vlans(name, interfaces) for name in history.began})

    # --- telling

    def times(self, *interfaces: str) -> array[int]:
        """When data packets were seen at one of some interfaces."""
        flows = [self.data[name].t_ns for name in interfaces if name in self.data]
        return flows[0] if len(flows) == 1 else array("Q", merge(*flows))

    def count(self, interface: str, begin_ns: int, end_ns: int) -> int:
        """How many were seen there in a time, both ends included."""
        flow = self.data.get(interface)
        return 0 if flow is None else len(flow.span(begin_ns, end_ns))


def read_seen(run: Run) -> Seen:
    """Read a run's capture.

    Raises `CaptureError` if it cannot be read, holds nothing at all, or has a ``parameters`` step that cannot be used.
    """
    seen, reading = Seen(), Reading(CaptureReader(run.capture), run.ports)
    reading.gather(seen)
    gathered = {pack.name: pack.facts for pack in all_packs(Settings()) if pack.facts is not None}
    for facts in gathered.values():
        reading.gather(facts)
    reading.read()
    seen.warnings += reading.reader.warnings
    for name, facts in gathered.items():
        if facts.problem is not None:
            raise CaptureError(facts.problem)
        if facts.known:
            seen.facts[name] = facts
            seen.warnings += facts.warnings
    return seen
