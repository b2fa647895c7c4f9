"""SMCRoute: static multicast routes, from the model. Nobody is asked for members, and each link is forwarded to at all times."""

from __future__ import annotations

from collections.abc import Mapping

from testbed.net.mininet_net import EmulatedNetwork
from testbed.net.model import Lab, Membership, ModelError, Pim
from testbed.routing.group_state import GroupState, same_address
from testbed.routing.kernel_routes import KernelRoute, kernel_routes
from testbed.routing.rendering import render
from testbed.routing.router import Cannot, DaemonFamily, Router, chroot, routing_root_of
from testbed.routing.static_trees import SMCROUTE, StaticRoute, static_routes

START_DEADLINE_S = 20.0
"""For all routes to be in the kernel: 0.1 s on an idle machine, but several labs may start at once."""

CANNOT: Cannot = {
    "cold": "smcroute's routes are static: a router never forgets a group",
    "on-demand": "smcroute's routes are static: it asks nobody for members and forwards to every link at all times",
}


def check(model: Lab) -> None:
    """Raises ModelError for what static routes cannot do."""
    where = f"lab {model.name}, {SMCROUTE}"
    if not model.streams:
        raise ModelError("no stream to route", where, "give the lab its streams, each with the node it comes from")
    for node in _nodes(model):
        static_routes(model, node)


def _remarks(model: Lab) -> tuple[str, ...]:
    if (model.membership, model.pim) == (Membership(), Pim()) or any(
        n.daemon not in ("", SMCROUTE) for n in model.nodes
    ):
        return ()
    return ("what the lab sets of queries and of PIM changes nothing: no router asks for members or speaks PIM",)


def _nodes(model: Lab) -> list[str]:
    return [node.name for node in model.nodes if node.daemon == SMCROUTE]


def render_configuration(model: Lab, router: str) -> str:
    """What smcrouted on a router is to read."""
    interfaces = [end.interface for end in model.ends_of(router)]
    return render("smcroute.conf.j2", interfaces=interfaces, routes=static_routes(model, router))


class StaticRouter:
    """SMCRoute on one router of a network."""

    cannot = CANNOT
    last_member_query_s = None

    def __init__(self, network: EmulatedNetwork, node: str) -> None:
        self.network, self.node = network, node
        self.routes = static_routes(network.model, node)

    def launch(self) -> None:
        """Starts the daemon, without waiting for it."""
        root = routing_root_of(self.network)
        # Identity, socket and configuration carry the node's name: all daemons of a lab share one /run.
        configuration = f"run/{self.node}.conf"
        (root / configuration).write_text(render_configuration(self.network.model, self.node))
        argv = chroot(root, "/usr/sbin/smcrouted", "-n", "-N", "-i", self.node, "-f", f"/{configuration}")
        self.network.processes.start(f"{self.node}-smcrouted", self.node, argv)

    def lacking(self) -> list[StaticRoute]:
        """The routes that are not in the kernel yet."""
        there = self._kernel_routes()
        return [
            route
            for route in self.routes
            if not any(
                same_address(found.group, route.group)
                and same_address(found.source, route.source)
                and found.incoming == route.incoming
                and set(found.outgoing) == set(route.outgoing)
                for found in there
            )
        ]

    def group_state(self, group: str) -> GroupState:
        """The group's routes, as the kernel has them. Members it knows none."""
        routes = [route for route in self._kernel_routes() if same_address(route.group, group)]
        return GroupState(
            members=(),
            forwarding={route.source: route.outgoing for route in routes},
            upstream={},
            kernel=tuple(route.source for route in routes),
        )

    def forget(self, group: str) -> None:
        """Nothing: a static router cannot."""

    def _kernel_routes(self) -> tuple[KernelRoute, ...]:
        return kernel_routes(self.network.pid(self.node), self.network.model.family)


def start(network: EmulatedNetwork) -> dict[str, StaticRouter]:
    """Starts smcrouted on every router whose model says so, side by side."""
    routers = {node: StaticRouter(network, node) for node in _nodes(network.model)}
    for router in routers.values():
        router.launch()
    return routers


def await_converged(network: EmulatedNetwork, routers: Mapping[str, Router]) -> None:
    """Waits until the kernels have all static routes."""
    own = [router for router in routers.values() if isinstance(router, StaticRouter)]

    def all_there() -> tuple[bool, str]:
        lacking = [f"{router.node} lacks {len(routes)}" for router in own if (routes := router.lacking())]
        return not lacking, ", ".join(lacking) or "all are there"

    names = ", ".join(router.node for router in own)
    network.eventually(f"the static routes of {names}", all_there, START_DEADLINE_S)


def _programs(model: Lab) -> tuple[str, ...]:
    return "smcroute", f"ipv{model.family}-multicast-routing"


FAMILY = DaemonFamily(
    SMCROUTE,
    "static multicast routes",
    check,
    start,
    await_converged,
    _programs,
    packages=("smcroute",),
    cannot=CANNOT,
    remarks=_remarks,
)
