"""Processes forked from one that has imported what they need: a hundred roles start as fast as ten programs would.

`Nursery` starts that one, asks it for each process, and watches them with pidfds, since they are its children and not ours.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from testbed.host.processes import ManagedProcess, ProcessError, ProcessTable

READY_DEADLINE_S = 15.0
ANSWER_DEADLINE_S = 15.0
TITLE_ROOM = "_" * 1024
"""On its command line: room in which a forked process writes its own."""


class ForkedProcess:
    """A process that a nursery has forked: what `testbed.host.processes` needs of `subprocess.Popen`."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self.stdin = None
        self.returncode: int | None = None
        self._nursery = nursery
        self._watched = os.pidfd_open(pid)
        weakref.finalize(self, os.close, self._watched)  # no sooner: another thread may be waiting for it
        self._asking = threading.Lock()

    def poll(self) -> int | None:
        """Its exit status if it has ended, negative for a signal; None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        status = self._look(None if timeout is None else timeout * 1000)
        if status is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return status

    def send_signal(self, sig: int) -> None:
        """Signal it, unless it has ended."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._watched, sig)

    def _look(self, milliseconds: float | None) -> int | None:
        if self.returncode is not None:
            return self.returncode
        watching = select.poll()
        watching.register(self._watched, select.POLLIN)
        if not watching.poll(milliseconds):
            return None
        with self._asking:
            if self.returncode is None:
                self.returncode = int(self._nursery.ask({"status": self.pid})["status"])
        return self.returncode


class Nursery:
    """The process that others are forked from. ``argv``: the command that is one, to which its socket's path is added."""

    def __init__(self, processes: ProcessTable, argv: Sequence[str], path: Path) -> None:
        """Start it, and return when it can be asked. Raises ProcessError."""
        log = processes.logs / "nursery.log"
        with log.open("ab") as stream:
            self._popen = subprocess.Popen(
                [*argv, str(path), TITLE_ROOM], stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT
            )
        process = processes.adopt(ManagedProcess("nursery", "sandbox", tuple(argv), self._popen, log))
        processes.wait_for_log(process, r"^ready$", READY_DEADLINE_S)
        self._path = path

    def fork(self, words: Sequence[str], pid: int, log: int) -> ForkedProcess:
        """A process of these words, in the namespaces of process ``pid``, that says everything to ``log``. Raises ProcessError."""
        return ForkedProcess(self, int(self.ask({"argv": list(words), "pid": pid}, log)["pid"]))

    def ask(self, request: Mapping[str, Any], *descriptors: int) -> Mapping[str, Any]:
        """One question and its answer."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
                connection.settimeout(ANSWER_DEADLINE_S)
                connection.connect(str(self._path))
                socket.send_fds(connection, [json.dumps(request).encode()], descriptors)
                answer = json.loads(connection.recv(1 << 16) or b"{}")
        except (OSError, ValueError) as error:
            raise ProcessError(f"the nursery did not answer: {error}") from None
        if "error" in answer or not answer:
            raise ProcessError(f"the nursery refused {request}: {answer.get('error', 'it has ended')}")
        found: Mapping[str, Any] = answer
        return found
