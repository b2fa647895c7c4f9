"""A lab is left to a person: lines typed or piped into its console, a second terminal, commands in its nodes, and its end."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed.host.checks import eventually
from testbed.host.sandbox import PROJECT_ROOT
from tests.labs.runs import AS_USER, RUNS, argv_of, users

pytestmark = pytest.mark.timeout(240)

READY_S = 40.0
PROMPT = "handover> "


def done(runs: Path, *words: str, user: str = AS_USER, lines: str = "") -> subprocess.CompletedProcess[str]:
    """A command of the testbed that has ended."""
    argv = argv_of(runs, words[0], "--runs", RUNS, *words[1:], user=user)
    environment = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run(
        argv, input=lines, check=False, capture_output=True, text=True, cwd=PROJECT_ROOT, env=environment, timeout=100
    )


@dataclass
class Terminal:
    """A console on a terminal, which a test types into."""

    process: subprocess.Popen[bytes]
    descriptor: int
    seen: str = ""

    def await_text(self, text: str, deadline_s: float = READY_S) -> str:
        """Wait until it shows a text; returns all up to it since the last time."""
        ends = time.monotonic() + deadline_s
        while text not in self.seen:
            ready, _, _ = select.select([self.descriptor], [], [], max(0.0, ends - time.monotonic()))
            assert ready, f"no {text!r} within {deadline_s} s; shown: {self.seen}"
            self.seen += os.read(self.descriptor, 65536).decode(errors="replace")
        before, _, self.seen = self.seen.partition(text)
        return before

    def type(self, keys: str) -> None:
        os.write(self.descriptor, keys.encode())


@contextmanager
def terminal(argv: list[str]) -> Iterator[Terminal]:
    """A program with a terminal of its own."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "HOME": "/nonexistent"}
    with subprocess.Popen(
        argv,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=PROJECT_ROOT,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # its Ctrl-C is to be a signal
    ) as process:
        os.close(theirs)
        try:
            yield Terminal(process, ours)
        finally:
            process.kill()
            os.close(ours)


def processes_of(run: Path) -> list[str]:
    """The command lines of all processes that name a run's folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if run.name in line:
            found.append(line)
    return found


def gone(run: Path) -> tuple[bool, str]:
    left = processes_of(run)
    return not left, "; ".join(left) or "nothing is left"


@users
def test_a_console_and_a_second_terminal(tmp_path: Path, user: str) -> None:
    """One lab, asked from its own console, from a second one and by single commands, until the first is left."""
    runs = tmp_path / "runs"
    runs.mkdir()
    with terminal(argv_of(runs, "shell", "handover", "--runs", RUNS, user=user)) as console:
        console.await_text(PROMPT)
        run = (runs / "latest").resolve()

        console.type("mn ping sm\n")
        console.await_text("64 bytes from 10.0.20.2")
        console.type("\x03")
        assert "packet loss" in console.await_text(PROMPT), "Ctrl-C ends what runs in the node, and nothing else"
        console.type("mo\t")
        console.await_text("move ")
        console.type("mn po\t2 gap 20ms overlap 100ms\n")
        moved = console.await_text(PROMPT)
        gap = re.search(r"mn: poa1 → poa2, (\d+\.\d) ms without link; mn told before", moved)
        assert gap is not None, moved
        assert 19.5 < float(gap[1]) < 500

        listed = json.loads(done(runs, "ps", "--json", user=user).stdout)
        assert [(row["run"], row["lab"], row["nodes"]) for row in listed] == [(run.name, "handover", 8)]
        second = done(runs, "attach", user=user, lines="agents\nmembers\nkill lmc1\nagents\n")
        assert (second.returncode, second.stderr) == (0, "")
        assert re.search(r"^mn +239\.1\.1\.1$", second.stdout, re.MULTILINE)
        assert re.search(r"^lmc1 .*is running(?s:.*)^lmc1 .*killed by SIGKILL$", second.stdout, re.MULTILINE)
        asked = done(runs, "exec", "mn", "--", "ip", "-br", "address", user=user)
        assert (asked.returncode, "10.0.2.100/24" in asked.stdout) == (0, True), asked
        assert done(runs, "exec", "mn", "--", "sh", "-c", "exit 7", user=user).returncode == 7
        assert done(runs, "exec", "mn", "--", "no-such-program", user=user).returncode in (126, 127)
        assert done(runs, "exec", "mn", "--", "sh", "-c", "kill -9 $$", user=user).returncode == 128 + signal.SIGKILL
        refused = done(runs, "exec", "mm", "--", "true", user=user)
        assert (refused.returncode, "nodes: mcs, sm, rr" in refused.stderr) == (2, True)
        unknown = done(
            runs, "attach", user=user, lines="mowe mn\nmove mn poa7\nmove rr poa1\nmove mn poa1 gap 5\nnodes\n"
        )
        assert unknown.returncode == 1
        told = ("no command 'mowe'", "no cell 'poa7'; cells: poa1, poa2", "mobile nodes: mn", "'5' has no unit")
        assert all(words in unknown.stderr for words in told), unknown.stderr
        assert "available nodes" in unknown.stdout, "a refusal is not the end"

        console.type("exit\n")
        assert console.process.wait(30) == 0
    eventually("the lab to be gone", lambda: gone(run), 10.0)
    assert json.loads((run / "result.json").read_text())["verdict"] == "kept"
    late = done(runs, "attach", user=user)
    assert late.returncode == 2
    assert re.fullmatch(
        rf"error: no lab is running: {run.name} has ended at \S+ \S+ UTC, after [\d.]+ s: kept \(.*\)\n", late.stderr
    ), late.stderr


def test_what_a_console_records_can_be_judged_and_a_killed_one_leaves_nothing(tmp_path: Path) -> None:
    lines = "tree svg\nlink rr ar1 delay 20ms\nsm ping -c1 ar1\nlink rr ar1 down\nsm ping -c1 -W1 ar1 || true\nlink rr ar1 up\n"
    lines += "link rr ar1 perfect\ncapture on\nmove mn poa2\nmn sleep 0.5\n"  # and it is joined at the end
    piped = done(tmp_path, "shell", user="root", lines="")
    assert piped.returncode == 2, "a lab has to be named"
    argv = argv_of(tmp_path, "shell", "ssm", "--runs", RUNS)
    kept = subprocess.run(argv, input=lines, check=False, capture_output=True, text=True, cwd=PROJECT_ROOT, timeout=100)
    run = (tmp_path / "latest").resolve()
    assert kept.returncode == 0, kept.stderr
    assert re.search(r"^ +out ar1-poa1 \(cell poa1\): members mn$", kept.stdout, re.MULTILINE), kept.stdout
    assert (run / "tree.svg").read_text().count('class="link path"') == 3, "mcs to rr, rr to ar1, ar1 to poa1"
    slow, none = re.findall(r"(\d) received, .*\n(?:rtt min/avg/max/mdev = ([\d.]+))?", kept.stdout)
    assert (slow[0], float(slow[1]) >= 38, none[0]) == ("1", True, "0"), kept.stdout
    judge = [sys.executable, "-m", "captures", "verify", str(run / "lab.pcapng"), "--json"]
    judged = subprocess.run(judge, check=False, capture_output=True, text=True, cwd=PROJECT_ROOT)
    packs = json.loads(judged.stdout)["packs"]
    assert {"mmcp", "igmp", "rtp"} <= set(packs)

    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT_ROOT) as killed:
        assert killed.stdin is not None
        assert killed.stdout is not None
        killed.stdin.write(b"nodes\n")
        killed.stdin.flush()
        assert b"available" in killed.stdout.readline()
        second = (tmp_path / "latest").resolve()
        assert second != run
        assert processes_of(second)
        killed.kill()
    eventually("the lab to be gone", lambda: gone(second), 20.0)
    late = done(tmp_path, "attach", second.name, user="root")
    assert (late.returncode, second.name in late.stderr) == (2, True)
