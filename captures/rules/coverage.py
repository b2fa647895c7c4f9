"""What a capture can tell: who was heard where and since when, which links changed, who was made silent, who refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from captures.history.events import Event
from captures.wire.bounded import STATE_MAX, Bounded
from captures.wire.rtp import Streams

_FOR_EVER = 1 << 63


def who(event: Event) -> str:
    """The node that sent it, the same whatever address it has: its link-layer address, where there is one."""
    return event.fields["mac"] or event.source


class Coverage:
    """What all checks of a capture share: who was heard where. Kept up to date ahead of the checks.

    `began`: when each interface was heard first. `streams`: what was seen of RTP so far. `only`: addresses of whom a lab's
    parameters name outside any list: there is one of them, whom all others share.
    """

    def __init__(self) -> None:
        self.began: dict[str, int] = {}
        self.streams = Streams()
        self.only: set[str] = set()
        self._directions: Bounded[tuple[str, str, str, str], int] = Bounded(16 * STATE_MAX)
        self._refused: Bounded[tuple[str, str, str], bool] = Bounded()
        self._last: Bounded[str, dict[str, int]] = Bounded()
        self._link_changed: dict[str, int] = {}
        self._nodes: dict[str, str] = {}
        self._walks: dict[str, str] = {}
        self._names: dict[str, set[str]] = {}
        self._silent_until: dict[str, int] = {}

    def note(self, event: Event) -> None:
        """Take the next event in."""
        if event.protocol == "step":
            self._step(event)
            return
        port = (event.interface, event.protocol, event.source)
        if event.kind == "unreachable":
            self._refused.set(port, value=True)
            return  # said by the host, not by who should have answered
        if len(self._refused):
            self._refused.pop(port)
        self._directions.set((event.interface, event.protocol, event.source, event.destination), event.t_ns)
        seen = self._last.obtain(who(event), dict)
        if len(seen) < 64 or event.interface in seen:
            seen[event.interface] = event.t_ns

    def _step(self, event: Event) -> None:
        """A lab's links change and its nodes fall silent on purpose: learn whose, as far as the steps tell."""
        fields = event.fields
        handover = str(fields.get("handover"))
        if event.kind == "parameters":
            for entry in _entries(fields):
                node = str(entry.get("node") or _node(str(entry.get("interface", ""))))
                names = {str(entry.get("name", node)), node}
                self._nodes |= dict.fromkeys(names, node)
                addresses = entry.get("addresses")
                for address in [entry.get("address"), *(addresses.values() if isinstance(addresses, dict) else ())]:
                    self._names.setdefault(str(address), set()).update(names)
            self.only |= {str(entry["address"]) for entry in _singles(fields) if "address" in entry}
        elif event.kind == "silence_begin":
            self._silent_until[str(fields.get("role"))] = _FOR_EVER
        elif event.kind in ("silence_end", "crash"):  # who was killed has nothing more to say for what was before
            self._silent_until[str(fields.get("role"))] = event.t_ns
        elif event.kind == "handover_begin":
            self._walks[handover] = self._nodes.get(str(fields.get("mn")), "")
        elif event.kind in ("link_down", "link_up"):
            self._link_changed[self._walks.get(handover, "")] = event.t_ns
        elif event.kind in ("session_begin", "session_end"):
            # Between sessions a node may be put elsewhere.
            self._link_changed[self._nodes.get(str(fields.get("mn")), "")] = event.t_ns

    def link_changed(self, interface: str | None = None) -> int:
        """When a step last said that the interface, or a node at it, went to another link, -1 for never; None: any."""
        if interface is None:
            return max(self._link_changed.values(), default=-1)
        return max(self._link_changed.get(_node(interface), -1), self._link_changed.get("", -1))

    def silenced(self, address: str, since_ns: int) -> bool:
        """Whether a step said that the node with the address was made silent for some of the time since then."""
        return any(self._silent_until.get(name, -1) >= since_ns for name in self._names.get(address, ()))

    def refused(self, interface: str, protocol: str, address: str) -> bool:
        """Whether the last that the interface saw of a protocol's port at an address was that nobody is there.

        Hosts say so no more than once a second or so, so not of each datagram.
        """
        return self._refused.get((interface, protocol, address)) is not None

    def heard(self, interface: str, protocol: str, source: str, destination: str) -> int:
        """When the interface saw the protocol in this direction last, 0 for never."""
        return self._directions.get((interface, protocol, source, destination)) or 0

    def last_heard(self, node: str, interface: str) -> int:
        """When the interface heard a node last, -1 for never."""
        return (self._last.get(node) or {}).get(interface, -1)

    def elsewhere(self, node: str, interface: str) -> bool:
        """Whether a node was heard after the interface heard it last; the interfaces of one link hear it within 10 ms."""
        seen = self._last.get(node) or {}
        return max(seen.values(), default=-1) > seen.get(interface, -1) + 10_000_000

    def covered_ns(self, event: Event) -> int:
        """How long the interface had been captured before the event, on the link that it is on now."""
        began = self.began.get(event.interface, event.t_ns)
        return event.t_ns - max(began, self.link_changed(event.interface))


def _entries(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every object in a lab's parameters that names a node or an interface, in whatever protocol's section it is."""
    if isinstance(value, Mapping):
        if "node" in value or "interface" in value:
            yield value
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _entries(inner)


def _singles(value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Those of the objects that stand in no list."""
    if "node" in value or "interface" in value:
        yield value
    for inner in value.values():
        if isinstance(inner, Mapping):
            yield from _singles(inner)


def _node(interface: str) -> str:
    """The node of an interface, which a lab calls ``node:interface``."""
    return interface.partition(":")[0]
