"""Handovers whose datagrams are lost, late or doubled, and joins that fail: resends, refusals, fall-backs."""

from __future__ import annotations

import pytest

from agents.core.agent import GroupJoined
from agents.mmcp.events import ApplicationLeave
from tests.agents.lab import (
    GROUP,
    MN_ID,
    SESSION,
    count,
    hit,
    joined,
    move,
    ordered,
    row,
    state,
    without_reports,
)


def test_lost_hic_is_asked_for_again_after_hit() -> None:
    network = joined()
    network.lose("HIC")
    network.trigger("poa2")
    network.run_for(1.5)
    assert hit(network) == [0.0, 1.0]
    assert len(network.packets("HCT")) == 1  # the old LMC has not forgotten what it said
    first, second = network.packets("HIC")
    assert first.data == second.data
    assert count(network, "lmc1", "duplicate.HIR") == 1
    assert state(network) == "ESTABLISHED"
    assert network.notices("mn")[-1] == "handover-prepared"


def test_hir_is_sent_three_times_and_then_the_mn_falls_back() -> None:  # M-8
    network = joined()
    network.lose("HIR", "HIR", "HIR", "HIR", "HIR")
    network.trigger("poa2")
    network.run_for(10)
    assert hit(network) == [0.0, 1.0, 2.0]
    assert count(network, "mn", "exhausted.HIR") == 1
    assert network.notices("mn")[-1] == "handover-not-prepared"
    assert state(network) == "ESTABLISHED"
    mark = network.mark()
    network.link_down()
    network.run_for(0.05)
    network.link_up()
    network.run_for(0.1)
    assert without_reports(network.lines(mark)) == [
        "mn link down",
        "mn link up",
        f"mn renews {GROUP}",
        "mn has 10.0.2.100/24 by 10.0.2.1",
        f"mn renews {GROUP}",
        "mn SJR sm",
        "sm SJC+ mn",
        "mn LJR lmc2",
        "lmc2 LJC+ mn",
    ]
    assert network.lines().count(f"mn joins {GROUP}") == 1


def test_link_that_goes_before_hic_means_a_new_session_join() -> None:  # M-14
    network = joined()
    network.nodes["lmc2"].join_time_s = 0.5
    mark = network.mark()
    move(network, "poa2", overlap=0.02)
    assert count(network, "mn", "interrupted.HIR") == 1
    assert ordered(network.lines(mark), "mn link up", f"mn renews {GROUP}", "mn SJR sm", "mn LJR lmc2", "lmc2 LJC+ mn")
    assert network.packets("SJR")[-1].fields["params"][1] == ["poa_id", b"poa2".hex()]
    network.run_for(3)
    assert count(network, "mn", "late.HIC") == 0  # it went to the old address
    assert row(network, "sm")["members"][MN_ID]["lmc"] == b"lmc2".hex()
    assert list(row(network, "lmc2")["members"]) == [MN_ID]


@pytest.mark.parametrize("lost", ["HCT", "HTA"])
def test_lost_transfer_is_resent_after_ctt_from_the_same_port(lost: str) -> None:
    network = joined()
    network.lose(lost)
    network.trigger("poa2")
    network.run_for(0.6)
    first, second = network.packets("HCT")
    assert round(second.time - first.time, 6) == 0.25
    assert (first.source, first.data) == (second.source, second.data)
    assert count(network, "lmc1", "resent.HCT") == 1
    assert network.lines().count(f"lmc2 joins {GROUP}") == 1
    assert network.notices("mn")[-1] == "handover-prepared"


def test_hct_is_sent_three_times_and_then_refused() -> None:  # M-8
    network = joined()
    network.lose("HCT", "HCT", "HCT", "HCT")
    network.trigger("poa2")
    network.run_for(0.9)
    times = [round(sent.time - network.packets("HCT")[0].time, 6) for sent in network.packets("HCT")]
    assert times == [0.0, 0.25, 0.5]
    [hic] = network.packets("HIC")
    assert hic.fields["f"] == 0
    assert round(hic.time - network.packets("HCT")[0].time, 6) == 0.75
    assert count(network, "lmc1", "exhausted.HCT") == 1
    assert list(row(network, "lmc1")["members"]) == [MN_ID]
    assert network.nodes["lmc1"].numbers == {}
    assert network.nodes["mn"].notices[-1].details["reason"] == "HIC with F = 0"


def test_duplicate_requests_have_no_second_effect() -> None:
    network = joined()
    network.repeat("HIR", "HCT")
    network.trigger("poa2")
    network.run_for(0.2)
    assert len(network.packets("HCT")) == 1
    assert len(network.packets("HIC")) == 1
    assert count(network, "lmc1", "duplicate.HIR") == 1
    assert count(network, "lmc2", "duplicate.HCT") == 1
    assert len(network.packets("HTA")) == 1  # both copies came while the join was under way: one port, one answer
    assert network.lines().count(f"lmc2 joins {GROUP}") == 1


def test_late_copies_are_answered_with_the_same_confirm() -> None:  # M-23
    network = joined()
    network.trigger("poa2")
    network.run_for(0.2)
    hir, hct = network.packets("HIR")[0], network.packets("HCT")[0]
    mark = network.mark()
    network.give("lmc1", hir.data, hir.source)
    network.give("lmc2", hct.data, hct.source)
    assert network.lines(mark) == ["lmc1 HIC+ mn", "lmc2 HTA+ lmc1"]
    assert network.packets("HIC")[0].data == network.packets("HIC")[1].data
    assert network.packets("HTA")[0].data == network.packets("HTA")[1].data
    network.run_for(0.1)
    assert row(network, "lmc1")["members"] == {}
    assert row(network, "lmc2")["expected"] == {MN_ID: True}
    assert count(network, "mn", "late.HIC") == 1


def test_confirm_is_remembered_for_four_default_hits() -> None:  # M-23
    network = joined()
    network.trigger("poa2")
    network.run_for(3.9)
    hir = network.packets("HIR")[0]
    network.give("lmc1", hir.data, hir.source)
    assert network.lines()[-1] == "lmc1 HIC+ mn"
    network.run_for(0.3)
    network.give("lmc1", hir.data, hir.source)
    assert network.lines()[-1] == "lmc1 HIC- mn"
    assert count(network, "lmc1", "refused.handover-unknown-mn") == 1


def test_late_copy_of_hct_does_not_prolong_the_lingering() -> None:
    network = joined()
    move(network, "poa2")
    hct = network.packets("HCT")[0]
    network.run_for(1)
    network.give("lmc2", hct.data, hct.source)
    network.run_for(2)
    assert network.times(f"lmc2 leaves {GROUP}") == [round(network.times("lmc2 LJC+ mn")[0] + 2.0, 6)]


def test_join_that_fails_is_passed_on_to_the_mn() -> None:
    network = joined()
    network.nodes["lmc2"].joins_succeed = False
    mark = network.mark()
    move(network, "poa2")
    assert ordered(
        network.lines(mark), "lmc1 HCT lmc2", f"lmc2 joins {GROUP}", "lmc2 HTA- lmc1", f"lmc2 leaves {GROUP}",
        "lmc1 HIC- mn", "mn link up", "mn SJR sm", "mn LJR lmc2",
    )  # fmt: skip
    assert count(network, "lmc2", "failed.join") == 1
    assert row(network, "lmc2")["expected"] == {}
    assert count(network, "mn", "fallback") == 1


def test_join_may_be_tried_again_after_a_failure() -> None:
    network = joined()
    network.nodes["lmc2"].joins_succeed = False
    network.trigger("poa2")
    network.run_for(0.1)
    network.nodes["lmc2"].joins_succeed = True
    network.trigger("poa2")
    network.run_for(0.1)
    assert network.notices("mn")[-2:] == ["handover-not-prepared", "handover-prepared"]


def test_membership_that_was_lost_is_asked_for_anew_by_the_next_context() -> None:
    network = joined()
    network.trigger("poa2")
    network.run_for(0.1)
    hct = network.packets("HCT")[0]
    network.tell("lmc2", GroupJoined(GROUP, "lan", succeeded=False, reason="gone"))
    assert row(network, "lmc2")["expected"] == {MN_ID: True}  # who was promised it is expected all the same
    network.nodes["lmc2"].joins_succeed = False
    mark = network.mark()
    network.give("lmc2", hct.data, hct.source)
    network.give("lmc2", hct.data, hct.source)
    network.run_for(0.1)
    assert network.lines(mark) == [f"lmc2 joins {GROUP}", "lmc2 HTA- lmc1", f"lmc2 leaves {GROUP}"]
    network.nodes["lmc2"].joins_succeed = True
    mark = network.mark()
    network.give("lmc2", hct.data, hct.source)
    network.run_for(0.1)
    assert network.lines(mark) == [f"lmc2 joins {GROUP}", "lmc2 HTA+ lmc1"]


def test_membership_that_is_back_serves_the_next_context_without_a_join() -> None:
    network = joined()
    network.trigger("poa2")
    network.run_for(0.1)
    hct = network.packets("HCT")[0]
    for succeeded in (False, True):
        network.tell("lmc2", GroupJoined(GROUP, "lan", succeeded))
    mark = network.mark()
    network.give("lmc2", hct.data, hct.source)
    network.run_for(0.1)
    assert network.lines(mark) == ["lmc2 HTA+ lmc1"]


def test_lmc_outside_its_session_refuses_the_context() -> None:
    network = joined()
    network.tell("lmc2", ApplicationLeave())
    network.trigger("poa2")
    network.run_for(0.1)
    assert network.lines()[-2:] == ["lmc2 HTA- lmc1", "lmc1 HIC- mn"]
    assert count(network, "lmc2", "refused.session-not-established") == 1
    assert not any("lmc2 joins" in line for line in network.lines())


def test_new_lmc_that_refuses_the_local_join_means_a_new_session_join() -> None:  # M-14
    network = joined()
    network.trigger("poa2")
    network.run_for(0.1)
    network.tell("lmc2", ApplicationLeave())
    mark = network.mark()
    network.link_down()
    network.link_up()
    network.run_for(0.1)
    assert ordered(network.lines(mark), "mn LJR lmc2", "lmc2 LJC- mn", "mn SJR sm")
    assert count(network, "mn", "fallback") == 1


def test_local_join_without_answer_after_a_handover_means_a_new_session_join() -> None:  # M-22
    network = joined()
    network.trigger("poa2")
    network.run_for(0.1)
    network.lose("LJR")
    mark = network.mark()
    network.link_down()
    network.link_up()
    network.run_for(3)
    asked = network.times("mn LJR lmc2 (lost)")[0]
    assert network.times("mn SJR sm")[-1] == round(asked + 2.0, 6)
    assert ordered(network.lines(mark), "mn LJR lmc2 (lost)", "mn SJR sm", "mn LJR lmc2", "lmc2 LJC+ mn")
    assert network.nodes["mn"].notices[-2].details == {"session_id": SESSION, "reason": "not accepted within JWT"}
