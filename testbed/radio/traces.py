"""Movement that something else has written: CSV, ns-2 setdest, SUMO floating car data (FCD).

* CSV: a first line ``t,node,x,y`` (in any order, more columns are ignored), then a line for each place: seconds, metres.
* ns-2 setdest: ``$node_(3) set X_ 10.0`` for where a node begins, ``$ns_ at 2.5 "$node_(3) setdest X Y SPEED"`` for where it
  goes from then on; speed 0 is a rest. The node is called ``3``, or as the ``names`` say.
* SUMO FCD: ``<timestep time="1.00"><vehicle id="bus" x="10" y="20" …/>``; persons and containers too.

Times begin with the first one of the trace. A trace is text that somebody else has written: it is bounded, and whatever is wrong
with it raises ModelError with the file, the line and the reason.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple
from xml.sax import SAXException, SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

import defusedxml.sax
from defusedxml import DefusedXmlException

from testbed.net.model import ModelError
from testbed.radio.movement import Position, Track, check_position, check_speed, check_time

TEXT_MAXIMUM = 128 * 1024 * 1024
"""Bytes of a trace."""
NODES_MAXIMUM = 10_000
POINTS_MAXIMUM = 5_000_000
"""Of all nodes of a trace together."""

Form = Literal["csv", "ns2", "sumo"]

_COLUMNS = ("t", "node", "x", "y")
_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_NODE = r"\$node_\((\w+)\)"
_BEGINS = re.compile(rf"{_NODE}\s+set\s+([XYZ])_\s+{_NUMBER}\s*;?\Z")
_GOES = re.compile(rf'\$ns_\s+at\s+{_NUMBER}\s+"{_NODE}\s+setdest\s+{_NUMBER}\s+{_NUMBER}\s+{_NUMBER}"\s*;?\Z')
_OTHERS = re.compile(r"\$(god_|ns_\s+at\s+\S+\s+\"\$god_)")
_TRAVELLERS = frozenset({"vehicle", "person", "container"})


def load(path: Path, form: Form | None = None) -> dict[str, Track]:
    """The tracks in a file, by node; its form follows from its name's end (.csv; .tcl, .ns2, .ns_movements; .xml) unless given."""
    where = path.name
    form = form or _form_of(path)
    try:
        if path.stat().st_size > TEXT_MAXIMUM:
            raise ModelError(
                f"more than {TEXT_MAXIMUM >> 20} MiB", where, "cut the trace to the nodes and the time you need"
            )
        text = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", where, "name a file that is there") from None
    return parse(text, form, where)


def parse(text: bytes, form: Form, where: str) -> dict[str, Track]:
    """The tracks in a trace, by node, in the order in which they appear; ``where`` names it in errors."""
    if len(text) > TEXT_MAXIMUM:
        raise ModelError(
            f"more than {TEXT_MAXIMUM >> 20} MiB", where, "cut the trace to the nodes and the time you need"
        )
    paths = _Paths(where)
    if form == "sumo":
        _read_fcd(text, paths)
    else:
        try:
            decoded = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = text[: error.start].count(b"\n") + 1
            raise ModelError("this is no UTF-8", f"{where}, line {line}", "save it as plain text") from None
        (_read_csv if form == "csv" else _read_setdest)(decoded, paths)
    return paths.tracks()


def _form_of(path: Path) -> Form:
    ends: Mapping[str, Form] = {
        ".csv": "csv", ".tcl": "ns2", ".ns2": "ns2", ".ns_movements": "ns2", ".xml": "sumo",
    }  # fmt: skip
    form = ends.get(path.suffix.lower())
    if form is None:
        remedy = f"rename it: {', '.join(f'{end} is {name}' for end, name in ends.items())}"
        raise ModelError("its name does not tell what it is", path.name, remedy)
    return form


class _Paths:
    """The places of each node as they are read."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._times: dict[str, list[float]] = {}
        self._points: dict[str, list[Position]] = {}
        self._count = 0

    def fault(self, what: str, line: int, remedy: str) -> ModelError:
        return ModelError(what, f"{self._where}, line {line}", remedy)

    def check(self, check: Callable[..., None], value: object, line: int) -> None:
        check(value, f"{self._where}, line {line}")

    def number(self, text: str, what: str, line: int) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or "_" in text:
            raise self.fault(f"{what} is {text[:40]!r}", line, "write a finite number, such as 12.5")
        return value

    def add(self, node: str, time_s: float, point: Position, line: int) -> None:
        """A node is at a place at a time."""
        self.check(check_position, point, line)
        self.check(check_time, time_s, line)
        if node not in self._times:
            if len(self._times) >= NODES_MAXIMUM:
                raise self.fault(f"more than {NODES_MAXIMUM} nodes", line, "cut the trace to those you need")
            self._times[node], self._points[node] = [], []
        times = self._times[node]
        if times and time_s <= times[-1]:
            what = f"time of node {node!r} goes from {times[-1]:g} s to {time_s:g} s"
            raise self.fault(what, line, "sort the trace by time, one place for a node at a time")
        self._count += 1
        if self._count > POINTS_MAXIMUM:
            raise self.fault(f"more than {POINTS_MAXIMUM} places", line, "cut the trace to the time you need")
        times.append(time_s)
        self._points[node].append(point)

    def tracks(self) -> dict[str, Track]:
        """All nodes, their times counted from the first."""
        if not self._times:
            raise ModelError(
                "no node has a place in it", self._where, "see whether the format is the one it is read as"
            )
        first = min(times[0] for times in self._times.values())
        return {
            node: Track(tuple(time_s - first for time_s in times), tuple(self._points[node]))
            for node, times in self._times.items()
        }


def _read_csv(text: str, paths: _Paths) -> None:
    rows = csv.reader(io.StringIO(text), strict=True, skipinitialspace=True)
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        if missing := [name for name in _COLUMNS if name not in header]:
            raise paths.fault(f"no column {', '.join(missing)}", 1, "begin with the line t,node,x,y")
        at, node, x, y = (header.index(name) for name in _COLUMNS)
        for row in rows:
            line = rows.line_num
            if not row or (len(row) == 1 and not row[0].strip()):
                continue
            if len(row) < len(header):
                raise paths.fault(f"{len(row)} values for {len(header)} columns", line, "give each column its value")
            name = _node_name(row[node], line, paths)
            place = Position(paths.number(row[x], "x", line), paths.number(row[y], "y", line))
            paths.add(name, paths.number(row[at], "t", line), place, line)
    except csv.Error as error:
        raise paths.fault(str(error), rows.line_num, "write plain values separated by commas") from None


def _node_name(text: str, line: int, paths: _Paths) -> str:
    name = text.strip()
    if not name or len(name) > 64 or not name.isprintable():
        raise paths.fault(f"{text[:40]!r} is no name of a node", line, "give 1 to 64 printable characters")
    return name


class _Move(NamedTuple):
    """From a time on, where to and how fast."""

    at_s: float
    to: Position
    speed_mps: float
    line: int


class _Leg:
    """Where a node of a setdest trace is, and where it is going."""

    __slots__ = ("begin", "begin_s", "speed", "to")

    def __init__(self, begin: Position) -> None:
        self.begin, self.begin_s, self.to, self.speed = begin, 0.0, begin, 0.0

    @property
    def arrives_s(self) -> float:
        """When it has arrived; where it stands, it has."""
        distance = math.dist(self.begin, self.to)
        return self.begin_s if distance == 0 or self.speed == 0 else self.begin_s + distance / self.speed

    def at(self, time_s: float) -> Position:
        """The place at a time on the leg."""
        if time_s >= self.arrives_s:
            return self.to if self.speed else self.begin
        share = (time_s - self.begin_s) / (self.arrives_s - self.begin_s)
        (x, y), (to_x, to_y) = self.begin, self.to
        return Position(x + share * (to_x - x), y + share * (to_y - y))


def _read_setdest(text: str, paths: _Paths) -> None:
    begins: dict[str, dict[str, float]] = {}
    moves: dict[str, list[_Move]] = {}
    lines: dict[str, int] = {}
    for line, written in enumerate(text.splitlines(), 1):
        statement = written.partition("#")[0].strip()
        if not statement or _OTHERS.match(statement):
            continue
        if begin := _BEGINS.match(statement):
            begins.setdefault(begin[1], {})[begin[2]] = paths.number(begin[3], begin[2], line)
            lines.setdefault(begin[1], line)
        elif move := _GOES.match(statement):
            at_s, x, y, speed = (paths.number(move[n], "a number", line) for n in (1, 3, 4, 5))
            paths.check(check_time, at_s, line)
            paths.check(check_position, Position(x, y), line)
            if speed != 0:
                paths.check(check_speed, speed, line)
            moves.setdefault(move[2], []).append(_Move(at_s, Position(x, y), speed, line))
            lines.setdefault(move[2], line)
        else:
            what = f"{statement[:60]!r} is neither a place nor a way"
            remedy = 'write $node_(N) set X_ NUMBER, or $ns_ at TIME "$node_(N) setdest X Y SPEED"'
            raise paths.fault(what, line, remedy)
    if len(lines) > NODES_MAXIMUM:
        raise paths.fault(f"more than {NODES_MAXIMUM} nodes", max(lines.values()), "cut the trace to those you need")
    for node, line in lines.items():
        if not {"X", "Y"} <= begins.get(node, {}).keys():
            what = f"node {node} has no place to begin at"
            raise paths.fault(what, line, f"write $node_({node}) set X_ and Y_")
        _walk(node, Position(begins[node]["X"], begins[node]["Y"]), moves.get(node, ()), line, paths)


def _walk(node: str, begin: Position, moves: Sequence[_Move], line: int, paths: _Paths) -> None:
    """A node's way: each move begins where the one before has brought it by then."""
    leg = _Leg(begin)
    paths.add(node, 0.0, begin, line)
    latest = 0.0
    for at_s, to, speed, moved_line in moves:
        if at_s < leg.begin_s:
            what = f"time of node {node} goes from {leg.begin_s:g} s to {at_s:g} s"
            raise paths.fault(what, moved_line, "sort the trace by time")
        if latest < leg.arrives_s < at_s:
            latest = leg.arrives_s
            paths.add(node, latest, leg.to, moved_line)
        here = leg.at(at_s)
        if at_s > latest:
            paths.add(node, at_s, here, moved_line)
            latest = at_s
        leg.begin, leg.begin_s, leg.to, leg.speed = here, at_s, to, speed
    if leg.arrives_s > latest:
        paths.add(node, leg.arrives_s, leg.to, line)


class _FloatingCars(ContentHandler):
    """Takes the places of vehicles, persons and containers from an FCD file."""

    def __init__(self, paths: _Paths) -> None:
        super().__init__()
        self._paths = paths
        self._locator: Locator | None = None
        self._time_s: float | None = None
        self.is_fcd = False

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802  the name that the parser calls
        """Keep what knows the line."""
        self._locator = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802  the name that the parser calls
        """Take one element."""
        line = 0 if self._locator is None else self._locator.getLineNumber() or 0
        if name == "timestep":
            self._time_s = self._paths.number(self._value(attrs, name, "time", line), "time", line)
        elif name in _TRAVELLERS:
            if self._time_s is None:
                raise self._paths.fault(f"<{name}> outside of a <timestep>", line, "give an FCD file as SUMO writes it")
            node = _node_name(self._value(attrs, name, "id", line), line, self._paths)
            x, y = (self._paths.number(self._value(attrs, name, axis, line), axis, line) for axis in ("x", "y"))
            self._paths.add(node, self._time_s, Position(x, y), line)
        elif name == "fcd-export":
            self.is_fcd = True
        elif not self.is_fcd:
            raise self._paths.fault(f"<{name[:40]}> is no FCD", line, "give what SUMO writes with --fcd-output")

    def endElement(self, name: str) -> None:  # noqa: N802  the name that the parser calls
        """Outside of a timestep there is no time."""
        if name == "timestep":
            self._time_s = None

    def _value(self, attrs: AttributesImpl, name: str, wanted: str, line: int) -> str:
        value = attrs.get(wanted)
        if value is None:
            raise self._paths.fault(f"<{name}> has no {wanted}", line, "give an FCD file as SUMO writes it")
        return str(value)


def _read_fcd(text: bytes, paths: _Paths) -> None:
    try:
        defusedxml.sax.parseString(text, _FloatingCars(paths), forbid_dtd=True)
    except SAXParseException as error:
        raise paths.fault(error.getMessage(), error.getLineNumber() or 0, "give well-formed XML") from None
    except (SAXException, DefusedXmlException, ValueError, LookupError) as error:
        if isinstance(error, ModelError):
            raise
        raise paths.fault(f"{type(error).__name__}: {error}", 1, "give plain XML without a document type") from None
