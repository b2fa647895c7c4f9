"""Who answers a lab's console: a Unix socket in the run's folder, on which lines are asked and answered as JSON.

One request a line, one answer a line, each with the "number" of its request. {"hello": true} → what there is to ask; with
"keep": true a lab that is built for its console lasts as long as this connection. {"line": "move mn poa2"} → {"ok": …,
"text": …} and perhaps {"run": …}, a program that whoever asks is to start in a node, having the terminal.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

from testbed.host.progress import Progress

SOCKET = "console"  # in the run's folder


class Console(Protocol):
    """What answers."""

    def hello(self) -> dict[str, Any]:
        """What somebody needs to know who is to ask."""
        ...

    def answer(self, line: str) -> dict[str, Any]:
        """Do what a line says: ``ok``, ``text``, and perhaps ``run``."""
        ...

    def close(self) -> None:
        """End what lines have begun, when there will be no more."""
        ...


@contextmanager
def socket_path(run_folder: Path) -> Iterator[str]:
    """The console's path for bind and connect, which take no long ones: through the folder's descriptor."""
    descriptor = os.open(run_folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


class Server:
    """Answers for one console until it is closed. ``deserted`` is set when whoever keeps the lab has gone."""

    def __init__(self, console: Console, listening: socket.socket) -> None:
        self._console = console
        self._listening = listening
        self._lines: SimpleQueue[tuple[str, Future[dict[str, Any]]]] = SimpleQueue()
        self._connections: set[socket.socket] = set()
        self.deserted = threading.Event()

    def close(self) -> None:
        """Take no more connections, and end those that there are: a lab that is gone cannot be asked."""
        for each in (self._listening, *self._connections):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # which wakes who waits in accept, or for a line
        self._listening.close()

    def serve(self) -> None:
        """Take connections until the socket is closed."""
        threading.Thread(target=self._work, name="console's lines", daemon=True).start()
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._connections.add(connection)
            threading.Thread(target=self._talk, args=(connection,), name="console", daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        keeps = False
        with (
            suppress(OSError, ValueError, RuntimeError),
            connection,
            connection.makefile("rw", encoding="utf-8") as lines,
        ):
            for line in lines:
                asked = json.loads(line)
                keeps = keeps or bool(asked.get("keep"))
                lines.write(json.dumps({**self._answer(asked), "number": asked.get("number")}) + "\n")
                lines.flush()
        self._connections.discard(connection)
        if keeps:
            self.deserted.set()

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        if "line" not in asked:
            return self._console.hello()
        answer: Future[dict[str, Any]] = Future()
        self._lines.put((str(asked["line"]), answer))
        return answer.result()

    def _work(self) -> None:
        """One line at a time, in one thread, whoever asks: what a command opens belongs to its thread."""
        while True:
            line, answer = self._lines.get()
            try:
                answer.set_result(self._console.answer(line))
            except Exception as error:  # noqa: BLE001  # a fault of ours is told to whoever asked, and the next line is done
                answer.set_result({"ok": False, "text": f"error: a fault of the console: {error!r}\n", "run": None})


@contextmanager
def serving(run_folder: Path, console: Console, progress: Progress) -> Iterator[Server | None]:
    """A console answers meanwhile. Where the file system has no sockets there is none, which is told."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket_path(run_folder) as path:
            listening.bind(path)
    except OSError as error:
        listening.close()
        progress.note(f"no console, {run_folder} takes no socket: {error.strerror}")
        yield None
        return
    (run_folder / SOCKET).chmod(0o600)
    listening.listen()
    server = Server(console, listening)
    thread = threading.Thread(target=server.serve, name="console", daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        (run_folder / SOCKET).unlink(missing_ok=True)
        thread.join()
