"""What a capture can tell: who was heard where and since when, which links changed, who was made silent, who refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from captures.history.events import Event, node_of
from captures.history.parameters import named_in
from captures.rules.on_purpose import OnPurpose
from captures.wire.bounded import STATE_MAX, Bounded
from captures.wire.rtp import Streams

_FOR_EVER = 1 << 63


def who(event: Event) -> str:
    """The node that sent it, the same whatever address it has: its link-layer address, where there is one."""
    return event.fields["mac"] or event.source


class Coverage:
    """What all checks of a capture share: who was heard where. Kept up to date ahead of the checks.

    `began`: when each interface was heard first. `streams`: what was seen of RTP so far. `only`: addresses of whom a lab's
    parameters name outside any list: there is one of them, whom all others share. `on_purpose`: what its links do.
    """

    def __init__(self) -> None:
        self.began: dict[str, int] = {}
        self.streams = Streams()
        self.only: set[str] = set()
        self.on_purpose = OnPurpose()
        self._directions: Bounded[tuple[str, str, str, str], int] = Bounded(16 * STATE_MAX)
        self._refused: Bounded[tuple[str, str, str], bool] = Bounded()
        self._last: Bounded[str, dict[str, int]] = Bounded()
        self._link_changed: Bounded[str, int] = Bounded()
        self._any_link_changed = -1
        self._node_of_address: Bounded[str, str] = Bounded()
        self._silent_until: Bounded[str, int] = Bounded()

    @property
    def evicted(self) -> int:
        """Directions, ports and nodes that were forgotten for lack of room."""
        return sum(value.evicted for value in vars(self).values() if isinstance(value, Bounded))

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
        match event.kind:
            case "model" | "link":
                self.on_purpose.learn(event)
            case "parameters":
                for named in named_in(event.fields):
                    for address in named.addresses.values():
                        self._node_of_address.set(address, named.name)
                self.only |= {str(entry["address"]) for entry in _singles(event.fields) if "address" in entry}
            case "silence_begin":
                self._silent_until.set(event.node, _FOR_EVER)
            case "silence_end" | "crash":  # who was killed has nothing more to say for what was before
                self._silent_until.set(event.node, event.t_ns)
            case (
                "link_down" | "link_up" | "session_begin" | "session_end"
            ):  # between sessions a node may be put elsewhere
                self._link_changed.set(event.node, event.t_ns)
                self._any_link_changed = event.t_ns
            case _:
                pass

    def link_changed(self, interface: str | None = None) -> int:
        """When a step last said that the interface, or a node at it, went to another link, -1 for never; None: any."""
        if interface is None:
            return self._any_link_changed
        # A step that says of nobody that the link changed may be about anybody.
        return max(self._link_changed.get(node_of(interface)) or -1, self._link_changed.get("") or -1)

    def silenced(self, address: str, since_ns: int) -> bool:
        """Whether a step said that the node with the address was made silent for some of the time since then."""
        node = self._node_of_address.get(address)
        return node is not None and (self._silent_until.get(node) or -1) >= since_ns

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


def _singles(value: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every object in a lab's parameters that names a node or an interface and stands in no list."""
    if "node" in value or "interface" in value:
        yield value
    for inner in value.values():
        if isinstance(inner, Mapping):
            yield from _singles(inner)
