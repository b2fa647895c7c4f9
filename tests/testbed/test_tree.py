"""A group's forwarding tree, told from the kernels' routes."""

from __future__ import annotations

from testbed.routing.kernel_routes import KernelRoute
from testbed.routing.tree import ForwardingTree
from tests.testbed.handover_model import handover_model

GROUP, SOURCE = "239.1.1.1", "10.0.10.2"
FIRST = KernelRoute(GROUP, SOURCE, "rr-mcs", ("rr-ar1", "rr-ar2"), 20)


def route(source: str, incoming: str, *outgoing: str, packets: int = 7) -> KernelRoute:
    return KernelRoute(GROUP, source, incoming, outgoing, packets)


def tree(**routes: tuple[KernelRoute, ...]) -> ForwardingTree:
    members = {"cell poa1": ("mn",), "cell poa2": ("lmc2",)}
    return ForwardingTree(handover_model(), GROUP, routes, members)


def test_routers_stand_below_those_that_feed_them() -> None:
    told = tree(rr=(FIRST,), ar2=(route(SOURCE, "ar2-rr", "ar2-poa2"),), ar1=(route(SOURCE, "ar1-rr"),))
    assert str(told).splitlines() == [
        "239.1.1.1 from 10.0.10.2 (mcs)",
        "  rr: in rr-mcs, 20 packets",
        "    out rr-ar1 (link rr-ar1)",
        "      ar1: in ar1-rr, 7 packets, to nobody",
        "    out rr-ar2 (link rr-ar2)",
        "      ar2: in ar2-rr, 7 packets",
        "        out ar2-poa2 (cell poa2): members lmc2",
    ]


def test_packets_take_the_route_of_any_source_where_there_is_no_other() -> None:
    shared = route("*", "rr-mcs", "rr-sm", packets=0), FIRST
    told = str(tree(rr=shared, ar1=(route("*", "ar1-rr", "ar1-poa1", "ar1-rr"),)))
    assert "any source" not in told
    assert "rr-sm" not in told, "rr has a route of that source"
    assert told.splitlines()[3:5] == [
        "      ar1: in ar1-rr, 7 packets",
        "        out ar1-poa1 (cell poa1): members mn",
    ]


def test_what_no_router_feeds_is_told_as_that() -> None:
    lines = str(tree(rr=(route(SOURCE, "rr-mcs", "rr-ar1"),), ar2=(route(SOURCE, "ar2-rr", "ar2-poa2"),))).splitlines()
    assert lines[1:3] == ["  rr: in rr-mcs, 7 packets", "    out rr-ar1 (link rr-ar1)"]
    assert lines[3:5] == ["  fed by no router:", "    ar2: in ar2-rr, 7 packets"]


def test_only_interfaces_that_forwarded_something_carry() -> None:
    idle = route(SOURCE, "ar1-rr", "ar1-poa1", packets=0)
    assert tree(rr=(FIRST,), ar1=(idle,)).carrying == ("rr:rr-mcs", "rr:rr-ar1", "rr:rr-ar2")


def test_a_group_that_nobody_forwards() -> None:
    assert str(tree(rr=(), ar1=())) == "239.1.1.1: no router forwards it"
