"""The durable store of a role: keys and values in an SQLite file, written by a thread, on disk before anybody is told.

Commits that come while others are being written go to disk together, in one transaction and with one wait for the disk;
where that fails each is tried alone, so that one that cannot be written fails alone. A statement takes many rows: between any
two the thread and the role's would have to take turns, which costs both more than a row does.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TypeVar

from agents.core.agent import Commit, Committed
from agents.core.counters import Counters
from agents.core.errors import ConfigurationError
from agents.runtime.tasks import Tasks

COMMITS_WAITING_MAXIMUM = 4096  # commits that wait while the disk takes others

Row = TypeVar("Row")

_TABLE = "CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
_PUT, _OR_REPLACE = "INSERT INTO entries VALUES", "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_FORGET = "DELETE FROM entries WHERE key IN"
ROWS_MAXIMUM = 256  # of one statement; one is made for each power of two up to it, and kept


class Store:
    """The store in the file ``path``, which this process alone may have open; ``told`` takes each commit's outcome."""

    def __init__(self, path: Path, told: Callable[[Committed], None], tasks: Tasks, counters: Counters) -> None:
        """Raises ConfigurationError, with the other's process id, where another process has it, and for a bad file."""
        self._told = told
        self._tasks = tasks
        self._counters = counters
        self._waiting: list[Commit] = []
        self._idle = asyncio.Event()
        self._idle.set()
        self._thread = ThreadPoolExecutor(1, "store")
        with contextlib.ExitStack() as stack:
            self._lock = _locked(path)
            stack.callback(os.close, self._lock)
            try:
                path.touch(0o600)  # keys and tokens are for nobody else; what SQLite puts beside it is alike
                # Each statement is its own transaction unless one is begun; one thread at a time uses it.
                self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
                stack.callback(self._database.close)
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.execute("PRAGMA synchronous = FULL")
                self._database.execute(_TABLE)
                self.entries: Mapping[str, bytes] = dict(self._database.execute("SELECT key, value FROM entries"))
            except (sqlite3.Error, OSError) as error:
                raise _refused(path, f"is no store that can be used: {error}", "give another file") from error
            stack.pop_all()

    def commit(self, action: Commit) -> None:
        """Begin to put the changes on disk, after those that were asked for before; beyond the bound they are refused."""
        if len(self._waiting) >= COMMITS_WAITING_MAXIMUM:
            self._counters.add("refused.too-many-commits")
            refusal = Committed(action.key, succeeded=False, reason="too many commits wait")
            asyncio.get_running_loop().call_soon(self._told, refusal)
            return
        self._waiting.append(action)
        if self._idle.is_set():
            self._idle.clear()
            self._tasks.begin(self._write_all())

    async def close(self) -> None:
        """Finish what was asked for, and close; nothing more may be asked for meanwhile."""
        await self._idle.wait()
        self._thread.shutdown()
        self._database.close()
        os.close(self._lock)

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                reasons = await loop.run_in_executor(self._thread, self._write, batch)
                for action, reason in zip(batch, reasons, strict=True):
                    self._told(Committed(action.key, succeeded=not reason, reason=reason))
        finally:
            self._idle.set()

    def _write(self, batch: Sequence[Commit]) -> list[str]:
        """Why each could not be written, "" for what is on disk."""
        try:
            self._database.execute("BEGIN")
            for statement, values in _statements(batch):
                self._database.execute(statement, values)
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            return [str(error)] if len(batch) == 1 else [self._write([action])[0] for action in batch]
        return [""] * len(batch)


def _statements(batch: Sequence[Commit]) -> Iterator[tuple[str, Sequence[str | bytes]]]:
    """What leaves the entries as all commits of a batch would, one after the other: statements and their values."""
    changes = {key: value for action in batch for key, value in action.changes.items()}
    put = [(key, value) for key, value in changes.items() if value is not None]
    for rows in _pieces(put):
        yield _put(len(rows)), [word for row in rows for word in row]
    for keys in _pieces([key for key, value in changes.items() if value is None]):
        yield _forget(len(keys)), keys


def _pieces(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """All rows, in few pieces whose sizes are powers of two."""
    begin = 0
    while begin < len(rows):
        size = min(ROWS_MAXIMUM, 1 << (len(rows) - begin).bit_length() - 1)
        yield rows[begin : begin + size]
        begin += size


@cache
def _put(rows: int) -> str:
    return " ".join((_PUT, ", ".join(["(?, ?)"] * rows), _OR_REPLACE))


@cache
def _forget(rows: int) -> str:
    return " ".join((_FORGET, "(", ", ".join("?" * rows), ")"))


def _locked(path: Path) -> int:
    """The descriptor of a file beside the store's, which one process can lock and which names it."""
    lock = path.with_name(f"{path.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _refused(path, f"cannot be opened: {error.strerror}", "give a file in a folder to write in") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(descriptor, 32).decode(errors="replace").strip()
        os.close(descriptor)
        raise _refused(path, f"is the store of process {owner}", "stop that one, or give another file") from None
    os.truncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def _refused(path: Path, found: str, remedy: str) -> ConfigurationError:
    return ConfigurationError("runtime.store", f"{path} {found}", remedy)
