"""What of a receiver's longest time without a packet is the network's, and what its source's, who may send in bursts.

A receiver that misses nothing has waited for its source. One that misses something has been without the stream from the moment
when the first missing packet should have arrived; where the source paused before the packet that arrives again, that pause is its
own. Both need the packets as the source's own link saw them; without them the source is taken to send at an even pace.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

from captures.wire.flows import Flow

_LOOKED_BACK = 1 << 15  # packets: farther away a sequence number would be another round's


@dataclass(frozen=True, slots=True)
class Outage:
    """What of a receiver's time between two packets is not its source's own: from when the next one was due until it came.

    ``due_ns``: when the first packet that is missing, or late, should have arrived. ``until_ns``: when the next arrived, or would
    have if its source had not paused before it. It may be before ``due_ns``, of packets that came early.
    """

    due_ns: int
    until_ns: int

    @property
    def outage_ns(self) -> int:
        """How long it was."""
        return self.until_ns - self.due_ns


def longest_outage(received: Flow, span: range, sent: Flow, nominal_spacing_ns: int) -> Outage | None:
    """The one that is longest of the packets at the indexes ``span``, the first of equals; None for fewer than two packets.

    ``sent``: the same stream on its source's link, empty where nothing was captured there.
    """
    gaps = [(received.t_ns[after] - received.t_ns[before], before) for before, after in pairwise(span)]
    longest: Outage | None = None
    for gap_ns, before in sorted(gaps, key=lambda gap: (-gap[0], gap[1])):
        if longest is not None and gap_ns <= longest.outage_ns:
            break  # what is left is shorter still
        found = _outage(received, before, sent, nominal_spacing_ns)
        if longest is None or found.outage_ns > longest.outage_ns:
            longest = found
    return longest


def longest_pause(sent: Flow, begin_ns: int, end_ns: int, nominal_spacing_ns: int) -> int:
    """For how long at a stretch a source sent nothing between two moments, beyond its spacing; 0 where it was not seen, ns."""
    if not sent.t_ns:
        return 0
    within = sent.span(begin_ns, end_ns)
    moments = (begin_ns, *sent.t_ns[within.start : within.stop], end_ns)
    return max(0, max(after - before for before, after in pairwise(moments)) - nominal_spacing_ns)


def _outage(received: Flow, before: int, sent: Flow, nominal_spacing_ns: int) -> Outage:
    """That between a received packet and the next."""
    begin_ns, end_ns = received.t_ns[before], received.t_ns[before + 1]
    first, last = (_sent(received, index, sent) for index in (before, before + 1))
    if first is None or last is None or last <= first:  # it came twice, or out of order, or was never seen to be sent
        return Outage(begin_ns + nominal_spacing_ns, end_ns)
    due_ns = begin_ns + sent.t_ns[first + 1] - sent.t_ns[first]
    if last == first + 1:
        return Outage(due_ns, end_ns)
    return Outage(due_ns, end_ns - max(0, sent.t_ns[last] - sent.t_ns[last - 1] - nominal_spacing_ns))


def _sent(received: Flow, index: int, sent: Flow) -> int | None:
    """Where in ``sent`` a received packet is."""
    sequence = received.sequence[index]
    newest = bisect_right(sent.t_ns, received.t_ns[index]) - 1
    return next(
        (at for at in range(newest, max(-1, newest - _LOOKED_BACK), -1) if sent.sequence[at] == sequence),
        None,
    )
