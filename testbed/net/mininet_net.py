"""Builds a model with Mininet: nodes with namespaces of their own, veth links, Linux bridges as points of attachment.

The only file that imports mininet. Mininet supplies the nodes and the way to start processes in them; links, addresses,
routes and settings go through netlink and /proc, since Mininet's own way is a shell command without exit status.

Four settings silently eat multicast. They are set on every interface and read back by `EmulatedNetwork.verify_multicast_settings`:
a bridge's multicast snooping (as the model says), netfilter on bridges (off), reverse path filtering (off; the strictest
of `all` and the interface's own wins, so both count), and checksum offload of veths (off: a forwarded packet would
otherwise carry a checksum nobody ever computed).
"""

from __future__ import annotations

import resource
import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from mininet.net import Mininet

from testbed.host.checks import Probe, eventually
from testbed.host.processes import ManagedProcess, ProcessTable
from testbed.host.progress import Progress
from testbed.host.sandbox import require_inside
from testbed.net.links import Links
from testbed.net.model import Attachment, End, Lab, Radio
from testbed.net.netlink import NetworkNamespace
from testbed.net.routes import routes
from testbed.net.validation import validate
from testbed.net.wires import Part

OPEN_FILES = 16384
"""Wanted limit of open files; Mininet's own figure. A lower hard limit is kept, it suffices for small labs."""

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
        self._veths = 0
        self.links = Links(self, adjustable=adjustable_links)
        self.sandbox_namespace: NetworkNamespace
        self.processes: ProcessTable

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.sandbox_namespace = stack.enter_context(NetworkNamespace())
            with self.progress.step(f"nodes and links of {self.model.name} (IPv{self.model.family})"):
                self._start_nodes(stack)
                self.processes = stack.enter_context(ProcessTable(self.run_folder / "logs", self.popen, self.progress))
                for name, node in self._nodes.items():
                    # An interactive shell ignores SIGTERM. Without it the node's namespace has no keeper.
                    self.processes.adopt(
                        ManagedProcess(f"{name}-shell", name, ("bash",), node.shell, None, stop_signal=signal.SIGKILL)
                    )
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
        for node in self.model.nodes:
            self._nodes[node.name] = network.addHost(node.name, ip=None)
            stack.callback(_end_shell, self._nodes[node.name])
            namespace = NetworkNamespace(self.pid(node.name), node.name)
            self._namespaces[node.name] = stack.enter_context(namespace)

    def _build(self) -> None:
        model, sandbox = self.model, self.sandbox_namespace
        sandbox.write_sysctls(
            {"net/ipv6/conf/all/disable_ipv6": "1", "net/ipv6/conf/default/disable_ipv6": "1"}
            if sandbox.read_sysctl("net/ipv6/conf/all/disable_ipv6") is not None
            else {}
        )
        sandbox.write_sysctls({name: "0" for name in BRIDGE_NETFILTER if sandbox.read_sysctl(name) is not None})
        for node in model.nodes:
            self._namespaces[node.name].write_sysctls(self._settings(node.name))
            self._namespaces[node.name].set_up("lo")
        for cell in model.points_of_attachment:
            sandbox.create_bridge(cell.name, mcast_snooping=cell.mcast_snooping)
            sandbox.set_up(cell.name)
        for link in model.links:
            self._join(
                link,
                (link.first.interface, self.pid(link.first.node)),
                (link.second.interface, self.pid(link.second.node)),
            )
            self._configure(link.first)
            self._configure(link.second)
        for attachment in model.attachments:
            self._attach(attachment, attachment.end, attachment.point_of_attachment)
        for radio in model.radios:
            self._add_radio(radio)
        given = {(r.node, r.interface) for r in model.radios} if model.addressing.mode != "static" else set()
        for route in routes(model):
            if (route.node, route.interface) in given:
                continue  # with the address
            self._namespaces[route.node].add_route(route.destination, route.via, route.interface)

    def _join(self, part: Part, first: tuple[str, int | None], second: tuple[str, int | None]) -> None:
        """Joins two interfaces, each a name and a process in its namespace, by a wire of the model.

        Hardware addresses are locally administered and the same in every run, so that captures of two runs can be compared.
        """
        self._veths += 1
        high, low = divmod(self._veths, 256)
        here, there, *between = (f"02:00:00:{high:02x}:{low:02x}:{end:02x}" for end in (1, 2, 3, 4))
        pieces = self.links.pieces(part)
        if pieces is None:
            self.sandbox_namespace.create_veth(*first, *second, (here, there))
        else:
            self.sandbox_namespace.create_veth(*first, pieces[0], None, (here, between[0]))
            self.sandbox_namespace.create_veth(pieces[1], None, *second, (between[1], there))

    def _attach(self, part: Attachment | Radio, end: End, bridge: str) -> None:
        sandbox, port = self.sandbox_namespace, part.bridge_port
        self._join(part, (end.interface, self.pid(end.node)), (port, None))
        sandbox.disable_offloads(port)
        sandbox.set_master(port, bridge)
        sandbox.set_up(port)
        self._configure(end)

    def _add_radio(self, radio: Radio) -> None:
        end = radio.first_end()
        if end is not None and radio.initially is not None and self.model.addressing.mode == "static":
            self._attach(radio, end, radio.initially)
            return
        sandbox, node = self.sandbox_namespace, self._namespaces[radio.node]
        self._join(radio, (radio.interface, self.pid(radio.node)), (radio.bridge_port, None))
        sandbox.disable_offloads(radio.bridge_port)
        if radio.initially is not None:  # its address comes from elsewhere
            sandbox.set_master(radio.bridge_port, radio.initially)
            sandbox.set_up(radio.bridge_port)
        node.disable_offloads(radio.interface)
        node.set_up(radio.interface)

    def set_carrier(self, radio: Radio, present: bool) -> None:  # noqa: FBT001  # as `set_up`
        """Gives a radio its link, or takes it away, as its node and its cell see it.

        What is on its way where the link has a delay arrives if there is a link again by then, whatever the cell.
        """
        pieces = self.links.pieces(radio)
        ends = (radio.bridge_port, *pieces[:1]) if pieces else (radio.bridge_port,)
        for interface in ends if present else reversed(ends):
            self.sandbox_namespace.set_up(interface, present)

    def _configure(self, end: End) -> None:
        namespace = self._namespaces[end.node]
        namespace.disable_offloads(end.interface)
        namespace.set_up(end.interface)
        namespace.add_address(end.interface, end.address)

    def _settings(self, node: str) -> dict[str, str]:
        """Settings of a node, written before it has interfaces: they inherit `default`."""
        router = self.model.node(node).kind == "router"
        settings = {f"net/ipv4/conf/{which}/rp_filter": "0" for which in ("all", "default", "lo")}
        settings |= {"net/ipv4/ip_forward": str(int(router)), "net/ipv4/igmp_max_memberships": GROUPS_PER_SOCKET}
        has_ipv6 = self._namespaces[node].read_sysctl("net/ipv6/conf/all/disable_ipv6") is not None
        if self.model.family == 6 and not has_ipv6:
            raise EmulationError("this kernel has no IPv6: choose family 4, or boot without ipv6.disable=1")
        if has_ipv6:
            for which in ("all", "default"):
                conf = f"net/ipv6/conf/{which}"
                settings[f"{conf}/disable_ipv6"] = str(int(self.model.family == 4))
                # Forwarding first: writing it resets accept_ra's meaning.
                settings |= {
                    f"{conf}/forwarding": str(int(router)),
                    f"{conf}/accept_ra": "0",
                    **{f"{conf}/{name}": value for name, value in self._duplicate_detection(node).items()},
                }
            settings["net/ipv6/conf/default/addr_gen_mode"] = "0"  # EUI-64: known from the hardware address, at once
            if self.model.family == 6:
                settings["net/ipv6/conf/lo/disable_ipv6"] = "0"
        return settings | self._membership_settings()

    def _membership_settings(self) -> dict[str, str]:
        """What a node speaks as an IGMP or MLD host: what the lab's routers ask in, from its first report on."""
        asked = self.model.membership
        if self.model.family == 6:
            return {f"net/ipv6/conf/{which}/force_mld_version": str(asked.mld) for which in ("all", "default")}
        settings = {f"net/ipv4/conf/{which}/force_igmp_version": str(asked.igmp) for which in ("all", "default")}
        return settings | {"net/ipv4/igmp_qrv": str(asked.robustness)}

    def _duplicate_detection(self, node: str) -> dict[str, str]:
        """Settings of IPv6 by which a node looks for duplicates of its addresses: mobile nodes do, as the model says."""
        is_mobile = any(radio.node == node for radio in self.model.radios)
        wanted = self.model.addressing.duplicate_address_detection if is_mobile else "off"
        settings = dict.fromkeys(("accept_dad", "dad_transmits"), str(int(wanted != "off")))
        if wanted == "optimistic":
            settings |= {"optimistic_dad": "1", "use_optimistic": "1"}
        return settings

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
        for node, namespace in self._namespaces.items():
            for interface in namespace.sysctl_interfaces(4):
                if (value := namespace.read_sysctl(f"net/ipv4/conf/{interface}/rp_filter")) != "0":
                    raise EmulationError(f"node {node}, interface {interface}: rp_filter is {value}, must be 0")
        for namespace, interface in self._veth_ends():
            on = [name for name, state in namespace.offloads(interface).items() if state]
            if on:
                raise EmulationError(
                    f"node {namespace.name}, interface {interface}: {', '.join(on)} offload is on, must be off"
                )

    def _veth_ends(self) -> list[tuple[NetworkNamespace, str]]:
        model = self.model
        ends = [
            (self._namespaces[node.name], end.interface) for node in model.nodes for end in model.ends_of(node.name)
        ]
        ports = [*(a.bridge_port for a in model.attachments), *(r.bridge_port for r in model.radios)]
        return ends + [(self.sandbox_namespace, port) for port in ports]


def _end_shell(node: Any) -> None:
    """Mininet's `terminate` sends SIGHUP to the shell and waits; a shell that is already dead is fine."""
    if node.shell and node.shell.poll() is None:
        node.shell.kill()
    node.cleanup()
