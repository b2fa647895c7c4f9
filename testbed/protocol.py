"""The record by which the room of a protocol, ``testbed/<name>/protocol.py``, tells the house what is in it: PROTOCOL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from testbed.net.model import Lab
from testbed.sim.world import Simulation


def _none(_model: Lab) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True, slots=True)
class Protocol:
    """A protocol's room. ``simulations``: its worlds in virtual time, each a command of ``python -m testbed sim``.

    ``roles``: the names under which its roles run in a lab with this model, which may be nodes' names and others.

    What a protocol's labs share needs no entry here: a lab imports it from the room.
    """

    name: str
    simulations: tuple[Simulation[Any], ...] = ()
    roles: Callable[[Lab], Iterable[str]] = _none
