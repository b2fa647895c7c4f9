"""A stream of which every packet was kept, as it was seen at each interface."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from captures.wire.rtp import KeptStream, Streams


@dataclass(slots=True)
class Flow:
    """The data packets that were kept (UDP to a group and port, RTP version 2) at one interface, in order of time."""

    number: array[int] = field(default_factory=lambda: array("Q"))
    t_ns: array[int] = field(default_factory=lambda: array("Q"))
    sequence: array[int] = field(default_factory=lambda: array("H"))
    sources: set[int] = field(default_factory=set)

    def span(self, begin_ns: int, end_ns: int) -> range:
        """Indexes of the packets with ``begin_ns <= time <= end_ns``."""
        return range(bisect_left(self.t_ns, begin_ns), bisect_right(self.t_ns, end_ns))

    def add(self, stream: KeptStream) -> None:
        """Take a stream's packets in."""
        self.number.extend(stream.numbers)
        self.t_ns.extend(stream.times)
        self.sequence.extend(stream.sequences)
        self.sources.add(stream.key.ssrc)

    def sort(self) -> None:
        """Put packets that were captured out of order of time into it."""
        if all(a <= b for a, b in zip(self.t_ns, self.t_ns[1:], strict=False)):
            return
        order = sorted(range(len(self.t_ns)), key=self.t_ns.__getitem__)
        self.number = array("Q", [self.number[i] for i in order])
        self.t_ns = array("Q", [self.t_ns[i] for i in order])
        self.sequence = array("H", [self.sequence[i] for i in order])


NO_DATA = Flow()
"""Of an interface where none were seen."""


def flows_of(streams: Streams, places: Mapping[str, str], channel: tuple[bytes, int] | None = None) -> dict[str, Flow]:
    """What was kept, by interface; what was seen at one of `places` counts as seen where that says.

    `channel`: only what was sent to this group, packed, and port.
    """
    found: dict[str, Flow] = {}
    for stream in streams.kept():
        octets = stream.key.flow
        to = octets[(len(octets) - 4) // 2 : -4], int.from_bytes(octets[-2:])
        if channel not in (None, to):
            continue
        found.setdefault(places.get(stream.key.interface, stream.key.interface), Flow()).add(stream)
    for flow in found.values():
        flow.sort()
    return found


def without_vlans(name: str, interfaces: Container[str]) -> str:
    """The interface that a capture calls ``name.id`` for each VLAN."""
    while name not in interfaces and "." in name:
        name = name.rpartition(".")[0]
    return name
