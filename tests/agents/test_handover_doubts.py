"""HIC names no place: an MN that has asked about two believes no HIC that may be about the other [M-8]."""

from __future__ import annotations

import pytest

from tests.agents.lab import LMC1, LMC2, MN_ID, TIMERS, Chart, count, joined, move, row, state


def arrive(network: Chart) -> None:
    network.link_down()
    network.run_for(0.05)
    network.link_up()
    network.run_for(0.2)


def assert_member_of_lmc2(network: Chart) -> None:
    assert (state(network), row(network, "mn")["parent"]) == ("ESTABLISHED", str(LMC2))
    assert list(row(network, "lmc2")["members"]) == [MN_ID]


def test_confirm_of_the_first_of_two_triggers_is_not_taken_for_the_second() -> None:  # M-8
    network = joined()
    network.trigger("poa1b")  # of the same subnet
    network.run_for(0.0015)
    network.trigger("poa2")
    network.run_for(0.3)
    assert count(network, "mn", "doubted.HIC") == 1
    arrive(network)
    network.run_for(TIMERS.srt_s)  # the SM learns from the reports who has the MN
    assert_member_of_lmc2(network)


@pytest.mark.parametrize("again", [0.0, 0.5])
def test_confirm_that_comes_twice_is_not_taken_for_the_next_place(again: float) -> None:  # M-8
    network = joined()
    network.trigger("poa1b")
    network.run_for(0.1)
    confirm = network.packets("HIC")[-1]
    network.run_for(again)
    network.lose("HIR")
    network.trigger("poa2")
    network.give("mn", confirm.data, LMC1)
    assert count(network, "mn", "doubted.HIC") == 1
    arrive(network)
    assert_member_of_lmc2(network)


def test_doubt_ends() -> None:  # M-8
    network = joined()
    network.trigger("poa1b")
    network.run_for(3 * TIMERS.hit_s)
    network.trigger("poa2")
    network.run_for(0.1)
    arrive(network)
    assert count(network, "mn", "doubted.HIC") == count(network, "mn", "fallback") == 0
    assert_member_of_lmc2(network)


def test_moves_in_quick_succession_leave_no_doubt_about_the_next_parent() -> None:
    network = joined()
    for point in ("poa2", "poa1", "poa2"):
        move(network, point, overlap=0.1)
    assert count(network, "mn", "doubted.HIC") == count(network, "mn", "fallback") == 0
    assert_member_of_lmc2(network)
