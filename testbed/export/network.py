"""A lab as containers: what each is called, what its interfaces are joined to, and the script that makes it what the model says.

Every node is a container, and so is every cell: a bridge of its own, with a port for each node. A mobile node stays in the cell
where it begins. Roles are not started: what plays them is this project's, or yours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_interface

from testbed.net.link_plans import Mechanisms, plan, tc_lines
from testbed.net.model import PERFECT, Lab, ModelError, Quality
from testbed.net.rendering import templates
from testbed.net.routes import routes
from testbed.net.settings import duplicate_detection, membership
from testbed.routing import ospf
from testbed.routing.frr import render_interfaces, render_rendezvous_point
from testbed.routing.pim import FRR

IMAGE = "kathara/frr"
"""Has FRR 10, iproute2 and tc, and starts nothing by itself."""

_NAME = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?:[A-Za-z0-9.-]+(?::\d+)?/)?{_NAME}(?:/{_NAME})*(?::\w[\w.-]*)?(?:@[A-Za-z0-9]+:[0-9a-f]{{32,}})?", re.ASCII
)

_NETEM = Mechanisms(netem=True, taps=False)
"""What the other emulator's kernel has to have for links."""

_TEMPLATES = templates("testbed.export")


@dataclass(frozen=True, slots=True)
class Plug:
    """An interface of a container: on which wire, with which address (a cell's port has none), and what it does to what it sends.

    ``detects``: it looks for duplicates of its address, if that is of IPv6.
    """

    name: str
    wire: int
    address: str | None = None
    quality: Quality = PERFECT
    detects: bool = False


@dataclass(frozen=True, slots=True)
class Container:
    """A node or a cell. ``files``: what it has to find, by path; ``script``: lines for a shell that set it up, plugs apart."""

    name: str
    kind: str
    plugs: tuple[Plug, ...]
    script: tuple[str, ...]
    files: Mapping[str, str]


def image_reference(text: str) -> str:
    """The name of an image as containers' programs take it. Raises ModelError for what is none."""
    if not _IMAGE.fullmatch(text):
        remedy = (
            "write [HOST[:PORT]/]NAME[:TAG][@DIGEST], with a NAME of small letters, digits, dots, dashes and strokes"
        )
        raise ModelError("no name of a container image", f"--image {text!r}", remedy)
    return text


def render(template: str, **values: object) -> str:
    """The text that a template makes of the values."""
    return _TEMPLATES.get_template(template).render(**values)


def containers(model: Lab) -> tuple[Container, ...]:
    """The lab's nodes and cells. Raises ModelError for what cannot be taken elsewhere."""
    for node in model.routers():
        if node.daemon not in ("", FRR):
            raise ModelError(
                f"daemon {node.daemon!r}", f"node {node.name}", f"only {FRR} can be exported: --routing {FRR}"
            )
    if model.addressing.mode != "static":
        raise ModelError(
            f"addresses by {model.addressing.mode}", f"lab {model.name}", "export it with --addresses static"
        )
    plugs: dict[str, list[Plug]] = {}
    for wire, ends in enumerate(_wires(model)):
        for owner, name, address, quality in ends:
            detects = duplicate_detection(model, owner)["accept_dad"] != "0"
            plugs.setdefault(owner, []).append(Plug(name, wire, address, quality, detects))
    found = [
        Container(
            node.name,
            node.kind,
            tuple(plugs.get(node.name, ())),
            tuple(_script_of_node(model, node.name)),
            _files(model, node.name) if _has_frr(model, node.name) else {},
        )
        for node in model.nodes
    ]
    for cell in model.points_of_attachment:
        ports = tuple(plugs.get(cell.name, ()))
        script = (
            f"ip link add {cell.name} type bridge mcast_snooping {int(cell.mcast_snooping)} stp_state 0",
            f"ip link set {cell.name} up",
            *(f"ip link set {port.name} master {cell.name}" for port in ports),
        )
        found.append(Container(cell.name, "cell", ports, script, {}))
    return tuple(found)


_End = tuple[str, str, str | None, Quality]


def _wires(model: Lab) -> Iterator[tuple[_End, _End]]:
    """The two ends of every wire: container, interface, address, what it does to what it sends."""
    for link in model.links:
        one, other = link.first, link.second
        yield (
            (one.node, one.interface, one.address, link.forward),
            (other.node, other.interface, other.address, link.backward),
        )
    for attachment in model.attachments:
        end = attachment.end
        yield (
            (end.node, end.interface, end.address, attachment.forward),
            (attachment.point_of_attachment, attachment.bridge_port, None, attachment.backward),
        )
    for radio in model.radios:
        if radio.initially is not None:
            yield (
                (radio.node, radio.interface, radio.address_in(radio.initially), radio.forward),
                (radio.initially, radio.bridge_port, None, radio.backward),
            )


def _script_of_node(model: Lab, node: str) -> Iterator[str]:
    """Forwarding, the settings that multicast needs, and routes; then the daemons."""
    router = model.node(node).kind == "router"
    if model.family == 4:
        yield f"sysctl -qw net.ipv4.ip_forward={int(router)} net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0"
    else:
        yield "sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0"
        yield f"sysctl -qw net.ipv6.conf.all.forwarding={int(router)}"
    # Its interfaces are there already: what new ones begin with is too late.
    settings = {name: value for name, value in membership(model).items() if "/default/" not in name}
    if model.family == 6:
        settings |= {f"net/ipv6/conf/all/{name}": value for name, value in duplicate_detection(model, node).items()}
    yield "sysctl -qw " + " ".join(f"{name.replace('/', '.')}={value}" for name, value in settings.items())
    yield "# plugs"
    ip = "ip" if model.family == 4 else "ip -6"
    for route in routes(model):
        if route.node == node and not (router and ospf.used_by(model)):
            yield f"{ip} route replace {route.destination} via {route.via} dev {route.interface}"
    if _has_frr(model, node):
        yield "/usr/lib/frr/frrinit.sh start"


def _has_frr(model: Lab, node: str) -> bool:
    """Whether FRR runs there: for multicast, or for the routes of a router."""
    known = model.node(node)
    return bool(known.daemon) or (known.kind == "router" and ospf.used_by(model))


def _files(model: Lab, node: str) -> dict[str, str]:
    configuration, daemons = "", []
    if ospf.used_by(model):
        configuration += ospf.render_configuration(model, node)
        daemons.append(ospf.daemon(model))
    if model.node(node).daemon:
        configuration += render_interfaces(model, node)
        if model.rendezvous_point:
            configuration += render_rendezvous_point(model)
        daemons.append("pimd" if model.family == 4 else "pim6d")
    return {
        "etc/frr/daemons": render("frr-daemons.j2", daemons=daemons),
        "etc/frr/frr.conf": configuration,
        "etc/frr/vtysh.conf": "service integrated-vtysh-config\n",
    }


def script(container: Container, names: Mapping[str, str]) -> str:
    """The container's script. ``names``: what the emulator calls its interfaces, where that is not the model's name."""
    lines: list[str] = []
    plugged = False
    for line in container.script:
        if line == "# plugs":
            lines += _plugged(container, names)
            plugged = True
        else:
            lines.append(line)
    if not plugged:  # a cell's ports are there before its bridge takes them
        lines = [*_plugged(container, names), *lines]
    return "#!/bin/sh\nset -e\n" + "\n".join(lines) + "\n"


def _plugged(container: Container, names: Mapping[str, str]) -> Iterator[str]:
    for plug in container.plugs:
        given = names.get(plug.name, plug.name)
        if given != plug.name:
            yield f"ip link set {given} down"
            yield f"ip link set {given} name {plug.name}"
        yield f"ip link set {plug.name} up"
        if plug.address is not None:
            nodad = " nodad" if ip_interface(plug.address).version == 6 and not plug.detects else ""
            yield f"ip address replace {plug.address} dev {plug.name}{nodad}"
        planned = plan(plug.quality, _NETEM, f"interface {plug.name}")
        yield from (f"tc {line}" for line in tc_lines(planned, plug.name, had=False))
