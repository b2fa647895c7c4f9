"""A protocol from outside of the tree works everywhere, and no general file names it."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

TOY = Path(__file__).resolve().parent
PROJECT = TOY.parents[1]
ROOMS = ("agents", "captures", "testbed", "topologies")
MOST_LINES = 250  # that are not blank
REQUEST = '{"packet": "REQUEST", "number": 3, "text": "hi"}'


KNOWS_IT = {**os.environ, "PYTHONPATH": str(TOY), "NO_COLOR": "1"}
DEADLINE_S = 10.0  # for what takes no time, or IDLE_S


def run(*words: str, given: str = "") -> str:
    """What a command says that knows the toy's folder; it must end well."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        input=given,
        cwd=PROJECT,
        env=KNOWS_IT,
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


NAMES_IT = re.compile(
    r"""["']echo["']                                       # a key, or a name in a table
    | \b(agents|captures|testbed|topologies)[./]echo\b    # a module or a file of its rooms
    | \bimport\ .*\becho\b | \bfrom\ [\w.]*\becho\ import\b
    | \b(Echo|ECHO)\b | \blab_echo\b | \becho-(answered|asked)\b""",
    re.VERBOSE,
)


def names_of_it(file: Path) -> list[str]:
    """What in a file names the toy; the shell's echo does not."""
    text = file.read_text(encoding="utf-8")
    found = {match[0] for match in NAMES_IT.finditer(text)}
    if file.suffix == ".py":
        texts = (node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant))
        found |= {each for each in texts if each in ("echo", "Echo", "ECHO")}
    return sorted(found)


def product_files() -> list[Path]:
    kinds = {".py", ".toml", ".sh", ".j2", ".lua"}
    files = [file for room in ROOMS for file in (PROJECT / room).rglob("*") if file.suffix in kinds]
    return [*files, PROJECT / "Makefile", PROJECT / "pyproject.toml", PROJECT / "tests/run.sh"]


def test_no_general_file_names_it() -> None:
    files = product_files()
    assert len(files) > 100  # an absence counts only where there is something to see
    assert {file.suffix for file in files} == {".py", ".toml", ".sh", ".j2", ".lua", ""}
    assert {str(file): names for file in files if (names := names_of_it(file))} == {}


@pytest.mark.parametrize(
    "line",
    [
        "from agents.echo.protocol import PROTOCOL",
        "import captures.echo",
        "from agents import echo",
        "KNOWN = {'echo'}",
        "files = ['agents/echo/*.py']",
        'Rule("echo-answered", …)',
    ],
)
def test_a_name_of_it_is_found(line: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(line, encoding="utf-8")
    assert names_of_it(file)


def test_the_shells_echo_is_no_name_of_it(tmp_path: Path) -> None:
    file = tmp_path / "install.sh"
    file.write_text('echo "removed"\nclick.echo(line)\nif ! echo "$known" | grep -q x; then\n', encoding="utf-8")
    assert names_of_it(file) == []


def test_codecs_agree() -> None:
    """Both witnesses read and write the message alike."""
    written = run("agents", "encode", "echo", given=REQUEST).strip()
    assert json.loads(run("agents", "decode", "echo", given=written)) == json.loads(REQUEST)
    assert json.loads(run("captures", "dissect", "--protocol", "echo", given=written)) == json.loads(REQUEST)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("agents", "--help"), "  echo +Echo: a toy"),
        (("testbed", "sim", "--help"), "  echo +Echo: clients ask"),
        (("testbed", "list"), "echo +a server answers"),
    ],
)
def test_it_is_offered(words: tuple[str, ...], line: str) -> None:
    assert re.search(f"^{line}", run(*words), re.MULTILINE)


def test_its_world_holds_with_every_fault() -> None:
    faults = [f"--{fault}=10%" for fault in ("loss", "duplication", "reordering", "stall", "reset", "refusal")]
    result = json.loads(run("testbed", "sim", "echo", "--duration", "30s", *faults, "--json"))
    assert result["verdict"] == "pass"
    counted = result["datagrams"]
    assert min(counted[fault] for fault in ("lost", "duplicated", "stream-reset", "stream-stalled")) > 0


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


@contextmanager
def server(folder: Path) -> Iterator[Path]:
    """A server on the loopback interface that is ready, by its control socket."""
    configuration, control = folder / "server.toml", folder / "control"
    runtime = f'node = "server"\ncontrol = "{control}"\nstore = "{folder / "store.sqlite"}"\nweb = "127.0.0.1:7008"'
    configuration.write_text(f'group = "239.7.7.7"\ninterface = "lo"\n[runtime]\n{runtime}\n')
    argv = [sys.executable, "-m", "agents", "echo", "server", "--config", str(configuration)]
    with subprocess.Popen(argv, cwd=PROJECT, env=KNOWS_IT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield control
        finally:
            process.terminate()


def test_a_running_server_can_be_asked_has_a_page_and_lets_streams_go_that_bring_no_message(tmp_path: Path) -> None:
    with server(tmp_path) as control:
        assert re.search("^  state +What the role is doing", run("agents", "ctl", str(control)), re.MULTILINE)
        for sent in (b"", b"\1\0\0", b"\1\0\0\1\0\0\0\0"):  # nothing, half a message, and what cannot be one
            with socket.create_connection(("127.0.0.1", 7007), DEADLINE_S) as stream:
                stream.sendall(sent)
                with pytest.raises(ConnectionResetError):
                    stream.recv(1)
            state = json.loads(run("agents", "ctl", str(control), "state"))
            assert state["state"].pop("web") == {"at": "127.0.0.1:7008", "connections": 0, "live": 0}
            assert state == {"state": {"answers": 0, "streams": 0}}
        with urlopen("http://127.0.0.1:7008/answers", timeout=DEADLINE_S) as page:
            assert "<p>0 answers</p>" in page.read().decode()


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
