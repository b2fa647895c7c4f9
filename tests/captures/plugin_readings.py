"""What Wireshark's trees say, in the plain form of the vectors and of the judge's dissectors."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from tests.captures.tshark import Layer, Tree, subtrees

MMCP_PACKETS = ("SJR", "SJC", "LJR", "LJC", "ULR", "ULC", "USR", "ASR", "USP", "HIR", "HCT", "HTA", "HIC")
MMCP_F_COUNTS = frozenset({"SJC", "LJC", "ULC", "HIC", "HTA"})


def settled(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that say something: a field that is zero or empty may be left out."""
    return {name: value for name, value in fields.items() if value not in (0, "", [], None)}


def flag(text: str) -> int:
    """A bit: 4.0 prints 1, 4.4 prints True."""
    return int(text in ("1", "True"))


def octets(text: str) -> str:
    """Bytes as hex without colons."""
    return text.replace(":", "")


def address(fields: Mapping[str, str], name: str) -> str:
    """The address of a pair of fields, of which one is for IPv4 and one for IPv6."""
    return str(ipaddress.ip_address(fields[name] if name in fields else fields[f"{name}_ipv6"]))


def mmcp(layer: Layer) -> dict[str, Any]:
    """As `captures.dissectors.mmcp.dissect`."""
    top = dict(layer.tree)
    packet = MMCP_PACKETS[int(top["mmcp.type"]) - 1]
    return {
        "packet": packet,
        "session_id": int(top["mmcp.session"]),
        "f": flag(top["mmcp.f"]) if packet in MMCP_F_COUNTS else 0,
        "profile": top.get("mmcp.profile", "L16"),
        "params": [_mmcp_parameter(tree) for tree in subtrees(layer.tree, "mmcp.parameter")],
    }


def _mmcp_parameter(tree: Tree) -> list[Any]:
    fields = dict(tree)
    match int(fields["mmcp.parameter.type"]):
        case 1:
            return ["mn_id", octets(fields["mmcp.mn_id"])]
        case 2:
            return ["poa_id", octets(fields["mmcp.poa_id"])]
        case 3:
            return ["multicast", address(fields, "mmcp.group"), int(fields["mmcp.group_port"])]
        case 4:
            return ["lmc", address(fields, "mmcp.lmc"), int(fields["mmcp.lmc_port"])]
        case 5:
            return ["status", int(fields["mmcp.packets"]), int(fields["mmcp.seconds"])]
        case 6:
            return ["membership", int(fields["mmcp.members"])]
        case _:
            return ["raw", octets(fields["mmcp.unknown_parameter"])]
