"""Where a node is at any time: tracks of points with straight ways between them, and what makes them.

Places are metres on a plane, times seconds since the movement began, speeds metres per second. What is random is a function of
its seed.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from testbed.net.model import ModelError

DURATION_MAXIMUM_S = 7 * 86_400.0
DISTANCE_MAXIMUM_M = 1e7
"""Farther from the origin is a mistake: a quarter of the way around the Earth."""
POINTS_MAXIMUM = 1_000_000
"""Of one track."""


class Position(NamedTuple):
    """A place, in metres."""

    x_m: float
    y_m: float


class Span(NamedTuple):
    """Speeds (m/s) or times (s), of which one is drawn with equal likelihood."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Track:
    """Where a node is: at ``points[n]`` at ``times_s[n]``, on the straight way in between, at its ends before and after.

    Raises ModelError for a track that cannot be: empty, not finite, or with times that do not go forward.
    """

    times_s: tuple[float, ...]
    points: tuple[Position, ...]

    def __post_init__(self) -> None:
        where = "track"
        if not self.times_s or len(self.times_s) != len(self.points):
            remedy = "give at least one point, and a time for each"
            raise ModelError(f"{len(self.times_s)} times for {len(self.points)} points", where, remedy)
        if len(self.points) > POINTS_MAXIMUM:
            raise ModelError(f"{len(self.points)} points", where, f"give at most {POINTS_MAXIMUM}")
        for time_s, point in zip(self.times_s, self.points, strict=True):
            check_time(time_s, where)
            check_position(point, where)
        for before_s, after_s in pairwise(self.times_s):
            if after_s <= before_s:
                raise ModelError(f"time goes from {before_s:g} s to {after_s:g} s", where, "sort the points by time")

    def at(self, time_s: float) -> Position:
        """The place at a time."""
        after = bisect_right(self.times_s, time_s)
        if after == 0:
            return self.points[0]
        if after == len(self.times_s):
            return self.points[-1]
        begin_s, end_s = self.times_s[after - 1], self.times_s[after]
        share = (time_s - begin_s) / (end_s - begin_s)
        (x, y), (next_x, next_y) = self.points[after - 1], self.points[after]
        return Position(x + share * (next_x - x), y + share * (next_y - y))

    def until(self, end_s: float) -> Track:
        """The same, ended at a time."""
        if end_s >= self.end_s:
            return self
        kept = bisect_left(self.times_s, end_s)
        return Track((*self.times_s[:kept], end_s), (*self.points[:kept], self.at(end_s)))

    def moved(self, by: Position) -> Track:
        """The same way elsewhere: each place so far east and north of what it was."""
        return Track(self.times_s, tuple(Position(x + by.x_m, y + by.y_m) for x, y in self.points))

    @property
    def end_s(self) -> float:
        """When the node has arrived for good."""
        return self.times_s[-1]


def check_position(point: Position, where: str) -> None:
    """Raise ModelError for a place that is none."""
    if not all(math.isfinite(each) and abs(each) <= DISTANCE_MAXIMUM_M for each in point):
        raise ModelError(
            f"{tuple(point)} is no place", where, f"give finite metres, at most {DISTANCE_MAXIMUM_M:g} from the origin"
        )


def check_time(time_s: float, where: str) -> None:
    """Raise ModelError for a time that is none."""
    if not 0 <= time_s <= DURATION_MAXIMUM_S:
        raise ModelError(f"{time_s} s is no time of a movement", where, f"give 0 to {DURATION_MAXIMUM_S:g} s")


def check_speed(speed_mps: float, where: str) -> None:
    """Raise ModelError for a speed at which nobody arrives."""
    if not 0 < speed_mps < math.inf:
        raise ModelError(f"a speed of {speed_mps} m/s", where, "give a finite one above 0")


class _Way:
    """A track in the making."""

    def __init__(self, begin: Position, begin_s: float = 0.0) -> None:
        self._times_s, self._points = [begin_s], [begin]

    @property
    def now_s(self) -> float:
        return self._times_s[-1]

    @property
    def here(self) -> Position:
        return self._points[-1]

    def go(self, to: Position, speed_mps: float) -> None:
        distance_m = math.dist(self.here, to)
        if distance_m > 0:
            self._add(self.now_s + distance_m / speed_mps, to)

    def rest(self, seconds: float) -> None:
        if seconds > 0:
            self._add(self.now_s + seconds, self.here)

    def _add(self, time_s: float, point: Position) -> None:
        if len(self._points) >= POINTS_MAXIMUM:
            raise ModelError(f"more than {POINTS_MAXIMUM} points", "movement", "let it last shorter or go slower")
        if time_s <= self.now_s:  # a step that a float cannot tell from none
            return
        self._times_s.append(time_s)
        self._points.append(point)

    def track(self) -> Track:
        return Track(tuple(self._times_s), tuple(self._points))


def through(points: Sequence[Position], speeds_mps: Sequence[float] | float, rests_s: Sequence[float] = ()) -> Track:
    """A track through waypoints, from time 0 on.

    ``speeds_mps``: one for all legs, or one for each; ``rests_s``: how long the node stays at each waypoint, none for those
    that are not given. Raises ModelError.
    """
    where = "waypoints"
    if not points:
        raise ModelError("no waypoints", where, "give at least one")
    legs = len(points) - 1
    speeds = [speeds_mps] * legs if isinstance(speeds_mps, float | int) else list(speeds_mps)
    if len(speeds) != legs:
        raise ModelError(f"{len(speeds)} speeds for {legs} legs", where, "give one for all, or one for each")
    for point in points:
        check_position(point, where)
    for speed in speeds:
        check_speed(speed, where)
    for rest in rests_s:
        check_time(rest, where)
    rests = [*rests_s, *[0.0] * (len(points) - len(rests_s))]
    way = _Way(points[0])
    way.rest(rests[0])
    for point, speed, rest in zip(points[1:], speeds, rests[1:], strict=False):
        way.go(point, speed)
        way.rest(rest)
    return way.track()


def random_waypoint(
    area: tuple[Position, Position], speed_mps: Span, rest_s: Span, duration_s: float, seed: object
) -> Track:
    """To a random place in a rectangle (two opposite corners) at a random speed, a rest there, and on.

    The track goes on until ``duration_s`` is over. Raises ModelError.
    """
    where = "random waypoint"
    for corner in area:
        check_position(corner, where)
    _check_span(speed_mps, where)
    check_speed(speed_mps.least, where)
    _check_span(rest_s, where)
    check_time(rest_s.least, where)
    check_time(duration_s, where)
    (left, low), (right, high) = area
    if left == right and low == high:
        raise ModelError("the area is a point", where, "give two opposite corners")
    choice = random.Random(f"random waypoint {seed}")

    def anywhere() -> Position:
        return Position(choice.uniform(left, right), choice.uniform(low, high))

    way = _Way(anywhere())
    while way.now_s < duration_s:
        way.go(anywhere(), choice.uniform(*speed_mps))
        way.rest(choice.uniform(*rest_s))
    return way.track()


def manhattan(
    blocks: tuple[int, int], block_m: float, speed_mps: Span, duration_s: float, seed: object, *, turns: float = 0.5
) -> Track:
    """Along the streets of a grid of ``blocks`` (east, north) with its corner at the origin, at a new speed in each street.

    At a crossing the node turns with likelihood ``turns``, left or right alike, or where the street ends; it does not turn back
    unless there is no other way. Raises ModelError.
    """
    where = "Manhattan grid"
    if min(blocks) < 0 or max(blocks) < 1:
        raise ModelError(f"{blocks[0]} by {blocks[1]} blocks", where, "give at least one block")
    if not 0 < block_m <= DISTANCE_MAXIMUM_M / max(blocks):
        raise ModelError(f"blocks of {block_m} m", where, "give a length above 0 that fits the plane")
    if not 0 <= turns <= 1:
        raise ModelError(f"turns with likelihood {turns}", where, "give 0 to 1")
    _check_span(speed_mps, where)
    check_speed(speed_mps.least, where)
    check_time(duration_s, where)
    choice = random.Random(f"manhattan {seed}")
    east, north = choice.randint(0, blocks[0]), choice.randint(0, blocks[1])
    heading = choice.choice(((1, 0), (-1, 0), (0, 1), (0, -1)))

    def leads_on(direction: tuple[int, int]) -> bool:
        return 0 <= east + direction[0] <= blocks[0] and 0 <= north + direction[1] <= blocks[1]

    way = _Way(Position(east * block_m, north * block_m))
    while way.now_s < duration_s:
        ahead, (dx, dy) = [heading] if leads_on(heading) else [], heading
        sides = [side for side in ((-dy, dx), (dy, -dx)) if leads_on(side)]
        wanted = sides if sides and (not ahead or choice.random() < turns) else ahead
        heading = choice.choice(wanted or [(-dx, -dy)])
        east, north = east + heading[0], north + heading[1]
        way.go(Position(east * block_m, north * block_m), choice.uniform(*speed_mps))
    return way.track()


def _check_span(span: Span, where: str) -> None:
    if not (math.isfinite(span.least) and math.isfinite(span.most) and span.least <= span.most):
        raise ModelError(f"from {span.least} to {span.most}", where, "give finite bounds, the smaller one first")
