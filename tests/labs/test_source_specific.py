"""A source-specific group on real routers: joined from its source by LMCs and MN, handed over as any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.labs.runs import long, run

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("family", [pytest.param("4", marks=long), "6"])
def test_walk_with_a_source_specific_group(tmp_path: Path, family: str) -> None:
    finished = run(tmp_path, "ssm", "--family", family, "--repeat", "2")
    assert finished.status == 0, finished.explain()
    result = finished.result
    assert [row["outcome"] for row in result["handovers"]] == ["predictive", "predictive"]
    assert "joined.group" in result["counters"]["mn"]
