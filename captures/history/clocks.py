"""Whether the interfaces of a capture tell the same time, from control packets that several of them saw.

How long a packet travels nobody knows, but it is seen nowhere before it was sent. So how far the clock of a second interface
is ahead of that of a first has bounds:

- of a packet that is seen with a smaller hop limit at the second, at most as much later as it is seen there;
- of packets in both directions between two hosts, something between how much later the ones and the others are seen there.

Clocks differ for certain where 0 is beyond the bounds; by how much is taken for the middle between them. An interface that
differs from more others than these do is the one that is shifted; where several differ from as many, all are. Packets that
are equal count if both interfaces saw as many of them, but for those within a second of one another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from statistics import median_low
from typing import NamedTuple

from captures.wire.headers import PROTOCOL_TCP, PROTOCOL_UDP, Packet

SHIFT_NS = 5_000_000
"""Clocks that differ by less are taken for the same."""

_PACKETS_MAX = 4096
_SEEN_AT_MAX = 16  # interfaces
_EQUAL_MAX = 64  # packets
_APART_NS = 1_000_000_000

# Of UDP and TCP the checksum is left out, which the sender's interface may show as its kernel left it: what is before it and
# where it ends.
_CHECKSUM = {PROTOCOL_UDP: (6, 8), PROTOCOL_TCP: (16, 18)}

_Flow = tuple[bytes, bytes]


class _Sighting(NamedTuple):
    interface: str
    t_ns: int
    hop_limit: int


class _Sent:
    """A packet, and when each interface saw it and others that are equal."""

    __slots__ = ("flow", "seen")

    def __init__(self, flow: _Flow) -> None:
        self.flow = flow
        self.seen: dict[str, list[_Sighting]] = {}

    def add(self, sighting: _Sighting) -> None:
        times = self.seen.get(sighting.interface)
        if times is not None:
            if len(times) <= _EQUAL_MAX:
                times.append(sighting)
        elif len(self.seen) < _SEEN_AT_MAX:
            self.seen[sighting.interface] = [sighting]

    def pairs(self) -> Iterator[tuple[_Sighting, _Sighting]]:
        """Of two interfaces what is one packet for certain: the first that both saw, the second, if both saw as many."""
        for first, second in combinations(sorted(self.seen), 2):
            ones, others = self.seen[first], self.seen[second]
            if len(ones) == len(others) <= _EQUAL_MAX:
                for place, pair in enumerate(zip(ones, others, strict=True)):
                    if _is_alone(ones, place) and _is_alone(others, place):
                        yield pair


def _is_alone(sightings: Sequence[_Sighting], place: int) -> bool:
    """Whether nobody can mistake one for that before or behind it: of a burst some may have been lost here, others there."""
    near = sightings[max(place - 1, 0) : place + 2]
    return all(later.t_ns - earlier.t_ns > _APART_NS for earlier, later in pairwise(near))


class _Pair:
    """How much later the second of two interfaces saw packets than the first: by flow, and where hop limits tell the order."""

    def __init__(self) -> None:
        self.by_flow: dict[_Flow, list[int]] = defaultdict(list)
        self.at_most: list[int] = []
        self.at_least: list[int] = []

    def add(self, flow: _Flow, first: _Sighting, second: _Sighting) -> None:
        later = second.t_ns - first.t_ns
        self.by_flow[flow].append(later)
        if first.hop_limit != second.hop_limit:
            (self.at_most if first.hop_limit > second.hop_limit else self.at_least).append(later)

    def ahead_ns(self) -> int | None:
        """How far the second clock is ahead of the first; None if they may be the same."""
        least = [median_low(self.at_least)] if self.at_least else []
        most = [median_low(self.at_most)] if self.at_most else []
        for (source, destination), there in self.by_flow.items():
            back = self.by_flow.get((destination, source))
            if back is not None:
                ends = median_low(there), median_low(back)
                least.append(min(ends))
                most.append(max(ends))
        bounds = [*([max(least)] if least else []), *([min(most)] if most else [])]
        differs = (least and max(least) > SHIFT_NS) or (most and min(most) < -SHIFT_NS)
        return sum(bounds) // len(bounds) if differs else None


class Clocks:
    """Takes control packets as interfaces saw them; remembers the first so many, and counts sightings of others, `left_out`."""

    def __init__(self) -> None:
        self._sent: dict[int, _Sent] = {}
        self.left_out = 0

    def see(self, interface: str, t_ns: int, packet: Packet, data: bytes) -> None:
        """An interface saw a packet, which is in the octets of a frame."""
        before, after = _CHECKSUM.get(packet.protocol, (0, 0))
        begin, flow = packet.begin, (packet.source, packet.destination)
        key = hash((packet.protocol, flow, data[begin : begin + before], data[begin + after : packet.end]))
        sent = self._sent.get(key)
        if sent is None:
            if len(self._sent) >= _PACKETS_MAX:
                self.left_out += 1
                return
            sent = self._sent[key] = _Sent(flow)
        sent.add(_Sighting(interface, t_ns, packet.hop_limit))

    def shifts(self) -> dict[str, int]:
        """How far the clocks of interfaces are ahead of the others', in ns, of those that are shifted by `SHIFT_NS` or more."""
        differences = self._differences()
        shifted: list[str] = []
        while True:
            open_ = {name: len(others.keys() - shifted) for name, others in differences.items() if name not in shifted}
            most = max(open_.values(), default=0)
            if not most:
                break
            # Where nothing tells which of them it is, all are doubtful.
            shifted += sorted(name for name, count in open_.items() if count == most)
        found = {}
        for name in shifted:
            others = differences[name]
            right = [ahead for other, ahead in others.items() if other not in shifted]
            found[name] = median_low(right or others.values())
        return found

    def _differences(self) -> dict[str, dict[str, int]]:
        """By interface, from which others its clock differs for certain, and how far it is ahead of them."""
        pairs: dict[tuple[str, str], _Pair] = defaultdict(_Pair)
        for sent in self._sent.values():
            for first, second in sent.pairs():
                pairs[first.interface, second.interface].add(sent.flow, first, second)
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for (first_name, second_name), pair in pairs.items():
            ahead = pair.ahead_ns()
            if ahead is not None:
                found[second_name][first_name] = ahead
                found[first_name][second_name] = -ahead
        return found
