"""Which links carry the multicast stream at some time, from the data packets seen at each captured interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from captures.additions import View
from captures.report.seen import Seen
from captures.report.topology import Box, Plan, Wire

Carrying = Literal["path", "carries", "idle"]

SHARE_THAT_CARRIES = 0.5
"""A link carries the stream where at least this share was seen of what was seen where most of it passed."""

_ARROW_LENGTH, _ARROW_HALF_WIDTH = 11.0, 5.0
_CORNER = 12.0  # no line ends nearer to a corner of a box


@dataclass(frozen=True, slots=True)
class Line:
    """A link as drawn: between the borders of two boxes, with an arrow in the direction of the stream if it carries it."""

    x1: float
    y1: float
    x2: float
    y2: float
    carrying: Carrying
    arrow: str
    title: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """One drawing of the lab: what was where in a window of time, and how the stream went."""

    name: str
    when: str
    mobile_nodes: tuple[Box, ...]
    lines: tuple[Line, ...]
    path: frozenset[str]
    """The mobile node and what its data passes."""
    carrying: frozenset[str]
    """What the stream passes: nodes and cells."""
    sentence: str


def make_scene(
    seen: Seen, plan: Plan, view: View, mobile_node: str, *, where: Mapping[str, str | None], source: str | None
) -> Scene:
    """Draw the lab in a view that is about one mobile node; `where` says in which cell every other one is."""
    cells = view.cells or tuple(cell for cell in (where.get(mobile_node),) if cell is not None)
    boxes = {box.name: box for box in (*plan.nodes, *plan.heads)}
    mobile = [plan.mobile_node(mobile_node, cells)] if mobile_node in plan.radios else []
    wires = [*plan.wires]
    attached = [(cell, mobile_node) for cell in cells if view.linked and mobile]
    for other, cell in where.items():
        if other != mobile_node and other in plan.radios and not plan.crowded:
            mobile.append(plan.mobile_node(other, () if cell is None else (cell,)))
            attached += [] if cell is None else [(cell, other)]
    # What a capture says need not fit the model.
    wires += [Wire(cell, node, (plan.radio_of(node, cell) or "",)) for cell, node in attached if cell in boxes]
    boxes |= {box.name: box for box in mobile}
    counts = _counts(seen, wires, view.begin_ns, view.end_ns)
    radios = set(plan.radios)
    # A node with two links is sent everything twice.
    most = max(
        (count for wire, count in counts.items() if wire.second not in radios), default=max(counts.values(), default=0)
    )
    carries = {wire for wire, count in counts.items() if most and count >= SHARE_THAT_CARRIES * most}
    order = _order(carries, source)
    # Where nothing was captured the stream may have passed.
    paths = _paths(carries, carries | {wire for wire in wires if wire not in counts}, source, mobile_node)
    on_path = {step for path in paths for step in pairwise(path)}
    lines = []
    for wire in wires:
        first, second = wire.first, wire.second
        if (second, first) in on_path or order.get(first, 0) > order.get(second, 0):
            first, second = second, first
        kind: Carrying = "idle"
        if (first, second) in on_path:
            kind = "path"
        elif wire in carries:
            kind = "carries"
        ends = line_ends(boxes[first], boxes[second], {head.name for head in plan.heads})
        arrow = "" if kind == "idle" else arrow_head(*ends)
        lines.append(Line(*ends, kind, arrow, _title(wire, counts.get(wire))))
    return Scene(
        name=view.name,
        when=f"{(view.end_ns - view.begin_ns) / 1e6:.0f} ms",
        mobile_nodes=tuple(mobile),
        lines=tuple(sorted(lines, key=lambda line: ("idle", "carries", "path").index(line.carrying))),
        path=frozenset(name for path in paths for name in path),
        carrying=frozenset(order),
        sentence=_sentence(paths, mobile_node, plan, order),
    )


def _counts(seen: Seen, wires: Sequence[Wire], begin_ns: int, end_ns: int) -> dict[Wire, int]:
    """Data packets of the window by link, for links of which an end was captured."""
    found: dict[Wire, int] = {}
    for wire in wires:
        captured = [name for name in wire.interfaces if name in seen.interfaces]
        if captured:
            found[wire] = max(seen.count(name, begin_ns, end_ns) for name in captured)
    return found


def _order(carries: set[Wire], source: str | None) -> dict[str, int]:
    """What the stream reaches, by the number of links from its source; all ends of carrying links without a source."""
    if source is None or not any(source in (wire.first, wire.second) for wire in carries):
        return {name: 0 for wire in carries for name in (wire.first, wire.second)}
    order = {source: 0}
    queue = [source]
    for name in queue:
        for wire in carries:
            if name in (wire.first, wire.second):
                other = wire.second if wire.first == name else wire.first
                if other not in order:
                    order[other] = order[name] + 1
                    queue.append(other)
    # What carries the stream without being reached from the source is no less a fact.
    return order | {name: 0 for wire in carries for name in (wire.first, wire.second) if name not in order}


def _paths(carries: set[Wire], passable: set[Wire], source: str | None, target: str) -> list[list[str]]:
    """The ways from the source to the target, one for each of the target's links that carries the stream."""
    if source is None:
        return []
    last = sorted(
        wire.first if wire.second == target else wire.second for wire in carries if target in (wire.first, wire.second)
    )
    others = {wire for wire in passable if target not in (wire.first, wire.second)}
    ways = (_path(others, source, end) for end in last)
    return [[*way, target] for way in ways if way]


def _path(carries: set[Wire], source: str, target: str) -> list[str]:
    """The shortest way between two nodes; empty if there is none."""
    came_from: dict[str, str | None] = {source: None}
    queue = [source]
    for name in queue:
        for wire in sorted(carries, key=lambda wire: (wire.first, wire.second)):
            if name in (wire.first, wire.second):
                other = wire.second if wire.first == name else wire.first
                if other not in came_from:
                    came_from[other] = name
                    queue.append(other)
    if target not in came_from:
        return []
    path: list[str] = []
    at: str | None = target
    while at is not None:
        path.append(at)
        at = came_from[at]
    return path[::-1]


def _title(wire: Wire, count: int | None) -> str:
    ends = f"{wire.first} \N{EN DASH} {wire.second}"
    return f"{ends}: not captured" if count is None else f"{ends}: {count} data packets"


def _sentence(paths: Sequence[Sequence[str]], target: str, plan: Plan, order: Mapping[str, int]) -> str:
    passed = {name for path in paths for name in path}
    elsewhere = " and ".join(head.name for head in plan.heads if head.name in order and head.name not in passed)
    if paths:
        ways = " and ".join(" → ".join(path) for path in paths)
        return f"{ways}; also in {elsewhere}" if elsewhere else ways
    return f"no stream at {target}; it is in {elsewhere}" if elsewhere else f"no stream at {target}, nor in any cell"


def line_ends(first: Box, second: Box, heads: set[str]) -> tuple[float, float, float, float]:
    """Where a line between two boxes begins and ends: straight up or down at a cell's head, else between the middles."""
    if first.name in heads and second.name not in heads:
        return (*_at_head(first, second), *_at_node(second, first))
    if second.name in heads and first.name not in heads:
        return (*_at_node(first, second), *_at_head(second, first))
    return (*_border(first, second), *_border(second, first))


def _at_head(head: Box, node: Box) -> tuple[float, float]:
    left, right = head.x - head.width / 2, head.x + head.width / 2
    wanted = node.x if node.anchor is None else node.anchor
    return min(max(wanted, left + _CORNER), right - _CORNER), head.y + head.height / 2 * (1 if node.y > head.y else -1)


def _at_node(node: Box, head: Box) -> tuple[float, float]:
    at_head, _ = _at_head(head, node)
    left, right = node.x - node.width / 2, node.x + node.width / 2
    return min(max(at_head, left + _CORNER), right - _CORNER), node.y + node.height / 2 * (1 if head.y > node.y else -1)


def _border(box: Box, towards: Box) -> tuple[float, float]:
    """Where the line from the centre of a box to another's leaves it."""
    dx, dy = towards.x - box.x, towards.y - box.y
    scale = min(
        box.width / 2 / abs(dx) if dx else float("inf"),
        box.height / 2 / abs(dy) if dy else float("inf"),
        1.0,
    )
    return box.x + dx * scale, box.y + dy * scale


def arrow_head(x1: float, y1: float, x2: float, y2: float) -> str:
    """Points of an arrow head at the end of a line."""
    length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
    if not length:
        return ""
    ux, uy = (x2 - x1) / length, (y2 - y1) / length
    bx, by = x2 - ux * _ARROW_LENGTH, y2 - uy * _ARROW_LENGTH
    wx, wy = -uy * _ARROW_HALF_WIDTH, ux * _ARROW_HALF_WIDTH
    return f"{x2:.1f},{y2:.1f} {bx + wx:.1f},{by + wy:.1f} {bx - wx:.1f},{by - wy:.1f}"
