"""Runs of labs as their folders tell: which go on, how the others ended, and a connection to the console of one."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from testbed.host.checks import PROBE_INTERVAL_S
from testbed.run.console_server import SOCKET, socket_path
from testbed.run.liveness import lives
from testbed.run.recording import CAPTURE
from testbed.run.results import RESULT, RUNS

LATEST = "latest"


class NoConsoleError(RuntimeError):
    """A run that cannot be asked: there is none, or it has ended; then says when and how."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What a console says of its lab. ``nodes``: a process that lives in each. ``words``: what a line may name."""

    lab: str
    family: int
    nodes: dict[str, int]
    words: list[str]
    commands: dict[str, str]


class Connection:
    """A connection to a lab's console. ``pid``: the lab's own process, as it is called out here."""

    def __init__(self, run_folder: Path, *, keep: bool = False) -> None:
        """Raises OSError where nobody answers."""
        self.run_folder = run_folder
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with socket_path(run_folder) as path:
                self._socket.connect(path)
            credentials = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            self.pid: int = struct.unpack("3i", credentials)[0]
            self._received, self._asked = b"", 0
            self.hello = Hello(**self._ask({"hello": True, "keep": keep}))
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def answer(self, line: str) -> dict[str, Any]:
        """What the lab answers to a line. Raises NoConsoleError if it has ended."""
        try:
            return self._ask({"line": line})
        except (OSError, ValueError):
            raise NoConsoleError(how_it_ended(self.run_folder)) from None

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to this request; one that Ctrl-C kept somebody from waiting for is left unread until here, and dropped."""
        self._asked += 1
        self._socket.sendall(json.dumps({**request, "number": self._asked}).encode() + b"\n")
        while True:
            answer: dict[str, Any] = json.loads(self._line())
            if answer.pop("number") == self._asked:
                return answer

    def _line(self) -> bytes:
        """One line; what has come of it stays when Ctrl-C ends the wait for the rest."""
        while b"\n" not in self._received:
            more = self._socket.recv(1 << 16)
            if not more:
                raise ConnectionResetError
            self._received += more
        line, _, self._received = self._received.partition(b"\n")
        return line


def run_folder(named: str, runs: Path | None = None) -> Path:
    """The folder that "latest", a run's name or a path means. Raises NoConsoleError if there is none."""
    runs = runs or RUNS
    for folder in (runs / named, Path(named)):
        if folder.is_dir():
            return folder.resolve()
    known = f"in {runs}" if named == LATEST else f"neither a path nor a folder in {runs}"
    raise NoConsoleError(f"there is no run {named!r}, {known}: start one with `python -m testbed run LAB`")


def connect(folder: Path, *, keep: bool = False, going_on: Callable[[], bool] | None = None) -> Connection:
    """A connection to the run in this folder. One that is only starting is waited for.

    ``going_on``: whether it is worth to wait, if the caller knows. Raises NoConsoleError, saying when and how it ended.
    """
    while True:
        worth_it = going_on() if going_on else is_starting(folder)  # asked first: it may have one by now
        try:
            return Connection(folder, keep=keep)
        except PermissionError:
            owner = folder.stat().st_uid
            raise NoConsoleError(f"{folder.name} belongs to user {owner}: ask as that user, or as root") from None
        except (OSError, ValueError):
            pass
        if not worth_it:
            raise NoConsoleError(how_it_ended(folder)) from None
        time.sleep(PROBE_INTERVAL_S)


def is_starting(folder: Path) -> bool:
    """Whether a run may be about to have a console: what is recorded is recorded after that."""
    return lives(folder) and not any((folder / name).exists() for name in (RESULT, CAPTURE))


def running(runs: Path | None = None) -> Iterator[Connection]:
    """A connection to each run below ``runs`` that goes on, in order of their beginning."""
    folders = sorted(path for path in (runs or RUNS).glob(f"*/{SOCKET}") if not path.parent.is_symlink())
    for path in folders:
        with suppress(OSError, ValueError):
            yield Connection(path.parent)


def how_it_ended(folder: Path) -> str:
    """When and how a run ended, in a sentence."""
    try:
        result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if lives(folder):
            return f"the lab of {folder.name} has ended; what it recorded is being joined and judged"
        last = max((path.stat().st_mtime for path in folder.iterdir()), default=folder.stat().st_mtime)
        return f"{folder.name} was killed, or its machine was: it has no result; it last wrote at {_clock(last)}"
    except (OSError, ValueError) as error:
        return f"{folder.name} has ended; its {RESULT} cannot be read: {error}"
    ended = (folder / RESULT).stat().st_mtime
    how = result.get("verdict", "?")
    if result.get("error"):
        how += f" ({result['error']})"
    return f"{folder.name} has ended at {_clock(ended)}, after {result.get('duration_s', 0):.1f} s: {how}"


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(sep=" ", timespec="seconds").replace("+00:00", " UTC")
