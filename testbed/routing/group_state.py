"""What a router knows of a multicast group, in its daemons and in its kernel."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from testbed.routing.kernel_routes import kernel_routes


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
    """Sources of the group's routes in the kernel of a process's network namespace."""
    return tuple(route.source for route in kernel_routes(pid, family) if same_address(route.group, group))
