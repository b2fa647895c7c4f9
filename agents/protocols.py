"""Which protocols have a room here: every folder ``agents/<name>`` with a ``protocol.py``, of this tree or of PYTHONPATH.

There is no list of names: whoever adds a protocol makes its room.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import agents
from agents.core.room import Protocol


def names() -> tuple[str, ...]:
    """The protocols' names in order, without importing any."""
    return tuple(
        sorted({file.parent.name for folder in agents.__path__ for file in Path(folder).glob("*/protocol.py")})
    )


def protocol(name: str) -> Protocol:
    """The record of a protocol of ``names``."""
    found: Protocol = import_module(f"agents.{name}.protocol").PROTOCOL
    return found
