"""Programs in a node of a lab that runs, started from outside of its sandbox.

A program gets the terminal it was started from. It has the lab's network, file system and processes, and ends with the lab.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from testbed.host.sandbox import COULD_NOT_RUN, SandboxError, program_environment

_NAMESPACES = {
    "user": 0x10000000,
    "mnt": 0x00020000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
_libc = ctypes.CDLL(None, use_errno=True)


TOOLS = Path("/run/tools")
"""In a lab's sandbox: programs of the routing root, for where the host has none of that name."""


def provide_tools(routing_root: Path, names: Sequence[str]) -> None:
    """Make programs of the routing root callable in this sandbox, by scripts of their names."""
    TOOLS.mkdir(exist_ok=True)
    for name in names:
        script = TOOLS / name
        script.write_text(f'#!/bin/sh\nexec chroot {shlex.quote(str(routing_root))} {name} "$@"\n', encoding="utf-8")
        script.chmod(0o755)


def enter(pid: int) -> None:
    """Join the namespaces of a process; its PID namespace is for children. Raises SandboxError."""
    try:
        process = os.pidfd_open(pid)
        differing = [
            kind
            for kind in _NAMESPACES
            if Path(f"/proc/{pid}/ns/{kind}").stat().st_ino != Path(f"/proc/self/ns/{kind}").stat().st_ino
        ]
    except OSError as error:
        raise SandboxError(f"the lab (process {pid}) cannot be entered: {error.strerror}; {_whose(pid)}") from None
    try:
        if differing and _libc.setns(process, sum(_NAMESPACES[kind] for kind in differing)) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise SandboxError(f"the lab (process {pid}) cannot be entered: {reason}; {_whose(pid)}")
    finally:
        os.close(process)
    if "user" in differing:  # there one is root, over nothing but the lab
        with suppress(OSError):
            os.setgid(0)
        with suppress(OSError):
            os.setuid(0)


def _whose(pid: int) -> str:
    try:
        owner = Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return "it has ended"
    return "" if owner == os.geteuid() else f"it belongs to user {owner}: do it as that user, or as root"


def run_in_node(lab: int, node: int | None, argv: Sequence[str], stdout: int | None = None) -> int:
    """Run argv in a node of the lab and return its exit status, 128 and its number for a signal, 127 where it is not there.

    ``lab``: a process of the lab's sandbox, as it is called out here; ``node``: one that lives in the node, as it is called in
    there; None: the sandbox itself. ``stdout``: a descriptor, the caller's own unless given. Ctrl-C reaches the program alone.
    """
    with _left_to_the_program():
        child = os.fork()
        if child == 0:
            _in_child(lambda: _run(lab, node, argv, stdout))
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) % 256


def _in_child(run: Callable[[], int]) -> None:
    """Ends this process, which is a copy of the caller's, whatever happens."""
    status = COULD_NOT_RUN
    try:
        status = run()
    except SandboxError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
    except FileNotFoundError as error:
        print(f"error: {error.filename} is missing: run `make doctor`", file=sys.stderr, flush=True)
    except Exception as error:  # noqa: BLE001  # whatever it is: this is its last chance to be told
        print(f"error: the command could not be started: {error!r}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def _run(lab: int, node: int | None, argv: Sequence[str], stdout: int | None) -> int:
    enter(lab)
    # mnexec enters a node as Mininet does, and stays in the working folder; env says of what is not there what a shell says.
    there = ["mnexec", "-a", str(node), "--"] if node is not None else []
    environment = program_environment()
    environment["PATH"] += f"{os.pathsep}{TOOLS}"
    status = subprocess.run([*there, "env", *argv], check=False, stdout=stdout, env=environment).returncode
    return 128 - status if status < 0 else status


@contextmanager
def _left_to_the_program() -> Iterator[None]:
    """Ctrl-C meanwhile is the program's. A handler, since what is ignored stays ignored in the program."""

    def nothing(_number: int, _frame: FrameType | None) -> None:
        pass

    before = signal.signal(signal.SIGINT, nothing)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
