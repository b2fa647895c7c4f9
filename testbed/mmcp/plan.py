"""Who goes where and when: link events of many mobile nodes, and the handovers that they are.

A handover is a link that goes and the next that comes, in another cell. Its window begins a moment before its trigger, or before
its link goes, and ends when the stream has had time to settle, or where the node's next handover begins. A link that is lost and
comes again in the same cell is none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from testbed.radio.link_events import LinkEvent

LEAD_S = 0.3
"""Of undisturbed stream, before a handover's trigger."""


@dataclass(frozen=True, slots=True)
class PlannedHandover:
    """One handover of one node; times in seconds since the movement began. ``told``: what announces it, None if nothing does.

    ``stayed_s``: how long the node has had its link where it goes away from, when that is announced or goes.
    """

    number: int
    node: str
    origin: str
    target: str
    begin_s: float
    told: LinkEvent | None
    down_s: float
    up_s: float
    end_s: float
    stayed_s: float = math.inf

    @property
    def gap_s(self) -> float:
        """Without any link."""
        return self.up_s - self.down_s

    @property
    def overlap_s(self) -> float:
        """From the trigger until the link goes; 0 where nothing announces it."""
        return 0.0 if self.told is None else self.down_s - self.told.at_s


def walks(
    paths: Mapping[str, Sequence[str]],
    *,
    every_s: float,
    first_s: Mapping[str, float],
    gap_s: float,
    overlap_s: float,
) -> list[LinkEvent]:
    """Nodes that go from cell to cell on their paths, and stay ``every_s`` from one trigger to the next.

    ``first_s``: when each node's first trigger is. Each link is told of ``overlap_s`` before it goes.
    """
    found: list[LinkEvent] = []
    for node, path in paths.items():
        found.append(LinkEvent(0.0, node, "link_up", path[0]))
        for number, (here, there) in enumerate(pairwise(path)):
            at_s = first_s[node] + number * every_s
            down_s = at_s + overlap_s
            found += [
                LinkEvent(at_s, node, "link_going_down", here, in_s=overlap_s, next_cell=there),
                LinkEvent(down_s, node, "link_down", here),
                LinkEvent(down_s + gap_s, node, "link_up", there),
            ]
    return sorted(found, key=lambda event: event.at_s)


def completed(events: Sequence[LinkEvent]) -> list[LinkEvent]:
    """The events without what is not over when the movement ends: a link that goes, or is to go, and none that comes after it."""
    last_s = {event.node: event.at_s for event in events if event.kind == "link_up"}
    over = ("link_going_down", "link_down")
    return [event for event in events if event.kind not in over or event.at_s <= last_s.get(event.node, 0.0)]


def handovers_of(events: Sequence[LinkEvent], settle_s: float, after: int = 0) -> list[PlannedHandover]:
    """The handovers of nodes with one radio, in the order in which they begin, numbered on from ``after``.

    ``settle_s``: from the link up until a handover's end.
    """
    found: list[PlannedHandover] = []
    for node in dict.fromkeys(event.node for event in events):
        mine = [event for event in events if event.node == node]
        found += _with_ends(_of_one(mine), settle_s)
    found.sort(key=lambda handover: (handover.begin_s, handover.node))
    return [replace(handover, number=number) for number, handover in enumerate(found, after + 1)]


def _of_one(events: Sequence[LinkEvent]) -> list[PlannedHandover]:
    found: list[PlannedHandover] = []
    told: LinkEvent | None = None
    down: LinkEvent | None = None
    came_s = -math.inf
    for event in events:
        match event.kind:
            case "link_going_down":
                told = event
            case "link_down":
                down = event
            case "link_up":
                if down is not None and down.cell != event.cell:
                    first_s = (down if told is None else told).at_s
                    times = (max(first_s - LEAD_S, 0.0), told, down.at_s, event.at_s, event.at_s)
                    stayed_s = first_s - came_s
                    found.append(PlannedHandover(0, event.node, down.cell, event.cell, *times, stayed_s))
                if event.at_s > 0:
                    came_s = event.at_s
                told = down = None
            case _:
                pass
    return found


def _with_ends(handovers: Sequence[PlannedHandover], settle_s: float) -> list[PlannedHandover]:
    """One node's, each ended before the next begins; where that would be before the node is there, the next begins later."""
    found: list[PlannedHandover] = []
    after_s = 0.0
    for handover, following in zip(handovers, [*handovers, None][1:], strict=True):
        end_s = handover.up_s + settle_s
        if following is not None:
            earliest = following.down_s if following.told is None else following.told.at_s
            end_s = max(min(end_s, following.begin_s), min(handover.up_s, earliest))
        found.append(replace(handover, begin_s=max(handover.begin_s, after_s), end_s=end_s))
        after_s = end_s
    return found
