"""The labs with other routing daemons than they say: each run is judged by the same rules, and says what its routers cannot give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.labs.runs import AS_USER, Run, long, run

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


def test_a_rule_that_looks_at_what_they_cannot_is_left_out_with_the_reason(static: Run) -> None:
    (verdict,) = [each for each in static.result["rules"]["all"] if each["rule"] == "mmcp-data-waits-for-mn"]
    assert (verdict["verdict"], "asks nobody for members" in verdict["message"]) == ("unseen", True)


def test_static_routers_ask_nobody_and_speak_no_pim(static: Run) -> None:
    packs = static.result["packs"]
    assert "pim" not in packs
    assert packs["rtp"]["passed"]


@pytest.fixture(scope="module", params=["4", pytest.param("6", marks=long)])
def mixed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A walk over a core that speaks PIM and OSPF, and static edges."""
    words = ("--family", request.param, "--modes", "proactive", "--handovers", "2", "--every", "1500ms")
    return run(tmp_path_factory.mktemp("runs"), "mixed", *words)


def test_a_lab_may_mix_daemons(mixed: Run) -> None:
    assert mixed.status == 0, mixed.explain()
    assert [row["outcome"] for row in mixed.result["handovers"]] == ["predictive", "predictive"]
    assert set(mixed.result["versions"]) == {"frr", "smcroute"}
    assert [line for line in mixed.result["warnings"] if line.startswith("smcroute on e1, e2: ")]


def test_static_edges_pull_the_stream_from_the_core_and_routes_are_ospfs(mixed: Run) -> None:
    assert mixed.folder is not None
    assert "c3" in (mixed.folder / "tree.svg").read_text()
    lines = (mixed.folder / "trees.txt").read_text().splitlines()
    below = [line.strip() for line in lines if "e1: in" in line or "e2: in" in line or "out c3-e" in line]
    assert [line.partition(",")[0].partition(" (")[0] for line in below] == [
        "out c3-e1", "e1: in e1-c3", "out c3-e2", "e2: in e2-c3",
    ]  # fmt: skip
    assert mixed.result["packs"]["pim"]["failed"] == 0
    assert "c1-ospfd" in " ".join(path.stem for path in (mixed.folder / "logs").iterdir()).replace("ospf6d", "ospfd")


@pytest.mark.long
@pytest.mark.parametrize(
    "words",
    [
        ("--routing", "pimd"),
        ("--routing", "pimd,ar2=frr", "--igmp", "2"),
        ("--routing", "pimd,ar2=frr", "--rendezvous-point", "elected"),
    ],
)
def test_pimd_alone_and_with_other_speakers_of_pim(tmp_path: Path, words: tuple[str, ...]) -> None:
    finished = run(tmp_path, "handover", *words, "--repeat", "1", user=AS_USER)
    assert finished.status == 0, finished.explain()
    assert "pimd" in finished.result["versions"]
    assert [line for line in finished.result["warnings"] if "its latencies mean nothing" in line]


@pytest.mark.long
def test_ospf_gives_every_family_its_routes(tmp_path: Path) -> None:
    for routing in ("frr", "smcroute"):
        finished = run(tmp_path, "handover", "--unicast", "ospf", "--routing", routing, "--repeat", "1")
        assert finished.status == 0, finished.explain()
        assert "frr" in finished.result["versions"]


@pytest.mark.long
def test_data_that_a_static_router_forwards_on_has_no_end(tmp_path: Path) -> None:
    finished = run(tmp_path, "leave", "--routing", "smcroute", "--cases", "direct", "--srt", "500ms")
    assert finished.status == 0, finished.explain()
    (row,) = finished.result["cases"]
    assert (row["latency_ms"], row["goes_on"], row["verdict"]) == (None, True, "pass: static")
    assert row["observed_ms"] > 500
    assert "no end of the data while observed (" in row["seen"]
