"""RTP streams: complete, in order, each packet once, evenly [RFC 3550].

What is missing in a row for longer than a moment is an interruption (see `captures.wire.rtp`): a member that leaves and comes
again, a link that goes down on purpose and an outage look the same, so interruptions are judged only against a limit that
somebody gives. So is jitter, of which no document says how much is too much. Which links a stream has crossed no packet tells:
where a lab asks any of its links to lose, double, reorder or delay packets, no stream fails for that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from captures.rules.coverage import Coverage
from captures.rules.findings import Outcomes
from captures.rules.language import Checker, Operator, Rule, Unseen
from captures.rules.on_purpose import LOSES, REORDERS
from captures.rules.packs.pack import Pack, Settings
from captures.wire.rtp import Stream


@dataclass(frozen=True)
class OfStreams(Operator):
    """For every stream of the capture `problem` returns what that of `captures.rules.operators.Holds` does of an event."""

    problem: Callable[[Stream], str | None]

    def __call__(self, tell: Outcomes, coverage: Coverage) -> Checker:
        """Begin the check."""
        return _OfStreams(tell, coverage, self)


class _OfStreams(Checker):
    def __init__(self, tell: Outcomes, coverage: Coverage, terms: OfStreams) -> None:
        super().__init__(tell, coverage, ())
        self._problem = terms.problem

    def finish(self, end_ns: int) -> None:
        for stream in self.coverage.streams.found():
            found = self._problem(stream)
            subject, frames = f"{stream.name} at {stream.key.interface}", (stream.first_frame, stream.last_frame)
            if found is None:
                self.tell.passed(subject, frames)
            elif isinstance(found, Unseen):
                self.tell.unseen(subject, found)
            else:
                self.tell.failed(subject, found, frames)


def rtp_pack(settings: Settings) -> Pack:
    """The pack, with the limits of the settings."""

    def loss(stream: Stream) -> str | None:
        share = stream.scattered / stream.expected
        if share <= settings.max_loss:
            return None
        return f"{stream.scattered} of {stream.expected} packets missing ({share:.2%}), {stream.max_missing} in a row at most"

    def duplicates(stream: Stream) -> str | None:
        return f"{stream.duplicates} packets came twice" if stream.duplicates else None

    def order(stream: Stream) -> str | None:
        if stream.astray:
            return f"{stream.astray} packets are far from the sequence of the others, {stream.reordered} came late"
        return f"{stream.reordered} packets came late" if stream.reordered else None

    def interruption(stream: Stream) -> str | None:
        longest = stream.longest_interruption_ns / 1e9
        if settings.max_gap_s is None:
            if not stream.interruptions:
                return None
            return Unseen(f"{stream.interruptions} interruptions, the longest {longest:.3f} s: no limit was given")
        return None if longest <= settings.max_gap_s else f"interrupted for {longest:.3f} s"

    def jitter(stream: Stream) -> str | None:
        mean = stream.mean_jitter_ns
        if mean is None:
            return Unseen(f"the clock rate of payload type {stream.payload_type} is not known")
        largest = stream.max_jitter_ns / 1e9
        text = f"jitter {mean / 1e6:.3f} ms on average, {largest * 1e3:.3f} ms at most"
        if settings.max_jitter_s is None:
            return Unseen(f"{text}: no limit was given")
        return None if largest <= settings.max_jitter_s else text

    return Pack(
        "rtp",
        (
            Rule(
                "rtp-loss",
                "RFC 3550 A.3",
                "no packet is missing but in interruptions",
                OfStreams(loss),
                spoiled_by=LOSES,
            ),
            Rule(
                "rtp-duplicates",
                "RFC 3550 A.1",
                "no packet comes twice",
                OfStreams(duplicates),
                spoiled_by=("duplicate",),
            ),
            Rule(
                "rtp-order",
                "RFC 3550 5.1",
                "packets come in the order of their sequence numbers",
                OfStreams(order),
                spoiled_by=REORDERS,
            ),
            Rule(
                "rtp-interruption",
                "RFC 3550 5.1",
                "the stream is not interrupted for too long",
                OfStreams(interruption),
                spoiled_by=LOSES,
            ),
            Rule(
                "rtp-jitter",
                "RFC 3550 6.4.1",
                "the packets come evenly",
                OfStreams(jitter),
                spoiled_by=(*REORDERS, "rate_bps"),
            ),
        ),
    )
