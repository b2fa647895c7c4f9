"""Roles forked from a nursery are processes like any other: found by their words, ended by signals, heard in their log."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed.host.checks import eventually
from testbed.host.forking import ForkedProcess, Nursery
from testbed.host.processes import ProcessError, ProcessTable

# What is asked for is done by this in place of agents.
PROGRAM = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {project!r})
from agents.runtime.nursery import serve
def run(words):
    print("did", *words, Path("/proc/self/cmdline").read_bytes().split(b"\\0")[2:5], flush=True)
    if words[0] == "exit":
        sys.exit(int(words[1]))
    if words[0] == "raise":
        raise RuntimeError(words[1])
    if words[0] == "wait":
        signal.pause()
serve(Path(sys.argv[1]), run)
"""


def _unused(node: str, argv: Any, **options: Any) -> subprocess.Popen[bytes]:
    raise AssertionError(node, argv, options)


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    if os.geteuid() != 0:
        pytest.skip("only root may go into namespaces that are not of its own user namespace")
    project = str(Path(__file__).resolve().parents[2])
    with ProcessTable(tmp_path / "logs", _unused) as processes:
        yield Nursery(processes, [sys.executable, "-c", PROGRAM.format(project=project)], tmp_path / "socket")


def fork(nursery: Nursery, log: Path, *words: str) -> ForkedProcess:
    with log.open("ab") as stream:
        return nursery.fork(words, os.getpid(), stream.fileno())


def test_what_a_forked_process_says_and_how_it_ends_is_known(nursery: Nursery, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert fork(nursery, log, "exit", "7").wait(5) == 7
    assert fork(nursery, log, "hello").wait(5) == 0
    assert fork(nursery, log, "raise", "nonsense").wait(5) == 2
    said = log.read_text()
    assert "did exit 7 [b'agents', b'exit', b'7']" in said  # its command line is its own
    assert "did hello" in said
    assert "error: RuntimeError: nonsense" in said


def test_a_forked_process_can_be_watched_and_signalled(nursery: Nursery, tmp_path: Path) -> None:
    logs = [tmp_path / f"log-{number}" for number in range(5)]  # in one their lines would mix
    waiting = [fork(nursery, log, "wait", str(number)) for number, log in enumerate(logs)]

    def all_there() -> tuple[bool, str]:
        said = [log.read_text() for log in logs]
        return all("did wait" in each for each in said), str(said)

    eventually("all to be there", all_there, 10)
    assert [process.poll() for process in waiting] == [None] * 5
    assert all(os.getpgid(process.pid) == process.pid for process in waiting)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting[0].wait(0.01)
    waiting[3].send_signal(signal.SIGTERM)
    assert waiting[3].wait(5) == -signal.SIGTERM
    waiting[3].send_signal(signal.SIGTERM)  # it has ended: nothing happens, whoever has its number now
    assert [process.poll() for process in waiting] == [None, None, None, -signal.SIGTERM, None]
    for process in waiting:
        process.send_signal(signal.SIGKILL)
    assert {process.wait(5) for process in waiting} == {-signal.SIGKILL, -signal.SIGTERM}


def test_a_caller_that_goes_away_is_not_waited_for(nursery: Nursery, tmp_path: Path) -> None:
    fork(nursery, tmp_path / "log", "hello")  # so that it runs
    for request in (b'{"status": 1}', b""):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
            caller.connect(str(tmp_path / "socket"))
            if request:
                caller.send(request)
    assert fork(nursery, tmp_path / "log", "hello").wait(5) == 0


def test_a_descriptor_is_open_as_long_as_somebody_may_wait_for_it(nursery: Nursery, tmp_path: Path) -> None:
    def watched() -> int:
        return sum(
            str(path.readlink()) == "anon_inode:[pidfd]" for path in Path("/proc/self/fd").iterdir() if path.exists()
        )

    before = watched()
    process = fork(nursery, tmp_path / "log", "exit", "3")
    assert process.wait(5) == 3
    assert watched() == before + 1
    del process
    gc.collect()
    assert watched() == before


def test_what_cannot_be_forked_is_said(nursery: Nursery, tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as log, pytest.raises(ProcessError, match=r"nursery refused .*No such file"):
        nursery.fork(["hello"], 2**22 + 1, log.fileno())
    assert fork(nursery, tmp_path / "log", "hello").wait(5) == 0  # and it goes on
