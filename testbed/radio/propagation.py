"""How strongly a place hears a cell: log-distance path loss, and shadowing that is a function of the place.

Shadowing is a Gaussian field for each cell, with a standard deviation in dB and the correlation that measurements show: e^-1 at
the correlation distance and exponential around it. It is made of plane waves in random directions whose lengths are
distributed so, and looked up on a grid; a node that comes back to a place finds the same there, and so does another node.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

from testbed.net.model import ModelError
from testbed.radio.movement import Position, check_position

NEAREST_M = 1.0
"""The path loss is referred to this distance; nearer is as loud."""
WAVES = 48
"""That make a field: more are nearer to Gaussian, and slower."""
GRID_PER_CORRELATION = 16
"""Points of a field's grid in a correlation distance, between which it is straight."""
_ROUGHEST = 0.98
"""Of the waves the shortest fiftieth is left out, which would change the field within centimetres."""


@dataclass(frozen=True, slots=True)
class RadioParameters:
    """All cells' radio, and what a node makes of it.

    ``transmit_dbm`` less ``reference_loss_db`` (at 1 m) less 10 ``exponent`` log10(distance in m) is heard, and shadowing of
    ``shadowing_db`` (standard deviation) with ``correlation_m``, a function of place and ``seed``.

    A cell is detected from ``detect_dbm`` on and no more ``hysteresis_db`` below. A link is going down below
    ``going_down_dbm`` or when another cell is as strong, and goes below ``down_dbm`` or when another is stronger by the
    hysteresis. Then there is none for ``gap_s``. The node measures every ``interval_s``.
    """

    transmit_dbm: float = 20.0
    reference_loss_db: float = 40.0
    exponent: float = 3.0
    shadowing_db: float = 0.0
    correlation_m: float = 20.0
    hysteresis_db: float = 3.0
    detect_dbm: float = -85.0
    going_down_dbm: float = -87.0
    down_dbm: float = -90.0
    gap_s: float = 0.05
    interval_s: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ModelError for a radio that cannot be, or whose thresholds contradict each other."""
        bounds = {
            "transmit_dbm": (-50.0, 100.0),
            "reference_loss_db": (0.0, 200.0),
            "exponent": (1.0, 10.0),
            "shadowing_db": (0.0, 30.0),
            "correlation_m": (0.1, 10_000.0),
            "hysteresis_db": (0.0, 40.0),
            "detect_dbm": (-200.0, 50.0),
            "going_down_dbm": (-200.0, 50.0),
            "down_dbm": (-200.0, 50.0),
            "gap_s": (0.0, 60.0),
            "interval_s": (0.001, 1.0),
        }
        for name, (least, most) in bounds.items():
            value = getattr(self, name)
            if not least <= value <= most:  # false for NaN too
                raise ModelError(f"{name} is {value}", "radio", f"give {least:g} to {most:g}")
        if self.down_dbm >= self.going_down_dbm:
            what = f"a link goes below {self.down_dbm:g} dBm and is going down below {self.going_down_dbm:g} dBm"
            raise ModelError(what, "radio", "give down_dbm below going_down_dbm")
        if self.down_dbm >= self.detect_dbm:
            what = f"a link goes below {self.down_dbm:g} dBm and is made from {self.detect_dbm:g} dBm on"
            raise ModelError(what, "radio", "give down_dbm below detect_dbm")

    def range_m(self, threshold_dbm: float) -> float:
        """How far from a cell the threshold is reached, without shadowing; metres."""
        loss_db = self.transmit_dbm - self.reference_loss_db - threshold_dbm
        return float(NEAREST_M * 10 ** (loss_db / (10 * self.exponent)))


class Propagation:
    """What is heard of each cell at a place."""

    def __init__(self, cells: Mapping[str, Position], parameters: RadioParameters) -> None:
        """Raises ModelError for a cell at no place, or where there is no cell."""
        if not cells:
            raise ModelError("no cells", "radio", "give points of attachment a position")
        for name, place in cells.items():
            check_position(place, f"cell {name}")
        self._cells = dict(cells)
        self._parameters = parameters
        self._places = [(name, *place) for name, place in self._cells.items()]
        self._per_decade_of_square = 5 * parameters.exponent
        self._at_reference_dbm = parameters.transmit_dbm - parameters.reference_loss_db
        self._fields = {name: _Field(parameters, name) for name in cells} if parameters.shadowing_db > 0 else {}

    @property
    def cells(self) -> Mapping[str, Position]:
        """Where each cell is."""
        return self._cells

    def heard_dbm(self, cell: str, place: Position) -> float:
        """How strongly one cell is heard."""
        return self.heard(place)[cell]

    def heard(self, place: Position) -> dict[str, float]:
        """How strongly each cell is heard, in dBm, in the order of the cells."""
        at_reference, slope = self._at_reference_dbm, self._per_decade_of_square
        x, y = place
        found = {
            cell: at_reference
            - slope * math.log10(max(NEAREST_M**2, (east - x) * (east - x) + (north - y) * (north - y)) / NEAREST_M**2)
            for cell, east, north in self._places
        }
        for cell, field in self._fields.items():
            found[cell] += field.at(x, y)
        return found


class _Field:
    """One cell's shadowing, dB."""

    def __init__(self, parameters: RadioParameters, cell: str) -> None:
        self._waves = _waves(parameters, cell)
        self._scale = parameters.shadowing_db * math.sqrt(2 / WAVES)
        self._spacing_m = parameters.correlation_m / GRID_PER_CORRELATION
        self._known: dict[tuple[int, int], float] = {}

    def at(self, x: float, y: float) -> float:
        """Between the four points of the grid around a place."""
        column, row = x / self._spacing_m, y / self._spacing_m
        east, north = math.floor(column), math.floor(row)
        right, up = column - east, row - north
        low = (1 - right) * self._on_grid(east, north) + right * self._on_grid(east + 1, north)
        high = (1 - right) * self._on_grid(east, north + 1) + right * self._on_grid(east + 1, north + 1)
        return (1 - up) * low + up * high

    def _on_grid(self, column: int, row: int) -> float:
        known = self._known.get((column, row))
        if known is None:
            x, y = column * self._spacing_m, row * self._spacing_m
            waves = math.fsum(math.cos(east * x + north * y + phase) for east, north, phase in self._waves)
            known = self._known[column, row] = self._scale * waves
        return known


def _waves(parameters: RadioParameters, cell: str) -> list[tuple[float, float, float]]:
    """Plane waves (radians per metre east and north, and phase) whose sum has the exponential correlation.

    Its spectrum in two dimensions gives the wave number k the distribution 1 - 1 / sqrt(1 + (k d)^2), d the correlation
    distance. The waves are drawn one from each equal part of it, so that few of them already are a good sample.
    """
    choice = random.Random(f"shadowing {parameters.seed} {cell}")
    waves = []
    for number in range(WAVES):
        share = _ROUGHEST * (number + choice.random()) / WAVES
        wave_number = math.sqrt((1 - share) ** -2 - 1) / parameters.correlation_m
        direction = choice.uniform(0, math.tau)
        waves.append(
            (wave_number * math.cos(direction), wave_number * math.sin(direction), choice.uniform(0, math.tau))
        )
    return waves
