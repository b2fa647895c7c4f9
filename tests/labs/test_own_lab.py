"""The page on writing a lab is right: its lab is run, listed, drawn and exported as it stands there, from a folder elsewhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.host.sandbox import PROJECT_ROOT
from tests.labs.runs import long

pytestmark = pytest.mark.timeout(240)

PAGE = PROJECT_ROOT / "topologies/WRITING_A_LAB.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the page's lab in it, and with something that is called as a package of ours is."""
    name, lab = re.findall(r"^`(\w+\.py)`:\n\n```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)[0]
    (tmp_path / name).write_text(lab)
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents/__init__.py").write_text("raise RuntimeError('not this one')")
    return tmp_path


def ran(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT), "NO_COLOR": "1"}
    argv = [sys.executable, "-P", "-m", "testbed", *words]  # as .venv/bin/testbed does
    return subprocess.run(argv, check=False, capture_output=True, text=True, cwd=folder, env=environment)


@pytest.mark.parametrize("family", ["4", pytest.param("6", marks=long)])
def test_the_pages_lab_passes_from_a_folder_elsewhere(folder: Path, family: str) -> None:
    assert len((folder / "my_lab.py").read_text().splitlines()) <= 32
    done = ran(folder, "run", "./my_lab.py", "--family", family, "--handovers", "1", "--runs", "results", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["lab"], len(result["handovers"])) == ("my-lab", 2)
    (there, back) = result["links"]
    assert {there["asked"], back["asked"]} == {"delay=20ms,loss=1%"}
    model = json.loads((folder / "results/latest/model.json").read_text())
    assert (model["unicast"], len(model["points_of_attachment"]), len(model["radios"])) == ("ospf", 3, 2)


def test_the_pages_other_commands_do_what_they_say(folder: Path) -> None:
    drawn = ran(folder, "draw", "./my_lab.py", "--output", "my_lab.svg")
    assert (drawn.returncode, drawn.stdout) == (0, "my_lab.svg\n"), drawn.stderr
    assert "20 ms, 1 % lost" in (folder / "my_lab.svg").read_text()
    listed = json.loads(ran(folder, "list", "my_lab.py", "--json").stdout)[0]
    assert "r2 ~~~~ r3" in listed["drawing"]
    exported = ran(folder, "export", "./my_lab.py", "--format", "containerlab")
    assert exported.returncode == 0, exported.stderr
    assert (folder / "my-lab-containerlab/my-lab.clab.yml").is_file()
    helped = ran(folder, "run", "./my_lab.py", "--help")
    assert "--handovers" in helped.stdout
    for command in re.findall(r"^\.venv/bin/testbed (\w+) \./my_lab\.py", PAGE.read_text(), re.MULTILINE):
        assert ran(folder, command, "./my_lab.py", "--help").returncode == 0


def test_what_the_page_names_is_there() -> None:
    page = PAGE.read_text()
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert len(links) > 5
    assert [link for link in links if not (PAGE.parent / link).exists()] == []


SCENARIO = '''"""Two hosts.

::

    one ──── two
"""

import sys

from testbed.net.model import End, Lab, Link, Node
from testbed.run.laboratory import Conclusion, Topology

ENDS = (End("one", "one-two", "10.0.0.1/30"), End("two", "two-one", "10.0.0.2/30"))
MODEL = Lab("pair", 4, (Node("one"), Node("two")), links=(Link(*ENDS),))


def perform(lab):
    lab.network.processes.start("left-behind", "one", ["sleep", "987"])
    sys.exit(0)


TOPOLOGY = Topology("pair", "two hosts", (), lambda values: MODEL, perform, lambda *_: Conclusion())
'''


def test_a_scenario_that_ends_the_program_has_failed_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "pair.py"
    left_behind = str(1_000_000 + os.getpid())  # not that of a run beside this one
    file.write_text(SCENARIO.replace("987", left_behind))
    done = ran(tmp_path, "run", "./pair.py", "--runs", "results")
    why = f"{file}, line 19: SystemExit: 0; see fault.txt"
    assert (done.returncode, done.stdout, f"error: {why}\n" in done.stderr) == (2, "", True), done.stderr
    assert "Traceback" not in done.stderr
    result = json.loads((tmp_path / "results/latest/result.json").read_text())
    assert (result["verdict"], result["error"]) == ("could-not-run", why)
    assert (tmp_path / "results/latest/lab.pcapng").is_file(), "what was captured is kept"
    sleeping = f"sleep\0{left_behind}\0".encode()
    assert [path for path in Path("/proc").glob("[0-9]*/cmdline") if sleeping in _read(path)] == []


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # it has ended
