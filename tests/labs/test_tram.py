"""A tram through a line of cells, on real routers: each handover comes where geometry puts it, foreseen rightly or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.labs.runs import long, run

pytestmark = pytest.mark.timeout(240)

FALLS_BACK, IS_PREPARED = "fallback", "predictive"


@pytest.mark.alone  # what is foreseen must come in time
def test_a_tram_is_prepared_for_where_it_goes_and_finds_back_where_it_was_misled(tmp_path: Path) -> None:
    words = ("--cells", "4", "--speed", "90", "--prediction", "wrong=50%", "--radio-seed", "5")
    finished = run(tmp_path, "tram", *words)
    assert finished.status == 0, finished.explain()
    result = finished.result
    rows = result["handovers"]
    assert [(row["from"], row["to"]) for row in rows] == [("poa1", "poa2"), ("poa2", "poa3"), ("poa3", "poa4")]
    assert [row["outcome"] for row in rows] == [IS_PREPARED, FALLS_BACK, IS_PREPARED]
    assert result["counters"]["mn1"]["fallback"] == [IS_PREPARED, FALLS_BACK, IS_PREPARED].count(FALLS_BACK)
    for row in rows:
        assert row["measured_link_gap_ms"] == pytest.approx(50, abs=10)
        assert row["overlap_ms"] == pytest.approx(100, abs=30), "it follows from speed, distance and path loss"
    assert any("late at worst" in note for note in result["warnings"])
    assert finished.folder is not None
    assert "link to poa4" in (finished.folder / "movement.svg").read_text()


@long
@pytest.mark.alone
def test_a_line_of_six_cells_in_ipv6(tmp_path: Path) -> None:
    finished = run(tmp_path, "tram", "--family", "6", "--cells", "6", "--modes", "proactive,reactive", "--rate", "200")
    assert finished.status == 0, finished.explain()
    rows = finished.result["handovers"]
    assert [row["outcome"] for row in rows] == [IS_PREPARED] * 5 + ["reactive"] * 5


@long
def test_nodes_of_a_trace_go_through_the_cells(tmp_path: Path) -> None:
    trace = tmp_path / "fcd.xml"
    steps = "".join(
        f'<timestep time="{at}.00"><vehicle id="bus" x="{10 * at}" y="0"/><vehicle id="car" x="{80 - 10 * at}" y="0"/></timestep>'
        for at in range(9)
    )
    trace.write_text(f"<fcd-export>{steps}</fcd-export>")
    words = ("--movement", str(trace), "--cells", "3", "--mobiles", "2", "--prediction", "late=50%")
    finished = run(tmp_path, "tram", *words)
    assert finished.status == 0, finished.explain()
    ways = {(row["mn"], row["from"], row["to"]) for row in finished.result["handovers"]}
    assert ways == {("mn1", "poa1", "poa2"), ("mn1", "poa2", "poa3"), ("mn2", "poa3", "poa2"), ("mn2", "poa2", "poa1")}
