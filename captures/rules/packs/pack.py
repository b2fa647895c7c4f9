"""What a pack is made of, and what somebody who judges a capture may know beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from captures.mmcp.parameters import SECONDS_MAX
from captures.rules.language import Rule
from captures.wire.rtp import Stream


@dataclass
class Settings:
    """Times that are provisioned and not seen on a wire, in seconds, at their defaults; and limits for streams.

    SRT is learned from the reports if it is None, SPT is three of it. What is named in `given` was said by somebody and
    stays; of the rest a lab's ``parameters`` step fills in what it tells.
    """

    jwt_s: float = 2.0
    srt_s: float | None = None
    spt_s: float | None = None
    hit_s: float = 1.0
    ctt_s: float = 0.25
    max_loss: float = 0.0
    """Share of a stream's packets that may be missing, scattered."""
    max_gap_s: float | None = None
    """How long a stream may be interrupted; None: not judged."""
    max_jitter_s: float | None = None
    """None: not judged."""
    given: frozenset[str] = frozenset()
    ports: Mapping[str, int] = field(default_factory=dict)
    """By protocol, where its messages are sent to if that is not its own port."""
    left_out: dict[str, str] = field(default_factory=dict, init=False)
    """Rules that cannot be asked of the lab that was captured, each with the reason."""

    def learn(self, parameters: Mapping[str, Any]) -> None:
        """Take over the timers of a lab's ``parameters`` step; what no timer can be is passed over.

        And which rules cannot be asked of it.
        """
        for name in ("jwt_s", "srt_s", "spt_s", "hit_s", "ctt_s"):
            value = parameters.get(name)
            if name not in self.given and isinstance(value, int | float) and 0 < value <= SECONDS_MAX:
                setattr(self, name, float(value))
        left_out = parameters.get("left_out")
        if isinstance(left_out, dict):
            self.left_out = {str(rule): str(why) for rule, why in left_out.items()}


@dataclass(frozen=True)
class StreamRule:
    """A rule about whole streams: `problem` as that of `captures.rules.operators.holds`."""

    name: str
    clause: str
    summary: str
    problem: Callable[[Stream], str | None]


@dataclass(frozen=True)
class Pack:
    """Rules about one protocol; `rules` are about its events, `stream_rules` about streams."""

    name: str
    rules: tuple[Rule, ...] = ()
    stream_rules: tuple[StreamRule, ...] = ()
