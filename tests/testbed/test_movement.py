"""Where nodes are: ways that are made, ways that are read, and what is refused."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.net.model import ModelError
from testbed.radio import traces
from testbed.radio.movement import Position, Span, Track, manhattan, random_waypoint, through
from testbed.radio.traces import Form, load, parse

AREA = (Position(-50, 0), Position(100, 80))


def test_waypoints_with_speeds_and_rests() -> None:
    track = through([Position(0, 0), Position(30, 40), Position(30, 0)], [10.0, 20.0], rests_s=[1.0, 0.5])
    assert track.times_s == (0.0, 1.0, 6.0, 6.5, 8.5)
    assert track.at(-1) == track.at(0.5) == (0, 0)
    assert track.at(3.5) == (15, 20)
    assert track.at(6.2) == (30, 40)
    assert track.at(7.5) == (30, 20)
    assert track.at(1e6) == (30, 0)
    assert track.end_s == 8.5


def test_a_track_is_cut_and_moved() -> None:
    track = through([Position(0, 0), Position(30, 0)], 10.0)
    assert track.until(2.0) == Track((0.0, 2.0), (Position(0, 0), Position(20, 0)))
    assert track.until(3.0) is track
    assert track.moved(Position(1, -1)).points == (Position(1, -1), Position(31, -1))


@given(seed=st.integers())
def test_random_waypoints_stay_in_the_area_and_within_the_speeds(seed: int) -> None:
    track = random_waypoint(AREA, Span(1, 3), Span(0, 5), 100.0, seed)
    assert track == random_waypoint(AREA, Span(1, 3), Span(0, 5), 100.0, seed)
    assert track.end_s >= 100
    for x, y in track.points:
        assert -50 <= x <= 100
        assert 0 <= y <= 80
    assert 0 in speeds(track)
    for speed in speeds(track):
        assert speed == 0 or 1 - 1e-6 <= speed <= 3 + 1e-6


@given(seed=st.integers(), turns=st.sampled_from([0.0, 0.5, 1.0]))
def test_in_a_manhattan_grid_one_goes_along_streets_and_turns_back_only_at_a_dead_end(seed: int, turns: float) -> None:
    track = manhattan((3, 2), 50.0, Span(5, 15), 120.0, seed, turns=turns)
    assert track.end_s >= 120
    for (x, y), (next_x, next_y) in pairwise(track.points):
        assert 0 <= x <= 150
        assert 0 <= y <= 100
        assert sorted((abs(next_x - x), abs(next_y - y))) == [0, 50]
    headings = [(b.x_m - a.x_m, b.y_m - a.y_m) for a, b in pairwise(track.points)]
    assert all((-dx, -dy) != after for (dx, dy), after in pairwise(headings))  # a grid has no dead end
    straight = sum(a == b for a, b in pairwise(headings))
    assert straight == 0 if turns == 1 else True
    for speed in speeds(track):
        assert 5 - 1e-6 <= speed <= 15 + 1e-6


def test_in_a_single_street_one_turns_back_at_its_ends() -> None:
    track = manhattan((2, 0), 10.0, Span(1, 1), 100.0, 1)
    assert {point.x_m for point in track.points} == {0, 10, 20}


def speeds(track: Track) -> list[float]:
    legs = zip(pairwise(track.times_s), pairwise(track.points), strict=True)
    return [math.dist(a, b) / (end - begin) for (begin, end), (a, b) in legs]


CSV = b"t,node,x,y\n5,mn1,0,0\n5,mn2,1,1\n6.5,mn1,3,4\n7,mn2,1,2\n"
SETDEST = b"""# three nodes
$node_(0) set X_ 0.0
$node_(0) set Y_ 0.0
$node_(0) set Z_ 0.0
$node_(1) set X_ 10.0
$node_(1) set Y_ 20.0
$god_ set-dist 0 1 1
$ns_ at 1.0 "$node_(0) setdest 30.0 40.0 10.0"
$ns_ at 2.0 "$node_(1) setdest 10.0 30.0 5.0"
$ns_ at 3.0 "$node_(0) setdest 12.0 96.0 20.0"
$ns_ at 20.0 "$node_(0) setdest 12.0 96.0 0.0"
"""
FCD = b"""<?xml version="1.0" encoding="UTF-8"?>
<fcd-export xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <timestep time="10.00">
    <vehicle id="bus" x="0.5" y="1.5" angle="90.00" type="t" speed="13.90" pos="5.10" lane="a_0" slope="0.00"/>
  </timestep>
  <timestep time="11.00">
    <vehicle id="bus" x="14.4" y="1.5" speed="13.90"/>
    <person id="anna" x="3" y="4" speed="1.2"/>
  </timestep>
</fcd-export>
"""


def test_a_csv_trace_is_read() -> None:
    tracks = parse(CSV, "csv", "walk.csv")
    assert list(tracks) == ["mn1", "mn2"]
    assert tracks["mn1"] == Track((0.0, 1.5), (Position(0, 0), Position(3, 4)))
    assert tracks["mn2"].times_s == (0.0, 2.0)
    mixed = b"speed, Y ,node,t,x\n9,2,mn,1,7\n\n9,3,mn,2,8\n"
    assert parse(mixed, "csv", "walk.csv")["mn"].points == (Position(7, 2), Position(8, 3))


def test_a_setdest_trace_is_read_and_a_new_way_begins_wherever_the_node_is_by_then() -> None:
    tracks = parse(SETDEST, "ns2", "city.tcl")
    assert tracks["0"].times_s == (0.0, 1.0, 3.0, 7.0, 20.0)
    # After 2 s at 10 m/s it is 20 of 50 m on its way.
    assert tracks["0"].points[:3] == (Position(0, 0), Position(0, 0), Position(12, 16))
    assert tracks["0"].points[3:] == (Position(12, 96), Position(12, 96))
    assert tracks["1"].at(3.0) == (10, 25)
    assert tracks["1"].at(99.0) == (10, 30)


def test_floating_car_data_are_read() -> None:
    tracks = parse(FCD, "sumo", "fcd.xml")
    assert tracks["bus"] == Track((0.0, 1.0), (Position(0.5, 1.5), Position(14.4, 1.5)))
    assert tracks["anna"].points == (Position(3, 4),)


@pytest.mark.parametrize(
    ("form", "text", "where", "what"),
    [
        ("csv", b"", "line 1", "no column t, node, x, y"),
        ("csv", b"t,node,x\n", "line 1", "no column y"),
        ("csv", b"t,node,x,y\n", "trace", "no node has a place"),
        ("csv", b"t,node,x,y\n1,a,0\n", "line 2", "3 values for 4 columns"),
        ("csv", b"t,node,x,y\n1,a,0,nan\n", "line 2", "y is 'nan'"),
        ("csv", b"t,node,x,y\n1,a,0,1e400\n", "line 2", "y is '1e400'"),
        ("csv", b"t,node,x,y\n-1,a,0,0\n", "line 2", "-1.0 s is no time"),
        ("csv", b"t,node,x,y\n1,a,0,9e9\n", "line 2", "is no place"),
        ("csv", b"t,node,x,y\n2,a,0,0\n1,b,0,0\n1.5,a,1,0\n", "line 4", "time of node 'a' goes from 2 s to 1.5 s"),
        ("csv", b"t,node,x,y\n2,a,0,0\n2,a,1,0\n", "line 3", "goes from 2 s to 2 s"),
        ("csv", b"t,node,x,y\n1, ,0,0\n", "line 2", "is no name of a node"),
        ("csv", b't,node,x,y\n1,"a,0,0\n', "line 2", "unexpected end of data"),
        ("csv", b"t,node,x,y\n1,\xff,0,0\n", "line 2", "no UTF-8"),
        ("ns2", b"$node_(0) set X_ 1\n", "line 1", "no place to begin at"),
        ("ns2", b"\n$node_(0) moves\n", "line 2", "neither a place nor a way"),
        ("ns2", SETDEST + b'$ns_ at 19.0 "$node_(0) setdest 1 1 1"\n', "line 12", "from 20 s to 19 s"),
        ("ns2", SETDEST + b'$ns_ at 30.0 "$node_(0) setdest 1 1 -1"\n', "line 12", "a speed of -1.0 m/s"),
        ("sumo", FCD[:-10], "line 10", "unclosed token"),
        ("sumo", FCD.replace(b'x="3" ', b""), "line 8", "<person> has no x"),
        ("sumo", FCD.replace(b"11.00", b"9.00"), "line 7", "goes from 10 s to 9 s"),
        ("sumo", b"<html></html>", "line 1", "<html> is no FCD"),
        ("sumo", b'<!DOCTYPE x [<!ENTITY a "b">]><fcd-export/>', "line 1", "DTDForbidden"),
        ("sumo", b"<fcd-export><vehicle id='a'/></fcd-export>", "line 1", "outside of a <timestep>"),
        ("sumo", FCD[:-15] + b"<person id='b' x='1' y='1'/></fcd-export>", "line 9", "outside of a <timestep>"),
    ],
)
def test_malformed_traces_are_refused_with_the_line_and_the_reason(
    form: Form, text: bytes, where: str, what: str
) -> None:
    with pytest.raises(ModelError) as raised:
        parse(text, form, "trace")
    assert raised.value.where.endswith(where)
    assert what in raised.value.what
    assert raised.value.remedy


@given(text=st.binary(max_size=200), form=st.sampled_from(["csv", "ns2", "sumo"]), begin=st.booleans())
def test_any_bytes_are_tracks_or_one_error(text: bytes, form: Form, begin: bool) -> None:
    whole = {"csv": CSV, "ns2": SETDEST, "sumo": FCD}[form] + text if begin else text
    try:
        assert parse(whole, form, "trace")
    except ModelError as error:
        assert error.where.startswith("trace")


def test_traces_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for bound, at in (("TEXT_MAXIMUM", 20), ("NODES_MAXIMUM", 1), ("POINTS_MAXIMUM", 3)):
        with monkeypatch.context() as patch:
            patch.setattr(traces, bound, at)
            with pytest.raises(ModelError, match="more than"):
                parse(CSV, "csv", "walk.csv")
    file = tmp_path / "walk.csv"
    file.write_bytes(CSV)
    monkeypatch.setattr(traces, "TEXT_MAXIMUM", 20)
    with pytest.raises(ModelError, match=r"walk\.csv: more than 0 MiB"):
        load(file)


def test_a_file_is_read_as_what_its_name_or_the_format_says(tmp_path: Path) -> None:
    for name, text in (("walk.csv", CSV), ("city.tcl", SETDEST), ("fcd.xml", FCD)):
        (tmp_path / name).write_bytes(text)
        assert load(tmp_path / name)
    (tmp_path / "trace").write_bytes(CSV)
    assert load(tmp_path / "trace", "csv")
    with pytest.raises(ModelError, match=r"rename it: \.csv is csv.*\.xml is sumo"):
        load(tmp_path / "trace")
    with pytest.raises(ModelError, match="name a file that is there"):
        load(tmp_path / "none.csv")


@pytest.mark.parametrize("speed", [0.0, -1.0, math.nan, math.inf])
def test_nobody_arrives_at_such_a_speed(speed: float) -> None:
    with pytest.raises(ModelError, match="speed"):
        through([Position(0, 0), Position(1, 0)], speed)
    with pytest.raises(ModelError):
        random_waypoint(AREA, Span(speed, 1), Span(0, 0), 1.0, 0)
    with pytest.raises(ModelError):
        manhattan((1, 1), 10.0, Span(speed, 1), 1.0, 0)


def test_tracks_that_cannot_be_are_refused() -> None:
    here = Position(0, 0)
    for times, points, what in (
        ((), (), "0 times for 0 points"),
        ((0.0,), (here, here), "1 times for 2 points"),
        ((1.0, 1.0), (here, here), "time goes from 1 s to 1 s"),
        ((math.nan,), (here,), "no time"),
        ((0.0,), (Position(math.inf, 0),), "no place"),
    ):
        with pytest.raises(ModelError, match=what):
            Track(times, points)
    with pytest.raises(ModelError, match="2 speeds for 1 legs"):
        through([here, Position(1, 0)], [1.0, 1.0])
    with pytest.raises(ModelError, match="the area is a point"):
        random_waypoint((here, here), Span(1, 1), Span(0, 0), 1.0, 0)
