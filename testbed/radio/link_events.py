"""What a node's links do while it moves, in the words of IEEE 802.21: detected, going down, down, up.

With one radio a link breaks before the next is made: a link goes when it is too weak, or when another cell is stronger by the
hysteresis; there is none for the gap, and then one to the strongest cell that is heard. With two the next is made by the idle
radio at that moment, and the one before goes when it is weaker by twice the hysteresis, or too weak by itself. Overlap, gaps,
going back and forth and dead zones are not asked for: they follow from where the cells are and how the node goes.

A link that is going down is told of before it goes, with the time that is left and the cell that comes next. What is told is
right unless a `Prediction` says otherwise: late, or with another cell. One that is told and does not come true, since the node
turns back, has no time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from testbed.net.model import ModelError
from testbed.radio.movement import Track, check_time
from testbed.radio.propagation import Propagation, RadioParameters

Kind = Literal["link_detected", "link_going_down", "link_down", "link_up"]
Quality = Literal["right", "late", "wrong"]

MEASUREMENTS_MAXIMUM = 50_000_000
"""Of all nodes together: some minutes of this machine's time."""


@dataclass(frozen=True, slots=True)
class LinkEvent:
    """One event of one node, ``at_s`` seconds since the movement began. ``radio``: which of the node's, from 0 on.

    Of link_going_down alone: ``in_s`` until the link goes (None: it does not, or not in the time that was looked at), the
    ``next_cell`` ("": none is heard) by the radio ``next_radio``, and how good this ``prediction`` is.
    """

    at_s: float
    node: str
    kind: Kind
    cell: str
    radio: int = 0
    in_s: float | None = None
    next_cell: str = ""
    next_radio: int = 0
    prediction: Quality = "right"


@dataclass(frozen=True, slots=True)
class Movement:
    """What nodes do: the events of their links, and where they go, where geometry says so; ``range_m``: that cells are heard."""

    events: Sequence[LinkEvent]
    tracks: Mapping[str, Track] = field(default_factory=dict)
    range_m: float | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """How good it is what is told of a link that is going down.

    ``late`` and ``wrong`` are shares (0 to 1) of the times: told ``late_by_s`` later, or not at all where the link has gone
    by then; told with another cell, one that is heard if there is one.
    """

    late: float = 0.0
    wrong: float = 0.0
    late_by_s: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ModelError for shares that are none."""
        if not (0 <= self.late <= 1 and 0 <= self.wrong <= 1 and self.late + self.wrong <= 1):
            what = f"late in {self.late}, wrong in {self.wrong} of the times"
            raise ModelError(what, "prediction", "give shares from 0 to 1 whose sum is at most 1")
        if not 0 <= self.late_by_s < math.inf:
            raise ModelError(f"late by {self.late_by_s} s", "prediction", "give a finite time, 0 or above")


RIGHT = Prediction()


def link_events(
    propagation: Propagation,
    parameters: RadioParameters,
    tracks: Mapping[str, Track],
    *,
    radios: int = 1,
    prediction: Prediction = RIGHT,
    until_s: float | None = None,
) -> list[LinkEvent]:
    """All events of all nodes in order of time, then of the nodes; at time 0 each node finds what it hears there.

    ``until_s``: to be looked at, by default until the last node has arrived. Raises ModelError.
    """
    if radios not in (1, 2):
        raise ModelError(f"{radios} radios", "link events", "give 1 or 2")
    if not tracks:
        raise ModelError("no node moves", "link events", "give at least one track")
    if until_s is None:
        until_s = max(track.end_s for track in tracks.values())
    check_time(until_s, "link events")
    measurements = int(until_s / parameters.interval_s + 1e-9) + 1
    if measurements * len(tracks) > MEASUREMENTS_MAXIMUM:
        what = f"{len(tracks)} nodes that measure {measurements} times each"
        raise ModelError(
            what, "link events", f"measure {MEASUREMENTS_MAXIMUM} times at most: longer intervals, less time"
        )
    found: list[LinkEvent] = []
    for name, track in tracks.items():
        node = _Node(name, parameters, radios)
        place, heard = None, dict[str, float]()
        for number in range(measurements):
            at_s = number * parameters.interval_s
            if (now := track.at(at_s)) != place:
                place, heard = now, propagation.heard(now)
            node.measure(number, round(at_s, 6), heard)
        found += _as_told(node.events, prediction, tuple(propagation.cells))
    return sorted(found, key=lambda event: event.at_s)


def attached_at_first(events: Sequence[LinkEvent]) -> dict[str, str | None]:
    """The cell that each node has a link in when it begins to move; None: it has none."""
    found: dict[str, str | None] = {event.node: None for event in events}
    for event in events:
        if event.at_s == 0 and event.kind == "link_up" and found[event.node] is None:
            found[event.node] = event.cell
    return found


def intervals(events: Sequence[LinkEvent], node: str) -> Iterator[tuple[str, int, float, float | None]]:
    """Each link of a node as (cell, radio, up, down), in the order in which they end; down is None for one that stays."""
    up: dict[int, LinkEvent] = {}
    for event in events:
        if event.node == node and event.kind == "link_up":
            up[event.radio] = event
        elif event.node == node and event.kind == "link_down":
            began = up.pop(event.radio)
            yield began.cell, began.radio, began.at_s, event.at_s
    for began in up.values():
        yield began.cell, began.radio, began.at_s, None


class _Node:
    """One node's links, as it measures."""

    def __init__(self, name: str, parameters: RadioParameters, radios: int) -> None:
        self.events: list[LinkEvent] = []
        self._name = name
        self._is = parameters
        self._gap = math.ceil(parameters.gap_s / parameters.interval_s - 1e-9)  # measurements
        self._detected: set[str] = set()
        self._links: list[str | None] = [None] * radios
        self._free_from = [0] * radios  # the measurement from which a radio may have a link again
        self._in_use = 0  # the radio whose cell is the node's choice
        self._warned: dict[int, int] = {}  # by radio: the event that says its link is going down
        self._going: int | None = None  # the event whose link has gone, and that does not know yet what came next
        self._at_s = 0.0

    def measure(self, number: int, at_s: float, heard: Mapping[str, float]) -> None:
        """Take what is heard of each cell, in dBm."""
        self._at_s = at_s
        self._detect(heard)
        for radio, cell in enumerate(self._links):
            if cell is not None and heard[cell] < self._is.down_dbm:
                self._down(radio, number)
        if self._links[self._in_use] is None:
            self._in_use = next((radio for radio, cell in enumerate(self._links) if cell is not None), self._in_use)
        if self._links[self._in_use] is not None:
            self._compare(number, heard)
        if all(cell is None for cell in self._links):
            self._attach(number, heard)

    def _detect(self, heard: Mapping[str, float]) -> None:
        lost_below = self._is.detect_dbm - self._is.hysteresis_db
        for cell, loudness in heard.items():
            if loudness >= self._is.detect_dbm:
                if cell not in self._detected:
                    self._detected.add(cell)
                    self._tell("link_detected", cell, self._idle_radio())
            elif loudness < lost_below and cell in self._detected and cell not in self._links:
                self._detected.remove(cell)

    def _strongest(self, heard: Mapping[str, float], but: str | None = None) -> str | None:
        """The strongest cell to which a link can be made, or None."""
        found = [cell for cell, loudness in heard.items() if cell != but and loudness >= self._is.detect_dbm]
        return max(found, key=heard.__getitem__, default=None)

    def _compare(self, number: int, heard: Mapping[str, float]) -> None:
        """Warn of the link in use, or change to a stronger cell."""
        radio, hysteresis_db = self._in_use, self._is.hysteresis_db
        cell = self._links[radio]
        assert cell is not None
        other = self._strongest(heard, but=cell)
        ahead_db = -math.inf if other is None else heard[other] - heard[cell]
        if ahead_db >= 0 or heard[cell] < self._is.going_down_dbm:
            self._warn(radio, cell, other or "")
        elif ahead_db < -hysteresis_db and heard[cell] >= self._is.going_down_dbm + hysteresis_db:
            self._warned.pop(radio, None)  # it has recovered
        if other is not None and ahead_db >= hysteresis_db:
            self._change(number, other)
        for spare, spare_cell in enumerate(self._links):
            in_use = self._links[self._in_use]
            if spare_cell is None or spare == self._in_use or in_use is None:
                continue
            if heard[in_use] - heard[spare_cell] >= 2 * hysteresis_db:
                self._down(spare, number)

    def _change(self, number: int, to: str) -> None:
        if to in self._links:
            self._in_use = self._links.index(to)
            return
        if len(self._links) == 1:
            self._down(0, number)
            if self._gap == 0:
                self._up(0, to)
            return
        idle = 1 - self._in_use
        if self._links[idle] is not None:
            self._down(idle, number)
        if number >= self._free_from[idle]:
            self._up(idle, to)
            self._in_use = idle

    def _attach(self, number: int, heard: Mapping[str, float]) -> None:
        cell = self._strongest(heard)
        free = [radio for radio, since in enumerate(self._free_from) if number >= since]
        if cell is not None and free:
            self._in_use = free[0]
            self._up(free[0], cell)

    def _idle_radio(self) -> int:
        return next((radio for radio, cell in enumerate(self._links) if cell is None), 0)

    def _up(self, radio: int, cell: str) -> None:
        self._links[radio] = cell
        self._tell("link_up", cell, radio)
        for number in {self._going, *(warned for other, warned in self._warned.items() if other != radio)} - {None}:
            assert number is not None
            self.events[number] = replace(self.events[number], next_cell=cell, next_radio=radio)
        self._going = None

    def _down(self, radio: int, number: int) -> None:
        cell = self._links[radio]
        assert cell is not None
        self._links[radio] = None
        self._free_from[radio] = number + self._gap
        warned = self._warned.pop(radio, None)
        if warned is not None:
            event = self.events[warned]
            self.events[warned] = replace(event, in_s=round(self._at_s - event.at_s, 6))
            self._going = warned if all(each is None for each in self._links) else None
        self._tell("link_down", cell, radio)

    def _warn(self, radio: int, cell: str, other: str) -> None:
        if radio in self._warned:
            return
        self._warned[radio] = len(self.events)
        next_radio = self._idle_radio() if len(self._links) > 1 else radio
        event = LinkEvent(self._at_s, self._name, "link_going_down", cell, radio, None, other, next_radio)
        self.events.append(event)

    def _tell(self, kind: Kind, cell: str, radio: int) -> None:
        self.events.append(LinkEvent(self._at_s, self._name, kind, cell, radio))


def _as_told(events: Sequence[LinkEvent], prediction: Prediction, cells: Sequence[str]) -> list[LinkEvent]:
    """One node's events with the predictions as good as they shall be, in order of time."""
    choice = random.Random(f"prediction {prediction.seed} {events[0].node if events else ''}")
    told: list[LinkEvent] = []
    for number, event in enumerate(events):
        if event.kind != "link_going_down":
            told.append(event)
            continue
        drawn = choice.random()
        if drawn < prediction.late:
            later = _late(event, events[number + 1 :], prediction.late_by_s)
            told += [] if later is None else [later]
        elif drawn < prediction.late + prediction.wrong:
            told.append(_wrong(event, events[:number], cells, choice))
        else:
            told.append(event)
    return sorted(told, key=lambda event: event.at_s)


def _late(event: LinkEvent, after: Sequence[LinkEvent], late_by_s: float) -> LinkEvent | None:
    """The same told later; None if the link has gone by then."""
    at_s = round(event.at_s + late_by_s, 6)
    goes_s = next((each.at_s for each in after if each.kind == "link_down" and each.radio == event.radio), math.inf)
    if at_s >= goes_s:
        return None
    in_s = None if event.in_s is None else round(event.in_s - late_by_s, 6)
    return replace(event, at_s=at_s, in_s=in_s, prediction="late")


def _wrong(event: LinkEvent, before: Sequence[LinkEvent], cells: Sequence[str], choice: random.Random) -> LinkEvent:
    """The same with a cell that does not come next, one that was heard before if there is one; unchanged if there is none."""
    heard = dict.fromkeys(each.cell for each in before if each.kind == "link_detected")
    others = [[cell for cell in among if cell not in (event.cell, event.next_cell)] for among in (heard, cells)]
    wrong = next((among for among in others if among), None)
    return event if wrong is None else replace(event, next_cell=choice.choice(wrong), prediction="wrong")
