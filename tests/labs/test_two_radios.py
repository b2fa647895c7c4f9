"""A node with two radios, on real routers: nothing lost, nothing handed on twice; and agents asked from outside the lab."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.labs.runs import long, run, start

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("family", [pytest.param("4", marks=long), "6"])
def test_vertical_handover_loses_nothing(tmp_path: Path, family: str) -> None:
    finished = run(tmp_path, "vertical", "--family", family, "--repeat", "2")
    assert finished.status == 0, finished.explain()
    rows = finished.result["handovers"]
    assert [row["outcome"] for row in rows] == ["predictive", "predictive"]
    for row in rows:
        assert row["lost"] == row["receiver"]["lost"] == row["receiver"]["delivered"]["lost"] == 0
        assert row["duplicates"] > 100, "both radios were members for most of 300 ms"
        assert row["receiver"]["delivered"]["duplicates"] == 0


def test_overlap_shorter_than_the_address_delay_loses_nothing_either(tmp_path: Path) -> None:
    """The first link goes before the second radio has its address; the node is a member there all the same."""
    finished = run(tmp_path, "vertical", "--repeat", "2", "--overlap", "50ms", "--address-delay", "150ms")
    assert finished.status == 0, finished.explain()
    assert [row["receiver"]["delivered"]["lost"] for row in finished.result["handovers"]] == [0, 0]


@pytest.mark.alone  # by its name alone only one can be found
def test_agents_of_a_running_lab_are_asked_by_name(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    process = start(runs, "vertical", "--repeat", "50")
    try:
        asked: Any = None
        said = ""
        deadline = time.monotonic() + 60
        while asked is None and time.monotonic() < deadline and process.poll() is None:
            argv = [sys.executable, "-m", "agents", "ctl", "mn", "counters"]
            done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=20)
            said = done.stderr
            counters = json.loads(done.stdout)["counters"] if done.returncode == 0 else {}
            asked = counters if counters.get("received.SJC") else None
        assert asked is not None, f"no answer within 60 s: {said}"
        assert asked["received.SJC"] == 1
    finally:
        process.terminate()
        process.communicate(timeout=30)
