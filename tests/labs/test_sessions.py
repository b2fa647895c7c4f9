"""Labs about what MMCP does without a handover, on real daemons: joins, leaves, silences."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.labs.runs import long, run

pytestmark = pytest.mark.timeout(240)
SRT = ("--srt", "400ms")  # so that 4 SPT are 4.8 s

JOINS = ("lmc", "refused-by-sm", "refused-by-lmc", "direct", "unanswered")


def kept(result: dict[str, Any]) -> set[str]:
    """The rules that saw something and were kept."""
    return {verdict["rule"] for verdict in result["rules"]["all"] if verdict["verdict"] == "passed"}


@pytest.mark.parametrize(
    ("family", "names"), [("4", JOINS), pytest.param("6", ("lmc", "refused-by-sm", "direct"), marks=long)]
)
def test_every_way_a_join_can_end(tmp_path: Path, family: str, names: tuple[str, ...]) -> None:
    finished = run(tmp_path, "join", "--family", family, "--cases", ",".join(names))
    assert finished.status == 0, finished.explain()
    result = finished.result
    assert result["handovers"] == []
    cases = {row["case"]: row for row in result["cases"]}
    assert {name: row["outcome"] for name, row in cases.items()} == {name: name for name in names}
    for name in ("lmc", "direct"):
        assert cases[name]["established_ms"] < cases[name]["report_ms"] < cases[name]["first_data_ms"] < 2000
    for name in set(names) - {"lmc", "direct"}:
        assert (cases[name]["report_ms"], cases[name]["packets"]) == (None, 0)
    assert cases["refused-by-sm"]["told"] == "join-refused session_id=1 by=sm"
    assert result["counters"]["sm"]["refused.mn-not-allowed"] == 1
    rules = result["rules"]
    assert rules["failed"] == []
    if names == JOINS:
        assert result["counters"]["lmc1"]["refused.unknown-session"] == 1
        assert kept(result) >= {
            "mmcp-join-outcome", "mmcp-refusal-empty", "mmcp-nothing-after-refusal", "mmcp-no-report-when-refused", "mmcp-no-data-when-refused",
            "mmcp-join-retries", "mmcp-report-follows-join", "mmcp-usr-to-parent",
        }  # fmt: skip
    assert f"PASS  {len(names)} cases" in finished.out


def test_an_sm_that_admits_everybody_is_found_out(tmp_path: Path) -> None:
    stranger = Path(__file__).with_name("stranger_sm.py")
    configuration = tmp_path / "lab.toml"
    configuration.write_text(f'[external]\nsm = ["{sys.executable}", "{stranger}", "{{config}}"]\n')
    finished = run(tmp_path, "join", "--cases", "refused-by-sm", "--lab-config", str(configuration))
    assert finished.status == 1, finished.explain()
    assert {verdict["rule"] for verdict in finished.result["rules"]["failed"]} >= {
        "mmcp-join-outcome",
        "mmcp-no-data-when-refused",
    }
    assert "refused-by-sm: the capture shows lmc" in finished.result["failures"]
    assert "FAILED mmcp-join-outcome [7.2]" in finished.out


@pytest.mark.alone  # reports are to be on time
@pytest.mark.parametrize(
    ("family", "cases", "latency_ms"), [("4", "direct,lmc,at-once,killed", 200), ("6", "direct,at-once", 2100)]
)
def test_every_way_to_leave(tmp_path: Path, family: str, cases: str, latency_ms: float) -> None:
    finished = run(tmp_path, "leave", "--family", family, "--cases", cases, *SRT)
    assert finished.status == 0, finished.explain()
    result = finished.result
    rows = {row["case"]: row for row in result["cases"]}
    assert list(rows) == cases.split(",")
    for row in rows.values():
        assert latency_ms - 50 < row["latency_ms"] < latency_ms + 300, "two queries of the router, or pim6d's one"
    assert (rows["direct"]["parent"], rows["direct"]["sm_forgot_s"] < 1.0) == ("sm", True)
    assert rows["at-once"]["unnamed_ms"] < 250
    if "killed" in rows:
        assert rows["lmc"]["unnamed_ms"] < 700, "with the next ASR"
        assert rows["lmc"]["sm_forgot_s"] < 8.0
        assert (rows["killed"]["notice"], rows["killed"]["ulr_ulc_ms"]) == (False, None)
        assert 4200 < rows["killed"]["unnamed_ms"] < 6500, "4 SPT after its last report"
        assert kept(result) >= {
            "mmcp-leave-request",
            "mmcp-leave-answered",
            "mmcp-leave-ends-stream",
            "mmcp-asr-on-leave",
            "mmcp-probe-schedule",
        }
    assert result["rules"]["failed"] == []
    assert ("mmcp-probe-schedule" in kept(result)) == ("killed" in rows)
    assert f"PASS  {len(rows)} cases" in finished.out


@pytest.mark.alone  # reports and probes are to be on time
@pytest.mark.parametrize("family", [pytest.param("4", marks=long), "6"])
def test_every_silence_is_noticed(tmp_path: Path, family: str) -> None:
    finished = run(tmp_path, "status", "--family", family, *SRT)
    assert finished.status == 0, finished.explain()
    result = finished.result
    rows = {row["case"]: row for row in result["cases"]}
    assert list(rows) == ["periodic", "answered", "mn-silent", "lmc-silent", "direct-silent"]
    assert (len(rows["answered"]["probes_s"]), rows["answered"]["failed"]) == (1, False)
    assert rows["answered"]["answered_ms"] < 200
    for name, parent in (("mn-silent", "lmc1"), ("lmc-silent", "sm"), ("direct-silent", "sm")):
        row = rows[name]
        assert (row["parent"], row["failed"]) == (parent, True)
        assert row["probes_s"] == pytest.approx([1.2, 2.4, 3.6], abs=0.2)
    assert 4.6 < rows["mn-silent"]["unnamed_s"] < 5.6
    assert rows["lmc-silent"]["lost"] == 0
    rules = result["rules"]
    assert rules["failed"] == []
    assert kept(result) >= {
        "mmcp-probe-schedule", "mmcp-probe-answered", "mmcp-asr-complete", "mmcp-silent-child-given-up", "mmcp-failed-lmc-not-assigned",
        "mmcp-lost-parent",
    }  # fmt: skip
    assert result["counters"]["sm"]["failed.lmc"] == result["counters"]["sm"]["failed.mn"] == 1
    assert "PASS  5 cases" in finished.out
