"""The rules about silences: a lab that keeps them all, and captures that each break one."""

from __future__ import annotations

from pathlib import Path

import pytest

from captures.files.capture import CaptureError
from captures.rules.engine import judge
from captures.rules.judgement import Judgement
from tests.captures.scripted_lab import ScriptedLab
from tests.captures.scripted_status import good_status_lab
from tests.captures.spoiled_status import BROKEN_STATUS, TOLERATED_STATUS
from tests.captures.spoiling import WITHOUT_HANDOVERS, assert_noticed

UNSEEN = WITHOUT_HANDOVERS | {
    "mmcp-leave-confirm-asked",
    "mmcp-refusal-empty",
    "mmcp-silent-after-leave",
    "mmcp-status-counts",
}


def judged(lab: ScriptedLab, folder: Path) -> Judgement:
    return judge(lab.write(folder / "lab.pcapng"))


@pytest.mark.parametrize("family", [4, 6])
def test_good_lab_passes(tmp_path: Path, family: int) -> None:
    judgement = judged(good_status_lab(family), tmp_path)
    assert [(verdict.rule, verdict.message) for verdict in judgement.with_verdict("failed")] == []
    assert {verdict.rule for verdict in judgement.with_verdict("unseen")} == UNSEEN
    assert judgement.warnings == []


@pytest.mark.parametrize("case", BROKEN_STATUS)
def test_broken_capture_fails_its_rule(tmp_path: Path, case: str) -> None:
    assert_noticed(BROKEN_STATUS[case], good_status_lab(), tmp_path)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("case", TOLERATED_STATUS)
def test_tolerated_capture_passes(tmp_path: Path, case: str, family: int) -> None:
    lab = good_status_lab(family)
    TOLERATED_STATUS[case](lab)
    assert [(v.rule, v.message) for v in judged(lab, tmp_path).with_verdict("failed")] == []


def test_the_numbers_of_silences(tmp_path: Path) -> None:
    lost, stopped, controller, direct = judged(good_status_lab(), tmp_path).records["silences"]
    # Seen at lmc1, which the last report has reached 0.1 ms after it was sent.
    assert lost == {
        "role": "mn", "why": "reports lost", "parent": "lmc1", "probes_s": [1.4999], "answered_ms": 1.1,
        "failed": False, "unnamed_s": None,
    }  # fmt: skip
    assert (stopped["probes_s"], stopped["failed"]) == ([1.4999, 2.9999, 4.4999], True)
    assert stopped["unnamed_s"] == 6.3959
    assert (controller["parent"], controller["failed"], controller["unnamed_s"]) == ("sm", True, None)
    assert (direct["parent"], len(direct["probes_s"]), direct["failed"]) == ("sm", 3, True)


def test_last_words_after_the_scenario_struck_do_not_end_the_silence(tmp_path: Path) -> None:
    lab = good_status_lab().move("18201.USR@*", 101).move("direct.?.USP@*", 101)
    *_, direct = judged(lab, tmp_path).records["silences"]
    assert (len(direct["probes_s"]), direct["failed"]) == (3, True)


def test_an_answer_is_asked_of_nobody_whom_the_scenario_stopped(tmp_path: Path) -> None:
    lab = good_status_lab()
    lab.steps = [{**step, "role": "nobody"} if step.get("why") == "stopped" else step for step in lab.steps]
    found = {verdict.rule for verdict in judged(lab, tmp_path).with_verdict("failed")}
    assert "mmcp-probe-answered" in found


def test_a_lab_about_status_without_a_silence_cannot_pass(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="shows no status: no silence_begin step"):
        judged(good_status_lab().drop_step("silence_begin"), tmp_path)
