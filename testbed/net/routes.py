"""Static unicast routes by shortest path (fewest subnets crossed), computed from the model alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_interface

from testbed.net.model import Lab, ModelError, Subnet
from testbed.net.walk import Hop, walk

DEFAULT_DESTINATION = {4: "0.0.0.0/0", 6: "::/0"}


@dataclass(frozen=True, slots=True)
class Route:
    """One unicast route of a node: packets to `destination` (a prefix) leave by `interface` to the address `via`."""

    node: str
    destination: str
    via: str
    interface: str


def gateway(lab: Lab, point_of_attachment: str) -> str:
    """Address of the router of a cell (no prefix): the default gateway of everybody in it. ModelError if it has none."""
    routers = {node.name for node in lab.routers()}
    for subnet in lab.subnets():
        if subnet.point_of_attachment == point_of_attachment:
            for end in subnet.ends:
                if end.node in routers:
                    return str(ip_interface(end.address).ip)
    raise ModelError("no router in this cell", f"cell {point_of_attachment}", "attach a router to it")


def routes(lab: Lab, attached: Mapping[str, str] | None = None) -> tuple[Route, ...]:
    """Routes of every node.

    A host gets one default route to the first router of its first subnet. A router gets one route per subnet it is not
    on, unless a routing protocol is to give it its routes. `attached` says where mobile nodes are (node -> point of attachment); without it, where they are at first.
    """
    where: dict[str, set[str]] = {}
    for radio in lab.radios:
        where.setdefault(radio.node, set()).update(filter(None, (radio.initially,)))
    where |= {node: {cell} for node, cell in (attached or {}).items()}
    # A mobile node is only on the cell it is attached to.
    subnets = tuple(
        Subnet(
            s.name, s.network, tuple(e for e in s.ends if not _elsewhere(lab, s, e.node, where)), s.point_of_attachment
        )
        for s in lab.subnets()
    )
    routers = {node.name for node in lab.routers()}
    found: list[Route] = []
    for node in lab.nodes:
        if node.kind == "host":
            found += _default_route(lab, node.name, subnets, routers)
        elif lab.unicast == "static":
            found += _router_routes(node.name, subnets, routers)
    return tuple(found)


def _elsewhere(lab: Lab, subnet: Subnet, node: str, where: Mapping[str, set[str]]) -> bool:
    mobile = any(radio.node == node for radio in lab.radios)
    fixed_here = any(
        a.end.node == node and a.point_of_attachment == subnet.point_of_attachment for a in lab.attachments
    )
    return (
        mobile
        and subnet.point_of_attachment is not None
        and not fixed_here
        and subnet.point_of_attachment not in where[node]
    )


def _default_route(lab: Lab, host: str, subnets: tuple[Subnet, ...], routers: set[str]) -> list[Route]:
    for subnet in subnets:
        for own in subnet.ends:
            if own.node != host:
                continue
            for other in subnet.ends:
                if other.node in routers:
                    via = str(ip_interface(other.address).ip)
                    return [Route(host, DEFAULT_DESTINATION[lab.family], via, own.interface)]
    return []


def _router_routes(router: str, subnets: tuple[Subnet, ...], routers: set[str]) -> list[Route]:
    known = {subnet.network for subnet in subnets if any(end.node == router for end in subnet.ends)}
    first: dict[str, Hop] = {}
    found: list[Route] = []
    for node, hop in walk(router, subnets, routers).items():
        if node not in routers:
            continue
        step = first[node] = first.get(hop.own.node, hop)
        for subnet in subnets:
            if subnet.network not in known and any(end.node == node for end in subnet.ends):
                known.add(subnet.network)
                via = str(ip_interface(step.other.address).ip)
                found.append(Route(router, str(subnet.network), via, step.own.interface))
    return found
