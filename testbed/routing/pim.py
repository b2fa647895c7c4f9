"""What is true of PIM routers of any family: who speaks to whom, and where their rendezvous point is."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_interface

from testbed.net.model import Lab, ModelError

FRR = "frr"
"""FRR with pimd (IPv4) or pim6d (IPv6), by the IP version of the lab."""

PIMD = "pimd"
"""The daemon of that name alone, which Debian has in the package pimd."""

ELECTED_DEADLINE_S = 150.0
"""For a rendezvous point to be elected and known everywhere: pimd takes its time, even with one that it is given."""

SPEAKERS = (FRR, PIMD)
"""The families that speak PIM, and with each other's routers too."""


def speakers(model: Lab) -> list[str]:
    """The routers that speak PIM."""
    return [node.name for node in model.nodes if node.daemon in SPEAKERS]


def check_rendezvous_point(model: Lab) -> None:
    """Raises ModelError if the rendezvous point is no router that could be it."""
    if not model.rendezvous_point:
        return
    owners = {ip_interface(end.address).ip for node in speakers(model) for end in model.ends_of(node)}
    if ip_address(model.rendezvous_point) not in owners:
        raise ModelError(
            f"rendezvous point {model.rendezvous_point} is no address of a router with PIM",
            f"lab {model.name}",
            f"use an address of {', '.join(speakers(model))}",
        )


def elects(model: Lab) -> bool:
    """Whether routers elect their rendezvous point: where none is given, a group needs one, and there are candidates."""
    wanted = not model.rendezvous_point and any(not stream.is_source_specific for stream in model.streams)
    return wanted and any(node.daemon == PIMD for node in model.nodes)


def neighbours_expected(model: Lab, router: str) -> int:
    """How many PIM adjacencies this router must have once the lab is up (one per neighbour and shared subnet)."""
    others = set(speakers(model)) - {router}
    subnets = [subnet for subnet in model.subnets() if any(end.node == router for end in subnet.ends)]
    return sum(end.node in others for subnet in subnets for end in subnet.ends)


def adjacent(model: Lab, counts: Mapping[str, int]) -> tuple[bool, str]:
    """Whether each of some routers has all its adjacencies, and who has not, in words. ``counts``: those that it sees."""
    lacking = [
        f"{node} sees {count} of {expected}"
        for node, count in counts.items()
        for expected in [neighbours_expected(model, node)]
        if count < expected
    ]
    return not lacking, ", ".join(lacking) or "all"
