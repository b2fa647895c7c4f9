"""OSPF's configuration: who looks for neighbours where, and whose routes are static then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testbed.net.model import Family, Lab, ModelError
from testbed.net.routes import routes
from testbed.routing import families
from testbed.routing.ospf import render_configuration
from tests.testbed.handover_model import handover_model
from tests.testbed.test_static_routes import diamond

ACCESS_ROUTER_4 = """\
service integrated-vtysh-config
log timestamp precision 6
router ospf
 ospf router-id 0.0.0.2
 timers throttle spf 0 50 500
 timers throttle lsa all 0
 timers lsa min-arrival 0
exit
interface ar1-rr
 ip ospf area 0.0.0.0
 ip ospf network point-to-point
 ip ospf hello-interval 1
 ip ospf dead-interval 4
exit
interface ar1-poa1
 ip ospf area 0.0.0.0
 ip ospf passive
exit
"""


def with_ospf(family: Family = 4) -> Lab:
    """The handover lab with OSPF."""
    return replace(handover_model(family), unicast="ospf")


def test_an_access_router() -> None:
    assert render_configuration(with_ospf(), "ar1") == ACCESS_ROUTER_4


def test_version_3_differs_in_words_and_has_no_throttle_of_its_own() -> None:
    translated = ACCESS_ROUTER_4.replace(" timers throttle lsa all 0\n", "")
    translated = translated.replace("ospf", "ospf6").replace(" ip ", " ipv6 ")
    assert render_configuration(with_ospf(6), "ar1") == translated


def test_where_more_than_two_routers_meet_a_designated_one_is_chosen() -> None:
    told = {part.split()[0]: part for part in render_configuration(diamond(), "b").split("interface ")[1:]}
    assert "point-to-point" in told["b-cell"], "b and d alone are routers there"
    three = replace(diamond(), nodes=tuple(replace(n, kind="router") if n.name == "h" else n for n in diamond().nodes))
    told = {part.split()[0]: part for part in render_configuration(three, "b").split("interface ")[1:]}
    assert "point-to-point" not in told["b-cell"]
    assert "hello-interval" in told["b-cell"]


def test_routers_have_no_static_routes_then_and_hosts_their_gateway_still() -> None:
    assert {route.node for route in routes(with_ospf())} == {"mcs", "sm", "lmc1", "lmc2", "mn"}


def test_what_it_needs_of_the_machine_whatever_routes_multicast() -> None:
    assert families.programs(with_ospf(6))[-1] == "ospf6d"
    assert families.programs(replace(with_ospf(), nodes=tuple(replace(n, daemon="") for n in with_ospf().nodes))) == (
        "zebra", "mgmtd", "ospfd",
    )  # fmt: skip


def test_other_ways_to_have_routes_are_refused() -> None:
    lab = replace(handover_model(), unicast="rip")  # type: ignore[arg-type]  # as a model's author may write
    with pytest.raises(ModelError, match="unicast routes by 'rip'; use static or ospf"):
        families.check(lab)
