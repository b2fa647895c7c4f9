"""How the commands end: a mishap is status 2, an interruption 130, and only a rule that failed is 1."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest
from click.testing import CliRunner, Result

from captures.__main__ import main
from tests.captures.scripted_lab import good_lab

DEADLINE_S = 20.0


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return good_lab().write(tmp_path / "lab.pcapng")


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return good_lab().drop("h1.HTA@*").write(tmp_path / "bad.pcapng")


def test_what_cannot_be_written_is_one_line(good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for arguments in (
        ("timeline", good, "-o", folder),
        ("timeline", good, "-o", tmp_path / "nowhere" / "a"),
        ("report", good, "-o", folder),
        ("verify", good, "--junit", tmp_path / "nowhere" / "a"),
    ):
        answer = run(*arguments)
        assert (answer.exit_code, answer.stderr.count("\n")) == (2, 1), arguments
        assert "cannot write" in answer.stderr
        assert isinstance(answer.exception, SystemExit)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "lab.pcapng"]


@pytest.mark.parametrize("command", [("timeline", "-o"), ("report", "-o"), ("verify", "--junit")])
def test_the_capture_itself_is_never_written_over(good: Path, tmp_path: Path, command: tuple[str, str]) -> None:
    octets = good.read_bytes()
    other_name = tmp_path / "link"
    other_name.symlink_to(good)
    for target in (good, other_name):
        answer = run(command[0], good, command[1], target)
        assert (answer.exit_code, answer.stdout, answer.stderr.count("\n")) == (2, "", 1)
        assert "the capture itself" in answer.stderr
    assert good.read_bytes() == octets


def test_a_timeline_may_go_into_what_is_no_plain_file(good: Path, tmp_path: Path) -> None:
    queue = tmp_path / "queue"
    os.mkfifo(queue)
    argv = [sys.executable, "-m", "captures", "timeline", str(good), "-o", str(queue)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
        assert queue.read_text().startswith('{"')
        assert process.wait(timeout=DEADLINE_S) == 0
    assert queue.is_fifo()


def test_a_mistake_of_ours_is_no_rule_that_failed(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(_path: Path) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("captures.rules.engine.judge", mistaken)
    answer = run("judge", good)
    assert answer.exit_code == 2
    assert "Traceback" in answer.stderr
    assert "planted" in answer.stderr


def pipe_of(argv: list[str]) -> tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]:
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    return process, process.stdout, process.stderr


@pytest.mark.parametrize("command", [("judge",), ("verify", "--rules", "mmcp")])
def test_a_closed_pipe_changes_no_verdict(good: Path, bad: Path, command: tuple[str, ...]) -> None:
    for path, status in ((good, 0), (bad, 1)):
        for more in ((), ("--json",)):
            process, stdout, stderr = pipe_of([sys.executable, "-m", "captures", *command, str(path), *more])
            with process:
                stdout.close()
                said = stderr.read()
                assert (process.wait(timeout=DEADLINE_S), said) == (status, b"")


READING = """
import sys
from captures.__main__ import main
import captures.rules.engine
def judge(path):
    print("reading", flush=True)
    while True:
        pass
captures.rules.engine.judge = judge
main(["judge", "lab.pcapng"])
"""


def test_ctrl_c_is_130_and_silent() -> None:
    process, stdout, stderr = pipe_of([sys.executable, "-c", READING])
    with process:
        assert stdout.readline() == b"reading\n"
        process.send_signal(signal.SIGINT)
        assert (process.wait(timeout=DEADLINE_S), stderr.read()) == (130, b"")
