"""GMP's labs, on real daemons."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.labs.runs import GMP, MMCP, long, run

pytestmark = pytest.mark.timeout(240)


def test_a_session_from_its_creation_to_its_end(tmp_path: Path) -> None:
    """A stranger's player receives it too, which is given the SDP of the server's page alone."""
    clip = tmp_path / "clip.ts"
    picture = (
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=320x240:rate=25",
        "-t",
        "4",
        "-c:v",
        "mpeg2video",
        "-g",
        "5",
        "-b:v",
        "1200k",
    )
    subprocess.run(["ffmpeg", "-v", "error", *picture, "-f", "mpegts", str(clip)], check=True, timeout=60)
    finished = run(tmp_path / "runs", "gmp", "--media", str(clip), of=GMP)
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
    cases = {row["case"]: row["seen"] for row in finished.result["cases"]}
    assert list(cases) == ["SAP", "page", "ffprobe", "SAP deletion"]
    assert "mpeg2video" in cases["ffprobe"]


def test_who_is_not_invited_or_has_no_token_is_refused(tmp_path: Path) -> None:
    finished = run(tmp_path, "gmp-closed", of=GMP)
    assert finished.status == 0, finished.explain()
    result = finished.result
    assert {row["case"]: row["reason"] for row in result["cases"]} == {
        "wrong token": 5,
        "not invited": 2,
        "no token": 8,
        "another's name": 2,
    }
    assert [row["member"] for row in result["stays"]] == ["p1", "p2"]
    assert finished.folder is not None
    token = next(
        line for line in (finished.folder / "logs/creator.log").read_text().split() if line.startswith("token=")
    )
    for file in ("server.log", "server.jsonl"):
        folder = "logs" if file.endswith("log") else "traces"
        assert token.partition("=")[2] not in (finished.folder / folder / file).read_text(), (
            "a token is nobody's to read"
        )


def test_who_left_a_secure_session_reads_nothing_and_who_stays_loses_nothing(tmp_path: Path) -> None:
    finished = run(tmp_path, "gmp-secure", of=GMP)
    assert finished.status == 0, finished.explain()
    result = finished.result
    cases = {row["case"]: row for row in result["cases"]}
    for node in ("p4", "eve"):
        assert cases[f"eavesdropper {node}"]["read"] == 0
        assert cases[f"eavesdropper {node}"]["unread"] > 100
    assert cases["rekey"]["lost_at_rekey"] == 0
    assert 1000 < cases["rekey"]["rekey_used_ms"] < 2000, "after the second KDUPT, and while the old key is taken still"
    late = next(row for row in result["stays"] if row["member"] == "p3")
    assert late["packets"] > 200, "of a stream that has wrapped"


@pytest.mark.parametrize("cases", ["silent", pytest.param("leaves,creator-silent", marks=long)])
def test_a_session_ends_with_its_core_members(tmp_path: Path, cases: str) -> None:
    finished = run(tmp_path, "gmp-core", "--cases", cases, "--timeout", "1s", of=GMP)
    assert finished.status == 0, finished.explain()
    assert [row["case"] for row in finished.result["cases"]] == ["other silent", *cases.split(",")]


@pytest.mark.parametrize("transport", ["udp", pytest.param("tcp", marks=long)])
def test_a_server_that_is_killed_has_forgotten_nothing(tmp_path: Path, transport: str) -> None:
    finished = run(tmp_path, "gmp-restart", "--transport", transport, of=GMP if transport == "udp" else {})
    assert finished.status == 0, finished.explain()
    cases = [row["case"] for row in finished.result["cases"]]
    assert cases == ["created", "registering", "registered", "enrolled", "active", "leaving", "ending"]
    assert all(row["lost"] == 0 for row in finished.result["stays"])


@pytest.mark.alone
def test_a_session_of_gmp_is_served_by_mmcp(tmp_path: Path) -> None:
    finished = run(tmp_path, "gmp-mmcp", of=GMP | MMCP)
    assert finished.status == 0, finished.explain()
    result = finished.result
    assert [row["outcome"] for row in result["handovers"]] == ["predictive"] * 2
    assert [row["case"] for row in result["cases"]] == ["announced", "left MMCP", "left", "ended"]
    assert {verdict["pack"] for verdict in result["rules"]["all"]} >= {"gmp", "mmcp"}


@long
@pytest.mark.parametrize("lab", ["gmp", "gmp-closed", "gmp-secure", "gmp-core"])
def test_the_same_by_streams(tmp_path: Path, lab: str) -> None:
    finished = run(tmp_path, lab, "--transport", "tcp", of={})
    assert finished.status == 0, finished.explain()
