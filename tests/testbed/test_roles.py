"""Roles of a lab that end by themselves: the lab goes on, and what has gone wrong is still said."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from testbed.host.processes import ProcessDied, ProcessTable
from testbed.net.mininet_net import EmulatedNetwork
from testbed.run import roles as module
from testbed.run.roles import RoleError, Roles, RunningRole


def launch(node: str, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(argv, **{**options, "env": {**options["env"], "NODE": node}})


@pytest.fixture
def table(tmp_path: Path) -> Iterator[ProcessTable]:
    with ProcessTable(tmp_path / "logs", launch) as started:
        yield started


@pytest.fixture
def roles(table: ProcessTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Roles:
    """Roles that other programs play: any that does not look at what it is given."""
    monkeypatch.setattr(module, "CONTROLS", tmp_path / "controls")
    network = cast("EmulatedNetwork", SimpleNamespace(run_folder=tmp_path, processes=table))
    return Roles(network, {"well": ["true"], "badly": ["false"]}, {"well", "badly"})


def test_a_role_that_ends_well_has_not_died(roles: Roles, table: ProcessTable) -> None:
    role = roles.start("well", "mn", (), {}, ends=True)
    role.process.popen.wait(5)
    table.check_alive()
    roles.stop(role)
    assert roles.unused == ["badly"]


@pytest.mark.parametrize(("name", "ends"), [("well", False), ("badly", True)])
def test_it_must_say_so_and_end_well(name: str, ends: bool, roles: Roles, table: ProcessTable) -> None:
    roles.start(name, "mn", (), {}, ends=ends).process.popen.wait(5)
    with pytest.raises(ProcessDied):
        table.check_alive()


def ours(table: ProcessTable, tmp_path: Path, script: str, *, ends: bool) -> RunningRole:
    """A role that counts as ours and whose control socket is there, but does not answer any more."""
    control = tmp_path / "role.control"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(control))
    return RunningRole("client", "mn", table.start("client", "mn", ["sh", "-c", script], may_end=ends), control, True)


def test_one_that_is_just_ending_is_stopped(roles: Roles, table: ProcessTable, tmp_path: Path) -> None:
    role = ours(table, tmp_path, "sleep 0.3", ends=True)
    roles.stop(role)
    assert role.process.popen.returncode == 0  # by itself, and not by a signal


def test_one_that_ends_badly_is_told(roles: Roles, table: ProcessTable, tmp_path: Path) -> None:
    with pytest.raises(ProcessDied, match="exit status 3"):
        roles.stop(ours(table, tmp_path, "exit 3", ends=True))


def test_one_that_runs_and_does_not_answer_is_told(roles: Roles, table: ProcessTable, tmp_path: Path) -> None:
    with pytest.raises(RoleError, match="no answer to 'counters'"):
        roles.stop(ours(table, tmp_path, "sleep 60", ends=False))


def test_one_that_the_lab_has_not_named_is_not_started(roles: Roles) -> None:
    with pytest.raises(RoleError, match="does not say that it has one"):
        roles.start("mn", "mn", (), {})
