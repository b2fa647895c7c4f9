"""The members and messages with which an SM and an LMC are loaded, and the two roles without sockets."""

from __future__ import annotations

from agents.core.agent import Agent, Endpoint
from agents.mmcp.configuration import (
    Controller,
    LocalMobilityControllerConfiguration,
    Session,
    SessionManagerConfiguration,
)
from agents.mmcp.constants import PacketType
from agents.mmcp.local_mobility_controller import LocalMobilityController
from agents.mmcp.messages import (
    DataChannelStatus,
    Message,
    MNIdentifier,
    Parameter,
    PoAIdentifier,
    encode,
    lmc_address,
    multicast_address,
)
from agents.mmcp.session_manager import SessionManager

MEMBERS = 10_000
ROUNDS = 7

HERE, GROUP, GROUP_PORT, SESSION = "127.0.0.1", "239.1.1.1", 5004, 1
STATUS = DataChannelStatus(123_456, 60)


def packet(kind: PacketType, *parameters: Parameter, accepted: bool = False) -> bytes:
    return encode(Message(kind, SESSION, parameters, accepted))


def mn_id(number: int) -> MNIdentifier:
    return MNIdentifier(b"mn%06d" % number)


AT = Endpoint("10.0.1.100", 24793)
SM, LMC1, LMC2 = (Endpoint(f"10.0.{n}.2", 24793) for n in (20, 1, 2))
TABLE = [Controller("lmc1", LMC1.address, ["poa1"]), Controller("lmc2", LMC2.address, ["poa2"])]


def session_manager() -> Agent:
    """An SM to which both LMCs have announced themselves."""
    agent = SessionManager(SessionManagerConfiguration(SM.address, [Session(SESSION, GROUP, GROUP_PORT)], TABLE))
    agent.start(0.0)
    for row in TABLE:
        announcement = packet(PacketType.SJR, MNIdentifier(row.name.encode()), lmc_address(row.endpoint))
        agent.receive(announcement, row.endpoint, 0.0)
    agent.take_actions()
    return agent


def controller() -> Agent:
    """lmc1, in its session."""
    agent = LocalMobilityController(
        LocalMobilityControllerConfiguration("lmc1", "none", "10.0.1.0/24", SM.address, TABLE, [SESSION])
    )
    agent.start(0.0)
    agent.receive(packet(PacketType.SJC, multicast_address(GROUP, GROUP_PORT), accepted=True), SM, 0.0)
    agent.take_actions()
    return agent


def fill(agent: Agent, kind: PacketType, count: int) -> None:
    """Let MNs join, each from an endpoint of its own, and report."""
    for number in range(count):
        source = Endpoint(f"10.1.{number >> 8 & 255}.{number & 255}", 24793)
        point = (PoAIdentifier(b"poa1"),) if kind is PacketType.SJR else ()
        agent.receive(packet(kind, mn_id(number), *point), source, 1.0)
        agent.receive(packet(PacketType.USR, mn_id(number), STATUS), source, 1.0)
        agent.take_actions()
