"""A lab's ``parameters`` step as anybody may read it: the lab, its group, and everything in it that has an address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Named:
    """An object with an address: its node's name, the key it stands under as its role, and where it is.

    `called`: what steps call it, its own name; several may be at one node.
    `addresses`: by the cell in which it has each, where it may be in several; `cell`: where it serves, or empty.
    `interface`: where it is captured, as ``node:interface``, or empty.
    """

    name: str
    role: str
    addresses: Mapping[str, str]
    cell: str
    interface: str
    called: str


def port_in(parameters: Mapping[str, Any], port_name: str) -> int | None:
    """The port that a protocol's section gives ``name`` as ``port``, ``name.module`` as ``module_port``; None if none does."""
    name, _, module = port_name.partition(".")
    section = parameters.get(name)
    port = section.get(f"{module}_port" if module else "port") if isinstance(section, Mapping) else None
    return port if isinstance(port, int) and 0 < port < 65536 else None


def named_in(parameters: Mapping[str, Any]) -> Iterator[Named]:
    """Every object with a name and an address, in the step itself and in the sections that protocols have in it."""
    for key, value in parameters.items():
        listed = isinstance(value, list | tuple)
        for entry in value if listed else (value,):
            if not isinstance(entry, Mapping):
                continue
            name, several = entry.get("node") or entry.get("name"), entry.get("addresses")
            addresses = {"": str(entry["address"])} if entry.get("address") else {}
            if isinstance(several, Mapping):
                addresses |= {str(cell): str(address) for cell, address in several.items() if address}
            if name and addresses:
                role = key.removesuffix("s") if listed else key
                cell, interface = (str(entry.get(word, "")) for word in ("point_of_attachment", "interface"))
                yield Named(str(name), role, addresses, cell, interface, str(entry.get("name") or name))
            elif not listed:
                yield from named_in(entry)
