"""Handovers as they should go, and every way in which they do not (X.604.1 clause 7.5)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from agents.core.agent import ApplicationLeave, Endpoint
from agents.mmcp.configuration import Timers
from tests.agents.lab import (
    GROUP,
    GROUP_PORT,
    LMC1,
    LMC2,
    MN_ID,
    POINTS,
    SM,
    STRANGER,
    TIMERS,
    count,
    joined,
    lab,
    message,
    mobile_node,
    move,
    row,
    state,
)
from tests.agents.network import PORT, Network


def without_reports(lines: list[str]) -> list[str]:
    return [line for line in lines if " USR " not in line and " ASR " not in line]


def ordered(lines: list[str], *wanted: str) -> bool:
    """Whether ``wanted`` happened in this order, other things between them."""
    rest = iter(lines)
    return all(line in rest for line in wanted)


def hit(network: Network) -> list[float]:
    times = [sent.time for sent in network.packets("HIR")]
    return [round(time - times[0], 6) for time in times]


def test_complete_handover_in_order() -> None:
    network = joined()
    mark = network.mark()
    move(network, "poa2")
    assert network.lines(mark) == [
        "mn detects poa2",
        "mn HIR lmc1",
        "lmc1 HCT lmc2",
        f"lmc2 joins {GROUP}",
        "lmc2 HTA+ lmc1",
        "lmc1 HIC+ mn",
        "mn link down",
        "mn link up",
        "mn has 10.0.2.100/24 by 10.0.2.1",
        f"mn renews {GROUP}",
        "mn LJR lmc2",
        "lmc2 LJC+ mn",
    ]
    hir, hct, hic = (network.packets(name)[0] for name in ("HIR", "HCT", "HIC"))
    assert hir.fields["params"] == [["mn_id", MN_ID], ["poa_id", b"poa2".hex()]]
    assert hct.fields["params"] == [["mn_id", MN_ID], ["multicast", GROUP, GROUP_PORT]]
    assert hic.fields["params"] == [["lmc", *LMC2]]
    assert hct.source.port != PORT
    assert network.packets("HTA")[0].destination == hct.source
    assert state(network) == "ESTABLISHED"
    assert network.notices("mn") == ["established", "handover-prepared", "established"]
    assert network.nodes["mn"].agent.describe()["parent"] == str(LMC2)
    assert network.nodes["mn"].agent.describe()["attached_to"] == b"poa2".hex()


def test_acknowledgement_waits_for_the_report_on_the_wire() -> None:
    network = joined()
    network.nodes["lmc2"].join_delay = 0.2
    mark = network.mark()
    network.trigger("poa2")
    network.run_for(0.19)
    assert network.packets("HTA") == []
    assert row(network, "lmc2")["expected"] == {MN_ID: None}
    network.run_for(0.1)
    assert network.lines(mark)[-2:] == ["lmc2 HTA+ lmc1", "lmc1 HIC+ mn"]
    assert row(network, "lmc2")["expected"] == {MN_ID: True}


def test_old_lmc_forgets_the_mn_only_with_the_confirm() -> None:
    network = joined()
    network.trigger("poa2")
    network.run_for(0.005)
    assert list(row(network, "lmc1")["members"]) == [MN_ID]
    assert row(network, "lmc1")["handovers"] == {MN_ID: "HCT-SENT"}
    network.run_for(0.1)
    assert row(network, "lmc1")["members"] == {}
    assert row(network, "lmc1")["handovers"] == {}
    assert network.nodes["lmc1"].channels == {}
    mark = network.mark()
    network.run_for(10)
    assert not [line for line in network.lines(mark) if line.startswith("lmc1") and line.endswith("mn")]
    assert all(report.fields["params"] == [["membership", 0]] for report in network.packets("ASR")[2:]
               if report.sender == "lmc1" and report.time > 102.5)  # fmt: skip


def test_new_lmc_lingers_then_leaves_the_group() -> None:
    network = joined()
    move(network, "poa2")
    [arrival] = network.times("lmc2 LJC+ mn")
    network.run_for(10)
    assert network.times(f"lmc2 leaves {GROUP}") == [round(arrival + TIMERS.linger_s, 6)]
    assert list(row(network, "lmc2")["members"]) == [MN_ID]
    assert row(network, "lmc2")["expected"] == {}
    assert count(network, "lmc2", "expired.hold") == 0


def test_new_lmc_gives_up_on_an_mn_that_does_not_come() -> None:
    network = joined(lmc={"timers": replace(TIMERS, hold_s=3.0)})
    network.trigger("poa2")
    network.run_for(0.1)
    [expected] = network.times(f"lmc2 joins {GROUP}")
    network.run_for(20)
    assert network.times(f"lmc2 leaves {GROUP}") == [round(expected + 3.0, 6)]
    assert count(network, "lmc2", "expired.hold") == 1
    assert network.nodes["lmc2"].agent.describe()["groups"] == []


def test_mn_that_leaves_at_once_ends_the_lingering() -> None:
    network = joined()
    move(network, "poa2")
    mark = network.mark()
    network.tell("mn", ApplicationLeave())
    network.run_for(0.1)
    assert ordered(network.lines(mark), "mn ULR lmc2", f"lmc2 leaves {GROUP}", "lmc2 ULC+ mn")
    network.run_for(10)
    assert len(network.times(f"lmc2 leaves {GROUP}")) == 1


def test_address_delay_comes_between_link_and_join() -> None:
    network = joined(mn={"address_delay_s": 0.5})
    move(network, "poa2")
    network.run_for(1)
    [up] = network.times("mn link up")
    assert network.times("mn has 10.0.2.100/24 by 10.0.2.1") == [round(up + 0.501, 6)]
    assert network.times(f"mn renews {GROUP}") == [round(up + 0.501, 6)]


def test_there_and_back_again() -> None:
    network = joined()
    move(network, "poa2")
    network.run_for(5)
    mark = network.mark()
    move(network, "poa1")
    assert without_reports(network.lines(mark))[1:6] == [
        "mn HIR lmc2", "lmc2 HCT lmc1", f"lmc1 joins {GROUP}", "lmc1 HTA+ lmc2", "lmc2 HIC+ mn"
    ]  # fmt: skip
    assert network.lines(mark)[-1] == "lmc1 LJC+ mn"
    assert list(row(network, "lmc1")["members"]) == [MN_ID]
    assert count(network, "mn", "fallback") == 0


def test_return_within_the_lingering_is_awaited_for_the_whole_hold() -> None:
    network = joined(lmc={"timers": replace(TIMERS, linger_s=2.0, hold_s=5.0)})
    move(network, "poa2")
    move(network, "poa1")
    mark = network.mark()
    network.trigger("poa2")  # lmc2 still lingers
    network.run_for(4)
    assert f"lmc2 leaves {GROUP}" not in network.lines(mark)
    assert row(network, "lmc2")["expected"] == {MN_ID: True}
    network.run_for(2)
    assert network.lines(mark).count(f"lmc2 leaves {GROUP}") == 1


def test_same_subnet_is_confirmed_without_transfer() -> None:
    network = joined()
    mark = network.mark()
    move(network, "poa1b")
    assert network.lines(mark) == [
        "mn detects poa1b",
        "mn HIR lmc1",
        "lmc1 HIC+ mn",
        "mn link down",
        "mn link up",
        "mn has 10.0.1.101/24 by 10.0.1.1",
        f"mn renews {GROUP}",
    ]
    assert network.packets("HIC")[0].fields["params"] == [["lmc", *LMC1]]
    assert list(row(network, "lmc1")["members"]) == [MN_ID]
    assert state(network) == "ESTABLISHED"
    network.run_for(5)
    assert len(network.packets("USR")) == 2


def test_mn_that_is_promised_its_own_lmc_goes_on_reporting() -> None:
    network = joined()
    network.trigger("poa1b")
    network.run_for(4.5)
    assert len(network.packets("USR")) == 2


def test_unknown_point_of_attachment_is_refused_and_the_mn_falls_back() -> None:
    network = joined()
    mark = network.mark()
    move(network, "nobodys")
    assert network.lines(mark)[1:3] == ["mn HIR lmc1", "lmc1 HIC- mn"]
    assert network.packets("HIC")[0].fields["params"] == []
    assert network.lines(mark)[-2:] == ["mn SJR sm", "sm SJC+ mn"]
    assert network.packets("SJR")[-1].fields["params"][1] == ["poa_id", b"nobodys".hex()]
    assert count(network, "lmc1", "refused.handover-unknown-poa") == 1
    assert network.nodes["mn"].agent.describe()["parent"] == str(SM)
    assert list(row(network, "lmc1")["members"]) == [MN_ID]  # found by monitoring, not by a refused handover


def test_point_that_the_mn_does_not_know_is_ignored() -> None:
    network = joined()
    network.trigger("elsewhere")
    network.trigger("poa2", interface="eth9")
    network.trigger("poa1")
    assert network.packets("HIR") == []
    assert count(network, "mn", "ignored.unknown-point-of-attachment") == 2
    assert count(network, "mn", "ignored.already-attached") == 1


# --- datagrams that are lost, late or doubled -------------------------------------------------------------------------


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


def test_hir_is_sent_three_times_and_then_the_mn_falls_back() -> None:
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
        "mn has 10.0.2.100/24 by 10.0.2.1",
        f"mn renews {GROUP}",
        "mn SJR sm",
        "sm SJC+ mn",
        "mn LJR lmc2",
        "lmc2 LJC+ mn",
    ]
    assert network.lines().count(f"mn joins {GROUP}") == 1


def test_link_that_goes_before_hic_means_a_new_session_join() -> None:
    network = joined()
    network.nodes["lmc2"].join_delay = 0.5
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


def test_hct_is_sent_three_times_and_then_refused() -> None:
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
    assert network.nodes["lmc1"].channels == {}
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


def test_late_copies_are_answered_with_the_same_confirm() -> None:
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


def test_confirm_is_remembered_for_four_default_hits() -> None:
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


def test_lmc_outside_its_session_refuses_the_context() -> None:
    network = joined()
    network.tell("lmc2", ApplicationLeave())
    network.trigger("poa2")
    network.run_for(0.1)
    assert network.lines()[-2:] == ["lmc2 HTA- lmc1", "lmc1 HIC- mn"]
    assert count(network, "lmc2", "refused.session-not-established") == 1
    assert not any("lmc2 joins" in line for line in network.lines())


def test_new_lmc_that_refuses_the_local_join_means_a_new_session_join() -> None:
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


def test_local_join_without_answer_after_a_handover_means_a_new_session_join() -> None:
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
    assert network.nodes["mn"].notices[-2].details == {"reason": "no LJC within JWT"}


# --- an MN that changes its mind --------------------------------------------------------------------------------------


def test_another_trigger_replaces_the_first() -> None:
    network = joined()
    network.nodes["lmc2"].join_delay = 0.2
    network.trigger("poa2")
    network.run_for(0.05)
    mark = network.mark()
    network.trigger("poa1b")
    network.run_for(0.5)
    assert network.lines(mark) == ["mn detects poa1b", "mn HIR lmc1", "lmc1 HIC+ mn", "lmc2 HTA+ lmc1"]
    assert row(network, "lmc1")["handovers"] == {}
    assert list(row(network, "lmc1")["members"]) == [MN_ID]
    assert count(network, "lmc1", "dropped.unmatched-HTA") == 0  # its port is closed


def test_repeated_trigger_sends_nothing() -> None:
    network = joined()
    for _ in range(3):
        network.trigger("poa2")
    network.run_for(0.1)
    network.trigger("poa2")
    network.run_for(0.1)
    assert len(network.packets("HIR")) == 1
    assert count(network, "mn", "duplicate.link-trigger") == 3


def test_promise_for_one_point_is_not_used_at_another() -> None:
    network = joined()
    network.trigger("poa2")
    network.run_for(0.1)
    network.link_down()
    network.trigger("nobodys")
    mark = network.mark()
    network.link_up()
    network.run_for(0.1)
    assert ordered(network.lines(mark), "mn has 10.0.9.100/24 by 10.0.9.1", "mn SJR sm")
    assert "mn LJR lmc2" not in network.lines()


def test_trigger_while_the_address_is_awaited_waits_too() -> None:
    network = joined(mn={"address_delay_s": 0.3})
    move(network, "poa2")
    network.trigger("poa1")  # back already, before the address at poa2 has come
    network.run_for(1)
    assert len(network.packets("HIR")) == 1
    assert network.nodes["mn"].agent.describe()["attached_to"] == b"poa2".hex()
    assert network.nodes["mn"].agent.describe()["parent"] == str(LMC2)
    network.link_down()
    network.run_for(0.05)
    network.link_up()
    network.run_for(1)
    assert network.nodes["mn"].agent.describe()["parent"] == str(LMC1)
    assert network.nodes["mn"].address == "10.0.1.100"


def test_link_that_goes_while_the_address_is_awaited() -> None:
    network = joined(mn={"address_delay_s": 0.3})
    move(network, "poa2")
    network.link_down()
    network.run_for(1)
    assert network.nodes["mn"].address == "10.0.1.100"
    mark = network.mark()
    network.link_up()
    network.run_for(0.5)
    assert ordered(network.lines(mark), "mn has 10.0.2.100/24 by 10.0.2.1", "mn LJR lmc2", "lmc2 LJC+ mn")


def test_address_of_a_link_that_has_gone_is_no_arrival() -> None:
    network = joined()
    network.trigger("poa2")
    network.run_for(0.1)
    network.link_down()
    network.link_up()
    network.run_for(0)  # the address at poa2 is asked for and not there yet
    network.trigger("poa1b")
    network.link_down()
    network.link_up()
    mark = network.mark()
    network.run_for(0.1)
    assert [line for line in network.lines(mark) if " has " in line or "SJR" in line] == [
        "mn has 10.0.2.100/24 by 10.0.2.1",
        "mn has 10.0.1.101/24 by 10.0.1.1",
        "mn SJR sm",
    ]
    assert count(network, "mn", "ignored.AddressConfigured") == 1


def test_link_that_comes_back_at_the_same_place() -> None:
    network = joined()
    mark = network.mark()
    network.link_down()
    network.link_down()
    network.run_for(2.5)
    network.link_up()
    network.link_up()
    network.run_for(0.1)
    assert [line for line in network.lines(mark) if line.startswith("mn ")] == [
        "mn link down", "mn link down", "mn link up", f"mn renews {GROUP}", "mn USR lmc1", "mn link up"
    ]  # fmt: skip


def test_mn_that_has_left_moves_without_a_word() -> None:
    network = joined()
    network.tell("mn", ApplicationLeave())
    mark = network.mark()
    move(network, "poa2")
    talk = [line for line in network.lines(mark) if re.search(r"[SLH][JI]R|renews", line)]
    assert talk == []
    assert network.nodes["mn"].address == "10.0.2.100"


def test_mn_that_is_back_before_it_left_ends_the_transfer() -> None:
    network = joined()
    network.nodes["lmc2"].join_delay = 0.2
    network.trigger("poa2")
    network.run_for(0.05)
    network.give("lmc1", message("LJR", ["mn_id", MN_ID]), Endpoint("10.0.1.100", PORT))
    assert row(network, "lmc1")["handovers"] == {}
    network.run_for(0.5)
    assert list(row(network, "lmc1")["members"]) == [MN_ID]


def test_mn_that_leaves_during_the_transfer_ends_it() -> None:
    network = joined()
    network.nodes["lmc2"].join_delay = 0.2
    network.trigger("poa2")
    network.run_for(0.05)
    network.tell("mn", ApplicationLeave())
    network.run_for(1)
    assert row(network, "lmc1")["handovers"] == row(network, "lmc1")["members"] == {}
    assert network.packets("HIC") == []
    assert len(network.packets("HCT")) == 1
    assert network.nodes["lmc1"].channels == {}


def test_lmc_that_ends_stops_its_transfers_and_joins() -> None:
    network = joined()
    network.nodes["lmc2"].join_delay = 0.2
    network.trigger("poa2")
    network.run_for(0.05)
    network.tell("lmc1", ApplicationLeave())
    network.tell("lmc2", ApplicationLeave())
    assert network.lines()[-1] == f"lmc2 leaves {GROUP}"
    assert network.nodes["lmc1"].channels == {}
    network.run_for(1)
    assert network.nodes["lmc1"].agent.next_deadline() is None


# --- several MNs ------------------------------------------------------------------------------------------------------


def two_mns() -> Network:
    network = joined()
    points = [replace(point, address=point.address.replace(".100/", ".200/")) for point in POINTS]
    network.add("mn2", mobile_node(mn_id="mn2", points_of_attachment=points), "10.0.1.200")
    network.start("mn2")
    network.run_for(0.1)
    return network


def test_two_transfers_at_once_have_ports_of_their_own() -> None:
    network = two_mns()
    network.nodes["lmc2"].join_delay = 0.05
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


def test_hir_at_the_sm_names_the_lmc_of_the_new_point() -> None:
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
def test_hir_at_the_sm_is_refused_where_no_lmc_serves(changes: dict[str, Any], point: str) -> None:
    network = joined(mn={"attached_to": "nobodys" if point == "poa2" else "poa1"}, **changes)
    network.give("sm", message("HIR", ["mn_id", MN_ID], ["poa_id", point.encode().hex()]), STRANGER)
    assert network.lines()[-1] == "sm HIC- nobody"
    assert count(network, "sm", "refused.handover") == 1


@pytest.mark.parametrize("name", ["sm", "lmc1"])
def test_hir_of_a_stranger_is_refused(name: str) -> None:
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
    monkeypatch.setattr("agents.mmcp.constants.EXPECTED_MAXIMUM", 0)
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
