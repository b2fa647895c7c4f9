"""The calls of Annex B, in Python's spelling."""

from __future__ import annotations

from dataclasses import replace

import pytest

import agents.mmcp
from agents.core.agent import Agent, SendDatagram
from agents.core.errors import ConfigurationError
from agents.core.links import LinkUp
from agents.mmcp import (
    LocalMobilityControllerConfiguration,
    MobileNodeConfiguration,
    SessionManagerConfiguration,
    mmcp_create,
    mmcp_join,
    mmcp_leave,
    mmcp_lmc_join,
)
from agents.mmcp.configuration import NodeInterface, Session, WantedSession
from agents.mmcp.role import Role
from captures.mmcp import dissector as judge
from tests.agents.lab import CONTROLLERS, GROUP, GROUP_PORT, LMC1, MN_AT_POA1, POINTS, SESSION, SM, Chart

SM_GIVEN = SessionManagerConfiguration(SM.address, [Session(SESSION, GROUP, GROUP_PORT)], CONTROLLERS)
LMC_GIVEN = LocalMobilityControllerConfiguration("lmc1", "eth0", "10.0.1.0/24", SM.address, CONTROLLERS, [SESSION])
MN_GIVEN = MobileNodeConfiguration(
    "mn1", SM.address, [WantedSession(SESSION)], [NodeInterface("radio", POINTS, "poa1")]
)


def sent(agent: Agent) -> list[str]:
    """The packets that the role wants sent now."""
    actions = agent.take_actions()
    return [str(judge.dissect(action.data)["packet"]) for action in actions if isinstance(action, SendDatagram)]


def state(agent: Agent) -> str:
    """Of session 1 or, at an MN, of the node."""
    described = agent.describe()
    sessions = described.get("sessions")
    return str(sessions["1"]["state"] if isinstance(sessions, dict) else described["state"])


def carry_out(network: Chart, name: str) -> None:
    """What the call has queued at the role, and what follows from it."""
    network.tell(name, LinkUp("another"))  # the network carries out a role's actions when it has told it something
    network.run_for(0.1)


def test_everything_public_is_there_and_documented() -> None:
    assert {name for name in agents.mmcp.__all__ if name.startswith("mmcp_")} == {
        "mmcp_create",
        "mmcp_lmc_join",
        "mmcp_join",
        "mmcp_leave",
    }
    for name in agents.mmcp.__all__:
        assert getattr(agents.mmcp, name).__doc__


def test_each_call_starts_its_role() -> None:
    session_manager = mmcp_create(SM_GIVEN, 5.0)
    assert (sent(session_manager), state(session_manager)) == ([], "ESTABLISHED")
    controller = mmcp_lmc_join(LMC_GIVEN, 5.0)
    assert (sent(controller), state(controller)) == (["SJR"], "SJR-SENT")
    assert controller.next_deadline() == 7.0  # JWT after the time that was given
    node = mmcp_join(MN_GIVEN, 5.0)
    assert (sent(node), state(node)) == (["SJR"], "SJR-SENT")
    assert node.next_deadline() == 7.0


def test_leave_ends_every_role_once() -> None:
    network = Chart()
    session_manager = mmcp_create(SM_GIVEN, network.now)
    network.add("sm", session_manager, SM.address)
    controller = mmcp_lmc_join(LMC_GIVEN, network.now)
    network.add("lmc1", controller, LMC1.address)
    carry_out(network, "lmc1")
    node = mmcp_join(MN_GIVEN, network.now)
    network.add("mn", node, MN_AT_POA1.address)
    carry_out(network, "mn")
    assert [state(role) for role in (session_manager, controller, node)] == ["ESTABLISHED"] * 3
    leaving: list[tuple[Role, list[str]]] = [(node, ["ULR"]), (controller, ["ULR"]), (session_manager, [])]
    for role, packets in leaving:
        mmcp_leave(role, network.now)
        assert sent(role) == packets
        assert state(role) == "CLOSED"
        assert len(role.timers) == 0
        mmcp_leave(role, network.now)
        assert role.take_actions() == []


def test_configuration_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="sessions: empty"):
        mmcp_create(replace(SM_GIVEN, sessions=[]), 0.0)
    with pytest.raises(ConfigurationError, match="controllers: no row named"):
        mmcp_lmc_join(replace(LMC_GIVEN, name="lmc9"), 0.0)
    with pytest.raises(ConfigurationError, match="attached_to: 'poa9'"):
        mmcp_join(replace(MN_GIVEN, interfaces=[NodeInterface("radio", POINTS, "poa9")]), 0.0)
