"""Link events in the words of IEEE 802.21: as a driver tells them, and what an MN makes of right, late and wrong ones."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import agents
from agents.core.errors import ConfigurationError
from agents.core.links import LinkDetected, LinkDown, LinkGoingDown, LinkUp
from agents.mmcp.configuration import NodeInterface
from agents.runtime.control import ControlError, ControlServer, answering
from agents.runtime.link_events import LinkEvent, Places, link_event, link_event_request
from agents.runtime.tasks import Tasks
from tests.agents.lab import (
    INTERFACE,
    LMC1,
    LMC2,
    POINTS,
    SECOND_INTERFACE,
    TIMERS,
    Chart,
    joined,
    mobile_node,
    place,
    row,
    state,
)


def node_in_cells_that_overlap(**changes: Any) -> Chart:
    return joined(mn={"link_trigger": "going-down", **changes})


def goes_down(network: Chart, after: str, **fields: Any) -> None:
    network.tell("mn", LinkGoingDown(INTERFACE, "poa1", 0.1, after, **fields))


def moves(network: Chart, to: str, *, told: bool = True) -> None:
    """The link goes and comes elsewhere; ``told``: whoever drives the radio says where."""
    network.link_down()
    network.run_for(0.05)
    network.link_up(where=to if told else "")
    network.run_for(0.3)


def test_what_is_only_detected_asks_for_nothing_where_several_cells_are_in_reach() -> None:  # M-32
    network = node_in_cells_that_overlap()
    for point in ("poa2", "poa1b", "nobodys"):
        network.tell("mn", LinkDetected(INTERFACE, point))
    assert network.packets("HIR") == []
    goes_down(network, "poa2")
    network.run_for(0.05)
    assert [hir.fields["params"][1][1] for hir in network.packets("HIR")] == [b"poa2".hex()]
    moves(network, "poa2")
    assert (row(network, "mn")["parent"], place(network)) == (str(LMC2), b"poa2".hex())
    assert "fallback" not in network.notices("mn")


def test_a_link_that_goes_down_with_nothing_named_goes_to_what_was_detected_last() -> None:  # M-32
    network = node_in_cells_that_overlap()
    network.tell("mn", LinkGoingDown(INTERFACE))  # nothing was heard yet
    assert network.packets("HIR") == []
    network.tell("mn", LinkDetected(INTERFACE, "poa2"))
    network.tell("mn", LinkGoingDown(INTERFACE, "poa1"))
    network.run_for(0.05)
    moves(network, "poa2", told=False)
    assert (row(network, "mn")["parent"], place(network)) == (str(LMC2), b"poa2".hex())
    assert "fallback" not in network.notices("mn")


@pytest.mark.parametrize("trigger", ["detected", "going-down"])
def test_a_wrong_prediction_makes_the_promise_void_and_the_node_joins_where_it_is(trigger: str) -> None:  # M-32
    network = joined(mn={"link_trigger": trigger})
    goes_down(network, "poa2")
    network.run_for(0.05)
    assert "handover-prepared" in network.notices("mn")
    moves(network, "poa1b")
    assert place(network) == b"poa1b".hex()
    assert network.packets("LJR")[-1].receiver == "lmc1"
    assert "fallback" in network.notices("mn")
    assert (state(network), row(network, "mn")["parent"]) == ("ESTABLISHED", str(LMC1))
    assert network.nodes["mn"].agent.counters["fallback"] == 1


def test_a_link_that_is_there_before_it_is_said_where_it_leads() -> None:  # M-32
    """A carrier comes first: the node takes the place that was predicted, and then is told better."""
    network = node_in_cells_that_overlap(address_delay_s=0.5)
    goes_down(network, "poa2")
    network.run_for(0.05)
    network.link_down()
    network.link_up()
    network.run_for(0.1)
    assert place(network) == b"poa2".hex()
    network.tell("mn", LinkUp(INTERFACE, "poa1b"))
    network.run_for(0.45)  # the wait for an address begins anew
    assert not any("has 10.0" in line for line in network.lines(0))
    network.run_for(0.3)
    assert (place(network), row(network, "mn")["parent"]) == (b"poa1b".hex(), str(LMC1))
    assert not any("has 10.0.2.100" in line for line in network.lines(0))


def test_a_prediction_that_comes_too_late_for_the_confirm_means_a_new_session_join() -> None:  # M-32
    network = node_in_cells_that_overlap()
    network.nodes["lmc2"].join_time_s = 0.5
    goes_down(network, "poa2")
    network.run_for(0.05)
    moves(network, "poa2")
    network.run_for(1.0)
    assert "fallback" in network.notices("mn")
    assert (row(network, "mn")["parent"], place(network)) == (str(LMC2), b"poa2".hex())


def test_a_move_that_nobody_announced_is_known_from_link_up() -> None:  # M-32
    network = node_in_cells_that_overlap()
    moves(network, "poa2")
    assert network.packets("HIR") == []
    assert (row(network, "mn")["parent"], place(network)) == (str(LMC2), b"poa2".hex())


def test_a_warning_that_does_not_come_true_ends_with_the_promise() -> None:  # M-28, M-32
    network = node_in_cells_that_overlap()
    goes_down(network, "poa2")
    network.run_for(TIMERS.hold_time + 1)
    assert (row(network, "mn")["parent"], place(network)) == (str(LMC1), b"poa1".hex())


def test_a_later_warning_replaces_the_first() -> None:  # M-32
    network = node_in_cells_that_overlap()
    goes_down(network, "poa1b")
    network.run_for(0.6)
    goes_down(network, "poa2")
    network.run_for(0.1)
    moves(network, "poa2")
    assert (row(network, "mn")["parent"], place(network)) == (str(LMC2), b"poa2".hex())


def test_the_next_place_may_be_in_reach_of_the_other_interface() -> None:  # M-29, M-32
    interfaces = [NodeInterface(INTERFACE, POINTS[:2], "poa1"), NodeInterface(SECOND_INTERFACE, POINTS[2:])]
    network = node_in_cells_that_overlap(interfaces=interfaces)
    goes_down(network, "poa2", next_interface=SECOND_INTERFACE)
    network.run_for(0.05)
    network.link_up(interface=SECOND_INTERFACE, where="poa2")
    network.run_for(0.3)
    assert row(network, "mn")["parent"] == str(LMC2)
    assert "fallback" not in network.notices("mn")
    # The link that is not in use any more is no affair of the session.
    sent = len(network.packets("HIR"))
    network.tell("mn", LinkGoingDown(INTERFACE, "poa1", 0.1, "poa1b"))
    assert len(network.packets("HIR")) == sent


def test_what_is_told_of_a_link_that_has_been_replaced_is_ignored() -> None:
    network = node_in_cells_that_overlap()
    goes_down(network, "poa2")
    network.run_for(0.05)
    moves(network, "poa2")
    network.tell("mn", LinkDown(INTERFACE, "poa1"))
    agent = network.nodes["mn"].agent
    assert agent.counters["ignored.another-link-down"] == 1
    goes_down(network, "elsewhere")
    assert agent.counters["ignored.unknown-point-of-attachment"] == 1
    goes_down(network, "poa2")
    assert agent.counters["ignored.link-going-nowhere"] == 2


def test_a_link_trigger_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="link_trigger: 'up'; give detected or going-down"):
        mobile_node(link_trigger="up")


# --- what a driver tells ------------------------------------------------------------------------------------------------


def told(**fields: object) -> LinkEvent:
    """What the request makes of one line of JSON."""
    heard: list[LinkEvent] = []
    asked = link_event_request(heard.append)
    assert asked.answer(asked.values({"command": "link-event", "interface": "radio", **fields})) == {}
    return heard[0]


@pytest.mark.parametrize(
    ("fields", "event"),
    [
        ({"event": "link_detected", "point_of_attachment": "poa2"}, LinkDetected("radio", "poa2")),
        ({"event": "link_going_down"}, LinkGoingDown("radio")),
        (
            {"event": "link_going_down", "point_of_attachment": "poa1", "in_s": 0.25, "next": "poa2",
             "next_interface": "other"},
            LinkGoingDown("radio", "poa1", 0.25, "poa2", "other"),
        ),
        ({"event": "link_going_down", "in_s": 1}, LinkGoingDown("radio", in_s=1)),
        ({"event": "link_down"}, LinkDown("radio")),
        ({"event": "link_up", "point_of_attachment": "02:00:00:00:0a:01"}, LinkUp("radio", "02:00:00:00:0a:01")),
    ],
)  # fmt: skip
def test_each_event_is_told_by_one_line(fields: Mapping[str, object], event: LinkEvent) -> None:
    assert told(**fields) == event


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"event": "up"}, "'up' is none of link_detected, link_going_down, link_down, link_up"),
        ({"event": "link_up"}, "point_of_attachment is missing: a link_up says which"),
        ({"event": "link_detected"}, "point_of_attachment is missing"),
        ({"event": "link_down", "in_s": 1.0}, "in_s: only link_going_down has this"),
        ({"event": "link_going_down", "in_s": -1.0}, "in_s: -1.0 is no time to come"),
        ({"event": "link_going_down", "in_s": float("nan")}, "in_s: nan is no time to come"),
        ({"event": "link_going_down", "in_s": True}, "in_s: True is no float"),
        ({"event": "link_going_down", "soon": 1}, "unknown fields: soon"),
    ],
)
def test_what_cannot_be_is_refused_in_words(fields: Mapping[str, object], error: str) -> None:
    with pytest.raises(ControlError, match=error):
        told(**fields)


def test_a_carrier_and_what_is_told_of_it_are_one_link_in_either_order() -> None:
    up: set[str] = {"radio"}
    places = Places(up.__contains__)
    # Told first: the role hears of it with the carrier.
    up.clear()
    assert places.carrier_changed("radio", is_up=False) == ""
    assert not places.told(LinkUp("radio", "poa2"))
    up.add("radio")
    assert places.carrier_changed("radio", is_up=True) == "poa2"
    # The carrier first: it is told at once where that leads.
    assert places.carrier_changed("radio", is_up=True) == ""
    assert places.told(LinkUp("radio", "poa2"))
    assert not places.is_back("radio")
    # What was told of a link that did not come is forgotten.
    up.clear()
    assert not places.told(LinkUp("radio", "poa3"))
    assert places.told(LinkDown("radio"))
    up.add("radio")
    assert places.carrier_changed("radio", is_up=True) == ""


def test_a_radio_that_roams_without_a_change_of_carrier_has_its_memberships_shown_again() -> None:
    places = Places(lambda _: True)
    assert places.told(LinkDown("radio", "poa1"))
    assert places.told(LinkUp("radio", "poa2"))
    assert places.is_back("radio")
    assert not places.is_back("radio")


def test_fields_are_those_that_the_request_has() -> None:
    with pytest.raises(ControlError, match="event"):
        link_event(dict.fromkeys(field.name for field in link_event_request(lambda _: None).fields))


def test_the_driver_on_the_page_feeds_a_node(tmp_path: Path) -> None:
    page = Path(agents.__file__).with_name("LINK_EVENTS.md").read_text(encoding="utf-8")
    driver = tmp_path / "driver.py"
    driver.write_text(page.partition("```python\n")[2].partition("```")[0])
    heard: list[LinkEvent] = []
    lines = "link_up wlan0 02:00:00:00:0a:01\nlink_flies wlan0 poa2\nlink_down wlan0 poa1\n"

    async def serve() -> str:
        tasks = Tasks(lambda _: None)
        server = ControlServer(tmp_path / "mn", answering([link_event_request(heard.append)]), tasks)
        await server.start()
        running = await asyncio.create_subprocess_exec(
            sys.executable, str(driver), str(tmp_path / "mn"), stdin=-1, stdout=-1
        )
        said, _ = await running.communicate(lines.encode())
        await server.close()
        await tasks.close()
        return said.decode()

    answers = [json.loads(line) for line in asyncio.run(serve()).splitlines()]
    assert heard == [LinkUp("wlan0", "02:00:00:00:0a:01"), LinkDown("wlan0", "poa1")]
    assert [answer["ok"] for answer in answers] == [True, False, True]
    assert "'link_flies' is none of link_detected" in answers[1]["error"]
