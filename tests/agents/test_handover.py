"""Handovers as they should go (X.604.1 clause 7.5)."""

from __future__ import annotations

from dataclasses import replace

from agents.mmcp.events import ApplicationLeave
from tests.agents.lab import (
    GROUP,
    GROUP_PORT,
    LMC1,
    LMC2,
    MN_ID,
    PORT,
    SM,
    TIMERS,
    count,
    joined,
    move,
    ordered,
    place,
    row,
    state,
    without_reports,
)


def test_complete_handover_in_order() -> None:  # M-14, M-31
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
        f"mn renews {GROUP}",
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
    assert row(network, "mn")["parent"] == str(LMC2)
    assert place(network) == b"poa2".hex()


def test_acknowledgement_waits_for_the_report_on_the_wire() -> None:
    network = joined()
    network.nodes["lmc2"].join_time_s = 0.2
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
    assert network.nodes["lmc1"].numbers == {}
    mark = network.mark()
    network.run_for(5)  # within hold: then an MN that has not moved comes back [M-28]
    assert not [line for line in network.lines(mark) if line.startswith("lmc1") and line.endswith("mn")]
    assert all(report.fields["params"] == [["membership", 0]] for report in network.packets("ASR")[2:]
               if report.sender == "lmc1" and report.time > 102.5)  # fmt: skip


def test_new_lmc_lingers_then_leaves_the_group() -> None:  # M-10
    network = joined()
    move(network, "poa2")
    [arrival] = network.times("lmc2 LJC+ mn")
    network.run_for(10)
    assert network.times(f"lmc2 leaves {GROUP}") == [round(arrival + TIMERS.linger_s, 6)]
    assert list(row(network, "lmc2")["members"]) == [MN_ID]
    assert row(network, "lmc2")["expected"] == {}
    assert count(network, "lmc2", "expired.hold") == 0


def test_new_lmc_gives_up_on_an_mn_that_does_not_come() -> None:  # M-9
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


def test_address_delay_comes_between_link_and_join() -> None:  # M-31
    network = joined(mn={"address_delay_s": 0.5})
    move(network, "poa2")
    network.run_for(1)
    [up] = network.times("mn link up")
    assert network.times("mn has 10.0.2.100/24 by 10.0.2.1") == [round(up + 0.501, 6)]
    assert network.times(f"mn renews {GROUP}") == [up, round(up + 0.501, 6)]
    assert network.times("mn LJR lmc2") == [round(up + 0.501, 6)]


def test_link_that_flaps_while_the_address_is_awaited_is_shown_the_membership_each_time() -> None:  # M-31
    network = joined(mn={"address_delay_s": 0.5})
    move(network, "poa2")
    network.link_down()
    network.link_up()
    network.run_for(1)
    *ups, last = network.times("mn link up")
    assert network.times(f"mn renews {GROUP}") == [*ups, last, round(last + 0.501, 6)]


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
        f"mn renews {GROUP}",
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
    assert row(network, "mn")["parent"] == str(SM)
    assert list(row(network, "lmc1")["members"]) == [MN_ID]  # found by monitoring, not by a refused handover


def test_point_that_the_mn_does_not_know_is_ignored() -> None:
    network = joined()
    network.trigger("elsewhere")
    network.trigger("poa2", interface="eth9")
    network.trigger("poa1")
    assert network.packets("HIR") == []
    assert count(network, "mn", "ignored.unknown-point-of-attachment") == 1
    assert count(network, "mn", "ignored.LinkDetected") == 1
    assert count(network, "mn", "ignored.already-attached") == 1


def test_address_of_the_host_is_needed_anew_whenever_the_link_comes() -> None:
    network = joined(mn={"addresses": "host"})
    mark = network.mark()
    network.link_down()
    network.run_for(0.05)
    network.link_up()
    network.run_for(0.1)
    assert without_reports(network.lines(mark)) == [
        "mn link down",
        "mn link up",
        f"mn renews {GROUP}",
        "mn has 10.0.1.100/24 by 10.0.1.1",
        f"mn renews {GROUP}",
    ]
