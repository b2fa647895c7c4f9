"""Labs are found by name and by file; what is wrong with a file is told with its line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.host.sandbox import PROJECT_ROOT
from testbed.run.finding import FoundLab, LabFileError, blame, find_lab, labs

LAB = '''"""Two hosts.

::

    one ──── two
"""

from testbed.net.model import Lab, Node
from testbed.run.laboratory import Conclusion, Measurements, Topology
import pieces

TOPOLOGY = Topology(
    "pair", "two hosts and no router", (), lambda values: pieces.build(), lambda lab: Measurements(), lambda *_: Conclusion()
)
'''
PIECES = 'from testbed.net.model import Lab, Node\n\ndef build():\n    return Lab("pair", 4, (Node("one"),))\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "pieces.py").write_text(PIECES)
    (tmp_path / "my lab.py").write_text(LAB)
    return tmp_path / "my lab.py"


def test_a_lab_of_a_file_may_import_what_lies_beside_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    found = find_lab("./my lab.py")
    assert (found.topology.name, found.named, found.drawing) == ("pair", str(file), "one ──── two")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("Node\n", "Node, Nood\n", "line 8: ImportError: cannot import name 'Nood'"),
        ("TOPOLOGY = Topology(", "TOPOLOGY = = Topology(", "line 12: SyntaxError: invalid syntax"),
        ("TOPOLOGY", "TOPOLOGIE", "has no TOPOLOGY"),
        ("TOPOLOGY = Topology(", "TOPOLOGY = tuple([", "line 12"),
        ("import pieces", "import peaces", "line 10: ModuleNotFoundError"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(file: Path, before: str, after: str, told: str) -> None:
    file.write_text(LAB.replace(before, after))
    with pytest.raises(LabFileError, match=told) as caught:
        find_lab(str(file))
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("named", ["./nowhere.py", "nowhere.py", "/no/such/lab", "handovr"])
def test_a_lab_that_is_not_there_is_told(named: str) -> None:
    with pytest.raises(LabFileError, match="there is no"):
        find_lab(named)


@pytest.mark.parametrize("lab", labs()[0].values(), ids=labs()[0])
def test_every_lab_has_a_drawing_and_says_what_it_shows(lab: FoundLab) -> None:
    assert len(lab.drawing.splitlines()) > 2
    assert "──" in lab.drawing
    assert lab.topology.summary
    assert find_lab(lab.topology.name).file == lab.file


def test_a_broken_lab_is_told_where_it_is_asked_for_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "topologies").mkdir()
    (tmp_path / "topologies" / "two_holes.py").write_text('"""Broken."""\n\nraise KeyError("hole")\n')
    told = f"{tmp_path}/topologies/two_holes.py, line 3: KeyError: 'hole'"
    listed = command("list", "--brief", folder=tmp_path, path=tmp_path)
    assert (listed.returncode, listed.stderr) == (2, f"error: {told}\n")
    assert "handover" in listed.stdout
    helped = command("run", "--help", folder=tmp_path, path=tmp_path)
    assert (helped.returncode, helped.stderr, "handover" in helped.stdout) == (0, f"error: {told}\n", True)
    assert command("run", "handover", "--help", folder=tmp_path, path=tmp_path).stderr == ""
    for named in ("two-holes", "nonsense"):
        done = command("run", named, folder=tmp_path, path=tmp_path)
        assert (done.returncode, done.stdout, told in done.stderr) == (2, "", True), done
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [("TOPOLOGY = ", "import sys; sys.exit(3)\nTOPOLOGY = ", 12), ("pieces.build()", "sys.exit(3)", 13)],
)
def test_a_lab_that_ends_the_program_is_told(file: Path, before: str, after: str, line: int) -> None:
    file.write_text(LAB.replace("import pieces", "import pieces, sys").replace(before, after))
    done = command("draw", "./my lab.py", folder=file.parent)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {file}, line {line}: SystemExit: 3\n")


def test_only_what_came_through_a_labs_file_is_its_fault(tmp_path: Path) -> None:
    try:
        json.loads("{")
    except ValueError as error:
        assert "a fault of the testbed, not of lab.py" in blame(error, tmp_path / "lab.py")
        assert "decoder.py, line " in blame(error, tmp_path / "lab.py")
        assert blame(error, Path(__file__)).startswith(f"{__file__}, line ")


def test_a_command_without_the_end_of_its_quotation_is_told(tmp_path: Path) -> None:
    config = tmp_path / "lab.toml"
    config.write_text("""[external]\nmn = "my-mn --name 'mn"\n""")
    done = command("run", "handover", "--lab-config", str(config), folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f'error: --lab-config {config}: external.mn: No closing quotation in "my-mn --name \'mn"\n'


def command(*words: str, folder: Path, path: Path = PROJECT_ROOT) -> subprocess.CompletedProcess[str]:
    """The command from some folder."""
    environment = {**os.environ, "PYTHONPATH": f"{PROJECT_ROOT}:{path}", "NO_COLOR": "1"}
    argv = [sys.executable, "-m", "testbed", *words]
    return subprocess.run(argv, check=False, capture_output=True, text=True, cwd=folder, env=environment)


def test_a_list_has_drawings_and_options_for_people_and_programs(file: Path) -> None:
    everything = command("list", folder=file.parent)
    assert everything.stdout.count("poa1   poa2") < len(labs()[0]), "labs that look alike share a drawing"
    assert "poa1   poa2" in everything.stdout
    assert len(command("list", "--brief", folder=file.parent).stdout.splitlines()) == len(labs()[0])
    (told,) = json.loads(command("list", "my lab.py", "--json", folder=file.parent).stdout)
    assert (told["lab"], told["drawing"]) == ("pair", "one ──── two")
    assert "routing" in {option["name"] for option in told["options"]}, "what every lab can be asked"


def test_a_fault_in_a_lab_of_ones_own_is_told_with_its_line(file: Path) -> None:
    file.write_text(LAB.replace("pieces.build()", "pieces.built()"))
    done = command("run", "./my lab.py", folder=file.parent)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {file}, line 13: AttributeError: ")


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("line(4, cells=0).lab('x', ())", ", line 13: shape: 0 cells; give at least 1"),
        (
            "Lab('pair', 4, (Node('one'), Node('one')))",
            "lab pair: two nodes or points of attachment are called 'one'; rename one",
        ),
    ],
)
def test_a_model_that_cannot_work_is_told_with_its_remedy_and_its_line(file: Path, model: str, told: str) -> None:
    file.write_text(
        LAB.replace("import pieces", "from testbed.net.shapes import line").replace("pieces.build()", model)
    )
    done = command("draw", "./my lab.py", folder=file.parent)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert done.stderr.startswith(f"error: {file}{told}" if "line 13" in told else f"error: {told}"), done.stderr
