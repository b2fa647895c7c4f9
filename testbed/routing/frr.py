"""FRR routers: zebra, mgmtd and pimd (IPv4) or pim6d (IPv6) in a node, configured and asked through vtysh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar

from testbed.net.mininet_net import EmulatedNetwork
from testbed.net.model import Lab, Membership, ModelError, Pim
from testbed.routing import ospf
from testbed.routing.frr_daemons import FrrDaemons
from testbed.routing.group_state import GroupState, kernel_sources, same_address
from testbed.routing.pim import ELECTED_DEADLINE_S, FRR, adjacent, check_rendezvous_point, elects
from testbed.routing.rendering import render
from testbed.routing.router import Cannot, DaemonFamily, Router, side_by_side
from testbed.routing.static_trees import asked_by_static_routers

ALL_GROUPS = {4: "224.0.0.0/4", 6: "ff00::/8"}

SECONDS_MAX = 65535
ADJACENCY_DEADLINE_S = 20.0


def check(model: Lab) -> None:
    """Raises ModelError for what these routers cannot work with."""
    check_rendezvous_point(model)
    asked = [stream.group for stream in model.streams if not stream.is_source_specific]
    if asked and not model.rendezvous_point and not elects(model):
        remedy = "give the address of one, --rendezvous-point NODE, or a group of 232/8 or ff3x::/32"
        raise ModelError(f"{asked[0]} without a rendezvous point", f"lab {model.name}, {FRR}", remedy)
    timers = {each.name: getattr(model.pim, each.name) for each in fields(Pim)}
    for name, value in {**timers, "query_interval_s": model.membership.every_s}.items():
        if not 1 <= value <= SECONDS_MAX:
            raise ModelError(f"{name} is {value:g}", f"lab {model.name}, {FRR}", f"use 1 to {SECONDS_MAX} s")
    for name in ("max_response_s", "last_member_query_interval_s"):
        value = getattr(model.membership, name)
        if round(value * 10) != value * 10 or value <= 0:
            raise ModelError(f"{name} is {value:g}", f"lab {model.name}, {FRR}", "FRR wants whole tenths of a second")


def _remarks(model: Lab) -> tuple[str, ...]:
    robustness, built_in = model.membership.robustness, Membership().robustness
    if robustness == built_in:
        return ()
    return (
        f"robustness {robustness} is how often it asks after a leave; its queries say {built_in}, which is built in",
    )


def render_interfaces(lab: Lab, router: str) -> str:
    """The vtysh commands that make every interface of `router` a PIM interface, and a querier where hosts or static routers are."""
    queriers = (*lab.querier_interfaces(router), *asked_by_static_routers(lab, router))
    return render(
        "frr-interfaces.conf.j2",
        pim=_pim(lab),
        ip="ip" if lab.family == 4 else "ipv6",
        membership="igmp" if lab.family == 4 else "mld",
        version=lab.membership.igmp if lab.family == 4 else lab.membership.mld,
        timers=lab.pim,
        asked=lab.membership,
        interfaces=[{"name": end.interface, "querier": end.interface in queriers} for end in lab.ends_of(router)],
    )


def render_rendezvous_point(lab: Lab, *, again: bool = False) -> str:
    """The vtysh commands that tell a router the rendezvous point, for the first time or ``again``."""
    return render(
        "frr-rendezvous-point.conf.j2",
        pim=_pim(lab),
        rendezvous_point=lab.rendezvous_point,
        groups=ALL_GROUPS[lab.family],
        again=again,
    )


def _pim(lab: Lab) -> str:
    return "pim" if lab.family == 4 else "pim6"


class FrrRouter(FrrDaemons):
    """A PIM router of FRR on one node of a network."""

    cannot: ClassVar[Cannot] = {}

    def __init__(self, network: EmulatedNetwork, node: str) -> None:
        there = () if ospf.used_by(network.model) else ("mgmtd", "zebra")
        super().__init__(network, node, (*there, "pimd" if network.model.family == 4 else "pim6d"))
        self._ip = "ip" if network.model.family == 4 else "ipv6"

    def configure(self) -> None:
        """Makes it a PIM router, as soon as its daemons listen."""
        self.await_listening()
        self.load("interfaces", render_interfaces(self.network.model, self.node))

    def learn_rendezvous_point(self, *, again: bool = False) -> None:
        """Configures the rendezvous point. Only once the adjacencies are seen, see the template."""
        self.load("rendezvous-point", render_rendezvous_point(self.network.model, again=again))

    def rendezvous_point_interface(self) -> str | None:
        """The interface towards the rendezvous point, None while the daemon knows none, or no way to it."""
        answer: dict[str, Any] = self.show(f"show {self._ip} pim rp-info")
        given = self.network.model.rendezvous_point
        for point, entries in answer.items():
            for entry in entries if given in ("", point) else []:
                interface = str(entry.get("outboundInterface", "Unknown"))
                return None if interface == "Unknown" else interface
        return None

    @property
    def last_member_query_s(self) -> float:
        """How long FRR goes on forwarding to a link after the last member's leave.

        pimd: as many queries as robustness says, each the last member query interval [RFC 3376 8.8]. pim6d 10.3 waits after the
        last one for the response time of general queries, where RFC 3810 9.9 has the interval again.
        """
        asked = self.network.model.membership
        last_s = asked.last_member_query_interval_s if self.network.model.family == 4 else asked.max_response_s
        return (asked.robustness - 1) * asked.last_member_query_interval_s + last_s

    def neighbours(self) -> dict[str, tuple[str, ...]]:
        """PIM neighbours in sight, by interface; interfaces without any are left out."""
        answer: dict[str, dict[str, Any]] = self.show(f"show {self._ip} pim neighbor")
        return {interface: tuple(sorted(found)) for interface, found in answer.items() if found}

    def group_state(self, group: str) -> GroupState:
        """What the daemon and the kernel know of a group."""
        ip, membership = self._ip, "igmp" if self.network.model.family == 4 else "mld"
        members, routes, upstream = self.show(
            f"show {ip} {membership} groups", f"show {ip} mroute", f"show {ip} pim upstream"
        )
        return GroupState(
            members=tuple(
                name
                for name, interface in members.items()
                if isinstance(interface, dict)
                and any(same_address(entry["group"], group) for entry in interface.get("groups", []))
            ),
            forwarding={
                source: tuple(sorted(entry.get("oil", {})))
                for found, sources in routes.items()
                if same_address(found, group)
                for source, entry in sources.items()
            },
            upstream={
                source: str(entry["state"])
                for found, sources in upstream.items()
                if same_address(found, group)
                for source, entry in sources.items()
            },
            kernel=kernel_sources(self.network.pid(self.node), self.network.model.family, group),
        )

    def forget(self, group: str) -> None:
        """Drops all state and members of the group (FRR: of all groups) and prunes the router off the trees.

        Works for both families without touching adjacencies or the querier; done in 0.1 s. Hosts that are still members
        bring their groups back with their next report. (`clear ip igmp interfaces` would forget the members without a
        prune: the router above would go on sending for minutes.)
        """
        self.command(f"clear {self._ip} mroute")


def start(network: EmulatedNetwork) -> dict[str, FrrRouter]:
    """Starts FRR on every router whose model says so, side by side."""
    routers = {node.name: FrrRouter(network, node.name) for node in network.model.nodes if node.daemon == FRR}
    with network.progress.step(f"FRR on {', '.join(routers)}"):
        for router in routers.values():
            router.launch()
        side_by_side(FrrRouter.configure, routers.values())
    return routers


def await_converged(network: EmulatedNetwork, routers: Mapping[str, Router]) -> None:
    """Waits until every adjacency is seen, and then, where there is a rendezvous point, until each router knows a way to it."""
    own = {node: router for node, router in routers.items() if isinstance(router, FrrRouter)}

    def all_adjacent() -> tuple[bool, str]:
        counts = side_by_side(lambda router: sum(map(len, router.neighbours().values())), own.values())
        return adjacent(network.model, dict(zip(own, counts, strict=True)))

    network.eventually("PIM adjacency of all routers", all_adjacent, ADJACENCY_DEADLINE_S)
    point = network.model.rendezvous_point
    if not point and not elects(network.model):
        return
    if point:
        side_by_side(FrrRouter.learn_rendezvous_point, own.values())

    def all_know() -> tuple[bool, str]:
        ways = side_by_side(FrrRouter.rendezvous_point_interface, own.values())
        lacking = [node for node, way in zip(own, ways, strict=True) if way is None]
        if point:
            for node in lacking:
                own[node].learn_rendezvous_point(again=True)
        return not lacking, f"{', '.join(lacking) or 'no router'} without a way to it"

    named = point or "that is elected"
    network.eventually(
        f"a way to the rendezvous point {named}", all_know, ADJACENCY_DEADLINE_S if point else ELECTED_DEADLINE_S
    )


def _programs(model: Lab) -> tuple[str, ...]:
    return "zebra", "mgmtd", "pimd" if model.family == 4 else "pim6d", f"ipv{model.family}-multicast-routing"


FAMILY = DaemonFamily(FRR, "PIM-SM, SSM", check, start, await_converged, _programs, packages=("frr",), remarks=_remarks)
