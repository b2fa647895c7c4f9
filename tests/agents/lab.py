"""The lab of the role tests: an SM, two LMCs, an MN with four points of attachment in reach, on a virtual network."""

from __future__ import annotations

from typing import Any

from agents.core.agent import Agent, Endpoint
from agents.core.links import LinkDetected
from agents.core.room import Port
from agents.mmcp.configuration import (
    Controller,
    LocalMobilityControllerConfiguration,
    MobileNodeConfiguration,
    NodeInterface,
    PointOfAttachment,
    Session,
    SessionManagerConfiguration,
    WantedSession,
)
from agents.mmcp.local_mobility_controller import LocalMobilityController
from agents.mmcp.mobile_node import MobileNode
from agents.mmcp.session_manager import SessionManager
from agents.mmcp.timing import Timers
from captures.mmcp import dissector as judge
from tests.agents import chart

PORT = 24793
INTERFACE, SECOND_INTERFACE = "mn-radio", "mn-second"
WITH_FLAG = ("SJC", "LJC", "ULC", "HTA", "HIC")
GROUP, GROUP_PORT, SESSION = "239.1.1.1", 5004, 1
SM, LMC1, LMC2 = (Endpoint(address, PORT) for address in ("10.0.20.2", "10.0.1.2", "10.0.2.2"))
MN_AT_POA1 = Endpoint("10.0.1.100", PORT)
STRANGER = Endpoint("10.9.9.9", PORT)
MN_ID = b"mn1".hex()

CONTROLLERS = [
    Controller("lmc1", LMC1.address, ["poa1", "poa1b"]),
    Controller("lmc2", LMC2.address, ["poa2"]),
]
POINTS = [
    PointOfAttachment("poa1", "10.0.1.100/24", "10.0.1.1"),
    PointOfAttachment("poa1b", "10.0.1.101/24", "10.0.1.1"),
    PointOfAttachment("poa2", "10.0.2.100/24", "10.0.2.1"),
    PointOfAttachment("nobodys", "10.0.9.100/24", "10.0.9.1"),  # no LMC serves it
]
TIMERS = Timers(srt_s=2.0)


def read(data: bytes) -> chart.Reading:
    """What the judge reads; + and - stand for F = 1 and F = 0 where F has a meaning."""
    fields = judge.dissect(data)
    packet = str(fields["packet"])
    return packet, "-+"[fields["f"]] if packet in WITH_FLAG else "", fields


def interfaces(name: str, agent: Agent) -> tuple[str, ...]:
    """An MN has those that it says; of the others, an LMC needs one in its subnet."""
    described: Any = agent.describe()
    return tuple(described.get("interfaces", (f"{name}-{name.replace('lmc', 'poa')}",)))


class Chart(chart.Chart):
    """A chart of MMCP roles, most of which is about the MN ``mn``."""

    def __init__(self) -> None:
        super().__init__(read, (Port(number=PORT),), interfaces)

    def trigger(self, point: str, name: str = "mn", interface: str = INTERFACE) -> None:
        """A link trigger: the point of attachment is in reach."""
        self.note(f"{name} detects {point}")
        self.tell(name, LinkDetected(interface, point))

    def link_down(self, name: str = "mn", interface: str = INTERFACE) -> None:
        super().link_down(name, interface)

    def link_up(self, name: str = "mn", interface: str = INTERFACE, where: str = "") -> None:
        super().link_up(name, interface, where)


def session_manager(**changes: Any) -> SessionManager:
    """The SM, provisioned for session 1."""
    given: dict[str, Any] = {
        "address": SM.address,
        "sessions": [Session(SESSION, GROUP, GROUP_PORT)],
        "controllers": CONTROLLERS,
        "timers": TIMERS,
    }
    return SessionManager(SessionManagerConfiguration(**{**given, **changes}))


def controller(number: int, **changes: Any) -> LocalMobilityController:
    """lmc1 or lmc2."""
    given: dict[str, Any] = {
        "name": f"lmc{number}",
        "interface": f"lmc{number}-poa{number}",
        "subnet": f"10.0.{number}.0/24",
        "session_manager": SM.address,
        "controllers": CONTROLLERS,
        "sessions": [SESSION],
        "timers": TIMERS,
    }
    return LocalMobilityController(LocalMobilityControllerConfiguration(**{**given, **changes}))


def mobile_node(**changes: Any) -> MobileNode:
    """The MN, at poa1 unless changed."""
    given: dict[str, Any] = {
        "mn_id": "mn1",
        "session_manager": SM.address,
        "sessions": [WantedSession(SESSION, changes.pop("source", None))],
        "interfaces": [
            NodeInterface("mn-radio", changes.pop("points_of_attachment", POINTS), changes.pop("attached_to", "poa1"))
        ],
        "timers": TIMERS,
    }
    return MobileNode(MobileNodeConfiguration(**{**given, **changes}))


def lab(
    sm: dict[str, Any] | None = None,
    lmc: dict[str, Any] | None = None,
    mn: dict[str, Any] | None = None,
    *,
    with_lmcs: bool = True,
) -> Chart:
    """All roles, the SM and the LMCs in their session, the MN not started yet."""
    network = Chart()
    network.add("sm", session_manager(**(sm or {})), SM.address)
    network.add("lmc1", controller(1, **(lmc or {})), LMC1.address)
    network.add("lmc2", controller(2, **(lmc or {})), LMC2.address)
    network.add("mn", mobile_node(**(mn or {})), MN_AT_POA1.address)
    network.start("sm", *(("lmc1", "lmc2") if with_lmcs else ()))
    network.run_for(0.1)
    return network


def joined(**changes: Any) -> Chart:
    """The lab with the MN in its session."""
    network = lab(**changes)
    network.start("mn")
    network.run_for(0.1)
    assert state(network) == "ESTABLISHED"
    return network


def state(network: Chart, name: str = "mn") -> str:
    """The state of the MN, or of session 1 at another role."""
    described: Any = network.nodes[name].agent.describe()
    return str(described["sessions"][str(SESSION)]["state"])


def row(network: Chart, name: str, session_id: int = SESSION) -> dict[str, Any]:
    """What a role says of a session, what there may be many of by its identifier."""
    agent: Any = network.nodes[name].agent
    found: dict[str, Any] = dict(agent.describe()["sessions"][str(session_id)])
    for of in agent.LISTS:
        rows = [dict(each) for each in agent.rows(of) if each.pop("session_id") == session_id]
        assert found[of] == len(rows), "the summary counts what there is"
        by_identifier = {each.pop("mn_id" if "mn_id" in each else "lmc"): each for each in rows}
        found[of] = {key: each if len(each) > 1 else next(iter(each.values())) for key, each in by_identifier.items()}
    return found


def place(network: Chart, interface: str = "mn-radio") -> str | None:
    """The point of attachment, in hexadecimal, that an interface of the MN is at."""
    described: Any = network.nodes["mn"].agent.describe()
    attached_to: str | None = described["interfaces"][interface]["attached_to"]
    return attached_to


def count(network: Chart, name: str, counter: str) -> int:
    """One counter of one role."""
    return network.nodes[name].agent.counters[counter]


def message(packet: str, *params: list[Any], f: int = 0, profile: str = "L16", session_id: int = SESSION) -> bytes:
    """A message as the judge's dissector writes it."""
    fields = {"packet": packet, "session_id": session_id, "f": f, "profile": profile, "params": list(params)}
    return judge.build(fields)


def move(network: Chart, point: str, *, gap: float = 0.05, overlap: float = 0.2) -> None:
    """Trigger, overlap, link down, gap, link up."""
    network.trigger(point)
    network.run_for(overlap)
    network.link_down()
    network.run_for(gap)
    network.link_up()
    network.run_for(0.1)


def without_reports(lines: list[str]) -> list[str]:
    return [line for line in lines if " USR " not in line and " ASR " not in line]


def ordered(lines: list[str], *wanted: str) -> bool:
    """Whether ``wanted`` happened in this order, other things between them."""
    rest = iter(lines)
    return all(line in rest for line in wanted)


def hit(network: Chart) -> list[float]:
    times = [sent.time for sent in network.packets("HIR")]
    return [round(time - times[0], 6) for time in times]
