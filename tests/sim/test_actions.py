"""Every action that a role can ask for is carried out by the simulator, and answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

import pytest

from agents.core.agent import (
    Action,
    AddressConfigured,
    ApplicationData,
    AskOperator,
    ClosePort,
    CloseStream,
    Commit,
    Committed,
    ConfigureAddress,
    Connect,
    DeliverData,
    End,
    Endpoint,
    GroupJoined,
    JoinGroup,
    LeaveGroup,
    Notify,
    OperatorAnswered,
    RenewMembership,
    SendDatagram,
    SendStream,
    StreamClosed,
    StreamOpened,
    Trace,
)
from testbed.sim.network import Network
from testbed.sim.node import Node
from tests.sim.roles import PORTS, Puppet, acts, puppet, puppets

GROUP = "239.1.1.1"
Course = Callable[[Network, Node, Node], Any]


class Told(Network):
    """It keeps what roles tell."""

    keeps_history = True


def does(*actions: Action, seconds: float = 1.0) -> Course:
    """One role asks for something, time passes, and what it hears is returned."""

    def course(network: Network, node: Node, _other: Node) -> Any:
        acts(network, node, *actions)
        network.run_for(seconds)
        return puppet(node).heard[2:]

    return course


def heard_by_the_other(*actions: Action) -> Course:
    def course(network: Network, node: Node, other: Node) -> Any:
        acts(network, node, *actions)
        network.run_for(1.0)
        return puppet(other).heard

    return course


def close_port(network: Network, node: Node, other: Node) -> Any:
    acts(network, node, SendDatagram(b"from an extra port", Endpoint("10.0.0.2", 7), "extra"))
    network.run_for(1.0)
    [(_, _, source)] = puppet(other).heard
    acts(network, other, SendDatagram(b"to it", source))
    network.run_for(1.0)
    acts(network, node, ClosePort("extra"))
    acts(network, other, SendDatagram(b"to nothing", source))
    network.run_for(1.0)
    return [heard[:2] for heard in puppet(node).heard if isinstance(heard, tuple)]


def stream(*last: Action) -> Course:
    """A stream is opened and used."""

    def course(network: Network, node: Node, other: Node) -> Any:
        acts(network, node, Connect("s", Endpoint("10.0.0.2", 9)))
        network.run_for(1.0)
        for action in last:
            acts(network, node, action)
            network.run_for(1.0)
        [opened] = puppet(other).opened()
        ended = [closed.reason for closed in puppet(other).closed()]
        return opened.port, b"".join(puppet(other).data(opened.stream)), ended

    return course


def membership(*actions: Action) -> Course:
    """What the other sends to the group, after it has joined, and has moved to another place."""

    def course(network: Network, node: Node, other: Node) -> Any:
        acts(network, node, JoinGroup(GROUP, "lan", port=5000, listen="group", renews_itself=True))
        network.run_for(1.0)
        network.lose_link(node)
        network.regain_link(node, "elsewhere")
        acts(network, node, *actions)
        acts(network, other, SendDatagram(b"data", Endpoint(GROUP, 5000)))
        network.run_for(1.0)
        return [heard for heard in puppet(node).heard if heard == ("group", b"data", Endpoint("10.0.0.2", 7))]

    return course


def told(kind: type[Action], action: Action) -> Course:
    def course(network: Network, node: Node, _other: Node) -> Any:
        acts(network, node, action)
        return [each for each in node.told or () if isinstance(each, kind)]

    return course


def end(network: Network, node: Node, other: Node) -> Any:
    node.agent.timers.set(("never",), 1.0)
    acts(network, node, SendDatagram(b"last words", Endpoint("10.0.0.2", 7)), End(3, "done"), Notify("never"))
    acts(network, other, SendDatagram(b"too late", Endpoint("10.0.0.1", 7)))
    network.run_for(2.0)
    network.tell(node, ApplicationData(b"too late"))
    return (
        node.ended,
        node.notices,
        len(puppet(node).heard),
        [heard[1] for heard in puppet(other).heard if type(heard) is tuple],
    )


RECEIVED = ("", b"hello", Endpoint("10.0.0.1", 7))
COURSES: dict[type[Action], tuple[Course, Any]] = {
    SendDatagram: (heard_by_the_other(SendDatagram(b"hello", Endpoint("10.0.0.2", 7))), [RECEIVED]),
    ClosePort: (close_port, [("extra", b"to it")]),
    Connect: (does(Connect("s", Endpoint("10.0.0.2", 9))), [StreamOpened("s", Endpoint("10.0.0.2", 9))]),
    SendStream: (stream(SendStream("s", b"hello "), SendStream("s", b"again")), ("listen", b"hello again", [])),
    CloseStream: (stream(SendStream("s", b"hello"), CloseStream("s")), ("listen", b"hello", [""])),
    JoinGroup: (does(JoinGroup(GROUP, "lan")), [GroupJoined(GROUP, "lan", succeeded=True)]),
    LeaveGroup: (membership(RenewMembership(GROUP, "lan"), LeaveGroup(GROUP, "lan")), []),
    RenewMembership: (membership(RenewMembership(GROUP, "lan")), [("group", b"data", Endpoint("10.0.0.2", 7))]),
    ConfigureAddress: (
        does(ConfigureAddress("lan", "10.0.9.9/24", "10.0.9.1")), [AddressConfigured("lan", "10.0.9.9/24")]
    ),
    Commit: (does(Commit(5, {"key": b"value"})), [Committed(5, succeeded=True)]),
    AskOperator: (
        does(AskOperator(5, ("may", "I"), 1.0)),
        [OperatorAnswered(5, granted=False, reason="nobody is there to answer n1 may I")],
    ),
    DeliverData: (told(DeliverData, DeliverData(b"data")), [DeliverData(b"data")]),
    Notify: (told(Notify, Notify("word")), [Notify("word")]),
    Trace: (told(Trace, Trace("line")), [Trace("line")]),
    End: (end, (3, [], 2, [b"last words"])),
}  # fmt: skip


def test_no_action_is_forgotten() -> None:
    assert set(COURSES) == set(get_args(Action)) == set(Network(1).ways)


@pytest.mark.parametrize("kind", COURSES, ids=lambda kind: kind.__name__)
def test_each_action_is_carried_out(kind: type[Action]) -> None:
    network = Told(1)
    node, other = (network.add(f"n{n}", Puppet(), f"10.0.0.{n}/24", PORTS, f"site{n}") for n in (1, 2))
    network.start(node)
    course, expected = COURSES[kind]
    assert course(network, node, other) == expected


def test_data_of_the_application_comes_to_the_role() -> None:
    network, [node, _] = puppets()
    network.tell(node, ApplicationData(b"data"))
    assert puppet(node).heard == [ApplicationData(b"data")]


def test_what_a_role_cannot_do_is_said_to_it() -> None:
    network, [node, _] = puppets()
    acts(network, node, JoinGroup(GROUP, "eth9"), Connect("s", Endpoint("10.9.9.9", 9)))
    network.run_for(30.0)
    assert puppet(node).heard[1:] == [
        GroupJoined(GROUP, "eth9", succeeded=False, reason="no such interface"),
        StreamClosed("s", "unreachable"),
    ]


def test_a_role_that_was_used_before_keeps_its_timers_and_actions() -> None:
    network = Network(1)
    role = Puppet()
    role.timers.set(("later",), 2.0)
    role.act(SendDatagram(b"early", Endpoint("10.0.0.2", 7)))
    other = network.add("other", Puppet(), "10.0.0.2", PORTS)
    network.add("used", role, "10.0.0.1", PORTS)
    network.run_for(3.0)
    assert role.heard == [("later",)]
    assert puppet(other).heard == [("", b"early", Endpoint("10.0.0.1", 7))]


class Drawing(Puppet):
    """It draws before all else."""

    def restore(self, entries: Mapping[str, bytes]) -> None:
        self.heard.append(self.random_bytes(16))


def test_what_roles_draw_follows_from_the_seed() -> None:
    def drawn(seed: int) -> list[bytes]:
        network = Network(seed)
        for number in (1, 2):
            network.add(str(number), Drawing(), f"10.0.0.{number}", PORTS)
        return [octets for node in network.nodes.values() for octets in puppet(node).heard]

    assert drawn(1) == drawn(1)
    assert len({*drawn(1), *drawn(2)}) == 4


def test_a_role_without_a_driver_has_no_randomness() -> None:
    with pytest.raises(RuntimeError, match="random_bytes"):
        Drawing().restore({})
