"""An MN that changes its mind, its link or its session in the middle of a handover."""

from __future__ import annotations

import re

from agents.core.agent import Endpoint
from agents.mmcp.events import ApplicationLeave
from tests.agents.lab import (
    GROUP,
    LMC1,
    LMC2,
    MN_ID,
    PORT,
    count,
    joined,
    message,
    move,
    ordered,
    place,
    row,
)


def test_another_trigger_replaces_the_first() -> None:
    network = joined()
    network.nodes["lmc2"].join_time_s = 0.2
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
    assert place(network) == b"poa2".hex()
    assert row(network, "mn")["parent"] == str(LMC2)
    network.link_down()
    network.run_for(0.05)
    network.link_up()
    network.run_for(1)
    assert row(network, "mn")["parent"] == str(LMC1)
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
    network.nodes["lmc2"].join_time_s = 0.2
    network.trigger("poa2")
    network.run_for(0.05)
    network.give("lmc1", message("LJR", ["mn_id", MN_ID]), Endpoint("10.0.1.100", PORT))
    assert row(network, "lmc1")["handovers"] == {}
    network.run_for(0.5)
    assert list(row(network, "lmc1")["members"]) == [MN_ID]


def test_mn_that_leaves_during_the_transfer_ends_it() -> None:
    network = joined()
    network.nodes["lmc2"].join_time_s = 0.2
    network.trigger("poa2")
    network.run_for(0.05)
    network.tell("mn", ApplicationLeave())
    network.run_for(1)
    assert row(network, "lmc1")["handovers"] == row(network, "lmc1")["members"] == {}
    assert network.packets("HIC") == []
    assert len(network.packets("HCT")) == 1
    assert network.nodes["lmc1"].numbers == {}


def test_lmc_that_ends_stops_its_transfers_and_joins() -> None:
    network = joined()
    network.nodes["lmc2"].join_time_s = 0.2
    network.trigger("poa2")
    network.run_for(0.05)
    network.tell("lmc1", ApplicationLeave())
    network.tell("lmc2", ApplicationLeave())
    assert network.lines()[-1] == f"lmc2 leaves {GROUP}"
    assert network.nodes["lmc1"].numbers == {}
    network.run_for(1)
    assert network.nodes["lmc1"].next_deadline is None
