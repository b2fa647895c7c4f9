"""GMP's labs, on real daemons."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.labs.runs import GMP, run

pytestmark = pytest.mark.timeout(240)


def test_a_session_from_its_creation_to_its_end(tmp_path: Path) -> None:
    finished = run(tmp_path, "gmp", of=GMP)
    assert finished.status == 0, finished.explain()
    stays = finished.result["stays"]
    assert [(row["member"], row["entry"], row["until"]) for row in stays] == [
        ("p2", "first", "it left"),
        ("p3", "first", "it left for good"),
        ("p1", "first", "the end"),
        ("p2", "again", "the end"),
        ("p4", "late", "the end"),
    ]
    for row in stays:
        assert (row["lost"], row["after"]) == (0, 0)
        assert row["packets"] > 100
