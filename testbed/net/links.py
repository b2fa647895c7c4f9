"""Puts what the model says of its links on the network, per direction, and changes it while a lab runs.

A wire that is perfect is a veth pair from end to end and costs nothing. Any other runs through the sandbox's namespace, in
two veth pairs that `link_plans` describes the middle of. What its ends show stays the same: names, hardware addresses, and
where a capture sees a packet, which is before its sender's link has lost or delayed it, and after its receiver's has.
Carrier does not cross the middle: a node whose neighbour's interface is down still has a link, as behind a switch.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.host.processes import ManagedProcess
from testbed.host.progress import counted
from testbed.net.batch import Batch
from testbed.net.link_plans import (
    Mechanisms,
    Plan,
    has_queueing,
    nft_rules,
    plan,
    tc_lines,
    wirefilter_delay,
)
from testbed.net.link_probes import Station, Track
from testbed.net.link_verification import Measured, Subject, verify
from testbed.net.model import Link, ModelError, Quality, Radio
from testbed.net.quality_text import quality_text
from testbed.net.tools import ToolError, run_tool
from testbed.net.validation import check_quality
from testbed.net.wires import Part, Wire, between, wires

if TYPE_CHECKING:
    from testbed.net.mininet_net import EmulatedNetwork

TUN = Path("/dev/net/tun")
WIREFILTER_DEADLINE_S = 5.0

TAP_QUEUE = 10_000
"""Packets that wait for wirefilter; a tap's own 1000 are 10 ms of small ones."""

_PLUGS = Path("run/wires")
"""Folder in the routing root, private to the sandbox: one file for each tap, which is how wirefilter is told of it."""


@dataclass(slots=True)
class Direction:
    """One direction of a wire that runs through the sandbox, from the interface `near` to the interface `far` there."""

    name: str
    key: str
    near: str
    far: str
    plan: Plan
    has_queueing: bool = False
    filter: ManagedProcess | None = None
    """wirefilter, once it has been needed."""
    measured: tuple[Plan, Measured] | None = None
    """What was measured before the scenario, beside what was asked for then."""
    changes: list[tuple[int, Quality]] = field(default_factory=list)
    """What it was given since, and when (CLOCK_REALTIME ns)."""

    @property
    def taps(self) -> tuple[str, str]:
        """Where packets go into wirefilter, and where they come out."""
        return f"{self.key}i", f"{self.key}o"


@dataclass(slots=True)
class Joined:
    """A wire that runs through the sandbox: its two interfaces there, and its two directions."""

    wire: Wire
    pieces: tuple[str, str]
    directions: tuple[Direction, Direction]


class Links:
    """The wires of one network that are not perfect. The builder asks it for their `pieces`; `begin` makes them work."""

    def __init__(self, network: EmulatedNetwork, *, adjustable: bool = False) -> None:
        """`adjustable`: perfect wires may be changed later too, so all of them run through the sandbox.

        Raises ModelError for a quality that cannot be made here.
        """
        self._network = network
        self.joined: dict[Part, Joined] = {}
        todo = [wire for wire in wires(network.model) if adjustable or not wire.is_perfect]
        self._mechanisms = available(network.routing_root) if todo else Mechanisms(netem=False, taps=False)
        for number, wire in enumerate(todo):
            # No node or cell of a model can be called so: names begin with a letter or a digit.
            pieces = f"_{number}a", f"_{number}b"
            ends = (("f", *pieces), ("b", *reversed(pieces)))
            forward, backward = (
                Direction(name, f"_{number}{letter}", near, far, self._plan(wire, name, quality))
                for (letter, near, far), (name, quality) in zip(ends, wire.directions, strict=True)
            )
            self.joined[wire.part] = Joined(wire, pieces, (forward, backward))

    def _plan(self, wire: Wire, direction: str, quality: Quality) -> Plan:
        where = f"link {wire.name}, {direction}"
        check_quality(quality, where)
        return plan(quality, self._mechanisms, where)

    def pieces(self, part: Part) -> tuple[str, str] | None:
        """The two interfaces in the sandbox that a wire runs through, its first end's first; None: it does not."""
        joined = self.joined.get(part)
        return joined.pieces if joined else None

    def begin(self) -> None:
        """Make every wire what it is asked to be. Raises ToolError, ProcessDied, NotObserved."""
        directions = [direction for joined in self.joined.values() for direction in joined.directions]
        if not directions:
            return
        pieces = [piece for joined in self.joined.values() for piece in joined.pieces]
        # A radio without a cell has no carrier; its node's side of the wire gives it one later.
        apart = {
            joined.pieces[0]
            for part, joined in self.joined.items()
            if isinstance(part, Radio) and part.initially is None
        }
        self._network.sandbox_namespace.take_over(pieces)
        with Batch(self._network.sandbox_namespace) as batch:
            for piece in pieces:
                if piece not in apart:
                    batch.set_up(piece)
        todo = [(direction, direction.plan) for direction in directions]
        self._start_filters(todo)
        self._carry_out(todo)

    def verify(self) -> None:
        """Measure every wire that was asked to be anything. Raises LinkError for one that is not what it was asked to be.

        The links must be idle, and nobody may be recording: probes go over them.
        """
        subjects = {}
        unattached = []
        for joined in self.joined.values():
            if joined.wire.is_perfect:
                continue
            first, second = self._stations(joined.wire)
            part = joined.wire.part
            if isinstance(part, Radio) and part.initially is None:
                unattached.append(part)
            ends = ((first, second), (second, first))
            for direction, (sender, receiver) in zip(joined.directions, ends, strict=True):
                track = Track(direction.name, sender, receiver)
                subjects[direction.key] = Subject(direction.plan, track, Measured(), [])
        if not subjects:
            return
        for radio in unattached:
            self._network.set_carrier(radio, True)
        with self._network.progress.step(f"measuring {counted(len(subjects) // 2, 'link')}"):
            verify(tuple(subjects.values()))
        for radio in unattached:
            self._network.set_carrier(radio, False)
        for joined in self.joined.values():
            for direction in joined.directions:
                if direction.key in subjects:
                    direction.measured = direction.plan, subjects[direction.key].found

    def _stations(self, wire: Wire) -> tuple[Station, Station]:
        """Where its two ends can be seen: at its node, and at the other or at the bridge."""
        first = Station(self._network.namespace(wire.first), wire.interface)
        if isinstance(wire.part, Link):
            second = wire.part.second
            return first, Station(self._network.namespace(second.node), second.interface)
        return first, Station(self._network.sandbox_namespace, wire.part.bridge_port)

    def report(self) -> list[dict[str, object]]:
        """One row for each direction of each wire that was asked to be anything when the lab began, for the result.

        ``changes``: what it was given since, in order, with when (CLOCK_REALTIME ns).
        """
        found: list[dict[str, object]] = []
        for joined in self.joined.values():
            for direction in joined.directions:
                if direction.measured is None:
                    continue
                planned, measured = direction.measured
                found.append(
                    {
                        "link": joined.wire.name,
                        "direction": direction.name,
                        "mechanism": planned.mechanism,
                        "asked": quality_text(planned.quality),
                        "found": measured.text(planned.quality),
                        "measured": asdict(measured),
                        "changes": [{"t_ns": t_ns, "to": quality_text(to)} for t_ns, to in direction.changes],
                    }
                )
        return found

    def change(self, first: str, second: str, there: Quality, back: Quality | None = None) -> None:
        """Give the wires between two ends another quality, from now on; `back`: that of the way back, if it is another.

        Raises ModelError for a wire that there is not, that was perfect when the lab began, or that cannot be made so.
        """
        back = there if back is None else back
        todo = []
        for wire, turned in between(self._network.model, first, second):
            joined = self.joined.get(wire.part)
            if joined is None:
                raise ModelError(
                    "a link that was perfect when the lab began cannot be changed",
                    f"link {wire.name}",
                    f"use `testbed shell`, or begin with a quality of its own, e.g. --link '{wire.name}:loss=0.0001%'",
                )
            for direction, quality in zip(joined.directions, (back, there) if turned else (there, back), strict=True):
                todo.append((direction, self._plan(wire, direction.name, quality)))
        try:  # none before all are known to be possible
            self._make(todo)
        except ToolError:
            self._restore([direction for direction, _ in todo])
            raise
        now_ns = time.time_ns()
        for direction, planned in todo:
            direction.plan = planned
            direction.changes.append((now_ns, planned.quality))

    def _make(self, todo: list[tuple[Direction, Plan]]) -> None:
        self._start_filters([(direction, planned) for direction, planned in todo if direction.filter is None])
        for direction, planned in todo:
            if direction.filter is not None:
                self._tell(direction.filter, f"delay {wirefilter_delay(planned)}")
        self._carry_out(todo)

    def _restore(self, directions: list[Direction]) -> None:
        """Make directions what they were, after a change of which nobody knows how far it came."""
        for direction in directions:
            with suppress(ToolError):  # it may have none
                run_tool(self._network.routing_root, ["tc", "qdisc", "del", "dev", direction.far, "root"])
            direction.has_queueing = False
        self._make([(direction, direction.plan) for direction in directions])

    def _start_filters(self, todo: list[tuple[Direction, Plan]]) -> None:
        """Start wirefilter where a plan wants it, all side by side, and wait for their taps."""
        needed = [direction for direction, planned in todo if planned.delays]
        for direction, planned in todo:
            if planned.delays:
                direction.filter = self._start_filter(direction, planned)
        if not needed:
            return
        taps = [tap for direction in needed for tap in direction.taps]

        def there() -> tuple[bool, str]:
            names = {name for _, name in socket.if_nameindex()}
            missing = [tap for tap in taps if tap not in names]
            return not missing, f"{len(missing)} of {len(taps)} missing"

        self._network.eventually("the taps of links that delay", there, WIREFILTER_DEADLINE_S, quiet=True)
        self._network.sandbox_namespace.take_over(taps)
        with Batch(self._network.sandbox_namespace) as batch:
            for tap in taps:
                batch.set_up(tap, queue_packets=TAP_QUEUE)

    def _start_filter(self, direction: Direction, planned: Plan) -> ManagedProcess:
        root = self._network.routing_root
        if root is None:
            raise ToolError("this sandbox has no routing root folder, where wirefilter is")
        folder = root / _PLUGS
        folder.mkdir(exist_ok=True)
        for tap in direction.taps:
            (folder / tap).write_text(f"tap://{tap}\n", encoding="ascii")
        left, right = (f"/{_PLUGS}/{tap}" for tap in direction.taps)
        argv = ["chroot", str(root), "wirefilter", "-v", f"{left}:{right}", "-d", wirefilter_delay(planned)]
        name = f"wirefilter{direction.key}"
        log = self._network.processes.logs / f"{name}.log"
        with log.open("ab") as stream:
            # It reads commands from its standard input, and ends with it.
            popen = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=stream, stderr=subprocess.STDOUT)
        with suppress(PermissionError):  # not everybody may: then a busy machine delays more than was asked
            os.sched_setscheduler(popen.pid, os.SCHED_RR, os.sched_param(1))
        return self._network.processes.adopt(ManagedProcess(name, f"(link {direction.name})", tuple(argv), popen, log))

    def _tell(self, process: ManagedProcess, command: str) -> None:
        """Give wirefilter a command and wait until it has said that it was carried out."""
        before = process.said().count("1000 Success")
        assert process.popen.stdin is not None
        process.popen.stdin.write(f"{command}\n".encode())
        process.popen.stdin.flush()

        def answered() -> tuple[bool, str]:
            return process.said().count("1000 Success") > before, process.last_lines(1)

        self._network.eventually(f"{process.name} to do {command!r}", answered, WIREFILTER_DEADLINE_S, quiet=True)

    def _carry_out(self, todo: list[tuple[Direction, Plan]]) -> None:
        root = self._network.routing_root
        lines = [line for each, planned in todo for line in tc_lines(planned, each.far, had=each.has_queueing)]
        if lines:
            run_tool(root, ["tc", "-batch", "-"], "".join(f"{line}\n" for line in lines))
        for direction, planned in todo:
            direction.has_queueing = has_queueing(planned)
        rules = [
            nft_rules(each.key, planned, each.near, each.far, each.taps if each.filter else None)
            for each, planned in todo
        ]
        run_tool(root, ["nft", "-f", "-"], "".join(rules))


def available(root: Path | None) -> Mechanisms:
    """What there is in the sandbox this process lives in, found by trying."""
    return Mechanisms(netem=_has_netem(root), taps=os.access(TUN, os.R_OK | os.W_OK))


def _has_netem(root: Path | None) -> bool:
    try:
        run_tool(root, ["tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"])
    except ToolError:
        return False
    run_tool(root, ["tc", "qdisc", "del", "dev", "lo", "root"])
    return True
