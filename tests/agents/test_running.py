"""Agents are found by their names, whatever namespaces they run in, and asked from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from agents.__main__ import main
from agents.runtime.control import ControlError
from agents.runtime.running import control_of, running_agents


@contextmanager
def session_manager(folder: Path, name: str, port: int) -> Iterator[None]:
    """A real SM on the loopback address, with its control socket in ``folder``."""
    folder.mkdir()
    file = folder / "sm.toml"
    file.write_text(
        f'address = "127.0.0.1"\nport = {port}\n[[sessions]]\nsession_id = 1\ngroup = "239.1.1.1"\nport = 5004\n'
        f'[runtime]\nnode = "{name}"\ncontrol = "{folder}/control"\n'
    )
    argv = [sys.executable, "-m", "agents", "mmcp", "sm", "--config", str(file)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.terminate()


def ctl(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["ctl", *arguments], catch_exceptions=False)


def test_agent_is_asked_by_its_name(tmp_path: Path) -> None:
    with session_manager(tmp_path / "one", "sm-of-test-running", 24901):
        done = ctl("sm-of-test-running", "state")
        assert json.loads(done.stdout)["state"]["role"] == "sm"
        assert ctl("sm-of-test-running", "leave", "--session", "1").exit_code == 0
        state = json.loads(ctl(str(tmp_path / "one" / "control"), "state").stdout)
        assert state["state"]["sessions"]["1"]["state"] == "CLOSED"
        listed = ctl("sm-of-test-running")
        assert (listed.exit_code, listed.stdout) == (0, ctl("sm-of-test-running", "--help").stdout)
        assert all(
            f"\n  {name} " in listed.stdout for name in ("state", "counters", "list", "leave", "data-channel-status")
        )
        taken = ctl("sm-of-test-running", "leave", "--help").stdout
        assert "--session-id INTEGER  Only this session; else all." in taken
        unknown = ctl("sm-of-test-running", "dance")
        assert (unknown.exit_code, unknown.stdout) == (2, "")
        assert "unknown command 'dance'; known are state, counters, list, leave, data" in unknown.stderr
        missing = ctl("sm-of-test-running", "list")
        assert (missing.exit_code, missing.stdout) == (2, "")
        assert "Missing option '--of'" in missing.stderr
        rows = json.loads(ctl("sm-of-test-running", "list", "--of", "members").stdout)
        assert rows == {"rows": [], "more": False}
        refused = ctl("sm-of-test-running", "list", "--of", "hosts")
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "list: of 'hosts'; there are: members, lmcs" in refused.stderr
    assert "sm-of-test-running" not in {agent.node for agent in running_agents()}


def test_name_that_two_agents_have_is_refused_with_their_sockets(tmp_path: Path) -> None:
    with (
        session_manager(tmp_path / "one", "sm-of-two", 24902),
        session_manager(tmp_path / "two", "sm-of-two", 24903),
    ):
        with pytest.raises(ControlError, match="2 agents are called so; give one of") as raised:
            control_of("sm-of-two")
        assert f"/root{tmp_path}/two/control" in str(raised.value)


def test_unknown_name_says_who_runs() -> None:
    done = ctl("nobody-at-all", "counters")
    assert done.exit_code == 2
    assert "nobody-at-all: no agent is called so; running are:" in done.stderr


def test_processes_that_are_no_agents_or_have_ended_are_passed_over(tmp_path: Path) -> None:
    for pid, words in {
        "1": [],
        "2": ["python", "-m", "agents", "mmcp", "sm", "--config"],
        "3": ["python", "-m", "agents", "mmcp", "sm", "--config", "/none.toml"],
        "4": ["vi", "agents", "--config", "none.toml"],
    }.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "cmdline").write_bytes("\0".join(words).encode())
    (tmp_path / "5").mkdir()
    (tmp_path / "self").mkdir()
    (tmp_path / "4" / "cwd").mkdir()
    (tmp_path / "4" / "cwd" / "none.toml").write_text("runtime = 7\n")
    assert list(running_agents(tmp_path)) == []
    with pytest.raises(ControlError, match="running are: none that you may look into"):
        control_of("mn", tmp_path)
