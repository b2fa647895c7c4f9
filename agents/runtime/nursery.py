"""A process from which others are forked: what many roles have in common is imported once, and its memory shared.

It waits on a Unix socket for requests, one for each connection: a JSON object with ``argv``, the words after ``python -m agents``, and
``pid``, a process whose network and mount namespaces the new one goes into; with it comes a file descriptor for all that it
says. The answer is ``{"pid": …}`` of a process that does what ``python -m agents WORDS`` would, in a session of its own. A
request ``{"status": pid}`` is answered, when that process has ended, with ``{"status": …}``: its exit status, negative for a
signal. Whatever cannot be done is answered with ``{"error": …}``.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

_NEW_NAMESPACES = {"net": 0x40000000, "mnt": 0x00020000}
_FAILED = 2  # exit status of a process that could not begin


def serve(path: Path, run: Callable[[Sequence[str]], object]) -> None:
    """Be a nursery for whoever connects to ``path``, for ever. ``run`` does what the words of a command line say."""
    gc.collect()
    gc.freeze()  # what is there by now is shared: the collector must not touch it in each child
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(str(path))
        listening.listen(64)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            connection, _ = listening.accept()
            with connection:
                _serve_one(connection, listening, run)


def _serve_one(connection: socket.socket, listening: socket.socket, run: Callable[[Sequence[str]], object]) -> None:
    try:
        octets, descriptors, _, _ = socket.recv_fds(connection, 1 << 16, 1)
    except OSError:  # whoever called has gone
        return
    try:
        answer = _answer(json.loads(octets), descriptors, (connection, listening), run)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    with suppress(OSError):  # whoever asked has gone: others will ask again
        connection.sendall(json.dumps(answer).encode())


def _answer(
    request: dict[str, Any],
    descriptors: Sequence[int],
    sockets: Sequence[socket.socket],
    run: Callable[[Sequence[str]], object],
) -> dict[str, object]:
    if "status" in request:
        _, status = os.waitpid(int(request["status"]), 0)
        return {"status": os.waitstatus_to_exitcode(status)}
    words, log = [str(word) for word in request["argv"]], descriptors[0]
    namespaces = [
        (os.open(f"/proc/{int(request['pid'])}/ns/{name}", os.O_RDONLY), kind) for name, kind in _NEW_NAMESPACES.items()
    ]
    try:
        pid = os.fork()
        if pid == 0:
            for each in sockets:
                each.close()
            _become(words, log, namespaces, run)
    finally:
        for descriptor, _ in namespaces:
            os.close(descriptor)
    return {"pid": pid}


def _become(
    words: list[str], log: int, namespaces: Sequence[tuple[int, int]], run: Callable[[Sequence[str]], object]
) -> NoReturn:
    """In the new process: go where it belongs and do what it is for."""
    status = _FAILED
    try:
        os.setsid()
        os.dup2(log, 1)
        os.dup2(log, 2)
        here = Path.cwd()
        libc = ctypes.CDLL(None, use_errno=True)
        for descriptor, kind in namespaces:
            if libc.setns(descriptor, kind) != 0:
                raise OSError(ctypes.get_errno(), "cannot enter the namespaces of its node")
        os.chdir(here)
        _write_title([sys.executable, "-m", "agents", *words])
        run(words)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException as error:  # noqa: BLE001  # nothing above this may go on in the child
        sys.stderr.write(f"error: {type(error).__name__}: {error}\n")
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def _write_title(argv: Sequence[str]) -> None:
    """Make /proc/PID/cmdline say what this process is, as far as there is room: agents are found by it."""
    begin, end = (int(word) for word in Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45:47])
    room = end - begin
    text = b"\0".join(word.encode() for word in argv)[: room - 1]
    ctypes.memmove(begin, text.ljust(room, b"\0"), room)
