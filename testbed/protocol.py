"""The record by which the room of a protocol, ``testbed/<name>/protocol.py``, tells the house what is in it: PROTOCOL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from testbed.sim.world import Simulation


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol's room. ``simulations``: its worlds in virtual time, each a command of ``python -m testbed sim``.

    What a protocol's labs share needs no entry here: a lab imports it from the room.
    """

    name: str
    simulations: tuple[Simulation[Any], ...] = ()
