"""FRR routers: zebra, mgmtd and pimd (IPv4) or pim6d (IPv6) in a node, configured and asked through vtysh."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from testbed.net.model import ALL_GROUPS, FRR_PIM, Lab

if TYPE_CHECKING:
    from testbed.host.processes import ManagedProcess
    from testbed.net.mininet_net import EmulatedNetwork

START_DEADLINE_S = 20.0
"""For daemons to open their vty sockets: 0.2 s on an idle machine, but four labs may start at once."""

ADJACENCY_DEADLINE_S = 20.0
COMMAND_DEADLINE_S = 10.0
COLD_DEADLINE_S = 15.0
"""A prune takes 0.1 s; one that got lost is made up for by the join's time-out, `PimTimers.join_prune_s`."""

DATASTORE_LOCKED = "locked by another session"
"""FRR's complaint while mgmtd, just started, is still busy with its own start-up: to be asked again."""

_TEMPLATES = Environment(  # noqa: S701  # no HTML: a daemon reads it
    loader=PackageLoader("testbed.routing", "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


class RoutingError(RuntimeError):
    """A routing daemon did not come up, or refused its configuration or a command. Quotes what it said."""


@dataclass(frozen=True, slots=True)
class PimTimers:
    """Timers of a PIM router. `_s` are seconds, `_ds` tenths of a second, as FRR wants them.

    The last member query interval and the keep-alive timer are as short as FRR allows, since a lab repeats handovers
    and each must find a router that has forgotten the one before. So is the join/prune interval: a prune that got lost
    is made up for when the join it should have ended times out, after 3.5 intervals.
    """

    hello_s: int = 1
    query_interval_s: int = 10
    max_response_ds: int = 20
    last_member_query_interval_ds: int = 1
    keep_alive_s: int = 3
    join_prune_s: int = 2

    def last_member_query_s(self, family: int) -> float:
        """How long FRR goes on forwarding to a link after the last member's leave.

        pimd: two queries, each the last member query interval [RFC 3376 8.8]. pim6d 10.3 waits after the second one for the
        response time of general queries, where RFC 3810 9.9 has the interval again.
        """
        interval_s, response_s = self.last_member_query_interval_ds / 10, self.max_response_ds / 10
        return 2 * interval_s if family == 4 else interval_s + response_s


@dataclass(frozen=True, slots=True)
class GroupState:
    """What a router knows of a group; `*` stands for any source.

    `members`: interfaces with IGMP or MLD members. `forwarding`: the daemon's multicast routes, source -> interfaces it
    forwards to. `upstream`: PIM's join state, source -> state in FRR's letters. `kernel`: sources the kernel has a
    resolved route for.
    """

    members: tuple[str, ...]
    forwarding: dict[str, tuple[str, ...]]
    upstream: dict[str, str]
    kernel: tuple[str, ...]

    @property
    def cold(self) -> bool:
        """True if nothing is known: the router would have to learn of the group anew."""
        return not (self.members or self.forwarding or self.upstream or self.kernel)

    def __str__(self) -> str:
        if self.cold:
            return "nothing known"
        parts = [f"members on {', '.join(self.members)}"] if self.members else []
        parts += [f"({source}, G) to {', '.join(to) or 'nobody'}" for source, to in self.forwarding.items()]
        parts += [f"upstream ({source}, G) {state}" for source, state in self.upstream.items()]
        return "; ".join(parts + [f"kernel route from {source}" for source in self.kernel])


def render_interfaces(lab: Lab, router: str, timers: PimTimers) -> str:
    """The vtysh commands that make every interface of `router` a PIM interface, and a querier where hosts are."""
    queriers = lab.querier_interfaces(router)
    return _TEMPLATES.get_template("frr-interfaces.conf.j2").render(
        pim=_pim(lab),
        ip="ip" if lab.family == 4 else "ipv6",
        membership="igmp" if lab.family == 4 else "mld",
        hello_s=timers.hello_s,
        keep_alive_s=timers.keep_alive_s,
        join_prune_s=timers.join_prune_s,
        query_interval_s=timers.query_interval_s,
        max_response_ds=timers.max_response_ds,
        last_member_query_interval_ds=timers.last_member_query_interval_ds,
        interfaces=[{"name": end.interface, "querier": end.interface in queriers} for end in lab.ends_of(router)],
    )


def render_rendezvous_point(lab: Lab) -> str:
    """The vtysh commands that tell a router the rendezvous point."""
    return _TEMPLATES.get_template("frr-rendezvous-point.conf.j2").render(
        pim=_pim(lab), rendezvous_point=lab.rendezvous_point, groups=ALL_GROUPS[lab.family]
    )


def _pim(lab: Lab) -> str:
    return "pim" if lab.family == 4 else "pim6"


class FrrRouter:
    """FRR on one router of a network. `launch` all routers first, then `configure` each: they start side by side."""

    def __init__(self, network: EmulatedNetwork, node: str, timers: PimTimers | None = None) -> None:
        if network.routing_root is None:
            raise RoutingError("this sandbox has no routing root folder: give run_inside a routing_root")
        self.network, self.node, self.timers = network, node, timers or PimTimers()
        self.root: Path = network.routing_root
        self.pim_daemon = "pimd" if network.model.family == 4 else "pim6d"
        self.daemons = ("mgmtd", "zebra", self.pim_daemon)
        self._ip = "ip" if network.model.family == 4 else "ipv6"
        self._processes: list[ManagedProcess] = []

    def launch(self) -> None:
        """Starts the daemons, without waiting for them."""
        for folder in ("run/frr", "etc/frr", "var/lib/frr"):
            (self.root / folder / self.node).mkdir(parents=True, exist_ok=True)
        for where in (self.root / "etc/frr", self.root / "etc/frr" / self.node):
            (where / "vtysh.conf").touch()  # vtysh refuses to work without one
        for daemon in self.daemons:
            argv = self._chroot(
                f"/usr/lib/frr/{daemon}", "-N", self.node, "-u", "root", "-g", "root", "--log", "stdout"
            )
            # In UTC, so that what they log can be put in order with everything else.
            name = f"{self.node}-{daemon}"
            self._processes.append(self.network.processes.start(name, self.node, argv, environment={"TZ": "UTC"}))

    def configure(self, deadline_s: float = START_DEADLINE_S) -> None:
        """Waits for the daemons to listen and hands them their configuration.

        Raises ProcessDied, NotObserved or RoutingError with the last lines of the daemon's log.
        """
        sockets = {daemon: self.root / "run/frr" / self.node / f"{daemon}.vty" for daemon in self.daemons}

        def listening() -> tuple[bool, str]:
            missing = [daemon for daemon, path in sockets.items() if not path.exists()]
            if not missing:
                return True, "all are listening"
            said = self.network.processes[f"{self.node}-{missing[0]}"].last_lines()
            return False, f"{', '.join(missing)} not listening; {missing[0]} said: {said or 'nothing'}"

        self.network.eventually(f"FRR on {self.node} to listen", listening, deadline_s, quiet=True)
        self._load("interfaces", render_interfaces(self.network.model, self.node, self.timers))

    def learn_rendezvous_point(self) -> None:
        """Configures the rendezvous point. Only once the adjacencies are seen, see the template."""
        self._load("rendezvous-point", render_rendezvous_point(self.network.model))

    def rendezvous_point_interface(self) -> str | None:
        """The interface towards the rendezvous point, None while the daemon knows no way to it."""
        answer: dict[str, Any] = self.show(f"show {self._ip} pim rp-info")
        for entry in answer.get(self.network.model.rendezvous_point, []):
            interface = str(entry.get("outboundInterface", "Unknown"))
            return None if interface == "Unknown" else interface
        return None

    def _load(self, name: str, configuration: str) -> None:
        # Never pim6d.conf: a daemon may read a file of its own name by itself, and pim6d 10.3 then crashes on warnings.
        path = f"etc/frr/{self.node}/lab-{name}.conf"
        (self.root / path).write_text(configuration)

        def loaded() -> tuple[bool, str]:
            try:
                self._vtysh("-f", f"/{path}")
            except RoutingError as error:
                if DATASTORE_LOCKED in str(error):
                    return False, str(error)
                raise
            return True, "accepted"

        # Every line may be given twice, so the whole file is simply given again.
        self.network.eventually(f"FRR on {self.node} to accept {path}", loaded, COMMAND_DEADLINE_S, quiet=True)

    def start(self, deadline_s: float = START_DEADLINE_S) -> None:
        """`launch` and `configure` in one."""
        self.launch()
        self.configure(deadline_s)

    def _chroot(self, *argv: str) -> list[str]:
        chroot = shutil.which("chroot")
        if chroot is None:
            raise RoutingError("chroot is missing: install coreutils, or put /usr/sbin on PATH")
        return [chroot, str(self.root), *argv]

    def _vtysh(self, *arguments: str) -> str:
        try:
            # vtysh talks over a socket in the file system, so it need not enter the node.
            finished = subprocess.run(
                self._chroot("/usr/bin/vtysh", "-N", self.node, *arguments),
                env={**os.environ, "VTYSH_HISTFILE": "/dev/null"},  # nothing is written into the shared root
                capture_output=True,
                text=True,
                timeout=COMMAND_DEADLINE_S,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RoutingError(
                f"{self.node}: vtysh {' '.join(arguments)} gave no answer for {COMMAND_DEADLINE_S:g} s; "
                f"{self._log_tails()}"
            ) from None
        complaints = [
            line for line in finished.stdout.splitlines() if line.startswith("%") or " failed" in line.lower()
        ]
        if finished.returncode != 0 or complaints:
            self.network.processes.check_alive()
            said = "\n".join(complaints) or f"{finished.stdout}{finished.stderr}".strip()
            raise RoutingError(
                f"{self.node}: vtysh {' '.join(arguments)} failed (status {finished.returncode}): {said}"
            )
        return finished.stdout

    def _log_tails(self) -> str:
        return "; ".join(f"last lines of {p.name}:\n{p.last_lines() or 'nothing'}" for p in self._processes)

    def command(self, *commands: str) -> str:
        """Runs vtysh commands in order and returns what they print. Raises RoutingError with FRR's complaint."""
        return self._vtysh(*(part for command in commands for part in ("-c", command)))

    def show(self, *commands: str) -> Any:
        """Answers of `show … json` commands, parsed (`json` is added): one answer, or a list for several commands.

        One vtysh call for all, some 15 ms. Raises RoutingError if an answer is not JSON.
        """
        text = self.command(*(f"{command} json" for command in commands)).strip()
        answers: list[Any] = []
        try:
            while text:
                answer, end = json.JSONDecoder().raw_decode(text)
                answers.append(answer)
                text = text[end:].lstrip()
            if len(answers) != len(commands):
                raise ValueError(f"{len(answers)} answers")  # one report for both
        except ValueError as error:
            raise RoutingError(
                f"{self.node}: {'; '.join(commands)} did not answer with JSON ({error}): {text[:400]}"
            ) from None
        return answers if len(commands) > 1 else answers[0]

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
                and any(_same(entry["group"], group) for entry in interface.get("groups", []))
            ),
            forwarding={
                source: tuple(sorted(entry.get("oil", {})))
                for found, sources in routes.items()
                if _same(found, group)
                for source, entry in sources.items()
            },
            upstream={
                source: str(entry["state"])
                for found, sources in upstream.items()
                if _same(found, group)
                for source, entry in sources.items()
            },
            kernel=kernel_sources(self.network.pid(self.node), self.network.model.family, group),
        )

    def is_cold(self, group: str) -> bool:
        """True if this router knows nothing of the group. See `make_cold` for the routers that feed it."""
        return self.group_state(group).cold

    def forget(self, group: str) -> None:
        """Drops all state and members of the group (FRR: of all groups) and prunes the router off the trees.

        Works for both families without touching adjacencies or the querier; done in 0.1 s. Hosts that are still members
        bring their groups back with their next report. (`clear ip igmp interfaces` would forget the members without a
        prune: the router above would go on sending for minutes.)
        """
        self.command(f"clear {self._ip} mroute")


def _same(one: str, other: str) -> bool:
    try:
        return ip_address(one) == ip_address(other)
    except ValueError:
        return False


def kernel_sources(pid: int, family: int, group: str) -> tuple[str, ...]:
    """Sources of the group's resolved entries in the multicast forwarding cache of a process's network namespace.

    Entries still waiting for a daemon's answer (input interface -1) are no knowledge and are left out.
    """
    found: list[str] = []
    for line in Path(f"/proc/{pid}/net/{'ip' if family == 4 else 'ip6'}_mr_cache").read_text().splitlines()[1:]:
        entry_group, source, interface = line.split()[:3]
        if _same(_cache_address(entry_group), group) and int(interface) not in (-1, 0xFFFF):
            address = ip_address(_cache_address(source))
            found.append("*" if address.is_unspecified else str(address))
    return tuple(found)


def _cache_address(text: str) -> str:
    """ip_mr_cache prints an IPv4 address as a number in the machine's byte order, an IPv6 address as usual."""
    if ":" in text:
        return text
    return str(IPv4Address(int(text, 16).to_bytes(4, sys.byteorder)))


def make_cold(
    network: EmulatedNetwork,
    routers: Mapping[str, FrrRouter],
    node: str,
    group: str,
    deadline_s: float = COLD_DEADLINE_S,
) -> None:
    """Makes a router forget the group and waits until neither it nor any router that feeds it has state for it.

    A router above that still forwards the group down would make the next join look faster than it is. Raises NotObserved
    saying who still knows what.

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
            above = routers[feeder].group_state(group)
            if any(interface in to for to in above.forwarding.values()):
                return False, f"{feeder}, which feeds {node}: {above}"
        return True, "cold"

    routers[node].forget(group)
    network.eventually(f"{node} to know nothing of {group}", look, deadline_s, quiet=True)


def start_routers(network: EmulatedNetwork, timers: PimTimers | None = None) -> dict[str, FrrRouter]:
    """Starts FRR on every router whose model says so, side by side, and waits until every adjacency is seen.

    Returns the routers by node name. Raises as `FrrRouter.configure` and `await_adjacency` do.
    """
    routers = {
        node.name: FrrRouter(network, node.name, timers) for node in network.model.nodes if FRR_PIM in node.daemons
    }
    with network.progress.step(f"FRR on {', '.join(routers)}"):
        for router in routers.values():
            router.launch()
        for router in routers.values():
            router.configure()
    await_adjacency(network, tuple(routers.values()))
    for router in routers.values():
        router.learn_rendezvous_point()
    await_rendezvous_point(network, tuple(routers.values()))
    return routers


def await_adjacency(
    network: EmulatedNetwork, routers: Sequence[FrrRouter], deadline_s: float = ADJACENCY_DEADLINE_S
) -> None:
    """Waits until every router sees all the PIM neighbours the model gives it. Raises NotObserved or ProcessDied."""
    expected = {router.node: network.model.pim_neighbours(router.node) for router in routers}

    def all_adjacent() -> tuple[bool, str]:
        found = {router.node: sum(map(len, router.neighbours().values())) for router in routers}
        lacking = [
            f"{node} sees {found[node]} of {wanted}" for node, wanted in expected.items() if found[node] < wanted
        ]
        return not lacking, ", ".join(lacking) or "all"

    network.eventually("PIM adjacency of all routers", all_adjacent, deadline_s)


def await_rendezvous_point(
    network: EmulatedNetwork, routers: Sequence[FrrRouter], deadline_s: float = ADJACENCY_DEADLINE_S
) -> None:
    """Waits until every router knows the way to the rendezvous point. Raises NotObserved or ProcessDied."""

    def all_know() -> tuple[bool, str]:
        lacking = [router.node for router in routers if router.rendezvous_point_interface() is None]
        return not lacking, f"{', '.join(lacking) or 'no router'} without a way to it"

    network.eventually(f"a way to the rendezvous point {network.model.rendezvous_point}", all_know, deadline_s)
