"""Lines to a console: asked and answered over the socket in a run's folder, and what is said of a run that cannot be asked."""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from testbed.host.checks import eventually
from testbed.host.progress import Progress
from testbed.run.console_server import SOCKET, Server, serving
from testbed.shell.client import Client
from testbed.shell.runs import Connection, NoConsoleError, connect, how_it_ended, is_starting, running


class Parrot:
    """A console that says what it was told, and refuses what begins with "bad"."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.late = threading.Event()

    def close(self) -> None:
        pass

    def hello(self) -> dict[str, Any]:
        nodes = {"mn": os.getpid()}
        commands = {"say": "Say it again.\n\nsay WORDS\nExample: say hello", "quit": "Leave."}
        return {
            "lab": "toy",
            "family": 4,
            "nodes": nodes,
            "words": ["mn", "poa1"],
            "commands": commands,
        }

    def answer(self, line: str) -> dict[str, Any]:
        self.lines.append(line)
        if line == "late":
            self.late.wait(10)
            return {"ok": True, "text": "late\n", "run": {"node": None, "argv": ["false"], "into": []}}
        if line == "fault":
            raise KeyError("of ours")
        refused = line.startswith("bad")
        return {"ok": not refused, "text": f"error: {line}\n" if refused else f"{line}!\n", "run": None}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a run, at a path that is longer than a socket's may be."""
    deep = tmp_path / ("long" * 30) / "20261128T000000-toy"
    deep.mkdir(parents=True)
    return deep


@pytest.fixture
def parrot() -> Parrot:
    return Parrot()


@pytest.fixture
def server(folder: Path, parrot: Parrot) -> Iterator[Server]:
    with serving(folder, parrot, Progress(quiet=True)) as server:
        assert server is not None
        yield server


def talk(folder: Path, lines: str) -> int:
    with Connection(folder) as connection:
        return Client(connection, io.StringIO(lines)).talk()


@pytest.mark.usefixtures("server")
def test_lines_are_answered_in_order_and_comments_are_none(
    folder: Path, parrot: Parrot, capsys: pytest.CaptureFixture[str]
) -> None:
    assert talk(folder, "say a#b '# c'\n\n  # nothing\nsay c\nexit\nsay d\n") == 0
    assert parrot.lines == ["say a#b '# c'", "say c"]
    assert capsys.readouterr() == ("say a#b '# c'!\nsay c!\n", "")


@pytest.mark.usefixtures("server")
def test_a_refusal_is_no_end_and_is_the_status(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert talk(folder, "bad one\nsay on\nfault\nsay so\n") == 1
    out, errors = capsys.readouterr()
    assert (out, errors) == (
        "say on!\nsay so!\n",
        "error: bad one\nerror: a fault of the console: KeyError('of ours')\n",
    )


@pytest.mark.usefixtures("server")
def test_help_says_what_there_is_with_examples(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert talk(folder, "help\nhelp say\nhelp exit\n") == 0
    said = capsys.readouterr().out
    assert "say     Say it again.\n" in said
    assert "Example: say hello" in said
    assert "NODE …" in said
    assert talk(folder, "help nonsense\n") == 1


@pytest.mark.usefixtures("server")
def test_a_file_of_lines_is_done_line_by_line(folder: Path, parrot: Parrot, tmp_path: Path) -> None:
    (tmp_path / "steps").write_text("say one\nsay two\nexit\nsay three\n")
    assert talk(folder, f"source {tmp_path / 'steps'}\nsay four\n") == 0
    assert parrot.lines == ["say one", "say two", "say four"]
    assert talk(folder, "source /no/such/file\n") == 1


@pytest.mark.usefixtures("server")
def test_a_file_that_sources_itself_is_refused_and_one_may_be_sourced_twice(
    folder: Path, parrot: Parrot, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(f"say one\nsource {second}\nsource {second}\n")
    second.write_text("say two\n")
    assert talk(folder, f"source {first}\n") == 0
    assert parrot.lines == ["say one", "say two", "say two"]
    second.write_text(f"source {first}\nsay three\n")
    assert talk(folder, f"source {first}\n") == 1
    assert parrot.lines[3:] == ["say one", "say three", "say three"]
    assert "a file cannot source itself" in capsys.readouterr().err


@pytest.mark.usefixtures("server")
def test_an_answer_that_nobody_waited_for_is_not_the_next_lines(
    folder: Path, parrot: Parrot, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C while the console answers; what was to be started then is not started later either."""
    with Connection(folder) as connection:
        interrupt = signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            with pytest.raises(KeyboardInterrupt):
                connection.answer("late")
        finally:
            signal.signal(signal.SIGALRM, interrupt)
        parrot.late.set()
        assert Client(connection, io.StringIO("say one\nsay two\n")).talk() == 0
    assert capsys.readouterr() == ("say one!\nsay two!\n", "")


def test_who_has_left_is_forgotten(folder: Path, server: Server) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with Connection(folder) as connection:
            assert connection.answer("say")["ok"]

    def left() -> tuple[bool, str]:
        kept = [each for each in gc.get_referents(vars(server)["_connections"]) if isinstance(each, socket.socket)]
        return not kept, f"{len(kept)} connections kept"

    eventually("all to be forgotten", left, 5.0)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


@pytest.mark.usefixtures("server")
def test_completion_offers_commands_nodes_and_what_lines_name(folder: Path) -> None:
    with Connection(folder) as connection:
        client = Client(connection, io.StringIO())
        assert client.completenames("s") == ["say ", "source "]
        assert client.completenames("m") == ["mn "]
        assert client.completedefault("p") == ["poa1"]


def test_whoever_keeps_a_lab_ends_it_by_leaving_and_others_do_not(folder: Path, server: Server) -> None:
    with Connection(folder):
        pass
    with Connection(folder, keep=True) as kept:
        assert kept.pid == os.getpid()
        assert not server.deserted.is_set()
    assert server.deserted.wait(5)


@pytest.mark.usefixtures("server")
def test_running_labs_are_found(folder: Path) -> None:
    (folder.parent / "latest").symlink_to(folder.name)
    (folder.parent / "ended").mkdir()
    found = list(running(folder.parent))
    assert [(each.run_folder, each.hello.lab) for each in found] == [(folder, "toy")]
    for each in found:
        each.__exit__()


def test_of_an_ended_run_it_is_said_when_and_how(folder: Path) -> None:
    with pytest.raises(NoConsoleError, match="no result"):
        connect(folder, going_on=lambda: False)
    os.utime(folder, (0, 0))
    assert "has no result; it last wrote at 1970-01-01 00:00:00 UTC" in how_it_ended(folder)
    (folder / "result.json").write_text(
        json.dumps({"verdict": "could-not-run", "error": "too late", "duration_s": 2.5})
    )
    os.utime(folder / "result.json", (3600, 3600))
    told = f"{folder.name} has ended at 1970-01-01 01:00:00 UTC, after 2.5 s: could-not-run (too late)"
    assert how_it_ended(folder) == told
    (folder / "result.json").write_text("{")
    assert "cannot be read" in how_it_ended(folder)


@contextmanager
def held(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has begun the run in this folder, and lives."""
    program = "import sys; from pathlib import Path; from testbed.run.liveness import hold\n"
    program += "hold(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    argv = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_lab_that_takes_long_to_start_is_waited_for_and_a_dead_one_is_not(folder: Path, parrot: Parrot) -> None:
    os.utime(folder, (0, 0))  # however long ago it was begun
    with held(folder) as holder:
        assert is_starting(folder)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(connect, folder)
            with pytest.raises(TimeoutError):
                waiting.result(0.3)
            with serving(folder, parrot, Progress(quiet=True)), waiting.result(5) as connection:
                assert connection.hello.lab == "toy"
        (folder / "capture").mkdir()
        with pytest.raises(NoConsoleError, match="being joined and judged"):
            connect(folder)
        (folder / "capture").rmdir()
        holder.kill()
        holder.wait()
        assert not is_starting(folder)
        with pytest.raises(NoConsoleError, match="was killed"):
            connect(folder)


def test_a_lab_that_ends_while_it_is_asked_is_told(folder: Path, parrot: Parrot) -> None:
    with serving(folder, parrot, Progress(quiet=True)):
        connection = Connection(folder)
    with connection, pytest.raises(NoConsoleError, match="no result"):
        connection.answer("say a")


def testbed_says(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "testbed", *words], check=False, capture_output=True, text=True, input=""
    )


testbed_says.__test__ = False  # type: ignore[attr-defined]


def test_bad_input_is_one_line_and_status_2(tmp_path: Path) -> None:
    runs = ("--runs", str(tmp_path))
    killed = tmp_path / "20200101T000000-handover"
    killed.mkdir()
    (killed / SOCKET).touch()  # as one that was killed leaves it
    os.utime(killed, (time.time() - 1000,) * 2)
    (tmp_path / "latest").symlink_to(killed.name)
    for words, told in (
        (("attach", *runs), "no lab is running: 20200101T000000-handover was killed"),
        (("attach", *runs, "nonsense"), "there is no run 'nonsense'"),
        (("exec", *runs, "mn", "--", "true"), "no lab is running"),
        (("exec", *runs, "--run", killed.name, "mn", "true"), "was killed"),
        (("shell", "handovr"), "Did you mean handover?"),
        (("shell", "handover", *runs, "--family", "5"), "'5' is not one of 4, 6"),
    ):
        done = testbed_says(*words)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1), (words, done)
        assert told in done.stderr
    assert testbed_says("ps", *runs, "--json").stdout == "[]\n"
    assert testbed_says("ps", *runs).stdout.startswith("no lab runs; 20200101T000000-handover was killed")
