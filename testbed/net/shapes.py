"""Networks of a shape: a line, a ring, a grid, a tree or a campus of routers, with cells, and hosts as many as are wanted.

A `Shape` grows: whoever makes a lab of it adds hosts, what stays in cells, and mobile nodes, and takes the model at the end.
Addresses come from one plan, in which nothing overlaps and nothing runs out before the names do:

| | IPv4 | IPv6 |
|---|---|---|
| the n-th link | 10.0.0.0/9 in /30, from the second on | 2001:db8:0:n::/64 |
| the n-th cell | 10.128.0.0/9 in /20 | 2001:db8:1:n::/64 |

In a cell the router has number 1, what stays there 2 to 255, and mobile nodes the same number from 256 on in every cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from math import ceil, sqrt
from typing import Any

from testbed.net.model import (
    PERFECT,
    Attachment,
    End,
    Family,
    Lab,
    Link,
    ModelError,
    Node,
    PointOfAttachment,
    Quality,
    Radio,
    Stream,
)

SPACING_M = 50.0
"""From one cell's antenna to the next."""

RESIDENTS_MAX, MOBILES_MAX = 254, 999
LINKS_MAX, CELLS_MAX = 60_000, 2000

_LINKS, _CELLS = IPv4Address("10.0.0.0"), IPv4Address("10.128.0.0")
_LINKS_IPV6, _CELLS_IPV6 = IPv6Address("2001:db8::"), IPv6Address("2001:db8:1::")
_FIRST_MOBILE = 256


@dataclass(slots=True)
class Shape:
    """A network that grows. ``daemon``: what routes multicast on its routers. The first router is the ``root``."""

    family: Family
    daemon: str = "frr"
    routers: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    mobiles: list[str] = field(default_factory=list)
    _nodes: list[Node] = field(default_factory=list)
    _points: list[PointOfAttachment] = field(default_factory=list)
    _links: list[Link] = field(default_factory=list)
    _attachments: list[Attachment] = field(default_factory=list)
    _starts: list[str] = field(default_factory=list)
    _residents: dict[str, int] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """Where streams come from: the first router. Raises ModelError where there is none."""
        if not self.routers:
            raise ModelError("no router", "shape", "add one first")
        return self.routers[0]

    # --- growing

    def router(self, name: str) -> str:
        """Add a router, which must be connected to the others."""
        self._nodes.append(Node(name, "router", self.daemon))
        self.routers.append(name)
        return name

    def connect(self, first: str, second: str, forward: Quality = PERFECT, backward: Quality | None = None) -> None:
        """Join two nodes by a link; ``backward`` is as ``forward`` unless given."""
        number = len(self._links) + 1
        if number > LINKS_MAX:
            raise ModelError(f"more than {LINKS_MAX} links", f"link {first}-{second}", "make a smaller network")
        one = End(first, f"{first}-{second}", self._at_link(number, 1))
        other = End(second, f"{second}-{first}", self._at_link(number, 2))
        self._links.append(Link(one, other, forward, forward if backward is None else backward))

    def host(self, name: str, router: str) -> str:
        """Add a host behind a router, on a link of its own."""
        self._nodes.append(Node(name))
        self.connect(name, router)
        return name

    def cell(self, name: str, router: str, position: tuple[float, float] | None = None) -> str:
        """Add a cell of a router."""
        if len(self.cells) == CELLS_MAX:
            raise ModelError(f"more than {CELLS_MAX} cells", f"cell {name}", "make a smaller network")
        self._points.append(PointOfAttachment(name, position=position))
        self.cells.append(name)
        self._attach(router, name, 1)
        self._residents[name] = 1
        return name

    def resident(self, name: str, cell: str) -> str:
        """Add a host that stays in a cell."""
        number = self._residents[cell] = self._residents[cell] + 1
        if number > RESIDENTS_MAX:
            raise ModelError(f"more than {RESIDENTS_MAX - 1} hosts stay in it", f"cell {cell}", "put some elsewhere")
        self._nodes.append(Node(name))
        self._attach(name, cell, number)
        return name

    def mobile(self, name: str, start: str) -> str:
        """Add a mobile node, which has an address in every cell and is in ``start`` at first."""
        if len(self.mobiles) == MOBILES_MAX:
            raise ModelError(f"more than {MOBILES_MAX} mobile nodes", f"node {name}", "make a smaller lab")
        self._nodes.append(Node(name))
        self.mobiles.append(name)
        self._starts.append(start)
        return name

    def lab(self, name: str, streams: Sequence[Stream], **rest: Any) -> Lab:
        """The model. ``rest``: what else a lab has, such as ``unicast``; the root is the rendezvous point unless it says so."""
        radios = tuple(
            Radio(
                mobile,
                f"{mobile}-radio",
                tuple((cell, self._in_cell(cell, _FIRST_MOBILE + number)) for cell in self.cells),
                initially=start,
            )
            for number, (mobile, start) in enumerate(zip(self.mobiles, self._starts, strict=True))
        )
        made = Lab(
            name,
            self.family,
            tuple(self._nodes),
            tuple(self._points),
            tuple(self._links),
            tuple(self._attachments),
            radios,
            streams=tuple(streams),
        )
        return replace(made, **({"rendezvous_point": made.address_of(self.root)} | rest))

    # --- addresses

    def _attach(self, node: str, cell: str, number: int) -> None:
        self._attachments.append(Attachment(End(node, f"{node}-{cell}", self._in_cell(cell, number)), cell))

    def _at_link(self, number: int, host: int) -> str:
        if self.family == 4:
            return f"{_LINKS + 4 * number + host}/30"
        return f"{_LINKS_IPV6 + (number << 64) + host}/64"

    def _in_cell(self, cell: str, host: int) -> str:
        number = self.cells.index(cell)
        if self.family == 4:
            return f"{_CELLS + (number << 12) + host}/20"
        return f"{_CELLS_IPV6 + (number + 1 << 64) + host}/64"


# --- shapes


def line(family: Family, cells: int, link: Quality = PERFECT) -> Shape:
    """Routers r1 to rN in a row, with a cell each: poa1 to poaN, 50 m apart. ``link``: between the routers."""
    shape = Shape(family)
    for number in range(1, _at_least(cells, 1, "cells") + 1):
        shape.router(f"r{number}")
        if number > 1:
            shape.connect(f"r{number - 1}", f"r{number}", link)
        shape.cell(f"poa{number}", f"r{number}", (SPACING_M * (number - 1), 0.0))
    return shape


def ring(family: Family, cells: int, link: Quality = PERFECT) -> Shape:
    """As a line, with the last router joined to the first; three cells at least."""
    shape = line(family, _at_least(cells, 3, "cells"), link)
    shape.connect(shape.routers[-1], shape.root, link)
    return shape


def grid(family: Family, rows: int, columns: int, link: Quality = PERFECT) -> Shape:
    """Routers in rows and columns, r1 to rN row by row, each joined to those beside it, with a cell each."""
    shape = Shape(family)
    _at_least(rows, 1, "rows")
    for number in range(1, rows * _at_least(columns, 1, "columns") + 1):
        row, column = divmod(number - 1, columns)
        shape.router(f"r{number}")
        if column:
            shape.connect(f"r{number - 1}", f"r{number}", link)
        if row:
            shape.connect(f"r{number - columns}", f"r{number}", link)
        shape.cell(f"poa{number}", f"r{number}", (SPACING_M * column, SPACING_M * row))
    return shape


def tree(family: Family, depth: int, branches: int, link: Quality = PERFECT) -> Shape:
    """A root and ``depth`` levels of routers below it, each with so many branches; the lowest have a cell each."""
    shape = Shape(family)
    _at_least(branches, 1, "branches")
    level = [shape.router("r1")]
    for _ in range(_at_least(depth, 0, "depth")):
        below: list[str] = []
        for above in level:
            for _ in range(branches):
                router = shape.router(f"r{len(shape.routers) + 1}")
                shape.connect(above, router, link)
                below.append(router)
        level = below
    for number, router in enumerate(level, 1):
        shape.cell(f"poa{number}", router, (SPACING_M * (number - 1), 0.0))
    return shape


def campus(family: Family, networks: int, cells: int, core: int = 3, link: Quality = PERFECT) -> Shape:
    """A ring of ``core`` routers c1 to cN, ``networks`` access routers ar1 to arN around it, each with so many ``cells``.

    The cells are close to a square, in rows. ``link``: between any two routers.
    """
    shape = Shape(family)
    for number in range(1, _at_least(core, 1, "core routers") + 1):
        shape.router(f"c{number}")
        if number > 1:
            shape.connect(f"c{number - 1}", f"c{number}", link)
    if core > 2:
        shape.connect(f"c{core}", "c1", link)
    width = ceil(sqrt(_at_least(networks, 1, "access networks") * _at_least(cells, 1, "cells in each")))
    for number in range(networks):
        router = shape.router(f"ar{number + 1}")
        shape.connect(f"c{number % core + 1}", router, link)
        for _ in range(cells):
            row, column = divmod(len(shape.cells), width)
            shape.cell(f"poa{len(shape.cells) + 1}", router, (SPACING_M * column, SPACING_M * row))
    return shape


def _at_least(number: int, least: int, what: str) -> int:
    if number < least:
        raise ModelError(f"{number} {what}", "shape", f"give at least {least}")
    return number
