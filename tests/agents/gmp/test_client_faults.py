"""GMP's clients and server on a network that loses, repeats, reorders, stalls and resets, with a server that begins again.

When the network has become quiet, each client is where it wants to be, and the server says the same of it.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from agents.gmp.client import Client
from agents.gmp.configuration import CreatorConfiguration, ParticipantConfiguration, SessionDescription
from agents.gmp.constants import Level
from agents.gmp.creator import Creator
from agents.gmp.events import Activate, AskMembers, EndSession, Enrol, Leave, Register
from agents.gmp.participant import Participant
from agents.gmp.server import Server
from agents.gmp.server_configuration import ServerConfiguration
from testbed.sim.faults import PERFECT, Faults
from testbed.sim.network import Network
from tests.agents.gmp.hand_made import GROUP, PORT, PORTS, SDP, SERVER
from tests.agents.gmp.meeting import FRIENDS, SECRETS, address_of

BAD = Faults(loss=0.15, duplication=0.1, reordering=0.2, jitter_s=0.02, stall=0.05, reset=0.02, refusal=0.1)
WISHES = (Activate(), Enrol(), Register())
LEAVES = tuple(Leave(level) for level in Level)
REACHED = {"IDLE": "nothing", "REGISTERED": "registered", "ENROLLED": "enrolled", "ACTIVE": "active"}


def course(seed: int, transport: str, *, secure: bool) -> None:
    random, network = Random(seed), Network(seed, BAD, 100.0)
    network.keeps_history = True

    def server() -> Server:
        return Server(ServerConfiguration(), SECRETS)

    def settled(agent: Client) -> bool:
        """Whether it is where it wants to be, by its own word and the server's, which lets enrolled ones fall in time [G-21]."""
        rows = {row["user"]: row["state"] for row in at_server.agent.rows("members")}
        said = agent.describe()
        goal, theirs = said["goal"], rows.get(said["user"])
        if REACHED.get(str(said["state"])) != goal:
            return False
        return goal in {"nothing", theirs} or (goal, theirs) == ("enrolled", "registered")

    at_server = network.add("server", server(), f"{SERVER}/24", PORTS, interface="lan")
    network.start(at_server)
    common: dict[str, Any] = {"server": SERVER, "interface": "lan", "transport": transport}
    description = SessionDescription(
        name="lecture", group=GROUP, port=PORT, media=SDP, period=10, timeout=100, secure=secure
    )
    host = Creator(CreatorConfiguration(name="host", session=description, until="active", **common), SECRETS["host"])
    at_host = network.add("host", host, "10.0.0.9/24", PORTS, interface="lan")
    network.start(at_host)
    network.run_for(5)
    friends = {}
    for name in FRIENDS:
        configuration = ParticipantConfiguration(name=name, session_id=1, until="nothing", **common)
        agent = Participant(configuration, SECRETS[name])
        friends[name] = network.add(name, agent, f"{address_of(name)}/24", PORTS, interface="lan")
        network.start(friends[name])
    for _ in range(12):
        network.run_for(random.random() * 4)
        event = random.choice((*WISHES, *LEAVES, AskMembers(), None))
        if event is None:
            network.replace(at_server, server())
        else:
            network.tell(friends[random.choice(FRIENDS)], event)
    network.faults = PERFECT
    for node in friends.values():
        network.tell(node, random.choice(WISHES))
    network.run_for(130)  # longer than a server waits for an enrolled member whose LVREQ were all lost
    everybody = [host, *(each for node in friends.values() if isinstance(each := node.agent, Client))]
    if host.describe()["state"] == "ENDED":
        return  # it was not heard for its timeout, which may be
    assert [agent.describe() for agent in everybody if not settled(agent)] == []
    active = [agent for agent in everybody if agent.describe()["state"] == "ACTIVE"]
    assert len({agent.describe()["generation"] for agent in active}) == 1
    network.tell(at_host, EndSession())
    network.run_for(5)
    assert {agent.describe()["state"] for agent in active} == {"ENDED"}


@pytest.mark.parametrize("secure", [False, True], ids=["open", "secure"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_clients_come_to_where_they_want_to_be(transport: str, secure: bool) -> None:
    for seed in range(10):
        course(seed, transport, secure=secure)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("secure", [False, True], ids=["open", "secure"])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_clients_come_to_where_they_want_to_be_in_many_courses(transport: str, secure: bool) -> None:
    for seed in range(10, 150):
        course(seed, transport, secure=secure)
