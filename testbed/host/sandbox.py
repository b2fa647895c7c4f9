"""Private namespaces for one lab, which vanish with any of its processes.

    this process ── setpriv --pdeathsig KILL → unshare --fork --kill-child ── first process ── the lab's program ── …
    (host's namespaces)                                                       (testbed.host.sandbox_init, PID 1 inside)

Each arrow's right side is killed by the kernel when its left side dies, and the death of the first process ends its PID
namespace with everything in it; network, mount, UTS and IPC namespaces go with their last process. So there is nothing
to clean up after kill -9 of any of them.

unshare ignores SIGINT and SIGTERM, hence signals do not travel along the chain: this process hands them to the first
process over a socket pair, which passes them to the program. The program runs in a session of its own (unless
`interactive`), so that Ctrl-C in a terminal reaches it once, from here. The end of that socket pair is also a second,
independent notice that the supervising process is gone.

An ordinary user gets a user namespace as well, in which they are root over nothing but the lab.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Self

from testbed.host.interruption import INTERRUPTED
from testbed.host.sandbox_init import MARKER, READY, SandboxSpec, namespaces

PROJECT_ROOT = Path(__file__).resolve().parents[2]

COULD_NOT_RUN = 2
"""Exit status when the sandbox, not the program in it, is the reason."""

STOP_DEADLINE_S = 20.0
"""How long the program may take to end after a signal before everything is killed."""

REPEAT_GRACE_S = 1.0
"""A second signal within this time is the same wish (a shell's and make's copies); a later one ends everything at once."""

CAP_SYS_ADMIN = 21

USER_NAMESPACE_SYSCTLS = (
    ("kernel/unprivileged_userns_clone", "0", "1"),
    ("user/max_user_namespaces", "0", "15000"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
)
"""(path under /proc/sys, the value that refuses user namespaces, a value that allows them)."""


class SandboxError(RuntimeError):
    """The sandbox cannot be made, or a lab was to be built outside one. The message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What a program inside knows about its sandbox."""

    routing_root: Path | None


def needs_user_namespace() -> bool:
    """True for everybody who may not make namespaces by themselves (no CAP_SYS_ADMIN, whatever the user id)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return not int(line.split()[1], 16) >> CAP_SYS_ADMIN & 1
    return os.geteuid() != 0


def current() -> Sandbox | None:
    """The sandbox this process lives in, or None.

    The proof is a file on the sandbox's private /run holding the inode numbers of its namespaces: they must be the ones
    this process is in. An inherited environment variable would prove nothing.
    """
    try:
        marker = json.loads(MARKER.read_text())
    except (OSError, ValueError):
        return None
    if marker.get("namespaces") != namespaces():
        return None
    root = marker.get("routing_root")
    return Sandbox(Path(root) if root else None)


def inside() -> bool:
    """True if this process is in a sandbox's own namespaces."""
    return current() is not None


def require_inside() -> Sandbox:
    """The sandbox this process lives in. Raises SandboxError on the host, where no lab may be built."""
    sandbox = current()
    if sandbox is None:
        raise SandboxError(
            "a lab is only built inside a sandbox, never in the host's namespaces: "
            "start it with `python -m testbed run` or testbed.host.sandbox.run_inside"
        )
    return sandbox


def user_namespaces_refused() -> str | None:
    """The sysctl that keeps ordinary users from making user namespaces, with its remedy; None if there is none."""
    for path, refusing, allowing in USER_NAMESPACE_SYSCTLS:
        with suppress(OSError):
            if Path("/proc/sys", path).read_text().strip() == refusing:
                name = path.replace("/", ".")
                return f"{name} = {refusing}: run `sudo sysctl -w {name}={allowing}`, or run the lab as root"
    return None


def command(spec: SandboxSpec, *, user_namespace: bool) -> list[str]:
    """The argv that makes the namespaces and starts the first process in them with `spec`."""
    return [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "--",
        "unshare",
        *(["--user", "--map-root-user"] if user_namespace else []),
        "--net",
        "--mount",
        "--pid",
        "--uts",
        "--ipc",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--",
        *our_program("testbed.host.sandbox_init", json.dumps(asdict(spec))),
    ]


def _module_folders() -> list[Path]:
    """The project and the folders of the caller's PYTHONPATH; absolute, since what runs inside may work elsewhere."""
    named = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [PROJECT_ROOT, *(Path(folder).absolute() for folder in named if folder)]


def our_program(module: str, *words: str) -> list[str]:
    """The argv of a module of ours, whatever lies in the working folder; for `program_environment`."""
    return [sys.executable, "-P", "-m", module, *words]


def program_environment() -> dict[str, str]:
    """The caller's, with the project importable and the administrators' folders on PATH (an ordinary user's lacks them)."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(map(str, _module_folders()))
    path = environment.get("PATH", os.defpath).split(os.pathsep)
    environment["PATH"] = os.pathsep.join(
        path + [p for p in ("/usr/sbin", "/sbin", "/usr/bin", "/bin") if p not in path]
    )
    return environment


def run_inside(
    argv: Sequence[str],
    *,
    routing_root: Path | None = None,
    keep_visible: Sequence[Path] = (),
    interactive: bool = False,
) -> int:
    """Runs `argv` in a new sandbox and returns its exit status, or 2 with one line on stderr if the sandbox was killed.

    130, with such a line, where a signal that was passed on ended it before it could answer.

    `argv`: the program, e.g. `our_program("testbed", "run", "handover")`; never a shell string.
    `routing_root`: root folder of the routing daemons, made usable (private run, etc/frr, …; proc and dev bound into it).
    `keep_visible`: folders the program needs that may lie below /run, which is private inside. The project, the folders of
    PYTHONPATH, the working folder, the interpreter and the routing root are kept in any case.
    `interactive`: stay in the terminal's session (for shells); then Ctrl-C reaches the program from the terminal itself.
    SIGINT, SIGTERM and SIGHUP (unless ignored, as under nohup) are passed on. Call it from the main thread: the sandbox
    dies with the calling thread. Raises SandboxError if the namespaces cannot be made.
    """
    ours, theirs = socket.socketpair()
    stderr_copy = os.dup(2)
    complaint_read, complaint_write = os.pipe()
    spec = SandboxSpec(
        argv=tuple(argv),
        control_fd=theirs.fileno(),
        stderr_fd=stderr_copy,
        routing_root=str(routing_root) if routing_root else None,
        keep_visible=tuple(
            str(p)
            for p in (
                *_module_folders(),
                Path.cwd(),
                Path(sys.prefix),
                Path(sys.executable).resolve(),
                *([routing_root] if routing_root else []),
                *keep_visible,
            )
        ),
        outer_namespaces=namespaces(),
    )
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    user_namespace = needs_user_namespace()
    try:
        with _Forwarder(ours, interactive=interactive) as forwarder:
            try:
                process = subprocess.Popen(
                    command(spec, user_namespace=user_namespace),
                    stderr=complaint_write,
                    pass_fds=(theirs.fileno(), stderr_copy),
                    env=program_environment(),
                    start_new_session=not interactive,
                )
            except FileNotFoundError as error:
                raise SandboxError(f"{error.filename} is missing: install util-linux") from None
            finally:
                theirs.close()
                os.close(complaint_write)
            with process:
                forwarder.process = process
                return _supervise(process, ours, complaint_read, forwarder, user_namespace=user_namespace)
    finally:
        ours.close()
        os.close(stderr_copy)
        os.close(complaint_read)


class _Forwarder:
    """Signal handlers that pass the first signal on and turn a later one into the end of everything."""

    def __init__(self, control: socket.socket, *, interactive: bool) -> None:
        self.control = control
        self.process: subprocess.Popen[bytes] | None = None
        self.first: tuple[int, float] | None = None
        self.reason = ""
        self._interactive = interactive
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup: the lab is meant to outlive the terminal
            handler = signal.SIG_IGN if number == signal.SIGINT and self._interactive else self._handle
            self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first = (number, now)
            with suppress(OSError):  # already gone: the supervising loop is about to see it
                self.control.send(bytes([number]))
        elif now - self.first[1] > REPEAT_GRACE_S:
            self.kill(f"killed at the second {signal.Signals(number).name}")

    def kill(self, reason: str) -> None:
        """Ends every process of the sandbox at once."""
        self.reason = self.reason or reason
        if self.process is not None:
            self.process.kill()

    def check_deadline(self) -> None:
        """Kills everything when the program did not end in time after the first signal."""
        if self.first is not None and time.monotonic() - self.first[1] > STOP_DEADLINE_S:
            self.kill(
                f"killed, because the lab did not end within {STOP_DEADLINE_S:.0f} s "
                f"after {signal.Signals(self.first[0]).name}"
            )


def _supervise(
    process: subprocess.Popen[bytes],
    control: socket.socket,
    complaint: int,
    forwarder: _Forwarder,
    *,
    user_namespace: bool,
) -> int:
    first_process = _await_ready(process, control)
    if first_process is None:
        process.kill()
        process.wait()
        with open(complaint, "rb", closefd=False) as stream:
            said = stream.read().decode(errors="replace").strip()
        if forwarder.first is not None:
            print(
                f"testbed: ended by {signal.Signals(forwarder.first[0]).name} before the sandbox was up",
                file=sys.stderr,
            )
            return INTERRUPTED
        raise SandboxError(_refusal(said, user_namespace=user_namespace))
    try:
        ended = os.pidfd_open(process.pid)
        try:
            poll = select.poll()
            poll.register(ended, select.POLLIN)
            while not poll.poll(1000):
                forwarder.check_deadline()
        finally:
            os.close(ended)
        process.wait()
        _await_end(first_process)
    finally:
        os.close(first_process)
    status = control.recv(1)
    if not status:
        reason = forwarder.reason or "one of its first processes was killed"
        print(f"testbed: the sandbox was ended from outside: {reason}", file=sys.stderr)
        return COULD_NOT_RUN
    return status[0]


def _await_ready(process: subprocess.Popen[bytes], control: socket.socket) -> int | None:
    """A pidfd of the first process once it says it is ready; None if it never does (its end closes the socket)."""
    credentials = struct.Struct("3i")
    while True:
        data, ancillary, _, _ = control.recvmsg(1, socket.CMSG_SPACE(credentials.size))
        if data != READY:
            return None
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                # The kernel translates the sender's process id into our PID namespace.
                with suppress(ProcessLookupError):
                    return os.pidfd_open(credentials.unpack(payload[: credentials.size])[0])
        return os.pidfd_open(process.pid)


def _await_end(first_process: int) -> None:
    """Waits until the first process is gone: then the kernel has reaped every process of its PID namespace."""
    poll = select.poll()
    poll.register(first_process, select.POLLIN)
    if not poll.poll(STOP_DEADLINE_S * 1000):
        raise SandboxError(
            f"the sandbox's processes still exist {STOP_DEADLINE_S:.0f} s after they were killed: "
            "one hangs in the kernel, look at `ps -eo pid,stat,wchan,args`"
        )


def _refusal(said: str, *, user_namespace: bool) -> str:
    message = f"the sandbox could not be set up: {said or 'its first process was killed'}"
    if user_namespace and (said.startswith("unshare:") or "not permitted" in said or "denied" in said):
        remedy = user_namespaces_refused()
        if remedy:
            return f"no private namespaces for the lab: {remedy}"
        return f"{message}; this kernel or container allows ordinary users no namespaces: run the lab as root"
    return message
