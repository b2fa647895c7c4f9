"""Networks of a shape: whatever their size, they can work, and no two things in them have the same address."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.net.model import Family, Lab, ModelError, Quality, Stream
from testbed.net.shapes import Shape, campus, grid, line, ring, tree
from testbed.net.validation import validate

GROUPS = {4: "239.1.1.1", 6: "ff1e::1:1"}

SHAPES: st.SearchStrategy[Callable[[Family], Shape]] = st.one_of(
    st.builds(lambda n: lambda family: line(family, n), st.integers(1, 20)),
    st.builds(lambda n: lambda family: ring(family, n), st.integers(3, 20)),
    st.builds(lambda r, c: lambda family: grid(family, r, c), st.integers(1, 5), st.integers(1, 5)),
    st.builds(lambda d, b: lambda family: tree(family, d, b), st.integers(0, 3), st.integers(1, 3)),
    st.builds(
        lambda n, c, k: lambda family: campus(family, n, c, k), st.integers(1, 8), st.integers(1, 3), st.integers(1, 5)
    ),
)
FAMILIES: st.SearchStrategy[Family] = st.sampled_from((4, 6))


def populated(shape: Shape, mobiles: int, residents: int = 1) -> Lab:
    """A lab of the shape with a source, so many hosts in each cell, and mobile nodes."""
    shape.host("source", shape.root)
    for cell in shape.cells:
        for number in range(residents):
            shape.resident(f"h{number}{cell[3:]}", cell)
    for number in range(mobiles):
        shape.mobile(f"mn{number + 1}", shape.cells[number % len(shape.cells)])
    return shape.lab("shape", [Stream(GROUPS[shape.family], "source")])


def addresses(lab: Lab) -> list[str]:
    """Every address of the lab, without prefix length."""
    ends = [end.address for link in lab.links for end in (link.first, link.second)]
    ends += [attachment.end.address for attachment in lab.attachments]
    ends += [address for radio in lab.radios for _, address in radio.addresses]
    return [address.partition("/")[0] for address in ends]


@settings(max_examples=60, deadline=None)
@given(make=SHAPES, family=FAMILIES, mobiles=st.integers(0, 30))
def test_a_network_of_any_shape_and_size_can_work(
    make: Callable[[Family], Shape], family: Family, mobiles: int
) -> None:
    lab = populated(make(family), mobiles)
    validate(lab)  # among others: everything is reached, and no subnets overlap
    found = addresses(lab)
    assert len(found) == len(set(found))
    assert len(lab.radios) == mobiles
    assert all(len(radio.addresses) == len(lab.points_of_attachment) for radio in lab.radios)


@pytest.mark.parametrize("family", [4, 6])
def test_the_plan_has_room_for_many_mobile_nodes_in_many_cells(family: Family) -> None:
    lab = populated(campus(family, 8, 2), 200)
    validate(lab)
    assert (len(lab.routers()), len(lab.points_of_attachment), len(lab.radios)) == (11, 16, 200)
    assert len(set(addresses(lab))) == len(addresses(lab)) > 16 * 200


@pytest.mark.parametrize(
    ("shape", "routers", "links", "cells"),
    [
        (line(4, 4), 4, 3, 4),
        (ring(4, 4), 4, 4, 4),
        (grid(4, 2, 3), 6, 7, 6),
        (tree(4, 2, 2), 7, 6, 4),
        (campus(4, 3, 2), 6, 6, 6),
    ],
    ids=["line", "ring", "grid", "tree", "campus"],
)
def test_a_shape_has_the_routers_links_and_cells_of_its_name(
    shape: Shape, routers: int, links: int, cells: int
) -> None:
    lab = shape.lab("shape", [])
    assert (len(lab.routers()), len(lab.links), len(lab.points_of_attachment)) == (routers, links, cells)


def test_cells_stand_apart_and_links_are_as_asked() -> None:
    quality = Quality(delay_s=0.02, loss=0.01)
    lab = grid(6, 2, 2, quality).lab("shape", [])
    assert [cell.position for cell in lab.points_of_attachment] == [(0, 0), (50, 0), (0, 50), (50, 50)]
    assert {(link.forward, link.backward) for link in lab.links} == {(quality, quality)}


def test_what_runs_out_is_said() -> None:
    with pytest.raises(ModelError, match=r"2 cells.*give at least 3"):
        ring(4, 2)
    shape = line(4, 1)
    for number in range(253):
        shape.resident(f"h{number}", "poa1")
    with pytest.raises(ModelError, match="more than 253 hosts stay in it"):
        shape.resident("one-more", "poa1")
    with pytest.raises(ModelError, match="no router"):
        _ = Shape(4).root
