"""Who is who in a history: which node has an address, which role and cell it has, which nodes share a link.

It is learned from what the history says itself: its ``model`` and ``parameters`` steps, and of link-local addresses what
the nodes show with them. Nodes that nothing tells of go by their addresses.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from captures.history.events import DATA, STEP, Event

MOBILE_NODE = "mn"
CONTROLLER = "lmc"
ROUTER = "router"


@dataclass(frozen=True, slots=True)
class Participant:
    """One participant: `role` is "mn", "lmc", "sm", "mcs", "router", "host" or empty, `cell` where it serves, or empty."""

    name: str
    role: str = ""
    cell: str = ""


class Participants:
    """All participants known so far."""

    def __init__(self) -> None:
        self.group: str | None = None
        self.spacing_ns: int | None = None
        self._known: dict[str, Participant] = {}
        self._node_of_address: dict[str, str] = {}
        self._node_of_mac: dict[str, str] = {}
        self._own_addresses: dict[str, set[str]] = {}
        self._other_end: dict[str, str] = {}
        self._captured: set[str] = set()

    # --- learning

    def learn(self, event: Event) -> None:
        """Take from an event what it tells of who is who."""
        if event.is_packet:
            self._see(event)
            self._learn_hardware(event)
        elif event.protocol == DATA:
            self._see(event)
        elif event.protocol == STEP and event.kind == "model":
            self.learn_model(event.fields.get("model"))
        elif event.protocol == STEP and event.kind == "parameters":
            self._learn_parameters(event.fields)

    def learn_model(self, model: Any) -> None:
        """Take a lab's model, as its ``model.json`` and its ``model`` step have it; what is no model tells nothing."""
        if not isinstance(model, Mapping):
            return
        cells: dict[str, str] = {}
        for attachment in _objects(model.get("attachments")):
            end, cell = attachment.get("end"), str(attachment.get("point_of_attachment", ""))
            if isinstance(end, Mapping):
                # A node that serves several cells stands in the first.
                cells.setdefault(str(end.get("node", "")), cell)
                self._has(str(end.get("node", "")), [end.get("address")])
        for node in _objects(model.get("nodes")):
            name, kind = str(node.get("name", "")), str(node.get("kind", ""))
            self._add(Participant(name, kind, cells.get(name, "")))
        for link in _objects(model.get("links")):
            first, second = link.get("first"), link.get("second")
            if isinstance(first, Mapping) and isinstance(second, Mapping):
                for end, other in ((first, second), (second, first)):
                    self._has(str(end.get("node", "")), [end.get("address")])
                    self._other_end[f"{end.get('node')}:{end.get('interface')}"] = str(other.get("node"))
        self.group = str(model["group"]) if model.get("group") else self.group
        for radio in _objects(model.get("radios")):
            self._add(Participant(str(radio.get("node", "")), MOBILE_NODE))
            pairs = radio.get("addresses")
            held = [
                pair[1]
                for pair in (pairs if isinstance(pairs, list) else ())
                if isinstance(pair, list) and len(pair) == 2
            ]
            self._has(str(radio.get("node", "")), held)

    def _learn_parameters(self, fields: Mapping[str, Any]) -> None:
        """Every object with an address is a participant, and the key it stands under its role."""
        self.group = str(fields["group"]) if fields.get("group") else self.group
        spacing = fields.get("nominal_spacing_ns")
        self.spacing_ns = spacing if isinstance(spacing, int) and spacing > 0 else None
        for key, value in fields.items():
            listed = isinstance(value, list)
            for entry in _objects(value if listed else [value]):
                name = entry.get("node") or entry.get("name")
                several = entry.get("addresses")
                addresses = [entry.get("address"), *(several.values() if isinstance(several, Mapping) else ())]
                if name and any(addresses):
                    role = key.removesuffix("s") if listed else key
                    self._add(Participant(str(name), role, str(entry.get("point_of_attachment", ""))))
                    self._has(str(name), addresses)

    def _add(self, participant: Participant) -> None:
        if not participant.name:
            return
        known = self._known.get(participant.name)
        if known is not None:
            # What the parameters call a role the model calls a host.
            role = participant.role if known.role in ("", "host") else known.role
            participant = Participant(participant.name, role, known.cell or participant.cell)
        self._known[participant.name] = participant

    def _has(self, node: str, addresses: Iterable[Any]) -> None:
        for address in addresses:
            printed = _printed(address)
            if printed:
                self._node_of_address[printed] = node
                self._own_addresses.setdefault(node, set()).add(printed)

    def _see(self, event: Event) -> None:
        node = event.node
        self._captured.add(node)
        if ":" in event.interface and node not in self._known:
            self._known[node] = Participant(node)

    def _learn_hardware(self, event: Event) -> None:
        """A node is seen to send at its own interface; a router says in its hellos which other addresses it has."""
        mac = str(event.fields.get("mac", ""))
        if not mac or mac in self._node_of_mac:
            return
        if event.source in self._own_addresses.get(event.node, ()):
            self._node_of_mac[mac] = event.node
        elif event.protocol == "pim":
            for address in event.fields.get("addresses") or ():
                if address in self._node_of_address:
                    self._node_of_mac[mac] = self._node_of_address[address]

    # --- telling

    def name(self, address: str) -> str:
        """The node that has the address, or the address."""
        return self._node_of_address.get(address, address)

    def sender(self, event: Event) -> str:
        """Who sent a packet: its source's node, or of a link-local source the one whose hardware address it came from."""
        node = self._node_of_address.get(event.source)
        if node is None and _is_local(event.source):
            node = self._node_of_mac.get(str(event.fields.get("mac", "")))
        return node or event.source

    def captures(self, node: str) -> bool:
        """Whether anything was captured at the node, so that what is not seen there did not come there."""
        return node in self._captured

    def across(self, interface: str) -> str | None:
        """The node at the other end of a link between two nodes; None for a cell, where everybody captures."""
        return self._other_end.get(interface)

    def participant(self, name: str) -> Participant:
        """The participant of that name, known or not."""
        return self._known.get(name, Participant(name))

    def all(self) -> list[Participant]:
        """All participants known, in the order in which a ladder has them: MNs, cell by cell, SM, the others."""
        cells = sorted({participant.cell for participant in self._known.values() if participant.cell})
        return sorted(self._known.values(), key=lambda participant: _place(participant, cells))


_ROLES = (ROUTER, CONTROLLER)
_AFTER_CELLS = ("sm", ROUTER, "mcs")


def _place(participant: Participant, cells: list[str]) -> tuple[int, int, int]:
    if participant.role == MOBILE_NODE:
        return 0, 0, 0
    if participant.cell:
        return (
            1,
            cells.index(participant.cell),
            _ROLES.index(participant.role) if participant.role in _ROLES else len(_ROLES),
        )
    return 2, _AFTER_CELLS.index(participant.role) if participant.role in _AFTER_CELLS else len(_AFTER_CELLS), 0


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list | tuple) else []


def _printed(address: Any) -> str | None:
    """An address the way lines have it, without a prefix length; None for what is none."""
    try:
        return str(ipaddress.ip_address(str(address).partition("/")[0]))
    except ValueError:
        return None


@lru_cache(maxsize=1024)
def _is_local(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return parsed.is_link_local or parsed.is_unspecified
