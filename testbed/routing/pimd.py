"""pimd, a small PIM-SM daemon for IPv4: with a static rendezvous point, or one that its routers elect.

It moves in ticks of 5 s, and its timers are long. It shows that protocols work over it, not how fast they are.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from testbed.host.processes import ManagedProcess
from testbed.net.mininet_net import EmulatedNetwork
from testbed.net.model import Lab, Membership, ModelError, Pim
from testbed.routing.group_state import GroupState, same_address
from testbed.routing.kernel_routes import interface_names, kernel_routes
from testbed.routing.pim import ELECTED_DEADLINE_S, PIMD, adjacent, check_rendezvous_point, elects
from testbed.routing.rendering import render
from testbed.routing.router import Cannot, DaemonFamily, Router, RoutingError, chroot, routing_root_of

TICK_S = 5
"""What its clock moves by, and so its shortest hello interval."""

ADVERTISED_S = 10
"""Between two messages of a candidate for the rendezvous point: the least that it takes."""

ROBUSTNESS = 3
RESPONSE_S = 10.0
QUERY_INTERVAL_S = 15
"""Used where the lab says nothing: some ticks, and longer than the time to respond, which is built in."""

START_DEADLINE_S = 20.0
ADJACENCY_DEADLINE_S = 60.0
STATE_DEADLINE_S = 5.0

CANNOT: Cannot = {
    "cold": "pimd goes on forwarding to a router below for 70 s after its prune: it forgets no group between two handovers",
    "on-demand": "pimd reads no IGMPv3 leave: a member that went is one for three query intervals and 10 s; IGMPv2 ones it reads",
    "prompt": "pimd moves in ticks of 5 s and asks for members every 15 s at most: its latencies mean nothing",
}

_SET = "Candidate Rendezvous-Point Set"
_END_OF_SET = "Current BSR address"
_CANDIDATE = re.compile(r"^(\d+\.\d+\.\d+\.\d+) .* 224/4 ", re.MULTILINE)


def check(model: Lab) -> None:
    """Raises ModelError for what pimd cannot do."""
    where = f"lab {model.name}, {PIMD}"
    if model.family != 4:
        raise ModelError("pimd has no IPv6", where, "choose IPv4, or another family of daemons")
    for stream in model.streams:
        if stream.is_source_specific:
            raise ModelError(
                f"source-specific group {stream.group}",
                where,
                "pimd asks in IGMPv2 after a leave, and hosts then name no source: use another family of daemons",
            )
    check_rendezvous_point(model)
    usual, given = Pim(), model.pim
    if given.hello_s not in (usual.hello_s, *range(TICK_S, 18725, TICK_S)):
        raise ModelError(
            f"a hello every {given.hello_s} s", where, f"pimd moves in ticks of {TICK_S} s: use a multiple"
        )
    for name in ("join_prune_s", "keep_alive_s"):
        if getattr(given, name) != getattr(usual, name):
            raise ModelError(f"{name} is {getattr(given, name)}", where, "pimd has it built in: leave it out")
    asked = model.membership
    if (every_s := _query_interval_s(model)) <= RESPONSE_S or every_s % TICK_S:
        raise ModelError(
            f"a query every {every_s} s",
            where,
            f"pimd gives {RESPONSE_S:g} s for the answers, and ticks every {TICK_S} s: use a longer multiple",
        )
    for name, own in (
        ("robustness", ROBUSTNESS),
        ("max_response_s", RESPONSE_S),
        ("last_member_query_interval_s", 1.0),
    ):
        if getattr(asked, name) not in (getattr(Membership(), name), own):
            raise ModelError(f"{name} is {getattr(asked, name):g}", where, f"pimd has {own:g} built in: leave it out")


def _query_interval_s(model: Lab) -> int:
    """How often pimd asks for members: as the lab says, if that can be."""
    asked = model.membership.query_interval_s
    return QUERY_INTERVAL_S if asked is None else asked


def _nodes(model: Lab) -> list[str]:
    return [node.name for node in model.nodes if node.daemon == PIMD]


def render_configuration(model: Lab, router: str) -> str:
    """What pimd on a router is to read. Candidates rank by their order in the model: of rendezvous points the first wins."""
    rank = _nodes(model).index(router)
    return render(
        "pimd.conf.j2",
        hello_s=max(model.pim.hello_s, TICK_S),
        query_interval_s=_query_interval_s(model),
        igmp=model.membership.igmp,
        interfaces=[end.interface for end in model.ends_of(router)],
        rendezvous_point=model.rendezvous_point,
        elects=elects(model),
        bootstrap_priority=255 - min(rank, 255),
        advertised_s=ADVERTISED_S,
        priority=min(rank, 255),
    )


@dataclass(slots=True)
class Entry:
    """One entry of pimd's routing table. ``source``: `*` for any. The rest are names of interfaces."""

    group: str
    source: str
    members: tuple[str, ...] = ()
    outgoing: tuple[str, ...] = ()


@dataclass(slots=True)
class Dump:
    """What pimd says of itself: PIM neighbours, and its routing table."""

    neighbours: int = 0
    entries: list[Entry] = field(default_factory=list)


def read_dump(text: str, names: Mapping[int, str]) -> Dump:
    """What a dump of pimd's says; ``names`` are the interfaces' by its numbers."""
    dump = Dump()
    interfaces, _, table = text.partition("Multicast Routing Table")
    for line in interfaces.partition(" SSM ")[0].splitlines():
        # An interface's own address is after its number; further neighbours of it have lines of their own.
        words = line.split()
        own = 1 if words and words[0].isdigit() else 0
        dump.neighbours += sum(_is_address(word) for word in words[own + 1 if own else 0 :])
    for line in table.splitlines():
        words = line.split()
        if len(words) >= 2 and _is_address(words[1]) and (words[0] == "INADDR_ANY" or _is_address(words[0])):
            dump.entries.append(Entry(words[1], "*" if words[0] == "INADDR_ANY" else words[0]))
        elif dump.entries and line.startswith(("Leaves   oifs:", "Outgoing oifs:")):
            marked = tuple(names[place] for place, mark in enumerate(words[2]) if mark != "." and place in names)
            if words[0] == "Leaves":
                dump.entries[-1].members = marked
            else:
                dump.entries[-1].outgoing = marked
    return dump


def _is_address(word: str) -> bool:
    try:
        ip_address(word)
    except ValueError:
        return False
    return True


class PimdRouter:
    """pimd on one router of a network."""

    cannot = CANNOT

    def __init__(self, network: EmulatedNetwork, node: str) -> None:
        self.network, self.node = network, node
        self._root = routing_root_of(network)
        self._folder = self._root / "run" / f"pimd-{node}"
        self._process: ManagedProcess | None = None

    @property
    def last_member_query_s(self) -> float:
        """How long it goes on forwarding to a link after the last member there has left, seconds at most."""
        asked = self.network.model.membership
        return (
            3 * TICK_S if asked.igmp == 2 else ROBUSTNESS * _query_interval_s(self.network.model) + RESPONSE_S + TICK_S
        )

    def launch(self) -> None:
        """Starts the daemon, without waiting for it. Raises RoutingError where its folder cannot be made its own."""
        self._folder.mkdir()
        (self._folder / "pimd.conf").write_text(render_configuration(self.network.model, self.node))
        # Names of its files are built in. The node's own view of the file system has a folder of the node's in their place.
        mounted = self.network.popen(self.node, ["mount", "--bind", str(self._folder), str(self._root / "var/run")])
        if mounted.wait() != 0:
            raise RoutingError(f"{self.node}: cannot mount {self._folder} over the routing root's var/run")
        configuration = f"/run/pimd-{self.node}/pimd.conf"
        # One subject of debugging makes it say what it knows, here and not in a system log.
        argv = chroot(self._root, "/usr/sbin/pimd", "-f", "-N", "-c", configuration, "-s", "none", "-dpim_rp")
        self._process = self.network.processes.start(f"{self.node}-pimd", self.node, argv, environment={"TZ": "UTC"})

    def await_listening(self) -> None:
        """Waits until it can be asked. Raises ProcessDied or NotObserved."""

        def there() -> tuple[bool, str]:
            return (self._folder / "pimd.pid").exists(), "it has not written its process number"

        self.network.eventually(f"pimd on {self.node} to run", there, START_DEADLINE_S, quiet=True)

    def rendezvous_points(self) -> frozenset[str]:
        """The candidates for the rendezvous point that it knows of, as it says with each of its ticks."""
        said = "" if self._process is None else self._process.said()
        last = said.rpartition(_END_OF_SET)[0].rpartition(_SET)[2]
        return frozenset(_CANDIDATE.findall(last))

    def dump(self) -> Dump:
        """What it says of itself now. Raises ProcessDied or NotObserved."""
        assert self._process is not None, "launched first"
        path = self._folder / "pimd" / "pimd.dump"
        path.unlink(missing_ok=True)
        self._process.popen.send_signal(signal.SIGUSR1)
        texts: list[str] = []

        def written() -> tuple[bool, str]:
            text = path.read_text() if path.exists() else ""
            texts.append(text)
            return "Number of Cache MIRRORs" in text, "nothing yet"

        self.network.eventually(f"pimd on {self.node} to say its state", written, STATE_DEADLINE_S, quiet=True)
        return read_dump(texts[-1], interface_names(self.network.pid(self.node), 4))

    def group_state(self, group: str) -> GroupState:
        """What the daemon and the kernel know of a group."""
        own = [entry for entry in self.dump().entries if same_address(entry.group, group)]
        routes = [route for route in kernel_routes(self.network.pid(self.node), 4) if same_address(route.group, group)]
        return GroupState(
            members=tuple(sorted({name for entry in own for name in entry.members})),
            forwarding={entry.source: entry.outgoing for entry in own} | {r.source: r.outgoing for r in routes},
            upstream={},
            kernel=tuple(route.source for route in routes),
        )

    def forget(self, group: str) -> None:
        """Nothing: it has no way to be told."""


def start(network: EmulatedNetwork) -> dict[str, PimdRouter]:
    """Starts pimd on every router whose model says so, side by side."""
    routers = {node: PimdRouter(network, node) for node in _nodes(network.model)}
    with network.progress.step(f"pimd on {', '.join(routers)}"):
        for router in routers.values():
            router.launch()
        for router in routers.values():
            router.await_listening()
    return routers


def await_converged(network: EmulatedNetwork, routers: Mapping[str, Router]) -> None:
    """Waits until every adjacency is seen, and then until each router knows the rendezvous point, or all candidates for it."""
    own = {node: router for node, router in routers.items() if isinstance(router, PimdRouter)}
    model = network.model

    def all_adjacent() -> tuple[bool, str]:
        return adjacent(model, {node: router.dump().neighbours for node, router in own.items()})

    network.eventually("PIM adjacency of all pimd routers", all_adjacent, ADJACENCY_DEADLINE_S)
    if not model.rendezvous_point and not elects(model):
        return
    wanted = 1 if model.rendezvous_point else len(own)

    def all_know() -> tuple[bool, str]:
        known = {node: router.rendezvous_points() for node, router in own.items()}
        lacking = [f"{node} knows {len(points)} of {wanted}" for node, points in known.items() if len(points) < wanted]
        return not lacking, ", ".join(lacking) or "all"

    awaited = (
        f"the rendezvous point {model.rendezvous_point}"
        if model.rendezvous_point
        else "all candidates for the rendezvous point"
    )
    network.eventually(f"pimd to take up {awaited}", all_know, ELECTED_DEADLINE_S)


def _programs(model: Lab) -> tuple[str, ...]:
    return "troglobit-pimd", f"ipv{model.family}-multicast-routing"


FAMILY = DaemonFamily(
    PIMD, "PIM-SM, IPv4, slow", check, start, await_converged, _programs, packages=("pimd",), cannot=CANNOT
)
