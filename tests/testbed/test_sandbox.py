"""What can be said of the sandbox without making one; the rest is in tests/labs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from testbed.host import sandbox
from testbed.host.sandbox import SandboxError, command, current, require_inside, user_namespaces_refused
from testbed.host.sandbox_init import SandboxSpec, namespaces, prepare

SPEC = SandboxSpec(("true", "; rm -rf /"), 5, 6, "/root/folder", ("/run/user",), {"net": 1, "mnt": 2, "pid": 3})


@pytest.mark.parametrize("user_namespace", [False, True])
def test_the_command_is_an_argv_that_dies_with_its_parent(user_namespace: bool) -> None:
    argv = command(SPEC, user_namespace=user_namespace)
    assert argv[:4] == ["setpriv", "--pdeathsig", "KILL", "--"]
    assert {"--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"} <= set(argv)
    assert ("--user" in argv) == ("--map-root-user" in argv) == user_namespace
    assert argv[-5:-1] == [sys.executable, "-P", "-m", "testbed.host.sandbox_init"]
    assert SandboxSpec(**json.loads(argv[-1])) == SandboxSpec(
        ["true", "; rm -rf /"], 5, 6, "/root/folder", ["/run/user"], SPEC.outer_namespaces  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_marker_of_other_namespaces_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "marker"
    monkeypatch.setattr(sandbox, "MARKER", marker)
    assert current() is None
    marker.write_text(json.dumps({"namespaces": namespaces() | {"net": 1}, "routing_root": None}))
    assert current() is None
    marker.write_text("no JSON")
    assert current() is None
    with pytest.raises(SandboxError, match="only built inside a sandbox"):
        require_inside()
    marker.write_text(json.dumps({"namespaces": namespaces(), "routing_root": "/root/folder"}))
    assert require_inside().routing_root == Path("/root/folder")


def test_an_environment_variable_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTBED_SANDBOX", json.dumps(namespaces()))
    assert current() is None


def test_nothing_is_prepared_in_the_hosts_namespaces() -> None:
    here = SandboxSpec(("true",), 5, 6, None, (), namespaces())
    with pytest.raises(RuntimeError, match="still in the host's net, mnt, pid namespace"):
        prepare(here)


def test_the_refusing_sysctl_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = tmp_path / "max_user_namespaces"
    monkeypatch.setattr(
        sandbox, "USER_NAMESPACE_SYSCTLS", ((str(tmp_path / "none"), "0", "1"), (str(setting), "0", "15000"))
    )
    assert user_namespaces_refused() is None
    setting.write_text("15000\n")
    assert user_namespaces_refused() is None
    setting.write_text("0\n")
    refused = user_namespaces_refused()
    assert refused is not None
    assert "max_user_namespaces = 0" in refused
    assert "=15000" in refused


def test_folders_of_pythonpath_are_handed_on_and_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"toys::{tmp_path}/an odd one's")
    assert sandbox.program_environment()["PYTHONPATH"].split(os.pathsep) == [
        str(sandbox.PROJECT_ROOT), f"{tmp_path}/toys", f"{tmp_path}/an odd one's",
    ]  # fmt: skip


def test_administrators_folders_are_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/local/bin:/usr/bin")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    environment = sandbox.program_environment()
    assert environment["PATH"].split(os.pathsep) == ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/sbin", "/bin"]
    assert environment["PYTHONPATH"] == str(sandbox.PROJECT_ROOT)
