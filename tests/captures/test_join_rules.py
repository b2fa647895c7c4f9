"""The rules about joins: a lab that keeps them all, and captures that each break one."""

from __future__ import annotations

from pathlib import Path

import pytest

from captures.files.capture import CaptureError
from captures.rules.engine import judge
from captures.rules.judgement import Judgement
from tests.captures.scripted_joins import good_join_lab
from tests.captures.scripted_lab import ScriptedLab
from tests.captures.spoiled_joins import BROKEN_JOINS, TOLERATED_JOINS
from tests.captures.spoiling import WITHOUT_HANDOVERS, assert_noticed

UNSEEN = WITHOUT_HANDOVERS | {"mmcp-probe-answered", "mmcp-status-counts"}


def judged(lab: ScriptedLab, folder: Path) -> Judgement:
    return judge(lab.write(folder / "lab.pcapng"))


@pytest.mark.parametrize("family", [4, 6])
def test_good_lab_passes(tmp_path: Path, family: int) -> None:
    judgement = judged(good_join_lab(family), tmp_path)
    assert [(verdict.rule, verdict.message) for verdict in judgement.with_verdict("failed")] == []
    assert {verdict.rule for verdict in judgement.with_verdict("unseen")} == UNSEEN
    assert judgement.exit_code() == 0
    assert judgement.warnings == []


@pytest.mark.parametrize("case", BROKEN_JOINS)
def test_broken_capture_fails_its_rule(tmp_path: Path, case: str) -> None:
    assert_noticed(BROKEN_JOINS[case], good_join_lab(), tmp_path)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("case", TOLERATED_JOINS)
def test_tolerated_capture_passes(tmp_path: Path, case: str, family: int) -> None:
    lab = good_join_lab(family)
    TOLERATED_JOINS[case](lab)
    assert [(v.rule, v.message) for v in judged(lab, tmp_path).with_verdict("failed")] == []


def test_the_numbers_of_joins(tmp_path: Path) -> None:
    records = judged(good_join_lab(), tmp_path).records["joins"]
    assert [record["outcome"] for record in records] == [
        "lmc", "refused-by-sm", "refused-by-lmc", "direct", "unanswered",
    ]  # fmt: skip
    assert records[0] == {
        "mn": "mn", "expected": "lmc", "outcome": "lmc", "requests": 1, "sjr_sjc_ms": 2.1, "ljr_ljc_ms": 2.1,
        "established_ms": 6.1, "report_ms": 8.0, "first_data_ms": 20.0, "packets": 82,
    }  # fmt: skip
    assert (records[3]["established_ms"], records[3]["ljr_ljc_ms"]) == (2.1, None)
    assert (records[4]["requests"], records[4]["established_ms"], records[4]["packets"]) == (2, None, 0)


def test_absence_is_not_believed_without_presence(tmp_path: Path) -> None:
    """A capture that never saw a report, nor any data, says nothing of their absence."""
    lab = good_join_lab().drop("*.report@mn").drop("data.*")
    found = {(verdict.rule, verdict.verdict) for verdict in judged(lab, tmp_path).verdicts}
    assert ("mmcp-no-report-when-refused", "unseen") in found
    assert ("mmcp-no-report-when-refused", "passed") not in found
    assert ("mmcp-no-data-when-refused", "unseen") in found
    assert ("mmcp-no-data-when-refused", "passed") not in found


def test_a_lab_about_joins_without_any_cannot_pass(tmp_path: Path) -> None:
    lab = good_join_lab()
    lab.steps = [step for step in lab.steps if step["step"] != "session_begin"]
    with pytest.raises(CaptureError, match="shows no join: no session_begin step"):
        judged(lab, tmp_path)


def test_a_join_that_no_rule_can_judge_is_none(tmp_path: Path) -> None:
    lab = good_join_lab()
    lab.frames = [frame for frame in lab.frames if frame.tag.startswith("data")]
    lab.steps = [{k: v for k, v in step.items() if k != "expected"} for step in lab.steps]
    with pytest.raises(CaptureError, match="shows no join that a rule could judge"):
        judged(lab, tmp_path)


@pytest.mark.parametrize("expects", [["joins"], [], "join", ["join", "handover", "dance"]])
def test_what_a_lab_may_be_about_is_checked(tmp_path: Path, expects: object) -> None:
    lab = good_join_lab()
    lab.steps[0]["expects"] = expects
    with pytest.raises(CaptureError, match="expects is"):
        judged(lab, tmp_path)


def test_how_a_join_may_end_is_checked(tmp_path: Path) -> None:
    lab = good_join_lab()
    lab.steps = [{**step, "expected": "well"} if "expected" in step else step for step in lab.steps]
    with pytest.raises(CaptureError, match="no way a join can end"):
        judged(lab, tmp_path)
