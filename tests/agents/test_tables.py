"""The state tables: every step is taken by somebody, every other step is refused."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from agents.core.errors import IllegalTransitionError
from agents.core.machine import Machine, TransitionTable
from agents.mmcp import controller_state, mobile_node_state, session_state
from agents.mmcp.timing import Timers
from tests.agents.lab import (
    LMC1,
    LMC2,
    SM,
    Chart,
    joined,
    message,
    move,
    state,
)
from tests.agents.situations import EVENTS, PACKETS, SITUATIONS, closed

TABLES: list[TransitionTable[Any, Any]] = [
    mobile_node_state.MOBILE_NODE_TABLE,
    controller_state.SESSION_TABLE,
    controller_state.HANDOVER_TABLE,
    session_state.SESSION_TABLE,
]


def steps(table: TransitionTable[Any, Any]) -> set[tuple[str, str]]:
    return {(before.value, on.value) for before, row in table.steps.items() for on in row}


def traced(network: Chart) -> set[tuple[str, str, str]]:
    return {
        (str(line.details["machine"]), str(line.details["from"]), str(line.details["on"]))
        for node in network.nodes.values()
        for line in node.traces
        if line.event == "state"
    }


def test_every_step_of_every_table_is_taken_by_somebody() -> None:
    taken: set[tuple[str, str, str]] = set()
    for build, _ in SITUATIONS.values():
        for label, (f, params) in PACKETS.items():
            for source in (SM, LMC1, LMC2):
                network = build()
                for role in ("mn", "lmc1", "sm"):
                    network.give(
                        role,
                        message(label[:3], *params, f=f),
                        source,
                        port="transfer-1" if label.startswith("HTA") else "",
                    )
                taken |= traced(network)
        for event in EVENTS.values():
            network = build()
            for role in ("mn", "lmc1", "sm"):
                network.tell(role, event)
            network.run_for(7)
            taken |= traced(network)
    for changes in ("silent", "lost"):  # the steps that need time to pass or a second chance
        network = joined(mn={"timers": Timers(join_retries=1)})
        network.lose(*["HCT" if changes == "lost" else "HIC"] * 3, *["SJC"] * 2, *["LJC"] * (changes == "silent"))
        network.trigger("poa2")
        network.run_for(5)
        network.link_down()
        network.link_up()
        network.run_for(20)
        taken |= traced(network)
    network = joined(mn={"address_delay_s": 0.1})  # moves on while an SJR is unanswered
    network.lose("SJC")
    move(network, "nobodys")
    network.run_for(0.2)
    assert state(network) == "SJR-SENT"
    move(network, "poa2")
    network.run_for(0.2)
    taken |= traced(network)
    every = {(table.name, *step) for table in TABLES for step in steps(table)}
    assert every - taken == set()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.name))
def test_table_refuses_every_other_step(table: TransitionTable[Any, Any]) -> None:
    states: type[Enum] = type(table.initial)
    inputs: type[Enum] = type(next(on for row in table.steps.values() for on in row))
    for before in states:
        for on in inputs:
            if table.allows(before, on):
                assert table.next(before, on) in states
            else:
                with pytest.raises(IllegalTransitionError, match=f"{table.name}: no step for .* in {before.value}"):
                    table.next(before, on)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.name))
def test_every_state_can_be_reached_and_left(table: TransitionTable[Any, Any]) -> None:
    reached = {table.initial}
    for _ in table.steps:
        reached |= {after for before in list(reached) for after in table.steps[before].values()}
    assert reached == set(table.steps)
    assert all(table.steps.values())


def test_machine_traces_each_step_and_keeps_its_state_when_refused() -> None:
    network = closed()
    agent = network.nodes["sm"].agent
    machine = Machine(session_state.SESSION_TABLE, agent, session_id=5)
    with pytest.raises(IllegalTransitionError):
        machine.move(session_state.SessionInput.SJC)
    assert machine.state is session_state.SessionState.CLOSED
    machine.move(session_state.SessionInput.CREATE)
    [line] = agent.take_actions()
    assert line.details == {  # type: ignore[union-attr]  # a Trace
        "machine": "MMCP SM session",
        "from": "CLOSED",
        "to": "ESTABLISHED",
        "on": "app: mmcp_create()",
        "session_id": 5,
    }
