"""What a page shows of a capture beside messages and verdicts: the scenario's steps, and the stream at each interface."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from captures.files.capture import Step
from captures.history.flows import Flow


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen; `interfaces` are frames by name, `parameters` the fields of the lab's step, empty if there is none."""

    parameters: Mapping[str, Any]
    steps: Sequence[Step]
    data: Mapping[str, Flow]
    interfaces: Mapping[str, int]
    warnings: Sequence[str]
    begin_ns: int
    end_ns: int
    truncated: str | None

    def times(self, interface: str) -> array[int]:
        """When data packets were seen at an interface."""
        flow = self.data.get(interface)
        return array("Q") if flow is None else flow.t_ns

    def count(self, interface: str, begin_ns: int, end_ns: int) -> int:
        """How many were seen there in a time, both ends included."""
        flow = self.data.get(interface)
        return 0 if flow is None else len(flow.span(begin_ns, end_ns))
