"""An MN with two interfaces: it joins on the second before it leaves the first, and none of its sessions is forgotten."""

from __future__ import annotations

from typing import Any

from agents.core.links import LinkUp
from agents.mmcp.configuration import NodeInterface, Session, WantedSession
from agents.mmcp.events import ApplicationLeave, DataChannelReport
from tests.agents.lab import (
    GROUP,
    GROUP_PORT,
    LMC1,
    LMC2,
    MN_ID,
    POINTS,
    SECOND_INTERFACE,
    SESSION,
    TIMERS,
    Chart,
    count,
    joined,
    lab,
    ordered,
    place,
    row,
    state,
    without_reports,
)

TWO_INTERFACES = [
    NodeInterface("mn-radio", POINTS[:2], "poa1"),
    NodeInterface(SECOND_INTERFACE, POINTS[2:]),
]


def joined_with_two(**changes: Any) -> Chart:
    """The lab with an MN whose second interface has poa2 in its reach; it begins on the first."""
    network = joined(**{"mn": {"interfaces": TWO_INTERFACES}, **changes})
    network.network.lose_link(network.nodes["mn"], SECOND_INTERFACE)
    return network


def test_vertical_handover_in_order() -> None:  # M-29, M-14
    network = joined_with_two()
    mark = network.mark()
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.run_for(0.1)
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(0.3)
    network.link_down()
    network.run_for(0.1)
    assert network.lines(mark) == [
        "mn detects poa2",
        "mn HIR lmc1",
        "lmc1 HCT lmc2",
        f"lmc2 joins {GROUP}",
        "lmc2 HTA+ lmc1",
        "lmc1 HIC+ mn",
        "mn link up",
        f"mn joins {GROUP} on {SECOND_INTERFACE}",  # its LMC has the data there already
        "mn has 10.0.2.100/24 by 10.0.2.1",
        f"mn renews {GROUP} on {SECOND_INTERFACE}",
        "mn LJR lmc2",
        "lmc2 LJC+ mn",
        "mn link down",
        f"mn leaves {GROUP}",
    ]
    assert (row(network, "mn")["parent"], row(network, "mn")["interface"]) == (str(LMC2), SECOND_INTERFACE)
    assert row(network, "mn")["joined_on"] == [SECOND_INTERFACE]
    assert list(row(network, "lmc1")["members"]) == []
    assert count(network, "mn", "fallback") == 0


def test_first_interface_is_left_after_linger() -> None:  # M-29
    network = joined_with_two()
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.run_for(0.1)
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(0.1)
    assert row(network, "mn")["joined_on"] == ["mn-radio", SECOND_INTERFACE]
    network.run_for(TIMERS.linger_s)
    assert row(network, "mn")["joined_on"] == [SECOND_INTERFACE]
    [left] = network.times(f"mn leaves {GROUP}")
    [confirmed] = [sent.time for sent in network.packets("LJC") if sent.sender == "lmc2"]
    assert round(left + 100.0 - confirmed - TIMERS.linger_s, 2) == 0
    network.run_for(5.0)
    reports = [sent for sent in network.packets("USR") if sent.time > network.now - 4.0]
    assert {sent.receiver for sent in reports} == {"lmc2"}


def test_link_that_is_faster_than_hic_waits_for_it() -> None:  # M-29
    network = joined_with_two()
    network.nodes["lmc2"].join_time_s = 0.1
    mark = network.mark()
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(0.5)
    lines = network.lines(mark)
    assert ordered(lines, "lmc1 HIC+ mn", f"mn joins {GROUP} on {SECOND_INTERFACE}", "mn LJR lmc2", "lmc2 LJC+ mn")
    assert "mn SJR sm" not in lines


def test_move_that_does_not_happen_leaves_the_other_interface() -> None:  # M-28, M-29
    network = joined_with_two(mn={"interfaces": TWO_INTERFACES, "address_delay_s": 60.0})
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(0.1)
    assert row(network, "mn")["joined_on"] == ["mn-radio", SECOND_INTERFACE]
    network.run_for(TIMERS.hold_time + TIMERS.linger_s + 0.1)
    assert row(network, "mn")["joined_on"] == ["mn-radio"]
    assert row(network, "mn")["parent"] == str(LMC1)


def test_link_before_its_trigger() -> None:  # M-29
    network = joined_with_two()
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(0.1)
    assert place(network, SECOND_INTERFACE) is None
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.run_for(0.1)
    assert row(network, "mn")["parent"] == str(LMC2)
    assert place(network, SECOND_INTERFACE) == b"poa2".hex()


def test_refused_handover_still_joins_before_it_leaves() -> None:  # M-29
    network = joined_with_two()
    network.nodes["lmc2"].joins_succeed = False
    mark = network.mark()
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(0.2)
    lines = without_reports(network.lines(mark))
    assert lines[lines.index("lmc1 HIC- mn") :] == [
        "lmc1 HIC- mn",
        "mn has 10.0.2.100/24 by 10.0.2.1",
        f"mn joins {GROUP} on {SECOND_INTERFACE}",
        "mn SJR sm",
        "sm SJC+ mn",
        "mn LJR lmc2",
        "lmc2 LJC+ mn",
        "mn ULR lmc1",
        "lmc1 ULC+ mn",
    ]
    assert list(row(network, "lmc1")["members"]) == []
    assert list(row(network, "lmc2")["members"]) == [MN_ID]
    assert row(network, "sm")["members"][MN_ID]["lmc"] == b"lmc2".hex()


def test_no_answer_to_hir_moves_when_all_sends_are_made() -> None:  # M-8, M-29
    network = joined_with_two()
    network.lose("HIR", "HIR", "HIR")
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(3 * TIMERS.hit_s - 0.1)
    assert row(network, "mn")["parent"] == str(LMC1)
    network.run_for(0.3)
    assert row(network, "mn")["parent"] == str(LMC2)
    assert count(network, "mn", "exhausted.HIR") == count(network, "mn", "fallback") == 1


def test_link_lost_before_hic_moves_at_once_to_the_interface_that_is_there() -> None:  # M-29
    network = joined_with_two()
    network.lose("HIR")
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(0.05)
    network.link_down()
    network.run_for(0.1)
    assert (state(network), row(network, "mn")["parent"]) == ("ESTABLISHED", str(LMC2))
    assert network.packets("ULR") == []  # nobody can be told over a link that is gone
    assert row(network, "mn")["joined_on"] == [SECOND_INTERFACE]


def test_new_link_lost_again_falls_back_to_the_old_one() -> None:  # M-29
    network = joined_with_two()
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(0.1)
    mark = network.mark()
    network.link_down(interface=SECOND_INTERFACE)
    network.run_for(0.1)
    assert network.lines(mark) == [
        "mn link down",
        "mn has 10.0.1.100/24 by 10.0.1.1",
        f"mn renews {GROUP}",
        f"mn leaves {GROUP} on {SECOND_INTERFACE}",
        "mn SJR sm",
        "sm SJC+ mn",
        "mn LJR lmc1",
        "lmc1 LJC+ mn",
    ]
    assert (state(network), row(network, "mn")["parent"]) == ("ESTABLISHED", str(LMC1))


def test_link_lost_after_hic_waits_for_the_place_that_was_prepared() -> None:
    network = joined_with_two()
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.run_for(0.1)
    network.link_down()
    network.run_for(0.2)
    mark = network.mark()
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(0.1)
    assert ordered(network.lines(mark), f"mn joins {GROUP} on {SECOND_INTERFACE}", "mn LJR lmc2", "lmc2 LJC+ mn")
    assert count(network, "mn", "fallback") == 0


def test_back_to_an_interface_that_never_lost_its_link() -> None:  # M-29
    network = joined_with_two()
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(0.1)
    mark = network.mark()
    network.trigger("poa1")
    network.run_for(0.1)
    lines = network.lines(mark)
    assert ordered(lines, "mn HIR lmc2", "lmc1 HTA+ lmc2", "lmc2 HIC+ mn", f"mn renews {GROUP}", "mn LJR lmc1")
    assert row(network, "mn")["parent"] == str(LMC1)
    assert row(network, "mn")["joined_on"] == [SECOND_INTERFACE, "mn-radio"]
    assert count(network, "mn", "fallback") == 0


def test_link_of_an_interface_that_is_not_in_use_is_no_affair_of_the_session() -> None:
    network = joined_with_two()
    mark = network.mark()
    network.link_up(interface=SECOND_INTERFACE)
    network.link_down(interface=SECOND_INTERFACE)
    network.tell("mn", LinkUp("eth9"))
    network.run_for(0.1)
    assert without_reports(network.lines(mark)) == ["mn link up", "mn link down"]
    assert row(network, "mn")["parent"] == str(LMC1)


# --- several sessions -------------------------------------------------------------------------------------------------

SESSIONS = [Session(1, GROUP, GROUP_PORT), Session(2, "239.2.2.2", 5005)]
BOTH: dict[str, Any] = {"sm": {"sessions": SESSIONS}, "lmc": {"sessions": [1, 2]}}


def joined_to_two(**mn: Any) -> Chart:
    """An MN in two sessions."""
    network = joined(**BOTH, mn={"sessions": [WantedSession(1), WantedSession(2)], **mn})
    assert states(network) == {"1": "ESTABLISHED", "2": "ESTABLISHED"}
    return network


def states(network: Chart) -> dict[str, str]:
    described: Any = network.nodes["mn"].agent.describe()
    return {number: session["state"] for number, session in described["sessions"].items()}


def test_every_session_is_handed_over() -> None:
    network = joined_to_two()
    network.trigger("poa2")
    network.run_for(0.2)
    network.link_down()
    network.run_for(0.05)
    mark = network.mark()
    network.link_up()
    network.run_for(0.1)
    assert {sent.fields["session_id"] for sent in network.packets("HIR")} == {1, 2}
    assert ordered(network.lines(mark), f"mn renews {GROUP}", "mn LJR lmc2", "mn renews 239.2.2.2", "mn LJR lmc2")
    assert [list(row(network, "lmc2", number)["members"]) for number in (1, 2)] == [[MN_ID], [MN_ID]]
    assert count(network, "mn", "fallback") == 0


def test_one_session_may_fall_back_while_the_other_is_handed_over() -> None:
    network = joined_to_two(interfaces=TWO_INTERFACES)
    network.lose("HIC")  # of session 1
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(0.1)
    described: Any = network.nodes["mn"].agent.describe()["sessions"]
    assert [found["interface"] for found in described.values()] == ["mn-radio", SECOND_INTERFACE]
    network.run_for(TIMERS.hit_s)  # its HIR is sent again, and the same HIC comes [M-23]
    described = network.nodes["mn"].agent.describe()["sessions"]
    assert [found["parent"] for found in described.values()] == [str(LMC2), str(LMC2)]
    assert count(network, "mn", "fallback") == 0


def test_leaving_one_session_leaves_the_other() -> None:
    network = joined_to_two()
    network.tell("mn", ApplicationLeave(2))
    network.run_for(0.1)
    assert states(network) == {"1": "ESTABLISHED", "2": "CLOSED"}
    assert network.times("mn leaves 239.2.2.2") != []
    assert network.times(f"mn leaves {GROUP}") == []
    network.start("mn")  # joins what is closed
    network.run_for(0.1)
    assert states(network) == {"1": "ESTABLISHED", "2": "ESTABLISHED"}


def test_data_is_reported_in_the_session_of_its_group() -> None:
    network = joined_to_two()
    network.tell("mn", DataChannelReport(7, "239.2.2.2"))
    network.run_for(TIMERS.srt_s)
    reported = {sent.fields["session_id"]: sent.fields["params"][1:] for sent in network.packets("USR")}
    assert reported == {1: [], 2: [["status", 7, 2]]}


def test_refused_session_says_which() -> None:
    network = joined(
        sm={"sessions": [SESSIONS[0], Session(2, "239.2.2.2", 5005, allowed_mn_ids=["mn9"])]},
        mn={"sessions": [WantedSession(1), WantedSession(2)]},
    )
    assert states(network) == {"1": "ESTABLISHED", "2": "CLOSED"}
    [refused] = [notice for notice in network.nodes["mn"].notices if notice.event == "join-refused"]
    assert refused.details == {"session_id": 2, "by": "sm"}


# --- source-specific groups [M-6] -------------------------------------------------------------------------------------

SSM_GROUP, DATA_SOURCE = "232.1.1.1", "10.0.10.2"


def test_ssm_session_is_joined_from_its_source_by_mn_and_lmc() -> None:  # M-6
    network = joined(
        sm={"sessions": [Session(SESSION, SSM_GROUP, 5004, source=DATA_SOURCE)]},
        lmc={"sources": {SSM_GROUP: DATA_SOURCE}},
        mn={"source": DATA_SOURCE},
    )
    network.trigger("poa2")
    network.run_for(0.2)
    assert ordered(
        network.lines(), f"mn joins {SSM_GROUP} from {DATA_SOURCE}", f"lmc2 joins {SSM_GROUP} from {DATA_SOURCE}"
    )


def test_lmc_without_the_source_of_an_ssm_group_refuses_the_context() -> None:  # M-6
    sm = {"sessions": [Session(SESSION, SSM_GROUP, 5004, source=DATA_SOURCE)]}
    network = joined(sm=sm, mn={"source": DATA_SOURCE})
    network.trigger("poa2")
    network.run_for(0.2)
    assert count(network, "lmc2", "refused.no-source") == 1
    assert "lmc1 HIC- mn" in network.lines()


def test_mn_without_the_source_of_its_ssm_group_ends_its_join() -> None:  # M-6
    network = lab(sm={"sessions": [Session(SESSION, SSM_GROUP, 5004, source=DATA_SOURCE)]})
    network.start("mn")
    network.run_for(0.1)
    assert state(network) == "CLOSED"
    [notice] = network.nodes["mn"].notices
    assert (notice.event, "no source is provisioned" in str(notice.details["reason"])) == ("join-failed", True)
    assert not [line for line in network.lines() if " joins " in line]
