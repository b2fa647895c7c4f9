"""Who has gone, and who is told of it: an LMC that leaves, an MN its LMC has no more, a group that is another [7.3, 7.4]."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agents.mmcp import constants as c
from agents.mmcp.configuration import Session
from agents.mmcp.events import ApplicationLeave
from tests.agents.lab import (
    GROUP,
    LMC1,
    LMC2,
    MN_AT_POA1,
    MN_ID,
    SESSION,
    SM,
    STRANGER,
    TIMERS,
    Chart,
    count,
    joined,
    lab,
    message,
    move,
    row,
    session_manager,
    state,
)

LMC1_NAME = b"lmc1".hex()
ANOTHER_GROUP = ["multicast", "239.2.2.2", 5004]
SPT, SRT = TIMERS.probe_time, TIMERS.srt_s
FORGOTTEN_AFTER = TIMERS.hold_time + SPT


# --- an LMC leaves [M-11] ---------------------------------------------------------------------------------------------


def test_lmc_that_leaves_tells_the_sm_and_is_assigned_no_more() -> None:  # M-11
    network = joined()
    mark = network.mark()
    network.tell("lmc1", ApplicationLeave())
    network.run_for(0.1)
    assert network.lines(mark) == ["lmc1 ULR sm", "sm ULC+ lmc1"]
    assert network.packets("ULR")[-1].fields["params"] == [["mn_id", LMC1_NAME]]
    assert LMC1_NAME not in row(network, "sm")["lmcs"]
    assert network.notices("sm")[-1] == "lmc-left"
    assert count(network, "lmc1", "confirmed.leave") == 1
    network.run_for(2 * SPT)
    assert (state(network), row(network, "mn")["parent"]) == ("ESTABLISHED", str(SM))  # it found out at its renewal


def test_lmc_whose_leave_is_lost_says_so_again_to_who_asks_for_it() -> None:  # M-11
    network = joined()
    network.lose("ULR")
    network.tell("lmc1", ApplicationLeave())
    network.run_for(TIMERS.jwt_s)
    assert LMC1_NAME in row(network, "sm")["lmcs"]
    mark = network.mark()
    for _ in range(3):
        network.give("lmc1", message("LJR", ["mn_id", "aa"]), STRANGER)
    network.run_for(0.1)
    assert [line for line in network.lines(mark) if "UL" in line] == ["lmc1 ULR sm", "sm ULC+ lmc1"]
    assert LMC1_NAME not in row(network, "sm")["lmcs"]
    assert count(network, "lmc1", "resent.ULR") == 1, "once in JWT"


def test_lmc_whose_leave_is_lost_says_so_again_to_a_probe() -> None:  # M-11
    network = lab()
    network.lose("ULR")
    network.tell("lmc1", ApplicationLeave())
    network.run_for(SPT + SRT)
    assert (network.notices("sm")[-1], count(network, "lmc1", "resent.ULR")) == ("lmc-left", 1)


def test_lmc_whose_leaves_are_all_lost_is_given_up_for_its_silence() -> None:
    network = lab()
    network.lose(*["ULR"] * 4)
    network.tell("lmc1", ApplicationLeave())
    network.run_for(4 * SPT + SRT)
    assert "lmc-failed" in network.notices("sm")
    assert count(network, "lmc1", "dropped.session-not-established") == 3


def test_lmc_that_joins_again_has_not_left() -> None:
    network = joined()
    network.lose("ULR")
    network.tell("lmc1", ApplicationLeave())
    network.lose("SJR")
    network.start("lmc1")
    network.run_for(TIMERS.jwt_s)
    network.give("lmc1", message("USP"), SM)
    assert count(network, "lmc1", "resent.ULR") == 0


def test_lmc_that_is_not_answered_yet_does_not_answer_probes() -> None:
    network = lab(with_lmcs=False)
    network.lose("SJR")
    network.start("lmc1")
    network.give("lmc1", message("USP"), SM)
    assert network.packets("ASR") == []
    assert count(network, "lmc1", "dropped.session-not-established") == 1


def test_leave_that_only_names_an_lmc_is_somebody_elses() -> None:
    network = joined()
    for source in (STRANGER, LMC2):
        network.give("sm", message("ULR", ["mn_id", LMC1_NAME]), source)
    assert LMC1_NAME in row(network, "sm")["lmcs"]
    assert count(network, "sm", "leave.unknown-mn") == 2
    for _ in range(2):
        network.give("sm", message("ULR", ["mn_id", LMC1_NAME]), LMC1)
    assert count(network, "sm", "leave.unknown-lmc") == 1


def test_lmc_that_the_sm_has_sent_away_does_not_say_so() -> None:
    network = joined()
    mark = network.mark()
    network.give("lmc1", message("SJC"), SM)
    assert (network.lines(mark), state(network, "lmc1")) == ([], "CLOSED")


# --- an MN that its LMC has no more [M-26] ----------------------------------------------------------------------------


def reported(network: Chart, *members: str, counted: int | None = None) -> None:
    """lmc1 reports these MNs to the SM."""
    names = [["mn_id", member] for member in members]
    network.give("sm", message("ASR", ["membership", len(members) if counted is None else counted], *names), LMC1)


def sm_alone() -> Chart:
    """An SM whose LMC says what the test says."""
    network = lab()
    network.kill("lmc1")
    network.run_for(SRT)
    reported(network, "aa", "bb")
    network.run_for(SRT)
    assert set(row(network, "sm")["members"]) == {"aa", "bb"}
    return network


def test_mn_that_left_its_lmc_is_gone_from_the_sm_and_not_called_failed() -> None:  # M-26
    network = joined(lmc={"asr_on_leave": True})
    network.run_for(SRT + 0.1)
    network.tell("mn", ApplicationLeave())
    network.run_for(FORGOTTEN_AFTER + 2 * SRT)
    assert row(network, "sm")["members"] == {}
    assert network.notices("sm")[-1] == "mn-unreported"
    assert "mn-failed" not in network.notices("sm")
    assert (count(network, "sm", "unreported.mn"), count(network, "sm", "failed.mn")) == (1, 0)


def test_member_missing_among_all_that_its_lmc_counts_is_forgotten_and_no_other() -> None:
    network = sm_alone()
    for _ in range(round(FORGOTTEN_AFTER / SRT) + 1):
        assert set(row(network, "sm")["members"]) == {"aa", "bb"}
        reported(network, "bb")
        network.run_for(SRT)
    assert set(row(network, "sm")["members"]) == {"bb"}


def test_reports_that_do_not_name_all_that_they_count_make_nobody_forgotten() -> None:
    network = sm_alone()
    reported(network, "aa", "bb", "cc")
    for _ in range(round(FORGOTTEN_AFTER / SRT) + 2):
        network.run_for(SRT)
        reported(network, "bb", counted=2)  # the other datagram of the row is lost
    assert set(row(network, "sm")["members"]) == {"aa", "bb", "cc"}
    network.run_for(4 * SPT)  # but it is not kept forever
    assert row(network, "sm")["members"] == {}
    assert "mn-failed" not in network.notices("sm")


def test_rows_of_several_datagrams_are_taken_as_one() -> None:
    network = sm_alone()
    reported(network, "aa", "bb", "cc")
    for _ in range(round(FORGOTTEN_AFTER / SRT) + 2):
        network.run_for(SRT)
        reported(network, "bb", counted=2)
        reported(network, "cc", counted=2)
    assert set(row(network, "sm")["members"]) == {"bb", "cc"}


def test_member_that_was_handed_over_is_not_forgotten_before_its_new_lmc_reports_it() -> None:
    network = joined()
    network.run_for(SRT)
    network.trigger("poa2")
    network.run_for(0.1)
    network.link_down()
    network.run_for(TIMERS.hold_time - 0.5)
    network.link_up()
    network.run_for(SRT + 0.5)
    assert row(network, "sm")["members"][MN_ID]["lmc"] == b"lmc2".hex()
    assert "mn-unreported" not in network.notices("sm")
    assert count(network, "sm", "report.adopted-mn") == 0


def test_members_of_each_lmc_are_those_that_say_so() -> None:
    network = joined()
    record: Any = network.nodes["sm"].agent._sessions[SESSION]  # type: ignore[attr-defined]  # no public name

    def members_of() -> dict[bytes, set[bytes]]:
        return {name: members for name, members in record.members_of.items() if members}

    mn = bytes.fromhex(MN_ID)
    assert members_of() == {b"lmc1": {mn}}
    network.give("sm", message("HIR", ["mn_id", MN_ID], ["poa_id", b"poa2".hex()]), MN_AT_POA1)
    assert members_of() == {b"lmc2": {mn}}
    network.give("sm", message("ASR", ["membership", 1], ["mn_id", MN_ID]), LMC1)
    assert members_of() == {b"lmc1": {mn}}
    network.give("sm", message("USR", ["mn_id", MN_ID]), MN_AT_POA1)
    assert members_of() == {}
    network.give("sm", message("SJR", ["mn_id", MN_ID], ["poa_id", b"poa2".hex()]), MN_AT_POA1)
    assert members_of() == {b"lmc2": {mn}}
    network.give("sm", message("ULR", ["mn_id", MN_ID]), MN_AT_POA1)
    assert members_of() == {}
    network.give("sm", message("ASR", ["membership", 1], ["mn_id", MN_ID]), LMC1)
    network.kill("lmc1")
    network.kill("mn")
    network.run_for(5 * SPT)
    assert (record.members, members_of()) == ({}, {})


# --- the confirm of a finished handover [M-23] ------------------------------------------------------------------------


@pytest.mark.parametrize("hit_s", [c.HANDOVER_INITIATION_TIME, 5.0])
def test_resent_hir_gets_the_same_confirm_however_long_hit_is(hit_s: float) -> None:  # M-23
    timers = replace(TIMERS, hit_s=hit_s)
    network = joined(lmc={"timers": timers}, mn={"timers": timers})
    network.lose("HIC", "HIC")
    network.trigger("poa2")
    network.run_for(2 * hit_s + 0.1)
    assert [sent.fields["f"] for sent in network.packets("HIC")] == [1, 1, 1]
    assert count(network, "lmc1", "duplicate.HIR") == 2


# --- another group [M-25] ---------------------------------------------------------------------------------------------


def another(network: Chart, *, source: str | None = None) -> None:
    """The SM has been started again with another group, and lmc2 hears of it at its renewal."""
    group = "239.2.2.2" if source is None else "232.2.2.2"
    network.add("sm", session_manager(sessions=[Session(SESSION, group, 5004, source)]), SM.address)
    network.start("sm")
    network.run_for(SPT + 0.1)


def test_lmc_joins_for_whom_it_expects_the_group_that_the_sm_names_now() -> None:  # M-25
    network = joined(lmc={"timers": replace(TIMERS, hold_s=60.0)}, mn={"timers": replace(TIMERS, hold_s=60.0)})
    network.trigger("poa2")
    network.run_for(0.1)
    network.link_down()
    mark = network.mark()
    another(network)
    lines = [line for line in network.lines(mark) if line.startswith("lmc2 ") and GROUP[:4] in line]
    assert lines == ["lmc2 joins 239.2.2.2", f"lmc2 leaves {GROUP}"]
    assert network.notices("lmc2")[-1] == "group-changed"
    network.give("lmc2", message("HCT", ["mn_id", "77"], ANOTHER_GROUP), LMC1)
    assert network.lines()[-1] == "lmc2 HTA+ lmc1"  # it is joined already


def test_mn_behind_an_lmc_hears_of_the_new_group_within_two_renewals() -> None:  # M-25
    network = joined()
    mark = network.mark()
    another(network)
    network.run_for(SPT)
    lines = [line for line in network.lines(mark) if line.startswith("mn ") and "239." in line]
    assert lines == [f"mn leaves {GROUP}", "mn joins 239.2.2.2"]
    assert (state(network), row(network, "mn")["parent"]) == ("ESTABLISHED", str(LMC1))
    assert count(network, "lmc1", "refused.old-group") == 1
    mark = network.mark()
    network.run_for(2 * SPT)
    assert [line for line in network.lines(mark) if "LJC-" in line] == [], "once is enough"


def test_refusal_of_the_old_group_that_is_lost_is_said_again() -> None:  # M-25
    network = joined()
    network.lose("LJC")
    another(network)
    network.run_for(SPT + 0.1)
    assert [sent.fields["f"] for sent in network.packets("LJC")] == [1, 0, 0, 1]
    assert "mn joins 239.2.2.2" in network.lines()
    assert network.notices("lmc1").count("mn-attached") == 1


def test_mn_that_moves_with_the_old_group_has_the_new_one_there() -> None:  # M-25
    network = joined()
    network.give("lmc1", message("SJC", ANOTHER_GROUP, f=1), SM)
    network.add("sm", session_manager(sessions=[Session(SESSION, "239.2.2.2", 5004)]), SM.address)
    network.start("sm")
    network.give("sm", message("SJR", ["mn_id", b"lmc2".hex()], ["lmc", LMC2.address, LMC2.port]), LMC2)
    mark = network.mark()
    move(network, "poa2")
    network.run_for(0.5)
    assert "lmc1 HIC- mn" in network.lines(mark)
    assert "mn joins 239.2.2.2" in network.lines(mark)
    assert row(network, "mn")["parent"] == str(LMC2)


def test_mn_handed_over_before_the_group_changes_is_sent_to_the_sm() -> None:  # M-25
    network = joined()
    network.trigger("poa2")
    network.run_for(0.1)
    network.give("lmc2", message("SJC", ANOTHER_GROUP, f=1), SM)
    mn_id = next(iter(row(network, "lmc2")["expected"]))
    for answer in (0, 1):  # refused once
        network.give("lmc2", message("LJR", ["mn_id", mn_id]), STRANGER)
        network.run_for(0.1)
        assert network.packets("LJC")[-1].fields["f"] == answer


def test_lmc_that_hands_over_names_the_group_that_the_sm_names_now() -> None:
    network = joined()
    another(network)
    network.run_for(SPT + 0.1)
    move(network, "poa2")
    assert network.packets("HCT")[-1].fields["params"][1] == ANOTHER_GROUP
    assert network.packets("HTA")[-1].fields["f"] == 1


def test_whoever_waits_for_the_join_is_told_of_the_new_groups() -> None:
    network = joined()
    network.nodes["lmc2"].join_time_s = 0.3
    network.trigger("poa2")
    network.run_for(0.01)
    network.give("lmc2", message("SJC", ANOTHER_GROUP, f=1), SM)
    network.lose("HCT", "HCT")  # who has asked before is not to ask again
    network.run_for(0.2)
    assert network.packets("HTA") == []
    network.run_for(0.2)
    assert {sent.fields["f"] for sent in network.packets("HTA")} == {1}
    assert network.nodes["lmc2"].agent.describe()["groups"] == ["239.2.2.2"]


def test_new_group_whose_source_is_not_provisioned_is_not_joined() -> None:
    network = joined()
    network.nodes["lmc2"].join_time_s = 0.3
    network.trigger("poa2")
    network.run_for(0.01)
    network.give("lmc2", message("SJC", ["multicast", "232.2.2.2", 5004], f=1), SM)
    assert network.lines()[-2:] == ["lmc2 HTA- lmc1", f"lmc2 leaves {GROUP}"]
    assert network.nodes["lmc2"].agent.describe()["groups"] == []
    assert count(network, "lmc2", "refused.no-source") == 1
