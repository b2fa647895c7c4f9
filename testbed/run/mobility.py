"""Movement: what a mobile node's link does when the node goes from one point of attachment to another."""

from __future__ import annotations

import time
from dataclasses import dataclass
from ipaddress import ip_interface

from testbed.net.addresses import await_address
from testbed.net.mininet_net import EmulatedNetwork
from testbed.net.model import Radio
from testbed.net.routes import DEFAULT_DESTINATION, gateway
from testbed.run.step_log import StepLog


@dataclass(frozen=True, slots=True)
class Move:
    """One move as it happened: CLOCK_REALTIME ns when the link went and when it came back."""

    link_down_ns: int
    link_up_ns: int


def attach(network: EmulatedNetwork, radio: Radio, to: str, steps: StepLog, **step_details: object) -> int:
    """Give a radio that has no link one in a cell; returns when (CLOCK_REALTIME ns)."""
    network.sandbox_namespace.set_master(radio.bridge_port, to)
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
    up = steps.add("link_up", **step_details)
    network.set_carrier(radio, True)
    return Move(down, up)


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
