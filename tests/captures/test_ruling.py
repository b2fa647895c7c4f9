"""What packs tell of a run beside its lab's rules, what nobody owes, and captures that break off: everywhere alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from captures.__main__ import main
from captures.files.merge import merge
from captures.history.run import find_run
from captures.report.comparison import read_side
from captures.rules.engine import judge
from tests.captures.reported_run import read_page, run_folder
from tests.captures.scripted_joins import good_join_lab
from tests.captures.scripted_lab import INTERFACES, MN_ID, ScriptedLab, Sent, ethernet, good_lab, ip
from tests.captures.scripted_leaves import good_leave_lab
from tests.captures.scripted_link import good_link, query, report
from tests.captures.scripted_status import good_status_lab

LABS = [good_lab, good_join_lab, good_leave_lab, good_status_lab]


def run(command: str, *arguments: object) -> Result:
    return CliRunner().invoke(main, [command, *map(str, arguments)])


def with_wrong_checksum(lab: ScriptedLab, tag: str = "join.report@mn") -> ScriptedLab:
    """One IGMP report's checksum is wrong, which no rule of a lab asks about."""
    checksum = 14 + 24 + 3  # Ethernet, IPv4 with Router Alert, the last octet of it

    def spoilt(data: bytes) -> bytes:
        return data[:checksum] + bytes([data[checksum] ^ 1]) + data[checksum + 1 :]

    found = [frame for frame in lab.frames if frame.tag == tag]
    assert found
    lab.frames = [replace(frame, data=spoilt(frame.data)) if frame in found else frame for frame in lab.frames]
    return lab


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("lab", LABS)
def test_good_labs_pass_the_packs_too(tmp_path: Path, lab: Callable[[int], ScriptedLab], family: int) -> None:
    judgement = judge(lab(family).write(tmp_path / "lab.pcapng"))
    assert [pack.name for pack in judgement.beside] == ["igmp" if family == 4 else "mld", "rtp"]
    assert [v for pack in judgement.beside for v in pack.verdicts if v.verdict == "failed"] == []
    assert judgement.exit_code() == 0
    assert all(pack.count("passed") for pack in judgement.beside)


def test_a_rule_of_a_pack_fails_a_lab_that_its_own_rules_pass(tmp_path: Path) -> None:
    path = with_wrong_checksum(good_lab()).write(tmp_path / "lab.pcapng")
    assert judge(path).with_verdict("failed") == []
    answer = run("judge", path)
    assert answer.exit_code == 1
    [broken] = [line for line in answer.stdout.splitlines() if line.startswith("failed  ")]
    assert "igmp-checksum" in broken
    told = json.loads(run("judge", path, "--json").stdout)
    assert (told["rules"]["failed"], told["packs"]["igmp"]["failed"]) == ([], 1)


def test_page_and_ladder_mark_it_where_it_is(tmp_path: Path) -> None:
    folder = run_folder(with_wrong_checksum(good_lab()), tmp_path / "run")
    assert run("report", folder).exit_code == 0
    page = read_page(folder / "report.html")
    assert page.texts("h1") == ["handover, IPv4 passed"]
    assert page.texts("section", "problems") == []  # it made no run fail
    [row] = [text for text in page.texts("tr") if text.startswith("failed ")]
    assert row.startswith("failed igmp igmp-checksum RFC 3376 4.1.2 every checksum is right mn:mn-radio: ")
    assert any("igmp-checksum" in flag.text for flag in page.all("a", "flag"))
    [line] = [line for line in run("show", folder).stdout.splitlines() if "FAILED" in line]
    assert "igmp-checksum" in line


def test_a_page_of_no_lab_names_as_problem_what_any_pack_found(tmp_path: Path) -> None:
    lab = with_wrong_checksum(good_lab())
    lab.steps = []
    path = lab.write(tmp_path / "some.pcapng")
    assert run("report", path).exit_code == 0
    [problem] = read_page(path.with_suffix(".html")).texts("section", "problems")
    assert "igmp-checksum [RFC 3376 4.1.2], mn:mn-radio: 1 of" in problem


def test_of_a_failed_run_only_what_decides_is_what_made_it_fail(tmp_path: Path) -> None:
    folder = run_folder(with_wrong_checksum(good_lab().drop("h1.LJC@*")), tmp_path / "run")
    run("report", folder)
    [problems] = read_page(folder / "report.html").texts("section", "problems")
    assert "mmcp-local-join-after-link-up" in problems
    assert "igmp-checksum" not in problems


def test_runs_compared_have_the_verdict_that_their_results_have(tmp_path: Path) -> None:
    """What is told beside fails no run, whether there is a result or the capture alone."""
    folder = run_folder(with_wrong_checksum(good_lab()), tmp_path / "run")
    alone = with_wrong_checksum(good_lab()).write(tmp_path / "alone.pcapng")
    assert json.loads((folder / "result.json").read_text())["verdict"] == "pass"
    assert [read_side(find_run(str(path))).verdict for path in (folder, alone)] == ["pass", "pass"]
    broken = good_lab().drop("h1.LJC@*").write(tmp_path / "broken.pcapng")
    assert read_side(find_run(str(broken))).verdict == "fail"


def test_a_result_says_it_and_is_believed(tmp_path: Path) -> None:
    folder = run_folder(good_lab(), tmp_path / "run")
    told = judge(folder / "lab.pcapng").as_dict()
    result = json.loads((folder / "result.json").read_text())
    verdict = {
        "pack": "pim", "rule": "pim-made-up", "clause": "RFC 7761", "subject": "ar1:ar1-rr", "verdict": "failed",
        "message": "told by the result alone", "frames": [11],
    }  # fmt: skip
    packs = {**told["packs"], "pim": {"passed": 0, "failed": 1, "unseen": 0, "verdicts": [verdict]}}
    (folder / "result.json").write_text(json.dumps({**result, "packs": packs, "verdict": "fail"}))
    run("report", folder)
    page = read_page(folder / "report.html")
    assert page.texts("h1") == ["handover, IPv4 failed"]
    assert "pim 0 of 1" in page.texts("p", "lead")[0]
    assert "told by the result alone" in run("show", folder).stdout


def test_a_capture_by_itself_has_page_and_marks_from_the_packs(tmp_path: Path) -> None:
    path = good_link().drop("leave.ULC").write(tmp_path / "link.pcapng")
    failed = [v["rule"] for p in json.loads(run("verify", path, "--json").stdout)["packs"].values()
              for v in p["verdicts"] if v["verdict"] == "failed"]  # fmt: skip
    assert failed
    answer = run("report", path)
    assert answer.exit_code == 0, answer.output
    page = read_page(path.with_suffix(".html"))
    assert page.texts("h1") == ["link rules failed"]
    assert {row.split()[2] for row in page.texts("tr") if row.startswith("failed ")} == set(failed)
    shown = run("show", path)
    assert shown.exit_code == 0
    assert {line.split("FAILED ")[1].split()[0] for line in shown.stdout.splitlines() if "FAILED " in line} == set(
        failed
    )


def test_a_run_that_could_not_run_is_not_judged(tmp_path: Path) -> None:
    folder = run_folder(with_wrong_checksum(good_lab()), tmp_path / "run", verdict="could-not-run", error="no")
    assert run("report", folder).exit_code == 0
    assert "Nothing was judged." in read_page(folder / "report.html").texts("p", "lead")
    assert "FAILED" not in run("show", folder).stdout


# --- what a lab does on purpose


def test_a_host_on_the_link_that_was_left_owes_no_answer(tmp_path: Path) -> None:
    lab = good_lab()

    def say(at_ms: float, octets: bytes, mac: str, to: str) -> None:
        packet = ip("10.0.1.77", to, 2, octets, hop_limit=1, alert=True)
        lab.frames.append(Sent(at_ms, INTERFACES["mn"], ethernet(mac, packet), "neighbour"))

    groups = [report(4, [(2, group)]) for group in ("239.1.1.9", "239.1.1.8")]
    say(500, groups[0], "020000000077", "224.0.0.22")
    # The node leaves the link while the answer is due, and is back for more than a second when it was.
    say(2990, query(4, response_s=10.0), "020000000011", "224.0.0.1")
    for at_ms in (12_000, 13_900, 14_600):
        say(at_ms, groups[1], "020000000077", "224.0.0.22")
    judgement = judge(lab.write(tmp_path / "lab.pcapng"))
    [answered] = [v for p in judgement.beside for v in p.verdicts if v.rule == "igmp-query-answered"]
    assert (answered.verdict, answered.message) == ("passed", "1 times, 1 unseen"), "the node's own answer"


def test_a_node_made_silent_owes_no_report(tmp_path: Path) -> None:
    lab = good_status_lab()
    silences = [step for step in lab.steps if step["step"].startswith("silence")]
    lab.steps = [step for step in lab.steps if step not in silences[:4]]
    packs = judge(lab.write(tmp_path / "lab.pcapng")).packs
    assert {v.rule for p in packs for v in p.verdicts if v.verdict == "failed"} == {
        "mmcp-probe-answered",
        "mmcp-usr-period",
    }


@pytest.mark.parametrize(("crashed", "verdict"), [(False, "failed"), (True, "unseen")])
def test_who_was_killed_has_forgotten_what_it_answered(tmp_path: Path, crashed: bool, verdict: str) -> None:
    lab = good_lab()
    if crashed:
        lab.step(3400, "crash", role="lmc1")
    lab.cell = 1
    lab.mmcp(3500, "again.HIR", "mn", "lmc1", [["mn_id", MN_ID], ["poa_id", b"poa2".hex()]])
    lab.mmcp(3510, "again.HIC", "lmc1", "mn", f=0)
    packs = judge(lab.write(tmp_path / "lab.pcapng")).packs
    told = {v.subject: v.verdict for p in packs for v in p.verdicts if v.rule == "mmcp-same-confirm"}
    assert told["lmc1:lmc1-poa1"] == verdict


# --- captures that break off


@pytest.mark.parametrize("lab", LABS)
@pytest.mark.parametrize("share", [0.35, 0.6, 0.75, 0.97])
def test_no_rule_fails_for_what_might_have_come(tmp_path: Path, lab: Callable[[], ScriptedLab], share: float) -> None:
    path = lab().write(tmp_path / "lab.pcapng")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share) // 4 * 4 + 2])
    judgement = judge(path)
    assert judgement.truncated
    assert [v for v in judgement.decided if v.verdict == "failed"] == []
    assert judgement.exit_code() == 2


@pytest.mark.parametrize("of", ["lab", "pack", None])
def test_every_command_says_alike_that_a_capture_breaks_off(tmp_path: Path, of: str | None) -> None:
    lab = good_lab()
    if of == "lab":
        lab.drop("h1.HTA@*")
    elif of == "pack":
        lab = with_wrong_checksum(lab)
    folder = run_folder(lab, tmp_path / "run")
    run("timeline", folder)
    capture = folder / "lab.pcapng"
    # In the second handover: what was wrong in the first is certain.
    capture.write_bytes(capture.read_bytes()[: int(capture.stat().st_size * 0.8)])
    code = 2 if of is None else 1
    run("timeline", folder)  # written after the capture broke off, it does not say so itself
    for command, named in (
        ("judge", capture),
        ("verify", capture),
        ("report", folder),
        ("show", folder),
        ("show", capture),
    ):
        answer = run(command, named)
        assert (command, answer.exit_code) == (command, code)
        assert answer.stderr.count("breaks off") == 1
    page = read_page(folder / "report.html")
    assert page.texts("h1") == ["handover, IPv4 " + ("breaks off" if of is None else "rules failed, breaks off")]
    assert "breaks off" in page.texts("section", "problems")[0]


def test_a_capture_is_whole_if_it_ends_where_a_record_does(tmp_path: Path) -> None:
    folder = good_lab().write_run_folder(tmp_path / "run")
    merge(folder)
    assert [run(command, folder / "lab.pcapng").exit_code for command in ("judge", "verify", "report", "show")] == [
        0
    ] * 4


# --- one fault, one failed rule


def test_consequences_are_shown_below_their_cause(tmp_path: Path) -> None:
    folder = run_folder(good_lab().drop("join.LJC@*"), tmp_path / "run")
    rows = [line.split() for line in run("judge", folder / "lab.pcapng").stdout.split("\n\n")[1].splitlines()]
    assert [row[:2] for row in rows[1:3]] == [["failed", "mmcp-join-order"], ["unseen", "mmcp-report-after-join"]]
    run("report", folder)
    table = [text for text in read_page(folder / "report.html").texts("tr") if text.startswith(("failed ", "unseen "))]
    assert table[0].startswith("failed mmcp mmcp-join-order")
    assert all("follows from mmcp-join-order" in text for text in table[1:4])


# --- whose lab it is


def test_a_lab_without_any_section_is_decided_by_what_needs_no_knowledge(tmp_path: Path) -> None:
    lab = good_lab()
    del lab.steps[0]["mmcp"]
    judgement = judge(lab.write(tmp_path / "lab.pcapng"))
    assert {verdict.pack for verdict in judgement.decided} == {"mmcp"}
    told = {verdict.rule: verdict for verdict in judgement.decided}
    assert told["mmcp-join-order"].verdict == "passed"
    assert told["mmcp-handover-order"].message.startswith("nothing says who is who: ")
    assert (judgement.exit_code(), judgement.records, judgement.about) == (0, {}, ("handover",))
    answer = run("judge", tmp_path / "lab.pcapng")
    assert (answer.exit_code, answer.stderr) == (0, "")
    lab.drop("join.SJC@*")
    assert {v.rule for v in judge(lab.write(tmp_path / "lab.pcapng")).with_verdict("failed")} == {"mmcp-join-order"}
