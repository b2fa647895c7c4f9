"""Movement: what a mobile node's link does when the node goes from one point of attachment to another.

By hand with `attach`, `detach` and `move`, or as link events say, each at its time: `carry_out` does to a link what one says,
`as_told` is what the node's agent is told of it, and `pass_through` lets a time table happen and measures how late it was.
"""

from __future__ import annotations

import heapq
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import NamedTuple

from testbed.net.addresses import await_address
from testbed.net.mininet_net import EmulatedNetwork
from testbed.net.model import ModelError, Radio
from testbed.net.routes import DEFAULT_DESTINATION, gateway
from testbed.radio.link_events import LinkEvent
from testbed.run.step_log import StepLog

PLACE_TOLD_BEFORE_S = 0.02
"""How long before a link comes its agent is told where it leads: who associates knows with whom."""


NOTICED_DEADLINE_S = 5.0


@dataclass(frozen=True, slots=True)
class Move:
    """One move as it happened: CLOCK_REALTIME ns when the link went and when it came back."""

    link_down_ns: int
    link_up_ns: int


def attach(network: EmulatedNetwork, radio: Radio, to: str, steps: StepLog, **step_details: object) -> int:
    """Give a radio that has no link one in a cell; returns when (CLOCK_REALTIME ns)."""
    network.sandbox_namespace.set_master(radio.bridge_port, to)
    _until_noticed(network, radio)
    up = steps.add("link_up", interface=radio.interface, **step_details)
    network.set_carrier(radio, True)
    return up


def detach(network: EmulatedNetwork, radio: Radio, steps: StepLog, **step_details: object) -> int:
    """Take a radio's link away; returns when (CLOCK_REALTIME ns)."""
    down = steps.add("link_down", interface=radio.interface, **step_details)
    network.set_carrier(radio, False)
    return down


def move(network: EmulatedNetwork, radio: Radio, to: str, gap_s: float, steps: StepLog, **step_details: object) -> Move:
    """Take the link away, put it into the other cell, and give it back when the gap is over.

    The carrier goes and comes at the bridge's side, which the node sees as a radio link lost and found. The gap runs
    from the moment the link is gone to the moment it is given back.
    """
    down = steps.add("link_down", **step_details)
    network.set_carrier(radio, False)
    gone = time.monotonic()
    network.sandbox_namespace.set_master(radio.bridge_port, to)
    remaining = gap_s - (time.monotonic() - gone)
    if remaining > 0:
        time.sleep(remaining)  # the gap itself: the scenario's own time, not a wait for something
    _until_noticed(network, radio)
    up = steps.add("link_up", **step_details)
    network.set_carrier(radio, True)
    return Move(down, up)


def _until_noticed(network: EmulatedNetwork, radio: Radio) -> None:
    """Where a client on the node follows its carrier, wait until the kernel has told of the loss.

    A busy machine's may be late by more than the gap. It tells nothing of a carrier that is back by then, and the client would
    keep the address of the cell before for good.
    """
    if network.model.addressing.mode == "static":
        return
    namespace = network.namespace(radio.node)

    def noticed() -> tuple[bool, str]:
        found = namespace.state(radio.interface).operstate
        return found != "UP", f"it is {found}"

    awaited = f"{radio.node} to notice that {radio.interface} has no link"
    network.eventually(awaited, noticed, NOTICED_DEADLINE_S, quiet=True)


def carry(network: EmulatedNetwork, radio: Radio, to: str) -> None:
    """Take a node that is in no session to another cell: the link, address and default route that it has there."""
    node, interface, model = network.namespace(radio.node), radio.interface, network.model
    node.set_up(interface, False)
    network.sandbox_namespace.set_master(radio.bridge_port, to)
    if model.addressing.mode == "static":
        for address in node.addresses(interface):
            if not ip_interface(address).ip.is_link_local:
                node.remove_address(interface, address)
    node.set_up(interface)
    if model.addressing.mode == "static":
        node.add_address(interface, radio.address_in(to))
        node.add_route(DEFAULT_DESTINATION[model.family], gateway(model, to), interface)
    await_address(network, radio, to)


# --- link events ----------------------------------------------------------------------------------------------------------


class Moment(NamedTuple):
    """Something that is to happen so many seconds after the beginning; of two at the same time the lower ``turn`` first."""

    at_s: float
    turn: int
    do: Callable[[], object]


class Later(NamedTuple):
    """What a moment may give when it is done: something that is to happen so many seconds after it, however late it was."""

    in_s: float
    turn: int
    do: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Drift:
    """How late moments were, seconds: the median and the worst."""

    median_s: float = 0.0
    worst_s: float = 0.0

    def __str__(self) -> str:
        """In milliseconds, in words."""
        return f"{self.worst_s * 1000:.1f} ms late at worst, {self.median_s * 1000:.1f} ms in the middle"


def pass_through(network: EmulatedNetwork, moments: Sequence[Moment]) -> Drift:
    """Do each thing at its time, counted from now, in real time; raises ProcessDied where one of the lab's has.

    What a moment gives `Later` is done too.
    """
    late: list[float] = []
    waiting = [(each.at_s, each.turn, number, each.do) for number, each in enumerate(moments)]
    heapq.heapify(waiting)
    began, checked_s = time.monotonic(), 0.0
    while waiting:
        at_s, _, _, do = heapq.heappop(waiting)
        remaining = began + at_s - time.monotonic()
        if remaining > 0:
            time.sleep(remaining)  # the movement's own time, not a wait for something
        passed_s = time.monotonic() - began
        late.append(passed_s - at_s)
        if passed_s - checked_s > 1:
            network.processes.check_alive()
            checked_s = passed_s
        done = do()
        if isinstance(done, Later):
            heapq.heappush(waiting, (passed_s + done.in_s, done.turn, len(late) + len(moments), done.do))
    return Drift(statistics.median(late), max(late)) if late else Drift()


def carry_out(network: EmulatedNetwork, event: LinkEvent, steps: StepLog, **step_details: object) -> None:
    """Do to a node's link what an event says; what is only detected or foreseen does nothing to it."""
    if event.kind == "link_down":
        detach(network, _radio_of(network, event.node, event.radio), steps, **step_details)
    elif event.kind == "link_up":
        attach(network, _radio_of(network, event.node, event.radio), event.cell, steps, **step_details)


def as_told(network: EmulatedNetwork, events: Sequence[LinkEvent]) -> Iterator[tuple[float, str, Mapping[str, object]]]:
    """What agents are told of link events after the beginning: when, at which node, and the fields of the request link-event.

    That a link has gone they learn from its carrier. Where the next one leads they are told a moment before it is there, as
    whoever drives a radio knows, and never before the last one has gone.
    """
    went: dict[tuple[str, int], float] = {}
    for event in events:
        if event.at_s == 0:
            continue
        fields: dict[str, object] = {
            "event": event.kind,
            "interface": _radio_of(network, event.node, event.radio).interface,
            "point_of_attachment": event.cell,
        }
        at_s = event.at_s
        if event.kind == "link_down":
            went[event.node, event.radio] = at_s
            continue
        if event.kind == "link_up":
            at_s = max(went.get((event.node, event.radio), 0.0), at_s - PLACE_TOLD_BEFORE_S)
        elif event.kind == "link_going_down":
            fields |= {} if event.in_s is None else {"in_s": event.in_s}
            if event.next_cell:
                other = _radio_of(network, event.node, event.next_radio).interface
                fields |= {"next": event.next_cell, "next_interface": other}
        yield at_s, event.node, fields


def _radio_of(network: EmulatedNetwork, node: str, number: int) -> Radio:
    radios = network.model.radios_of(node)
    if number >= len(radios):
        what = f"a link event of radio {number}, and it has {len(radios)}"
        raise ModelError(what, f"node {node}", "give the lab's nodes as many radios as the movement is of")
    return radios[number]
