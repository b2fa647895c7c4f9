"""Two runs compared: the same lab is the same, and each thing that differs is found and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from captures.__main__ import main
from captures.files.merge import merge
from captures.history.run import find_run
from captures.report.comparison import Comparison, compare, read_side
from tests.captures.scripted_lab import ScriptedLab, good_lab
from tests.captures.scripted_link import good_link


def diff(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["diff", *map(str, arguments)])


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return good_lab().write(tmp_path / "good.pcapng")


def compared(good: Path, other: ScriptedLab, protocols: set[str] | None = None) -> Comparison:
    path = other.write(good.parent / "other.pcapng")
    return compare(read_side(find_run(str(good))), read_side(find_run(str(path))), protocols)


def test_the_same_lab_is_the_same(good: Path) -> None:
    answer = diff(good, good)
    assert answer.exit_code == 0
    assert answer.stdout.splitlines()[-1] == "SAME verdicts and message sequence"


def test_another_family_is_another_parameter_and_nothing_else(good: Path) -> None:
    found = compared(good, good_lab(6))
    assert found.same
    assert {change.name for change in found.parameters} >= {"family", "group", "mmcp.mns.0.addresses.poa2"}
    assert found.compared == (14, 14)


def test_delays_are_told_as_ratios_and_do_not_make_runs_differ(good: Path) -> None:
    lab = good_lab()
    lab.move("h1.HTA@*", 4).move("h1.HIC@*", 11.1 - 1)
    found = compared(good, lab)
    assert found.same
    [delay] = [d for d in found.delays if (d.subject, d.what) == ("1", "hir_hic_ms")]
    assert delay.a == pytest.approx(11.1)
    assert delay.b == pytest.approx(21.2)
    assert delay.ratio == pytest.approx(1.91, abs=0.01)
    [middle] = [d for d in found.delays if (d.subject, d.group, d.what) == ("median", "proactive", "hir_hic_ms")]
    assert (middle.a, middle.b) == (delay.a, delay.b)


def test_a_fallback_is_told_message_by_message(good: Path) -> None:
    found = compared(good, good_lab(fallback=True))
    assert not found.same
    sections = {section.name: section for section in found.sections}
    [first, *_] = sections["handover 1"].changes
    assert first.after == "HCT lmc1 to lmc2"
    assert first.a == ("HTA lmc2 to lmc1", "HIC lmc1 to mn")
    assert first.b == ("SJR mn to sm", "SJC sm to mn")


def test_a_message_that_was_lost_is_another_message(good: Path) -> None:
    found = compared(good, good_lab().drop("h1.LJC@mn"))
    [section] = found.sections
    assert section.changes[0].a == ("LJC lmc2 to mn",)
    assert section.changes[0].b == ("LJC lmc2 to mn, lost",)


def test_messages_outside_of_handovers_are_compared_by_pairs(good: Path) -> None:
    """Which LMC announces itself first is chance; that it does not do so at all is none."""
    swapped = good_lab().move("lmc1.SJ?@*", 30)
    assert compared(good, swapped).same
    [section] = compared(good, good_lab().drop("lmc1.SJC@*")).sections
    assert section.name == "outside handovers, lmc1 and sm"


def test_what_comes_by_the_clock_is_no_difference(good: Path) -> None:
    lab = good_lab().copy("2.USR@*", -1500)
    lab.copy("lmc1.SJR@*", 3000).copy("lmc1.SJC@*", 3000)
    found = compared(good, lab)
    assert found.sections == ()


def test_rules_that_changed_their_verdict(good: Path) -> None:
    found = compared(good, good_lab().move("h1.LJR@*", -120))
    changed = {(change.rule, change.a, change.b) for change in found.rules}
    assert ("mmcp-local-join-after-link-up", "passed", "failed") in changed
    assert found.verdicts == ("pass", "fail")


def test_a_session_from_another_frame_is_the_same_session(good: Path) -> None:
    lab = good_lab()
    lab.copy("lmc1.1.ASR@*", -1990)  # one frame more before the session's step
    found = compared(good, lab)
    assert not [change for change in found.rules if "session of" in change.subject]


def test_a_handover_that_only_one_has(good: Path) -> None:
    lab = good_lab()
    lab.steps = [step for step in lab.steps if step.get("handover") != 2]
    found = compared(good, lab)
    assert [(s.name, s.only_in) for s in found.sections] == [("handover 2", "a")]
    assert ("mmcp-new-cell-cold", "passed", "absent") in {(change.rule, change.a, change.b) for change in found.rules}


def test_other_protocols_where_they_are_asked_for(good: Path) -> None:
    lab = good_lab().drop("h1.report@*")
    assert [section.name for section in compared(good, lab, {"igmp"}).sections] == ["handover 1"]
    assert compared(good, lab).sections == ()


def test_what_cannot_be_judged_is_compared_all_the_same(good: Path) -> None:
    found = compared(good, good_lab().drop_step("parameters"))
    assert found.verdicts == ("pass", "not judged")
    assert any("no parameters step" in note for note in found.notes)
    assert not found.same


def folder(path: Path, **result: Any) -> Path:
    good_lab().write_run_folder(path)
    merge(path)
    (path / "result.json").write_text(json.dumps(result))
    return path


def test_runs_folders_have_versions_parameters_and_verdicts_of_their_own(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", verdict="pass", parameters={"rate": "1000"}, versions={"frr": "10.3"})
    other = folder(tmp_path / "other", verdict="fail", parameters={"rate": "500"}, versions={"frr": "10.4"})
    answer = diff("one", "other", "--runs", tmp_path, "--json")
    assert answer.exit_code == 1
    said = json.loads(answer.stdout)
    assert said["same"] is False
    assert said["verdicts"] == ["pass", "fail"]
    assert {"name": "rate", "a": "1000", "b": "500"} in said["parameters"]
    assert said["versions"] == [{"name": "frr", "a": "10.3", "b": "10.4"}]
    assert said["sections"] == []
    text = diff(one, other).stdout
    assert "rate: 1000 -> 500" in text
    assert text.splitlines()[-1] == "DIFFERENT: pass became fail"


def test_what_cannot_be_compared_is_one_line(good: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pcapng"
    empty.write_bytes(b"")
    for arguments in ([good, tmp_path / "nowhere"], [empty, good], [good, good, "--protocol", "nonsense"]):
        answer = diff(*arguments)
        assert (answer.exit_code, answer.stdout, answer.stderr.count("\n")) == (2, "", 1)


def only(path: Path, *tags: str) -> Path:
    """A capture of a link with nothing but the frames that have one of the tags."""
    link = good_link()
    link.frames = [frame for frame in link.frames if frame.tag.startswith(tags)]
    return link.write(path)


def test_captures_without_the_roles_are_compared_by_what_they_have(tmp_path: Path) -> None:
    igmp, pim = only(tmp_path / "igmp.pcapng", "igmp."), only(tmp_path / "pim.pcapng", "pim.")
    answer = diff(igmp, pim)
    assert answer.exit_code == 1
    assert answer.stdout.splitlines()[-1].startswith("DIFFERENT")
    same = diff(igmp, igmp, "--json")
    assert same.exit_code == 0
    assert min(json.loads(same.stdout)["compared"]) > 0


def test_nothing_that_was_compared_is_not_the_same(tmp_path: Path) -> None:
    igmp = only(tmp_path / "igmp.pcapng", "igmp.")
    answer = diff(igmp, igmp, "--protocol", "mmcp")
    assert answer.exit_code == 2
    assert "NOT COMPARED" in answer.stdout
    assert answer.stderr.count("\n") == 1
    assert "nothing to compare" in answer.stderr
    assert json.loads(diff(igmp, igmp, "--protocol", "mmcp", "--json").stdout)["same"] is False


def test_runs_that_break_off_are_not_wholly_compared(tmp_path: Path) -> None:
    """What the result says of the run was said of the whole capture."""
    for name in ("one", "other"):
        capture = folder(tmp_path / name, verdict="pass") / "lab.pcapng"
        capture.write_bytes(capture.read_bytes()[: capture.stat().st_size // 2])
    answer = diff("one", "other", "--runs", tmp_path)
    assert answer.exit_code == 2
    assert "one: breaks off" in answer.stdout
    assert answer.stdout.splitlines()[-1] == "SAME verdicts and message sequence as far as they go"
    assert answer.stderr.count("\n") == 1
    assert answer.stderr.count("breaks off") == 2
