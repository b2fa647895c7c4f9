"""FRR's configuration files, and what its routers are asked and waited for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from testbed.host.progress import Progress
from testbed.net.model import Family, Lab, Membership, ModelError, Node, Pim, Stream
from testbed.routing import families
from testbed.routing.frr import (
    FrrRouter,
    await_converged,
    render_interfaces,
    render_rendezvous_point,
    start,
)
from testbed.routing.group_state import GroupState
from testbed.routing.pim import neighbours_expected
from tests.testbed.handover_model import handover_model

if TYPE_CHECKING:
    from testbed.net.mininet_net import EmulatedNetwork

ACCESS_ROUTER_4 = """\
service integrated-vtysh-config
log timestamp precision 6
router pim
 keep-alive-timer 3
 join-prune-interval 2
 spt-switchover infinity-and-beyond
exit
interface ar1-rr
 ip pim
 ip pim hello 1
exit
interface ar1-poa1
 ip pim
 ip pim hello 1
 ip igmp
 ip igmp version 3
 ip igmp last-member-query-count 2
 ip igmp query-max-response-time 20
 ip igmp query-interval 10
 ip igmp last-member-query-interval 1
exit
"""


def test_an_access_router() -> None:
    assert render_interfaces(handover_model(4), "ar1") == ACCESS_ROUTER_4


def test_the_other_family_differs_in_words_only() -> None:
    translated = (
        ACCESS_ROUTER_4.replace("router pim", "router pim6")
        .replace(" ip ", " ipv6 ")
        .replace("igmp", "mld")
        .replace("version 3", "version 2")
    )
    assert render_interfaces(handover_model(6), "ar1") == translated


def test_timers_are_parameters() -> None:
    asked = Membership(
        igmp=2, query_interval_s=125, max_response_s=10.0, last_member_query_interval_s=1.0, robustness=3
    )
    lab = replace(handover_model(4), pim=Pim(hello_s=5, keep_alive_s=9, join_prune_s=60), membership=asked)
    text = render_interfaces(lab, "rr")
    for line in ("ip pim hello 5", "ip igmp query-interval 125", "ip igmp query-max-response-time 100",
                 "ip igmp last-member-query-interval 10", "keep-alive-timer 9",
                 "join-prune-interval 60", "ip igmp version 2", "last-member-query-count 3"):  # fmt: skip
        assert line in text
    # FRR refuses a query interval shorter than the response time in force.
    assert text.index("query-max-response-time") < text.index("query-interval")


@pytest.mark.parametrize(("family", "line"), [(4, " rp 10.0.10.1 224.0.0.0/4"), (6, " rp 2001:db8:10::1 ff00::/8")])
def test_rendezvous_point(family: Family, line: str) -> None:
    text = render_rendezvous_point(handover_model(family))
    assert text.splitlines() == ["router pim" + ("" if family == 4 else "6"), line, "exit"]


def test_neighbours_are_counted_for_each_subnet() -> None:
    lab = handover_model()
    assert {node.name: neighbours_expected(lab, node.name) for node in lab.routers()} == {"rr": 2, "ar1": 1, "ar2": 1}


LAB = handover_model()


@pytest.mark.parametrize(
    ("lab", "words"),
    [
        (replace(LAB, nodes=(*LAB.nodes[:5], Node("rr", "router"), *LAB.nodes[6:])), "no address of a router with PIM"),
        (replace(LAB, membership=Membership(max_response_s=0.25)), "whole tenths of a second"),
        (replace(LAB, rendezvous_point=""), "239.1.1.1 without a rendezvous point"),
        (replace(LAB, pim=Pim(hello_s=0)), "hello_s is 0; use 1 to 65535 s"),
        (replace(LAB, membership=Membership(query_interval_s=70000)), "query_interval_s is 70000"),
        (replace(LAB, nodes=(*LAB.nodes[:5], Node("rr", "router", "gated"))), "node rr: unknown daemon 'gated'"),
    ],
)
def test_what_routers_could_not_work_with_is_refused(lab: Lab, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        families.check(lab)


class Network:
    """What FRR is told and asked to wait for, of a network that has it all at once."""

    routing_root = Path()
    progress = Progress(quiet=True)

    def __init__(self, model: Lab) -> None:
        self.model = model
        self.awaited: list[str] = []

    def eventually(self, awaited: str, _probe: object, _deadline_s: float) -> None:
        self.awaited.append(awaited)


@pytest.mark.parametrize(
    ("point", "told", "ways"),
    [("", [], []), ("10.0.10.1", ["rr", "ar1", "ar2"], ["a way to the rendezvous point 10.0.10.1"])],
)
def test_a_lab_may_be_without_a_rendezvous_point(
    point: str, told: list[str], ways: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose groups are all source-specific: its routers are adjacent, and nothing more is waited for."""
    lab = LAB if point else replace(LAB, rendezvous_point="", streams=(Stream("232.1.1.1", "mcs"),))
    families.check(lab)
    learned: list[str] = []
    for name in ("launch", "await_listening", "configure"):
        monkeypatch.setattr(FrrRouter, name, lambda _router: None)
    monkeypatch.setattr(FrrRouter, "learn_rendezvous_point", lambda router: learned.append(router.node))
    network = Network(lab)
    routers = start(cast("EmulatedNetwork", network))
    assert set(routers) == {"rr", "ar1", "ar2"}
    await_converged(cast("EmulatedNetwork", network), routers)
    assert sorted(learned) == sorted(told)
    assert network.awaited == ["PIM adjacency of all routers", *ways]


def test_only_what_a_lab_uses_is_asked_of_the_machine() -> None:
    assert families.programs(handover_model(6)) == ("zebra", "mgmtd", "pim6d", "ipv6-multicast-routing")
    assert families.programs(replace(LAB, nodes=LAB.nodes[:5])) == ()


def test_cold_means_nothing_known_by_anyone() -> None:
    assert GroupState((), {}, {}, ()).cold
    assert str(GroupState((), {}, {}, ())) == "nothing known"
    for state in (
        GroupState(("ar1-poa1",), {}, {}, ()),
        GroupState((), {"*": ()}, {}, ()),
        GroupState((), {}, {"*": "J"}, ()),
        GroupState((), {}, {}, ("10.0.10.2",)),
    ):
        assert not state.cold
        assert str(state) != "nothing known"


def test_what_frr_does_otherwise_is_said() -> None:
    assert families.shortcomings(LAB) == []
    (told,) = families.shortcomings(replace(LAB, membership=Membership(robustness=3)))
    assert told.startswith("frr on rr, ar1, ar2: robustness 3 is how often it asks after a leave")
