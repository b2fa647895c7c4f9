"""Who gets what is sent to a group, and what a node's ports and interfaces do."""

from __future__ import annotations

import pytest

from agents.core.agent import ConfigureAddress, Connect, Endpoint, JoinGroup, LeaveGroup, RenewMembership, SendDatagram
from agents.core.room import Port
from testbed.sim.faults import Faults
from testbed.sim.network import Network
from testbed.sim.node import Node
from tests.sim.roles import Puppet, acts, puppet, puppets

GROUP = Endpoint("239.1.1.1", 5000)
NEIGHBOURS = Endpoint("224.0.0.22", 5000)


def join(
    group: Endpoint, interface: str = "lan", source: str | None = None, *, renews_itself: bool = False
) -> JoinGroup:
    return JoinGroup(group.address, interface, source, port=group.port, listen="group", renews_itself=renews_itself)


def sends(
    network: Network,
    node: Node,
    destination: Endpoint = GROUP,
    data: bytes = b"data",
    port: str = "",
    interface: str = "",
) -> None:
    acts(network, node, SendDatagram(data, destination, port, interface=interface))
    network.run_for(1.0)


def got(node: Node) -> int:
    return sum(isinstance(heard, tuple) and heard[0] == "group" for heard in puppet(node).heard)


def test_members_get_it_and_nobody_else() -> None:
    network, nodes = puppets(4)
    for node in nodes[1:3]:
        acts(network, node, join(GROUP))
    sends(network, nodes[0])
    sends(network, nodes[0], Endpoint(GROUP.address, 5001))
    assert [got(node) for node in nodes] == [0, 1, 1, 0]
    assert ("group", b"data", Endpoint("10.0.0.1", 7)) in puppet(nodes[1]).heard
    acts(network, nodes[1], LeaveGroup(GROUP.address, "lan"))
    sends(network, nodes[0])
    assert [got(node) for node in nodes] == [0, 1, 2, 0]
    acts(network, nodes[2], LeaveGroup(GROUP.address, "lan"))
    sends(network, nodes[0])
    assert [got(node) for node in nodes] == [0, 1, 2, 0]
    fates = network.fates
    assert fates["sent"] == fates["delivered"] + fates["no-receiver"] == 5


def test_who_leaves_or_dies_gets_nothing_more() -> None:
    network, [one, other] = puppets()
    acts(network, other, join(GROUP))
    acts(network, one, SendDatagram(b"under way", GROUP))
    acts(network, other, LeaveGroup(GROUP.address, "lan"))
    network.run_for(1.0)
    assert (got(other), network.fates["no-receiver"]) == (0, 1)
    acts(network, other, join(GROUP))
    network.replace(other, Puppet())
    sends(network, one)
    assert (got(other), network.fates["no-receiver"]) == (0, 2)


def test_a_member_that_sends_hears_itself() -> None:
    network, [node, _] = puppets()
    acts(network, node, join(GROUP))
    sends(network, node)
    assert got(node) == 1


def test_loss_is_each_receivers_own() -> None:
    network, nodes = puppets(4, Faults(loss=0.5))
    for node in nodes[1:]:
        acts(network, node, join(GROUP))
    for number in range(200):
        sends(network, nodes[0], data=number.to_bytes(2, "big"))
    received = [{heard[1] for heard in puppet(node).heard if isinstance(heard, tuple)} for node in nodes[1:]]
    assert all(60 < len(each) < 140 for each in received)
    assert len({frozenset(each) for each in received}) == 3
    assert network.fates["sent"] == 600 == network.fates["delivered"] + network.fates["lost"]


def test_a_source_specific_member_hears_its_source() -> None:
    network, nodes = puppets(3)
    acts(network, nodes[2], join(GROUP, source="10.0.0.1"))
    sends(network, nodes[0])
    sends(network, nodes[1])
    assert [heard[2].address for heard in puppet(nodes[2]).heard if isinstance(heard, tuple)] == ["10.0.0.1"]


def test_it_comes_where_the_membership_was_shown() -> None:
    network, nodes = puppets(3)
    sender, member, _ = nodes
    acts(network, member, join(GROUP, renews_itself=True))
    network.cut("site1", "site2")
    sends(network, sender)
    assert (got(member), network.fates["partitioned"]) == (0, 1)
    network.heal()
    network.lose_link(member)
    sends(network, sender)
    network.regain_link(member, "site9", "10.0.0.9")  # where its address does not fit
    acts(network, member, RenewMembership(GROUP.address, "lan"))
    sends(network, sender)
    assert got(member) == 0
    network.regain_link(member, "site9")
    sends(network, sender)
    assert got(member) == 0, "nobody there knows of it"
    acts(network, member, RenewMembership(GROUP.address, "lan"))
    sends(network, sender)
    assert got(member) == 1


def test_a_membership_that_its_role_does_not_renew_is_renewed() -> None:
    network, [sender, member] = puppets()
    acts(network, member, join(GROUP))
    network.lose_link(member)
    network.regain_link(member, "site9", "10.0.9.9")
    sends(network, sender)
    assert got(member) == 0, "its address does not fit there"
    acts(network, member, ConfigureAddress("lan", "10.0.9.9/24", "10.0.9.1"))
    network.run_for(1.0)
    sends(network, sender)
    assert got(member) == 1
    network.lose_link(member)
    network.regain_link(member, "site8")
    sends(network, sender)
    assert got(member) == 2


def test_what_is_for_the_link_stays_on_the_link() -> None:
    network, nodes = puppets(3)
    for node in nodes[1:]:
        acts(network, node, join(NEIGHBOURS))
    network.regain_link(nodes[1], "site1")
    sends(network, nodes[0], NEIGHBOURS)
    assert [got(node) for node in nodes] == [0, 1, 0]


def test_two_interfaces() -> None:
    network, [one, two] = puppets()
    network.add_interface(two, "second", "10.0.5.2/24", "site5")
    acts(network, one, SendDatagram(b"first", Endpoint("10.0.0.2", 7)), SendDatagram(b"other", Endpoint("10.0.5.2", 8)))
    network.run_for(1.0)
    assert puppet(two).heard == [("", b"first", Endpoint("10.0.0.1", 7)), ("second", b"other", Endpoint("10.0.0.1", 7))]
    network.add_interface(one, "third", "10.0.5.1/24", "site5")
    network.lose_link(two)
    sends(network, two, Endpoint("10.0.5.1", 7))  # by the subnet's own interface
    assert puppet(one).heard[-1] == ("", b"data", Endpoint("10.0.5.2", 7))
    sends(network, two, Endpoint("10.0.0.1", 7))  # by the default route, whose link is down
    assert network.fates["no-link"] == 1
    acts(network, one, join(GROUP, "third"))
    network.cut("site1", "site5")
    sends(network, two, interface="second")
    assert got(one) == 1


def test_raw_packets_and_all_systems() -> None:
    network, nodes = puppets(3)
    network.regain_link(nodes[1], "site1")
    sends(network, nodes[0], Endpoint("10.0.0.3", 0), port="raw")
    sends(network, nodes[0], Endpoint("224.0.0.1", 0), port="raw")
    heard = [[each for each in puppet(node).heard if isinstance(each, tuple)] for node in nodes[1:]]
    assert heard == [[("raw", b"data", Endpoint("10.0.0.1", 0))]] * 2


def test_a_raw_port_hears_the_groups_of_its_node() -> None:
    network, nodes = puppets(3)
    acts(network, nodes[1], JoinGroup(GROUP.address, "lan"))
    sends(network, nodes[0], Endpoint(GROUP.address, 0), port="raw")
    assert [heard for heard in puppet(nodes[1]).heard if isinstance(heard, tuple)] == [
        ("raw", b"data", Endpoint("10.0.0.1", 0))
    ]
    assert not any(isinstance(heard, tuple) for heard in puppet(nodes[2]).heard)


def test_listening_to_no_port_is_a_bug_of_the_role() -> None:
    network, [node, _] = puppets()
    with pytest.raises(ValueError, match=r"n1 listens as 'group' to 239\.1\.1\.1, but to which UDP port"):
        acts(network, node, JoinGroup(GROUP.address, "lan", listen="group"))


@pytest.mark.parametrize("name", ["second", "raw", "extra", "group"])
def test_listening_by_a_name_that_is_in_use_is_a_bug_of_the_role(name: str) -> None:
    network, [node, _] = puppets()
    acts(network, node, join(GROUP), SendDatagram(b"opens it", Endpoint("10.0.0.2", 7), "extra"))
    with pytest.raises(ValueError, match=rf"n1 listens as '{name}' to 239\.2\.2\.2, a name that is in use"):
        acts(network, node, JoinGroup("239.2.2.2", "lan", port=5000, listen=name))


def test_a_name_is_free_once_nobody_listens_by_it() -> None:
    network, [node, sender] = puppets()
    acts(network, node, join(GROUP), LeaveGroup(GROUP.address, "lan"), join(Endpoint("239.2.2.2", 5000)))
    acts(
        network, node, JoinGroup("239.3.3.3", "lan", port=5000, listen="listen")
    )  # a port for streams is another matter
    sends(network, sender, Endpoint("239.2.2.2", 5000))
    assert got(node) == 1


def test_ports_of_any_number_and_of_one_address() -> None:
    network = Network(1)
    plain = network.add("plain", Puppet(), "10.0.0.1", ())
    bound = network.add("bound", Puppet(), "10.0.0.2", (Port(number=7, address="10.0.5.2"), Port("any", kind="tcp")))
    network.add_interface(bound, "second", "10.0.5.2")
    sends(network, plain, Endpoint("10.0.0.2", 7))  # where it is not bound
    assert (puppet(bound).heard, network.fates["no-receiver"]) == ([], 1)
    sends(network, plain, Endpoint("10.0.5.2", 7))
    [(_, _, source)] = puppet(bound).heard
    assert source.address == "10.0.0.1"
    assert source.port > 0
    network.lose_link(bound)
    sends(network, plain, Endpoint("10.0.5.2", 7))
    assert len(puppet(bound).heard) == 2
    network.regain_link(bound, "")
    sends(network, bound, source)
    assert puppet(plain).heard[-1] == ("", b"data", Endpoint("10.0.5.2", 7))
    acts(network, plain, Connect("s", Endpoint("10.0.0.2", bound.port("any"))))
    network.run_for(1.0)
    assert puppet(bound).opened()[0].port == "any"


def test_an_empty_datagram_arrives() -> None:
    network, [one, two] = puppets()
    sends(network, one, Endpoint("10.0.0.2", 7), b"")
    assert puppet(two).heard == [("", b"", Endpoint("10.0.0.1", 7))]
