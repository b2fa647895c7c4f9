"""Processes of a lab: argv lists, everything they say kept in `logs/NAME.log`, their exit status kept, deaths noticed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from testbed.host.checks import eventually

if TYPE_CHECKING:
    from testbed.host.progress import Progress

STOP_DEADLINE_S = 5.0
"""How long a process may take to end after its stop signal before it is killed."""

TAIL_LINES = 12
"""Lines of a log quoted in an error."""


class ProcessError(RuntimeError):
    """A process of the lab did not do what it must."""


CRASHES = (-signal.SIGSEGV, -signal.SIGABRT)
"""Exit statuses of a program that came upon a fault of its own."""


class ProcessDied(ProcessError):  # noqa: N818  # reads as what happened
    """A process ended that should be running. Names it, its node, its exit status or signal, and its last lines."""

    def __init__(self, process: ManagedProcess) -> None:
        lines = process.last_lines()
        super().__init__(
            f"{process.name} on node {process.node} {describe_status(process.popen.returncode)}; "
            + (f"last lines of {process.log}:\n{lines}" if lines else "it said nothing")
            + (f"\n{process.crash}" if process.crash and process.popen.returncode in CRASHES else "")
        )
        self.name, self.node, self.status = process.name, process.node, process.popen.returncode


class Child(Protocol):
    """A process that can be watched and ended; all that is needed of `subprocess.Popen`."""

    pid: int
    stdin: Any

    @property
    def returncode(self) -> Any:
        """As of `subprocess.Popen`."""
        ...

    def poll(self) -> int | None:
        """As of `subprocess.Popen`."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """As of `subprocess.Popen`."""
        ...

    def send_signal(self, sig: int) -> None:
        """As of `subprocess.Popen`."""
        ...


class Launcher(Protocol):
    """Starts argv in a node's namespaces, as `subprocess.Popen` would."""

    def __call__(self, node: str, argv: Sequence[str], **options: Any) -> Child:
        """Start it."""
        ...


def describe_status(status: int | None) -> str:
    """An exit status in words; negative is a signal, as subprocess has it."""
    if status is None:
        return "is running"
    if status < 0:
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-status).name}"
        return f"was killed by signal {-status}"
    return f"ended with exit status {status}"


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, or an empty string."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - 64 * 1024))
            return "\n".join(stream.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


@dataclass(slots=True, eq=False)
class ManagedProcess:
    """One process. `may_end`: ending by itself with status 0 is no error. `stop_signal`: what ends it properly.

    `crash`: what is known of its crashes, and what to do. `log_begins`: octets that earlier processes of the same name had left in the log when this one was started.
    """

    name: str
    node: str
    argv: tuple[str, ...]
    popen: Child
    log: Path | None
    may_end: bool = False
    stop_signal: signal.Signals = signal.SIGTERM
    stopping: bool = False
    log_begins: int = 0
    crash: str = ""

    @property
    def running(self) -> bool:
        """Whether it still runs; keeps its exit status if not."""
        return self.popen.poll() is None

    def has_ended_within(self, deadline_s: float) -> bool:
        """Whether it has ended, or does before ``deadline_s`` have passed; keeps its exit status if so."""
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(deadline_s)
        return not self.running

    def last_lines(self, lines: int = TAIL_LINES) -> str:
        """The end of its log."""
        return tail(self.log, lines) if self.log else ""

    def said(self) -> str:
        """All that it has said itself."""
        return self.log.read_bytes()[self.log_begins :].decode(errors="replace") if self.log else ""

    def check_alive(self) -> None:
        """Raises ProcessDied if it ended unexpectedly."""
        status = self.popen.poll()
        if status is not None and not self.stopping and not (self.may_end and status == 0):
            raise ProcessDied(self)


class ProcessTable:
    """Every process of a lab, stopped in reverse order of starting when the context ends."""

    def __init__(self, logs: Path, launch: Launcher, progress: Progress | None = None) -> None:
        """`logs`: an existing or new folder. `launch` starts argv in a node."""
        self.logs = logs
        self._launch = launch
        self._progress = progress
        self._processes: list[ManagedProcess] = []
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_all()

    def __iter__(self) -> Iterator[ManagedProcess]:
        return iter(tuple(self._processes))

    def __getitem__(self, name: str) -> ManagedProcess:
        """The running or last process of that name. Raises KeyError, listing the names there are."""
        for process in reversed(self._processes):
            if process.name == name:
                return process
        raise KeyError(f"no process {name!r}; there are {', '.join(p.name for p in self._processes) or 'none'}")

    def start(
        self,
        name: str,
        node: str,
        argv: Sequence[str],
        *,
        may_end: bool = False,
        environment: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        launch: Launcher | None = None,
        crash: str = "",
    ) -> ManagedProcess:
        """Starts argv in a node; stdout and stderr go to `logs/NAME.log` (appended to when a name is started again).

        `environment` is added to the caller's. `launch`: what starts it in place of the usual one. `crash`: what to
        say should it crash. Raises ProcessError if a process of that name runs, or argv cannot start.
        """
        if any(p.name == name and p.running for p in self._processes):
            raise ProcessError(f"a process called {name} is already running: stop it first or choose another name")
        log = self.logs / f"{name}.log"
        with log.open("ab") as stream:
            begins = stream.tell()
            try:
                popen = (launch or self._launch)(
                    node,
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **(environment or {})},
                )
            except OSError as error:
                raise ProcessError(f"cannot start {name} on node {node}: {error}") from None
        process = ManagedProcess(
            name, node, tuple(argv), popen, log, may_end, stop_signal, log_begins=begins, crash=crash
        )
        return self.adopt(process)

    def adopt(self, process: ManagedProcess) -> ManagedProcess:
        """Watches a process started elsewhere (a node's own shell, say) like the others."""
        self._processes.append(process)
        return process

    def check_alive(self) -> None:
        """Raises ProcessDied for the first process that ended unexpectedly."""
        for process in self._processes:
            process.check_alive()

    def stop(
        self, process: ManagedProcess, stop_signal: signal.Signals | None = None, deadline_s: float = STOP_DEADLINE_S
    ) -> int:
        """Stops one process, with its own `stop_signal` if none is given; returns its exit status (negative: the signal).

        Raises ProcessError if it had to be killed after the deadline. Stopping one that has ended is no error.
        """
        process.stopping = True
        stop_signal = stop_signal or process.stop_signal
        if process.running:
            with suppress(ProcessLookupError):
                process.popen.send_signal(stop_signal)
            try:
                return int(process.popen.wait(deadline_s))
            except subprocess.TimeoutExpired:
                self.kill(process)
                raise ProcessError(
                    f"{process.name} on node {process.node} ignored {stop_signal.name} for {deadline_s:g} s "
                    f"and was killed; last lines:\n{process.last_lines()}"
                ) from None
        return int(process.popen.returncode)

    def kill(self, process: ManagedProcess) -> None:
        """Kills one process and what it started, and waits for its end. This is not an unexpected death."""
        process.stopping = True
        _signal_all(process, signal.SIGKILL)
        process.popen.wait()

    def pause(self, process: ManagedProcess) -> None:
        """Stops one process and what it started in its tracks, until `resume`: it is there, and does nothing."""
        _signal_all(process, signal.SIGSTOP)

    def resume(self, process: ManagedProcess) -> None:
        """Lets a paused process go on."""
        _signal_all(process, signal.SIGCONT)

    def stop_all(self) -> list[str]:
        """Stops everything in reverse order; never raises. Returns what went wrong, and shows it."""
        problems: list[str] = []
        for process in reversed(self._processes):
            try:
                self.stop(process)
            except ProcessError as error:
                problems.append(str(error))
                if self._progress:
                    self._progress.note(str(error))
        return problems

    def wait_for_log(self, process: ManagedProcess, pattern: str, deadline_s: float) -> re.Match[str]:
        """Waits until a line that the process has said matches. Raises ProcessDied, or NotObserved quoting the log's end."""
        expression = re.compile(pattern, re.MULTILINE)
        found: list[re.Match[str]] = []

        def look() -> tuple[bool, str]:
            runs = process.running  # asked first: what it says and then ends is read
            found.extend(match for match in [expression.search(process.said())] if match)
            if not found and not runs:
                raise ProcessDied(process)  # even if it may end: it can say no more
            return bool(found), process.last_lines() or "nothing said yet"

        eventually(f"{process.name} to say {pattern!r}", look, deadline_s, check_alive=self.check_alive)
        return found[0]


def _signal_all(process: ManagedProcess, number: signal.Signals) -> None:
    """Signals a process, and its group if it leads one."""
    with suppress(ProcessLookupError, PermissionError):
        if os.getpgid(process.popen.pid) == process.popen.pid:
            os.killpg(process.popen.pid, number)
    process.popen.send_signal(number)
