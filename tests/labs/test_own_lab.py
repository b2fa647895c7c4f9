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
