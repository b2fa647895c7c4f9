"""A mobile node that walks between two cells: one handover as steps of a scenario, and what to wait for before and after."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from testbed.mmcp import places, staying, streaming
from testbed.mmcp import session as mmcp_session
from testbed.mmcp.expectation import NOTHING_EXPECTED, address_times, exchange_between, expect
from testbed.mmcp.results import SessionMeasurements
from testbed.mmcp.streaming import nominal_spacing_ns, receiver_window
from testbed.mmcp.two_cells import CELLS
from testbed.net.addresses import await_address
from testbed.net.model import Addressing
from testbed.net.observation import await_count, groups_joined, udp_counter
from testbed.routing.families import make_cold
from testbed.run.laboratory import RunningLab
from testbed.run.mobility import move
from testbed.run.roles import RunningRole
from testbed.run.trees import keep_trees

MOMENTS = ("before the trigger", "after the trigger", "before the link goes", "after link up")
"""Moments of a handover at which something may be done to it."""

QUIET_PACKETS = 100  # packets that must arrive undisturbed before and after a handover's own part
LEFT_DEADLINE_S = 15.0
STREAM_DEADLINE_S = 45.0  # a silent node waits for a general query, every 10 s, and its response time


@dataclass(slots=True)
class Walk:
    """Where a mobile node is, and the handovers so far. ``cells``: where it goes, in this order, and from the last to the first."""

    node: str = places.MN
    cells: tuple[str, ...] = CELLS
    done: list[tuple[int, int, int]] = field(default_factory=list)  # number, begin, end (CLOCK_REALTIME ns) of each

    @property
    def cell(self) -> str:
        """Where it is, once what has begun is done."""
        return self.cells[len(self.done) % len(self.cells)]

    @property
    def next_cell(self) -> str:
        """Where it goes next."""
        return self.cells[(len(self.done) + 1) % len(self.cells)]


@dataclass(slots=True)
class JoinedSession:
    """Everybody in a session of which the mobile node is a member: the roles by name, its agent and its receiver."""

    walk: Walk
    running: dict[str, RunningRole]
    receiver: RunningRole
    node: RunningRole


@contextmanager
def proactive_session(
    lab: RunningLab, measurements: SessionMeasurements, left_out: Mapping[str, str] | None = None
) -> Iterator[JoinedSession]:
    """Start all roles and let the node join; at the end it leaves and all stop. ``left_out``: rules not to be judged.

    Each handover's window that ``Walk.done`` holds by then is measured by the receiver.
    """
    walk = Walk()
    mmcp_session.record_parameters(lab, nominal_spacing_ns(lab.values), left_out)
    running = {role.name: role for role in mmcp_session.start_infrastructure(lab)}
    receiver = streaming.start_receiver(lab)
    lab.steps.add("session_begin", mode="proactive", mn=walk.node)
    node = mmcp_session.start_mobile_node(lab, "proactive", walk.cell)
    await_stream(lab, "the stream at the mobile node")
    measurements.start_to_first_data_s = round(time.monotonic() - lab.started, 3)
    yield JoinedSession(walk, running, receiver, node)
    for number, begin_ns, end_ns in walk.done:
        measurements.windows[number] = receiver_window(receiver, begin_ns, end_ns)
    stop_mobile_node(lab, node, walk)
    lab.steps.add("session_end", mode="proactive", mn=walk.node)
    for role in running.values():
        lab.roles.stop(role)
    lab.roles.stop(receiver)


def stop_mobile_node(lab: RunningLab, node: RunningRole, walk: Walk) -> None:
    """The node leaves with notice where it can, then ends; its router forgets it."""
    keep_trees(lab, f"{node.node} in {walk.cell}")
    if node.is_ours:
        node.ask("leave")
        staying.await_no_member(lab, walk.cell)
    lab.roles.stop(node)


def hand_over(
    lab: RunningLab,
    node: RunningRole,
    mode: str,
    walk: Walk,
    *,
    cold: bool = True,
    quiet_packets: int = QUIET_PACKETS,
    disturb: Callable[[str], None] | None = None,
    expects: bool = True,
) -> tuple[int, int, int]:
    """One measured handover; returns its number and its window (CLOCK_REALTIME ns).

    Options l2-gap, overlap and address-delay say how. ``cold``: the next cell must know nothing of the group before;
    else the handover begins at once, whatever is left there of an earlier one. ``quiet_packets`` are awaited before the
    trigger and, twice as many, after the move. ``disturb`` is called at each of MOMENTS. ``expects``: see `measured_handover`.
    """
    network, steps, values = lab.network, lab.steps, lab.values
    at, radio = disturb or _nothing, network.model.radio(walk.node)
    gap_s, overlap_s = values.seconds("l2-gap"), values.seconds("overlap")
    with measured_handover(
        lab, mode, walk, gap_s, overlap_s, cold=cold, quiet_packets=quiet_packets, expects=expects and disturb is None
    ) as number:
        at("before the trigger")
        triggered = time.monotonic()
        steps.add("link_trigger", handover=number)
        node.ask("link-event", event="link_detected", interface=radio.interface, point_of_attachment=walk.next_cell)
        disturbed = time.monotonic()
        at("after the trigger")
        triggered += time.monotonic() - disturbed  # the overlap is without what is done to the handover in it
        pass_time(overlap_s - (time.monotonic() - triggered))
        at("before the link goes")
        move(network, radio, walk.next_cell, gap_s, steps, handover=number)
        at("after link up")
    return walk.done[-1]


@contextmanager
def measured_handover(
    lab: RunningLab,
    mode: str,
    walk: Walk,
    gap_s: float,
    overlap_s: float,
    *,
    cold: bool,
    quiet_packets: int,
    expects: bool = True,
) -> Iterator[int]:
    """One handover from the moment its cell is cold to the moment the stream is undisturbed again; gives its number.

    What is done inside must take the node to the other cell; ``gap_s`` and ``overlap_s`` are what was planned for it. With
    ``expects`` nothing else is done to it, and it must go as these times allow.
    """
    steps, values, addressing = lab.steps, lab.values, lab.model.addressing
    origin, target = walk.cell, walk.next_cell
    number = len(walk.done) + 1
    times = address_times(values, lab.model)
    exchange = exchange_between(lab.model, walk.node, origin, target) if expects else NOTHING_EXPECTED
    expected = expect(exchange, gap_s=gap_s, overlap_s=overlap_s, **times)
    with lab.progress.step(f"handover {number}, {mode}, {origin} to {target}"):
        warm = _make_cold(lab, target) if cold else None
        begin_ns = steps.add(
            "handover_begin",
            handover=number,
            mode=mode,
            mn=walk.node,
            cold=cold and warm is None,
            **({} if warm is None else {"warm": warm}),
            **{"from": origin, "to": target},
            l2_gap_ms=gap_s * 1000,
            overlap_ms=overlap_s * 1000,
            address_delay_ms=values.milliseconds("address-delay") if addressing.mode == "static" else None,
            expected=expected.allowed,
            because=expected.because,
        )
        await_packets(lab, quiet_packets, "the stream before the handover", quiet=True, node=walk.node)
        yield number
        await_packets(lab, 1, "the stream after the move", quiet=True, node=walk.node)
        # What the node does when it has its address belongs to the handover too: the address delay in packets, or the address.
        quiet = 2 * quiet_packets
        if addressing == Addressing():
            quiet += int(times["address_delay_s"] / (nominal_spacing_ns(values) / 1e9))
        else:
            await_address(lab.network, lab.model.radio_for(walk.node, target), target)
        await_packets(lab, quiet, "an undisturbed stream", quiet=True, node=walk.node)
        end_ns = steps.add("handover_end", handover=number)
    walk.done.append((number, begin_ns, end_ns))


def pass_time(seconds: float) -> None:
    """Let a time pass that is the scenario's own, such as the overlap of two cells; no wait for something."""
    if seconds > 0:
        time.sleep(seconds)


def _nothing(_moment: str) -> None:
    """Leave the handover alone."""


def _make_cold(lab: RunningLab, cell: str) -> str | None:
    """Before a handover to a cell: nobody there is a member any more, and its router's daemon and kernel know nothing.

    An LMC that lingers from an earlier handover is waited for; what a node that just went away left is dropped. Returns the
    reason why the router knows of the group all the same, if it is one that never forgets.
    """
    lmc, group = places.controllers(lab.model).get(cell), lab.model.group

    def left() -> tuple[bool, str]:
        return group not in groups_joined(lab.network, str(lmc)), f"{lmc} is still a member"

    if lmc is not None:
        lab.network.eventually(f"{lmc} to leave {group}", left, LEFT_DEADLINE_S, quiet=True)
    return make_cold(lab.network, lab.routers, places.router_of(lab.model, cell), group)


def await_stream(lab: RunningLab, awaited: str) -> None:
    """Wait, with a line of progress, until the stream is at the mobile node."""
    await_packets(lab, QUIET_PACKETS, awaited, quiet=False)


def await_packets(lab: RunningLab, count: int, awaited: str, *, quiet: bool, node: str = places.MN) -> None:
    """Wait until so many more datagrams have been handed to a socket of a mobile node."""
    read = partial(udp_counter, lab.network, node, "InDatagrams")
    await_count(lab.network, awaited, read, read() + count, STREAM_DEADLINE_S, quiet=quiet)
