r"""A tram goes along a line of cells and keeps receiving: a handover every few seconds, each where geometry puts it.

::

    mcs ──── rr ──── sm              rr is the rendezvous point
          /  |  \
       ar1  ar2 … arN                an access router for each cell
        |    |     |
      poa1 poa2 … poaN               masts beside the track, an LMC in each cell
       ~ ~  ~ ~   ~ ~
    ══[mn1]═══════════▶══            mn1 eastwards; mn2, if there is one, westwards, and so on

Where the tram hears the next cell as strongly as its own it learns that its link is going down, and where the next is stronger
by the hysteresis it goes: there is no overlap to choose, it follows from speed, distance and path loss. What the tram is told is
right, late or wrong; MMCP must keep the stream in the first case and find back to it in all others.
"""

from __future__ import annotations

from functools import partial

from testbed.mmcp.roaming import roaming, session_lab
from testbed.net.model import Lab
from testbed.net.shapes import Shape
from testbed.radio.link_events import Movement
from testbed.radio.movement import Position, Track, through
from testbed.routing.families import INTERFACES_MAX
from testbed.run.options import Values, number_option
from testbed.run.radio_options import MOVEMENT_OPTIONS, RADIO_OPTIONS, movement_of, tracks_of

MAST_M = 5.0  # from the track
CELLS_MAX = INTERFACES_MAX - 2  # the source and the SM are behind the same router
REST_S = 1.0  # before the first tram moves, and more for each other
HEADWAY_S = 0.7

OPTIONS = (
    number_option("cells", "Along the track", "10", 2, CELLS_MAX),
    number_option("mobiles", "Trams, one each way in turn", "1", 1, 100),
    number_option("distance", "From one cell to the next", "40", 5, 1000, "m"),
    *MOVEMENT_OPTIONS,
    *RADIO_OPTIONS,
)


def build(values: Values) -> Lab:
    """A router with a cell at each mast, all below the rendezvous point."""
    shape = Shape(values.family)
    shape.router("rr")
    for number in range(values.number("cells")):
        router = shape.router(f"ar{number + 1}")
        shape.connect("rr", router)
        shape.cell(f"poa{number + 1}", router, (float(values.number("distance") * number), MAST_M))
    return session_lab("tram", shape, values.number("mobiles"))


def along_the_line(values: Values, model: Lab) -> dict[str, Track]:
    """From the first cell to the last, or the other way, at a constant speed, one tram after the other."""
    ends = [Position(x_m, 0.0) for x_m in (0.0, float(values.number("distance") * (values.number("cells") - 1)))]
    speed_mps = values.number("speed") / 3.6
    return {
        radio.node: through(ends[:: 1 if number % 2 == 0 else -1], speed_mps, [REST_S + HEADWAY_S * number])
        for number, radio in enumerate(model.radios)
    }


def movement(values: Values, model: Lab) -> Movement:
    """Where the trams go, and what follows for their links."""
    return movement_of(values, model, tracks_of(values, model, partial(along_the_line, values, model)))


TOPOLOGY = roaming(
    "tram",
    "a tram goes along ten cells at 60 km/h: a handover every 2.4 s, told in time, late or wrong",
    build,
    movement=movement,
    options=OPTIONS,
    rate="500",
    example="--speed 100 --prediction late=30%,wrong=20%",
)
