"""Lines that a role writes for others to read: to a file, a pipe or a terminal, none of which can stop or delay it.

Where there is no room, on a full disk or in a pipe that nobody reads, lines wait for it, up to a bound. What comes beyond is
lost, whole lines of it and the newest first, and counted; once half of the bound is free again, a line says how many.
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Callable
from typing import TextIO

from agents.core.counters import Counters

WAITING_MAXIMUM = 256 * 1024  # bytes
RETRY = 0.5  # s: how often a write is tried again that failed, where the kernel does not say when there is room


class Output:
    """One output by its descriptor, which is closed with it.

    ``lost`` makes the line that says how many lines were lost; they are counted as ``dropped.output.NAME``.
    """

    def __init__(self, descriptor: int, name: str, counters: Counters, lost: Callable[[int], str]) -> None:
        self._descriptor = descriptor
        self._counter = f"dropped.output.{name}"
        self._counters = counters
        self._lost_line = lost
        self._lost = 0
        self._waiting = bytearray()
        self._retry: asyncio.TimerHandle | None = None
        self._awaits_room = False

    def write(self, lines: str) -> None:
        """Write whole lines, now if there is room."""
        data = lines.encode(errors="backslashreplace")
        if self._waiting or self._lost:
            self._queue(data)
            return
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            self._queue(data)
            self._try_later(error)
        else:
            if written < len(data):
                end = data.find(b"\n", written - 1) + 1
                self._waiting += data[written:end]  # the rest of the line that is cut, whatever its length
                self._queue(data[end:])
                self._go_on()

    def close(self) -> None:
        """Write what there is room for, and close."""
        self._stop_waiting()
        self._go_on()
        self._stop_waiting()
        os.close(self._descriptor)

    def _queue(self, data: bytes) -> None:
        """Have whole lines wait, as many as there is room for; the others are lost."""
        room = (WAITING_MAXIMUM // 2 if self._lost else WAITING_MAXIMUM) - len(self._waiting)
        kept = len(data) if len(data) <= room else data.rfind(b"\n", 0, max(room, 0)) + 1
        if kept:
            self._tell_lost()
            self._waiting += data[:kept]
        if kept < len(data):
            lines = data.count(b"\n", kept)
            self._lost += lines
            self._counters.add(self._counter, lines)

    def _tell_lost(self) -> None:
        if self._lost:
            self._waiting += self._lost_line(self._lost).encode()
            self._lost = 0

    def _go_on(self) -> None:
        """Write what waits, as far as there is room; then what was lost is told, even where nothing waits."""
        self._retry = None
        while self._waiting or self._lost:
            if not self._waiting:
                self._tell_lost()
            try:
                written = os.write(self._descriptor, self._waiting)
            except OSError as error:
                self._try_later(error)
                return
            del self._waiting[:written]
        self._stop_waiting()

    def _try_later(self, error: OSError) -> None:
        """Try again when there is room; where nobody says so, as on a full disk or after a reader's end, in a while."""
        if isinstance(error, BlockingIOError):
            if not self._awaits_room:
                asyncio.get_running_loop().add_writer(self._descriptor, self._go_on)
                self._awaits_room = True
            return
        self._stop_waiting()
        self._retry = asyncio.get_running_loop().call_later(RETRY, self._go_on)

    def _stop_waiting(self) -> None:
        if self._awaits_room:
            asyncio.get_running_loop().remove_writer(self._descriptor)
            self._awaits_room = False
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None


def standard_output(counters: Counters) -> Output:
    """What a role tells its application, by standard output; where that is closed nothing is told."""
    return _standard(sys.stdout, 1, "notices", counters)


def standard_error(counters: Counters) -> Output:
    """What a role's operator is told of its faults, by standard error."""
    return _standard(sys.stderr, 2, "errors", counters)


def _standard(stream: TextIO | None, number: int, name: str, counters: Counters) -> Output:
    descriptor = os.open(os.devnull, os.O_WRONLY) if stream is None else _without_waiting(number)
    return Output(descriptor, name, counters, lambda lines: f"{name}-lost lines={lines}\n")


def _without_waiting(descriptor: int) -> int:
    """Another descriptor for the same output, on which no write waits.

    A pipe or a terminal is opened anew for that, since whoever has it too shares the flag. A file never waits, and its
    place is kept in the old one.
    """
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        try:
            return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:  # a socket, another user's pipe, no /proc
            os.set_blocking(descriptor, False)
    return os.dup(descriptor)
