"""The multicast routes that a node's kernel forwards by, whichever daemon has put them there."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

_UNRESOLVED = (-1, 0xFFFF)
"""Incoming interface of an entry that still waits for a daemon's answer, of IPv4 and IPv6."""


@dataclass(frozen=True, slots=True)
class KernelRoute:
    """One route: from ``source`` (`*`: any) on ``incoming`` to the interfaces ``outgoing``, and the packets it has matched so far."""

    group: str
    source: str
    incoming: str
    outgoing: tuple[str, ...]
    packets: int


def kernel_routes(pid: int, family: int) -> tuple[KernelRoute, ...]:
    """All resolved entries of the multicast forwarding cache in a process's network namespace.

    Entries still waiting for a daemon's answer are no knowledge and are left out.
    """
    names = interface_names(pid, family)
    found: list[KernelRoute] = []
    for line in _lines(pid, family, "cache"):
        group, source, incoming, packets, _, _, *outgoing = line.split()
        if int(incoming) in _UNRESOLVED:
            continue
        origin = _address(source)
        found.append(
            KernelRoute(
                group=str(_address(group)),
                source="*" if origin.is_unspecified else str(origin),
                incoming=names.get(int(incoming), incoming),
                outgoing=tuple(names.get(int(number), number) for number, _ in (word.split(":") for word in outgoing)),
                packets=int(packets),
            )
        )
    return tuple(found)


def interface_names(pid: int, family: int) -> dict[int, str]:
    """The interfaces that multicast is routed between in a process's network namespace, by their numbers in its tables."""
    return {int(number): name for number, name, *_ in map(str.split, _lines(pid, family, "vif"))}


def _lines(pid: int, family: int, table: str) -> list[str]:
    return Path(f"/proc/{pid}/net/{'ip' if family == 4 else 'ip6'}_mr_{table}").read_text().splitlines()[1:]


def _address(text: str) -> IPv4Address | IPv6Address:
    """ip_mr_cache prints an IPv4 address as a number in the machine's byte order, an IPv6 address as usual."""
    if ":" in text:
        return ip_address(text)
    return IPv4Address(int(text, 16).to_bytes(4, sys.byteorder))
