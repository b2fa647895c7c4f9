"""Static multicast routes made of a lab's model: who forwards what to where, who asks for it, and what cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testbed.net.model import (
    Attachment,
    End,
    Family,
    Lab,
    Link,
    Membership,
    ModelError,
    Node,
    Pim,
    PointOfAttachment,
    Stream,
)
from testbed.net.shapes import Shape
from testbed.routing import families
from testbed.routing.frr import render_interfaces
from testbed.routing.smcroute import render_configuration
from testbed.routing.static_trees import SMCROUTE, asked_by_static_routers, static_routes
from tests.testbed.handover_model import handover_model


def routed(lab: Lab, **daemons: str) -> Lab:
    """The lab with other daemons on some of its routers."""
    nodes = (replace(node, daemon=daemons.get(node.name, node.daemon)) for node in lab.nodes)
    return replace(lab, nodes=tuple(nodes))


def static(family: Family = 4) -> Lab:
    """The handover lab with static routers alone."""
    lab = replace(handover_model(family), rendezvous_point="")
    return routed(lab, rr=SMCROUTE, ar1=SMCROUTE, ar2=SMCROUTE)


@pytest.mark.parametrize(
    ("family", "source", "group"), [(4, "10.0.10.2", "239.1.1.1"), (6, "2001:db8:10::2", "ff1e::1")]
)
def test_configuration_of_a_static_router(family: Family, source: str, group: str) -> None:
    assert render_configuration(static(family), "rr").splitlines() == [
        *(f"phyint {interface} enable" for interface in ("rr-mcs", "rr-sm", "rr-ar1", "rr-ar2")),
        f"mroute from rr-mcs source {source} group {group} to rr-sm rr-ar1 rr-ar2",
    ]


def test_static_routers_among_each_other_need_no_join() -> None:
    lab = static()
    assert [route.joins for node in ("rr", "ar1", "ar2") for route in static_routes(lab, node)] == [False] * 3
    assert asked_by_static_routers(lab, "rr") == ()


def test_a_static_router_asks_a_pim_router_as_a_host_would() -> None:
    lab = routed(handover_model(), ar1=SMCROUTE)
    families.check(lab)
    assert "mgroup from ar1-rr group 239.1.1.1\nmroute from ar1-rr" in render_configuration(lab, "ar1")
    assert asked_by_static_routers(lab, "rr") == ("rr-ar1",)
    asked = [
        part.splitlines()[0] for part in render_interfaces(lab, "rr").split("interface ")[1:] if " ip igmp\n" in part
    ]
    assert asked == ["rr-mcs", "rr-sm", "rr-ar1"], "no query towards a router that speaks PIM"


def test_of_a_source_specific_group_it_asks_for_the_source() -> None:
    lab = replace(routed(handover_model(), ar1=SMCROUTE), streams=(Stream("232.1.1.1", "mcs"),))
    assert "mgroup from ar1-rr source 10.0.10.2 group 232.1.1.1\n" in render_configuration(lab, "ar1")


def diamond() -> Lab:
    """Two ways of different length from the source to a cell with two routers: s - a - b - cell, s - a - c - d - cell."""
    return Lab(
        "diamond",
        4,
        nodes=(Node("s"), *(Node(name, "router", SMCROUTE) for name in "abcde"), Node("h")),
        points_of_attachment=(PointOfAttachment("cell"),),
        links=tuple(
            Link(End(one, f"{one}-{two}", f"10.0.{number}.1/24"), End(two, f"{two}-{one}", f"10.0.{number}.2/24"))
            for number, (one, two) in enumerate((("s", "a"), ("a", "b"), ("a", "c"), ("c", "d"), ("d", "e")), start=1)
        ),
        attachments=tuple(
            Attachment(End(node, f"{node}-cell", f"10.0.9.{host}/24"), "cell")
            for host, node in enumerate(("b", "d", "h"), start=1)
        ),
        streams=(Stream("239.1.1.1", "s"),),
    )


def test_only_the_nearest_router_forwards_to_a_link_and_nobody_where_nobody_is() -> None:
    ways = {node: [(route.incoming, route.outgoing) for route in static_routes(diamond(), node)] for node in "abcde"}
    assert ways == {"a": [("a-s", ("a-b",))], "b": [("b-a", ("b-cell",))], "c": [], "d": [], "e": []}


def test_each_address_of_an_origin_has_its_routes() -> None:
    lab = diamond()
    second = Link(End("s", "s-c", "10.0.20.1/24"), End("c", "c-s", "10.0.20.2/24"))
    lab = replace(lab, links=(*lab.links, second))
    found = {node: {route.source: route.outgoing for route in static_routes(lab, node)} for node in "abcde"}
    there, here = "10.0.1.1", "10.0.20.1"
    assert found == {
        "a": {there: ("a-b",)},
        "b": {there: ("b-cell",)},
        "c": {here: ("c-d",)},
        "d": {here: ("d-cell",)},
        "e": {},
    }


@pytest.mark.parametrize(
    ("lab", "words"),
    [
        (replace(static(), streams=()), "no stream to route; give the lab its streams"),
        (replace(static(), streams=(Stream("239.1.1.1", "mn"),)), "from mn: its origin moves"),
        (
            replace(routed(static(), ar1="frr"), rendezvous_point="10.0.1.1"),
            "node rr, .*: ar1 below it has frr, which a static router does not hear",
        ),
        (routed(static(), rr=""), "node ar1, .*: it would come from rr, which routes no multicast; give rr a daemon"),
    ],
)
def test_what_static_routes_cannot_do_is_refused(lab: Lab, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        families.check(lab)


def test_what_routers_cannot_give_is_said_with_their_names() -> None:
    assert families.shortcomings(handover_model()) == []
    told = families.shortcomings(routed(handover_model(), ar1=SMCROUTE))
    assert all(line.startswith("smcroute on ar1: ") for line in told)
    assert len(told) == 2


def test_settings_that_change_nothing_are_said() -> None:
    usual = families.shortcomings(static())
    for lab in (replace(static(), membership=Membership(query_interval_s=30)), replace(static(), pim=Pim(hello_s=5))):
        families.check(lab)
        (told,) = set(families.shortcomings(lab)) - set(usual)
        assert "changes nothing" in told
        assert not any("changes nothing" in line for line in families.shortcomings(routed(lab, rr="frr"))), "rr asks"


def test_more_interfaces_than_a_kernel_routes_between_are_refused() -> None:
    def star(hosts: int) -> Lab:
        shape = Shape(4)
        shape.router("r")
        for number in range(hosts):
            shape.host(f"h{number}", "r")
        return shape.lab("star", [Stream("239.1.1.1", "h0")])

    families.check(star(31))
    with pytest.raises(ModelError, match="node r: 32 interfaces; a kernel routes multicast between 31 at most"):
        families.check(star(32))
