"""What is printed and drawn of a movement."""

from __future__ import annotations

import json
from pathlib import Path

import defusedxml.ElementTree
from click.testing import CliRunner

from testbed.commands.program import main
from topologies.tram import CELLS_MAX


def printed(*words: str, status: int = 0) -> str:
    done = CliRunner().invoke(main, ["movement", *words])
    assert done.exit_code == status, done.output
    assert ("where the nodes go: " in done.stderr) == ("tram" in words), "it takes seconds for many nodes"
    return done.stderr if status else done.stdout


def test_a_trace_against_the_cells_of_a_lab(tmp_path: Path) -> None:
    trace = tmp_path / "walk.csv"
    trace.write_text("t,node,x,y\n0,bus,0,0\n10,bus,80,0\n")
    lines = printed("tram", "--cells", "3", "--movement", str(trace)).splitlines()
    assert lines[-1] == "mn1: 3 links, 0.10 s without one in between"
    warned = next(line for line in lines if "link_going_down  poa1" in line)
    assert warned.endswith("poa1 in 310 ms next poa2")
    events = json.loads(printed("tram", "--cells", "3", "--movement", str(trace), "--json"))
    assert [event["cell"] for event in events if event["kind"] == "link_up"] == ["poa1", "poa2", "poa3"]


def test_a_map_shows_cells_ways_and_where_links_change(tmp_path: Path) -> None:
    map_ = tmp_path / "map.svg"
    printed("tram", "--cells", "3", "--mobiles", "2", "--svg", str(map_))
    drawing = defusedxml.ElementTree.parse(map_).getroot()
    texts = [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert sorted(texts) == ["mn1", "mn2", "poa1", "poa2", "poa3"]
    titles = [title.text for title in drawing.iter("{http://www.w3.org/2000/svg}title")]
    assert sum("link to" in title for title in titles) == 4
    assert titles[0] == "3 cells, 2 nodes"


def test_what_cannot_be_is_one_line(tmp_path: Path) -> None:
    assert "nobody knows beforehand how its nodes move" in printed("handover", status=2)
    trace = tmp_path / "walk.csv"
    trace.write_text("t,node,x,y\n0,bus,0,zero\n")
    assert "walk.csv, line 2: y is 'zero'" in printed("tram", "--movement", str(trace), status=2)


def test_more_cells_than_the_router_has_interfaces_for_are_out_of_bounds() -> None:
    assert printed("tram", "--cells", str(CELLS_MAX)).count("links, ") == 1
    done = CliRunner().invoke(main, ["movement", "tram", "--cells", str(CELLS_MAX + 1)])
    assert (done.exit_code, f"out of bounds: 2 to {CELLS_MAX}" in done.stderr) == (2, True), done.stderr
