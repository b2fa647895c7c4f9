"""The tree by which a running lab forwards a group, router by router, from the kernels' tables: what is so, not what should be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from testbed.net.mininet_net import EmulatedNetwork
from testbed.net.model import Lab, Subnet
from testbed.net.observation import groups_joined
from testbed.routing.group_state import same_address
from testbed.routing.kernel_routes import KernelRoute, kernel_routes

_INDENT = "  "


@dataclass(frozen=True)
class ForwardingTree:
    """How a group is forwarded. ``routes``: by router, those of the group. ``members``: by name of a subnet, the hosts there."""

    model: Lab
    group: str
    routes: Mapping[str, tuple[KernelRoute, ...]]
    members: Mapping[str, tuple[str, ...]]

    @property
    def carrying(self) -> tuple[str, ...]:
        """The interfaces between which packets have been forwarded, each as ``node:interface``, as a capture names them."""
        return tuple(
            dict.fromkeys(
                f"{node}:{interface}"
                for node, routes in self.routes.items()
                for route in routes
                if route.packets
                for interface in (route.incoming, *route.outgoing)
            )
        )

    @property
    def sending(self) -> frozenset[str]:
        """The interfaces that send the group, each as ``node:interface``: the routers', and those of the sources on their links."""
        ends = {(end.node, end.interface) for subnet in self.model.subnets() for end in subnet.ends}
        routers = {(node, name) for node, routes in self.routes.items() for route in routes for name in route.outgoing}
        sources = {route.source for routes in self.routes.values() for route in routes}
        origins = {
            (end.node, end.interface)
            for subnet in self.model.subnets()
            for end in subnet.ends
            if any(same_address(end.address.partition("/")[0], source) for source in sources if source != "*")
        }
        return frozenset(f"{node}:{interface}" for node, interface in (routers & ends) | origins)

    def __str__(self) -> str:
        """The tree as text: for each source the routers as they feed each other, and what no router feeds below them."""
        lines: list[str] = []
        sources = dict.fromkeys(route.source for routes in self.routes.values() for route in routes)
        for source in [source for source in sources if source != "*"] or sources:
            lines.append(f"{self.group} from {'any source' if source == '*' else f'{source}{self._owner(source)}'}")
            routes, fed = self._taken_by(source), set[str]()
            roots = self._roots(routes)
            for node in (root for root in roots if source == "*" or self._is_beside(source, root, routes[root])):
                lines += self._branch(node, routes, fed, 1)
            for node in (*roots, *routes):
                if node not in fed:
                    lines.append(f"{_INDENT}fed by no router:")
                    lines += self._branch(node, routes, fed, 2)
        return "\n".join(lines) or f"{self.group}: no router forwards it"

    def _is_beside(self, source: str, node: str, route: KernelRoute) -> bool:
        """Whether a source is on the link that a router takes its packets from."""
        addresses = (end.address for subnet in self._subnets(node, route.incoming) for end in subnet.ends)
        return any(same_address(address.partition("/")[0], source) for address in addresses)

    def _taken_by(self, source: str) -> dict[str, KernelRoute]:
        """The route that packets of a source take at each router: its own, else that of any source."""
        found: dict[str, KernelRoute] = {}
        for node, routes in self.routes.items():
            for route in sorted(routes, key=lambda route: route.source != source):
                if route.source in (source, "*"):
                    found.setdefault(node, route)
        return found

    def _roots(self, routes: Mapping[str, KernelRoute]) -> list[str]:
        """The routers that nobody feeds, among them those that have a source on their link."""
        fed = {
            subnet.name
            for node, route in routes.items()
            for interface in route.outgoing
            if interface != route.incoming
            for subnet in self._subnets(node, interface)
        }
        return [
            node
            for node, route in routes.items()
            if not any(subnet.name in fed for subnet in self._subnets(node, route.incoming))
        ]

    def _branch(self, node: str, routes: Mapping[str, KernelRoute], fed: set[str], depth: int) -> Iterator[str]:
        if node in fed:
            return
        fed.add(node)
        route = routes[node]
        yield f"{_INDENT * depth}{node}: in {route.incoming}, {route.packets} packets" + (
            "" if route.outgoing else ", to nobody"
        )
        for interface in route.outgoing:
            if interface == route.incoming:
                continue  # a route of any source may name it; the kernel never sends a packet back
            subnets = self._subnets(node, interface)
            hosts = sorted({host for subnet in subnets for host in self.members.get(subnet.name, ())})
            names = ", ".join(subnet.name for subnet in subnets) or "no link of the lab"
            yield f"{_INDENT * (depth + 1)}out {interface} ({names})" + (
                f": members {', '.join(hosts)}" if hosts else ""
            )
            for below, heard in routes.items():
                if below != node and any(subnet in subnets for subnet in self._subnets(below, heard.incoming)):
                    yield from self._branch(below, routes, fed, depth + 2)

    @cached_property
    def _places(self) -> dict[tuple[str, str], list[Subnet]]:
        """The subnets that each interface is on, by node and interface."""
        found: dict[tuple[str, str], list[Subnet]] = {}
        for subnet in self.model.subnets():
            for end in subnet.ends:
                found.setdefault((end.node, end.interface), []).append(subnet)
        return found

    def _subnets(self, node: str, interface: str) -> list[Subnet]:
        return self._places.get((node, interface), [])

    def _owner(self, address: str) -> str:
        owners = (
            e.node for s in self.model.subnets() for e in s.ends if same_address(e.address.partition("/")[0], address)
        )
        return next((f" ({owner})" for owner in owners), "")


def forwarding_tree(network: EmulatedNetwork, group: str) -> ForwardingTree:
    """The tree of a group now. Raises OSError for a node that is gone."""
    model = network.model
    routes = {
        node.name: tuple(
            route for route in kernel_routes(network.pid(node.name), model.family) if same_address(route.group, group)
        )
        for node in model.routers()
    }
    hosts = [node.name for node in model.nodes if node.kind == "host"]
    joined = {host for host in hosts if any(same_address(found, group) for found in groups_joined(network, host))}
    members = {
        subnet.name: tuple(
            dict.fromkeys(
                end.node for end in subnet.ends if end.node in joined and _is_there(network, subnet, end.node)
            )
        )
        for subnet in model.subnets()
    }
    return ForwardingTree(model, group, routes, members)


def _is_there(network: EmulatedNetwork, subnet: Subnet, host: str) -> bool:
    """Whether a host is on a subnet of its now: a mobile node is in the cell that its radio is attached to."""
    radios = network.model.radios_of(host)
    return not radios or any(
        network.sandbox_namespace.state(radio.bridge_port).master == subnet.point_of_attachment for radio in radios
    )
