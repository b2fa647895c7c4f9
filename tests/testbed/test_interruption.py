"""Ctrl-C before there is a lab: one plain line and 130, whether the program is still being loaded or looks for the lab."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.host.sandbox import PROJECT_ROOT

OURS = [sys.executable, "-X", "importtime", "-m", "testbed"]


@pytest.mark.parametrize("loaded", ["click", "pyroute2", "testbed.commands.moving"])
def test_ctrl_c_while_modules_are_loaded(tmp_path: Path, loaded: str) -> None:
    argv = [*OURS, "run", "pingpong", "--runs", str(tmp_path)]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, cwd=PROJECT_ROOT)
    assert process.stderr is not None
    with process, process.stderr as told:
        for line in told:
            if line.rstrip().endswith(f" {loaded}"):
                process.send_signal(signal.SIGINT)
                break
        said = [line for line in told if not line.startswith("import time:")]
    assert (process.returncode, said) == (130, ["interrupted\n"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["run"], ["list"], ["export", "--format", "kathara"]], ids=" ".join)
def test_ctrl_c_while_a_command_works(tmp_path: Path, command: list[str]) -> None:
    lab = tmp_path / "my_lab.py"
    lab.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    argv = [sys.executable, "-m", "testbed", command[0], str(lab), *command[1:]]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=PROJECT_ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
