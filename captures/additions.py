"""What a protocol's room adds to a page: parts that a run falls into, tables and key figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

BAR_WIDTH = 120.0  # px, of the longest bar of a column
BAR_PARTS = ("gap", "excess", "link", "address", "join", "tree", "other")
"""What a length of a bar can be; each has its colour."""

Kind = Literal["text", "ms", "weighty ms", "count", "bar", "verdict"]


PLAIN_KINDS = ("link", "stream", "step")


class Moment(NamedTuple):
    """What is marked in a drawing; `kind` is a protocol's name, or one of `PLAIN_KINDS`."""

    t_ns: int
    text: str
    kind: str


@dataclass(frozen=True, slots=True)
class View:
    """A drawing of the network over a time: the node is in `cells`, with a link to each if `linked`, else between them.

    No cells: where it was before.
    """

    name: str
    begin_ns: int
    end_ns: int
    cells: tuple[str, ...] = ()
    linked: bool = True


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time around a moment, `zero_ns`, which `zero` names: a chart of the data packets at a node, and views.

    `label`: what the node goes by; `node` is its name in the network. `interfaces`: where its packets were captured, of several
    the first is what they go by. `no_link`: when it had no link.
    """

    node: str
    label: str
    interfaces: tuple[str, ...]
    begin_ns: int
    zero_ns: int
    end_ns: int
    zero: str
    moments: tuple[Moment, ...]
    views: tuple[View, ...]
    no_link: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the run, which goes until the next one begins; `short` is its name where there is little room.

    `subject`: what verdicts about it have as theirs. `moved_to`: the cell in which the stretch's node is from then on.
    """

    anchor: str
    short: str
    title: str
    begin_ns: int
    stretch: Stretch | None = None
    subject: str = ""
    moved_to: str | None = None


Bar = tuple[float, ...]
"""Lengths drawn one after the other, in the figures' own unit."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. Cells are texts, of "ms" and "count" numbers or None, of "bar" `Bar`, of "verdict" text and kind.

    `parts`: what the lengths of bars are, of `BAR_PARTS`; a `legend` says so in the column's head. `width`: px, of its longest bar.
    """

    title: str
    kind: Kind = "text"
    parts: tuple[str, ...] = ()
    legend: bool = False
    width: float = BAR_WIDTH


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a table; `anchor` is the part that it is about."""

    anchor: str
    cells: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One line for each thing of a kind; `thing` is what to call one, empty where another table has counted them."""

    title: str
    thing: str
    caption: str
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Tile:
    """A key figure."""

    name: str
    figure: str
    unit: str
    note: str


class Change(NamedTuple):
    """Somebody comes to stand at a level, 0 for outside of all; `text` says what did it, in frame `frame`."""

    t_ns: int
    who: str
    level: int
    text: str
    frame: int


@dataclass(frozen=True, slots=True)
class Nested:
    """Sets one in the other, who was in which, and what changed that: `levels` are their names from the outermost inwards.

    Changes in order of time; what holds at the last goes on until `end_ns`.
    """

    title: str
    caption: str
    levels: tuple[str, ...]
    changes: tuple[Change, ...]
    end_ns: int


@dataclass(frozen=True, slots=True)
class Additions:
    """Everything of one room; `beginning` is the title of what was before the first part."""

    parts: tuple[Part, ...] = ()
    beginning: str = "The beginning"
    tables: tuple[Table, ...] = ()
    tiles: tuple[Tile, ...] = ()
    nested: tuple[Nested, ...] = ()
