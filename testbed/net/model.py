"""A lab as plain data: what can be checked, drawn, exported and simulated before any process exists.

Three kinds of attachment join the nodes:

* `Link`: two nodes, point to point (a veth pair);
* `Attachment`: a node fixed to a point of attachment (a Linux bridge, the stand-in for a radio cell);
* `Radio`: a mobile node's interface, whose point of attachment changes; it knows its address in each cell.

Addresses are strings with prefix length (`"10.0.1.1/24"`), exactly as they will be configured. `validate` refuses a lab
that could not work, naming what is wrong, where, and the remedy. The shortest paths are in `testbed.net.routes`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network, ip_address, ip_interface, ip_network
from itertools import combinations
from typing import Literal

MODEL_SCHEMA = 1
"""Version of the JSON written by `to_json`."""

INTERFACE_NAME_MAX = 15
"""Bytes in an interface name: Linux IFNAMSIZ (16) less the terminating zero."""

SOURCE_SPECIFIC_RANGES = {4: ip_network("232.0.0.0/8"), 6: ip_network("ff30::/12")}
"""Groups that are joined from their source only (RFC 4607): a (*,G) join there does nothing. ff3x::/32 lies in ff30::/12."""

LINK_LOCAL_GROUPS = {4: (ip_network("224.0.0.0/24"),), 6: (ip_network("ff01::/16"), ip_network("ff02::/16"))}
"""Groups no router forwards."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")

Family = Literal[4, 6]
Network = IPv4Network | IPv6Network
Interface = IPv4Interface | IPv6Interface


class ModelError(ValueError):
    """A lab that cannot work. `what` is wrong, `where` in the model, and the `remedy`."""

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(f"{where}: {what}; {remedy}")
        self.what, self.where, self.remedy = what, where, remedy


@dataclass(frozen=True, slots=True)
class Node:
    """A host or router with a network namespace of its own. `daemons` (routers only): names of `testbed.routing.families`."""

    name: str
    kind: Literal["host", "router"] = "host"
    daemons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PointOfAttachment:
    """A cell: a Linux bridge. Multicast snooping is off by default, since everybody in a radio cell hears everything."""

    name: str
    mcast_snooping: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """One end of a link: `address` is `ADDRESS/PREFIX_LENGTH`."""

    node: str
    interface: str
    address: str


@dataclass(frozen=True, slots=True)
class Link:
    """Point to point between two nodes."""

    first: End
    second: End


@dataclass(frozen=True, slots=True)
class Attachment:
    """A node that stays in one cell."""

    end: End
    point_of_attachment: str

    @property
    def bridge_port(self) -> str:
        """Name of the bridge's side of the veth pair."""
        return f"{self.point_of_attachment}-{self.end.node}"


@dataclass(frozen=True, slots=True)
class Radio:
    """A mobile node's interface. `addresses` maps points of attachment to `ADDRESS/PREFIX_LENGTH`, as pairs.

    `initially` is where it is attached at first; None: nowhere, it has no link.
    """

    node: str
    interface: str
    addresses: tuple[tuple[str, str], ...]
    initially: str | None

    @property
    def bridge_port(self) -> str:
        """Name of the bridges' side of the veth pair; it stays the same when the node moves to another bridge."""
        return f"air-{self.interface}"

    def first_end(self) -> End | None:
        """The interface with the address it has at first; None where it has none yet."""
        return None if self.initially is None else End(self.node, self.interface, self.address_in(self.initially))

    def address_in(self, point_of_attachment: str) -> str:
        """The node's address in that cell, with prefix length. Raises ModelError where it has none."""
        for name, address in self.addresses:
            if name == point_of_attachment:
                return address
        raise ModelError(
            f"no address for point of attachment {point_of_attachment!r}",
            f"radio {self.node}:{self.interface}",
            f"give it one; it has addresses in {', '.join(name for name, _ in self.addresses) or 'no cell'}",
        )


@dataclass(frozen=True, slots=True)
class Subnet:
    """One layer-2 segment: a link or a cell, with everything that has an address on it (a radio in each of its cells)."""

    name: str
    network: Network
    ends: tuple[End, ...]
    point_of_attachment: str | None = None


@dataclass(frozen=True, slots=True)
class Lab:
    """A whole lab. `group` is the multicast group it is about, empty for a lab without one.

    `source` is the address of origin of the group's stream where the group is a source-specific one, which is joined from it
    alone. `settings` are what the routing daemons are told, by the name that nodes give their family; that family's
    module in `testbed.routing` says which there are.
    """

    name: str
    family: Family
    nodes: tuple[Node, ...]
    points_of_attachment: tuple[PointOfAttachment, ...] = ()
    links: tuple[Link, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    radios: tuple[Radio, ...] = ()
    group: str = ""
    source: str | None = None
    settings: Mapping[str, Mapping[str, str | int]] = field(default_factory=dict)

    def node(self, name: str) -> Node:
        """The node of that name. Raises ModelError, listing the nodes there are."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise ModelError(
            f"unknown node {name!r}", f"lab {self.name}", f"known: {', '.join(n.name for n in self.nodes)}"
        )

    def routers(self) -> tuple[Node, ...]:
        """The nodes that forward, in the order of the model."""
        return tuple(node for node in self.nodes if node.kind == "router")

    def radio(self, node: str) -> Radio:
        """The first radio of a mobile node. Raises ModelError if it has none."""
        for radio in self.radios_of(node):
            return radio
        raise ModelError("not a mobile node", f"node {node}", "give it a Radio, or ask for a node that has one")

    def radios_of(self, node: str) -> tuple[Radio, ...]:
        """All radios of a node, the preferred one first."""
        return tuple(radio for radio in self.radios if radio.node == node)

    def ends_of(self, node: str) -> Iterator[End]:
        """Every fixed end of a node, and its radio's with the address it has at first."""
        for link in self.links:
            yield from (end for end in (link.first, link.second) if end.node == node)
        yield from (attachment.end for attachment in self.attachments if attachment.end.node == node)
        for radio in self.radios:
            end = radio.first_end()
            if radio.node == node and end is not None:
                yield end

    def subnets(self) -> tuple[Subnet, ...]:
        """Every layer-2 segment that has at least one end. A radio is listed in every cell it has an address in."""
        found = [
            Subnet(
                f"link {link.first.node}-{link.second.node}",
                ip_interface(link.first.address).network,
                (link.first, link.second),
            )
            for link in self.links
        ]
        for cell in self.points_of_attachment:
            ends = [a.end for a in self.attachments if a.point_of_attachment == cell.name]
            ends += [
                End(radio.node, radio.interface, address)
                for radio in self.radios
                for name, address in radio.addresses
                if name == cell.name
            ]
            if ends:
                found.append(Subnet(f"cell {cell.name}", ip_interface(ends[0].address).network, tuple(ends), cell.name))
        return tuple(found)

    def querier_interfaces(self, router: str) -> tuple[str, ...]:
        """The router's interfaces with hosts behind them: where it asks for members (IGMP or MLD)."""
        hosts = {node.name for node in self.nodes if node.kind == "host"}
        return tuple(
            end.interface
            for end in self.ends_of(router)
            if any(
                end in subnet.ends and any(other.node in hosts for other in subnet.ends) for subnet in self.subnets()
            )
        )

    def captured_ends(self) -> tuple[tuple[str, str], ...]:
        """(node, interface) such that every link is captured exactly once.

        A host's own end where a host has a link of its own, the router's end between router and cell, the first end
        between two routers, and a mobile node's own end.
        """
        kinds = {node.name: node.kind for node in self.nodes}
        ends = [
            link.second if kinds[link.second.node] == "host" and kinds[link.first.node] == "router" else link.first
            for link in self.links
        ]
        ends += [attachment.end for attachment in self.attachments]
        return tuple((end.node, end.interface) for end in ends) + tuple((r.node, r.interface) for r in self.radios)

    def validate(self) -> None:
        """Raises ModelError for the first thing that could not work."""
        _check_names(self)
        _check_interfaces(self)
        _check_addresses(self)
        _check_group(self)
        _check_reachable(self)

    def to_json(self) -> str:
        """The model as JSON, for the run folder."""
        return json.dumps({"schema": MODEL_SCHEMA, **asdict(self)}, indent=2) + "\n"


def _check_names(lab: Lab) -> None:
    where = f"lab {lab.name}"
    if lab.family not in (4, 6):
        raise ModelError(f"family is {lab.family!r}", where, "use 4 or 6")
    seen: set[str] = set()
    for name in (*(n.name for n in lab.nodes), *(p.name for p in lab.points_of_attachment)):
        if not _NAME.match(name):
            raise ModelError(f"{name!r} is not a usable name", where, "use letters, digits, '-', '_' and '.'")
        if name in seen:
            raise ModelError(f"two nodes or points of attachment are called {name!r}", where, "rename one")
        seen.add(name)
    for node in lab.nodes:
        for daemon in node.daemons:
            if node.kind != "router":
                raise ModelError(f"a host with daemon {daemon!r}", f"node {node.name}", "make it a router")


def _all_ends(lab: Lab) -> Iterator[tuple[str, End]]:
    """(where, end) of everything; a radio with its first address, if it has one."""
    for link in lab.links:
        where = f"link {link.first.node}-{link.second.node}"
        yield where, link.first
        yield where, link.second
    for attachment in lab.attachments:
        yield f"cell {attachment.point_of_attachment}", attachment.end
    for radio in lab.radios:
        end = radio.first_end()
        if end is not None:
            yield f"radio {radio.node}", end


def _check_interface_name(name: str, where: str) -> None:
    if not _NAME.match(name) or name in ("lo", "all", "default"):
        raise ModelError(f"{name!r} is not a usable interface name", where, "use letters, digits, '-', '_' and '.'")
    if len(name) > INTERFACE_NAME_MAX:
        raise ModelError(
            f"interface name {name!r} has {len(name)} characters",
            where,
            f"Linux allows {INTERFACE_NAME_MAX}: shorten it or the names it is made of",
        )


def _check_interfaces(lab: Lab) -> None:
    nodes = {node.name for node in lab.nodes}
    cells = {cell.name for cell in lab.points_of_attachment}
    for where, name in (
        *((f"cell of {a.end.node}", a.point_of_attachment) for a in lab.attachments),
        *(
            (f"radio of {r.node}", cell)
            for r in lab.radios
            for cell in (*filter(None, (r.initially,)), *(c for c, _ in r.addresses))
        ),
    ):
        if name not in cells:
            raise ModelError(
                f"unknown point of attachment {name!r}", where, f"known: {', '.join(sorted(cells)) or 'none'}"
            )
    taken: set[tuple[str, str]] = set()
    for where, end in _all_ends(lab):
        if end.node not in nodes:
            raise ModelError(f"unknown node {end.node!r}", where, f"known: {', '.join(sorted(nodes))}")
        _check_interface_name(end.interface, f"{where}, node {end.node}")
        if (end.node, end.interface) in taken:
            raise ModelError(f"node {end.node} has two interfaces called {end.interface!r}", where, "rename one")
        taken.add((end.node, end.interface))
    # These all live side by side in the sandbox's own namespace.
    ports: set[str] = set()
    for port in (*cells, *(a.bridge_port for a in lab.attachments), *(r.bridge_port for r in lab.radios)):
        _check_interface_name(port, f"bridge side of {port}")
        if port in ports:
            raise ModelError(
                f"two bridges or bridge ports would be called {port!r}",
                f"lab {lab.name}",
                "rename a node or a point of attachment, or attach the node only once",
            )
        ports.add(port)


def _parse(lab: Lab, end: End, where: str) -> Interface:
    where = f"{where}, {end.node}:{end.interface}"
    try:
        parsed = ip_interface(end.address)
    except ValueError:
        raise ModelError(
            f"{end.address!r} is not an address with prefix length", where, "write e.g. 10.0.1.1/24"
        ) from None
    if parsed.version != lab.family:
        raise ModelError(f"{end.address} is IPv{parsed.version}", where, f"the lab's family is {lab.family}")
    network = parsed.network
    if parsed.ip.is_multicast or parsed.ip.is_unspecified or parsed.ip.is_loopback or network.prefixlen == 0:
        raise ModelError(f"{end.address} cannot be a node's address", where, "use a unicast address")
    if network.num_addresses > 2 and parsed.ip in (network.network_address, network.broadcast_address):
        raise ModelError(f"{end.address} is the first or last address of its subnet", where, "use one in between")
    return parsed


def _check_addresses(lab: Lab) -> None:
    owners: dict[str, str] = {}
    subnets = [(where, end) for where, end in _all_ends(lab)]
    for where, end in subnets:
        _parse(lab, end, where)
    for subnet in lab.subnets():
        for end in subnet.ends:
            parsed = _parse(lab, end, subnet.name)
            here = f"{end.node}:{end.interface}"
            if parsed.network != subnet.network:
                raise ModelError(
                    f"{end.address} is outside the subnet {subnet.network}",
                    f"{subnet.name}, {here}",
                    "everything on one link or cell shares one subnet",
                )
            if (other := owners.setdefault(str(parsed.ip), here)) != here or other != here:
                raise ModelError(f"{parsed.ip} is also the address of {other}", f"{subnet.name}, {here}", "change one")
    for one, two in combinations(lab.subnets(), 2):
        if one.network.overlaps(two.network):
            raise ModelError(f"{one.network} overlaps {two.network} of {two.name}", one.name, "number one of them anew")


def _check_group(lab: Lab) -> None:
    where = f"lab {lab.name}"
    if not lab.group:
        return
    try:
        group = ip_address(lab.group)
    except ValueError as error:
        raise ModelError(f"group: {error}", where, "write a plain address, no prefix length") from None
    if group.version != lab.family or not group.is_multicast:
        raise ModelError(f"{group} is not an IPv{lab.family} multicast group", where, "use e.g. 239.1.1.1 or ff1e::1")
    addresses = {str(ip_interface(end.address).ip) for _, end in _all_ends(lab)}
    if group in SOURCE_SPECIFIC_RANGES[lab.family] and lab.source is None:
        raise ModelError(
            f"{group} is in the source-specific range {SOURCE_SPECIFIC_RANGES[lab.family]}",
            where,
            "a (*,G) join does nothing there: give the stream's source, or use e.g. 239.1.1.1 or ff1e::1",
        )
    if lab.source is not None and lab.source not in addresses:
        raise ModelError(
            f"source {lab.source} is no address of a node", where, "give the address of the stream's origin"
        )
    if any(group in network for network in LINK_LOCAL_GROUPS[lab.family]):
        raise ModelError(f"{group} never leaves its link", where, "use a group with a wider scope")


def _check_reachable(lab: Lab) -> None:
    if not lab.nodes:
        raise ModelError("no nodes", f"lab {lab.name}", "a lab needs at least one")
    routers = {node.name for node in lab.routers()}
    subnets = lab.subnets()
    for radio in lab.radios:
        for cell, _ in radio.addresses:
            if not any(s.point_of_attachment == cell and any(e.node in routers for e in s.ends) for s in subnets):
                raise ModelError(f"cell {cell} has no router", f"radio of {radio.node}", f"attach a router to {cell}")
    start = lab.nodes[0].name
    reached, frontier = {start}, [start]
    while frontier:
        node = frontier.pop()
        if node != start and node not in routers:
            continue  # a host does not forward
        for members in ({end.node for end in subnet.ends} for subnet in subnets):
            if node in members:
                frontier += sorted(members - reached)
                reached |= members
    for lost in (node.name for node in lab.nodes if node.name not in reached):
        raise ModelError(
            f"cannot be reached from {start}",
            f"node {lost}",
            "link it to a router or to a point of attachment that has one",
        )
