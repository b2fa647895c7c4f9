"""Where static routers forward each stream to, from the model alone: its shortest-path tree towards everybody who may want it.

A router takes a stream from the link that leads to its origin by the shortest path, and forwards it to every link with hosts and
to every router below, whether or not anybody there is a member. Where several routers are on a link, one forwards to it: the one
nearest to the origin.

A static router below one that asks for members joins the group on the link between them, as a host would. Below a static router
only static routers can be: it hears no PIM join.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_interface

from testbed.net.model import End, Lab, ModelError, Stream, Subnet

SMCROUTE = "smcroute"
"""The family whose routes are static."""


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """One multicast route of a static router. Interfaces by name; `joins`: it must ask for the stream on the incoming one.

    `source_specific`: that it asks for it from its source only.
    """

    group: str
    source: str
    incoming: str
    outgoing: tuple[str, ...]
    joins: bool
    source_specific: bool


def static_routes(model: Lab, router: str) -> tuple[StaticRoute, ...]:
    """The routes of a router, one for each stream and address of its origin. Raises ModelError where no stream can reach it."""
    return tuple(route for tree in _trees(model) if (route := tree.route(router)) is not None)


def asked_by_static_routers(model: Lab, router: str) -> tuple[str, ...]:
    """The interfaces of a router that asks for members on which static routers below it will be some."""
    static = [node.name for node in model.nodes if node.daemon == SMCROUTE]
    joined = {(node, route.incoming) for node in static for route in static_routes(model, node) if route.joins}
    return tuple(
        end.interface
        for end in model.ends_of(router)
        if any(
            end in subnet.ends and any((other.node, other.interface) in joined for other in subnet.ends)
            for subnet in model.subnets()
        )
    )


@lru_cache(maxsize=4)
def _trees(model: Lab) -> tuple[_Tree, ...]:
    """The tree of each stream and address of its origin: every router is asked for its place in all of them."""
    return tuple(
        _Tree(model, stream, source, subnet) for stream in model.streams for source, subnet in _origins(model, stream)
    )


def _origins(model: Lab, stream: Stream) -> Iterator[tuple[str, Subnet]]:
    """Each address that a stream may come from, no prefix, with its subnet. Raises ModelError for an origin that moves."""
    where = f"stream {stream.group} from {stream.origin}"
    if model.radios_of(stream.origin):
        raise ModelError(
            "its origin moves", where, f"static routes cannot follow it: choose another family than {SMCROUTE}"
        )
    for end in model.ends_of(stream.origin):
        for subnet in model.subnets():
            if end in subnet.ends:
                yield str(ip_interface(end.address).ip), subnet


class _Tree:
    """The tree of one stream from one address of its origin, over all routers, found breadth first.

    `ways`: by router, the subnet it hears the stream on and its interface there. `forwarders`: by name of a subnet, the router that
    forwards to it.
    """

    def __init__(self, model: Lab, stream: Stream, source: str, origin: Subnet) -> None:
        self.model, self.stream, self.source = model, stream, source
        self.ways: dict[str, tuple[Subnet, str]] = {}
        self.forwarders: dict[str, str] = {}
        self._hosts = {node.name for node in model.nodes if node.kind == "host"} - {stream.origin}
        self._subnets, routers = model.subnets(), {node.name for node in model.routers()}
        reached = deque([origin])
        while reached:
            subnet = reached.popleft()
            for end in subnet.ends:
                if end.node not in routers or end.node in self.ways:
                    continue
                self.ways[end.node] = subnet, end.interface
                for other in self._subnets:
                    if other != origin and other.name not in self.forwarders and _end_on(other, end.node) is not None:
                        self.forwarders[other.name] = end.node
                        reached.append(other)

    def route(self, router: str) -> StaticRoute | None:
        """The route of a static router; None where nobody is below it. Raises ModelError for one that nothing can reach."""
        outgoing = self._outgoing(router)
        if not outgoing:
            return None
        subnet, incoming = self.ways[router]
        above = self.forwarders.get(subnet.name)
        asks = above is not None and self.model.node(above).daemon != SMCROUTE
        where = f"node {router}, stream {self.stream.group} from {self.stream.origin}"
        if above is not None and not self.model.node(above).daemon:
            raise ModelError(f"it would come from {above}, which routes no multicast", where, f"give {above} a daemon")
        for below in self._below(router):
            if (daemon := self.model.node(below).daemon) not in ("", SMCROUTE):
                raise ModelError(
                    f"{below} below it has {daemon}, which a static router does not hear",
                    where,
                    f"choose {SMCROUTE} for {below} too, or {daemon} for {router}",
                )
        return StaticRoute(
            self.stream.group,
            self.source,
            incoming,
            outgoing,
            joins=asks,
            source_specific=self.stream.is_source_specific,
        )

    def _forwards_to(self, router: str) -> list[Subnet]:
        """The subnets that a router would forward to, if somebody is there."""
        return [subnet for subnet in self._subnets if self.forwarders.get(subnet.name) == router]

    def _below(self, router: str) -> list[str]:
        """The routers that hear the stream from this one."""
        subnets = self._forwards_to(router)
        return [other for other, (subnet, _) in self.ways.items() if subnet in subnets]

    def _outgoing(self, router: str) -> tuple[str, ...]:
        """The interfaces that lead to hosts, be it over other routers."""
        return tuple(
            end.interface
            for subnet in self._forwards_to(router)
            if any(other.node in self._hosts for other in subnet.ends)
            or any(self._outgoing(other) for other, (heard, _) in self.ways.items() if heard == subnet)
            for end in [_end_on(subnet, router)]
            if end is not None
        )


def _end_on(subnet: Subnet, node: str) -> End | None:
    return next((end for end in subnet.ends if end.node == node), None)
