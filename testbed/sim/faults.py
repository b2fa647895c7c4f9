"""What happens to datagrams and streams on a network in virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Faults:
    """Times are seconds, the others probabilities of each datagram, or of each piece of a stream.

    ``jitter_s`` is added to the delay in equal distribution. A datagram that is reordered is held back by
    ``held_back_s``; of a duplicated one a second copy arrives, with its own jitter. ``only_delay`` follows from the others:
    nothing else happens to a datagram. A piece of a stream that is lost is sent again, so it comes later and what follows
    waits for it; one that stalls comes ``stalled_s`` later; ``reset`` ends the stream at both ends. ``refusal`` is the share
    of connections that are refused though somebody listens.
    """

    delay_s: float = 0.005
    jitter_s: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    held_back_s: float = 0.05
    stall: float = 0.0
    stalled_s: float = 1.0
    reset: float = 0.0
    refusal: float = 0.0
    only_delay: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "only_delay", not (self.loss or self.duplication or self.reordering))


PERFECT = Faults()
