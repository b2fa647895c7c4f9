"""A chapter of the message ladder as a drawing: participants side by side, time down, a row for each thing that happened.

Rows follow each other at a readable distance that grows slowly with the time between them, so the drawing is in order but
not to scale. Every frame of a row, and every frame a verdict names, has its place in it. Lengths are px.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from captures.history.events import node_of
from captures.ladder.families import family_of
from captures.ladder.rows import Ladder, MessageRow, Row, StepRow, StreamRow
from captures.protocols import role

CHARACTER_WIDTH = 8.0  # px, of the widest usual sans-serif at 13 px; a label that is narrower only leaves room
LEFT, RIGHT = 92.0, 12.0
WIDTH = 848.0  # of a ladder with few participants
_PITCH_MIN = 92.0
_ROW_HEIGHT, _FLAG_HEIGHT, _PAUSE_MAX = 27.0, 18.0, 40.0
_STUB = 46.0
_MILLISECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """A participant's lifeline."""

    name: str
    below: str
    x: float


@dataclass(frozen=True, slots=True)
class Dot:
    """A frame where it was seen."""

    frame: int
    x: float


@dataclass(frozen=True, slots=True)
class Flag:
    """A rule that failed here; `anchor` is its line in the table of rules."""

    rule: str
    message: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """One row: `kind` is "message", "step", "link", "stream" or "data", `family` the colour of its protocol.

    `x1` and `x2` are the ends of its line, `heads` the tips of its arrows with their direction (1 right, -1 left), `lost` where
    it was last seen if it did not arrive.
    """

    kind: str
    family: str
    y: float
    time: str
    label: str
    label_x: float
    anchor: str
    words: str
    x1: float
    x2: float
    heads: tuple[tuple[float, int], ...]
    lost: float | None
    fate: str
    dots: tuple[Dot, ...]
    flags: tuple[Flag, ...]

    @property
    def id(self) -> int:
        """The frame it goes by."""
        return self.dots[0].frame


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of a lifeline in which data flows ("data") or there is no link ("gap")."""

    kind: str
    x: float
    top: float
    bottom: float
    words: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """A data packet that a verdict names and that no row of the ladder is about."""

    frame: int
    t_ns: int
    interface: str


@dataclass(frozen=True, slots=True)
class LadderDrawing:
    """One chapter's part of the ladder."""

    width: float
    height: float
    places: tuple[Place, ...]
    rows: tuple[Drawn, ...]
    bands: tuple[Band, ...]
    families: tuple[str, ...]
    words: str


Flags = Mapping[int, Sequence[tuple[str, str, str]]]
Shown = Row | Evidence


def shown(ladder: Ladder, extra: Sequence[Evidence], wanted: Container[int]) -> list[Shown]:
    """What is drawn, in order of time: all but what goes on whatever the lab does, unless a verdict names it."""
    rows: list[Shown] = [
        row
        for row in ladder.rows
        if row.frames and (not row.background or any(frame in wanted for frame in row.frames))
    ]
    return sorted([*rows, *extra], key=lambda row: row.t_ns)


def frames_of(row: Shown) -> tuple[int, ...]:
    """The frame numbers of a row."""
    return (row.frame,) if isinstance(row, Evidence) else row.frames


def nodes_of(row: Shown) -> tuple[str, ...]:
    """The participants a row is about."""
    return (node_of(row.interface),) if isinstance(row, Evidence) else row.nodes


class Drawer:
    """Draws chapters of one ladder, all with the same participants."""

    def __init__(self, ladder: Ladder, rows: Sequence[Shown], flags: Flags) -> None:
        self._flags = flags
        named = {node for row in rows for node in nodes_of(row)}
        columns = [column for column in ladder.columns if column.name in named]
        pitch = max(_PITCH_MIN, (WIDTH - LEFT - RIGHT) / max(1, len(columns)))
        self._width = LEFT + RIGHT + pitch * len(columns)
        self._places = tuple(
            Place(column.name, column.cell or role(column.role).short, LEFT + pitch * (i + 0.5))
            for i, column in enumerate(columns)
        )
        self._x = {place.name: place.x for place in self._places}
        self._streams = _flowing(ladder)

    def draw(
        self, rows: Sequence[Shown], begin_ns: int, end_ns: int, zero_ns: int, gap: tuple[str, int, int] | None
    ) -> LadderDrawing | None:
        """Draw some of the rows, those from `begin_ns` until before `end_ns`; None if there are none.

        Times are told from `zero_ns` on. `gap`: a node and when it had no link.
        """
        if not rows:
            return None
        heights, height = self._heights(rows)
        drawn = tuple(self._row(row, y, zero_ns) for row, y in zip(rows, heights, strict=True))
        times = [row.t_ns for row in rows]

        def y_of(t_ns: int) -> float:
            """Between the rows before and after that time; the ladder's ends before the first and after the last."""
            after = bisect_right(times, t_ns)
            if after == 0:
                return 0.0 if t_ns < times[0] else heights[0]
            if after == len(times):
                return height if t_ns > times[-1] else heights[-1]
            before = times[after - 1]
            share = (t_ns - before) / (times[after] - before)
            return heights[after - 1] + share * (heights[after] - heights[after - 1])

        bands = []
        for node, x in self._x.items():
            for first, last in self._streams.get(node, ()):
                if first < end_ns and last >= begin_ns:
                    top = y_of(first) if first >= begin_ns else 0.0
                    bottom = y_of(last) if last < end_ns else height
                    bands.append(Band("data", x, top, bottom, f"data at {node}"))
        if gap is not None and gap[0] in self._x:
            node, down, up = gap
            bands.append(Band("gap", self._x[node], y_of(down), y_of(up), f"{node} has no link"))
        families = dict.fromkeys(row.family for row in drawn if row.kind == "message")
        return LadderDrawing(
            width=self._width,
            height=height,
            places=self._places,
            rows=drawn,
            bands=tuple(bands),
            families=tuple(families),
            words=f"{len(rows)} rows, from {drawn[0].time} to {drawn[-1].time} ms",
        )

    def _heights(self, rows: Sequence[Shown]) -> tuple[list[float], float]:
        heights: list[float] = []
        y, before = 8.0, rows[0].t_ns
        for row in rows:
            pause_ms = (row.t_ns - before) / _MILLISECOND
            y += _ROW_HEIGHT + (min(_PAUSE_MAX, 12 * math.log10(pause_ms / 2)) if pause_ms > 2 else 0.0)
            heights.append(y)
            y += _FLAG_HEIGHT * len(self._flags_of(row))
            before = row.t_ns
        return heights, y + 18.0

    def _flags_of(self, row: Shown) -> tuple[Flag, ...]:
        found = dict.fromkeys(flag for frame in frames_of(row) for flag in self._flags.get(frame, ()))
        return tuple(Flag(*flag) for flag in found)

    def _row(self, row: Shown, y: float, zero_ns: int) -> Drawn:
        flags = self._flags_of(row)
        time = f"{(row.t_ns - zero_ns) / _MILLISECOND:.1f}".replace("-", "\N{MINUS SIGN}")
        if isinstance(row, MessageRow):
            return self._message(row, y, time, flags)
        if isinstance(row, Evidence):
            x = self._x.get(node_of(row.interface), LEFT)
            words = f"data packet at {row.interface}"
            return Drawn(
                "data",
                "stream",
                y,
                time,
                "data packet",
                x + 10,
                "start",
                words,
                x,
                x,
                (),
                None,
                "",
                (Dot(row.frame, x),),
                flags,
            )
        first, last = LEFT, self._width - RIGHT
        x = self._x.get(row.nodes[0] if row.nodes else "", first)
        dots = tuple(Dot(frame, x) for frame in row.frames)
        most = int((last - first) / CHARACTER_WIDTH)
        if isinstance(row, StreamRow):
            label = {"begins": "data begins", "stops": "data stops"}.get(
                row.change, f"data after {row.silence_ns / _MILLISECOND:.1f} ms"
            )
            return Drawn("stream", "stream", y, time, label, x + 10, "start", row.text, x, x, (), None, "", dots, flags)
        label = row.step if isinstance(row, StepRow) and row.link else row.text
        label = label if len(label) <= most else f"{label[: most - 1]}…"
        kind = "link" if label in ("link down", "link up") else "step"
        return Drawn(kind, kind, y, time, label, first + 4, "start", row.text, first, last, (), None, "", dots, flags)

    def _message(self, row: MessageRow, y: float, time: str, flags: tuple[Flag, ...]) -> Drawn:
        start = self._x[row.sender]
        ends = [self._x[name] for name in row.receivers if name in self._x and self._x[name] != start]
        lost = None
        if row.fate == "lost":
            seen = self._x.get(node_of(row.last_seen), start)
            towards = ends[0] if ends else start + _STUB
            lost = seen + math.copysign(min(_STUB, abs(towards - seen)), towards - seen)
        if not ends:
            ends = [start + (_STUB if start + _STUB < self._width - RIGHT else -_STUB)]
        nearest = min(ends, key=lambda x: abs(x - start))
        label = row.label if row.attempt == 1 else f"{row.label} ({row.attempt})"
        to = ", ".join(row.receivers) or "nobody known"
        left, right = min([start, *ends]), max([start, *ends])
        return Drawn(
            kind="message",
            family=family_of(row.protocol),
            y=y,
            time=time,
            label=label,
            label_x=(start + nearest) / 2,
            anchor="middle",
            words=f"{row.label} {row.text}, {row.sender} to {to}, {row.fate}",
            x1=left,
            x2=right,
            heads=() if row.fate == "lost" else tuple((x, 1 if x > start else -1) for x in ends),
            lost=lost,
            fate=row.fate,
            # What was seen beside the arrow, on a way that goes back and forth, would look like another message.
            dots=tuple(
                Dot(s.frame, min(max(self._x.get(node_of(s.interface), start), left), right)) for s in row.sightings
            ),
            flags=flags,
        )


def _flowing(ladder: Ladder) -> dict[str, list[tuple[int, int]]]:
    """By node the times in which data flows at one of its interfaces."""
    since: dict[tuple[str, str], int] = {}
    found: dict[str, list[tuple[int, int]]] = {}
    for row in ladder.rows:
        if not isinstance(row, StreamRow):
            continue
        at = (row.node, row.interface)
        if row.change != "stops":
            since.setdefault(at, row.t_ns)
        elif at in since:
            found.setdefault(row.node, []).append((since.pop(at), row.t_ns))
    for (node, _), begin_ns in since.items():
        found.setdefault(node, []).append((begin_ns, ladder.end_ns))
    return found
