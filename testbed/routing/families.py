"""The families of routing daemons there are, and what a lab asks of all its routers together."""

from __future__ import annotations

from collections.abc import Mapping

from testbed.net.mininet_net import EmulatedNetwork
from testbed.net.model import Lab, ModelError
from testbed.routing import frr, ospf, pimd, smcroute
from testbed.routing.router import Ability, DaemonFamily, Router
from testbed.setup import routing_versions

FAMILIES: dict[str, DaemonFamily] = {family.name: family for family in (frr.FAMILY, smcroute.FAMILY, pimd.FAMILY)}

INTERFACES_MAX = 31
"""MAXVIFS and MAXMIFS of Linux, less the one that PIM registers through."""

COLD_DEADLINE_S = 15.0
"""A prune takes 0.1 s; one that got lost is made up for when the join it should have ended times out."""


def families_of(model: Lab) -> tuple[DaemonFamily, ...]:
    """The families that the model's nodes name. Raises ModelError for one that there is not."""
    for node in model.nodes:
        if node.daemon and node.daemon not in FAMILIES:
            raise ModelError(f"unknown daemon {node.daemon!r}", f"node {node.name}", f"known: {', '.join(FAMILIES)}")
    named = {node.daemon for node in model.nodes}
    return tuple(family for name, family in FAMILIES.items() if name in named)


def check(model: Lab) -> None:
    """Raises ModelError for the first thing in the model that its routing daemons could not work with."""
    for node in model.nodes:
        if node.daemon and (count := sum(1 for _ in model.ends_of(node.name))) > INTERFACES_MAX:
            raise ModelError(
                f"{count} interfaces",
                f"node {node.name}",
                f"a kernel routes multicast between {INTERFACES_MAX} at most: put a router between",
            )
    ospf.check(model)
    for family in families_of(model):
        family.check(model)


def programs(model: Lab) -> tuple[str, ...]:
    """The doctor's checks that a lab with this model needs for its routers."""
    names = [name for family in families_of(model) for name in family.programs(model)]
    return tuple(dict.fromkeys([*names, *(ospf.programs(model) if ospf.used_by(model) else ())]))


def cannot(model: Lab) -> dict[Ability, str]:
    """What some router of the model cannot give, each with a reason."""
    return {ability: reason for family in families_of(model) for ability, reason in family.cannot.items()}


def shortcomings(model: Lab) -> list[str]:
    """What the model's routers cannot give, in words: which daemons, on which nodes, and what of it."""
    return [
        f"{family.name} on {', '.join(node.name for node in model.nodes if node.daemon == family.name)}: {reason}"
        for family in families_of(model)
        for reason in (*family.cannot.values(), *family.remarks(model))
    ]


def start_routers(network: EmulatedNetwork) -> dict[str, Router]:
    """Starts the daemons of every node and returns the routers by node when all have converged.

    Raises ProcessDied, NotObserved or RoutingError with what the daemons said.
    """
    if ospf.used_by(network.model):
        ospf.start(network)
    families = families_of(network.model)
    routers = {node: router for family in families for node, router in family.start(network).items()}
    for family in families:
        family.await_converged(network, routers)
    return routers


def versions(network: EmulatedNetwork) -> dict[str, str]:
    """The versions of the routing daemons in use, by package."""
    wanted = {package for family in families_of(network.model) for package in family.packages}
    if ospf.used_by(network.model):
        wanted.add(ospf.PACKAGE)
    if network.routing_root is None or not wanted:
        return {}
    return {name: version for name, version in routing_versions(network.routing_root).items() if name in wanted}


def make_cold(
    network: EmulatedNetwork, routers: Mapping[str, Router], node: str, group: str, deadline_s: float = COLD_DEADLINE_S
) -> str | None:
    """Makes a router forget the group and waits until neither it nor any router that feeds it has state for it.

    A router above that still forwards the group down would make the next join look faster than it is. Returns None, or at
    once the reason why this router never comes to that. Raises NotObserved saying who still knows what.

    A host that is still a member brings the state back with its next report, up to a query interval later: let members
    leave first.
    """
    feeding = {
        (other.node, other.interface)
        for subnet in network.model.subnets()
        if any(end.node == node for end in subnet.ends)
        for other in subnet.ends
        if other.node != node and other.node in routers
    }

    def look() -> tuple[bool, str]:
        state = routers[node].group_state(group)
        if not state.cold:
            return False, f"{node}: {state}"
        for feeder, interface in sorted(feeding):
            if _forwards(routers[feeder], group, interface):
                return False, f"{feeder}, which feeds {node}: {routers[feeder].group_state(group)}"
        return True, "cold"

    if (reason := routers[node].cannot.get("cold")) is not None:
        return reason
    for feeder, interface in sorted(feeding):
        reason = routers[feeder].cannot.get("cold")
        if reason is not None and _forwards(routers[feeder], group, interface):
            return reason
    routers[node].forget(group)
    network.eventually(f"{node} to know nothing of {group}", look, deadline_s, quiet=True)
    return None


def _forwards(router: Router, group: str, interface: str) -> bool:
    """Whether a router forwards the group to one of its interfaces."""
    return any(interface in to for to in router.group_state(group).forwarding.values())
