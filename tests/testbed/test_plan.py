"""Link events of many nodes become handovers, each with a window of its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from testbed.mmcp.plan import LEAD_S, completed, handovers_of, walks
from testbed.radio.link_events import LinkEvent


def test_a_walk_is_one_handover_for_each_step_of_its_path() -> None:
    events = walks({"mn1": ["a", "b", "c"]}, every_s=3, first_s={"mn1": 1.0}, gap_s=0.05, overlap_s=0.2)
    found = handovers_of(events, settle_s=1.0)
    assert [(each.number, each.origin, each.target) for each in found] == [(1, "a", "b"), (2, "b", "c")]
    first = found[0]
    assert (first.begin_s, first.down_s, first.up_s, first.end_s) == (1 - LEAD_S, 1.2, 1.25, 2.25)
    assert (round(first.gap_s, 6), round(first.overlap_s, 6)) == (0.05, 0.2)
    assert first.told is not None
    assert (first.told.next_cell, first.told.at_s) == ("b", 1.0)


def test_handovers_of_several_nodes_are_numbered_as_they_begin() -> None:
    events = walks(
        {"mn1": ["a", "b"], "mn2": ["b", "a"]}, every_s=3, first_s={"mn1": 2.0, "mn2": 1.0}, gap_s=0, overlap_s=0.1
    )
    assert [(each.number, each.node) for each in handovers_of(events, 1.0, after=7)] == [(8, "mn2"), (9, "mn1")]


def test_one_that_nothing_announces_begins_before_its_link_goes() -> None:
    events = [
        LinkEvent(0, "mn", "link_up", "a"),
        LinkEvent(5, "mn", "link_down", "a"),
        LinkEvent(7, "mn", "link_up", "b"),
    ]
    (found,) = handovers_of(events, settle_s=1.0)
    assert (found.told, found.begin_s, found.overlap_s, found.end_s) == (None, 5 - LEAD_S, 0.0, 8.0)


def test_a_link_that_comes_again_in_the_same_cell_is_no_handover() -> None:
    events = [
        LinkEvent(0, "mn", "link_up", "a"),
        LinkEvent(5, "mn", "link_down", "a"),
        LinkEvent(7, "mn", "link_up", "a"),
    ]
    assert handovers_of(events, settle_s=1.0) == []


def test_a_link_that_goes_and_none_that_comes_is_left_as_it_is_when_the_movement_ends() -> None:
    whole = walks({"mn": ["a", "b"]}, every_s=3, first_s={"mn": 1.0}, gap_s=0.1, overlap_s=0.2)
    cut = [
        LinkEvent(5, "mn", "link_detected", "c"),
        LinkEvent(6, "mn", "link_going_down", "b", in_s=1, next_cell="c"),
        LinkEvent(7, "mn", "link_down", "b"),
    ]
    assert completed([*whole, *cut]) == [*whole, cut[0]]
    assert completed([*whole, *cut, LinkEvent(8, "mn", "link_up", "c")])[-2:] == [
        cut[2],
        LinkEvent(8, "mn", "link_up", "c"),
    ]


@given(
    steps=st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2), st.floats(0, 2)), min_size=1, max_size=20),
    settle_s=st.floats(0.1, 5),
)
def test_windows_of_one_node_hold_their_handover_and_do_not_overlap(
    steps: list[tuple[float, float, float]], settle_s: float
) -> None:
    now, events = 0.0, [LinkEvent(0, "mn", "link_up", "0")]
    for number, (stays, overlap, gap) in enumerate(steps):
        told, down, up = now + stays, now + stays + overlap, now + stays + overlap + gap
        events += [
            LinkEvent(told, "mn", "link_going_down", str(number), in_s=overlap, next_cell=str(number + 1)),
            LinkEvent(down, "mn", "link_down", str(number)),
            LinkEvent(up, "mn", "link_up", str(number + 1)),
        ]
        now = up
    found = handovers_of(events, settle_s)
    assert len(found) == len(steps)
    for each, following in zip(found, [*found[1:], None], strict=True):
        assert each.told is not None
        assert each.begin_s <= each.told.at_s <= each.down_s <= each.up_s <= each.end_s
        assert following is None or each.end_s <= following.begin_s
