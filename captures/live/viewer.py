"""Wireshark on a lab while it runs, or tshark in the terminal: started by us, fed by `captures.live.pipe` through its stdin."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from captures.files.capture import CaptureError
from captures.history.run import LATEST, RUNS
from captures.live.follow import LiveRun, await_running
from captures.live.pipe import PcapngPipe, pump
from captures.protocols import names, room

_START_S = 60.0  # from a lab's command to its run's folder, set-up of a machine under load included
_END_S = 20.0  # for an interrupted lab to put its things away
_CLOSE_S = 5.0  # for a viewer that has been told to end

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_INSTALL = "`apt-get install wireshark`, or tshark for a terminal"
# The stream itself, a thousand packets a second at every link, would leave nothing else to see.
_NO_STREAM = "not (udp and (ip.dst == 224.0.0.0/4 or ipv6.dst == ff00::/8))"


class Program(NamedTuple):
    """What shows the packets that it reads from its standard input; one in the terminal is over when they are."""

    argv: tuple[str, ...]
    in_terminal: bool = False

    @property
    def name(self) -> str:
        """What to call it."""
        return "tshark" if self.in_terminal else "Wireshark"


def find_viewer(environment: Mapping[str, str] = os.environ) -> Program:
    """Wireshark; without one, or without a display to show it on, tshark, which is said in one line on stderr.

    Raises `CaptureError` with what to do where there is neither.
    """
    search = environment.get("PATH")
    wireshark, tshark = (shutil.which(name, path=search) for name in ("wireshark", "tshark"))
    display = environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
    if wireshark is not None and display:
        return Program((wireshark, "-k", "-i", "-"))
    missing = "Wireshark is not installed" if wireshark is None else "there is no display for Wireshark here"
    if tshark is None:
        raise CaptureError(
            f"{missing}, and no tshark: {_INSTALL}; without either, "
            "`python -m captures show --follow --wait 60` beside the lab"
        )
    print(f"captures: {missing}: tshark shows the packets in this terminal, without the stream's", file=sys.stderr)
    return Program((tshark, "-l", "-r", "-", "-Y", _NO_STREAM, *_plugin(tshark)), in_terminal=True)


def _plugin(tshark: str) -> list[str]:
    """What lets tshark read the protocols, but those that it knows already, as after `make wireshark`."""
    try:
        asked = [tshark, "-G", "protocols"]
        told = subprocess.run(asked, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return []
    known = {line.rpartition("\t")[2] for line in told.stdout.splitlines()}
    scripts = (room(name) / f"lab_{name}.lua" for name in names() if name not in known)
    return [word for script in scripts if script.exists() for word in ("-X", f"lua_script:{script}")]


class _Over(Exception):  # noqa: N818  # no error: the lab is over before its run began
    """Raised in the thread that waits for a run."""


class Viewer:
    """A program with a run's packets going into it, in a thread of its own; `problem` says why they do not.

    Raises `CaptureError` if the program cannot be started.
    """

    def __init__(self, program: Program, run: str, runs: Path, before: frozenset[Path] | None) -> None:
        self.problem: str | None = None
        self._run, self._runs, self._before = run, runs, before
        self._lab_over = threading.Event()
        self._process = _started(program.argv, stdin=subprocess.PIPE)
        self._thread = threading.Thread(target=self._feed, name="packets for the viewer", daemon=True)
        self._thread.start()

    def _feed(self) -> None:
        stream = self._process.stdin
        assert stream is not None
        try:
            with stream:
                folder = self._await_run()
                if folder is not None:
                    pump(LiveRun(folder), PcapngPipe(stream))
        except BrokenPipeError:
            pass  # whoever closes it has seen enough
        except (CaptureError, OSError) as error:
            self.problem = str(error)

    def _await_run(self) -> Path | None:
        try:
            return await_running(self._run, _START_S, runs=self._runs, before=self._before, sleep=self._pause)
        except _Over:
            pass
        except CaptureError as error:
            self.problem = str(error)
        self._process.terminate()  # nothing will ever be in it
        return None

    def _pause(self, seconds: float) -> None:
        # There has been a look since it was over: a short lab may begin and end between two of them.
        if self._lab_over.is_set():
            raise _Over
        self._lab_over.wait(seconds)

    def lab_is_over(self) -> None:
        """Nothing begins any more: hand over what there is."""
        self._lab_over.set()
        self._thread.join(_END_S)

    def wait(self) -> int:
        """Until it is closed; its exit status."""
        return self._process.wait()

    @property
    def open(self) -> bool:
        """Whether it is still there."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it."""
        _end(self._process, _CLOSE_S)


def watch(program: Program, command: Sequence[str], run: str = LATEST, runs: Path = RUNS) -> int:
    """Show a lab while it runs: the one that a command starts, or without a command one that runs already.

    Returns the command's exit status, when the viewer has been closed; without a command 0. Raises `CaptureError` if one of
    the two cannot be started, or if there was no lab. However this ends, the command has ended before.
    """
    if command and shutil.which(command[0]) is None:
        raise CaptureError(f"cannot start {command[0]}: there is no such program")
    before = frozenset(path.resolve() for path in runs.glob("*") if path.is_dir()) if command else None
    with _signals_as_exits():
        # The viewer first: without one there is nothing to watch, so nothing is begun.
        viewer = Viewer(program, run, runs, before)
        try:
            status = _shown(program, viewer, command) if command else 0
            ended = viewer.wait()
        except BaseException:
            viewer.close()
            raise
    if viewer.problem is not None:
        raise CaptureError(viewer.problem)
    if ended > 0:
        print(f"captures: {program.name} ended with status {ended}", file=sys.stderr)
    return status


def _shown(program: Program, viewer: Viewer, command: Sequence[str]) -> int:
    lab = _started(command)
    try:
        status = lab.wait()
    except KeyboardInterrupt:
        with suppress(subprocess.TimeoutExpired):
            lab.wait(_END_S)  # Ctrl-C has reached it too
        raise
    finally:
        _end(lab, _END_S)
    viewer.lab_is_over()
    if viewer.open and not program.in_terminal:
        print("the lab is over; this ends when you close Wireshark", file=sys.stderr)
    return status


def _started(argv: Sequence[str], stdin: int | None = None) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(argv, stdin=stdin)
    except OSError as error:
        raise CaptureError(f"cannot start {argv[0]}: {error.strerror}") from error


def _end(process: subprocess.Popen[bytes], patience_s: float) -> None:
    """See to it that a process is over, whatever happens to us meanwhile: asked to end first, then killed."""
    try:
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
    finally:
        process.kill()
        process.wait()


@contextmanager
def _signals_as_exits() -> Iterator[None]:
    """Let what would end this process at once end it in order, so that it can end what it has started."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    # What is ignored, as SIGHUP is under nohup, stays so; only the main thread may ask for signals.
    chosen = _ENDING if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.getsignal(number) for number in chosen}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
