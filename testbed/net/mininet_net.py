"""Builds a model with Mininet: nodes with namespaces of their own, veth links, Linux bridges as points of attachment.

The only file that imports mininet. Mininet supplies the nodes and the way to start processes in them. Their namespaces are
made side by side by `testbed.net.keeper`, and links, addresses, routes and settings go through netlink and /proc in bulk, since
Mininet's own way is a shell for each node and a shell command, without exit status, for each change.

Four settings silently eat multicast. They are set on every interface and read back by `EmulatedNetwork.verify_multicast_settings`:
a bridge's multicast snooping (as the model says), netfilter on bridges (off), reverse path filtering (off; the strictest
of `all` and the interface's own wins, so both count), and checksum offload of veths (off: a forwarded packet would
otherwise carry a checksum nobody ever computed).
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

from mininet.net import Mininet
from mininet.node import Host

from testbed.host.checks import Probe, eventually
from testbed.host.processes import ManagedProcess, ProcessTable
from testbed.host.progress import Progress
from testbed.host.sandbox import require_inside
from testbed.net import settings as settings_of
from testbed.net.batch import Batch
from testbed.net.links import Links
from testbed.net.model import Lab, Link, Radio
from testbed.net.netlink import NetworkNamespace
from testbed.net.routes import Route, routes
from testbed.net.validation import validate
from testbed.net.wires import Wire, wires

OPEN_FILES = 16384
"""Wanted limit of open files; Mininet's own figure. A lower hard limit is kept, it suffices for small labs."""

KEEPER = Path(__file__).with_name("keeper.py")

GROUPS_PER_SOCKET = "1024"
"""net.ipv4.igmp_max_memberships, 20 by default: an agent standing in for many receivers needs more."""

BRIDGE_NETFILTER = tuple(f"net/bridge/bridge-nf-call-{table}" for table in ("iptables", "ip6tables", "arptables"))


class EmulationError(RuntimeError):
    """The lab cannot be built as its model says. Names node, interface and the value found."""


class EmulatedNetwork:
    """A lab brought to life; a context manager. Everything in it stops when the context ends.

    `processes` starts and watches processes, `namespace(node)` gives the node's links, `sandbox_namespace` the bridges
    and the bridges' side of every veth, `links` what is not perfect of them, `eventually` waits while watching the processes.
    """

    def __init__(
        self, model: Lab, run_folder: Path, progress: Progress | None = None, *, adjustable_links: bool = False
    ) -> None:
        """`run_folder` receives logs/. `adjustable_links`: perfect links can be changed later too.

        Raises ModelError for a lab that cannot work, SandboxError outside a sandbox.
        """
        validate(model)
        sandbox = require_inside()
        self.model, self.run_folder, self.progress = model, run_folder, progress or Progress(quiet=True)
        self.routing_root = sandbox.routing_root
        self._stack = ExitStack()
        self._nodes: dict[str, Any] = {}
        self._namespaces: dict[str, NetworkNamespace] = {}
        self.links = Links(self, adjustable=adjustable_links)
        self.sandbox_namespace: NetworkNamespace
        self.processes: ProcessTable

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.sandbox_namespace = stack.enter_context(NetworkNamespace())
            self.processes = stack.enter_context(ProcessTable(self.run_folder / "logs", self.popen, self.progress))
            with self.progress.step(f"nodes and links of {self.model.name} (IPv{self.model.family})"):
                self._start_nodes(stack)
                self._build()
                self.links.begin()
                self.verify_multicast_settings()
            self.links.verify()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def pid(self, node: str) -> int:
        """A process living in the node's namespaces for as long as the node exists. Raises ModelError if unknown."""
        self.model.node(node)
        return int(self._nodes[node].pid)

    def namespace(self, node: str) -> NetworkNamespace:
        """The node's network namespace. Raises ModelError if there is no such node."""
        self.model.node(node)
        return self._namespaces[node]

    def popen(self, node: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Starts argv in a node, with the options of `subprocess.Popen` (but no shell and no new session: mnexec makes one)."""
        self.model.node(node)
        if options.pop("shell", False) or options.get("start_new_session"):
            raise ValueError("a process in a node is an argv list, and its session is made by mnexec")
        process: subprocess.Popen[bytes] = self._nodes[node].popen(list(argv), **options)
        return process

    def eventually(self, awaited: str, probe: Probe, deadline_s: float, *, quiet: bool = False) -> float:
        """Waits as `checks.eventually` does; a dead process of the lab ends the wait. `quiet`: without a progress line."""
        return eventually(
            awaited,
            probe,
            deadline_s,
            check_alive=self.processes.check_alive,
            progress=None if quiet else self.progress,
        )

    def _start_nodes(self, stack: ExitStack) -> None:
        # Mininet would raise host-wide limits (fs.file-max, kernel.pty.max, …) on its first use: a lab must never.
        Mininet.inited = True
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        network = Mininet(build=False, controller=None)
        for name, pid in self._keep_namespaces(stack):
            self._nodes[name] = network.addHost(name, cls=_Node, ip=None, keeper=pid)
            self._namespaces[name] = stack.enter_context(NetworkNamespace(pid, name))
            # While others are being made, and before there are interfaces, which inherit them.
            self._namespaces[name].write_sysctls(self._settings(name))

    def _keep_namespaces(self, stack: ExitStack) -> Iterator[tuple[str, int]]:
        """Each node with the process that keeps its namespaces, as they come."""
        names = [node.name for node in self.model.nodes]
        argv = (sys.executable, "-I", "-S", str(KEEPER), *names)
        log = self.run_folder / "logs" / "nodes.log"
        with log.open("wb") as said:
            keeper = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said)
        stack.callback(_end, keeper)
        self.processes.adopt(ManagedProcess("nodes", "all", argv, keeper, log))
        if keeper.stdout is None:
            raise EmulationError("the nodes' keeper has no output")
        said_by_nodes = (line.decode().split() for line in keeper.stdout)
        for _ in names:
            name, pid = next(said_by_nodes, (None, ""))
            if name is None:
                keeper.wait()
                raise EmulationError(f"the nodes' namespaces cannot be made: {log.read_text().strip()}")
            yield name, int(pid)

    def _build(self) -> None:
        model, sandbox = self.model, self.sandbox_namespace
        sandbox.write_sysctls(
            {"net/ipv6/conf/all/disable_ipv6": "1", "net/ipv6/conf/default/disable_ipv6": "1"} if self._has_ipv6 else {}
        )
        sandbox.write_sysctls({name: "0" for name in BRIDGE_NETFILTER if sandbox.read_sysctl(name) is not None})
        cells = {attachment.bridge_port: attachment.point_of_attachment for attachment in model.attachments}
        cells |= {radio.bridge_port: radio.initially or "" for radio in model.radios}
        with Batch(sandbox) as batch:
            for cell in model.points_of_attachment:
                batch.create_bridge(cell.name, mcast_snooping=cell.mcast_snooping)
            for number, wire in enumerate(wires(model), 1):
                self._join(batch, number, wire)
        sandbox.take_over([*cells])
        with Batch(sandbox) as batch:
            for port, cell_name in cells.items():
                if cell_name:
                    batch.attach(port, cell_name)
        self._configure_nodes()

    def _configure_nodes(self) -> None:
        """Each node's addresses and routes; a radio that is nowhere yet is up all the same, as one whose address is given."""
        is_static = self.model.addressing.mode == "static"
        given = set() if is_static else {(radio.node, radio.interface) for radio in self.model.radios}
        ways: dict[str, list[Route]] = {}
        for route in routes(self.model):
            if (route.node, route.interface) not in given:
                ways.setdefault(route.node, []).append(route)
        ends: dict[str, list[tuple[str, str]]] = {}
        for end in self.model.all_ends():
            address = "" if (end.node, end.interface) in given else end.address
            ends.setdefault(end.node, []).append((end.interface, address))
        for radio in self.model.radios:
            if radio.initially is None:
                ends.setdefault(radio.node, []).append((radio.interface, ""))
        for name, namespace in self._namespaces.items():
            namespace.run(partial(_configure, namespace, ends.get(name, ()), ways.get(name, ())))

    def _join(self, batch: Batch, number: int, wire: Wire) -> None:
        """Makes the veth pair of a wire, or two with something between them.

        Hardware addresses are locally administered and the same in every run, so that captures of two runs can be compared.
        """
        high, low = divmod(number, 256)
        here, there, *between = (f"02:00:00:{high:02x}:{low:02x}:{end:02x}" for end in (1, 2, 3, 4))
        first: tuple[str, int | None] = (wire.interface, self.pid(wire.first))
        second: tuple[str, int | None]
        if isinstance(wire.part, Link):
            second = (wire.part.second.interface, self.pid(wire.part.second.node))
        else:
            second = (wire.part.bridge_port, None)
        pieces = self.links.pieces(wire.part)
        if pieces is None:
            batch.create_veth(first, second, (here, there))
        else:
            batch.create_veth(first, (pieces[0], None), (here, between[0]))
            batch.create_veth((pieces[1], None), second, (between[1], there))

    def set_carrier(self, radio: Radio, present: bool) -> None:  # noqa: FBT001  # as `set_up`
        """Gives a radio its link, or takes it away, as its node and its cell see it.

        What is on its way where the link has a delay arrives if there is a link again by then, whatever the cell.
        """
        pieces = self.links.pieces(radio)
        ends = (radio.bridge_port, *pieces[:1]) if pieces else (radio.bridge_port,)
        for interface in ends if present else reversed(ends):
            self.sandbox_namespace.set_up(interface, present)

    @cached_property
    def _has_ipv6(self) -> bool:
        """Whether this kernel has it."""
        return self.sandbox_namespace.read_sysctl("net/ipv6/conf/all/disable_ipv6") is not None

    def _settings(self, node: str) -> dict[str, str]:
        """Settings of a node, written before it has interfaces: they inherit `default`."""
        router = self.model.node(node).kind == "router"
        settings = {f"net/ipv4/conf/{which}/rp_filter": "0" for which in ("all", "default", "lo")}
        settings |= {"net/ipv4/ip_forward": str(int(router)), "net/ipv4/igmp_max_memberships": GROUPS_PER_SOCKET}
        if self.model.family == 6 and not self._has_ipv6:
            raise EmulationError("this kernel has no IPv6: choose family 4, or boot without ipv6.disable=1")
        if self._has_ipv6:
            for which in ("all", "default"):
                conf = f"net/ipv6/conf/{which}"
                settings[f"{conf}/disable_ipv6"] = str(int(self.model.family == 4))
                # Forwarding first: writing it resets accept_ra's meaning.
                settings |= {
                    f"{conf}/forwarding": str(int(router)),
                    f"{conf}/accept_ra": "0",
                    **{
                        f"{conf}/{name}": value
                        for name, value in settings_of.duplicate_detection(self.model, node).items()
                    },
                }
            settings["net/ipv6/conf/default/addr_gen_mode"] = "0"  # EUI-64: known from the hardware address, at once
            if self.model.family == 6:
                settings["net/ipv6/conf/lo/disable_ipv6"] = "0"
        return settings | settings_of.membership(self.model)

    def verify_multicast_settings(self) -> None:
        """Reads the four settings back. Raises EmulationError naming node, interface and value; cheap enough to repeat."""
        sandbox = self.sandbox_namespace
        for cell in self.model.points_of_attachment:
            if (found := sandbox.mcast_snooping(cell.name)) != cell.mcast_snooping:
                raise EmulationError(
                    f"bridge {cell.name}: multicast snooping is {'on' if found else 'off'}, "
                    f"the model says {'on' if cell.mcast_snooping else 'off'}"
                )
        for name in BRIDGE_NETFILTER:
            if (value := sandbox.read_sysctl(name)) not in (None, "0"):
                raise EmulationError(f"bridges: {name} is {value}, must be 0, or firewall rules eat multicast")
        ends: dict[str, list[str]] = {}
        for end in self.model.all_ends():
            ends.setdefault(end.node, []).append(end.interface)
        for name, namespace in self._namespaces.items():
            namespace.run(partial(_verify, namespace, ends.get(name, ())))
        _verify_offloads(
            sandbox,
            [*(a.bridge_port for a in self.model.attachments), *(r.bridge_port for r in self.model.radios)],
        )


def _verify(namespace: NetworkNamespace, interfaces: Sequence[str]) -> None:
    for interface, value in namespace.read_each("rp_filter").items():
        if value != "0":
            raise EmulationError(f"node {namespace.name}, interface {interface}: rp_filter is {value}, must be 0")
    _verify_offloads(namespace, interfaces)


def _verify_offloads(namespace: NetworkNamespace, interfaces: Sequence[str]) -> None:
    for interface, offloads in namespace.offloads(interfaces).items():
        if on := [name for name, state in offloads.items() if state]:
            raise EmulationError(
                f"node {namespace.name}, interface {interface}: {', '.join(on)} offload is on, must be off"
            )


class _Node(Host):  # type: ignore[misc]  # Mininet has no types
    """A node whose namespaces somebody keeps already; Mininet's own has a shell for that."""

    def __init__(self, name: str, keeper: int, **parameters: Any) -> None:
        self._keeper = keeper
        super().__init__(name, **parameters)

    def startShell(self, mnopts: str | None = None) -> None:  # noqa: N802  # Mininet's name
        """Called by Mininet when the node is made."""
        self.pid = self._keeper


def _configure(namespace: NetworkNamespace, ends: Sequence[tuple[str, str]], ways: Sequence[Route]) -> None:
    """A node's interfaces, each with its address or none yet, and its routes."""
    namespace.take_over([interface for interface, _ in ends])
    with Batch(namespace) as batch:
        for interface in ("lo", *(interface for interface, _ in ends)):
            batch.set_up(interface)
        for interface, address in ends:
            if address:
                batch.add_address(interface, address)
        for way in ways:
            batch.add_route(way.destination, way.via, way.interface)


def _end(keeper: subprocess.Popen[bytes]) -> None:
    keeper.terminate()
    keeper.wait()
    if keeper.stdout is not None:
        keeper.stdout.close()
