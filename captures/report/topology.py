"""Where each node of a lab stands in its drawing: routers by their distance from the first, cells with what is in them.

A plan is made from the ``model.json`` of a run's folder and does not change from handover to handover; only the mobile
nodes have several places, one in each cell and one between any two. Lengths are in the drawing's own units, pixels at
its natural size, x to the right and y downwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

NODE_HEIGHT = 42.0
NODE_WIDTH_MIN = 76.0
CELL_HEAD_HEIGHT = 30.0
COLUMN_GAP = 12.0
ROW_GAP = 38.0
CELL_PADDING = 10.0
LANE = 26.0  # beside a cell's hosts, for the line to a mobile node below them
MARGIN = 8.0
CROWD = 6
"""More mobile nodes than these have no row each: one row is for whichever a drawing is about."""
NAME_MAX = 12  # characters of a name that are drawn; the whole name is in the title
_CHARACTER_WIDTH = 8.8  # of the widest usual sans-serif at 14 px


@dataclass(frozen=True, slots=True)
class Box:
    """A node or cell as drawn: a rectangle by its centre; a cell's line to it comes down at `anchor`, else at `x`.

    `label` is what is written in it; unless given its name.
    """

    name: str
    x: float
    y: float
    width: float
    height: float
    anchor: float | None = None
    label: str = ""

    @property
    def shown(self) -> str:
        """What is written in it: the name is cut where it would not fit."""
        if self.label:
            return self.label
        return self.name if len(self.name) <= NAME_MAX else f"{self.name[: NAME_MAX - 1]}…"


@dataclass(frozen=True, slots=True)
class Wire:
    """A link between two drawn things; `interfaces` are the names its ends have in captures, ``node:interface``."""

    first: str
    second: str
    interfaces: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The drawing without what moves. `cells` are areas, `heads` bars on top of them, `routers` names of routers.

    `radios` maps each mobile node to its interfaces, each with the cells it has an address in.
    """

    width: float
    height: float
    nodes: tuple[Box, ...]
    cells: tuple[Box, ...]
    heads: tuple[Box, ...]
    wires: tuple[Wire, ...]
    routers: frozenset[str]
    radios: Mapping[str, tuple[tuple[str, frozenset[str]], ...]]
    begin: Mapping[str, str | None]
    crowded: bool
    """Whether there are so many mobile nodes that they share one row."""
    _places: Mapping[str, float]
    """Height at which each mobile node's row is."""
    _node_width: float

    def mobile_node(self, name: str, cells: tuple[str, ...]) -> Box:
        """A mobile node in one cell, or halfway between the first and the last of several."""
        areas = [cell for cell in self.cells if cell.name in cells]
        rows = [] if self.crowded else list(self._places)
        below = len(rows) - 1 - rows.index(name) if rows else 0
        if len(areas) == 1:
            # Each line comes down right of the mobile nodes above.
            right = areas[0].x + areas[0].width / 2 - CELL_PADDING - LANE * below
            x, anchor = right - self._node_width / 2, right - LANE / 2
        else:
            beside = sorted(areas or self.cells, key=lambda cell: cell.x) or [Box("", 0.0, 0.0, self.width, 0.0)]
            x = (beside[0].x + beside[0].width / 2 + beside[-1].x - beside[-1].width / 2) / 2
            anchor = None
        return Box(name, x, self._places[name], self._node_width, NODE_HEIGHT, anchor)

    def radio_of(self, node: str, cell: str) -> str | None:
        """The capture's name of the interface with which a mobile node is in the cell."""
        return next((name for name, cells in self.radios.get(node, ()) if cell in cells), None)


@dataclass(slots=True)
class _Graph:
    """The model, by name."""

    routers: list[str]
    hosts: list[str]
    cells: list[str]
    wires: list[Wire] = field(default_factory=list)

    def neighbours(self, name: str) -> Iterator[str]:
        for wire in self.wires:
            if name in (wire.first, wire.second):
                yield wire.second if wire.first == name else wire.first


def make_plan(model: Mapping[str, Any]) -> Plan:
    """Place everything in a model. Raises AttributeError, KeyError or TypeError for one of another form."""
    mobile = _radios(model)
    graph = _graph(model, set(mobile))
    root = _root(model, graph)
    names = [*graph.routers, *graph.hosts, *graph.cells, *mobile]
    width = max(NODE_WIDTH_MIN, *(min(len(name), NAME_MAX) * _CHARACTER_WIDTH + 18 for name in names), 0.0)
    placing = _Placing(graph, mobile, width)
    placing.place(root)
    return placing.plan({str(r["node"]): r["initially"] for r in reversed(model["radios"])})


def _radios(model: Mapping[str, Any]) -> dict[str, tuple[tuple[str, frozenset[str]], ...]]:
    found: dict[str, tuple[tuple[str, frozenset[str]], ...]] = {}
    for radio in model["radios"]:
        name = str(radio["node"])
        interface = f"{name}:{radio['interface']}"
        found[name] = (*found.get(name, ()), (interface, frozenset(str(cell) for cell, _ in radio["addresses"])))
    return found


def _graph(model: Mapping[str, Any], mobile: set[str]) -> _Graph:
    nodes = [(str(node["name"]), node["kind"]) for node in model["nodes"]]
    graph = _Graph(
        routers=[name for name, kind in nodes if kind == "router"],
        hosts=[name for name, kind in nodes if kind != "router" and name not in mobile],
        cells=[str(cell["name"]) for cell in model["points_of_attachment"]],
    )
    for link in model["links"]:
        ends = link["first"], link["second"]
        interfaces = tuple(f"{end['node']}:{end['interface']}" for end in ends)
        graph.wires.append(Wire(str(ends[0]["node"]), str(ends[1]["node"]), interfaces))
    for attachment in model["attachments"]:
        end = attachment["end"]
        cell = str(attachment["point_of_attachment"])
        graph.wires.append(Wire(str(end["node"]), cell, (f"{end['node']}:{end['interface']}",)))
    return graph


def _root(model: Mapping[str, Any], graph: _Graph) -> str | None:
    """The router that is the rendezvous point; else the first; of a lab without any its first node."""
    wanted = {model.get("rendezvous_point")}
    wanted |= {
        value for settings in model.get("settings", {}).values() for value in settings.values()
    }  # before schema 2
    ends = [end for link in model["links"] for end in (link["first"], link["second"])]
    ends += [attachment["end"] for attachment in model["attachments"]]
    owner = next((str(e["node"]) for e in ends if str(e["address"]).partition("/")[0] in wanted), None)
    return owner if owner in graph.routers else next(iter([*graph.routers, *graph.cells, *graph.hosts]), None)


class _Placing:
    """Puts a tree's leaves side by side and each parent above the middle of its children."""

    def __init__(self, graph: _Graph, mobile: Mapping[str, Any], node_width: float) -> None:
        self._graph = graph
        self._mobile = mobile
        self._crowded = len(mobile) > CROWD
        self._rows = min(len(mobile), 1) if self._crowded else len(mobile)
        self._width = node_width
        self._at: dict[str, tuple[float, int]] = {}  # x and row
        self._area: dict[str, float] = {}  # width of a cell's area
        self._members: dict[str, list[str]] = {}
        self._right = 0.0

    def place(self, root: str | None) -> None:
        """Everything that can be reached from the root, then what cannot, each part beside the last."""
        graph = self._graph
        everything = [*graph.routers, *graph.cells, *graph.hosts]
        placed: set[str] = set()
        for start in ([root] if root is not None else []) + everything:
            if start in placed:
                continue
            children = self._tree(start, placed)
            above = [child for child in children[start] if child in graph.hosts] if start in graph.routers else []
            below = [child for child in children[start] if child not in above]
            left = self._right
            self._subtree(start, {**children, start: below}, 1)
            self._row_above(start, above, left)

    def _tree(self, start: str, placed: set[str]) -> dict[str, list[str]]:
        """Children of everything that is newly reached, in order of distance."""
        children: dict[str, list[str]] = {}
        queue = [start]
        placed.add(start)
        for name in queue:
            children[name] = []
            for other in self._graph.neighbours(name):
                if other not in placed:
                    placed.add(other)
                    children[name].append(other)
                    queue.append(other)
        return children

    def _subtree(self, name: str, children: dict[str, list[str]], row: int) -> None:
        if name in self._graph.cells:
            self._cell(name, children, row)
            return
        left = self._right
        for child in children[name]:
            self._subtree(child, children, row + 1)
        if children[name]:
            at = [self._at[child][0] for child in children[name]]
            x = (at[0] + at[-1]) / 2
        else:
            x = left + self._width / 2
            self._right = left + self._width + COLUMN_GAP
        self._at[name] = (x, row)

    def _cell(self, name: str, children: dict[str, list[str]], row: int) -> None:
        """A cell with its hosts side by side below its head; a router behind the cell is a row further down."""
        left = self._right
        inside = [child for child in children[name] if child in self._graph.hosts]
        self._members[name] = inside
        columns = max(1, len(inside))
        width = columns * self._width + (columns - 1) * COLUMN_GAP + LANE * self._rows + 2 * CELL_PADDING
        self._area[name] = width
        self._at[name] = (left + width / 2, row)
        for number, host in enumerate(inside):
            x = left + CELL_PADDING + self._width / 2 + number * (self._width + COLUMN_GAP)
            self._at[host] = (x, row + 1)
        # Room for a mobile node between two cells.
        between = self._width + 2 * COLUMN_GAP if self._mobile and not self._crowded else 2 * COLUMN_GAP
        self._right = left + width + between
        for child in children[name]:
            if child not in inside:
                self._subtree(child, children, row + 2 + self._rows)

    def _row_above(self, root: str, hosts: list[str], left: float) -> None:
        """Hosts of the first router, above it."""
        pitch = self._width + COLUMN_GAP
        first = self._at[root][0] - pitch * (len(hosts) - 1) / 2
        # Hosts must not reach into a part that was placed to the left.
        shift = max(0.0, left + self._width / 2 - first) if left else 0.0
        for number, host in enumerate(hosts):
            x = first + shift + pitch * number
            self._at[host] = (x, 0)
            self._right = max(self._right, x + self._width / 2 + COLUMN_GAP)

    def plan(self, begin: Mapping[str, str | None]) -> Plan:
        """Turn columns and rows into a drawing."""
        half = self._width / 2
        lows = [x - self._area.get(name, 2 * half) / 2 for name, (x, _) in self._at.items()]
        highs = [x + self._area.get(name, 2 * half) / 2 for name, (x, _) in self._at.items()]
        left, right = min(lows, default=0.0), max(highs, default=self._width)
        top = min((row for _, row in self._at.values()), default=0)

        def x_of(name: str) -> float:
            return self._at[name][0] - left + MARGIN

        def y_of(row: float) -> float:
            return MARGIN + NODE_HEIGHT / 2 + (row - top) * (NODE_HEIGHT + ROW_GAP)

        cell_row = max((self._at[cell][1] for cell in self._graph.cells), default=0)
        places = {
            name: y_of(cell_row + 2 + (0 if self._crowded else number)) for number, name in enumerate(self._mobile)
        }
        heads = [
            Box(cell, x_of(cell), y_of(self._at[cell][1]), self._area[cell] - 2 * CELL_PADDING, CELL_HEAD_HEIGHT)
            for cell in self._graph.cells
        ]
        bottom = max(places.values(), default=0.0) or y_of(cell_row + 1)
        areas = []
        for head in heads:
            above = head.y - head.height / 2 - CELL_PADDING
            below = bottom + NODE_HEIGHT / 2 + CELL_PADDING
            areas.append(Box(head.name, head.x, (above + below) / 2, self._area[head.name], below - above))
        nodes = [
            Box(name, x_of(name), y_of(row), self._width, NODE_HEIGHT)
            for name, (_, row) in self._at.items()
            if name not in self._graph.cells
        ]
        lowest = max((box.y + box.height / 2 for box in (*nodes, *areas)), default=0.0)
        return Plan(
            width=right - left + 2 * MARGIN,
            height=lowest + MARGIN,
            nodes=tuple(nodes),
            cells=tuple(areas),
            heads=tuple(heads),
            wires=tuple(self._graph.wires),
            routers=frozenset(self._graph.routers),
            radios=dict(self._mobile),
            begin=begin,
            crowded=self._crowded,
            _places=places,
            _node_width=self._width,
        )
