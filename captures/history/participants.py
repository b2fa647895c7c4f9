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
from captures.history.parameters import named_in
from captures.protocol import SOURCE
from captures.protocols import roles

ROUTER, HOST, MOBILE = "router", "host", "mobile"
"""Roles that a lab's model tells; a protocol's own are told by the parameters."""


@dataclass(frozen=True, slots=True)
class Participant:
    """One participant: `role` is what the lab's parameters call it, else what its model does, or empty; `cell` where it serves."""

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
        self._mobile: set[str] = set()

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
            name = str(radio.get("node", ""))
            self._mobile.add(name)
            self._add(Participant(name, MOBILE))
            pairs = radio.get("addresses")
            held = [
                pair[1]
                for pair in (pairs if isinstance(pairs, list) else ())
                if isinstance(pair, list) and len(pair) == 2
            ]
            self._has(name, held)

    def _learn_parameters(self, fields: Mapping[str, Any]) -> None:
        """Every object with an address is a participant, and the key it stands under its role."""
        self.group = str(fields["group"]) if fields.get("group") else self.group
        spacing = fields.get("nominal_spacing_ns")
        self.spacing_ns = spacing if isinstance(spacing, int) and spacing > 0 else None
        for named in named_in(fields):
            self._add(Participant(named.name, named.role, named.cell))
            self._has(named.name, named.addresses.values())
            if any(named.addresses):  # by the cell in which it has them
                self._mobile.add(named.name)

    def _add(self, participant: Participant) -> None:
        if not participant.name:
            return
        known = self._known.get(participant.name)
        if known is not None:
            # What the parameters call a role the model calls a host.
            role = participant.role if known.role in ("", HOST, MOBILE) else known.role
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

    def passes_on(self, name: str) -> bool:
        """Whether the stream that is seen at a node is on its way to others: to mobile nodes, where there are any."""
        if self._mobile:
            return bool(self.participant(name).role) and name not in self._mobile
        return self.participant(name).role in (ROUTER, SOURCE.name)

    def participant(self, name: str) -> Participant:
        """The participant of that name, known or not."""
        return self._known.get(name, Participant(name))

    def all(self) -> list[Participant]:
        """All participants known, in the order in which a ladder has them: who moves, cell by cell, roles, routers, the others."""
        cells = sorted({participant.cell for participant in self._known.values() if participant.cell})
        return sorted(self._known.values(), key=lambda participant: self._place(participant, cells))

    def _place(self, participant: Participant, cells: list[str]) -> tuple[int, int, int]:
        role = participant.role
        if participant.name in self._mobile:
            return 0, 0, 0
        order = roles().index(role) if role in roles() else len(roles())
        if participant.cell:
            return 1, cells.index(participant.cell), -1 if role == ROUTER else order
        return (2, order, 0) if role in roles() else (3 if role == ROUTER else 4, 0, 0)


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
