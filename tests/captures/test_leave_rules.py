"""The rules about leaves and about what a parent does for its children: a lab that keeps them all, and captures that do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from captures.files.capture import CaptureError
from captures.rules.engine import judge
from captures.rules.judgement import Judgement
from tests.captures.scripted_lab import MN_ID, ScriptedLab, at_cell
from tests.captures.scripted_leaves import END_MS, good_leave_lab
from tests.captures.spoiled_leaves import BROKEN_LEAVES, TOLERATED_LEAVES
from tests.captures.spoiling import WITHOUT_HANDOVERS, assert_noticed

UNSEEN = WITHOUT_HANDOVERS | {"mmcp-probe-answered", "mmcp-refusal-empty", "mmcp-status-counts"}


def judged(lab: ScriptedLab, folder: Path) -> Judgement:
    return judge(lab.write(folder / "lab.pcapng"))


@pytest.mark.parametrize("family", [4, 6])
def test_good_lab_passes(tmp_path: Path, family: int) -> None:
    judgement = judged(good_leave_lab(family), tmp_path)
    assert [(verdict.rule, verdict.message) for verdict in judgement.with_verdict("failed")] == []
    assert {verdict.rule for verdict in judgement.with_verdict("unseen")} == UNSEEN
    assert judgement.warnings == []


@pytest.mark.parametrize("case", BROKEN_LEAVES)
def test_broken_capture_fails_its_rule(tmp_path: Path, case: str) -> None:
    assert_noticed(BROKEN_LEAVES[case], good_leave_lab(), tmp_path)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("case", TOLERATED_LEAVES)
def test_tolerated_capture_passes(tmp_path: Path, case: str, family: int) -> None:
    lab = good_leave_lab(family)
    TOLERATED_LEAVES[case](lab)
    assert [(v.rule, v.message) for v in judged(lab, tmp_path).with_verdict("failed")] == []


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(("known", "verdict"), [(True, "failed"), (False, "passed")])
def test_an_unanswered_ulr_that_is_sent_again_is_passed_only_on_a_wire(
    tmp_path: Path, family: int, known: bool, verdict: str
) -> None:
    lab = at_cell(good_leave_lab(family), 2)
    for at_ms in (5000, 6100):
        lab.mmcp(at_ms, "x.ULR", "mn", "lmc2", [["mn_id", MN_ID]])
    lab.mmcp(6101, "x.ULC", "lmc2", "mn", f=1)
    if not known:
        del lab.steps[0]["mmcp"]
    told = [v for v in judged(lab, tmp_path).decided if v.rule == "mmcp-leave-answered"]
    assert {v.verdict for v in told if not known or "no ULC" in v.message} == {verdict}


def test_an_answer_to_a_ulr_that_may_come_after_the_end_is_not_missed(tmp_path: Path) -> None:
    lab = at_cell(good_leave_lab(), 2)
    lab.mmcp(END_MS - 100, "x.ULR", "mn", "lmc2", [["mn_id", MN_ID]])
    told = [v for v in judged(lab, tmp_path).decided if v.rule == "mmcp-leave-answered"]
    assert [v.verdict for v in told] == ["passed", "passed", "passed", "unseen"]


def test_the_numbers_of_leaves(tmp_path: Path) -> None:
    direct, lmc1, lmc2, killed = judged(good_leave_lab(), tmp_path).records["leaves"]
    assert direct == {
        "mn": "mn", "notice": True, "parent": "sm", "asr_on_leave": False, "ulr_ulc_ms": 1.1, "report_ms": 2.0,
        "latency_ms": 87.0, "observed_ms": 397.0, "goes_on": False, "unnamed_ms": None,
    }  # fmt: skip
    assert (lmc1["parent"], lmc1["unnamed_ms"]) == ("lmc1", 251.0)
    assert (lmc2["parent"], lmc2["unnamed_ms"]) == ("lmc2", 2.0)
    assert (killed["notice"], killed["ulr_ulc_ms"], killed["unnamed_ms"]) == (False, None, 10_252.0 - 4400)


def test_the_end_of_data_is_not_believed_without_any(tmp_path: Path) -> None:
    lab = good_leave_lab().drop("data.*@mn")
    found = {(verdict.rule, verdict.verdict) for verdict in judged(lab, tmp_path).verdicts}
    assert ("mmcp-leave-ends-stream", "unseen") in found
    assert ("mmcp-leave-ends-stream", "passed") not in found


def test_data_that_goes_on_until_the_session_ends_has_no_end(tmp_path: Path) -> None:
    lab = good_leave_lab()
    BROKEN_LEAVES["data goes on"][0](lab)
    found = judged(lab, tmp_path).records["leaves"]
    assert [leave["goes_on"] for leave in found] == [False, True, False, False]
    assert (found[1]["latency_ms"], found[1]["observed_ms"]) == (None, 397.0)


def test_the_end_of_data_is_not_believed_where_the_capture_ends(tmp_path: Path) -> None:
    lab = good_leave_lab()
    lab.steps = [step for step in lab.steps if step["t_ns"] < lab.steps[0]["t_ns"] + 1_190_000_000]
    found = {(verdict.rule, verdict.verdict) for verdict in judged(lab, tmp_path).verdicts}
    assert ("mmcp-leave-ends-stream", "unseen") in found


def test_a_lab_about_leaves_without_any_cannot_pass(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="shows no leave: no leave step"):
        judged(good_leave_lab().drop_step("leave"), tmp_path)


def test_a_leave_must_be_in_a_session(tmp_path: Path) -> None:
    lab = good_leave_lab()
    lab.step(10_950, "leave", mn="nobody")
    with pytest.raises(CaptureError, match="in no session of 'nobody'"):
        judged(lab, tmp_path)
