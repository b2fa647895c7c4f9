"""Whether a lab could work at all: its names, interfaces, addresses, streams, qualities, and who can be reached."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network
from itertools import pairwise

from testbed.net.model import End, Lab, ModelError, Quality
from testbed.net.walk import walk
from testbed.net.wires import wires
from testbed.radio.movement import Position, check_position

INTERFACE_NAME_MAX = 15
"""Bytes in an interface name: Linux IFNAMSIZ (16) less the terminating zero."""

LINK_LOCAL_GROUPS = {4: (ip_network("224.0.0.0/24"),), 6: (ip_network("ff01::/16"), ip_network("ff02::/16"))}
"""Groups no router forwards."""

PORTS_OF_A_BRIDGE = 1023
"""Linux gives a bridge no more (BR_MAX_PORTS less the bridge itself)."""

DELAY_MAX_S = 10.0
RATE_MIN_BPS, RATE_MAX_BPS = 10_000, 10**10
"""A packet of full length takes a second at the least; no virtual link is faster than the most."""


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")

Interface = IPv4Interface | IPv6Interface


def validate(lab: Lab) -> None:
    """Raises ModelError for the first thing that could not work, whichever daemons route."""
    _check_names(lab)
    _check_interfaces(lab)
    _check_addresses(lab)
    _check_streams(lab)
    _check_reachable(lab)
    _check_qualities(lab)
    _check_membership(lab)
    for cell in lab.points_of_attachment:
        if cell.position is not None:
            check_position(Position(*cell.position), f"cell {cell.name}")


def _check_names(lab: Lab) -> None:
    where = f"lab {lab.name}"
    if not _NAME.match(lab.name):
        raise ModelError(f"{lab.name!r} is not a usable name", "lab", "use letters, digits, '-', '_' and '.'")
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
        if node.daemon and node.kind != "router":
            raise ModelError(f"a host with daemon {node.daemon!r}", f"node {node.name}", "make it a router")


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
    for cell, count in Counter(
        (*(a.point_of_attachment for a in lab.attachments), *(c for r in lab.radios for c, _ in r.addresses))
    ).items():
        if count > PORTS_OF_A_BRIDGE:
            raise ModelError(
                f"{count} nodes may be in it at once",
                f"cell {cell}",
                f"a bridge has {PORTS_OF_A_BRIDGE} ports: use more cells",
            )
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
    # In the order of their first addresses, one that overlaps any other overlaps its neighbour.
    ordered = sorted(lab.subnets(), key=lambda subnet: (int(subnet.network.network_address), subnet.network.prefixlen))
    for one, two in pairwise(ordered):
        if one.network.overlaps(two.network):
            raise ModelError(f"{one.network} overlaps {two.network} of {two.name}", one.name, "number one of them anew")


def _check_streams(lab: Lab) -> None:
    nodes = {node.name for node in lab.nodes}
    seen: set[tuple[str, str]] = set()
    for stream in lab.streams:
        where = f"lab {lab.name}, stream of {stream.origin}"
        try:
            group = ip_address(stream.group)
        except ValueError as error:
            raise ModelError(f"group: {error}", where, "write a plain address, no prefix length") from None
        if group.version != lab.family or not group.is_multicast:
            raise ModelError(
                f"{group} is not an IPv{lab.family} multicast group", where, "use e.g. 239.1.1.1 or ff1e::1"
            )
        if any(group in network for network in LINK_LOCAL_GROUPS[lab.family]):
            raise ModelError(f"{group} never leaves its link", where, "use a group with a wider scope")
        if stream.origin not in nodes:
            raise ModelError(f"unknown node {stream.origin!r}", where, f"known: {', '.join(sorted(nodes))}")
        lab.address_of(stream.origin)
        if (stream.group, stream.origin) in seen:
            raise ModelError(f"{group} twice", where, "one node is the origin of a group once")
        seen.add((stream.group, stream.origin))
    if lab.rendezvous_point:
        owners = {
            str(ip_interface(end.address).ip): node.name for node in lab.routers() for end in lab.ends_of(node.name)
        }
        if lab.rendezvous_point not in owners:
            raise ModelError(
                f"rendezvous point {lab.rendezvous_point} is no address of a router",
                f"lab {lab.name}",
                f"use an address of {', '.join(sorted({*owners.values()}))}",
            )


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
    reached = {start, *walk(start, subnets, routers)}
    for lost in (node.name for node in lab.nodes if node.name not in reached):
        raise ModelError(
            f"cannot be reached from {start}",
            f"node {lost}",
            "link it to a router or to a point of attachment that has one",
        )


def _check_qualities(lab: Lab) -> None:
    for wire in wires(lab):
        for direction, quality in wire.directions:
            check_quality(quality, f"link {wire.name}, {direction}")


def check_quality(quality: Quality, where: str) -> None:
    """Raises ModelError for what no direction of a link can be; `where` names it."""
    for each in fields(quality):
        value = getattr(quality, each.name)
        if value is not None and (not math.isfinite(value) or value < 0):
            raise ModelError(f"{each.name} is {value}", where, "use a number that is not negative")
    for name in ("loss", "duplicate", "reorder"):
        if getattr(quality, name) > 1:
            raise ModelError(f"{name} is {getattr(quality, name)}", where, "it is a share, of 0 to 1")
    if quality.delay_s > DELAY_MAX_S:
        raise ModelError(f"delay_s is {quality.delay_s:g}", where, f"use at most {DELAY_MAX_S:g} s")
    if quality.jitter_s > quality.delay_s:
        raise ModelError("jitter beyond the delay", where, "no packet arrives before it was sent: raise the delay")
    if quality.reorder and not quality.delay_s:
        raise ModelError("reordering without a delay", where, "packets overtake each other on the way: give it a delay")
    if quality.queue_packets == 0:
        raise ModelError("nothing would pass", where, "give a queue above 0, or none")
    if quality.rate_bps is not None and not RATE_MIN_BPS <= quality.rate_bps <= RATE_MAX_BPS:
        bounds = f"use {RATE_MIN_BPS} to {RATE_MAX_BPS} bit/s, or no rate"
        raise ModelError(f"rate_bps is {quality.rate_bps}", where, bounds)
    if quality.queue_packets is not None and quality.rate_bps is None:
        raise ModelError("a queue without a rate", where, "nothing would ever wait: give it a rate too")


def _check_membership(lab: Lab) -> None:
    membership, where = lab.membership, f"lab {lab.name}, membership"
    for name, allowed in (("igmp", (2, 3)), ("mld", (1, 2))):
        if getattr(membership, name) not in allowed:
            raise ModelError(f"{name} is {getattr(membership, name)!r}", where, f"use {' or '.join(map(str, allowed))}")
    if not 0 < membership.max_response_s < membership.every_s:
        raise ModelError(
            f"answers within {membership.max_response_s:g} s to a query every {membership.every_s:g} s",
            where,
            "the response time must be shorter than the query interval",
        )
    if not 1 <= membership.robustness <= 7:
        raise ModelError(f"robustness is {membership.robustness}", where, "use 1 to 7, as a query can carry")
    version = {4: membership.igmp, 6: membership.mld}[lab.family]
    oldest = {4: 3, 6: 2}[lab.family]
    for stream in lab.streams:
        if stream.is_source_specific and version < oldest:
            raise ModelError(
                f"source-specific group {stream.group} with {'IGMP' if lab.family == 4 else 'MLD'}v{version}",
                where,
                f"a report cannot name the source before version {oldest}",
            )
