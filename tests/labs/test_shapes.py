"""Labs of many cells and many mobile nodes, small ones here: every handover of every node is measured, and the routers' part told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testbed.host.sandbox import our_program
from tests.labs.runs import long, run

pytestmark = pytest.mark.lab


def test_people_walk_over_a_campus_with_ospf(tmp_path: Path) -> None:
    words = ("--networks", "2", "--mobiles", "4", "--duration", "9s", "--speed", "40", "--modes", "proactive")
    finished = run(tmp_path, "campus", *words)
    assert finished.status == 0, finished.explain()
    result = finished.result
    assert len(result["handovers"]) > 0
    assert len({row["mn"] for row in result["handovers"]}) > 1
    (mode,) = result["modes"]
    assert mode["handovers"] == len(result["handovers"])
    assert mode["failed"] == 0
    routers = {row["router"]: row for row in result["routers"]}
    assert set(routers) == {"c1", "c2", "c3", "ar1", "ar2"}
    assert sum(row["reports"] for row in routers.values()) > 0
    assert all(row["reports"] == row["leaves"] == 0 for name, row in routers.items() if name.startswith("c"))
    assert max(row["peak_entries"] for row in routers.values()) <= 3  # one group, whatever the nodes do


def test_a_strangers_agent_walks_and_leaves_when_it_is_stopped(tmp_path: Path) -> None:
    words = [*our_program("agents"), "mmcp", "mn", "--config", "{config}"]
    configuration = tmp_path / "lab.toml"
    configuration.write_text(f"[external]\nmn1 = {json.dumps(words)}\n")
    alone = ("--mobiles", "1", "--handovers", "1", "--modes", "proactive", "--overlap", "60ms")
    finished = run(tmp_path, "famh", *alone, "--lab-config", str(configuration))
    assert finished.status == 0, finished.explain()
    # What was said before it began is in the result too.
    assert any("an overlap of 60ms, and the exchange may take" in text for text in finished.result["warnings"])


@long
@pytest.mark.parametrize("family", ["4", "6"])
def test_everybody_goes_at_once(tmp_path: Path, family: str) -> None:
    finished = run(tmp_path, "stadium", "--mobiles", "20", "--family", family)
    assert finished.status == 0, finished.explain()
    rows = finished.result["handovers"]
    assert [row["outcome"] for row in rows] == ["predictive"] * 20
    assert {(row["from"], row["to"]) for row in rows} == {("poa1", "poa2"), ("poa1", "poa3")}
    said = (tmp_path / "latest" / "logs" / "nursery.log").read_text()
    assert said == "ready\n"  # so many share what they have in common


@long
def test_an_agent_that_reports_for_nodes_against_none(tmp_path: Path) -> None:
    finished = run(tmp_path, "famh", "--mobiles", "4")
    assert finished.status == 0, finished.explain()
    result = finished.result
    assert [row["mode"] for row in result["handovers"]] == ["proactive"] * 4 + ["reactive"] * 4
    disruption, loss = result["comparison"]
    assert (disruption["published"], loss["published"]) == ("0.08", "0.25")
    assert float(disruption["ratio"]) < 0.8
    assert float(loss["ratio"]) < 0.8
