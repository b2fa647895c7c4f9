"""Labs that go wrong on purpose: cells that are still warm, and roles that are killed in the middle of a handover."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.labs.runs import long, run

pytestmark = pytest.mark.timeout(240)


@pytest.mark.alone  # it is held to its pace
@pytest.mark.parametrize("family", ["4", pytest.param("6", marks=long)])
def test_back_and_forth_between_warm_cells(tmp_path: Path, family: str) -> None:
    finished = run(tmp_path, "pingpong", "--family", family)
    assert finished.status == 0, finished.explain()
    rows = finished.result["handovers"]
    assert [row["outcome"] for row in rows] == ["predictive"] * 10
    # From the third on the LMC is still joined from the time before, and answers without a join.
    assert min(row["hir_hic_ms"] for row in rows[:2]) > max(row["hir_hic_ms"] for row in rows[4:])
    notes = finished.result["warnings"]
    assert any(line.startswith("all agree") for line in notes)
    assert any(line.startswith("handovers ") and "planned 400 ms" in line for line in notes)


ALL = "old-lmc,new-lmc,sm"


@pytest.mark.parametrize(
    ("family", "victims", "steps"),
    [
        pytest.param("4", ALL, "trigger,link-down,link-up", marks=long),
        ("6", "new-lmc", "trigger,link-down,link-up"),
        ("4", ALL, "hct,ljc"),
        ("6", ALL, "hta,hic"),
    ],
)
def test_roles_that_are_killed_are_survived(tmp_path: Path, family: str, victims: str, steps: str) -> None:
    finished = run(tmp_path, "crash", "--family", family, "--victims", victims, "--steps", steps)
    assert finished.status == 0, finished.explain()
    result = finished.result
    assert len(result["handovers"]) == len(steps.split(",")) * len(victims.split(","))
    assert sum("all agree" in line for line in result["warnings"]) == len(result["handovers"])
    unseen = [rule["message"] for rule in result["rules"]["unseen"]]
    assert unseen.count("a role is killed in this lab") > 5, "what cannot be judged here is said"


@pytest.mark.parametrize(("family", "repeat"), [("4", 2), pytest.param("6", 2, marks=long)])
def test_a_lossy_control_path_delays_and_never_hangs(tmp_path: Path, family: str, repeat: int) -> None:
    finished = run(tmp_path, "lossy", "--family", family, "--repeat", str(repeat), "--loss", "30")
    assert finished.status == 0, finished.explain()
    result = finished.result
    assert len(result["handovers"]) == repeat
    (lost,) = [line for line in result["warnings"] if line.startswith("MMCP datagrams lost")]
    assert any(int(word) for word in lost.replace(",", "").split() if word.isdigit()), lost
