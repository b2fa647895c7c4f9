"""A place in a network in virtual time: a role, its address and link, and the timers that its network keeps for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agents.core.agent import Agent, Endpoint
from agents.core.timers import TimerKey

FIRST_PORT, PORTS = 32768, 28232  # the extra ports of a node, taken in turn as Linux does
Group = tuple[str, str, str | None]
"""A group's address, the interface, and the source of a source-specific one."""
Put = Callable[[float, Callable[[Any, Any], None], Any, Any], None]


class Node:
    """A role at its place. ``site`` is where it is for partitions; ``routable_as`` the one address that fits there."""

    __slots__ = (
        "agent", "alarms", "endpoint", "groups", "index", "is_reachable", "link_is_up", "name", "next_port", "numbers",
        "ports", "routable_as", "shown_at", "site",
    )  # fmt: skip

    def __init__(self, index: int, name: str, agent: Agent, address: str, port: int, site: str) -> None:
        self.index = index
        self.name = name
        self.agent = agent
        self.endpoint = Endpoint(address, port)
        self.site = site
        self.routable_as: str | None = address
        self.link_is_up = True
        self.is_reachable = True
        self.alarms: dict[TimerKey, float] = {}
        self.numbers: dict[str, int] = {}  # of the extra ports, by name
        self.ports: dict[int, str] = {}  # their names, by number
        self.next_port = 0
        self.groups: dict[Group, float] = {}
        self.shown_at = -1.0  # when a report of a membership last left it on a link where its address fits

    def changed(self) -> None:
        """Its link, place or address has changed: it is reachable with a link and the address that fits there."""
        self.is_reachable = self.link_is_up and self.endpoint.address == self.routable_as

    def show_membership(self, now: float) -> None:
        """A report of a membership leaves it; a router heeds one only from an address of its link's subnet."""
        if self.is_reachable:
            self.shown_at = now

    def port(self, name: str) -> int:
        """The number of an extra port, which is opened at its first use."""
        port = self.numbers.get(name)
        while port is None:
            candidate = FIRST_PORT + self.next_port
            self.next_port = (self.next_port + 1) % PORTS
            if candidate not in self.ports and candidate != self.endpoint.port:
                self.numbers[name] = port = candidate
                self.ports[port] = name
        return port

    def close_port(self, name: str) -> None:
        """Close an extra port; nothing happens where it never came to a send."""
        port = self.numbers.pop(name, None)
        if port is not None:
            del self.ports[port]


class NodeTimers(dict[TimerKey, float]):
    """The timers of a node's role that are armed, with their deadlines (s); they stand in the agenda of its network too."""

    __slots__ = ("_expire", "_node", "_put")

    def __init__(self, node: Node, put: Put, expire: Callable[[TimerKey, Node], None]) -> None:
        super().__init__()
        self._node = node
        self._put = put
        self._expire = expire

    def set(self, key: TimerKey, deadline: float) -> None:
        """Arm ``key`` to fire at ``deadline`` (s), in place of any earlier deadline it had."""
        self[key] = deadline
        self._put(deadline, self._expire, key, self._node)

    def cancel(self, key: TimerKey) -> None:
        """Disarm ``key``; nothing happens when it is not armed."""
        self.pop(key, None)
