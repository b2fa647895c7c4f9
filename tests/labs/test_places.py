"""Where a project may lie, and where labs may come from: a folder with an odd name, and folders of PYTHONPATH."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.host.sandbox import PROJECT_ROOT
from tests.labs.runs import AS_USER, finish, start, users

pytestmark = pytest.mark.timeout(120)

ODD = "mü'ller & co [1] $HOME"


def test_a_lab_runs_in_a_folder_with_an_odd_name(tmp_path: Path) -> None:
    """The whole project as it is, at another place; in a sandbox of its own, so that the host's /mnt stays as it is."""
    script = (
        'mount -t tmpfs none /mnt && mkdir "/mnt/$2" && mount --bind "$1" "/mnt/$2" && cd "/mnt/$2" && shift 2 &&'
        ' exec .venv/bin/python -m testbed run handover --modes proactive --repeat 1 --json --runs "$@"'
    )
    words = ["sh", "-c", script, "sh", str(PROJECT_ROOT), ODD, str(tmp_path / ODD)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.labs.outer", *words],
        cwd=PROJECT_ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "pass"
    report = tmp_path / ODD / "latest/report.html"
    assert f"report   {report.resolve()}\n" in done.stderr
    assert report.stat().st_size > 100_000


LAB = """
from testbed.net.model import End, Lab, Link, Node
from testbed.run.laboratory import Conclusion, Measurements, Topology
from testbed.run.options import family_option


def build(values):
    link = Link(End("one", "one-two", "10.0.0.1/24"), End("two", "two-one", "10.0.0.2/24"))
    return Lab("pair", values.family, (Node("one"), Node("two")), links=(link,))


def perform(lab):
    one = lab.roles.start("one", "one", ("no", "such", "role"), {"answer": 42})
    lab.network.processes.wait_for_log(one.process, "42 from beside", 10.0)
    lab.roles.stop(one)
    return Measurements()


def conclude(values, measurements, verdict):
    return Conclusion()


TOPOLOGY = Topology("pair", "two hosts and no router", (family_option(),), build, perform, conclude)
"""
ROLE = """import socket, time, beside_the_tree
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'hello', ('10.0.0.2', 7))
print(beside_the_tree.ANSWER, 'from beside', flush=True)
time.sleep(60)
"""


@users
def test_a_lab_of_a_folder_beside_is_run_and_its_roles_find_that_folder(
    tmp_path: Path, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lab without protocol, router or group; what plays its role imports from the folder that PYTHONPATH names."""
    beside, runs = tmp_path / "runs" / "a toy's folder", tmp_path / "runs"
    (beside / "topologies").mkdir(parents=True)
    (beside / "topologies/pair.py").write_text(LAB)
    (beside / "beside_the_tree.py").write_text("ANSWER = 42\n")
    (runs / "lab.toml").write_text(f"[external]\none = {json.dumps([sys.executable, '-c', ROLE])}\n")
    # As somebody would write it: relative to the working folder. The ordinary user sees the folder of runs as /media.
    seen = Path("/media") if user == AS_USER and os.geteuid() == 0 else runs
    working = Path("/mnt") if user == AS_USER and os.geteuid() == 0 else PROJECT_ROOT
    monkeypatch.setenv("PYTHONPATH", os.path.relpath(seen / beside.name, working))
    finished = finish(start(runs, "pair", "--lab-config", str(seen / "lab.toml"), user=user), runs)
    assert finished.folder is not None, finished.explain()
    said = (finished.folder / "logs/one.log").read_text()
    assert said == "42 from beside\n", finished.explain()
