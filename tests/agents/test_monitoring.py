"""Probes and failures (clause 7.4, M-13), and memberships that survive what their parents forget (M-25 to M-28)."""

from __future__ import annotations

from agents.core.agent import Agent
from agents.mmcp.events import ApplicationLeave
from tests.agents.lab import (
    LMC1,
    MN_ID,
    SM,
    Chart,
    controller,
    count,
    joined,
    lab,
    row,
    session_manager,
    state,
)

SRT, SPT = 2.0, 6.0
LMC1_ID, LMC2_ID = b"lmc1".hex(), b"lmc2".hex()


def replace(network: Chart, name: str, agent: Agent, address: str) -> None:
    """The role dies and starts again with nothing in its memory."""
    network.add(name, agent, address)
    network.start(name)


def silence(network: Chart, name: str) -> None:
    """The role is there no more: it says nothing and hears nothing."""
    network.kill(name)


def test_reporting_mn_is_never_probed() -> None:
    network = joined()
    network.run_for(60)
    assert network.packets("USP") == []
    assert count(network, "lmc1", "failed.mn") == 0


def test_silent_mn_is_probed_three_times_and_has_failed_at_four_spt() -> None:  # M-13
    network = joined()
    network.run_for(SRT + 0.5)
    (heard,) = network.times("mn USR lmc1")
    silence(network, "mn")
    network.run_for(4 * SPT - 2)
    assert [round(time - heard, 1) for time in network.times("lmc1 USP nobody")] == [SPT, 2 * SPT, 3 * SPT]
    assert MN_ID in row(network, "lmc1")["members"]
    network.run_for(2)
    assert row(network, "lmc1")["members"] == {}
    assert network.notices("lmc1")[-1] == "mn-failed"
    network.run_for(SRT)
    assert (
        network.packets("ASR")[-1].fields["params"][0] == ["membership", 0]
        or row(network, "sm")["lmcs"][LMC1_ID]["members"] == 0
    )


def test_an_answer_clears_the_count() -> None:  # M-13
    network = joined()
    network.lose(*["USR"] * 5, *["LJR"] * 1)
    network.run_for(5 * SRT + SPT)
    assert count(network, "lmc1", "sent.USP") >= 1
    assert count(network, "lmc1", "failed.mn") == 0
    assert MN_ID in row(network, "lmc1")["members"]


def test_silent_lmc_fails_at_the_sm_and_its_mns_with_it() -> None:  # M-13
    network = joined()
    network.run_for(SRT + 0.5)
    silence(network, "lmc1")
    silence(network, "mn")
    network.run_for(5 * SPT)
    assert LMC1_ID not in row(network, "sm")["lmcs"]
    assert LMC2_ID in row(network, "sm")["lmcs"]
    assert row(network, "sm")["members"] == {}
    assert "lmc-failed" in network.notices("sm")


def test_silent_direct_mn_is_probed_by_the_sm() -> None:  # M-13
    network = joined(with_lmcs=False)
    network.run_for(SRT + 0.5)
    silence(network, "mn")
    network.run_for(4 * SPT)
    assert len(network.times("sm USP nobody")) == 3
    assert row(network, "sm")["members"] == {}
    assert network.notices("sm")[-1] == "mn-failed"


def test_lmc_that_restarts_has_its_mn_back_within_spt() -> None:  # M-25
    network = joined()
    network.run_for(SRT)
    replace(network, "lmc1", controller(1), LMC1.address)
    assert row(network, "lmc1")["members"] == {}
    network.run_for(SPT + 0.1)
    assert MN_ID in row(network, "lmc1")["members"]
    assert state(network) == "ESTABLISHED"
    assert network.packets("SJR")[-1].sender != "mn", "a renewal is enough"


def test_sm_that_restarts_has_lmcs_and_mns_back_within_spt_and_srt() -> None:  # M-25, M-26
    network = joined()
    network.run_for(SRT)
    replace(network, "sm", session_manager(), SM.address)
    assert row(network, "sm")["lmcs"] == {}
    network.run_for(SPT + SRT + 0.1)
    assert set(row(network, "sm")["lmcs"]) == {LMC1_ID, LMC2_ID}
    assert row(network, "sm")["members"][MN_ID]["lmc"] == LMC1_ID


def test_mn_gives_a_dead_lmc_up_and_comes_back_when_there_is_one() -> None:  # M-25, M-27
    network = joined()
    network.run_for(SRT)
    silence(network, "lmc1")
    network.run_for(4 * SPT + 5)
    assert count(network, "mn", "fallback") >= 1
    assert state(network) != "CLOSED"
    assert "left" not in network.notices("mn")
    replace(network, "lmc1", controller(1), LMC1.address)
    network.run_for(SPT + 5)
    assert state(network) == "ESTABLISHED"


def test_direct_mn_moves_to_an_lmc_that_has_come() -> None:
    network = lab(with_lmcs=False)
    network.start("mn")
    network.run_for(1.0)
    assert row(network, "sm")["members"][MN_ID]["lmc"] is None
    network.start("lmc1")
    network.run_for(SPT + 0.5)
    assert row(network, "sm")["members"][MN_ID]["lmc"] == LMC1_ID
    assert MN_ID in row(network, "lmc1")["members"]


def test_mn_that_does_not_move_after_all_belongs_to_its_place_again() -> None:  # M-28
    network = joined()
    network.trigger("poa2")
    network.run_for(0.5)
    assert row(network, "lmc1")["members"] == {}
    network.run_for(SPT + 0.5)
    assert MN_ID in row(network, "lmc1")["members"]
    assert state(network) == "ESTABLISHED"
    assert count(network, "mn", "fallback") == 1


def test_leave_ends_renewals_and_probes() -> None:  # M-26
    network = joined()
    network.tell("mn", ApplicationLeave())
    mark = network.mark()
    network.run_for(5 * SPT)
    assert not [line for line in network.lines(mark) if line.startswith("mn ")][2:]
    assert network.packets("USP") == []
    assert row(network, "sm")["members"] == {}, "what no LMC has reported for 4 SPT is gone"
