"""``python -m captures verify`` as a user meets it: any file, stdin, every format of output, every way it can end."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from junitparser import JUnitXml, TestSuite

from captures.__main__ import main
from captures.report.progress import Progress
from tests.captures.scripted_lab import good_lab
from tests.captures.scripted_link import T0, ScriptedLink, good_link

TIMER = ("--timer", "srt=2")


def run(*arguments: object, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(main, ["verify", *map(str, arguments)], input=stdin)


def as_pcap(link: ScriptedLink, *, order: str = "<", nanoseconds: bool = True) -> bytes:
    magic, unit = (0xA1B23C4D, 1) if nanoseconds else (0xA1B2C3D4, 1000)
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, 1)
    for frame in link.ordered():
        t_ns, size = T0 + round(frame.at_s * 1e9), len(frame.data)
        out += struct.pack(order + "IIII", t_ns // 10**9, t_ns % 10**9 // unit, size, size) + frame.data
    return out


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return good_link().write(tmp_path_factory.mktemp("link") / "link.pcapng")


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return good_link().drop("h1.HTA").drop("igmp.query.2").write(tmp_path_factory.mktemp("link") / "bad.pcapng")


def test_a_good_capture_passes(good: Path) -> None:
    answer = run(good, *TIMER)
    assert (answer.exit_code, answer.stderr) == (0, "")
    assert f"{len(good_link().frames)} packets" in answer.stdout
    assert answer.stdout.splitlines()[-1].startswith("0 failed")
    assert "\x1b" not in answer.stdout


def test_a_bad_capture_fails_and_says_what_and_where(bad: Path) -> None:
    answer = run(bad, *TIMER)
    assert answer.exit_code == 1
    failed = [line for line in answer.stdout.splitlines() if line.startswith("failed")]
    assert [line.split()[1] for line in failed] == [
        "mmcp-transfer-answered",
        "igmp-query-period",
    ]
    assert all("frame" in line and "eth0" in line for line in failed)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [True, False])
def test_every_kind_of_file_gives_the_same_verdicts(tmp_path: Path, bad: Path, order: str, nanoseconds: bool) -> None:
    path = tmp_path / "eth0.pcap"
    path.write_bytes(as_pcap(good_link().drop("h1.HTA").drop("igmp.query.2"), order=order, nanoseconds=nanoseconds))
    answers = [json.loads(run(one, *TIMER, "--json").stdout)["packs"] for one in (path, bad)]
    assert answers[0] == answers[1]


def test_stdin_gives_the_same_verdicts(bad: Path) -> None:
    piped, read = (run(file, *TIMER, "--json", stdin=stdin) for file, stdin in (("-", bad.read_bytes()), (bad, b"")))
    assert piped.exit_code == read.exit_code == 1
    assert json.loads(piped.stdout)["packs"] == json.loads(read.stdout)["packs"]
    assert json.loads(piped.stdout)["source"] == "stdin"


def test_a_pipe_that_cannot_seek(bad: Path) -> None:
    command = [sys.executable, "-m", "captures", "verify", "-", "--rules", "mmcp", "--json"]
    with subprocess.Popen(["cat", str(bad)], stdout=subprocess.PIPE) as cat:
        done = subprocess.run(command, stdin=cat.stdout, check=False, capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (1, b"")
    assert set(json.loads(done.stdout)["packs"]) == {"mmcp"}


def test_packs_can_be_chosen(bad: Path) -> None:
    assert run(bad, "--rules", "pim,rtp").exit_code == 0
    answer = run(bad, "--rules", "igmp", "--json")
    assert set(json.loads(answer.stdout)["packs"]) == {"igmp"}
    assert answer.exit_code == 1


def test_packs_of_protocols_that_do_not_occur_are_left_out(tmp_path: Path) -> None:
    link = good_link()
    link.frames = [frame for frame in link.frames if frame.tag.startswith("igmp")]
    answer = run(link.write(tmp_path / "a.pcapng"), "--json")
    assert set(json.loads(answer.stdout)["packs"]) == {"igmp"}


def test_json_has_the_documented_fields(good: Path) -> None:
    answer = json.loads(run(good, *TIMER, "--json").stdout)
    assert set(answer) == {
        "source", "frames", "seconds", "packs", "streams", "interfaces", "passed_over", "warnings", "truncated",
        "not_judged",
    }  # fmt: skip
    assert set(answer["packs"]) == {"mmcp", "igmp", "mld", "pim", "rtp"}
    pack = answer["packs"]["mmcp"]
    assert set(pack) == {"passed", "failed", "unseen", "verdicts"}
    assert len(pack["verdicts"]) == pack["passed"] + pack["failed"] + pack["unseen"]
    assert set(pack["verdicts"][0]) == {"pack", "rule", "clause", "subject", "verdict", "message", "frames"}
    (stream,) = answer["streams"]
    assert (stream["packets"], stream["lost"], stream["max_jitter_ms"]) == (2000, 0, 0.0)


def test_junit_has_a_case_for_every_verdict(tmp_path: Path, bad: Path) -> None:
    path = tmp_path / "report.xml"
    answer = run(bad, *TIMER, "--json", "--junit", path)
    packs = json.loads(answer.stdout)["packs"]
    suites: list[TestSuite] = list(JUnitXml.fromfile(str(path)))
    assert [suite.name for suite in suites] == list(packs)
    for suite in suites:
        pack = packs[suite.name]
        assert (suite.tests, suite.failures, suite.skipped) == (len(pack["verdicts"]), pack["failed"], pack["unseen"])
    assert 'name="mmcp-transfer-first [7.5, D M-8] eth0"' in path.read_text()


def test_junit_that_cannot_be_written_is_said(tmp_path: Path, good: Path) -> None:
    answer = run(good, "--junit", tmp_path / "nowhere" / "report.xml")
    assert answer.exit_code == 2
    assert "No such file" in answer.stderr


@pytest.mark.parametrize("names", ["", "mmcp"])
def test_a_lab_is_judged_by_who_is_who_from_a_file_and_from_stdin(tmp_path: Path, names: str) -> None:
    path = good_lab().drop("h1.HTA@*").write(tmp_path / "lab.pcapng")
    answers = [
        json.loads(run(path, "--json", "--rules", names).stdout),
        json.loads(run("-", "--json", "--rules", names, stdin=path.read_bytes()).stdout),
    ]
    for answer in answers:
        failed = {verdict["rule"] for verdict in answer["packs"]["mmcp"]["verdicts"] if verdict["verdict"] == "failed"}
        assert failed == {"mmcp-handover-order"}
        assert answer["warnings"] == []
    assert answers[0]["packs"] == answers[1]["packs"]


def test_steps_that_cannot_be_used_leave_what_needs_no_knowledge(tmp_path: Path) -> None:
    lab = good_lab()
    lab.steps[0]["mmcp"]["srt_s"] = -1
    answer = json.loads(run(lab.write(tmp_path / "lab.pcapng"), "--json").stdout)
    told = {verdict["rule"]: verdict for verdict in answer["packs"]["mmcp"]["verdicts"]}
    assert told["mmcp-handover-order"]["message"].startswith("nothing says who is who: ")
    assert told["mmcp-well-formed"]["verdict"] == "passed"
    assert ["not judged as a lab" in warning for warning in answer["warnings"]] == [True]


def test_a_pack_that_was_named_must_have_something_to_judge(tmp_path: Path) -> None:
    link = good_link()
    link.frames = [frame for frame in link.frames if frame.tag.startswith("data")]
    path = link.write(tmp_path / "a.pcapng")
    assert run(path, "--rules", "rtp").exit_code == 0
    for names, missing in (("rtp,mmcp", "mmcp"), ("mmcp,igmp,rtp", "mmcp, igmp"), ("pim", "pim")):
        answer = run(path, "--rules", names, "--json")
        assert answer.exit_code == 2
        assert answer.stderr.splitlines() == [f"captures: {path} shows nothing that could be judged by {missing}"]
        assert json.loads(answer.stdout)["not_judged"] == missing.split(", ")
    piped = run("-", "--rules", "rtp,mmcp", stdin=path.read_bytes())
    assert (piped.exit_code, piped.stderr.count("\n")) == (2, 1)


def test_a_rule_that_failed_outweighs_a_pack_without_a_verdict(tmp_path: Path) -> None:
    link = good_link().drop("data.500")
    link.frames = [frame for frame in link.frames if frame.tag.startswith("data")]
    answer = run(link.write(tmp_path / "a.pcapng"), "--rules", "rtp,igmp")
    assert answer.exit_code == 1
    assert "by igmp" in answer.stderr


def test_limits_of_streams(tmp_path: Path) -> None:
    path = good_link().drop("data.500").drop("data.9??").write(tmp_path / "a.pcapng")
    assert run(path, "--rules", "rtp").exit_code == 1
    assert run(path, "--rules", "rtp", "--max-loss", 1).exit_code == 0
    assert run(path, "--rules", "rtp", "--max-loss", 1, "--max-gap", 0.5).exit_code == 1
    assert run(path, "--rules", "rtp", "--max-loss", 1, "--max-gap", 2, "--max-jitter", 1).exit_code == 0


def nothing(_path: Path) -> None:
    pass


def no_packets(path: Path) -> None:
    ScriptedLink().write(path)


CANNOT_BE_JUDGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (nothing, "No such file"),
    "folder": (lambda path: path.mkdir(), "directory"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "text": (lambda path: path.write_text("no capture\n"), "no pcap or pcapng capture"),
    "compressed": (lambda path: path.write_bytes(b"\x1f\x8b\x08\0\0"), "decompress it first"),
    "no packets": (no_packets, "holds no packets"),
    "cut in the header": (lambda path: path.write_bytes(as_pcap(good_link())[:20]), "breaks off"),
}


@pytest.mark.parametrize("case", CANNOT_BE_JUDGED)
def test_what_cannot_be_judged_is_said_in_one_line(tmp_path: Path, case: str) -> None:
    make, reason = CANNOT_BE_JUDGED[case]
    path = tmp_path / "a.pcap"
    make(path)
    for arguments, stdin in (([path], b""), (["-"], path.read_bytes() if path.is_file() else None)):
        if stdin is None:
            continue
        answer = run(*arguments, "--json", stdin=stdin)
        assert (answer.exit_code, answer.stdout) == (2, "")
        assert reason in answer.stderr
        assert answer.stderr.count("\n") == 1


def test_a_capture_of_nothing_that_is_judged_does_not_pass(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    ScriptedLink().add(1, "x", "a", bytes(40)).write(path)
    answer = run(path)
    assert answer.exit_code == 2
    assert "nothing that could be judged" in answer.stderr


@pytest.mark.parametrize(("spoiled", "code"), [(False, 2), (True, 1)])
def test_truncated_file_is_judged_as_far_as_it_goes(
    tmp_path: Path, bad: Path, good: Path, spoiled: bool, code: int
) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes((bad if spoiled else good).read_bytes()[:-5])
    answer = run(path, *TIMER, "--json")
    assert answer.exit_code == code
    assert "breaks off" in answer.stderr
    assert json.loads(answer.stdout)["truncated"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--rules", "mmcp,gopher"),
        ("--rules", ","),
        ("--timer", "abc=1"),
        ("--timer", "srt=soon"),
        ("--timer", "srt=0"),
        ("--max-loss", "200"),
    ],
)
def test_bad_options_are_refused(good: Path, arguments: tuple[str, ...]) -> None:
    answer = run(good, *arguments)
    assert answer.exit_code == 2
    assert "Error" in answer.stderr


def test_tables_in_a_terminal(good: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "captures", "verify", str(good)]
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
    assert "┃".encode() in shown


def test_interrupted_it_says_so_and_leaves_no_trace(good: Path) -> None:
    command = [sys.executable, "-m", "captures", "verify", "-", "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        data = good.read_bytes()
        # More than a pipe holds: when all of it is taken, the judge is reading.
        for _ in range(1 + 300_000 // len(data)):
            process.stdin.write(data)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (130, b"")
    assert errors.startswith(b"captures: interrupted")
    assert errors.count(b"\n") == 1


def test_progress_shows_after_two_seconds_and_goes_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with Progress() as progress:
        progress(10_000)
        assert capsys.readouterr().err == ""
        now += 2.5
        progress(1_000_000)
        progress(1_010_000)
        shown = capsys.readouterr().err
    assert shown.count("packets") == 1
    assert "1,000,000 packets, 400,000 a second" in shown
    assert capsys.readouterr().err == "\r\x1b[K"


def test_no_progress_where_nobody_watches(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with Progress() as progress:
        now += 60
        progress(1_000_000)
    assert capsys.readouterr().err == ""
