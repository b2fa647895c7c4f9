"""What a lab may ask of a router, whichever daemons run on it, and what a family of daemons must offer."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from testbed.net.mininet_net import EmulatedNetwork
from testbed.net.model import Lab
from testbed.routing.group_state import GroupState


class RoutingError(RuntimeError):
    """A routing daemon did not come up, or refused its configuration or a command. Quotes what it said."""


AT_A_TIME = 8
"""Daemons that are waited for and told their configuration at a time: most of it is waiting."""

Thing = TypeVar("Thing")
Result = TypeVar("Result")

Ability = Literal["cold", "on-demand", "prompt"]
"""What a lab may count on, unless a family of daemons says why not.

cold: a router that nobody asks comes to know nothing of a group. on-demand: it forwards a group to a link only while somebody
there is a member. prompt: its latencies are those of its protocols, not of its clock.
"""

Cannot = Mapping[Ability, str]
"""What routers cannot give, each with the reason in words."""


class Router(Protocol):
    """One router that runs."""

    @property
    def node(self) -> str:
        """The node it runs on."""
        ...

    @property
    def cannot(self) -> Cannot:
        """What it cannot give."""
        ...

    @property
    def last_member_query_s(self) -> float | None:
        """How long it goes on forwarding to a link after the last member there has left, seconds at most; None: for ever."""
        ...

    def group_state(self, group: str) -> GroupState:
        """What the daemons and the kernel know of a group. Raises RoutingError."""
        ...

    def forget(self, group: str) -> None:
        """Drop all that is known of the group, and leave its trees. Raises RoutingError."""
        ...


@dataclass(frozen=True, slots=True)
class DaemonFamily:
    """Daemons that make routers together. ``name``: as a model's nodes name it. ``summary``: what it is, in some words.

    ``check`` refuses a model that it cannot run on (ModelError). ``start`` starts it on every node that names it, and returns the
    routers by node. ``await_converged`` waits until they work, which may take routers of other families that run by then; both
    raise ProcessDied, NotObserved or RoutingError with what the daemons said. ``programs``: what the doctor must find for a
    model. ``packages``: the routing root's packages whose versions belong into a result.
    ``remarks``: what it does otherwise than the model says, in words.
    """

    name: str
    summary: str
    check: Callable[[Lab], None]
    start: Callable[[EmulatedNetwork], Mapping[str, Router]]
    await_converged: Callable[[EmulatedNetwork, Mapping[str, Router]], None]
    programs: Callable[[Lab], tuple[str, ...]]
    packages: tuple[str, ...]
    cannot: Cannot = field(default_factory=dict)
    remarks: Callable[[Lab], tuple[str, ...]] = field(default=lambda _model: ())


def side_by_side(do: Callable[[Thing], Result], things: Iterable[Thing]) -> list[Result]:
    """Do something with each of many daemons or routers, some at a time; raises what the first of them raises."""
    with ThreadPoolExecutor(AT_A_TIME) as doing:
        return list(doing.map(do, things))


def routing_root_of(network: EmulatedNetwork) -> Path:
    """The folder with the routing daemons. Raises RoutingError for a sandbox that has none."""
    if network.routing_root is None:
        raise RoutingError("this sandbox has no routing root folder: give run_inside a routing_root")
    return network.routing_root


def chroot(root: Path, *argv: str) -> list[str]:
    """The argv of a program in the routing root. Raises RoutingError where it cannot be entered."""
    program = shutil.which("chroot")
    if program is None:
        raise RoutingError("chroot is missing: install coreutils, or put /usr/sbin on PATH")
    return [program, str(root), *argv]
