"""A protocol from outside of the tree works everywhere, and no general file names it."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOY = Path(__file__).resolve().parent
PROJECT = TOY.parents[1]
ROOMS = ("agents", "captures", "testbed", "topologies")
MOST_LINES = 250  # that are not blank
REQUEST = '{"packet": "REQUEST", "number": 3, "text": "hi"}'


def run(*words: str, given: str = "") -> str:
    """What a command says that knows the toy's folder; it must end well."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        input=given,
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(TOY), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{words}: status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def toy_files() -> list[Path]:
    return [file for room in ROOMS for file in (TOY / room).rglob("*.py")]


def test_the_toy_is_small() -> None:
    assert 0 < sum(bool(line.strip()) for file in toy_files() for line in file.read_text().splitlines()) <= MOST_LINES


def words_of(source: str) -> set[str]:
    """Every text of a Python file, such as a key or a name in a table, and every word of what it imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Constant(value=str(text)):
                found.add(text)
            case ast.ImportFrom(module=str(name)) | ast.alias(name=name):
                found |= {word.lower() for word in name.split(".")}
    return found


def test_no_general_file_names_it() -> None:
    files = [file for room in ROOMS for file in (PROJECT / room).rglob("*.py")]
    assert len(files) > 100  # an absence counts only where there is something to see
    assert [file for file in files if words_of(file.read_text(encoding="utf-8")) & {"echo", "Echo", "ECHO"}] == []
    assert "echo" in words_of((TOY / "captures/echo/protocol.py").read_text(encoding="utf-8"))


def test_codecs_agree() -> None:
    """Both witnesses read and write the message alike."""
    written = run("agents", "encode", "echo", given=REQUEST).strip()
    assert json.loads(run("agents", "decode", "echo", given=written)) == json.loads(REQUEST)
    assert json.loads(run("captures", "dissect", "--protocol", "echo", given=written)) == json.loads(REQUEST)


@pytest.mark.parametrize("words", [("agents", "--help"), ("testbed", "sim", "--help"), ("testbed", "list")])
def test_it_is_offered(words: tuple[str, ...]) -> None:
    assert "echo" in run(*words)


def test_its_world_holds_with_every_fault() -> None:
    faults = [f"--{fault}=10%" for fault in ("loss", "duplication", "reordering", "stall", "reset", "refusal")]
    result = json.loads(run("testbed", "sim", "echo", "--duration", "30s", *faults, "--json"))
    assert result["verdict"] == "pass"
    assert min(result["datagrams"]["lost"], result["datagrams"]["duplicated"]) > 0


def test_its_world_finds_a_server_that_answers_before_it_commits(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(TOY, broken, ignore=shutil.ignore_patterns("__pycache__"))
    roles = broken / "agents/echo/roles.py"
    right = "        self.act(a.Commit(answer, {"
    assert roles.read_text().count(right) == 1
    roles.write_text(roles.read_text().replace(right, "        self.send(*answer)\n" + right))
    done = subprocess.run(
        [sys.executable, "-m", "testbed", "sim", "echo", "--duration", "60s", "--clients", "50", "--json"],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(broken)},
        capture_output=True,
        text=True,
        check=False,
    )
    outcomes = {row["invariant"]: row["outcome"] for row in json.loads(done.stdout)["invariants"]}
    assert (done.returncode, outcomes["counted-once"]) == (1, "broken")


def test_its_page_is_written_from_the_source(tmp_path: Path) -> None:
    beside = tmp_path / "beside"
    shutil.copytree(TOY, beside, ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-m", "agents", "document", "echo"],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(beside)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (beside / "agents/echo/ECHO.md").read_text(encoding="utf-8").startswith("# ECHO")


def test_its_types_hold_in_the_tree(tmp_path: Path) -> None:
    """Its rooms may as well lie in the tree: a type checker then finds nothing."""
    for room in ROOMS:
        shutil.copytree(PROJECT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__", "runs"))
        shutil.copytree(TOY / room, tmp_path / room, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    rooms = [str(file.relative_to(TOY)) for file in toy_files()]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *rooms], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.lab
@pytest.mark.timeout(300)
@pytest.mark.parametrize("family", ["4", "6"])
def test_its_lab_comes_to_a_verdict(family: str, tmp_path: Path) -> None:
    """Real processes and a real router; then everything that can be asked of the run."""
    said = run("testbed", "run", "echo", "--family", family, "--runs", str(tmp_path))
    result = json.loads((tmp_path / "latest/result.json").read_text())
    assert result["verdict"] == "pass", said
    judged = [row for row in result["rules"]["all"] if row["rule"].startswith("echo-")]
    assert {row["verdict"] for row in judged} == {"passed"}
    capture = str(tmp_path / "latest/lab.pcapng")
    ladder = json.loads(run("captures", "show", capture, "--json"))
    packets = {row["packet"] for row in ladder["rows"] if row["kind"] == "message" and row["protocol"] == "echo"}
    assert packets == {"REQUEST", "ANSWER", "ANNOUNCE"}
    verified = json.loads(run("captures", "verify", capture, "--rules", "echo", "--json"))
    assert verified["packs"]["echo"]["failed"] == 0 < verified["packs"]["echo"]["passed"]
    assert '"protocol":"echo"' in (tmp_path / "latest/timeline.jsonl").read_text()
    assert "ANNOUNCE" in (tmp_path / "latest/report.html").read_text()
