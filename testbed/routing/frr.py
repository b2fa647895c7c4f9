"""FRR routers: zebra, mgmtd and pimd (IPv4) or pim6d (IPv6) in a node, configured and asked through vtysh."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from testbed.host.processes import ManagedProcess
from testbed.net.mininet_net import EmulatedNetwork
from testbed.net.model import Lab, ModelError
from testbed.routing.group_state import GroupState, kernel_sources, same_address
from testbed.routing.router import DaemonFamily, RoutingError

FRR = "frr"
"""The name of this family: FRR with pimd (IPv4) or pim6d (IPv6), by the IP version of the lab."""

ALL_GROUPS = {4: "224.0.0.0/4", 6: "ff00::/8"}

START_DEADLINE_S = 20.0
"""For daemons to open their vty sockets: 0.2 s on an idle machine, but four labs may start at once."""

ADJACENCY_DEADLINE_S = 20.0
COMMAND_DEADLINE_S = 10.0
DATASTORE_LOCKED = "locked by another session"
"""FRR's complaint while mgmtd, just started, is still busy with its own start-up: to be asked again."""

_TEMPLATES = Environment(  # noqa: S701  # no HTML: a daemon reads it
    loader=PackageLoader("testbed.routing", "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def check(model: Lab) -> None:
    """Raises ModelError for what these routers cannot work with."""
    if model.rendezvous_point:
        owners = {str(ip_interface(end.address).ip) for node in _speakers(model) for end in model.ends_of(node)}
        if model.rendezvous_point not in owners:
            raise ModelError(
                f"rendezvous point {model.rendezvous_point} is no address of a router with PIM",
                f"lab {model.name}, {FRR}",
                f"use an address of {', '.join(_speakers(model))}",
            )
    for name in ("max_response_s", "last_member_query_interval_s"):
        value = getattr(model.membership, name)
        if round(value * 10) != value * 10 or value <= 0:
            raise ModelError(f"{name} is {value:g}", f"lab {model.name}, {FRR}", "FRR wants whole tenths of a second")


def _speakers(model: Lab) -> list[str]:
    return [node.name for node in model.nodes if node.daemon == FRR]


def neighbours_expected(model: Lab, router: str) -> int:
    """How many PIM adjacencies this router must have once the lab is up (one per neighbour and shared subnet)."""
    others = set(_speakers(model)) - {router}
    subnets = [subnet for subnet in model.subnets() if any(end.node == router for end in subnet.ends)]
    return sum(end.node in others for subnet in subnets for end in subnet.ends)


def render_interfaces(lab: Lab, router: str) -> str:
    """The vtysh commands that make every interface of `router` a PIM interface, and a querier where hosts are."""
    queriers = lab.querier_interfaces(router)
    return _TEMPLATES.get_template("frr-interfaces.conf.j2").render(
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
    return _TEMPLATES.get_template("frr-rendezvous-point.conf.j2").render(
        pim=_pim(lab), rendezvous_point=lab.rendezvous_point, groups=ALL_GROUPS[lab.family], again=again
    )


def _pim(lab: Lab) -> str:
    return "pim" if lab.family == 4 else "pim6"


class FrrRouter:
    """FRR on one router of a network. `launch` all routers first, then `configure` each: they start side by side."""

    def __init__(self, network: EmulatedNetwork, node: str) -> None:
        if network.routing_root is None:
            raise RoutingError("this sandbox has no routing root folder: give run_inside a routing_root")
        self.network, self.node = network, node
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
        self._load("interfaces", render_interfaces(self.network.model, self.node))

    def learn_rendezvous_point(self, *, again: bool = False) -> None:
        """Configures the rendezvous point. Only once the adjacencies are seen, see the template."""
        self._load("rendezvous-point", render_rendezvous_point(self.network.model, again=again))

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

    @property
    def last_member_query_s(self) -> float:
        """How long FRR goes on forwarding to a link after the last member's leave.

        pimd: two queries, each the last member query interval [RFC 3376 8.8]. pim6d 10.3 waits after the second one for the
        response time of general queries, where RFC 3810 9.9 has the interval again.
        """
        asked = self.network.model.membership
        second_s = asked.last_member_query_interval_s if self.network.model.family == 4 else asked.max_response_s
        return asked.last_member_query_interval_s + second_s

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
    """Starts FRR on every router whose model says so, side by side, and waits until every adjacency is seen.

    Returns the routers by node name. Raises ProcessDied, NotObserved or RoutingError with what the daemons said.
    """
    model = network.model
    routers = {node: FrrRouter(network, node) for node in _speakers(model)}
    with network.progress.step(f"FRR on {', '.join(routers)}"):
        for router in routers.values():
            router.launch()
        for router in routers.values():
            router.configure()

    def all_adjacent() -> tuple[bool, str]:
        counts = {node: sum(map(len, router.neighbours().values())) for node, router in routers.items()}
        expected = {node: neighbours_expected(model, node) for node in routers}
        lacking = [f"{node} sees {counts[node]} of {count}" for node, count in expected.items() if counts[node] < count]
        return not lacking, ", ".join(lacking) or "all"

    network.eventually("PIM adjacency of all routers", all_adjacent, ADJACENCY_DEADLINE_S)
    point = model.rendezvous_point
    if not point:
        return routers
    for router in routers.values():
        router.learn_rendezvous_point()

    def all_know() -> tuple[bool, str]:
        lacking = [node for node, router in routers.items() if router.rendezvous_point_interface() is None]
        for node in lacking:
            routers[node].learn_rendezvous_point(again=True)
        return not lacking, f"{', '.join(lacking) or 'no router'} without a way to it"

    network.eventually(f"a way to the rendezvous point {point}", all_know, ADJACENCY_DEADLINE_S)
    return routers


def _programs(model: Lab) -> tuple[str, ...]:
    return "zebra", "mgmtd", "pimd" if model.family == 4 else "pim6d", f"ipv{model.family}-multicast-routing"


FAMILY = DaemonFamily(FRR, check, start, _programs, packages=("frr",))
