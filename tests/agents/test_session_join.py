"""Session join and leave (X.604.1 clauses 7.2 and 7.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from agents.core.agent import Action, GroupJoined, Notify, SendDatagram, Trace
from agents.mmcp.configuration import Controller, NodeInterface, PointOfAttachment, Session, WantedSession
from agents.mmcp.events import ApplicationLeave
from agents.mmcp.timing import Timers
from tests.agents.lab import (
    GROUP,
    GROUP_PORT,
    LMC1,
    MN_ID,
    POINTS,
    PORT,
    SM,
    STRANGER,
    TIMERS,
    Chart,
    controller,
    count,
    joined,
    lab,
    message,
    mobile_node,
    row,
    session_manager,
    state,
)


def test_join_with_lmc() -> None:
    network = lab()
    mark = network.mark()
    network.start("mn")
    network.run_for(0.1)
    assert network.lines(mark) == ["mn SJR sm", "sm SJC+ mn", "mn LJR lmc1", "lmc1 LJC+ mn", f"mn joins {GROUP}"]
    assert state(network) == "ESTABLISHED"
    assert network.packets("SJR")[-1].fields["params"] == [["mn_id", MN_ID], ["poa_id", b"poa1".hex()]]
    assert network.packets("SJC")[-1].fields["params"] == [["multicast", GROUP, GROUP_PORT], ["lmc", *LMC1]]
    assert network.packets("LJR")[-1].fields["params"] == [["mn_id", MN_ID]]
    assert network.notices("mn") == ["established"]
    assert row(network, "mn")["joined_on"] == ["mn-radio"]
    assert count(network, "mn", "joined.group") == 1
    assert list(row(network, "lmc1")["members"]) == [MN_ID]
    assert row(network, "sm")["members"][MN_ID]["lmc"] == b"lmc1".hex()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"with_lmcs": False}, "the LMC is provisioned but has not announced itself"),
        ({"mn": {"attached_to": "nobodys"}}, "no LMC serves the point of attachment"),
        ({"sm": {"controllers": []}}, "there are no LMCs"),
    ],
)
def test_join_without_lmc(changes: dict[str, Any], why: str) -> None:  # M-18
    network = lab(**changes)
    mark = network.mark()
    network.start("mn")
    network.run_for(0.1)
    assert network.lines(mark) == ["mn SJR sm", "sm SJC+ mn", f"mn joins {GROUP}"], why
    assert network.packets("SJC")[-1].fields["params"] == [["multicast", GROUP, GROUP_PORT]]
    assert row(network, "mn")["parent"] == str(SM)
    assert row(network, "sm")["members"][MN_ID]["lmc"] is None
    assert network.nodes["sm"].notices[-1].details["lmc"] == ""


def test_source_specific_session_is_joined_with_its_source() -> None:  # M-6
    group = "232.1.1.1"
    network = joined(sm={"sessions": [Session(1, group, 5004, source="10.0.10.2")]}, mn={"source": "10.0.10.2"})
    assert f"mn joins {group} from 10.0.10.2" in network.lines()


def test_ipv6_session() -> None:
    sm, lmc, mn = (f"2001:db8:{subnet}::{host}" for subnet, host in ((20, "2"), (1, "2"), (1, "100")))
    table = [Controller("lmc1", lmc, ["poa1"])]
    point = PointOfAttachment("poa1", f"{mn}/64", "2001:db8:1::1")
    network = Chart()
    network.add("sm", session_manager(address=sm, sessions=[Session(1, "ff1e::1:1", 5004)], controllers=table), sm)
    network.add("lmc1", controller(1, subnet="2001:db8:1::/64", session_manager=sm, controllers=table), lmc)
    network.add("mn", mobile_node(session_manager=sm, points_of_attachment=[point]), mn)
    network.start("sm", "lmc1")
    network.run_for(0.1)
    network.start("mn")
    network.run_for(0.1)
    assert (state(network), row(network, "mn")["parent"]) == ("ESTABLISHED", f"[{lmc}]:{PORT}")
    assert "mn joins ff1e::1:1" in network.lines()


def test_mn_that_is_not_allowed_is_refused() -> None:  # M-4
    network = lab(sm={"sessions": [Session(1, GROUP, 5004, allowed_mn_ids=["mn2", "02:00:00:00:0a:01"])]})
    mark = network.mark()
    network.start("mn")
    network.run_for(30)
    told = [line for line in network.lines(mark) if "mn" in line]
    assert told == ["mn SJR sm", "sm SJC- mn"]
    (refusal,) = [sent for sent in network.packets("SJC") if sent.receiver == "mn"]
    assert refusal.fields["params"] == []
    assert state(network) == "CLOSED"
    assert [(notice.event, notice.details["by"]) for notice in network.nodes["mn"].notices] == [("join-refused", "sm")]
    assert count(network, "sm", "refused.mn-not-allowed") == 1
    assert row(network, "sm")["members"] == {}


def test_allowed_mn_is_admitted_by_its_bytes() -> None:
    network = joined(sm={"sessions": [Session(1, GROUP, 5004, allowed_mn_ids=["0x6d6e31"])]})
    assert list(row(network, "sm")["members"]) == [MN_ID]


def test_unknown_session_is_dropped_and_counted() -> None:
    network = lab(mn={"sessions": [WantedSession(9)]})
    network.start("mn")
    network.run_for(10)
    assert [sent for sent in network.packets("SJC") if sent.receiver == "mn"] == []
    assert count(network, "sm", "dropped.unknown-session") == 1
    assert network.notices("mn") == ["join-failed"]
    for name in ("lmc1", "mn"):
        network.give(name, message("LJC", session_id=77), LMC1)
        network.give(name, message("SJC", session_id=77), SM)
    assert count(network, "mn", "dropped.unknown-session") == 2
    assert count(network, "lmc1", "dropped.unknown-session") == 1
    assert count(network, "lmc1", "dropped.unexpected-type") == 1


@pytest.mark.parametrize("retries", [0, 2])
def test_silent_sm_fails_the_join_after_the_resends(retries: int) -> None:  # M-7
    network = lab(mn={"timers": Timers(jwt_s=0.5, join_retries=retries)})
    network.lose(*["SJR"] * 5)
    network.start("mn")
    network.run_for(20)
    began = network.times("mn SJR sm (lost)")[0]
    assert network.times("mn SJR sm (lost)") == [round(began + 0.5 * n, 6) for n in range(retries + 1)]
    assert state(network) == "CLOSED"
    assert [notice.details["awaited"] for notice in network.nodes["mn"].notices] == ["SJC"]
    assert count(network, "mn", "resent.SJR") == retries
    assert not any("mn joins" in line for line in network.lines())


@pytest.mark.parametrize("retries", [0, 2])
def test_silent_lmc_fails_the_join_after_the_resends(retries: int) -> None:  # M-7
    network = lab(mn={"timers": Timers(jwt_s=0.5, join_retries=retries)})
    network.lose(*["LJC"] * 5)
    network.start("mn")
    network.run_for(20)
    assert len(network.packets("LJR")) == retries + 1
    assert network.notices("mn") == ["join-failed"]
    assert network.nodes["mn"].notices[0].details["awaited"] == "LJC"
    assert not any("mn joins" in line for line in network.lines())


def test_one_lost_confirm_is_made_good_by_a_resend() -> None:
    network = lab(mn={"timers": Timers(jwt_s=0.5, join_retries=1)})
    network.lose("SJC", "LJC")
    network.start("mn")
    network.run_for(3)
    assert state(network) == "ESTABLISHED"
    assert (count(network, "mn", "resent.SJR"), count(network, "mn", "resent.LJR")) == (1, 1)
    assert list(row(network, "sm")["members"]) == [MN_ID]


def test_lmc_announces_itself_until_it_is_heard() -> None:  # M-11, M-20
    network = Chart()
    network.add("lmc1", controller(1), LMC1.address)
    network.start("lmc1")
    network.run_for(5)
    sm = network.add("sm", session_manager(), SM.address)
    assert network.times("lmc1 SJR nobody") == [0.0, 2.0, 4.0]
    network.start("sm")
    network.run_for(3)
    assert sm.agent.describe()["sessions"] == {"1": {"state": "ESTABLISHED", "members": 0, "lmcs": 1}}
    assert list(sm.agent.rows("lmcs")) == [{"session_id": 1, "lmc": b"lmc1".hex(), "endpoint": str(LMC1), "members": 0}]
    assert [sent.fields["params"] for sent in network.packets("SJR")] == [
        [["mn_id", b"lmc1".hex()], ["lmc", *LMC1]]
    ] * 4
    assert state(network, "lmc1") == "ESTABLISHED"
    assert network.notices("lmc1") == ["established"]
    network.run_for(60)  # from here on it only renews its membership, every SPT [M-25]
    times = network.times("lmc1 SJR sm")
    assert {round(later - earlier, 2) for earlier, later in pairwise(times)} == {6.0}


def test_lmc_with_another_address_than_provisioned_is_refused() -> None:  # M-11
    network = lab(with_lmcs=False)
    network.give("sm", message("SJR", ["mn_id", b"lmc1".hex()], ["lmc", "10.0.1.3", 24793]), LMC1)
    assert network.lines() == ["sm SJC- lmc1"]
    assert count(network, "sm", "refused.lmc-address") == 1
    assert row(network, "sm")["lmcs"] == {}


def test_refused_lmc_closes_and_refuses_local_joins() -> None:
    network = lab(with_lmcs=False)
    network.start("lmc1")
    network.give("lmc1", message("SJC"), SM)
    assert state(network, "lmc1") == "CLOSED"
    assert network.notices("lmc1") == ["join-refused"]
    network.give("lmc1", message("LJR", ["mn_id", MN_ID]), STRANGER)
    assert network.lines()[-1] == "lmc1 LJC- nobody"
    assert count(network, "lmc1", "refused.session-not-established") == 1


def test_refused_local_join_is_told_to_the_application() -> None:
    network = lab()
    network.lose("ULR")
    network.tell("lmc1", ApplicationLeave())
    network.start("mn")
    network.run_for(0.1)
    assert [line for line in network.lines() if "LJ" in line] == ["mn LJR lmc1", "lmc1 LJC- mn"]
    assert state(network) == "CLOSED"
    assert [(notice.event, notice.details["by"]) for notice in network.nodes["mn"].notices] == [("join-refused", "lmc")]


def test_lmc_that_does_not_serve_the_session_refuses_the_local_join() -> None:
    network = lab()
    network.add("lmc1", controller(1, sessions=[2]), LMC1.address)  # started again; the SM knows it from before
    network.start("lmc1", "mn")
    network.run_for(0.1)
    assert network.lines()[-2:] == ["mn LJR lmc1", "lmc1 LJC- mn"]
    assert network.packets("LJC")[-1].fields["session_id"] == 1
    assert count(network, "lmc1", "refused.unknown-session") == 1
    assert count(network, "lmc1", "dropped.unknown-session") == 0
    assert [(notice.event, notice.details["by"]) for notice in network.nodes["mn"].notices] == [("join-refused", "lmc")]


def test_duplicate_confirms_have_no_second_effect() -> None:
    network = lab()
    network.repeat("SJC", "LJC", "SJR")
    network.start("mn")
    network.run_for(0.1)
    assert [line for line in network.lines() if "joins" in line] == [f"mn joins {GROUP}"]
    assert len(network.packets("LJR")) == 1
    assert count(network, "mn", "duplicate.SJC") == 2
    assert count(network, "mn", "duplicate.LJC") == 1
    assert len(row(network, "sm")["members"]) == 1


def test_group_that_cannot_be_joined_is_told_and_tried_again() -> None:
    network = lab()
    network.nodes["mn"].joins_succeed = False
    network.start("mn")
    network.run_for(0.1)
    assert count(network, "mn", "failed.join") == 1
    assert network.notices("mn") == ["established", "group-join-failed"]
    assert row(network, "mn")["joined_on"] == []
    network.run_for(TIMERS.jwt_s)
    assert count(network, "mn", "failed.join") == 2
    network.nodes["mn"].joins_succeed = True
    network.run_for(2 * TIMERS.jwt_s)
    assert count(network, "mn", "joined.group") == 1
    assert row(network, "mn")["joined_on"] == ["mn-radio"]
    assert len(network.times(f"mn joins {GROUP}")) == 3


def test_group_that_could_not_be_joined_is_not_tried_again_after_a_leave() -> None:
    network = lab()
    network.nodes["mn"].joins_succeed = False
    network.start("mn")
    network.run_for(0.1)
    network.tell("mn", ApplicationLeave())
    network.run_for(10)
    assert len(network.times(f"mn joins {GROUP}")) == 1
    assert network.times(f"mn leaves {GROUP}") == []


def test_failure_to_join_another_group_is_no_affair_of_the_session() -> None:
    network = joined()
    network.tell("mn", GroupJoined("239.9.9.9", "mn-radio", succeeded=False, reason="no"))
    network.tell("mn", GroupJoined(GROUP, "eth9", succeeded=False, reason="no"))
    assert row(network, "mn")["joined_on"] == ["mn-radio"]
    assert network.notices("mn") == ["established"]


# --- leave ------------------------------------------------------------------------------------------------------------


def test_leave_with_lmc() -> None:  # M-5
    network = joined()
    mark = network.mark()
    network.tell("mn", ApplicationLeave())
    network.run_for(0.1)
    assert network.lines(mark) == ["mn ULR lmc1", f"mn leaves {GROUP}", "lmc1 ULC+ mn"]
    assert network.packets("ULR")[0].fields["params"] == [["mn_id", MN_ID]]
    assert state(network) == "CLOSED"
    assert network.notices("mn")[-1] == "left"
    assert count(network, "mn", "confirmed.leave") == 1
    assert row(network, "lmc1")["members"] == {}
    network.run_for(60)
    assert network.packets("USR") == []
    network.tell("mn", ApplicationLeave())  # a second time is nothing
    assert network.notices("mn").count("left") == 1


def test_leave_without_lmc() -> None:
    network = joined(with_lmcs=False)
    mark = network.mark()
    network.tell("mn", ApplicationLeave())
    network.run_for(0.1)
    assert network.lines(mark) == ["mn ULR sm", f"mn leaves {GROUP}", "sm ULC+ mn"]
    assert row(network, "sm")["members"] == {}


@pytest.mark.parametrize("name", ["sm", "lmc1"])
def test_leave_of_somebody_unknown_is_confirmed_too(name: str) -> None:
    network = lab()
    network.give(name, message("ULR", ["mn_id", "77"]), STRANGER)
    assert network.lines()[-1] == f"{name} ULC+ nobody"
    assert count(network, name, "leave.unknown-mn") == 1


@pytest.mark.parametrize("wanted", [False, True])
def test_asr_on_leave(wanted: bool) -> None:
    network = joined(lmc={"asr_on_leave": wanted})
    network.tell("mn", ApplicationLeave())
    network.run_for(0.05)
    reports = network.packets("ASR")
    assert [report.fields["params"] for report in reports] == ([[["membership", 0]]] if wanted else [])


def test_leave_before_ljc_has_come_is_told_to_the_lmc() -> None:
    network = lab()
    network.lose("LJC")
    network.start("mn")
    network.run_for(0.1)
    mark = network.mark()
    network.tell("mn", ApplicationLeave())
    network.run_for(0.1)
    assert network.lines(mark) == ["mn ULR lmc1", "lmc1 ULC+ mn"]
    assert row(network, "lmc1")["members"] == {}


def test_leave_between_hic_and_the_move_is_told_to_the_new_lmc() -> None:
    network = joined()
    network.trigger("poa2")
    network.run_for(0.1)
    mark = network.mark()
    network.tell("mn", ApplicationLeave())
    network.run_for(0.1)
    assert network.lines(mark) == ["mn ULR lmc2", f"mn leaves {GROUP}", f"lmc2 leaves {GROUP}", "lmc2 ULC+ mn"]
    assert row(network, "lmc2")["expected"] == {}


def test_join_after_a_leave_fails_as_the_first_one_does() -> None:
    network = joined()
    network.tell("mn", ApplicationLeave())
    network.kill("sm")
    network.start("mn")
    network.run_for(TIMERS.jwt_s + 0.1)
    assert state(network) == "CLOSED"
    assert network.notices("mn")[-1] == "join-failed"


def test_leave_while_joining_sends_nothing() -> None:
    network = lab()
    network.lose("SJR")
    network.start("mn")
    mark = network.mark()
    network.tell("mn", ApplicationLeave())
    network.run_for(10)
    assert [line for line in network.lines(mark) if "mn" in line] == []
    assert state(network) == "CLOSED"


def test_sm_and_lmc_end_with_their_application() -> None:
    network = joined()
    network.tell("sm", ApplicationLeave())
    network.tell("lmc1", ApplicationLeave())
    network.tell("sm", ApplicationLeave())
    assert (state(network, "sm"), state(network, "lmc1")) == ("CLOSED", "CLOSED")
    assert row(network, "lmc1")["members"] == {}
    network.give("sm", message("SJR", ["mn_id", MN_ID]), STRANGER)
    assert count(network, "sm", "dropped.unknown-session") == 1
    assert network.nodes["lmc1"].next_deadline is None


def test_several_sessions_do_not_mix() -> None:
    sessions = [Session(1, GROUP, 5004), Session(2, "239.2.2.2", 5005)]
    network = joined(sm={"sessions": sessions}, lmc={"sessions": [1, 2]})
    interface = NodeInterface("mn-radio", [replace(POINTS[0], address="10.0.1.102/24")], "poa1")
    second = mobile_node(mn_id="mn2", sessions=[WantedSession(2)], interfaces=[interface])
    network.add("mn2", second, "10.0.1.102")
    network.start("mn2")
    network.run_for(0.1)
    assert network.lines()[-1] == "mn2 joins 239.2.2.2"
    rows = [(row["session_id"], row["mn_id"]) for row in network.nodes["lmc1"].agent.rows("members")]
    assert rows == [(1, MN_ID), (2, b"mn2".hex())]


def test_default_timers_are_those_of_the_decisions() -> None:  # M-7 to M-10
    timers = Timers()
    values = (timers.jwt_s, timers.join_retries, timers.srt_s, timers.hit_s, timers.ctt_s, timers.linger_s)
    assert values == (2.0, 0, 10.0, 1.0, 0.25, 2.0)
    assert (timers.probe_time, timers.hold_time) == (30.0, 30.0)
    assert replace(TIMERS, spt_s=5.0).hold_time == 5.0


def test_without_a_history_a_role_does_the_same_and_traces_nothing() -> None:
    """A join, an unknown packet and nonsense: all but the traces, counters included, is as with a history."""

    def all_actions(keeps_history: bool) -> tuple[list[Action], Mapping[str, int]]:
        agent = session_manager()
        agent.keeps_history = keeps_history
        agent.start(0.0)
        for data in (message("SJR", ["mn_id", MN_ID]), message("USP"), b"nonsense"):
            agent.receive(data, STRANGER, 0.0)
        return agent.take_actions(), agent.counters.snapshot()

    with_history, counted = all_actions(keeps_history=True)
    without, counted_too = all_actions(keeps_history=False)
    assert {type(action) for action in with_history} == {Notify, SendDatagram, Trace}
    assert without == [action for action in with_history if not isinstance(action, Trace)]
    assert counted == counted_too
