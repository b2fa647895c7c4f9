"""Unicast routes computed from a model."""

from __future__ import annotations

from ipaddress import ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.net.model import End, Family, Lab, Link, ModelError, Node
from testbed.net.routes import Route, gateway, routes
from testbed.net.validation import validate
from tests.testbed.handover_model import handover_model


def of(lab: Lab, node: str) -> set[tuple[str, str, str]]:
    return {(route.destination, route.via, route.interface) for route in routes(lab) if route.node == node}


def test_hosts_have_one_default_route_each() -> None:
    lab = handover_model()
    assert of(lab, "mcs") == {("0.0.0.0/0", "10.0.10.1", "mcs-rr")}
    assert of(lab, "lmc2") == {("0.0.0.0/0", "10.0.2.1", "lmc2-poa2")}
    assert of(lab, "mn") == {("0.0.0.0/0", "10.0.1.1", "mn-radio")}


def test_a_mobile_nodes_default_route_follows_it() -> None:
    found = [route for route in routes(handover_model(), {"mn": "poa2"}) if route.node == "mn"]
    assert found == [Route("mn", "0.0.0.0/0", "10.0.2.1", "mn-radio")]


@pytest.mark.parametrize("family", [4, 6])
def test_routers_have_a_route_to_every_other_subnet(family: Family) -> None:
    lab = handover_model(family)
    for router in lab.routers():
        own = {str(s.network) for s in lab.subnets() if any(end.node == router.name for end in s.ends)}
        assert {route.destination for route in routes(lab) if route.node == router.name} | own == {
            str(subnet.network) for subnet in lab.subnets()
        }


def test_routers_go_by_the_shortest_path() -> None:
    lab = handover_model()
    assert of(lab, "ar1") == {
        (destination, "10.0.101.1", "ar1-rr")
        for destination in ("10.0.10.0/24", "10.0.20.0/24", "10.0.102.0/24", "10.0.2.0/24")
    }
    assert ("10.0.2.0/24", "10.0.102.2", "rr-ar2") in of(lab, "rr")


def test_gateway_of_a_cell() -> None:
    assert gateway(handover_model(6), "poa2") == "2001:db8:2::1"
    with pytest.raises(ModelError, match="poa9"):
        gateway(handover_model(), "poa9")


@st.composite
def router_trees(draw: st.DrawFn) -> Lab:
    """Routers joined by random links (connected), up to eight of them."""
    count = draw(st.integers(2, 8))
    pairs = {(draw(st.integers(0, index - 1)), index) for index in range(1, count)}
    pairs |= draw(
        st.sets(st.tuples(st.integers(0, count - 2), st.integers(1, count - 1)).filter(lambda p: p[0] < p[1]))
    )
    links = tuple(
        Link(End(f"r{a}", f"to{b}", f"10.1.{index}.1/24"), End(f"r{b}", f"to{a}", f"10.1.{index}.2/24"))
        for index, (a, b) in enumerate(sorted(pairs))
    )
    nodes = tuple(Node(f"r{index}", "router") for index in range(count))
    return Lab("net", 4, nodes, links=links)


@given(router_trees())
def test_following_the_routes_always_arrives(lab: Lab) -> None:
    validate(lab)
    table = {(route.node, route.destination): route for route in routes(lab)}
    owner = {str(ip_interface(end.address).ip): end.node for link in lab.links for end in (link.first, link.second)}
    for subnet in lab.subnets():
        at_home = {end.node for end in subnet.ends}
        for start in (node.name for node in lab.nodes):
            here, hops = start, 0
            while here not in at_home:
                here = owner[table[here, str(subnet.network)].via]
                hops += 1
                assert hops <= len(lab.nodes), f"a loop from {start} to {ip_network(subnet.network)}"
