"""What the links of a moving node do: each case from a geometry of its own, and what no geometry may bring about."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.net.model import ModelError
from testbed.radio.link_events import (
    RIGHT,
    LinkEvent,
    Prediction,
    attached_at_first,
    intervals,
    link_events,
)
from testbed.radio.movement import Position, Span, Track, random_waypoint, through
from testbed.radio.propagation import Propagation, RadioParameters

USUAL = RadioParameters()
TWO = {"west": Position(0, 0), "east": Position(40, 0)}
EASTWARDS = through([Position(0, 0), Position(40, 0)], 10.0)


def events_of(
    cells: dict[str, Position],
    track: Track,
    parameters: RadioParameters = USUAL,
    *,
    radios: int = 1,
    prediction: Prediction = RIGHT,
) -> list[LinkEvent]:
    propagation = Propagation(cells, parameters)
    return link_events(propagation, parameters, {"mn": track}, radios=radios, prediction=prediction)


def brief(events: list[LinkEvent]) -> list[tuple[str, str]]:
    return [(event.kind, event.cell) for event in events]


def crossing_m(ahead_db: float, apart_m: float = 40.0, exponent: float = 3.0) -> float:
    """Where, from the first of two cells, the second is so much stronger."""
    ratio = 10 ** (ahead_db / (10 * exponent))
    return apart_m * ratio / (1 + ratio)


def test_between_two_cells_on_a_line_the_link_changes_where_the_path_loss_says() -> None:
    events = events_of(TWO, EASTWARDS)
    assert brief(events) == [
        ("link_detected", "west"),
        ("link_detected", "east"),
        ("link_up", "west"),
        ("link_going_down", "west"),
        ("link_down", "west"),
        ("link_up", "east"),
    ]
    *_, warning, down, up = events
    speed = 10.0
    assert warning.at_s == pytest.approx(crossing_m(0) / speed, abs=USUAL.interval_s)
    assert down.at_s == pytest.approx(crossing_m(3) / speed, abs=USUAL.interval_s)
    assert up.at_s - down.at_s == pytest.approx(USUAL.gap_s, abs=1e-6)
    assert warning.in_s == pytest.approx(down.at_s - warning.at_s, abs=1e-6)
    assert (warning.next_cell, warning.prediction) == ("east", "right")
    assert attached_at_first(events) == {"mn": "west"}


def test_a_cell_is_detected_at_its_range() -> None:
    far = {"west": Position(0, 0), "east": Position(300, 0)}
    events = events_of(far, through([Position(0, 0), Position(300, 0)], 100.0))
    detected = next(event for event in events if (event.kind, event.cell) == ("link_detected", "east"))
    assert 300 - 100 * detected.at_s == pytest.approx(USUAL.range_m(USUAL.detect_dbm), abs=100 * USUAL.interval_s)


def test_a_cell_that_was_lost_is_detected_again_and_one_at_its_edge_is_not_lost() -> None:
    far = {"west": Position(0, 0), "east": Position(500, 0)}
    edge_m = USUAL.range_m(USUAL.detect_dbm)
    away = [Position(0, 0), Position(500, 0), Position(0, 0)]
    edge = [Position(0, 0), *[Position(edge_m + off_m, 0) for off_m in (5, -5) * 3]]
    for way, times in ((away, 2), (edge, 1)):
        events = events_of(far, through(way, 100.0))
        assert brief(events).count(("link_detected", "west")) == times


def test_between_cells_that_are_far_apart_is_a_dead_zone() -> None:
    far = {"west": Position(0, 0), "east": Position(600, 0)}
    events = events_of(far, through([Position(0, 0), Position(600, 0)], 60.0))
    (_, _, _, lost_s), (cell, _, found_s, _) = intervals(events, "mn")
    assert cell == "east"
    assert lost_s is not None
    assert found_s - lost_s > 2.0  # far longer than the gap: nothing is heard there
    assert 60 * lost_s == pytest.approx(USUAL.range_m(USUAL.down_dbm), abs=1)
    assert 600 - 60 * found_s == pytest.approx(USUAL.range_m(USUAL.detect_dbm), abs=1)
    warning = next(event for event in events if event.kind == "link_going_down")
    assert 60 * warning.at_s == pytest.approx(USUAL.range_m(USUAL.going_down_dbm), abs=1)
    assert warning.next_cell == "east"  # what comes at last, though nobody hears it yet


def test_where_the_cells_end_the_link_goes_and_none_comes() -> None:
    events = events_of({"only": Position(0, 0)}, through([Position(0, 0), Position(400, 0)], 100.0))
    assert brief(events)[-2:] == [("link_going_down", "only"), ("link_down", "only")]
    assert events[-2].next_cell == ""


def test_back_and_forth_over_the_border_changes_cells_each_time_unless_the_hysteresis_holds_them() -> None:
    border = through([Position(0, 0), *[Position(x, 0) for x in (22, 18) * 5]], 10.0)
    # At 22 m the farther cell is 2.6 dB stronger.
    changing, held = (events_of(TWO, border, replace(USUAL, hysteresis_db=each)) for each in (1.0, 3.0))
    assert sum(event.kind == "link_down" for event in changing) == 10
    assert not any(event.kind == "link_down" for event in held)
    told = [event for event in held if event.kind == "link_going_down"]
    # It turned back each time, by less than the hysteresis: one warning stands for all.
    assert [(event.in_s, event.next_cell) for event in told] == [(None, "east")]


def test_a_node_that_stands_has_a_link_and_no_more_events() -> None:
    assert brief(events_of(TWO, Track((0.0, 5.0), (Position(15, 3), Position(15, 3))))) == [
        ("link_detected", "west"),
        ("link_detected", "east"),
        ("link_up", "west"),
    ]


def test_two_radios_make_the_next_link_before_the_last_one_breaks() -> None:
    events = events_of(TWO, EASTWARDS, radios=2)
    first, second = intervals(events, "mn")
    assert (first[:2], second[:2]) == (("west", 0), ("east", 1))
    assert first[3] is not None
    overlap_s = first[3] - second[2]
    assert overlap_s == pytest.approx((crossing_m(6) - crossing_m(3)) / 10, abs=2 * USUAL.interval_s)
    warning = next(event for event in events if event.kind == "link_going_down")
    assert warning.at_s < second[2]
    assert (warning.next_cell, warning.next_radio, warning.radio) == ("east", 1, 0)
    assert warning.in_s == pytest.approx(first[3] - warning.at_s, abs=1e-6)


def test_what_is_told_late_comes_so_much_later_or_not_at_all() -> None:
    on_time, late, too_late = (
        [
            event
            for event in events_of(TWO, EASTWARDS, prediction=Prediction(late=1.0, late_by_s=by_s))
            if event.kind == "link_going_down"
        ]
        for by_s in (0.0, 0.1, 0.5)
    )
    assert late[0].at_s - on_time[0].at_s == pytest.approx(0.1)
    assert on_time[0].in_s is not None
    assert late[0].in_s == pytest.approx(on_time[0].in_s - 0.1)
    assert late[0].prediction == "late"
    assert too_late == []


def test_what_is_told_wrong_names_another_cell() -> None:
    cells = {f"poa{number}": Position(40 * number, 0) for number in range(6)}
    track = through([Position(0, 0), Position(200, 0)], 20.0)
    right = events_of(cells, track)
    wrong = events_of(cells, track, prediction=Prediction(wrong=1.0))
    differing = [(a, b) for a, b in zip(right, wrong, strict=True) if a != b]
    assert len(differing) == 5
    for was, told in differing:
        assert told == replace(was, next_cell=told.next_cell, prediction="wrong")
        assert told.next_cell not in (was.cell, was.next_cell, "")
    # With two cells there is no other one.
    assert events_of(TWO, EASTWARDS, prediction=Prediction(wrong=1.0)) == events_of(TWO, EASTWARDS)


def test_predictions_are_as_good_as_they_shall_be() -> None:
    cells = {f"poa{number}": Position(40 * number, 0) for number in range(10)}
    there_and_back = through([Position(x, 0) for x in (0, 360) * 10], 40.0)
    prediction = Prediction(late=0.3, wrong=0.2, late_by_s=0.01)
    told = [e for e in events_of(cells, there_and_back, prediction=prediction) if e.kind == "link_going_down"]
    shares = {kind: sum(event.prediction == kind for event in told) / len(told) for kind in ("right", "late", "wrong")}
    assert len(told) == 19 * 9
    for kind, share in (("right", 0.5), ("late", 0.3), ("wrong", 0.2)):
        assert shares[kind] == pytest.approx(share, abs=3 * math.sqrt(share * (1 - share) / len(told))), kind


def test_shadowing_is_a_function_of_place_and_seed() -> None:
    parameters = RadioParameters(shadowing_db=8.0)
    here, there = Position(31.0, 7.0), Position(-12.0, 55.0)
    first, again, other = (Propagation(TWO, each) for each in (parameters, parameters, replace(parameters, seed=1)))
    assert first.heard(here) == again.heard(here)
    assert first.heard(here) != other.heard(here)
    assert first.heard(here) != first.heard(there)
    twins = Propagation({"one": here, "other": here}, parameters).heard(there)
    assert twins["one"] != twins["other"]


def test_shadowing_changes_gradually() -> None:
    field = Propagation({"cell": Position(0, 1000)}, RadioParameters(shadowing_db=8.0))
    for axis in (Position(0.01, 0), Position(0, 0.01)):
        walk = [field.heard_dbm("cell", Position(n * axis.x_m, n * axis.y_m)) for n in range(1000)]
        steps = [abs(after - before) for before, after in pairwise(walk)]
        assert max(steps) < 0.2
        assert max(walk) - min(walk) > 1


def test_shadowing_has_the_spread_and_the_correlation_distance_asked_for() -> None:
    """Over many fields: the deviation, and e^-1 at the correlation distance."""
    here, apart = Position(0.0, 0.0), Position(20.0, 0.0)
    cell = {"cell": Position(10.0, 500.0)}  # equally far from both
    fields = [Propagation(cell, RadioParameters(shadowing_db=6.0, correlation_m=20.0, seed=n)) for n in range(1500)]
    plain = Propagation(cell, USUAL).heard_dbm("cell", here)
    pairs = [(field.heard_dbm("cell", here) - plain, field.heard_dbm("cell", apart) - plain) for field in fields]
    variance = sum(a * a for a, _ in pairs) / len(pairs)
    assert math.sqrt(variance) == pytest.approx(6.0, rel=0.08)
    assert sum(a * b for a, b in pairs) / len(pairs) / variance == pytest.approx(math.exp(-1), abs=0.08)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"exponent": 0.0}, "exponent is 0.0"),
        ({"exponent": math.nan}, "exponent is nan"),
        ({"transmit_dbm": math.inf}, "transmit_dbm is inf"),
        ({"hysteresis_db": -1.0}, "hysteresis_db is -1.0"),
        ({"interval_s": 0.0}, "interval_s is 0.0"),
        ({"down_dbm": -80.0}, "give down_dbm below going_down_dbm"),
        ({"detect_dbm": -95.0}, "give down_dbm below detect_dbm"),
        ({"shadowing_db": -0.1}, "shadowing_db is -0.1"),
    ],
)
def test_impossible_radios_are_refused(wrong: dict[str, float], named: str) -> None:
    with pytest.raises(ModelError, match=named):
        replace(USUAL, **wrong)  # type: ignore[arg-type]  # all of these are floats


def test_impossible_runs_are_refused() -> None:
    for shares in ({"late": -0.1}, {"late": 0.6, "wrong": 0.6}, {"late_by_s": math.nan}):
        with pytest.raises(ModelError, match="prediction"):
            Prediction(**shares)  # type: ignore[arg-type]  # all of these are floats
    with pytest.raises(ModelError, match="3 radios"):
        events_of(TWO, EASTWARDS, radios=3)
    with pytest.raises(ModelError, match="no cells"):
        events_of({}, EASTWARDS)
    with pytest.raises(ModelError, match=r"cell west: .* is no place"):
        events_of({"west": Position(math.nan, 0)}, EASTWARDS)
    with pytest.raises(ModelError, match="no node moves"):
        link_events(Propagation(TWO, USUAL), USUAL, {})
    forever = Track((0.0, 600_000.0), (Position(0, 0), Position(1, 0)))
    with pytest.raises(ModelError, match="measure 50000000 times at most"):
        events_of(TWO, forever)


PLACES = st.builds(Position, st.floats(-300, 300), st.floats(-300, 300))
PARAMETERS = st.builds(
    RadioParameters,
    exponent=st.floats(2, 4),
    shadowing_db=st.sampled_from([0.0, 6.0]),
    hysteresis_db=st.sampled_from([0.0, 1.0, 3.0]),
    gap_s=st.sampled_from([0.0, 0.05, 0.33]),
    interval_s=st.sampled_from([0.05, 0.1]),
    seed=st.integers(0, 5),
)
PREDICTIONS = st.builds(
    Prediction, late=st.sampled_from([0.0, 0.5]), wrong=st.sampled_from([0.0, 0.5]), late_by_s=st.floats(0, 2)
)


@settings(max_examples=60, deadline=None)
@given(
    places=st.lists(PLACES, min_size=1, max_size=5),
    parameters=PARAMETERS,
    prediction=PREDICTIONS,
    radios=st.sampled_from([1, 2]),
    seed=st.integers(),
)
def test_no_geometry_makes_an_impossible_sequence(
    places: list[Position], parameters: RadioParameters, prediction: Prediction, radios: int, seed: int
) -> None:
    cells = {f"poa{number}": place for number, place in enumerate(places)}
    area = (Position(-200, -200), Position(200, 200))
    track = random_waypoint(area, Span(20, 60), Span(0, 2), 15.0, seed)
    events = events_of(cells, track, parameters, radios=radios, prediction=prediction)
    assert events == events_of(cells, track, parameters, radios=radios, prediction=prediction)
    links: dict[int, str] = {}
    went: dict[int, float] = {}
    for before, after in pairwise(events):
        assert before.at_s <= after.at_s
    detected: set[str] = set()
    for number, event in enumerate(events):
        assert 0 <= event.radio < radios
        match event.kind:
            case "link_detected":
                detected.add(event.cell)
            case "link_up":
                assert event.cell in detected
                assert event.radio not in links
                assert event.cell not in links.values()
                if event.radio in went:
                    assert event.at_s - went[event.radio] >= parameters.gap_s - 1e-6
                links[event.radio] = event.cell
            case "link_going_down":
                assert links[event.radio] == event.cell
                assert event.next_cell != event.cell or event.in_s is not None  # it may come back to where it was
                if event.in_s is not None:
                    down = next(e for e in events[number:] if e.kind == "link_down" and e.radio == event.radio)
                    assert event.in_s == pytest.approx(down.at_s - event.at_s, abs=1e-5)
            case "link_down":
                assert links.pop(event.radio) == event.cell
                went[event.radio] = event.at_s
