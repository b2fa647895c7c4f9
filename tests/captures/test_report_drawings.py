"""The report's drawings as figures: nothing lies on anything else, and what is drawn is what was counted."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captures.additions import Additions, Stretch, View
from captures.history.run import find_run
from captures.ladder.drawing import CHARACTER_WIDTH
from captures.mmcp.chapters import additions
from captures.mmcp.handovers import find_handovers, stream_numbers
from captures.mmcp.lab import Lab
from captures.report.axis import in_lanes, ticks
from captures.report.chapters import chapters_of, draw_scenes
from captures.report.packets import AROUND_NS, BIN_NS, LEFT, RIGHT, WIDTH, make_chart
from captures.report.seen import Seen, read_seen
from captures.report.stream_path import make_scene
from captures.report.topology import Box, Plan, make_plan
from tests.captures.reported_run import model_of
from tests.captures.scripted_lab import INTERFACES, good_lab, read_lab


def end(node: str, other: str) -> dict[str, Any]:
    return {"node": node, "interface": f"{node}-{other}", "address": "10.0.0.1/24"}


@st.composite
def models(draw: st.DrawFn) -> dict[str, Any]:
    """Labs of many shapes: a tree of routers with a link too many, cells anywhere, hosts on links and in cells, MNs."""
    routers = [f"r{i}" for i in range(draw(st.integers(0, 6)))]
    links = [(routers[draw(st.integers(0, i - 1))], routers[i]) for i in range(1, len(routers))]
    if len(routers) > 2 and draw(st.booleans()):
        links.append((routers[0], routers[-1]))
    hosts = [f"host{i}" for i in range(draw(st.integers(0, 5)))] if routers else []
    links += [(host, draw(st.sampled_from(routers))) for host in hosts]
    cells = [f"cell{i}" for i in range(draw(st.integers(0, 4)))]
    attachments = [(draw(st.sampled_from(routers)), cell) for cell in cells if routers]
    members = [f"in{i}" for i in range(draw(st.integers(0, 6)))] if cells else []
    attachments += [(member, draw(st.sampled_from(cells))) for member in members]
    mobile = [f"mn{i}" for i in range(draw(st.integers(0, 3)))] if cells else []
    names = [(name, "router") for name in routers] + [(name, "host") for name in (*hosts, *members, *mobile)]
    return {
        "nodes": [{"name": name, "kind": kind} for name, kind in draw(st.permutations(names))],
        "points_of_attachment": [{"name": cell} for cell in cells],
        "links": [{"first": end(a, b), "second": end(b, a)} for a, b in draw(st.permutations(links))],
        "attachments": [
            {"end": end(node, cell), "point_of_attachment": cell} for node, cell in draw(st.permutations(attachments))
        ],
        "radios": [
            {
                "node": node,
                "interface": "radio",
                "addresses": [[cell, "10.0.0.9/24"] for cell in cells],
                "initially": cells[0],
            }
            for node in mobile
        ],
        "settings": {"routing": {"rendezvous_point": "10.0.0.1"}},
    }


def overlap(one: Box, other: Box) -> bool:
    return (
        abs(one.x - other.x) < (one.width + other.width) / 2 and abs(one.y - other.y) < (one.height + other.height) / 2
    )


def inside(box: Box, plan: Plan) -> bool:
    left, top = box.x - box.width / 2, box.y - box.height / 2
    return left >= 0 and top >= 0 and left + box.width <= plan.width and top + box.height <= plan.height


@given(models())
def test_no_two_nodes_are_drawn_in_one_place(model: dict[str, Any]) -> None:
    plan = make_plan(model)
    assert {box.name for box in plan.nodes} | set(plan.radios) == {node["name"] for node in model["nodes"]}
    assert {cell.name for cell in plan.cells} == {cell["name"] for cell in model["points_of_attachment"]}
    cells = [cell.name for cell in plan.cells]
    for where in ((), *((cell,) for cell in cells), tuple(cells[:2])):
        mobile = [plan.mobile_node(name, where) for name in plan.radios]
        for first, second in combinations([*plan.nodes, *plan.heads, *mobile], 2):
            assert not overlap(first, second), (where, first, second)
        assert all(inside(box, plan) for box in (*plan.nodes, *plan.cells, *mobile))
    for first, second in combinations(plan.cells, 2):
        assert not overlap(first, second), (first, second)


@given(models())
def test_a_node_stands_in_a_cell_only_if_it_belongs_there(model: dict[str, Any]) -> None:
    plan = make_plan(model)
    members = {(a["end"]["node"], a["point_of_attachment"]) for a in model["attachments"]}
    for cell in plan.cells:
        for box in plan.nodes:
            assert not overlap(cell, box) or ((box.name, cell.name) in members and box.name not in plan.routers)
        for name in plan.radios:
            mobile = plan.mobile_node(name, (cell.name,))
            assert abs(mobile.x - cell.x) + mobile.width / 2 <= cell.width / 2


@given(st.lists(st.tuples(st.floats(0, 1000), st.text("abc ", min_size=1, max_size=14)), max_size=12))
def test_labels_do_not_meet(places: list[tuple[float, str]]) -> None:
    labels = in_lanes(places, 1000)
    assert sorted((label.at, label.text) for label in labels) == sorted(places)
    spans: dict[int, list[tuple[float, float]]] = {}
    for label in labels:
        size = len(label.text) * CHARACTER_WIDTH
        left = label.at if label.anchor == "start" else label.at - size
        assert left + size <= 1000
        spans.setdefault(label.lane, []).append((left, left + size))
    for lane in spans.values():
        for (_, before), (after, _) in combinations(sorted(lane), 2):
            assert before <= after


@given(st.floats(-1e6, 1e6), st.floats(0.1, 1e6), st.integers(1, 20))
def test_ticks_are_round_and_few(begin: float, span: float, most: int) -> None:
    found = ticks(begin, begin + span, most)
    assert len(found) <= most + 1
    assert all(begin - span / 1000 <= tick <= begin + span * 1.001 for tick in found)


def first_stretch(timeline: Lab) -> Stretch:
    stretch = additions(timeline, {}, ()).parts[0].stretch
    assert stretch is not None
    return stretch


@pytest.fixture
def timeline(tmp_path: Path) -> Lab:
    return read_lab(good_lab().write(tmp_path / "lab.pcapng"))


@pytest.fixture
def seen(tmp_path: Path) -> Seen:
    return read_seen(find_run(str(good_lab().write(tmp_path / "seen.pcapng"))))


def test_packets_are_counted_by_ten_milliseconds_around_link_down(timeline: Lab, seen: Seen) -> None:
    handover = find_handovers(timeline)[0]
    chart = make_chart(seen, first_stretch(timeline), {"poa1": INTERFACES["lmc1"], "poa2": INTERFACES["lmc2"]})
    assert [row.name for row in chart.rows] == ["poa1", "poa2", "mn"]
    assert handover.down_ns is not None
    begin = handover.down_ns + chart.begin_ms * 1_000_000
    for row in chart.rows:
        flow = timeline.flow(row.interface)
        end_ns = begin + len(row.counts) * 10_000_000
        assert sum(row.counts) == sum(begin <= t_ns < end_ns for t_ns in flow.t_ns) > 0
    mine = dict(zip(range(chart.begin_ms, 10**6, 10), chart.rows[-1].counts, strict=False))
    assert [mine[ms] for ms in range(-20, 80, 10)] == [1, 1, 0, 0, 0, 0, 0, 1, 1, 1]
    table = chart.table()
    assert table[0][0].startswith(f"{chart.begin_ms} to ")
    assert any(counts[-1] == 0 for _, counts in table)


def test_the_longest_gap_and_the_time_without_link_are_marked(timeline: Lab, seen: Seen) -> None:
    handover = find_handovers(timeline)[0]
    chart = make_chart(seen, first_stretch(timeline), {})
    numbers = stream_numbers(timeline.flow(handover.mn.interface), handover.begin_ns, handover.end_ns)
    assert numbers is not None
    assert chart.link_gap is not None
    assert chart.longest_gap is not None
    per_ms = (WIDTH - LEFT - RIGHT) / (len(chart.rows[0].counts) * 10)
    assert chart.link_gap.width == pytest.approx(50 * per_ms)
    assert chart.longest_gap.width == pytest.approx((numbers.gap_end_ns - numbers.gap_begin_ns) / 1e6 * per_ms)
    assert chart.longest_gap.label is not None
    assert (
        chart.longest_gap.label.text == f"{(numbers.gap_end_ns - numbers.gap_begin_ns) / 1e6:.1f} ms without a packet"
    )
    assert [label.text for label in chart.labels] == ["HIR", "HIC", "link down", "link up", "first packet"]


def test_a_link_is_drawn_as_carrying_only_where_data_was_seen(timeline: Lab, seen: Seen) -> None:
    handover = find_handovers(timeline)[0]
    plan = make_plan(model_of(good_lab()))
    scene = make_scene(
        seen,
        plan,
        View("Before", handover.begin_ns, handover.begin_ns + 1_000_000, ("poa1",)),
        "mn",
        where={"mn": "poa2", "stranger": "poa9"},
        source=None,
    )
    titles = {line.title: line.carrying for line in scene.lines}
    assert titles["lmc1 \N{EN DASH} poa1: 1 data packets"] == "carries"
    assert titles["poa1 \N{EN DASH} mn: 1 data packets"] == "carries"
    assert titles["lmc2 \N{EN DASH} poa2: 0 data packets"] == "idle"
    assert titles["mcs \N{EN DASH} rr: not captured"] == "idle"


def test_who_has_moved_is_drawn_where_it_is(timeline: Lab, seen: Seen) -> None:
    model = model_of(good_lab())
    model["radios"].append({**model["radios"][0], "node": "other"})
    plan = make_plan(model)
    first, second = additions(timeline, {}, ()).parts
    assert first.stretch is not None
    moved = replace(first, stretch=replace(first.stretch, node="other"))
    both = [Additions((moved, second))]
    chapters, _ = chapters_of(seen, both, ())
    draw_scenes(seen, both, chapters, plan, None)
    [box] = [box for box in chapters[-1].scenes[0].mobile_nodes if box.name == "other"]
    assert box == plan.mobile_node("other", ("poa2",)) != plan.mobile_node("other", ("poa1",))


@pytest.mark.parametrize(
    ("field", "days"), [("begin_ns", -19_000), ("end_ns", 1), ("zero_ns", 1), ("zero_ns", -1), ("no_link", 9)]
)
def test_a_handover_without_end_is_drawn_around_link_down(timeline: Lab, seen: Seen, field: str, days: int) -> None:
    good, later = first_stretch(timeline), days * 86_400 * 10**9
    assert good.no_link is not None
    wrong: dict[str, Any] = {"no_link": (good.no_link[0], good.no_link[1] + later)}
    odd = replace(good, **(wrong if field == "no_link" else {field: getattr(good, field) + later}))
    chart = make_chart(seen, odd, {"cell 1": "lmc1:lmc1-poa1"})
    assert all(len(row.counts) <= 2 * AROUND_NS // BIN_NS for row in chart.rows)
    assert sum(chart.rows[-1].counts) > 50
    assert all(chart.left - 1 <= mark.x <= chart.right + 1 for mark in chart.marks)
    assert ("are drawn" in chart.note) == (field in ("begin_ns", "end_ns"))
