"""The sandbox with a real lab in it: both families, root and ordinary user, signals, and kill -9 of everything."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from testbed.host.checks import eventually
from testbed.host.sandbox import PROJECT_ROOT, inside, needs_user_namespace
from testbed.host.sandbox_init import MARKER
from tests.labs.inner_lab import SIGNALLED
from tests.labs.runs import AS_ROOT, AS_USER, outer_argv, users

KINDS = ("net", "mnt", "pid", "uts", "ipc", "user")
START_DEADLINE_S = 60.0
END_DEADLINE_S = 15.0
VOLATILE = ("kernel/random/", "fs/dentry-state", "fs/file-nr", "fs/inode-", "kernel/pty/nr", "kernel/ns_last_pid",
            "kernel/sched_", "fs/aio-nr", "kernel/keys/", "net/netfilter/nf_conntrack_count")  # fmt: skip
"""Settings under /proc/sys that change by themselves."""

pytestmark = [pytest.mark.timeout(180), pytest.mark.skipif(inside(), reason="is in a sandbox already")]
families = pytest.mark.parametrize("family", [4, 6])


@dataclass
class RunningLab:
    """A lab in a sandbox, seen from the host."""

    process: subprocess.Popen[str]
    errors: Path
    told: dict[str, Any] = field(default_factory=dict)
    members: dict[int, str] = field(default_factory=dict)
    namespaces: dict[str, set[int]] = field(default_factory=dict)
    held: list[int] = field(default_factory=list)

    def said(self) -> str:
        return self.errors.read_text()

    def look(self) -> None:
        """Reads what the lab tells of itself and notes all its processes and their namespaces."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"no lab: status {self.process.wait()}\n{self.said()}"
        self.told = json.loads(line)
        self.members = processes_in("pid", {self.told["namespaces"]["pid"]})
        ours = {kind: inode(os.getpid(), kind) for kind in KINDS}
        self.namespaces = {kind: inodes(self.members, kind) - {ours[kind]} for kind in KINDS}
        # A namespace held open keeps its inode number from being given to somebody else's lab.
        for pid, kind in ((pid, kind) for pid in self.members for kind in KINDS):
            with suppress(FileNotFoundError):  # a command to a daemon is over in a moment
                self.held.append(os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY))
        assert len(self.namespaces["net"]) == 1 + 8, "the sandbox's own and one per node"
        assert all(self.namespaces[kind] for kind in ("mnt", "pid", "uts", "ipc"))

    def remaining(self) -> dict[int, str]:
        """Processes in any namespace of the lab. `look` has seen them, so that none is an answer."""
        assert self.namespaces, "the lab was never seen: nothing found would prove nothing"
        return {
            pid: line for kind, wanted in self.namespaces.items() for pid, line in processes_in(kind, wanted).items()
        }

    def pid_inside(self, number: int) -> int:
        """Host's process id of the one that has that process id inside."""
        for pid in self.members:
            ids = Path(f"/proc/{pid}/status").read_text().split("NSpid:")[1].splitlines()[0].split()
            if int(ids[-1]) == number:
                return pid
        raise AssertionError(f"no process {number} inside")

    def pid(self, part: str) -> int:
        """Host's process id of a member by a part of its command line."""
        found = [pid for pid, line in self.members.items() if part in line]
        assert found, f"no process with {part!r} among {self.members}"
        return min(found)


def inode(pid: int, kind: str) -> int:
    return Path(f"/proc/{pid}/ns/{kind}").stat().st_ino


def inodes(pids: Iterable[int], kind: str) -> set[int]:
    """The namespaces of that kind that those of the processes which are still there live in."""
    found = set()
    for pid in pids:
        with suppress(OSError):
            found.add(inode(pid, kind))
    return found


def processes_in(kind: str, wanted: set[int]) -> dict[int, str]:
    """Processes (zombies have no namespaces and count no more) in those namespaces, with their command lines."""
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if inode(int(entry.name), kind) in wanted:
                    found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
    return found


@dataclass(frozen=True)
class Host:
    """What a lab must not change on the host."""

    mounts: tuple[str, ...]
    links: tuple[str, ...]
    settings: dict[str, str]
    temporary: frozenset[str]

    @classmethod
    def now(cls) -> Host:
        settings: dict[str, str] = {}
        for path in Path("/proc/sys").rglob("*"):
            name = str(path.relative_to("/proc/sys"))
            if not name.startswith(VOLATILE):
                with suppress(OSError):
                    if path.is_file() and path.stat().st_mode & 0o400:
                        settings[name] = path.read_text(errors="replace")
        mounts = tuple(line.split(" ", 3)[3] for line in Path("/proc/self/mountinfo").read_text().splitlines())
        run = frozenset(path.name for path in Path("/run").iterdir())
        return cls(mounts, tuple(sorted(path.name for path in Path("/sys/class/net").iterdir())), settings, run)


@contextmanager
def lab(tmp_path: Path, user: str, family: int, action: str = "stay", **options: Any) -> Iterator[RunningLab]:
    run_folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
    run_folder.mkdir()
    _, seen = outer_argv(user, run_folder)
    argv, _ = outer_argv(user, run_folder, "--lab", str(family), str(seen), action)
    errors = tmp_path / f"{run_folder.name}.stderr"
    with errors.open("w") as stream:
        process = subprocess.Popen(
            argv,
            cwd=PROJECT_ROOT,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            stdin=subprocess.DEVNULL,
            **options,
        )
    running = RunningLab(process, errors)
    with process:
        try:
            yield running
        finally:
            process.kill()
            for descriptor in running.held:
                os.close(descriptor)


def nothing_remains(running: RunningLab) -> None:
    """No process in any of the lab's namespaces, hence no namespace."""

    def look() -> tuple[bool, str]:
        left = running.remaining()
        return not left, f"{left}"

    eventually("the lab to vanish", look, END_DEADLINE_S)


@users
@families
def test_adjacency_then_nothing_is_left(tmp_path: Path, user: str, family: int) -> None:
    host = Host.now()
    with lab(tmp_path, user, family) as running:
        running.look()
        neighbours = running.told["neighbours"]
        assert {name: len(found) for name, found in neighbours.items()} == {"rr": 2, "ar1": 1, "ar2": 1}
        assert running.told["namespaces"]["net"] != inode(os.getpid(), "net")
        assert {"poa1", "poa2", "air-mn-radio"} <= set(running.told["interfaces"])
        assert bool(running.namespaces["user"]) == (user == AS_USER)
        assert running.remaining()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(END_DEADLINE_S) == SIGNALLED, running.said()
        # The supervising process only returns when everything is gone.
        assert not running.remaining()
    assert Host.now() == host


@users
@families
def test_cold_start(tmp_path: Path, user: str, family: int) -> None:
    with lab(tmp_path, user, family, "forget") as running:
        running.look()
        assert running.process.wait(60) == 0, running.said()


@users
def test_every_setting_that_eats_multicast_is_noticed(tmp_path: Path, user: str) -> None:
    with lab(tmp_path, user, 4, "spoil") as running:
        running.look()
        assert running.process.wait(60) == 0, running.said()


def supervisor(running: RunningLab) -> int:
    return running.process.pid


def unshare(running: RunningLab) -> int:
    children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
    found = [int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text().strip() == "unshare"]
    assert found, "no unshare below the supervising process"
    return found[0]


def member(part: str) -> Callable[[RunningLab], int]:
    return lambda running: running.pid(part)


def first_process(running: RunningLab) -> int:
    return running.pid_inside(1)


def program(running: RunningLab) -> int:
    return running.pid_inside(2)


def node(running: RunningLab) -> int:
    """The process that lives in the mobile node's namespaces."""
    return next(pid for pid in running.members if Path(f"/proc/{pid}/comm").read_text() == "node mn\n")


VICTIMS = {
    "supervisor": (supervisor, ""),
    "unshare": (unshare, "ended from outside"),
    "first process": (first_process, "ended from outside"),
    "program": (program, "was killed by SIGKILL"),
    "routing daemon": (member("/usr/lib/frr/zebra"), "was killed by SIGKILL"),
    "node": (node, "node mn was killed by SIGKILL"),
}


@users
@pytest.mark.parametrize("victim", VICTIMS)
def test_kill_9_leaves_nothing(tmp_path: Path, user: str, victim: str) -> None:
    find, message = VICTIMS[victim]
    host = Host.now()
    with lab(tmp_path, user, 4) as running:
        running.look()
        os.kill(find(running), signal.SIGKILL)
        status = running.process.wait(END_DEADLINE_S)
        assert status == (-signal.SIGKILL if victim == "supervisor" else 2), running.said()
        assert message in running.said()
        nothing_remains(running)
    assert Host.now() == host


@users
def test_kill_9_of_the_supervisor_while_the_lab_starts(tmp_path: Path, user: str) -> None:
    for delay_s in (0.02, 0.05, 0.1, 0.2, 0.4, 0.8):
        with lab(tmp_path, user, 4) as running:
            time.sleep(delay_s)  # the moment is the test's subject
            running.process.kill()
            running.process.wait()

        def gone() -> tuple[bool, str]:
            left = [
                f"{entry.name}: {line}" for entry in Path("/proc").iterdir() if entry.name.isdigit()
                for line in [command_line(entry)] if str(tmp_path) in line or f"{running.process.pid}" == entry.name
            ]  # fmt: skip
            return not left, "; ".join(left)

        eventually(f"everything to vanish after {delay_s} s", gone, END_DEADLINE_S)


def command_line(entry: Path) -> str:
    with suppress(OSError):
        return (entry / "cmdline").read_text(errors="replace").replace("\0", " ")
    return ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("ignored", [False, True], ids=["default", "SIGINT ignored at start"])
def test_signals_reach_the_program(tmp_path: Path, number: signal.Signals, ignored: bool) -> None:
    def as_a_shell_starts_it() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup
        if ignored:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    with lab(tmp_path, AS_USER, 4, preexec_fn=as_a_shell_starts_it) as running:
        running.look()
        running.process.send_signal(number)
        running.process.send_signal(number)  # the same wish twice, as from a terminal and make
        assert running.process.wait(END_DEADLINE_S) == SIGNALLED, running.said()
        nothing_remains(running)


def test_hangup_ignored_as_under_nohup(tmp_path: Path) -> None:
    with lab(tmp_path, AS_USER, 4, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as running:
        running.look()
        running.process.send_signal(signal.SIGHUP)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(END_DEADLINE_S) == SIGNALLED, running.said()


def test_ctrl_c_in_a_terminal(tmp_path: Path) -> None:
    argv, _ = outer_argv(
        AS_USER, tmp_path, "--lab", "4", "/media" if not needs_user_namespace() else str(tmp_path), "stay"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(PROJECT_ROOT)
        os.execvp(argv[0], argv)  # noqa: S606  # an argv list is what it should be
    try:
        said = read_until(terminal, b"neighbours")
        assert b"neighbours" in said, said
        os.write(terminal, b"\x03")
        read_until(terminal, None)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == SIGNALLED
    finally:
        os.close(terminal)


def read_until(terminal: int, wanted: bytes | None) -> bytes:
    """Reads until the text appears, or to the end."""
    said = b""
    with suppress(OSError):  # EIO: the other side is closed
        while data := os.read(terminal, 4096):
            said += data
            if wanted and wanted in said:
                break
    return said


@families
def test_four_at_once(tmp_path: Path, family: int) -> None:
    kinds = [AS_USER if needs_user_namespace() else AS_ROOT, AS_USER] * 2
    host = Host.now()
    labs = [lab(tmp_path, user, family) for user in kinds]
    with labs[0] as one, labs[1] as two, labs[2] as three, labs[3] as four:
        running = [one, two, three, four]
        for each in running:
            each.look()
        seen = [each.namespaces for each in running]
        for index, mine in enumerate(seen):
            for other in seen[index + 1 :]:
                assert not any(mine[kind] & other[kind] for kind in KINDS)
        os.kill(supervisor(two), signal.SIGKILL)
        nothing_remains(two)
        for each in (one, three, four):
            assert each.process.poll() is None
            each.process.send_signal(signal.SIGINT)
        for each in (one, three, four):
            assert each.process.wait(END_DEADLINE_S) == SIGNALLED, each.said()
            nothing_remains(each)
    assert Host.now() == host


def run_outer(*words: str, argv_before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*argv_before, sys.executable, "-m", "tests.labs.outer", *words], cwd=PROJECT_ROOT, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def test_exit_status_is_the_programs() -> None:
    assert run_outer("sh", "-c", "exit 5").returncode == 5


def test_unknown_program_is_one_clear_line() -> None:
    done = run_outer("/no/such/program")
    assert done.returncode == 2
    assert "/no/such/program" in done.stderr
    assert "Traceback" not in done.stderr


def test_host_wide_settings_are_read_only_inside() -> None:
    done = run_outer("sh", "-c", "echo 1 >/proc/sys/vm/swappiness")
    assert done.returncode != 0
    assert "Read-only" in done.stderr


def test_run_is_private_and_marked() -> None:
    program = (
        f"import os; print(os.path.exists({str(MARKER)!r}), os.environ['TMPDIR'], sorted(os.listdir('/sys/class/net')))"
    )
    assert run_outer(sys.executable, "-c", program).stdout.split(maxsplit=2) == ["True", "/run/tmp", "['lo']\n"]
    assert not MARKER.exists()


def test_a_project_below_run_stays_visible(tmp_path: Path) -> None:
    # In a sandbox of its own, so that the host's /run stays as it is.
    script = (
        f"mkdir /run/project && mount --bind {PROJECT_ROOT} /run/project && cd /run/project &&"
        f" exec .venv/bin/python -m tests.labs.outer --lab 4 {tmp_path} leave"
    )
    done = run_outer("sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["neighbours"]) == 3


def test_no_lab_on_the_host(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "tests.labs.inner_lab", "4", str(tmp_path)]
    done = subprocess.run(argv, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "only built inside a sandbox" in done.stderr


def test_user_namespaces_refused_names_the_sysctl() -> None:
    script = 'echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set -all --inh-caps -all "$@"'
    done = run_outer("true", argv_before=("unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"))
    assert done.returncode == 2
    assert "user.max_user_namespaces = 0" in done.stderr
    assert "sudo sysctl -w" in done.stderr
    assert "Traceback" not in done.stderr
