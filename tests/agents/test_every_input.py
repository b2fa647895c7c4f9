"""Every state of every role against every packet and event: nothing raises, nothing illegal is sent.

The network reads whatever is sent with the judge's dissector.
"""

from __future__ import annotations

import pytest

from agents.mmcp import controller_state, mobile_node_state, session_state
from tests.agents.lab import (
    LMC1,
    LMC2,
    SM,
    STRANGER,
    Chart,
    message,
    state,
)
from tests.agents.situations import EVENTS, PACKETS, SITUATIONS

STATES = {
    "mn": {row.value for row in mobile_node_state.State},
    "lmc1": {row.value for row in controller_state.SessionState},
    "lmc2": {row.value for row in controller_state.SessionState},
    "sm": {row.value for row in session_state.SessionState},
}


def legal(network: Chart) -> None:
    for name, states in STATES.items():
        assert state(network, name) in states
        deadline = network.nodes[name].next_deadline
        assert deadline is None or deadline >= network.now


@pytest.mark.parametrize("situation", SITUATIONS)
def test_situation_is_what_it_is_called(situation: str) -> None:
    build, states = SITUATIONS[situation]
    network = build()
    assert {name: state(network, name) for name in states} == states


def test_situations_cover_every_state() -> None:
    seen = {(name.rstrip("12"), value) for _, states in SITUATIONS.values() for name, value in states.items()}
    every = {("mn", row.value) for row in mobile_node_state.State}
    every |= {("lmc", row.value) for row in controller_state.SessionState}
    every |= {("sm", row.value) for row in session_state.SessionState}
    assert every - seen == set()


@pytest.mark.parametrize("role", ["mn", "lmc1", "lmc2", "sm"])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_packet_from_every_peer(situation: str, role: str) -> None:
    build, _ = SITUATIONS[situation]
    for profile in ("L16", "L8"):
        for label, (f, params) in PACKETS.items():
            network = build()
            for source in (SM, LMC1, LMC2, STRANGER):
                network.give(role, message(label[:3], *params, f=f, profile=profile), source)
                legal(network)
                network.give(role, message(label[:3], *params, f=f, profile=profile), source, port="transfer-1")
                legal(network)
            network.run_for(0.2)


@pytest.mark.parametrize("role", ["mn", "lmc1", "lmc2", "sm"])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_event_and_the_time_after_it(situation: str, role: str) -> None:
    build, _ = SITUATIONS[situation]
    for first in EVENTS.values():
        network = build()
        network.tell(role, first)
        legal(network)
        for second in EVENTS.values():
            network.tell(role, second)
            legal(network)
        network.run_for(10)
        legal(network)


@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_pair_of_events_at_the_mn(situation: str) -> None:
    build, _ = SITUATIONS[situation]
    for first in EVENTS.values():
        for second in EVENTS.values():
            network = build()
            network.tell("mn", first)
            network.tell("mn", second)
            network.run_for(3)
            legal(network)
