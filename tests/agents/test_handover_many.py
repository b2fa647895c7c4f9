"""Several MNs at once, handovers without an LMC, strangers, and bounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agents.mmcp.timing import Timers
from tests.agents.lab import (
    GROUP,
    LMC2,
    MN_ID,
    POINTS,
    STRANGER,
    Chart,
    count,
    hit,
    joined,
    lab,
    message,
    mobile_node,
    move,
    row,
)


def two_mns() -> Chart:
    network = joined()
    points = [replace(point, address=point.address.replace(".100/", ".200/")) for point in POINTS]
    network.add("mn2", mobile_node(mn_id="mn2", points_of_attachment=points), "10.0.1.200")
    network.start("mn2")
    network.run_for(0.1)
    return network


def test_two_transfers_at_once_have_ports_of_their_own() -> None:  # M-16
    network = two_mns()
    network.nodes["lmc2"].join_time_s = 0.05
    network.trigger("poa2")
    network.run_for(0.01)
    network.trigger("poa2", "mn2")
    network.run_for(0.03)
    assert network.packets("HTA") == []  # the report is not on the wire yet, for neither
    network.run_for(0.1)
    first, second = network.packets("HCT")
    assert first.source != second.source
    assert {sent.destination for sent in network.packets("HTA")} == {first.source, second.source}
    assert {sent.receiver for sent in network.packets("HIC")} == {"mn", "mn2"}
    assert network.lines().count(f"lmc2 joins {GROUP}") == 1


def test_a_group_that_is_joined_already_is_acknowledged_at_once_and_left_with_the_last() -> None:
    network = two_mns()
    move(network, "poa2")
    network.trigger("poa2", "mn2")
    network.run_for(0.1)
    assert network.lines().count(f"lmc2 joins {GROUP}") == 1
    assert network.lines()[-2:] == ["lmc2 HTA+ lmc1", "lmc1 HIC+ mn2"]
    network.run_for(4)
    assert f"lmc2 leaves {GROUP}" not in network.lines()  # mn2 may still come
    network.run_for(5)
    assert network.lines().count(f"lmc2 leaves {GROUP}") == 1


def test_failed_join_refuses_all_who_wait_for_it() -> None:
    network = two_mns()
    network.nodes["lmc2"].joins_succeed = False
    network.trigger("poa2")
    network.trigger("poa2", "mn2")
    network.run_for(0.1)
    assert [sent.fields["f"] for sent in network.packets("HTA")] == [0, 0]
    assert [sent.fields["f"] for sent in network.packets("HIC")] == [0, 0]
    assert network.lines().count(f"lmc2 leaves {GROUP}") == 1


# --- handover without an LMC, and strangers ---------------------------------------------------------------------------


def test_hir_at_the_sm_names_the_lmc_of_the_new_point() -> None:  # M-15
    network = joined(mn={"attached_to": "nobodys"})
    mark = network.mark()
    move(network, "poa2")
    assert network.lines(mark)[1:3] == ["mn HIR sm", "sm HIC+ mn"]
    assert network.packets("HIC")[0].fields["params"] == [["lmc", *LMC2]]
    assert network.lines(mark)[-2:] == ["mn LJR lmc2", "lmc2 LJC+ mn"]
    assert row(network, "sm")["members"][MN_ID]["lmc"] == b"lmc2".hex()


@pytest.mark.parametrize(
    ("changes", "point"), [({}, "nobodys"), ({"with_lmcs": False}, "poa2")], ids=["nobody serves it", "LMC is absent"]
)
def test_hir_at_the_sm_is_refused_where_no_lmc_serves(changes: dict[str, Any], point: str) -> None:  # M-15
    network = joined(mn={"attached_to": "nobodys" if point == "poa2" else "poa1"}, **changes)
    network.give("sm", message("HIR", ["mn_id", MN_ID], ["poa_id", point.encode().hex()]), STRANGER)
    assert network.lines()[-1] == "sm HIC- nobody"
    assert count(network, "sm", "refused.handover") == 1


@pytest.mark.parametrize("name", ["sm", "lmc1"])
def test_hir_of_a_stranger_is_refused(name: str) -> None:  # M-19
    network = joined()
    network.give(name, message("HIR", ["mn_id", "77"], ["poa_id", b"poa2".hex()]), STRANGER)
    assert network.lines()[-1] == f"{name} HIC- nobody"
    assert network.packets("HCT") == []


def test_handovers_beyond_the_bound_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.mmcp.constants.HANDOVERS_MAXIMUM", 0)
    network = joined()
    network.trigger("poa2")
    network.run_for(0.1)
    assert network.lines()[-1] == "lmc1 HIC- mn"
    assert count(network, "lmc1", "refused.handover-full") == 1


def test_expected_mns_beyond_the_bound_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.mmcp.expected_nodes.EXPECTED_MAXIMUM", 0)
    network = joined()
    network.trigger("poa2")
    network.run_for(0.1)
    assert network.lines()[-2:] == ["lmc2 HTA- lmc1", "lmc1 HIC- mn"]
    assert count(network, "lmc2", "refused.expected-full") == 1


def test_shorter_timers_are_kept() -> None:
    network = joined(mn={"timers": Timers(hit_s=0.5, ctt_s=0.1)}, lmc={"timers": Timers(hit_s=0.5, ctt_s=0.1)})
    network.lose("HCT", "HCT", "HIC")
    network.trigger("poa2")
    network.run_for(3)
    assert hit(network) == [0.0, 0.5]
    times = [round(sent.time - network.packets("HCT")[0].time, 6) for sent in network.packets("HCT")]
    assert times == [0.0, 0.1, 0.2]


def test_lab_without_mn_is_quiet() -> None:
    network = lab()
    network.run_for(60)
    assert {sent.packet for sent in network.sent} == {"SJR", "SJC", "ASR"}
