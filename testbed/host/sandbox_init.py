"""The first process of a sandbox: makes it fit to live in, starts the program, passes signals on, reaps orphans.

It is PID 1 of its PID namespace, so its end is the end of every process in there. Started by `testbed.host.sandbox` only:
`python -m testbed.host.sandbox_init SPEC`. It keeps to the standard library and imports nothing heavy, for speed.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from testbed.host.interruption import INTERRUPTED, LINE

READY = b"R"
"""Sent to the supervising process once the program has been started. When it has ended, its exit status follows."""

MARKER = Path("/run/testbed-sandbox.json")
"""On the sandbox's private /run: which namespaces are the sandbox's, see `testbed.host.sandbox.current`."""

TEMPORARY_FOLDER = Path("/run/tmp")
"""TMPDIR inside: gone with the sandbox, whoever dies."""

PRIVATE_ROUTING_FOLDERS = ("run", "etc/frr", "var/tmp", "var/lib/frr")
"""Folders of the routing root every lab needs for itself; the rest of the root is shared and never written."""

HOST_WIDE_SYSCTLS = ("fs", "kernel", "vm")
"""Folders of /proc/sys no namespace separates: read-only inside, so that no lab can change the host."""

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 4096, 16384
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """Everything the first process must know; travels as JSON on its command line."""

    argv: tuple[str, ...]
    control_fd: int
    stderr_fd: int
    routing_root: str | None
    keep_visible: tuple[str, ...]
    outer_namespaces: dict[str, int]


def namespaces() -> dict[str, int]:
    """Inode numbers of the namespaces this process is in: what tells one namespace from another."""
    return {kind: Path(f"/proc/self/ns/{kind}").stat().st_ino for kind in ("net", "mnt", "pid")}


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """Call the kernel. Raises OSError naming source and target."""
    result = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        options.encode() if options else None,
    )
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot mount {kind or source} on {target}: {os.strerror(number)}")


def _private_run(keep_visible: Sequence[str]) -> None:
    """A fresh tmpfs on /run, with the folders named put back where they were if they lie below it."""
    real = {Path(os.path.realpath(path)) for path in keep_visible}
    below = {path for path in real if Path("/run") in path.parents and path.exists()}
    held = {path: os.open(path, os.O_PATH) for path in sorted(below) if not below.intersection(path.parents)}
    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    for path, descriptor in held.items():
        source = f"/proc/self/fd/{descriptor}"  # the only way left to name what the new mount hides
        if Path(source).is_dir():
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        mount(source, str(path), None, MS_BIND | MS_REC)
        os.close(descriptor)
    TEMPORARY_FOLDER.mkdir(mode=0o1777)


def _routing_root(root: Path) -> None:
    """Private folders over the shared routing root, with the sandbox's proc and the host's dev in it."""
    for folder in PRIVATE_ROUTING_FOLDERS:
        if not (root / folder).is_dir():
            raise FileNotFoundError(errno.ENOENT, f"the routing root {root} has no folder {folder}: set it up again")
        mount("tmpfs", str(root / folder), "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    mount("/proc", str(root / "proc"), None, MS_BIND | MS_REC)
    mount("/dev", str(root / "dev"), None, MS_BIND | MS_REC)


def _protect_host_sysctls() -> None:
    for folder in HOST_WIDE_SYSCTLS:
        target = f"/proc/sys/{folder}"
        mount(target, target, None, MS_BIND)
        mount("none", target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)


def _loopback_up() -> None:
    request = struct.Struct("16sh22x")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        flags = request.unpack(fcntl.ioctl(any_socket, SIOCGIFFLAGS, request.pack(b"lo", 0)))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, request.pack(b"lo", flags | IFF_UP))


def prepare(spec: SandboxSpec) -> None:
    """Makes the fresh namespaces fit for a lab. Raises OSError or RuntimeError, saying what failed."""
    same = [kind for kind, inode in namespaces().items() if spec.outer_namespaces[kind] == inode]
    if same:
        raise RuntimeError(f"still in the host's {', '.join(same)} namespace: nothing may be set up here")
    folder = Path.cwd()
    _private_run(spec.keep_visible)
    os.chdir(folder)  # the same path, which may now be reached through a new mount
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    _protect_host_sysctls()
    if spec.routing_root:
        _routing_root(Path(spec.routing_root))
    _loopback_up()
    socket.sethostname("lab")
    MARKER.write_text(json.dumps({"namespaces": namespaces(), "routing_root": spec.routing_root}))


def _supervise(program: int, control: socket.socket, wakeup: socket.socket) -> tuple[int, set[int]]:
    """Passes signals on and reaps until the program has ended. Returns its wait status, and which signals it was sent."""
    passed_on: set[int] = set()
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(wakeup, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == control.fileno():
                numbers = control.recv(16)
                if not numbers:
                    os._exit(2)  # the supervising process is gone: so must everything here
                with suppress(ProcessLookupError):
                    os.kill(program, numbers[0])
                passed_on.add(numbers[0])
            else:
                wakeup.recv(4096)
                with suppress(ChildProcessError):
                    while (reaped := os.waitpid(-1, os.WNOHANG))[0]:
                        if reaped[0] == program:
                            return reaped[1], passed_on


def main() -> int:
    """Runs as PID 1; the exit status is the program's, or 2 with one line on stderr if it was killed."""
    fields = json.loads(sys.argv[1])
    spec = SandboxSpec(**fields)
    control = socket.socket(fileno=spec.control_fd)
    control.set_inheritable(False)
    forwarded = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in forwarded:
        signal.signal(number, signal.SIG_IGN)  # they come over `control`; from a terminal they are the program's
    wakeup_read, wakeup_write = socket.socketpair()
    wakeup_write.setblocking(False)
    signal.set_wakeup_fd(wakeup_write.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        prepare(spec)
        program = os.posix_spawnp(
            spec.argv[0],
            spec.argv,
            os.environ | {"TMPDIR": str(TEMPORARY_FOLDER)},
            file_actions=[(os.POSIX_SPAWN_DUP2, spec.stderr_fd, 2), (os.POSIX_SPAWN_CLOSE, spec.stderr_fd)],
            setsigdef=[*forwarded, signal.SIGCHLD],
        )
    except OSError as error:
        # Up to here stderr leads to the supervising process, which makes one message of it.
        print(f"{error.filename}: {error.strerror}" if error.filename else error.strerror, file=sys.stderr)
        return 2
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 2
    os.dup2(spec.stderr_fd, 2)
    os.close(spec.stderr_fd)
    control.send(READY)
    status, passed_on = _supervise(program, control, wakeup_read)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) in passed_on:  # it was too young to have a handler
        print(LINE, file=sys.stderr)
        exit_status = INTERRUPTED
    elif os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        print(f"testbed: the lab's program was killed by {name}: {' '.join(spec.argv)}", file=sys.stderr)
        exit_status = 2
    else:
        exit_status = os.WEXITSTATUS(status)
    # unshare's own exit status does not tell a program that ended from a first process that was killed.
    control.send(bytes([exit_status]))
    return exit_status


if __name__ == "__main__":
    sys.exit(main())
