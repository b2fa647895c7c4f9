"""Wireshark on a lab while it runs: started by us, fed by `captures.pipe` through its standard input."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from captures.capture import CaptureError
from captures.chronicle.follow import LiveRun, await_running
from captures.chronicle.run import LATEST, RUNS
from captures.pipe import PcapngPipe, pump

_START_S = 60.0  # from a lab's command to its run's folder, set-up of a machine under load included
_END_S = 20.0  # for an interrupted lab to put its things away

REMOTE = "ssh HOST 'cd FOLDER && .venv/bin/python -m captures pipe --wait 60' | wireshark -k -i -"


def find_wireshark(environment: Mapping[str, str] = os.environ) -> str:
    """Wireshark's path. Raises `CaptureError` with what to do where there is none, or no display to show it on."""
    path = shutil.which("wireshark", path=environment.get("PATH"))
    if path is None:
        raise CaptureError(
            "Wireshark is not installed: `apt-get install wireshark`; in a terminal, "
            "`python -m captures pipe --wait 60 | tshark -r -` or `python -m captures show --follow --wait 60` beside the lab"
        )
    if not environment.get("DISPLAY") and not environment.get("WAYLAND_DISPLAY"):
        raise CaptureError(f"there is no display for Wireshark here: from a machine that has one, `{REMOTE}`")
    return path


class _Over(Exception):  # noqa: N818  # no error: the lab is over before its run began
    """Raised in the thread that waits for a run."""


class Viewer:
    """Wireshark with a run's packets going into it, in a thread of its own; `problem` says why they do not."""

    def __init__(self, wireshark: str, run: str, runs: Path, before: frozenset[Path] | None) -> None:
        self.problem: str | None = None
        self._run, self._runs, self._before = run, runs, before
        self._lab_over = threading.Event()
        self._process = subprocess.Popen([wireshark, "-k", "-i", "-"], stdin=subprocess.PIPE)
        self._thread = threading.Thread(target=self._feed, name="packets for Wireshark", daemon=True)
        self._thread.start()

    def _feed(self) -> None:
        stream = self._process.stdin
        assert stream is not None
        try:
            with stream:
                folder = self._await_run()
                if folder is not None:
                    pump(LiveRun(folder), PcapngPipe(stream))
        except CaptureError as error:
            self.problem = str(error)
        except BrokenPipeError:
            pass  # whoever closes Wireshark has seen enough

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
        self._process.terminate()
        self._process.wait()


def watch(wireshark: str, command: Sequence[str], run: str = LATEST, runs: Path = RUNS) -> int:
    """Show a lab in Wireshark: the one that a command runs, or without a command one that runs already.

    Returns the command's exit status, when Wireshark has been closed; without a command 0, or 2 if there was no lab.
    """
    before = frozenset(path.resolve() for path in runs.glob("*") if path.is_dir()) if command else None
    lab = subprocess.Popen(command) if command else None
    viewer = Viewer(wireshark, run, runs, before)
    try:
        status = 0 if lab is None else lab.wait()
        if lab is not None:
            viewer.lab_is_over()
            if viewer.open:
                print("the lab is over; this ends when you close Wireshark", file=sys.stderr)
        viewer.wait()
    except BaseException:
        # Ctrl-C has reached the lab and Wireshark too.
        if lab is not None:
            with suppress(subprocess.TimeoutExpired):
                lab.wait(_END_S)
            lab.kill()
        viewer.close()
        raise
    if viewer.problem is not None:
        raise CaptureError(viewer.problem)
    return status
