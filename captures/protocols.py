"""Which protocols the judge knows: every room of `captures` that has a module `protocol`.

Nobody keeps a list. A room may also lie outside of this tree: in ``captures/NAME`` of a folder in PYTHONPATH.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path

import captures
from captures.protocol import SOURCE, Protocol, Role


@cache
def _rooms() -> dict[str, Path]:
    """Every room's folder by its protocol's name, in alphabetical order; of two of one name the first found counts."""
    found: dict[str, Path] = {}
    for folder in captures.__path__:
        for file in Path(folder).glob("*/protocol.py"):
            found.setdefault(file.parent.name, file.parent)
    return dict(sorted(found.items()))


def names() -> tuple[str, ...]:
    """The names of all protocols, in alphabetical order; nothing is imported for them."""
    return tuple(_rooms())


def room(name: str) -> Path:
    """The folder of one of `names`."""
    return _rooms()[name]


def protocol(name: str) -> Protocol:
    """The record of one of `names`."""
    found = import_module(f"captures.{name}.protocol").PROTOCOL
    assert isinstance(found, Protocol)
    return found


@cache
def protocols() -> tuple[Protocol, ...]:
    """All records, in the order of `names`."""
    return tuple(protocol(name) for name in names())


def port_names() -> tuple[str, ...]:
    """What a port can be given to: protocols, and modules of one that each have a port of their own."""
    carriers = ((known, carrier) for known in protocols() for carrier in known.carriers if carrier.transport != "ip")
    return tuple(dict.fromkeys(known.port_name(carrier) for known, carrier in carriers))


def role(name: str) -> Role:
    """What the parameters call `name`, as the first protocol that knows it; of what none knows the name itself."""
    known = next((one for each in protocols() for one in each.roles if one.name == name), None)
    return known or (SOURCE if name == SOURCE.name else Role(name, name, name))


@cache
def roles() -> tuple[str, ...]:
    """The names of all roles that a protocol knows, in the order in which a ladder has them."""
    return tuple(dict.fromkeys(one.name for each in protocols() for one in each.roles))
