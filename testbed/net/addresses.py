"""How mobile nodes come by their addresses: servers in the cells and clients on the nodes, or nobody but the node itself.

With DHCP the router of each cell runs dnsmasq, which has one lease for each node and cell: the address that the model gives.
With SLAAC it runs radvd, and a node's interface identifier is the one of its addresses in the model, the same in every
cell. Both ways dhcpcd is the client: Linux's own SLAAC solicits no router when a carrier comes back and keeps addresses and
routes of the cell before, so real hosts have a daemon for it.

Duplicate address detection is the kernel's for IPv6, by its settings, and dhcpcd's ARP probes [RFC 5227] for DHCP.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_interface
from pathlib import Path

from testbed.host.processes import ManagedProcess
from testbed.net.mininet_net import EmulatedNetwork, EmulationError
from testbed.net.model import End, Lab, ModelError, Network, Radio
from testbed.net.rendering import templates
from testbed.setup import routing_versions

FOLDER = "/run/addresses"  # in the routing root: configurations and leases
SERVER_DEADLINE_S = 10.0
ADDRESS_DEADLINE_S = 20.0  # three ARP probes take up to 7 s, and all nodes begin at once

EXCHANGE_S = 0.2  # in which DHCP's four messages, or a solicitation and its answer, are over

_FAMILIES = {"dhcp": 4, "slaac": 6}
_PACKAGES = {"static": (), "dhcp": ("dnsmasq-base", "dhcpcd-base"), "slaac": ("radvd", "dhcpcd-base")}
_PREFIX_LENGTH = 64  # of a network in which an interface identifier makes an address [RFC 4862 5.5.3, RFC 4291 2.5.1]
_TEMPLATES = templates("testbed.net")


@dataclass(frozen=True, slots=True)
class Lease:
    """A node's interface and the address that it has in a cell, without prefix."""

    hardware_address: str
    address: str


@dataclass(frozen=True, slots=True)
class ServedCell:
    """A cell as its server sees it: the router's interface and address there, the network, who may come."""

    name: str
    interface: str
    gateway: str
    network: Network
    leases: tuple[Lease, ...]


def check(model: Lab) -> None:
    """Raises ModelError for addressing that the lab cannot have."""
    mode, detection = model.addressing.mode, model.addressing.duplicate_address_detection
    where = f"lab {model.name}, addressing"
    for value, known in ((mode, ("static", *_FAMILIES)), (detection, ("off", "on", "optimistic"))):
        if value not in known:
            raise ModelError(f"{value!r} is no way to have addresses", where, f"use {', '.join(known)}")
    wanted = _FAMILIES.get(mode, model.family)
    if wanted != model.family:
        other = "slaac" if mode == "dhcp" else "dhcp"
        raise ModelError(f"{mode} with IPv{model.family}", where, f"use --addresses {other}, or --family {wanted}")
    if model.family == 4 and detection == "optimistic":
        raise ModelError("optimistic detection with IPv4", where, "ARP has none [RFC 5227]: use --dad on, or off")
    if model.family == 4 and mode == "static" and detection == "on":
        remedy = "Linux detects no duplicates of IPv4 by itself: use --addresses dhcp, whose client does, or --dad off"
        raise ModelError("detection with static IPv4 addresses", where, remedy)
    if mode != "slaac":
        return
    for radio in model.radios:
        addresses = [ip_interface(address) for _, address in radio.addresses]
        for each in addresses:
            if each.network.prefixlen != _PREFIX_LENGTH:
                remedy = f"use /{_PREFIX_LENGTH}: an interface identifier is the other half of an address"
                raise ModelError(f"{each} with slaac", f"radio {radio.node}:{radio.interface}", remedy)
        if len({_identifier(str(each)) for each in addresses}) > 1:
            remedy = f"give it the same last {128 - _PREFIX_LENGTH} bits in every cell, as slaac does"
            raise ModelError("several interface identifiers", f"radio {radio.node}:{radio.interface}", remedy)


def _identifier(address: str) -> str:
    """The interface identifier of an address in a /64, as a token is written: ``::100``."""
    return str(IPv6Address(int(ip_interface(address).ip) & (1 << 128 - _PREFIX_LENGTH) - 1))


def time_taken(model: Lab, own_s: float) -> tuple[float, float]:
    """How long after link up a mobile node can use its address, in s: at least, and at most where nothing is lost.

    ``own_s``: what one that gives itself an address waits before. Three ARP probes take 4 to 7 s [RFC 5227 2.1.1]; Linux probes
    for IPv6 within a second, and has an answer a second later [RFC 4862 5.4].
    """
    addressing = model.addressing
    least_s, most_s = (own_s, own_s) if addressing.mode == "static" else (0.0, EXCHANGE_S)
    if addressing.duplicate_address_detection == "on":
        more = (4.0, 7.0) if model.family == 4 else (1.0, 2.0)
        least_s, most_s = least_s + more[0], most_s + more[1]
    return least_s, most_s


def router_end(model: Lab, cell: str) -> End:
    """The end of the router that serves a cell. Raises ModelError where it has none."""
    routers = {node.name for node in model.routers()}
    for attachment in model.attachments:
        if attachment.point_of_attachment == cell and attachment.end.node in routers:
            return attachment.end
    raise ModelError("no router in this cell", f"cell {cell}", "attach a router to it")


def served_cells(model: Lab, hardware_addresses: dict[str, str]) -> dict[str, list[ServedCell]]:
    """The cells that mobile nodes go to, by the router that serves them. ``hardware_addresses``: of radios, by interface."""
    found: dict[str, list[ServedCell]] = {}
    for cell in model.points_of_attachment:
        leases = tuple(
            Lease(hardware_addresses[radio.interface], address.partition("/")[0])
            for radio in model.radios
            for name, address in radio.addresses
            if name == cell.name
        )
        if leases:
            end = router_end(model, cell.name)
            own = ip_interface(end.address)
            served = ServedCell(cell.name, end.interface, str(own.ip), own.network, leases)
            found.setdefault(end.node, []).append(served)
    return found


def render_server(model: Lab, router: str, cells: Sequence[ServedCell]) -> str:
    """The configuration of dnsmasq or radvd on a router."""
    template = {"dhcp": "dnsmasq.conf.j2", "slaac": "radvd.conf.j2"}[model.addressing.mode]
    return _TEMPLATES.get_template(template).render(router=router, cells=cells, folder=FOLDER)


def render_client(model: Lab, node: str) -> str:
    """The configuration of dhcpcd on a mobile node."""
    return _TEMPLATES.get_template("dhcpcd.conf.j2").render(
        node=node,
        mode=model.addressing.mode,
        probe=model.addressing.duplicate_address_detection == "on",
        radios=[
            {"name": radio.interface, "token": _identifier(radio.addresses[0][1]) if model.family == 6 else None}
            for radio in model.radios_of(node)
        ],
    )


def mobile_nodes(model: Lab) -> tuple[str, ...]:
    """The nodes that have radios, in the order of the model."""
    return tuple(dict.fromkeys(radio.node for radio in model.radios))


def start(network: EmulatedNetwork) -> None:
    """Starts servers and clients, as the model says, and waits until every mobile node has its first address.

    Raises ProcessDied, NotObserved with what they said.
    """
    model = network.model
    mode, detection = model.addressing.mode, model.addressing.duplicate_address_detection
    if not model.radios or (mode, detection) == ("static", "off"):
        return
    if mode != "static":
        root = _root(network)
        (root / FOLDER.lstrip("/")).mkdir(exist_ok=True)
        hardware = {
            radio.interface: network.namespace(radio.node).state(radio.interface).hardware_address
            for radio in model.radios
        }
        cells = served_cells(model, hardware)
        with network.progress.step(f"{'dnsmasq' if mode == 'dhcp' else 'radvd'} on {', '.join(cells)}"):
            for process, says in [_start_server(network, router, cells[router]) for router in cells]:
                network.processes.wait_for_log(process, says, SERVER_DEADLINE_S)
        for node in mobile_nodes(model):
            _start_client(network, node)
    awaited = [(radio, radio.initially) for radio in model.radios if radio.initially is not None]

    def all_addressed() -> tuple[bool, str]:
        lacking = [radio.node for radio, cell in awaited if not has_address(network, radio, cell)]
        return not lacking, f"{', '.join(lacking) or 'no node'} without"

    network.eventually(f"addresses of all mobile nodes ({mode})", all_addressed, ADDRESS_DEADLINE_S)


def has_address(network: EmulatedNetwork, radio: Radio, cell: str) -> bool:
    """Whether a radio has its address in a cell, and may use it."""
    return str(ip_interface(radio.address_in(cell))) in network.namespace(radio.node).usable_addresses(radio.interface)


def await_address(network: EmulatedNetwork, radio: Radio, cell: str) -> None:
    """Waits until a radio has its address in a cell. Raises NotObserved, ProcessDied."""
    namespace = network.namespace(radio.node)

    def addressed() -> tuple[bool, str]:
        return has_address(network, radio, cell), f"it has {', '.join(namespace.addresses(radio.interface)) or 'none'}"

    awaited = f"{radio.node} to have {radio.address_in(cell)} on {radio.interface}"
    network.eventually(awaited, addressed, ADDRESS_DEADLINE_S, quiet=True)


def versions(network: EmulatedNetwork) -> dict[str, str]:
    """The versions of servers and client in use, by package."""
    wanted = _PACKAGES[network.model.addressing.mode]
    found = routing_versions(_root(network)) if wanted else {}
    return {name: found[name] for name in wanted}


def _root(network: EmulatedNetwork) -> Path:
    if network.routing_root is None:
        raise EmulationError("this sandbox has no routing root folder: give run_inside a routing_root")
    return network.routing_root


def _start_server(network: EmulatedNetwork, router: str, cells: Sequence[ServedCell]) -> tuple[ManagedProcess, str]:
    """Starts it; returns it and what it says when it serves."""
    root, dhcp = _root(network), network.model.addressing.mode == "dhcp"
    program = "dnsmasq" if dhcp else "radvd"
    file = f"{FOLDER}/{router}-{program}.conf"
    (root / file.lstrip("/")).write_text(render_server(network.model, router, cells))
    argv = ["/usr/sbin/dnsmasq", f"--conf-file={file}"]
    if not dhcp:
        pid_file = f"{FOLDER}/{router}.pid"
        argv = ["/usr/sbin/radvd", "--nodaemon", "--logmethod", "stderr", "--config", file, "--pidfile", pid_file]
        argv += ["--debug", "5"]  # so that it says when it advertises
    process = network.processes.start(f"{router}-{program}", router, [_chroot(), str(root), *argv])
    return process, r"started, version" if dhcp else r"sending RA to"


def _start_client(network: EmulatedNetwork, node: str) -> None:
    """Starts dhcpcd, which has fixed names for what it keeps, so each has folders of its own."""
    root = _root(network)
    file = f"{FOLDER}/{node}-dhcpcd.conf"
    (root / file.lstrip("/")).write_text(render_client(network.model, node))
    (root / "run/dhcpcd").mkdir(exist_ok=True)
    script = 'mount -t tmpfs tmpfs "$1/run/dhcpcd"; mount -t tmpfs tmpfs "$1/var/lib/dhcpcd"; exec "$0" "$@"'
    argv = ["unshare", "--mount", "sh", "-ec", script, _chroot(), str(root)]
    network.processes.start(
        f"{node}-dhcpcd", node, [*argv, "/usr/sbin/dhcpcd", "--nobackground", "--debug", "--config", file]
    )


def _chroot() -> str:
    chroot = shutil.which("chroot")
    if chroot is None:
        raise EmulationError("chroot is missing: install coreutils, or put /usr/sbin on PATH")
    return chroot
