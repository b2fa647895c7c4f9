"""What a lab may ask of a router, whichever daemons run on it, and what a family of daemons must offer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from testbed.net.mininet_net import EmulatedNetwork
from testbed.net.model import Lab
from testbed.routing.group_state import GroupState


class RoutingError(RuntimeError):
    """A routing daemon did not come up, or refused its configuration or a command. Quotes what it said."""


class Router(Protocol):
    """One router that runs."""

    @property
    def node(self) -> str:
        """The node it runs on."""
        ...

    @property
    def last_member_query_s(self) -> float:
        """How long it goes on forwarding to a link after the last member there has left, seconds at most."""
        ...

    def group_state(self, group: str) -> GroupState:
        """What the daemons and the kernel know of a group. Raises RoutingError."""
        ...

    def forget(self, group: str) -> None:
        """Drop all that is known of the group, and leave its trees. Raises RoutingError."""
        ...


@dataclass(frozen=True, slots=True)
class DaemonFamily:
    """Daemons that make routers together. ``name``: as a model's nodes name it.

    ``check`` refuses a model that it cannot run on (ModelError). ``start`` starts it on every node that
    names it, and returns the routers by node when they have converged. ``programs``: what the doctor must find for
    a model. ``packages``: the routing root's packages whose versions belong into a result.
    """

    name: str
    check: Callable[[Lab], None]
    start: Callable[[EmulatedNetwork], Mapping[str, Router]]
    programs: Callable[[Lab], tuple[str, ...]]
    packages: tuple[str, ...]
