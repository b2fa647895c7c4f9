r"""Fifty people walk over a campus for a minute: a core of routers with OSPF, eight access networks, sixteen cells.

::

        mcs ─── c1 ─── sm
               /  \                  a ring of core routers
             c2 ── c3
            / | \  / \
        ar1 … … … … ar8              access routers, two cells each
        / \          / \
    poa1 poa2  …  poa15 poa16        cells 50 m apart, an LMC in each
      ~   ~        ~    ~
    mn1 … mn50                       go from place to place at random

Where each node is decides which cells it hears, and that decides when its links go and come: nobody plans a handover. Routes come
from OSPF. The result says what each handover was like, and what all of them did to each router.
"""

from __future__ import annotations

from dataclasses import replace

from testbed.mmcp.roaming import roaming, session_lab
from testbed.net.model import Lab
from testbed.net.shapes import campus
from testbed.radio.link_events import Movement
from testbed.radio.movement import Track
from testbed.run.options import OptionError, Values, number_option
from testbed.run.radio_options import MOVEMENT_OPTIONS, OWN, RADIO_OPTIONS, RANDOM, movement_of, tracks_of

DEFAULTS = {"movement": RANDOM, "speed": "6", "duration": "60s", "hysteresis": "1", "radio-seed": "2"}
"""By this seed nobody stays in a cell too briefly to be in its session, nor is told of a handover longer before than an LMC waits."""

OPTIONS = (
    number_option("networks", "Access networks", "8", 1, 32),
    number_option("cells", "In each access network", "2", 1, 8),
    number_option("mobiles", "Mobile nodes", "50", 1, 500),
    number_option("streams", "Which the mobile nodes share", "1", 1, 50),
    *(
        replace(option, default=DEFAULTS.get(option.name, option.default))
        for option in (*MOVEMENT_OPTIONS, *RADIO_OPTIONS)
    ),
)


def build(values: Values) -> Lab:
    """The campus, with OSPF."""
    shape = campus(values.family, values.number("networks"), values.number("cells"))
    return session_lab("campus", shape, values.number("mobiles"), values.number("streams"), unicast="ospf")


def nowhere() -> dict[str, Track]:
    """There is no way that is this lab's own."""
    raise OptionError(f"--movement {OWN}: this lab's nodes go at random, along streets or as a trace says")


def movement(values: Values, model: Lab) -> Movement:
    """Where the nodes go, and what follows for their links."""
    return movement_of(values, model, tracks_of(values, model, nowhere))


TOPOLOGY = roaming(
    "campus",
    "fifty people walk over a campus of sixteen cells for a minute, with OSPF",
    build,
    movement=movement,
    options=OPTIONS,
    rate="50",
    example="--networks 2 --mobiles 4 --duration 20s --speed 20",
)
