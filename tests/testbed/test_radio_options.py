"""What a person says of a lab's radio, and the link events that follow; what agents are told of them, and when."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from testbed.net.mininet_net import EmulatedNetwork
from testbed.net.model import Lab, ModelError, PointOfAttachment
from testbed.radio.link_events import LinkEvent, Prediction
from testbed.radio.movement import Position, Track
from testbed.run.laboratory import build_model, parse_values
from testbed.run.mobility import PLACE_TOLD_BEFORE_S, Drift, Moment, as_told, pass_through
from testbed.run.options import OptionError, Values
from testbed.run.radio_options import cells_of, movement_of, prediction_of, radio_of, tracks_of
from topologies import tram


def values_of(**given: str) -> Values:
    return parse_values(tram.TOPOLOGY, {name.replace("_", "-"): text for name, text in given.items()})


def tram_events(**given: str) -> list[LinkEvent]:
    values = values_of(**given)
    return list(tram.movement(values, build_model(tram.TOPOLOGY, values)).events)


def test_a_tram_hands_over_between_any_two_masts() -> None:
    events = tram_events()
    ups = [event for event in events if event.kind == "link_up"]
    assert [event.cell for event in ups] == [f"poa{number}" for number in range(1, 11)]
    every = [after.at_s - before.at_s for before, after in pairwise(ups[1:])]
    assert every == pytest.approx([2.4] * 8, abs=0.02)
    assert events[-1].at_s < 25
    (warned, down) = (next(e for e in events if e.kind == kind) for kind in ("link_going_down", "link_down"))
    assert 0.1 < down.at_s - warned.at_s < 0.3
    faster = tram_events(speed="120")
    assert faster[-1].at_s < 0.6 * events[-1].at_s


def test_trams_go_both_ways() -> None:
    events = tram_events(mobiles="2", cells="3")
    ways = {node: [e.cell for e in events if e.node == node and e.kind == "link_up"] for node in ("mn1", "mn2")}
    assert ways == {"mn1": ["poa1", "poa2", "poa3"], "mn2": ["poa3", "poa2", "poa1"]}


def test_options_make_the_radio_and_its_predictions() -> None:
    values = values_of(power="17.5", exponent="2.5", shadowing="6", hysteresis="2", l2_gap="30ms", radio_seed="7")
    radio = radio_of(values)
    assert (radio.transmit_dbm, radio.exponent, radio.shadowing_db) == (17.5, 2.5, 6.0)
    assert (radio.hysteresis_db, radio.gap_s, radio.seed) == (2.0, 0.03, 7)
    for text, late, wrong in (
        ("right", 0, 0),
        ("late", 1, 0),
        ("wrong", 0, 1),
        ("late=30%,wrong=10", 0.3, 0.1),
        ("right=60%,late=40%", 0.4, 0),
    ):
        assert prediction_of(values_of(prediction=text, late_by="80ms")) == Prediction(late, wrong, 0.08, 0), text


@pytest.mark.parametrize(
    "text", ["", "soon", "late=", "late=101%", "late=x", "late,late", "late=60,wrong=60", "late=nan"]
)
def test_predictions_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(OptionError):
        values_of(prediction=text)


@pytest.mark.parametrize("given", [{"power": "loud"}, {"exponent": "0.5"}, {"shadowing": "nan"}, {"hysteresis": "-1"}])
def test_radios_that_cannot_be_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(OptionError):
        values_of(**given)


def test_tracks_and_cells_must_be_those_of_the_lab() -> None:
    values = values_of(cells="2")
    model = build_model(tram.TOPOLOGY, values)
    here = Track((0.0,), (Position(0, 0),))
    with pytest.raises(ModelError, match=r"track of bus: no mobile node of this lab; known: mn1"):
        movement_of(values, model, {"bus": here})
    nowhere = replace(model, points_of_attachment=tuple(PointOfAttachment(p.name) for p in model.points_of_attachment))
    with pytest.raises(ModelError, match="no cell has a position"):
        cells_of(nowhere)


def tracks_by(movement: object) -> dict[str, Track]:
    at_random = {} if isinstance(movement, Path) else {"duration": "10s"}
    values = values_of(movement=str(movement), cells="2", mobiles="2", **at_random)
    return tracks_of(values, build_model(tram.TOPOLOGY, values), dict)


@pytest.mark.parametrize("movement", ["random", "manhattan"])
def test_nodes_go_at_random_around_the_cells(movement: str) -> None:
    tracks = tracks_by(movement)
    assert list(tracks) == ["mn1", "mn2"]
    assert tracks["mn1"] != tracks["mn2"]
    for track in tracks.values():
        assert track.end_s == 10
        assert all(-20 <= x <= 60 and -20 <= y <= 25 for x, y in track.points)


def test_nodes_go_as_a_trace_says(tmp_path: Path) -> None:
    trace = tmp_path / "walk.csv"
    for places, then in (("0,bus,0,0\n0,car,40,0\n10,bus,40,0", (40, 0)), ("0,mn2,7,0\n0,mn1,3,0", (3, 0))):
        trace.write_text(f"t,node,x,y\n{places}\n")
        assert tracks_by(trace)["mn1"].points[-1] == then
    for places, what in (("0,mn2,7,0\n0,bus,40,0", "no mn1 in it"), ("0,bus,7,0", "1 nodes for 2 mobile nodes")):
        trace.write_text(f"t,node,x,y\n{places}\n")
        with pytest.raises(ModelError, match=rf"walk\.csv: {what}"):
            tracks_by(trace)
    with pytest.raises(OptionError, match="neither own, random, manhattan nor a file"):
        tracks_by("flying")


def network_of(model: Lab) -> EmulatedNetwork:
    """As far as it is asked without a namespace."""
    nothing = SimpleNamespace(check_alive=lambda: None)
    return cast("EmulatedNetwork", SimpleNamespace(model=model, processes=nothing))


def test_agents_are_told_what_is_foreseen_and_where_a_link_leads_before_it_is_there() -> None:
    model = build_model(tram.TOPOLOGY, values_of(cells="2"))
    events = [
        LinkEvent(0.0, "mn1", "link_up", "poa1"),
        LinkEvent(1.0, "mn1", "link_going_down", "poa1", in_s=0.5, next_cell="poa2"),
        LinkEvent(1.5, "mn1", "link_down", "poa1"),
        LinkEvent(1.55, "mn1", "link_up", "poa2"),
        LinkEvent(2.0, "mn1", "link_down", "poa2"),
        LinkEvent(2.0, "mn1", "link_up", "poa1"),
        LinkEvent(3.0, "mn1", "link_going_down", "poa1"),
    ]
    told = list(as_told(network_of(model), events))
    assert [(at_s, node) for at_s, node, _ in told] == [
        (1.0, "mn1"),
        (pytest.approx(1.55 - PLACE_TOLD_BEFORE_S), "mn1"),
        (2.0, "mn1"),  # not before the last link has gone
        (3.0, "mn1"),
    ]
    first: dict[str, Any] = {"interface": "mn1-radio", "point_of_attachment": "poa1"}
    assert told[0][2] == {
        "event": "link_going_down", "in_s": 0.5, "next": "poa2", "next_interface": "mn1-radio", **first,
    }  # fmt: skip
    assert told[2][2] == {"event": "link_up", **first}
    assert told[3][2] == {"event": "link_going_down", **first}
    second = replace(events[3], radio=1)
    with pytest.raises(ModelError, match="a link event of radio 1, and it has 1"):
        list(as_told(network_of(model), [second]))


def test_a_time_table_happens_in_order_and_its_drift_is_measured() -> None:
    done: list[str] = []
    moments = [
        Moment(0.05, 2, lambda: done.append("third")),
        Moment(0.05, 1, lambda: done.append("second")),
        Moment(0.0, 9, lambda: done.append("first")),
    ]
    drift = pass_through(network_of(build_model(tram.TOPOLOGY, values_of(cells="2"))), moments)
    assert done == ["first", "second", "third"]
    assert 0 <= drift.median_s <= drift.worst_s < 5
    assert str(Drift(0.0005, 0.0123)) == "12.3 ms late at worst, 0.5 ms in the middle"


def test_what_is_told_late_or_wrong_is_said_beforehand() -> None:
    for given, said in (
        ({"cells": "3"}, []),
        ({"cells": "3", "prediction": "wrong"}, ["the node is told of"] * 2),
        ({"cells": "3", "prediction": "late", "late_by": "1s"}, ["2 of 2 handovers: .*nothing tells the node of it"]),
        ({"cells": "3", "speed": "300"}, ["2 of 2 handovers: .*an overlap of 30ms"]),
    ):
        values = values_of(**given)
        texts = tram.TOPOLOGY.foresee(values, build_model(tram.TOPOLOGY, values))
        assert len(texts) == len(said), texts
        assert all(re.search(pattern, text) for pattern, text in zip(said, texts, strict=True)), texts
