"""An MN with two interfaces that changes its mind, or loses a link, in the middle of a vertical handover."""

from __future__ import annotations

import pytest

from agents.mmcp.configuration import NodeInterface, PointOfAttachment
from agents.mmcp.events import ApplicationLeave
from tests.agents.lab import (
    INTERFACE,
    LMC1,
    LMC2,
    MN_ID,
    POINTS,
    SECOND_INTERFACE,
    TIMERS,
    Chart,
    count,
    joined,
    ordered,
    row,
    state,
)

SECOND_POINTS = [
    PointOfAttachment("poa2", "10.0.2.102/24", "10.0.2.1"),
    PointOfAttachment("nobodys", "10.0.9.102/24", "10.0.9.1"),
]


def with_two(**mn: object) -> Chart:
    network = joined(
        mn={
            "interfaces": [
                NodeInterface(INTERFACE, POINTS[:2], "poa1"),
                NodeInterface(SECOND_INTERFACE, SECOND_POINTS),
            ],
            **mn,
        }
    )
    network.network.lose_link(network.nodes["mn"], SECOND_INTERFACE)
    return network


def on_the_second() -> Chart:
    """The MN has moved to the second interface, and the first still has its link."""
    network = with_two()
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(5.0)
    assert row(network, "mn")["interface"] == SECOND_INTERFACE
    return network


def until(network: Chart, line: str, mark: int) -> None:
    for _ in range(1000):
        if line in network.lines(mark):
            return
        network.run_for(0.0005)
    raise AssertionError(f"no {line}: {network.lines(mark)}")


def assert_speaks_from(network: Chart, interface: str, parent: str) -> None:
    """The default route is by the interface in use, and what the MN says arrives."""
    assert network.nodes["mn"].default.name == interface
    assert (state(network), row(network, "mn")["parent"]) == ("ESTABLISHED", parent)
    assert (row(network, "mn")["interface"], row(network, "mn")["joined_on"]) == (interface, [interface])
    mark = network.mark()
    network.run_for(3 * TIMERS.srt_s)
    assert not any("(lost)" in line for line in network.lines(mark))
    assert list(row(network, "sm")["members"]) == [MN_ID]


def test_link_lost_while_its_address_is_configured_gives_the_route_back() -> None:
    network = on_the_second()
    mark = network.mark()
    network.trigger("poa1")
    until(network, "lmc2 HIC+ mn", mark)
    network.run_for(0.0011)  # HIC is there, the address of the first interface is not
    network.link_down()
    network.run_for(0.1)
    assert ordered(
        network.lines(mark), "mn link down", "mn has 10.0.1.100/24 by 10.0.1.1", "mn has 10.0.2.102/24 by 10.0.2.1"
    )
    network.run_for(TIMERS.hold_time + 1.0)  # the move does not happen [M-28]
    assert_speaks_from(network, SECOND_INTERFACE, str(LMC2))


def test_link_in_use_that_comes_back_takes_the_route_back() -> None:
    network = with_two(address_delay_s=0.0)
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.run_for(0.1)
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(0)  # its address is asked for
    network.link_down()
    network.link_down(interface=SECOND_INTERFACE)
    network.run_for(0.1)  # the address is there, and no link
    assert network.nodes["mn"].default.name == SECOND_INTERFACE
    network.link_up()
    network.run_for(TIMERS.hold_time + 1.0)
    assert_speaks_from(network, INTERFACE, str(LMC1))


@pytest.mark.parametrize("then", ["stays", "goes"])
def test_early_join_is_undone_when_the_trigger_changes_its_mind(then: str) -> None:  # M-29
    network = with_two(address_delay_s=60.0)
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(0.1)
    assert row(network, "mn")["joined_on"] == [INTERFACE, SECOND_INTERFACE]
    network.trigger("nobodys", interface=SECOND_INTERFACE)
    if then == "goes":  # to the other place of the interface in use
        network.trigger("poa1b")
        network.link_down()
        network.link_up()
    network.run_for(TIMERS.linger_s + 0.1)
    assert row(network, "mn")["joined_on"] == [INTERFACE]
    assert count(network, "mn", "duplicate.link-trigger") == 0


def test_leave_is_told_to_an_lmc_that_was_left_without_a_handover() -> None:  # M-29
    network = with_two()
    network.nodes["lmc2"].joins_succeed = False  # HIC with F = 0
    network.trigger("poa2", interface=SECOND_INTERFACE)
    network.run_for(0.1)
    network.lose("SJC")
    network.link_up(interface=SECOND_INTERFACE)
    network.run_for(0.1)
    assert list(row(network, "lmc1")["members"]) == [MN_ID]
    network.tell("mn", ApplicationLeave())
    network.run_for(0.1)
    assert network.lines()[-1] == "lmc1 ULC+ mn"
    assert list(row(network, "lmc1")["members"]) == []
