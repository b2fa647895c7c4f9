"""Every state of every role against every packet and event: nothing raises, nothing illegal is sent, peers are checked.

The states are reached through the public calls alone. The network reads whatever is sent with the judge's dissector.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

import pytest

from agents.core.agent import (
    AddressConfigured,
    ApplicationLeave,
    Authorised,
    DataChannelReport,
    Endpoint,
    Event,
    GroupJoined,
    LinkDetected,
    LinkDown,
    LinkUp,
)
from agents.core.errors import IllegalTransitionError
from agents.core.machine import TransitionTable
from agents.mmcp import controller_state, mobile_node_state, session_state
from agents.mmcp.configuration import NodeInterface, Session
from agents.mmcp.role import Machine
from agents.mmcp.timing import Timers
from tests.agents.lab import (
    GROUP,
    LMC1,
    LMC2,
    MN_ID,
    POINTS,
    SESSION,
    SM,
    STRANGER,
    count,
    joined,
    lab,
    message,
    move,
    row,
    state,
)
from tests.agents.network import PORT, SECOND_INTERFACE, Network
from tests.wire.mmcp_messages import vectors

MN, POA2 = ["mn_id", MN_ID], ["poa_id", b"poa2".hex()]
MULTICAST, LMC = ["multicast", GROUP, 5004], ["lmc", LMC2.address, PORT]
PACKETS: dict[str, tuple[int, list[Any]]] = {
    "SJR": (0, [MN, POA2]),
    "SJC+": (1, [MULTICAST, LMC]),
    "SJC+ direct": (1, [MULTICAST]),
    "SJC-": (0, []),
    "LJR": (0, [MN]),
    "LJC+": (1, []),
    "LJC-": (0, []),
    "ULR": (0, [MN]),
    "ULC+": (1, []),
    "USR": (0, [MN, ["status", 1, 2]]),
    "ASR": (0, [["membership", 1], MN, ["status", 1, 2]]),
    "USP": (0, []),
    "HIR": (0, [MN, POA2]),
    "HCT": (0, [MN, MULTICAST]),
    "HTA+": (1, []),
    "HTA-": (0, []),
    "HIC+": (1, [LMC]),
    "HIC-": (0, []),
}
EVENTS: dict[str, Event] = {
    "link detected": LinkDetected("mn-radio", b"poa2"),
    "link detected at home": LinkDetected("mn-radio", b"poa1"),
    "another link detected": LinkDetected("mn-radio", b"poa1b"),
    "link down": LinkDown("mn-radio"),
    "link up": LinkUp("mn-radio"),
    "other link down": LinkDown("lo"),
    "other link up": LinkUp("lo"),
    "address": AddressConfigured("mn-radio", "10.0.2.100/24"),
    "old address": AddressConfigured("mn-radio", "10.0.1.100/24"),
    "joined": GroupJoined(GROUP, "any", succeeded=True),
    "not joined": GroupJoined(GROUP, "any", succeeded=False, reason="x"),
    "another group joined": GroupJoined("239.9.9.9", "any", succeeded=True),
    "second link detected": LinkDetected(SECOND_INTERFACE, b"poa2"),
    "second link down": LinkDown(SECOND_INTERFACE),
    "second link up": LinkUp(SECOND_INTERFACE),
    "second address": AddressConfigured(SECOND_INTERFACE, "10.0.2.100/24"),
    "granted": Authorised(SESSION, bytes.fromhex(MN_ID), granted=True),
    "not granted": Authorised(SESSION, b"mn2", granted=False, reason="x"),
    "received": DataChannelReport(7),
    "leave": ApplicationLeave(),
}


def closed() -> Network:
    return lab(with_lmcs=False)


def joining() -> Network:
    network = lab()
    network.lose("SJC")
    network.start("mn")
    network.run_for(0.1)
    return network


def joining_locally() -> Network:
    network = lab()
    network.lose("LJC")
    network.start("mn")
    network.run_for(0.1)
    return network


def handing_over() -> Network:
    network = joined()
    network.nodes["lmc2"].join_delay = 0.3
    network.trigger("poa2")
    network.run_for(0.1)
    return network


def promised() -> Network:
    network = joined()
    network.trigger("poa2")
    network.run_for(0.1)
    return network


def between_links() -> Network:
    network = promised()
    network.link_down()
    return network


def awaiting_address() -> Network:
    network = joined(mn={"address_delay_s": 1.0})
    move(network, "poa2")
    return network


def awaiting_address_after_a_new_trigger() -> Network:
    network = awaiting_address()
    network.trigger("poa1b")
    return network


def arrived() -> Network:
    network = joined()
    move(network, "poa2")
    return network


def left() -> Network:
    network = joined()
    for name in ("mn", "lmc1", "sm"):
        network.tell(name, ApplicationLeave())
    return network


def on_two_interfaces() -> Network:
    network = joined(
        mn={"interfaces": [NodeInterface("mn-radio", POINTS[:2], "poa1"), NodeInterface(SECOND_INTERFACE, POINTS[2:])]}
    )
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(0.1)
    return network


def second_interface_awaiting_hic() -> Network:
    network = joined(
        mn={"interfaces": [NodeInterface("mn-radio", POINTS[:2], "poa1"), NodeInterface(SECOND_INTERFACE, POINTS[2:])]}
    )
    network.nodes["lmc2"].join_delay = 0.3
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(0.1)
    return network


def awaiting_authorisation() -> Network:
    network = lab(sm={"sessions": [Session(SESSION, GROUP, 5004, ask_authorisation=True)]})
    network.start("mn")
    network.run_for(0.1)
    network.give("sm", message("SJR", ["mn_id", b"mn2".hex()]), STRANGER)
    return network


def lmc_joining() -> Network:
    network = closed()
    network.lose("SJR", "SJR")
    network.start("lmc1", "lmc2")
    return network


SITUATIONS: dict[str, tuple[Callable[[], Network], dict[str, str]]] = {
    "before the start": (closed, {"mn": "CLOSED", "lmc1": "CLOSED", "sm": "ESTABLISHED"}),
    "LMC joining": (lmc_joining, {"lmc1": "SJR-SENT"}),
    "joining": (joining, {"mn": "SJR-SENT"}),
    "joining locally": (joining_locally, {"mn": "LJR-SENT"}),
    "established": (joined, {"mn": "ESTABLISHED", "lmc1": "ESTABLISHED", "sm": "ESTABLISHED"}),
    "handing over": (handing_over, {"mn": "HIR-SENT"}),
    "promised": (promised, {"mn": "ESTABLISHED"}),
    "between links": (between_links, {"mn": "ESTABLISHED"}),
    "awaiting an address": (awaiting_address, {"mn": "ESTABLISHED"}),
    "awaiting an address, triggered anew": (awaiting_address_after_a_new_trigger, {"mn": "ESTABLISHED"}),
    "arrived": (arrived, {"mn": "ESTABLISHED"}),
    "on two interfaces": (on_two_interfaces, {"mn": "ESTABLISHED"}),
    "on two interfaces, awaiting HIC": (second_interface_awaiting_hic, {"mn": "HIR-SENT"}),
    "awaiting authorisation": (awaiting_authorisation, {"mn": "SJR-SENT", "sm": "SJR-RCVD"}),
    "left": (left, {"mn": "CLOSED", "lmc1": "CLOSED", "sm": "CLOSED"}),
}
STATES = {
    "mn": {row.value for row in mobile_node_state.State},
    "lmc1": {row.value for row in controller_state.SessionState},
    "lmc2": {row.value for row in controller_state.SessionState},
    "sm": {row.value for row in session_state.SessionState},
}


def legal(network: Network) -> None:
    for name, states in STATES.items():
        assert state(network, name) in states
        deadline = network.nodes[name].agent.next_deadline()
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
                network.give(role, message(label[:3], *params, f=f, profile=profile), source, channel=1)
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


# --- who may say what -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "packet", "f", "params", "right"),
    [
        (joining, "SJC", 1, [MULTICAST], SM),
        (joining_locally, "LJC", 1, [], LMC1),
        (handing_over, "HIC", 1, [LMC], LMC1),
    ],
)
def test_confirm_from_a_wrong_peer_is_dropped(
    build: Callable[[], Network], packet: str, f: int, params: list[Any], right: Endpoint
) -> None:
    network = build()
    before, mark = state(network), network.mark()
    wrong = [LMC2, STRANGER, Endpoint(right.address, right.port + 1)]
    for source in wrong:
        network.give("mn", message(packet, *params, f=f), source)
        network.give("mn", message(packet), source)
    assert (state(network), network.lines(mark)) == (before, [])
    assert count(network, "mn", "dropped.unknown-peer") == 2 * len(wrong)
    network.give("mn", message(packet, *params, f=f), right)
    assert state(network) == "ESTABLISHED"


def test_sjc_for_the_lmc_from_a_wrong_peer_is_dropped() -> None:
    network = lmc_joining()
    network.give("lmc1", message("SJC", MULTICAST, f=1), STRANGER)
    assert state(network, "lmc1") == "SJR-SENT"
    assert count(network, "lmc1", "dropped.unknown-peer") == 1


def test_hta_from_a_wrong_peer_or_at_a_wrong_port_is_dropped() -> None:
    network = handing_over()
    [channel] = network.nodes["lmc1"].channels
    mark = network.mark()
    wrong = [(STRANGER, channel), (Endpoint(LMC2.address, 9), channel), (LMC2, 0), (LMC2, channel + 1)]
    for source, at in wrong:
        network.give("lmc1", message("HTA", f=1), source, channel=at)
    assert network.lines(mark) == []
    assert count(network, "lmc1", "dropped.unmatched-HTA") == len(wrong)
    network.give("lmc1", message("HTA", f=1), LMC2, channel=channel)
    assert network.lines(mark) == ["lmc1 HIC+ mn"]


@pytest.mark.parametrize(
    ("role", "packet"),
    [("mn", p) for p in ("SJR", "LJR", "ULR", "USR", "ASR", "HIR", "HCT", "HTA+")]
    + [("lmc1", p) for p in ("LJC+", "ULC+", "ASR", "HIC+")]
    + [("sm", p) for p in ("SJC+", "LJR", "LJC+", "ULC+", "USP", "HCT", "HTA+", "HIC+")],
)
def test_packet_that_a_role_never_receives_is_dropped(role: str, packet: str) -> None:
    network = joined()
    f, params = PACKETS[packet]
    mark = network.mark()
    network.give(role, message(packet[:3], *params, f=f), LMC1)
    assert network.lines(mark) == []
    assert count(network, role, "dropped.unexpected-type") == 1
    assert count(network, role, f"received.{packet[:3]}") >= 1


@pytest.mark.parametrize("role", ["mn", "lmc1", "sm"])
@pytest.mark.parametrize("vector", [v for v in vectors() if v.get("malformed")], ids=lambda v: str(v["name"]))
def test_malformed_datagram_is_counted_and_not_answered(vector: dict[str, Any], role: str) -> None:
    network = joined()
    mark = network.mark()
    before = network.nodes[role].agent.counters.snapshot()
    network.give(role, bytes.fromhex(vector["hex"]), LMC1)
    after = network.nodes[role].agent.counters.snapshot()
    grown = {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
    assert len(grown) == 1
    [(name, amount)] = grown.items()
    assert name.startswith("dropped.")
    assert name == f"dropped.{vector.get('reason', name.removeprefix('dropped.'))}"
    assert amount == 1
    assert network.lines(mark) == []
    assert network.nodes[role].traces[-1].details["reason"] == name.removeprefix("dropped.")


@pytest.mark.parametrize(
    ("role", "packet", "params", "answer"),
    [
        ("sm", "SJR", [MN], "SJC"),
        ("sm", "SJR", [["mn_id", b"lmc1".hex()], ["lmc", *LMC1]], "SJC"),
        ("sm", "HIR", [MN, POA2], "HIC"),
    ],
)
def test_l8_request_gets_an_l8_reply(role: str, packet: str, params: list[Any], answer: str) -> None:  # M-2
    network = joined()
    network.give(role, message(packet, *params, profile="L8"), STRANGER)
    sent = network.sent[-1]
    assert (sent.packet, sent.fields["f"], sent.fields["profile"]) == (answer, 1, "L8")


def test_l8_handover_request_gets_an_l8_confirm() -> None:  # M-2
    network = joined()
    network.give("lmc1", message("HIR", MN, POA2, profile="L8"), STRANGER)
    network.run_for(0.1)
    [confirm] = network.packets("HIC")
    assert (confirm.fields["f"], confirm.fields["profile"]) == (1, "L8")
    assert confirm.destination == STRANGER


# --- the tables -------------------------------------------------------------------------------------------------------

TABLES: list[TransitionTable[Any, Any]] = [
    mobile_node_state.MOBILE_NODE_TABLE,
    controller_state.SESSION_TABLE,
    controller_state.HANDOVER_TABLE,
    session_state.SESSION_TABLE,
]


def steps(table: TransitionTable[Any, Any]) -> set[tuple[str, str]]:
    return {(before.value, on.value) for before, row in table.steps.items() for on in row}


def traced(network: Network) -> set[tuple[str, str, str]]:
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
                    network.give(role, message(label[:3], *params, f=f), source, channel=label.startswith("HTA"))
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


def test_session_that_is_full_refuses_newcomers(monkeypatch: pytest.MonkeyPatch) -> None:
    network = joined()
    monkeypatch.setattr("agents.mmcp.constants.MEMBERS_MAXIMUM", 1)
    monkeypatch.setattr("agents.mmcp.session_manager.MEMBERS_MAXIMUM", 1)
    network.give("sm", message("SJR", ["mn_id", "77"]), STRANGER)
    network.give("lmc1", message("LJR", ["mn_id", "77"]), STRANGER)
    network.give("sm", message("SJR", MN), STRANGER)  # a member may join again
    assert network.lines()[-3:] == ["sm SJC- nobody", "lmc1 LJC- nobody", "sm SJC+ nobody"]
    assert count(network, "sm", "refused.session-full") == count(network, "lmc1", "refused.session-full") == 1
    assert len(row(network, "sm")["members"]) == 1
