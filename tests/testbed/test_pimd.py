"""pimd's configuration, what it says of itself, and what it cannot do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from testbed.net.model import Lab, Membership, ModelError, Pim, Stream
from testbed.routing import families
from testbed.routing.pim import PIMD, elects
from testbed.routing.pimd import Entry, read_dump, render_configuration
from tests.testbed.handover_model import handover_model

LAB = handover_model()
LAB = replace(LAB, nodes=tuple(replace(n, daemon=PIMD if n.kind == "router" else "") for n in LAB.nodes))

ACCESS_ROUTER = """\
hello-interval 5
igmp-query-interval 15
phyint ar1-rr enable igmpv3
phyint ar1-poa1 enable igmpv3
rp-address 10.0.10.1 224.0.0.0/4
spt-threshold infinity
"""


def test_an_access_router() -> None:
    assert render_configuration(LAB, "ar1") == ACCESS_ROUTER


def test_without_a_rendezvous_point_routers_elect_one_and_the_first_wins() -> None:
    lab = replace(LAB, rendezvous_point="")
    assert elects(lab)
    assert not elects(replace(lab, streams=(Stream("232.1.1.1", "mcs"),))), "a source-specific group needs none"
    assert not elects(handover_model())
    candidates = [render_configuration(lab, node).split("bsr-candidate ")[1].splitlines()[:2] for node in ("rr", "ar1")]
    assert candidates == [
        ["priority 255", "rp-candidate time 10 priority 0"],
        ["priority 254", "rp-candidate time 10 priority 1"],
    ]


def test_what_can_be_set_reaches_it() -> None:
    lab = replace(LAB, membership=Membership(igmp=2, query_interval_s=30, robustness=3), pim=Pim(hello_s=10))
    families.check(lab)
    text = render_configuration(lab, "ar1")
    for line in ("hello-interval 10", "igmp-query-interval 30", "phyint ar1-poa1 enable igmpv2"):
        assert line in text


@pytest.mark.parametrize(
    ("lab", "words"),
    [
        (replace(handover_model(6), nodes=LAB.nodes), "pimd has no IPv6; choose IPv4"),
        (replace(LAB, rendezvous_point="10.0.10.2"), "no address of a router with PIM"),
        (replace(LAB, pim=Pim(hello_s=7)), "a hello every 7 s; pimd moves in ticks of 5 s"),
        (replace(LAB, pim=Pim(join_prune_s=30)), "join_prune_s is 30; pimd has it built in"),
        (replace(LAB, membership=Membership(query_interval_s=5)), "a query every 5 s; pimd gives 10 s for the answers"),
        (replace(LAB, membership=Membership(query_interval_s=22)), "a query every 22 s; .* ticks every 5 s"),
        (replace(LAB, streams=(Stream("232.1.1.1", "mcs"),)), "source-specific group 232.1.1.1; pimd asks in IGMPv2"),
        (replace(LAB, membership=Membership(robustness=4)), "robustness is 4; pimd has 3 built in"),
    ],
)
def test_what_it_cannot_do_is_refused(lab: Lab, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        families.check(lab)


DUMP = """\
Virtual Interface Table ======================================================
Vif  Local Address    Subnet              Thresh  Flags      Neighbors
---  ---------------  ------------------  ------  ---------  -----------------
  0  10.0.101.2       10.0.101/24              1  DR PIM     10.0.101.1
                                                             10.0.101.3
  1  10.0.1.1         10.0.1/24                1  DR NO-NBR
  2  10.0.101.2       register_vif0            1

 Vif  SSM Group        Sources

Multicast Routing Table ======================================================
----------------------------------- (*,G) ------------------------------------
Source           Group            RP Address       Flags
---------------  ---------------  ---------------  ---------------------------
INADDR_ANY       239.1.1.1        10.0.10.1        WC RP CACHE
Joined   oifs: ...
Pruned   oifs: ...
Leaves   oifs: .l.
Asserted oifs: ...
Outgoing oifs: .o.
Incoming     : I..

TIMERS:  Entry    JP    RS  Assert VIFS:  0  1  2
             0    60     0       0        0  0  0
----------------------------------- (S,G) ------------------------------------
Source           Group            RP Address       Flags
---------------  ---------------  ---------------  ---------------------------
10.0.10.2        239.1.1.1        10.0.10.1        SG
Joined   oifs: ...
Pruned   oifs: ...
Leaves   oifs: ...
Asserted oifs: ...
Outgoing oifs: ...
Incoming     : I..

TIMERS:  Entry    JP    RS  Assert VIFS:  0  1  2
           210     0     0       0        0  0  0
--------------------------------- (*,*,G) ------------------------------------
Number of Groups: 1
Number of Cache MIRRORs: 1
------------------------------------------------------------------------------
"""


def test_neighbours_and_routes_are_read_from_what_it_says() -> None:
    dump = read_dump(DUMP, {0: "ar1-rr", 1: "ar1-poa1", 2: "pimreg"})
    assert dump.neighbours == 2
    assert dump.entries == [
        Entry("239.1.1.1", "*", members=("ar1-poa1",), outgoing=("ar1-poa1",)),
        Entry("239.1.1.1", "10.0.10.2"),
    ]
