"""OSPF between all routers of a lab, version 2 (IPv4) or 3 (IPv6), by FRR's daemons, whatever routes multicast there."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

from testbed.net.mininet_net import EmulatedNetwork
from testbed.net.model import Lab, ModelError
from testbed.routing.frr_daemons import FrrDaemons
from testbed.routing.rendering import render
from testbed.routing.router import side_by_side

PACKAGE = "frr"
HELLO_S, DEAD_S = 1, 4
"""As short as FRR allows for hellos: a lab waits for its first routes."""

CONVERGED_DEADLINE_S = 40.0


def used_by(model: Lab) -> bool:
    """Whether the model's routers have their routes from OSPF."""
    return model.unicast == "ospf" and bool(model.routers())


def check(model: Lab) -> None:
    """Raises ModelError for a way to have unicast routes that there is not."""
    if model.unicast not in ("static", "ospf"):
        raise ModelError(f"unicast routes by {model.unicast!r}", f"lab {model.name}", "use static or ospf")


def daemon(model: Lab) -> str:
    """The name of FRR's daemon."""
    return "ospfd" if model.family == 4 else "ospf6d"


def programs(model: Lab) -> tuple[str, ...]:
    """The doctor's checks that it needs."""
    return "zebra", "mgmtd", daemon(model)


def render_configuration(model: Lab, router: str) -> str:
    """The vtysh commands for one router. Router identifiers count the routers in the order of the model."""
    routers = [node.name for node in model.routers()]
    subnets = model.subnets()

    def others(interface: str) -> int:
        return sum(
            other.node in routers and other.node != router
            for subnet in subnets
            if any(end.node == router and end.interface == interface for end in subnet.ends)
            for other in subnet.ends
        )

    return render(
        "frr-ospf.conf.j2",
        ospf="ospf" if model.family == 4 else "ospf6",
        ip="ip" if model.family == 4 else "ipv6",
        router_id=IPv4Address(routers.index(router) + 1),
        interfaces=[{"name": end.interface, "routers": others(end.interface)} for end in model.ends_of(router)],
        hello_s=HELLO_S,
        dead_s=DEAD_S,
    )


def start(network: EmulatedNetwork) -> None:
    """Starts OSPF on every router, side by side, and returns when each has a route to every subnet.

    Raises ProcessDied, NotObserved or RoutingError with what the daemons said.
    """
    model = network.model
    nodes = [FrrDaemons(network, node.name, ("mgmtd", "zebra", daemon(model))) for node in model.routers()]
    with network.progress.step(f"OSPF on {', '.join(node.node for node in nodes)}"):
        for node in nodes:
            node.launch()
        side_by_side(lambda node: _configure(model, node), nodes)
    wanted = [str(subnet.network) for subnet in model.subnets()]
    lacking = {node.node: wanted for node in nodes}

    def look(node: FrrDaemons) -> None:
        found: dict[str, Any] = node.show(f"show {'ip' if model.family == 4 else 'ipv6'} route")
        lacking[node.node] = [prefix for prefix in wanted if not _installed(found.get(prefix, []))]

    def all_there() -> tuple[bool, str]:
        # Who has had them all is not asked again.
        side_by_side(look, [node for node in nodes if lacking[node.node]])
        missing = [f"{node} lacks {', '.join(prefixes)}" for node, prefixes in lacking.items() if prefixes]
        return not missing, "; ".join(missing) or "all"

    network.eventually("routes to every subnet on all routers", all_there, CONVERGED_DEADLINE_S)


def _configure(model: Lab, node: FrrDaemons) -> None:
    node.await_listening()
    node.load("ospf", render_configuration(model, node.node))


def _installed(entries: list[dict[str, Any]]) -> bool:
    return any(entry.get("installed") for entry in entries)
