"""A place in a network in virtual time: a role, its addresses, links and ports, and the timers its network keeps for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_interface
from typing import Any

from agents.core.agent import Action, Agent, AskOperator, Endpoint, Notify, Trace
from agents.core.room import Port
from agents.core.timers import TimerKey
from testbed.sim.store import Store

FIRST_PORT, PORTS = 32768, 28232  # the ports of any number of a node, taken in turn as Linux does
JOIN_TIME_S = 0.010  # from a join to its report on the wire
Group = tuple[str, str, str | None]
"""A group's address, the interface, and the source of a source-specific one."""
Put = Callable[[float, Callable[[Any, Any], None], Any, Any], None]


class KnownPorts:
    """The ports that a role has from its start on; one object for all nodes that have the same."""

    def __init__(self, ports: Sequence[Port]) -> None:
        self.by_name = {"": Port(), **{port.name: port for port in ports}}
        self.own = self.by_name[""]
        self.unnumbered = [name for name, port in self.by_name.items() if port.kind != "ip" and not port.number]
        self.numbers = frozenset(port.number for port in ports)
        self.has_raw = any(port.kind == "ip" for port in ports)


class Interface:
    """One interface of a node. ``site`` is the place its link is at; without an address, or a link, nothing passes.

    ``routable_as`` is the one address that fits at its site, None where any does. ``prefix_length`` is that of its subnet.
    """

    __slots__ = ("address", "is_reachable", "link_is_up", "name", "prefix_length", "routable_as", "site")

    def __init__(self, name: str, address: str, site: str) -> None:
        self.name = name
        self.address, self.prefix_length = _divided(address)
        self.site = site
        self.link_is_up = True
        self.routable_as: str | None = None
        self.is_reachable = False

    def configure(self, address: str) -> None:
        """Replace its address by "address/prefix length"."""
        self.address, self.prefix_length = _divided(address)

    def holds(self, address: str) -> bool:
        """Whether an address is of its subnet."""
        if not self.address:
            return False
        subnet = ip_interface(f"{self.address}/{self.prefix_length}").network
        return ip_address(address) in subnet


def _divided(address: str) -> tuple[str, int]:
    plain, _, length = address.partition("/")
    return plain, int(length) if length else 128 if ":" in plain else 32


class _Looked:
    """What every event looks at lies side by side in memory: slots of a base class come first."""

    __slots__ = ("agent", "alarms", "endpoint", "index", "is_plain", "is_reachable", "plain_port")


class Node(_Looked):
    """A role at its place. What every event looks at stands here; all else is of the ``interfaces``.

    ``endpoint`` and ``is_reachable`` are those of its own port, at the address that it is bound to or else that of the
    ``default`` interface, the default route's. A plain node has one interface and an own UDP port, ``plain_port``.
    """

    __slots__ = (
        "default", "disk", "ended", "groups", "interfaces", "is_alive", "join_time_s", "joins_succeed", "known", "life",
        "name", "next_port", "numbers", "ports", "shown_at", "told",
    )  # fmt: skip

    def __init__(
        self, index: int, name: str, agent: Agent, known: KnownPorts, interface: Interface, *, keeps: bool
    ) -> None:
        self.index = index
        self.name = name
        self.agent = agent
        self.known = known
        self.numbers: dict[str, int] = {}  # of the ports of any number, by name
        self.ports: dict[int, str] = {}  # their names, by number
        self.next_port = 0
        self.default = interface
        self.interfaces: tuple[Interface, ...] = (interface,)
        self.is_alive = True
        self.life = 0  # how often its machine has died
        self.ended: int | None = None  # the status with which the role has ended
        self.endpoint = Endpoint(interface.address, 0)
        self.alarms: dict[TimerKey, float] = {}
        self.groups: dict[Group, bool] = {}  # whether the role renews the membership itself
        self.join_time_s = JOIN_TIME_S
        self.joins_succeed = True
        self.shown_at = -1.0  # when a report of a membership last left it on a link where its address fits
        self.disk: Store | None = None
        self.told: list[Action] | None = [] if keeps else None  # what the role has told its surroundings
        self.open_ports()

    def open_ports(self) -> None:
        """Open what the role has from its start on."""
        for name in self.known.unnumbered:
            self.port(name)
        self.changed()

    def changed(self) -> None:
        """A link, place or address has changed: an interface is reachable with a link and the address that fits there."""
        for each in self.interfaces:
            fits = each.routable_as is None or each.address == each.routable_as
            each.is_reachable = self.is_alive and each.link_is_up and fits and each.address != ""
        own = self.known.own
        number = 0 if own.kind == "ip" else own.number or self.numbers.get("", 0)
        bound = self.interface_at(own.address) if own.address else self.default
        self.endpoint = Endpoint(own.address or self.default.address, number)
        self.is_reachable = bound is not None and bound.is_reachable and self.ended is None
        self.is_plain = len(self.interfaces) == 1 and own.kind == "udp"
        self.plain_port = number if self.is_plain else -1

    @property
    def address(self) -> str:
        """The address of the default route's interface."""
        return self.default.address

    @property
    def link_is_up(self) -> bool:
        """Whether the default route's interface has a link."""
        return self.default.link_is_up

    @property
    def notices(self) -> list[Notify]:
        """What the role has told its application, where a history is kept; so are the next two."""
        return [action for action in self.told or () if isinstance(action, Notify)]

    @property
    def traces(self) -> list[Trace]:
        """The role's history."""
        return [action for action in self.told or () if isinstance(action, Trace)]

    @property
    def questions(self) -> list[AskOperator]:
        """What the role has asked the operator."""
        return [action for action in self.told or () if isinstance(action, AskOperator)]

    @property
    def next_deadline(self) -> float | None:
        """When the role's next timer is due (s), or None."""
        return min(self.alarms.values(), default=None)

    def interface(self, name: str) -> Interface | None:
        """The interface of that name."""
        return next((each for each in self.interfaces if each.name == name), None)

    def named(self, interface: str) -> Interface:
        """The interface of that name ("": the default route's); ValueError where there is none."""
        found = self.interface(interface) if interface else self.default
        if found is None:
            raise ValueError(f"{self.name} has no interface {interface}")
        return found

    def interface_at(self, address: str) -> Interface | None:
        """The interface that has an address."""
        return next((each for each in self.interfaces if each.address == address), None)

    def interface_to(self, destination: str) -> Interface:
        """The interface of that subnet, else the default route's; a link that is down keeps its routes."""
        if len(self.interfaces) == 1:
            return self.default
        return next((each for each in self.interfaces if each.holds(destination)), self.default)

    def port(self, name: str) -> int:
        """The number of a port, which is opened at its first use if it is an extra one."""
        known = self.known.by_name.get(name)
        number = (known.number if known is not None else 0) or self.numbers.get(name)
        while number is None:
            candidate = FIRST_PORT + self.next_port
            self.next_port = (self.next_port + 1) % PORTS
            if candidate not in self.ports and candidate not in self.known.numbers:
                self.numbers[name] = number = candidate
                self.ports[number] = name
        return number

    def port_name(self, kind: str, number: int, address: str) -> str | None:
        """The name of the open port of a number (of kind "ip": of a protocol) at one of its addresses, or None."""
        for name, port in self.known.by_name.items():
            if port.number and (port.kind, port.number) == (kind, number) and port.address in ("", address):
                return name
        found = self.ports.get(number)
        if found is None or kind == "ip":
            return None
        described = self.known.by_name.get(found)
        return found if kind == ("udp" if described is None else described.kind) else None

    def stream_port(self, endpoint: Endpoint) -> str | None:
        """The name of the port that listens at one of its endpoints, or None."""
        return None if self.ended is not None else self.port_name("tcp", endpoint.port, endpoint.address)

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
