"""The commands as a user meets them: output, exit codes, and one clear line for each thing that cannot be done."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from captures.__main__ import main
from captures.files.capture import Interface, PcapngWriter
from tests.captures.scripted_joins import good_join_lab
from tests.captures.scripted_lab import ScriptedLab, good_lab


def run(*arguments: object, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return good_lab().write(tmp_path / "lab.pcapng")


@pytest.mark.parametrize("command", [[], ["merge"], ["judge"], ["dissect"]])
def test_help_has_an_example(command: list[str]) -> None:
    answer = run(*command, "--help")
    assert answer.exit_code == 0
    assert "Example: " in answer.stdout
    assert "python -m captures" in answer.stdout


def test_judge_passes_a_good_lab(good: Path) -> None:
    answer = run("judge", good)
    assert answer.exit_code == 0
    assert "0 failed" in answer.stdout
    assert "\x1b" not in answer.stdout


def test_judge_shows_what_the_lab_is_about(tmp_path: Path) -> None:
    answer = run("judge", good_join_lab().write(tmp_path / "lab.pcapng"))
    assert answer.exit_code == 0
    assert answer.stdout.startswith("mn  ")
    joins, rules, packs, counts = answer.stdout.split("\n\n")
    assert [line.split()[:2] for line in packs.splitlines()[1:]] == [["igmp", "0"], ["rtp", "0"]]
    assert counts.startswith("0 failed, ")
    assert [line.split()[2] for line in joins.splitlines()[1:]] == [
        "lmc", "refused-by-sm", "refused-by-lmc", "direct", "unanswered",
    ]  # fmt: skip
    assert rules.startswith("verdict")


def test_judge_draws_tables_in_a_terminal(good: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "captures", "judge", str(good)]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "200"}
    with subprocess.Popen(command, stdout=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # EIO is how a pseudo terminal says that the other end is gone
            while octets := os.read(ours, 65536):
                shown += octets
        os.close(ours)
        assert process.wait(timeout=20) == 0
    assert b"\x1b[" in shown
    assert "┃ rule".encode() in shown.replace(b"\x1b[1m", b"").replace(b"\x1b[0m", b"")


def test_judge_json_has_the_documented_fields(good: Path) -> None:
    answer = json.loads(run("judge", good, "--json").stdout)
    assert set(answer) == {
        "about",
        "handovers",
        "joins",
        "leaves",
        "silences",
        "rules",
        "packs",
        "interfaces",
        "warnings",
        "truncated",
    }
    rules = answer["rules"]
    assert set(rules) == {"checked", "passed", "unseen", "failed", "all"}
    assert rules["checked"] == rules["passed"] + len(rules["failed"])
    assert len(rules["all"]) == rules["checked"] + len(rules["unseen"])
    assert set(rules["all"][0]) == {"pack", "rule", "clause", "subject", "verdict", "message", "frames"}
    assert answer["interfaces"]["mn:mn-radio"] > 1000
    assert set(answer["packs"]) == {"igmp", "rtp"}
    for name, pack in answer["packs"].items():
        assert (pack["failed"], {verdict["pack"] for verdict in pack["verdicts"]}) == (0, {name})


def test_judge_fails_a_bad_lab_and_shows_failures_first(tmp_path: Path) -> None:
    path = good_lab().drop("h1.HTA@*").write(tmp_path / "lab.pcapng")
    answer = run("judge", path)
    assert answer.exit_code == 1
    rules = answer.stdout.split("\n\n")[1].splitlines()
    assert rules[1].startswith("failed")
    assert "mmcp-handover-order" in rules[1]


def no_interfaces(path: Path) -> None:
    with path.open("wb") as stream:
        PcapngWriter(stream, [Interface("a:b", 1)]).flush()


def wrong_parameters(path: Path) -> None:
    lab = good_lab()
    del lab.steps[0]["mmcp"]["lmcs"]
    lab.write(path)


def only_parameters(path: Path) -> None:
    lab = ScriptedLab()
    lab.parameters()
    lab.write(path)


def not_parametrised(path: Path) -> None:
    good_lab().drop_step("parameters").write(path)


def idle(path: Path) -> None:
    good_lab().drop_step("handover_begin").write(path)


def nothing(_path: Path) -> None:
    pass


CANNOT_BE_JUDGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (nothing, "No such file"),
    "folder": (lambda path: path.mkdir(), "directory"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "text": (lambda path: path.write_text("no capture\n"), "no pcap or pcapng capture"),
    "pcap": (lambda path: path.write_bytes(bytes.fromhex("d4c3b2a1") + bytes(20)), "no packets"),
    "no packets": (no_interfaces, "holds no packets"),
    "cut in the header": (lambda path: path.write_bytes(good_lab().write(path).read_bytes()[:20]), "breaks off"),
    "no parameters": (not_parametrised, "no parameters step"),
    "wrong parameters": (wrong_parameters, "lacks 'lmcs'"),
    "nothing but parameters": (only_parameters, "no handover"),
    "no handover": (idle, "handover_begin"),
}


@pytest.mark.parametrize("case", CANNOT_BE_JUDGED)
def test_what_cannot_be_judged_is_said_in_one_line(tmp_path: Path, case: str) -> None:
    make, reason = CANNOT_BE_JUDGED[case]
    path = tmp_path / "lab.pcapng"
    make(path)
    answer = run("judge", path, "--json")
    assert answer.exit_code == 2
    assert answer.stdout == ""
    assert reason in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_truncated_file_is_judged_as_far_as_it_goes(good: Path) -> None:
    good.write_bytes(good.read_bytes()[:-5])
    answer = run("judge", good, "--json")
    assert answer.exit_code == 2
    assert "breaks off" in answer.stderr
    assert json.loads(answer.stdout)["truncated"]


def test_merge_then_judge(tmp_path: Path) -> None:
    run_folder = good_lab().write_run_folder(tmp_path / "run")
    answer = run("merge", run_folder)
    assert answer.exit_code == 0
    merged = json.loads(answer.stdout)
    assert merged["packets"]["mn:mn-radio"] > 1000
    assert run("judge", merged["pcapng"]).exit_code == 0


def test_merge_of_nothing_is_an_error(tmp_path: Path) -> None:
    answer = run("merge", tmp_path / "nowhere")
    assert answer.exit_code == 2
    assert "no .pcap file" in answer.stderr


def test_dissect_answers_every_line() -> None:
    lines = b"0900000800000001\n\n  \nxyz\n0100000800\n09000008 00000002\n\xff\xfe\n"
    answers = [json.loads(line) for line in run("dissect", "--protocol", "mmcp", stdin=lines).stdout.splitlines()]
    assert [answer.get("session_id", "error") for answer in answers] == [1, "error", "error", 2, "error"]
    assert answers[0] == {"packet": "USP", "session_id": 1, "f": 0, "profile": "L16", "params": []}


def test_dissect_answers_each_line_at_once() -> None:
    """A program may ask and wait for the answer before it asks again."""
    command = [sys.executable, "-m", "captures", "dissect", "--protocol", "mmcp"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for session in (1, 2, 3):
            process.stdin.write(b"09000008%08x\n" % session)
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["session_id"] == session
        process.stdin.close()
        assert process.wait(timeout=20) == 0


def test_merging_does_not_load_scapy(tmp_path: Path) -> None:
    run_folder = good_lab().write_run_folder(tmp_path / "run")
    code = (
        "import sys; from captures.__main__ import main\n"
        f"main(['merge', {str(run_folder)!r}], standalone_mode=False)\n"
        "sys.exit('scapy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0
