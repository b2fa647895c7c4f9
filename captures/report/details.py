"""The end of a run's page: parameters, addresses, counters, configurations, files, and how to look with Wireshark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captures.report.material import Material
from captures.report.topology import Plan

if TYPE_CHECKING:
    from captures.mmcp.timeline import Timeline


@dataclass(frozen=True, slots=True)
class LinkedFile:
    """A file of the run as the page links to it."""

    name: str
    octets: int
    link: str


def linked_files(material: Material, report: Path) -> list[LinkedFile]:
    """The run's files with the way to each from the report."""
    return [LinkedFile(file.name, file.octets, material.link(file.name, report)) for file in material.files]


def facts_of(result: Mapping[str, Any], timeline: Timeline) -> list[tuple[str, list[tuple[str, str]]]]:
    """What was run: tables of a title and of names with values."""
    parameters = timeline.parameters
    session = [
        ("lab", parameters.lab),
        ("group and port", f"{parameters.group} port {parameters.port}"),
        *([("joined from", parameters.source)] if parameters.source else []),
        ("MMCP port", str(parameters.mmcp_port)),
        ("session", str(parameters.session_id)),
        ("packet spacing", f"{parameters.nominal_spacing_ns / 1e6:g} ms"),
        ("SRT", f"{parameters.srt_s:g} s"),
    ]
    addresses = [("session manager", parameters.session_manager)]
    addresses += [(f"{lmc.name}, at {lmc.point_of_attachment}", lmc.address) for lmc in parameters.lmcs]
    addresses += [
        (f"{mn.name} in {cell}", address) for mn in parameters.mns for cell, address in sorted(mn.addresses.items())
    ]
    found = [("Session", session), ("Addresses", addresses)] if parameters.known else []
    given = result.get("parameters")
    if isinstance(given, Mapping):
        options = [(str(name), "\N{EN DASH}" if value is None else str(value)) for name, value in given.items()]
        found.insert(0, ("Options", options))
    versions = result.get("versions")
    if isinstance(versions, Mapping) and versions:
        found.append(("Versions", [(str(name), str(version)) for name, version in versions.items()]))
    return found


def counters_of(result: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, Any]]]]:
    """What each role counted, as far as it counted anything."""
    counters = result.get("counters")
    if not isinstance(counters, Mapping):
        return []
    return [(str(role), sorted(counts.items())) for role, counts in counters.items() if isinstance(counts, Mapping)]


def roles_of(timeline: Timeline, plan: Plan | None) -> dict[str, str]:
    """What each node is, in words, by its name."""
    parameters = timeline.parameters
    roles: dict[str, str] = {}
    if plan is not None:
        roles |= {box.name: f"{box.name}, a {'router' if box.name in plan.routers else 'host'}" for box in plan.nodes}
        roles |= {cell.name: f"{cell.name}, point of attachment" for cell in plan.cells}
    for node, address in node_addresses(timeline).items():
        words = {"sm": "session manager", "mcs": "source of the stream"}.get(node[0])
        if words:
            roles[node[1]] = f"{node[1]}, {words}, {address}"
    roles |= {lmc.name: f"{lmc.name}, local mobility controller, {lmc.address}" for lmc in parameters.lmcs}
    for mn in parameters.mns:
        roles[mn.name] = f"{mn.name}, mobile node, {', '.join(mn.addresses.values())}"
    return roles


def node_addresses(timeline: Timeline) -> dict[tuple[str, str], str]:
    """Of the session manager and the source, as the parameters step names them: (role, node) and address."""
    step = next((step for step in timeline.steps if step.name == "parameters"), None)
    found = {}
    for role in ("sm", "mcs"):
        entry = step.fields.get(role) if step is not None else None
        if isinstance(entry, Mapping) and "node" in entry:
            found[role, str(entry["node"])] = str(entry.get("address", ""))
    return found


def source_of(timeline: Timeline) -> str | None:
    """The node the stream comes from, if the parameters step says so."""
    return next((node for role, node in node_addresses(timeline) if role == "mcs"), None)


def filters_of(timeline: Timeline) -> list[tuple[str, str]]:
    """Display filters worth knowing for this capture."""
    parameters = timeline.parameters
    if not parameters.known:
        return [("MMCP", f"udp.port == {parameters.mmcp_port}"), ("joins and leaves", "igmp || icmpv6.type == 143")]
    six = ":" in parameters.group
    found = [
        ("MMCP", f"udp.port == {parameters.mmcp_port}"),
        ("joins and leaves of the group", "icmpv6.type == 143" if six else "igmp"),
        ("the stream", f"{'ipv6' if six else 'ip'}.dst == {parameters.group} && udp.dstport == {parameters.port}"),
        ("the scenario's steps", "systemd_journal"),
    ]
    found += [(f"what {mn.name} saw", f'frame.interface_name == "{mn.interface}"') for mn in parameters.mns[:1]]
    return found
