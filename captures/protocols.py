"""Which protocols the judge knows: every room of `captures` that has a module `protocol`.

Nobody keeps a list. A room may also lie outside of this tree: in ``captures/NAME`` of a folder in PYTHONPATH.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path

import captures
from captures.protocol import Protocol


@cache
def names() -> tuple[str, ...]:
    """The names of all protocols, in alphabetical order; nothing is imported for them."""
    rooms = (Path(folder) for folder in captures.__path__)
    return tuple(sorted({file.parent.name for room in rooms for file in room.glob("*/protocol.py")}))


def protocol(name: str) -> Protocol:
    """The record of one of `names`."""
    found = import_module(f"captures.{name}.protocol").PROTOCOL
    assert isinstance(found, Protocol)
    return found


@cache
def protocols() -> tuple[Protocol, ...]:
    """All records, in the order of `names`."""
    return tuple(protocol(name) for name in names())
