"""The end of a run's page: parameters, addresses, counters, configurations, files, and how to look with Wireshark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captures.additions import Additions
from captures.history.parameters import named_in, port_in
from captures.protocol import SOURCE, Protocol
from captures.protocols import protocols, role
from captures.report.material import Material
from captures.report.seen import Seen
from captures.report.topology import Plan

Facts = tuple[str, Sequence[tuple[str, str]]]
"""A title, and names with values."""


@dataclass(frozen=True, slots=True)
class LinkedFile:
    """A file of the run as the page links to it."""

    name: str
    octets: int
    link: str


def linked_files(material: Material, report: Path) -> list[LinkedFile]:
    """The run's files with the way to each from the report."""
    return [LinkedFile(file.name, file.octets, material.link(file.name, report)) for file in material.files]


def facts_of(result: Mapping[str, Any], seen: Seen) -> list[Facts]:
    """What was run: tables of a title and of names with values."""
    found: list[Facts] = []
    given = result.get("parameters")
    if isinstance(given, Mapping):
        found.append(("Options", [(str(name), _plain(value)) for name, value in given.items()]))
    if seen.parameters:
        found += [("Session", list(_session(seen.parameters))), ("Addresses", list(_addresses(seen.parameters)))]
    found += [(known.title, list(_section(seen.parameters.get(known.name)))) for known in protocols()]
    versions = result.get("versions")
    if isinstance(versions, Mapping) and versions:
        found.append(("Versions", [(str(name), str(version)) for name, version in versions.items()]))
    return [facts for facts in found if facts[1]]


def _plain(value: Any) -> str:
    return "\N{EN DASH}" if value is None else str(value)


def _session(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What there is of any lab."""
    if parameters.get("lab"):
        yield "lab", str(parameters["lab"])
    if parameters.get("group"):
        yield "group and port", f"{parameters['group']} port {_plain(parameters.get('port'))}"
    if parameters.get("source"):
        yield "joined from", str(parameters["source"])
    spacing = parameters.get("nominal_spacing_ns")
    if isinstance(spacing, int | float):
        yield "packet spacing", f"{spacing / 1e6:g} ms"


def _section(fields: Any) -> Iterator[tuple[str, str]]:
    """What a protocol's section says in numbers and words."""
    for name, value in fields.items() if isinstance(fields, Mapping) else ():
        if isinstance(value, str | int | float):
            yield name.replace("_", " "), str(value)


def _addresses(parameters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for named in named_in(parameters):
        for where, address in sorted(named.addresses.items()):
            at = f" in {where}" if where else f", at {named.cell}" if named.cell else f", {role(named.role).title}"
            yield f"{named.name}{at}", address


def counters_of(result: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, Any]]]]:
    """What each role counted, as far as it counted anything."""
    counters = result.get("counters")
    if not isinstance(counters, Mapping):
        return []
    return [(str(role), sorted(counts.items())) for role, counts in counters.items() if isinstance(counts, Mapping)]


def roles_of(seen: Seen, plan: Plan | None) -> dict[str, str]:
    """What each node is, in words, by its name."""
    roles: dict[str, str] = {}
    if plan is not None:
        roles |= {box.name: f"{box.name}, a {'router' if box.name in plan.routers else 'host'}" for box in plan.nodes}
        roles |= {cell.name: f"{cell.name}, point of attachment" for cell in plan.cells}
    for named in named_in(seen.parameters):
        roles[named.name] = f"{named.name}, {role(named.role).title}, {', '.join(named.addresses.values())}"
    return roles


def source_of(seen: Seen) -> str | None:
    """The node the stream comes from, if the parameters step says so."""
    return next((named.name for named in named_in(seen.parameters) if named.role == SOURCE.name), None)


def filters_of(seen: Seen, occurring: Sequence[str], additions: Sequence[Additions]) -> list[tuple[str, str]]:
    """Display filters worth knowing for this capture; `occurring` are the protocols in it."""
    found = [(known.title, " || ".join(_at_ports(seen, known))) for known in protocols() if known.name in occurring]
    parameters = seen.parameters
    if not parameters.get("group"):
        return [*found, ("joins and leaves", "igmp || icmpv6.type == 143")]
    six = ":" in str(parameters["group"])
    found += [
        ("joins and leaves of the group", "icmpv6.type == 143" if six else "igmp"),
        (
            "the stream",
            f"{'ipv6' if six else 'ip'}.dst == {parameters['group']} && udp.dstport == {parameters.get('port')}",
        ),
        ("the scenario's steps", "systemd_journal"),
    ]
    stretches = (part.stretch for each in additions for part in each.parts)
    first = next((stretch for stretch in stretches if stretch is not None), None)
    found += [] if first is None else [(f"what {first.label} saw", f'frame.interface_name == "{first.interfaces[0]}"')]
    return found


def _at_ports(seen: Seen, known: Protocol) -> Iterator[str]:
    for carrier in known.carriers:
        port = port_in(seen.parameters, known.port_name(carrier)) or carrier.port
        if port is not None:
            yield f"ip.proto == {port}" if carrier.transport == "ip" else f"{carrier.transport}.port == {port}"
