"""Runs of a lab as a person starts them: `python -m testbed run …`, as root or as an ordinary user.

The capture of each run that ended is read twice, by the judge's scapy layers and by the Wireshark plugin, which have to agree.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from testbed.host.sandbox import PROJECT_ROOT, needs_user_namespace
from tests.captures.agreement import disagreements

AS_ROOT = "root"
AS_USER = "ordinary user"
RUN_DEADLINE_S = 150.0

long = pytest.mark.long

as_root = pytest.mark.skipif(needs_user_namespace(), reason="not root")
users = pytest.mark.parametrize("user", [pytest.param(AS_ROOT, marks=as_root), AS_USER])


def outer_argv(user: str, run_folder: Path, *words: str) -> tuple[list[str], Path]:
    """argv of `tests.labs.outer` as that user, and the run folder as it sees it."""
    if user == AS_ROOT or needs_user_namespace():
        return [sys.executable, "-m", "tests.labs.outer", *words], run_folder
    run_folder.chmod(0o777)
    argv = [sys.executable, str(Path(__file__).with_name("as_ordinary_user.py"))]
    argv += [str(PROJECT_ROOT), "/mnt", str(run_folder), "/media", "--"]
    python = Path("/mnt", Path(sys.executable).relative_to(PROJECT_ROOT))
    return [*argv, str(python), "-m", "tests.labs.outer", *words], Path("/media")


@dataclass(frozen=True)
class Run:
    """A run that has ended."""

    status: int
    out: str
    errors: str
    folder: Path | None

    @property
    def result(self) -> dict[str, Any]:
        """Its result.json."""
        assert self.folder is not None, f"no run folder; status {self.status}\n{self.errors}"
        found: dict[str, Any] = json.loads((self.folder / "result.json").read_text())
        return found

    def explain(self) -> str:
        """What a failed assertion wants to show."""
        return f"status {self.status}\n{self.out}\n{self.errors}"


def command(runs: Path, *words: str, user: str = AS_ROOT) -> list[str]:
    """argv of `python -m testbed run WORDS` with its results below `runs`; the user sees that folder as /media."""
    return argv_of(runs, "run", *words, "--runs", RUNS, user=user)


RUNS = "{runs}"
"""In the words of a command: the folder of runs, as its user sees it."""


def argv_of(runs: Path, *words: str, user: str = AS_ROOT) -> list[str]:
    """argv of `python -m testbed WORDS`."""
    if user == AS_ROOT or needs_user_namespace():
        return [sys.executable, "-m", "testbed", *(str(runs) if word == RUNS else word for word in words)]
    runs.chmod(0o777)
    python = Path("/mnt", Path(sys.executable).relative_to(PROJECT_ROOT))
    change = [sys.executable, str(Path(__file__).with_name("as_ordinary_user.py"))]
    change += [str(PROJECT_ROOT), "/mnt", str(runs), "/media", "--"]
    return [*change, str(python), "-m", "testbed", *("/media" if word == RUNS else word for word in words)]


def start(runs: Path, *words: str, user: str = AS_ROOT) -> subprocess.Popen[str]:
    """Start a run."""
    runs.mkdir(exist_ok=True)
    return subprocess.Popen(
        command(runs, *words, user=user),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=PROJECT_ROOT,
        env={**os.environ, "NO_COLOR": "1"},
    )


def finish(process: subprocess.Popen[str], runs: Path) -> Run:
    """Wait for a run's end. One that does not end is killed, and fails the test."""
    try:
        out, errors = process.communicate(timeout=RUN_DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        out, errors = process.communicate()
        raise AssertionError(f"no end within {RUN_DEADLINE_S:g} s\n{out}\n{errors}") from None
    latest = runs / "latest"
    return Run(process.returncode, out, errors, latest.resolve() if latest.exists() else None)


MMCP = {"mmcp": "mmcp"}
GMP = {f"gmp_{module}": f"gmp && udp.port == {port}" for module, port in (("sm", 16513), ("mm", 16514))}
"""What to read twice of a run: names of `tests.captures.agreement`, and how tshark finds their messages."""


def run(runs: Path, *words: str, user: str = AS_ROOT, of: Mapping[str, str] = MMCP) -> Run:
    """Start a run, wait for its end, and have its capture read by both readers."""
    finished = finish(start(runs, *words, user=user), runs)
    reads_alike(finished, of)
    return finished


def reads_alike(finished: Run, of: Mapping[str, str] = MMCP) -> None:
    """Wireshark with the plugin and the judge read every message of the run alike, frame by frame.

    A run that came to no verdict has nothing to compare. Without tshark `tests/labs/test_one_run.py` alone fails.
    """
    if finished.status not in (0, 1) or finished.folder is None or shutil.which("tshark") is None:
        return
    with tempfile.TemporaryDirectory() as home:
        for name, filtered in of.items():
            messages, found = disagreements(Path(home), finished.folder / "lab.pcapng", name, "-Y", filtered)
            assert found == []
            assert messages > 0
