"""Times on an axis: round ticks, and labels laid in rows so that no two overlap."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from captures.ladder.drawing import CHARACTER_WIDTH


@dataclass(frozen=True, slots=True)
class Label:
    """A text at a place on an axis; `lane` counts from the axis outwards, `anchor` is SVG's text-anchor."""

    at: float
    text: str
    lane: int
    anchor: str


def tick_step(span: float, most: int) -> float:
    """The least of 1, 2, 5 times a power of ten that puts at most `most` steps into the span."""
    if span <= 0 or most < 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    return next((factor * power for factor in (1, 2, 5) if span <= factor * power * most), 10 * power)


def ticks(begin: float, end: float, most: int) -> list[float]:
    """Round values between the two, both included, at most ``most + 1``."""
    step = tick_step(end - begin, most)
    first = math.ceil(begin / step - 1e-9)
    last = math.floor(end / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def in_lanes(places: Iterable[tuple[float, str]], width: float) -> list[Label]:
    """Put each text beside its place, in the first lane where it meets no other; the axis goes from 0 to `width`.

    A text stands right of its place, or left of it where it would leave the axis.
    """
    ends: list[float] = []
    labels = []
    for at, text in sorted(places):
        size = len(text) * CHARACTER_WIDTH
        anchor = "start" if at + size <= width else "end"
        left = at if anchor == "start" else at - size
        lane = next((lane for lane, end in enumerate(ends) if end <= left), len(ends))
        ends[lane : lane + 1] = [left + size + CHARACTER_WIDTH]
        labels.append(Label(at, text, lane, anchor))
    return labels


def lanes(labels: Sequence[Label]) -> int:
    """How many lanes the labels take."""
    return max((label.lane + 1 for label in labels), default=0)
