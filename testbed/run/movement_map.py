"""A movement as a picture: cells where they stand, how far they are heard, where nodes go, and where their links change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from xml.sax.saxutils import escape

from testbed.radio.link_events import Movement
from testbed.radio.movement import Position

COLOURS = ("#0b63ce", "#b3261e", "#2e7d32", "#8e24aa", "#ef6c00", "#00838f")  # of nodes, in turn
MARGIN_M = 15.0
WIDTH = 1000.0  # of the picture, in its own units
LEAST_HEIGHT = 160.0

At = Callable[[Position], tuple[float, float]]


def draw(cells: Mapping[str, Position], movement: Movement) -> str:
    """The SVG: a dot for each cell and a faint circle where it is heard, a line for each node, a mark for each new link."""
    places = [*cells.values(), *(point for track in movement.tracks.values() for point in track.points)]
    west, east = min(x for x, _ in places) - MARGIN_M, max(x for x, _ in places) + MARGIN_M
    south, north = min(y for _, y in places) - MARGIN_M, max(y for _, y in places) + MARGIN_M
    scale = WIDTH / (east - west)
    middle, height = (south + north) / 2, max(LEAST_HEIGHT, (north - south) * scale)

    def at(place: Position) -> tuple[float, float]:
        """In the picture, whose y goes down."""
        return round((place.x_m - west) * scale, 1), round(height / 2 - (place.y_m - middle) * scale, 1)

    size = f'viewBox="0 0 {WIDTH:g} {height:.0f}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" font-family="system-ui, sans-serif" font-size="13">',
            f"<title>{len(cells)} cells, {len(movement.tracks)} nodes</title>",
            f'<rect width="{WIDTH:g}" height="{height:.0f}" fill="#fff"/>',
            *([] if movement.range_m is None else _ranges(cells, movement.range_m * scale, at)),
            *_ways(movement, at),
            *_masts(cells, at),
            "</svg>",
        ]
    )


def _ranges(cells: Mapping[str, Position], radius: float, at: At) -> Iterator[str]:
    for place in cells.values():
        x, y = at(place)
        yield f'<circle cx="{x}" cy="{y}" r="{radius:.1f}" fill="#888" fill-opacity=".03" stroke="#bbb"/>'


def _masts(cells: Mapping[str, Position], at: At) -> Iterator[str]:
    for name, place in cells.items():
        x, y = at(place)
        yield f'<circle cx="{x}" cy="{y}" r="5"/><text x="{x}" y="{y - 10}" text-anchor="middle">{escape(name)}</text>'


def _ways(movement: Movement, at: At) -> Iterator[str]:
    for number, (node, track) in enumerate(movement.tracks.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = " ".join(f"{x},{y}" for x, y in map(at, track.points))
        yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"><title>{escape(node)}</title></polyline>'
        x, y = at(track.points[0])
        yield f'<text x="{x}" y="{y + 20}" fill="{colour}">{escape(node)}</text>'
        for event in movement.events:
            if event.node == node and event.kind == "link_up" and event.at_s > 0:
                x, y = at(track.at(event.at_s))
                said = escape(f"{node}: link to {event.cell} at {event.at_s:.2f} s")
                yield f'<circle cx="{x}" cy="{y}" r="4" fill="#fff" stroke="{colour}" stroke-width="2"><title>{said}</title></circle>'
