"""A lab as plain data: what can be checked, drawn, exported and simulated before any process exists.

Three kinds of attachment join the nodes:

* `Link`: two nodes, point to point (a veth pair);
* `Attachment`: a node fixed to a point of attachment (a Linux bridge, the stand-in for a radio cell);
* `Radio`: a mobile node's interface, whose point of attachment changes; it knows its address in each cell.

Addresses are strings with prefix length (`"10.0.1.1/24"`), exactly as they will be configured. `testbed.net.validation` refuses
a lab that could not work, naming what is wrong, where, and the remedy. The shortest paths are in `testbed.net.routes`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network
from typing import Literal

MODEL_SCHEMA = 2
"""Version of the JSON written by `to_json`."""

SOURCE_SPECIFIC_RANGES = {4: ip_network("232.0.0.0/8"), 6: ip_network("ff30::/12")}
"""Groups that are joined from their source only (RFC 4607): a (*,G) join there does nothing. ff3x::/32 lies in ff30::/12."""

Family = Literal[4, 6]
Network = IPv4Network | IPv6Network


class ModelError(ValueError):
    """A lab that cannot work. `what` is wrong, `where` in the model, and the `remedy`."""

    def __init__(self, what: str, where: str, remedy: str) -> None:
        super().__init__(f"{where}: {what}; {remedy}")
        self.what, self.where, self.remedy = what, where, remedy


@dataclass(frozen=True, slots=True)
class Node:
    """A host or router with a network namespace of its own.

    `daemon` (routers only): what routes multicast there, a name of `testbed.routing.families`; empty: nothing does.
    """

    name: str
    kind: Literal["host", "router"] = "host"
    daemon: str = ""


@dataclass(frozen=True, slots=True)
class PointOfAttachment:
    """A cell: a Linux bridge. Multicast snooping is off by default, since everybody in a radio cell hears everything.

    `position`: where its antenna stands, metres east and north; None where no geometry decides who hears it.
    """

    name: str
    mcast_snooping: bool = False
    position: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Quality:
    """What one direction of a link does to packets, beyond carrying them at once.

    Shares are of 0 to 1. `jitter_s` is how far a delay may be off either way, `rate_bps` in bit/s, `queue_packets` what waits where
    the rate is too low; None: no limit.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    rate_bps: int | None = None
    queue_packets: int | None = None


PERFECT = Quality()


@dataclass(frozen=True, slots=True)
class End:
    """One end of a link: `address` is `ADDRESS/PREFIX_LENGTH`."""

    node: str
    interface: str
    address: str


@dataclass(frozen=True, slots=True)
class Link:
    """Point to point between two nodes. `forward`: from the first to the second."""

    first: End
    second: End
    forward: Quality = PERFECT
    backward: Quality = PERFECT


@dataclass(frozen=True, slots=True)
class Attachment:
    """A node that stays in one cell. `forward`: from the node to the cell."""

    end: End
    point_of_attachment: str
    forward: Quality = PERFECT
    backward: Quality = PERFECT

    @property
    def bridge_port(self) -> str:
        """Name of the bridge's side of the veth pair."""
        return f"{self.point_of_attachment}-{self.end.node}"


@dataclass(frozen=True, slots=True)
class Radio:
    """A mobile node's interface. `addresses` maps points of attachment to `ADDRESS/PREFIX_LENGTH`, as pairs.

    `initially` is where it is attached at first; None: nowhere, it has no link. `forward`: from the node to its cell.
    """

    node: str
    interface: str
    addresses: tuple[tuple[str, str], ...]
    initially: str | None
    forward: Quality = PERFECT
    backward: Quality = PERFECT

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
class Stream:
    """A multicast stream: its group, and the node it comes from."""

    group: str
    origin: str

    @property
    def is_source_specific(self) -> bool:
        """Whether its group is joined from its source only; it must be an address."""
        group = ip_address(self.group)
        return group in SOURCE_SPECIFIC_RANGES[group.version]


QUERY_INTERVAL_S = 10
"""Between two general queries, where a lab says nothing."""


@dataclass(frozen=True, slots=True)
class Membership:
    """How routers ask hosts for members, and what both speak. `_s` in seconds; names as in RFC 3376 and RFC 3810, clause 8 and 9.

    The last member query interval is as short as FRR allows, since a lab repeats handovers and each must find a router that has
    forgotten the one before. A query interval of None: `QUERY_INTERVAL_S`, or the next that a router's daemon can keep.
    """

    igmp: Literal[2, 3] = 3
    mld: Literal[1, 2] = 2
    query_interval_s: int | None = None
    max_response_s: float = 2.0
    last_member_query_interval_s: float = 0.1
    robustness: int = 2

    @property
    def every_s(self) -> int:
        """The query interval, as most daemons take it where the lab says none."""
        return QUERY_INTERVAL_S if self.query_interval_s is None else self.query_interval_s


@dataclass(frozen=True, slots=True)
class Pim:
    """Timers of PIM routers, seconds, as short as FRR allows for the same reason.

    So is the join/prune interval: a prune that got lost is made up for when the join it should have ended times out, after
    3.5 intervals. `keep_alive_s`: of a source that sends no more.
    """

    hello_s: int = 1
    join_prune_s: int = 2
    keep_alive_s: int = 3


@dataclass(frozen=True, slots=True)
class Addressing:
    """How mobile nodes come by their addresses.

    static: whoever plays the node configures the address that the model has for it. dhcp: a server in each cell gives it that
    address. slaac: the router of each cell announces its prefix. `duplicate_address_detection`: whether an address is used
    only when nobody has objected, at once, or meanwhile.
    """

    mode: Literal["static", "dhcp", "slaac"] = "static"
    duplicate_address_detection: Literal["off", "on", "optimistic"] = "off"


@dataclass(frozen=True, slots=True)
class Lab:
    """A whole lab. `streams`: the multicast streams it is about, the one that a lab of one group means first.

    `rendezvous_point`: an address of a PIM router, no prefix; empty where all groups are source-specific, no router forwards
    multicast or routers elect it. `unicast`: whether routers' routes are the shortest paths of `testbed.net.routes`, or what
    OSPF makes of the network.
    """

    name: str
    family: Family
    nodes: tuple[Node, ...]
    points_of_attachment: tuple[PointOfAttachment, ...] = ()
    links: tuple[Link, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    radios: tuple[Radio, ...] = ()
    streams: tuple[Stream, ...] = ()
    rendezvous_point: str = ""
    unicast: Literal["static", "ospf"] = "static"
    membership: Membership = Membership()
    pim: Pim = Pim()
    addressing: Addressing = Addressing()

    @property
    def group(self) -> str:
        """The group of the first stream, empty where there is none."""
        return self.streams[0].group if self.streams else ""

    @property
    def source(self) -> str | None:
        """The address that the first stream comes from, where its group is joined from its source only; no prefix."""
        if not self.streams or not self.streams[0].is_source_specific:
            return None
        return self.address_of(self.streams[0].origin)

    def address_of(self, node: str) -> str:
        """The first address of a node, no prefix. Raises ModelError where it has none."""
        for end in self.ends_of(node):
            return end.address.partition("/")[0]
        raise ModelError("no address", f"node {node}", "link it to something, or attach it to a cell")

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

    def radio_for(self, node: str, point_of_attachment: str) -> Radio:
        """The radio of a mobile node that has an address in a cell. Raises ModelError if it has none."""
        for radio in self.radios_of(node):
            if point_of_attachment in dict(radio.addresses):
                return radio
        raise ModelError("no radio for it", f"node {node}, cell {point_of_attachment}", "give a radio an address there")

    def ends_of(self, node: str) -> Iterator[End]:
        """Every fixed end of a node, and its radio's with the address it has at first."""
        return (end for end in self.all_ends() if end.node == node)

    def all_ends(self) -> Iterator[End]:
        """Every fixed end, and each radio's with the address it has at first, if it has one."""
        for link in self.links:
            yield from (link.first, link.second)
        yield from (attachment.end for attachment in self.attachments)
        yield from filter(None, (radio.first_end() for radio in self.radios))

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

    def to_json(self) -> str:
        """The model as JSON, for the run folder."""
        return json.dumps({"schema": MODEL_SCHEMA, **asdict(self)}, indent=2) + "\n"
