"""What a router knows of a multicast group, in its daemons and in its kernel."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path


@dataclass(frozen=True, slots=True)
class GroupState:
    """What a router knows of a group; `*` stands for any source.

    `members`: interfaces with IGMP or MLD members. `forwarding`: the daemon's multicast routes, source -> interfaces it
    forwards to. `upstream`: the join state towards the source, source -> state in the daemon's letters. `kernel`: sources
    the kernel has a resolved route for.
    """

    members: tuple[str, ...]
    forwarding: dict[str, tuple[str, ...]]
    upstream: dict[str, str]
    kernel: tuple[str, ...]

    @property
    def cold(self) -> bool:
        """True if nothing is known: the router would have to learn of the group anew."""
        return not (self.members or self.forwarding or self.upstream or self.kernel)

    def __str__(self) -> str:
        if self.cold:
            return "nothing known"
        parts = [f"members on {', '.join(self.members)}"] if self.members else []
        parts += [f"({source}, G) to {', '.join(to) or 'nobody'}" for source, to in self.forwarding.items()]
        parts += [f"upstream ({source}, G) {state}" for source, state in self.upstream.items()]
        return "; ".join(parts + [f"kernel route from {source}" for source in self.kernel])


def same_address(one: str, other: str) -> bool:
    """Whether two texts are the same address, however written; False if one is none."""
    try:
        return ip_address(one) == ip_address(other)
    except ValueError:
        return False


def kernel_sources(pid: int, family: int, group: str) -> tuple[str, ...]:
    """Sources of the group's resolved entries in the multicast forwarding cache of a process's network namespace.

    Entries still waiting for a daemon's answer (input interface -1) are no knowledge and are left out.
    """
    found: list[str] = []
    for line in Path(f"/proc/{pid}/net/{'ip' if family == 4 else 'ip6'}_mr_cache").read_text().splitlines()[1:]:
        entry_group, source, interface = line.split()[:3]
        if same_address(_cache_address(entry_group), group) and int(interface) not in (-1, 0xFFFF):
            address = ip_address(_cache_address(source))
            found.append("*" if address.is_unspecified else str(address))
    return tuple(found)


def _cache_address(text: str) -> str:
    """ip_mr_cache prints an IPv4 address as a number in the machine's byte order, an IPv6 address as usual."""
    if ":" in text:
        return text
    return str(IPv4Address(int(text, 16).to_bytes(4, sys.byteorder)))
