"""A walk over a lab's network, breadth first: who is reached from a node, over which subnets, and from whom."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from typing import NamedTuple

from testbed.net.model import End, Subnet


class Hop(NamedTuple):
    """How a node was reached: from the node of ``own`` to that of ``other``, both on ``subnet``."""

    subnet: Subnet
    own: End
    other: End


def walk(start: str, subnets: Sequence[Subnet], routers: Collection[str]) -> dict[str, Hop]:
    """The last hop to every node that is reached, the nearest first, without ``start``; only it and routers pass packets on."""
    ends: dict[str, list[tuple[Subnet, End]]] = {}
    for subnet in subnets:
        for end in subnet.ends:
            ends.setdefault(end.node, []).append((subnet, end))
    found: dict[str, Hop] = {}
    waiting = deque([start])
    while waiting:
        for subnet, own in ends.get(waiting.popleft(), ()):
            for other in subnet.ends:
                if other.node != start and other.node not in found:
                    found[other.node] = Hop(subnet, own, other)
                    waiting += [other.node] if other.node in routers else []
    return found
