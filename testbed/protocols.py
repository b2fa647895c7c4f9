"""Which protocols have a room here: every folder ``testbed/<name>`` with a ``protocol.py``, of this tree or of PYTHONPATH.

There is no list of names: whoever adds a protocol makes its room.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import testbed
from testbed.net.model import Lab
from testbed.protocol import Protocol


def names() -> tuple[str, ...]:
    """The protocols' names in order, without importing any."""
    return tuple(
        sorted({file.parent.name for folder in testbed.__path__ for file in Path(folder).glob("*/protocol.py")})
    )


def protocol(name: str) -> Protocol:
    """The record of a protocol of ``names``."""
    found: Protocol = import_module(f"testbed.{name}.protocol").PROTOCOL
    return found


def role_names(model: Lab) -> frozenset[str]:
    """The names that any protocol's roles may have in a lab with this model, those of its hosts among them."""
    hosts = {node.name for node in model.nodes if node.kind == "host"}
    return frozenset(hosts.union(*(protocol(name).roles(model) for name in names())))
