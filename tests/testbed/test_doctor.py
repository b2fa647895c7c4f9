"""The doctor: probes that try things out, and what they say when something is missing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from testbed.host import doctor
from testbed.host.doctor import SUBJECTS, Check, LackError, command, examine, require
from testbed.setup import PROJECT, NotSetUpError

COMMAND_LINE = [sys.executable, "-c", "from testbed.host.doctor import command; command()", "--json"]


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def host_network() -> tuple[list[str], str, str]:
    return (
        sorted(os.listdir("/sys/class/net")),  # noqa: PTH208  # names are what is compared
        Path("/proc/net/ip_mr_vif").read_text(encoding="ascii") if Path("/proc/net/ip_mr_vif").exists() else "",
        Path("/proc/sys/net/ipv4/ip_forward").read_text(encoding="ascii"),
    )


def test_examines_everything_and_leaves_the_host_alone() -> None:
    before = host_network()
    checks = examine()
    assert host_network() == before
    assert [check.name for check in checks] == list(SUBJECTS)
    for check in checks:
        assert check.found, check
        assert check.needed_for, check
        assert bool(check.remedy) != check.ok, check


def test_examines_only_what_is_asked_for() -> None:
    assert [check.name for check in examine(["veth", "unshare"])] == ["unshare", "veth"]


def test_a_name_that_is_no_check_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no such check: wormholes; there are unshare, "):
        examine(["veth", "wormholes"])


def test_what_is_missing_on_path_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _name, **_where: None)
    with pytest.raises(
        LackError, match=r"lacks ethtool \(for every lab: checksum offload\): no command ethtool\. .*`make setup`"
    ):
        require("ethtool")


def test_without_unshare_nothing_is_believed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    checks = by_name(examine(["unshare", "namespaces", "veth"]))
    assert not checks["unshare"].ok
    assert "util-linux" in checks["unshare"].remedy
    assert not checks["namespaces"].ok
    assert checks["veth"].found == "not tried, for lack of namespaces"
    with pytest.raises(LackError, match=r"lacks unshare .*install util-linux"):
        require("veth")


def test_without_routing_root_its_daemons_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_root() -> Path:
        raise NotSetUpError("no routing daemons in /nowhere")

    monkeypatch.setattr(doctor, "routing_root", no_root)
    checks = by_name(examine(["routing-root", "tcpdump", "pimd", "pim6d", "unshare"]))
    assert checks["unshare"].ok
    for name in ("routing-root", "tcpdump", "pimd", "pim6d"):
        assert not checks[name].ok
        assert checks[name].remedy == "run `make setup`"
    with pytest.raises(LackError, match="lacks pim6d"):
        require("pim6d")


def test_a_damaged_routing_root_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "routing_root", lambda: tmp_path)
    checks = by_name(examine(["namespaces", "routing-root", "pimd"]))
    if not checks["namespaces"].ok:
        pytest.skip(f"no namespaces here: {checks['namespaces'].found}")
    assert checks["routing-root"].ok
    assert not checks["pimd"].ok
    assert "chroot" in checks["pimd"].found


def fake_check(*, ok: bool, needed: bool) -> Check:
    return Check("levitation", ok, "gravity", "" if ok else "wait for it to pass", "hovering", needed)


@pytest.mark.parametrize(
    ("check", "status", "said"),
    [
        (fake_check(ok=True, needed=True), 0, "ok     levitation  gravity"),
        (fake_check(ok=False, needed=False), 0, "-      levitation  gravity"),
        (fake_check(ok=False, needed=True), 1, "LACKS  levitation  gravity"),
    ],
)
def test_command_line(monkeypatch: pytest.MonkeyPatch, check: Check, status: int, said: str) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: [check])
    text = CliRunner().invoke(command)
    assert text.exit_code == status
    assert text.output.startswith(said)
    assert ("for hovering: wait for it to pass" in text.output) == (not check.ok)
    as_json = CliRunner().invoke(command, ["--json"])
    assert as_json.exit_code == status
    assert json.loads(as_json.output) == [
        {
            "name": "levitation",
            "ok": check.ok,
            "found": "gravity",
            "remedy": check.remedy,
            "needed_for": "hovering",
            "needed": check.needed,
        }
    ]


@pytest.mark.lab
def test_refused_user_namespaces_are_traced_to_the_sysctl() -> None:
    # A user namespace has a limit of its own for those below it, so that the host's need not be touched.
    script = (
        "echo 0 >/proc/sys/user/max_user_namespaces && "
        'exec setpriv --bounding-set -sys_admin --inh-caps -sys_admin -- "$@"'
    )
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--", "bash", "-c", script, "bash", *COMMAND_LINE],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 1, done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    for name in ("namespaces", "user-namespaces"):
        assert checks[name]["found"] == "user.max_user_namespaces = 0"
        assert "sysctl -w user.max_user_namespaces=" in checks[name]["remedy"]
    assert checks["ethtool"]["ok"]


@pytest.mark.lab
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else; an ordinary user is one already")
def test_an_ordinary_user_is_told_the_same() -> None:
    become_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", "env", "PATH=/usr/bin:/bin"]
    if subprocess.run([*become_nobody, "test", "-r", "pyproject.toml"], cwd=PROJECT, check=False).returncode:
        pytest.skip(f"nobody may not read {PROJECT}")
    done = subprocess.run(
        [*become_nobody, *COMMAND_LINE], cwd=PROJECT, capture_output=True, text=True, check=False, timeout=30
    )
    ours = by_name(examine())
    theirs = {check["name"]: check for check in json.loads(done.stdout)}
    differing = {name for name in SUBJECTS if theirs[name]["ok"] != ours[name].ok}
    # Only the device file is root's own on some hosts.
    assert differing <= {"taps"}
