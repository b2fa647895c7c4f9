"""The labs with other routing daemons than they say: each run is judged by the same rules, and says what its routers cannot give."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.labs.runs import Run, long, run

pytestmark = pytest.mark.timeout(240)


def steps_of(finished: Run, name: str) -> list[dict[str, Any]]:
    """What the scenario noted under that name."""
    assert finished.folder is not None
    found = map(json.loads, (finished.folder / "steps.jsonl").read_text().splitlines())
    return [step for step in found if step["step"] == name]


@pytest.fixture(scope="module", params=["4", pytest.param("6", marks=long)])
def static(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A handover run on SMCRoute: nobody is asked who is a member, and the next cell has the stream before the node comes."""
    words = ("--routing", "smcroute", "--repeat", "1", "--family", request.param)
    return run(tmp_path_factory.mktemp("runs"), "handover", *words)


def test_static_routers_pass_and_say_what_they_cannot(static: Run) -> None:
    assert static.status == 0, static.explain()
    result = static.result
    assert [row["outcome"] for row in result["handovers"]] == ["predictive", "reactive"]
    assert [line for line in result["warnings"] if "never forgets" in line]
    assert list(result["versions"]) == ["smcroute"]


def test_a_cell_that_has_the_stream_anyway_is_not_called_cold(static: Run) -> None:
    begun = steps_of(static, "handover_begin")
    assert [(step["cold"], "never forgets" in step["warm"]) for step in begun] == [(False, True)] * 2


def test_static_routers_ask_nobody_and_speak_no_pim(static: Run) -> None:
    packs = static.result["packs"]
    assert "pim" not in packs
    assert packs["rtp"]["passed"]
