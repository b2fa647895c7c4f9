"""The situations in which the roles are given every packet and every event, and these; all are reached through public calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agents.core.agent import AddressConfigured, Event, GroupJoined, OperatorAnswered
from agents.core.links import LinkDetected, LinkDown, LinkGoingDown, LinkUp
from agents.mmcp.configuration import NodeInterface, Session
from agents.mmcp.events import ApplicationLeave, DataChannelReport
from tests.agents.lab import (
    GROUP,
    LMC2,
    MN_ID,
    POINTS,
    PORT,
    SECOND_INTERFACE,
    SESSION,
    STRANGER,
    TIMERS,
    Chart,
    joined,
    lab,
    message,
    move,
)

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
    "link detected": LinkDetected("mn-radio", "poa2"),
    "link detected at home": LinkDetected("mn-radio", "poa1"),
    "another link detected": LinkDetected("mn-radio", "poa1b"),
    "link down": LinkDown("mn-radio"),
    "link up": LinkUp("mn-radio"),
    "link going down": LinkGoingDown("mn-radio", "poa1", 0.1, "poa2"),
    "link going somewhere": LinkGoingDown("mn-radio"),
    "link going to the second interface": LinkGoingDown("mn-radio", "poa1", None, "poa2", SECOND_INTERFACE),
    "link up at the other place": LinkUp("mn-radio", "poa2"),
    "link down at the other place": LinkDown("mn-radio", "poa2"),
    "other link down": LinkDown("lo"),
    "other link up": LinkUp("lo"),
    "address": AddressConfigured("mn-radio", "10.0.2.100/24"),
    "old address": AddressConfigured("mn-radio", "10.0.1.100/24"),
    "joined": GroupJoined(GROUP, "any", succeeded=True),
    "not joined": GroupJoined(GROUP, "any", succeeded=False, reason="x"),
    "another group joined": GroupJoined("239.9.9.9", "any", succeeded=True),
    "second link detected": LinkDetected(SECOND_INTERFACE, "poa2"),
    "second link down": LinkDown(SECOND_INTERFACE),
    "second link up": LinkUp(SECOND_INTERFACE),
    "second address": AddressConfigured(SECOND_INTERFACE, "10.0.2.100/24"),
    "granted": OperatorAnswered((SESSION, bytes.fromhex(MN_ID)), granted=True),
    "not granted": OperatorAnswered((SESSION, b"mn2"), granted=False, reason="x"),
    "received": DataChannelReport(7),
    "leave": ApplicationLeave(),
}


def closed() -> Chart:
    return lab(with_lmcs=False)


def joining() -> Chart:
    network = lab()
    network.lose("SJC")
    network.start("mn")
    network.run_for(0.1)
    return network


def joining_locally() -> Chart:
    network = lab()
    network.lose("LJC")
    network.start("mn")
    network.run_for(0.1)
    return network


def joining_locally_again() -> Chart:
    network = joined()
    network.link_down()
    network.trigger("poa1b")
    network.link_up()
    network.lose("LJC")
    network.run_for(0.1)
    return network


def asking(network: Chart) -> Chart:
    """The MN has asked for a handover, and the new LMC is not yet in the group."""
    network.nodes["lmc2"].join_time_s = 0.3
    return asked(network)


def asked(network: Chart) -> Chart:
    """The MN has asked for a handover, and what answers there are have come."""
    network.trigger("poa2")
    network.run_for(0.1)
    return network


def gone(network: Chart) -> Chart:
    network.link_down()
    return network


def handing_over() -> Chart:
    return asking(joined())


def promised() -> Chart:
    return asked(joined())


def between_links() -> Chart:
    return gone(promised())


def renewal_unanswered() -> Chart:
    """The MN has renewed its membership with a status report, and the LMC's answer is lost [M-25]."""
    network = joined()
    network.lose("LJC")
    network.run_for(TIMERS.probe_time)
    assert network.packets("LJC")[-1].lost
    return network


def renewal_unanswered_and_handing_over() -> Chart:
    return asking(renewal_unanswered())


def renewal_unanswered_and_promised() -> Chart:
    return asked(renewal_unanswered())


def renewal_unanswered_between_links() -> Chart:
    return gone(renewal_unanswered_and_promised())


def renewal_unanswered_by_the_sm() -> Chart:
    network = lab(mn={"attached_to": "nobodys"})
    network.start("mn")
    network.run_for(0.1)
    network.run_for(TIMERS.probe_time - 0.15)  # the LMCs' renewals come first
    network.lose("SJC")
    network.run_for(0.2)
    last = network.packets("SJC")[-1]
    assert (last.receiver, last.lost) == ("mn", True)
    return network


def renewal_unanswered_by_the_sm_and_handing_over() -> Chart:
    network = renewal_unanswered_by_the_sm()
    network.lose("HIC")
    return asked(network)


def awaiting_address() -> Chart:
    network = joined(mn={"address_delay_s": 1.0})
    move(network, "poa2")
    return network


def awaiting_address_after_a_new_trigger() -> Chart:
    network = awaiting_address()
    network.trigger("poa1b")
    return network


def arrived() -> Chart:
    network = joined()
    move(network, "poa2")
    return network


def left() -> Chart:
    network = joined()
    for name in ("mn", "lmc1", "sm"):
        network.tell(name, ApplicationLeave())
    return network


def on_two_interfaces() -> Chart:
    network = joined(
        mn={"interfaces": [NodeInterface("mn-radio", POINTS[:2], "poa1"), NodeInterface(SECOND_INTERFACE, POINTS[2:])]}
    )
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(0.1)
    return network


def second_interface_awaiting_hic() -> Chart:
    network = joined(
        mn={"interfaces": [NodeInterface("mn-radio", POINTS[:2], "poa1"), NodeInterface(SECOND_INTERFACE, POINTS[2:])]}
    )
    network.nodes["lmc2"].join_time_s = 0.3
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(0.1)
    return network


def awaiting_authorisation() -> Chart:
    network = lab(sm={"sessions": [Session(SESSION, GROUP, 5004, ask_authorisation=True)]})
    network.start("mn")
    network.run_for(0.1)
    network.give("sm", message("SJR", ["mn_id", b"mn2".hex()]), STRANGER)
    return network


def lmc_joining() -> Chart:
    network = closed()
    network.lose("SJR", "SJR")
    network.start("lmc1", "lmc2")
    return network


SITUATIONS: dict[str, tuple[Callable[[], Chart], dict[str, str]]] = {
    "before the start": (closed, {"mn": "CLOSED", "lmc1": "CLOSED", "sm": "ESTABLISHED"}),
    "LMC joining": (lmc_joining, {"lmc1": "SJR-SENT"}),
    "joining": (joining, {"mn": "SJR-SENT"}),
    "joining locally": (joining_locally, {"mn": "LJR-SENT"}),
    "joining locally again": (joining_locally_again, {"mn": "LJR-SENT"}),
    "established": (joined, {"mn": "ESTABLISHED", "lmc1": "ESTABLISHED", "sm": "ESTABLISHED"}),
    "handing over": (handing_over, {"mn": "HIR-SENT"}),
    "promised": (promised, {"mn": "ESTABLISHED"}),
    "between links": (between_links, {"mn": "ESTABLISHED"}),
    "renewal unanswered": (renewal_unanswered, {"mn": "ESTABLISHED"}),
    "renewal unanswered, handing over": (renewal_unanswered_and_handing_over, {"mn": "HIR-SENT"}),
    "renewal unanswered, promised": (renewal_unanswered_and_promised, {"mn": "ESTABLISHED"}),
    "renewal unanswered, between links": (renewal_unanswered_between_links, {"mn": "ESTABLISHED"}),
    "renewal unanswered by the SM": (renewal_unanswered_by_the_sm, {"mn": "ESTABLISHED"}),
    "renewal unanswered by the SM, handing over": (renewal_unanswered_by_the_sm_and_handing_over, {"mn": "HIR-SENT"}),
    "awaiting an address": (awaiting_address, {"mn": "ESTABLISHED"}),
    "awaiting an address, triggered anew": (awaiting_address_after_a_new_trigger, {"mn": "ESTABLISHED"}),
    "arrived": (arrived, {"mn": "ESTABLISHED"}),
    "on two interfaces": (on_two_interfaces, {"mn": "ESTABLISHED"}),
    "on two interfaces, awaiting HIC": (second_interface_awaiting_hic, {"mn": "HIR-SENT"}),
    "awaiting authorisation": (awaiting_authorisation, {"mn": "SJR-SENT", "sm": "SJR-RCVD"}),
    "left": (left, {"mn": "CLOSED", "lmc1": "CLOSED", "sm": "CLOSED"}),
}
