"""A role's output has bounds and never stops or delays it: full disks, pipes that nobody reads, closed descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agents.core.counters import Counters
from agents.mmcp.constants import PacketType
from agents.mmcp.messages import MNIdentifier, PoAIdentifier
from agents.runtime import output as output_module
from agents.runtime.control import request
from agents.runtime.output import RETRY, WAITING_MAXIMUM, Output, standard_error, standard_output
from testbed.host.sandbox import PROJECT_ROOT
from tests.bench.members import GROUP, GROUP_PORT, HERE, SESSION, packet

PIPE_BUFFER = 65536  # bytes


class Pipe:
    """An Output into a pipe, and the reading end."""

    def __init__(self, name: str = "test") -> None:
        self.counters = Counters()
        self.reading, writing = os.pipe()
        os.set_blocking(writing, False)
        self.output = Output(writing, name, self.counters, lambda lines: f"lost {lines}\n")

    async def read_until(self, end: bytes) -> bytes:
        """Everything up to ``end``, while the loop runs."""
        read = b""
        os.set_blocking(self.reading, False)
        async with asyncio.timeout(5):
            while not read.endswith(end):
                with contextlib.suppress(BlockingIOError):
                    read += os.read(self.reading, PIPE_BUFFER)
                await asyncio.sleep(0)
        return read


def test_what_finds_room_is_written_at_once() -> None:
    async def scene() -> None:
        pipe = Pipe()
        pipe.output.write("one\ntwo \udc80\n")
        assert os.read(pipe.reading, 100) == b"one\ntwo \\udc80\n"
        pipe.output.close()
        assert os.read(pipe.reading, 100) == b""
        os.close(pipe.reading)
        assert pipe.counters == {}

    asyncio.run(scene())


def test_an_unread_pipe_loses_the_newest_lines_and_says_so_when_it_is_read() -> None:
    """Lines stay whole and in order; those that were lost are told where they are missing."""

    async def scene() -> None:
        pipe = Pipe()
        total = 10_000
        for number in range(total):
            pipe.output.write(f"{number:063d}\n")
        lost = pipe.counters["dropped.output.test"]
        kept = total - lost
        assert 64 * kept == PIPE_BUFFER + WAITING_MAXIMUM
        read = await pipe.read_until(f"lost {lost}\n".encode())
        assert read.splitlines() == [*(b"%063d" % number for number in range(kept)), b"lost %d" % lost]
        pipe.output.write("healed\n")
        assert os.read(pipe.reading, 100) == b"healed\n"
        pipe.output.close()
        os.close(pipe.reading)
        assert pipe.counters == {"dropped.output.test": lost}

    asyncio.run(scene())


def test_lines_are_taken_again_when_half_of_the_bound_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output_module, "WAITING_MAXIMUM", 80)

    async def scene() -> bytes:
        pipe = Pipe()
        pipe.output.write("x" * (PIPE_BUFFER - 1) + "\n")
        for number in range(10):
            pipe.output.write(f"waiting {number}\n")
        assert pipe.counters["dropped.output.test"] == 2
        del pipe.output._waiting[:20]  # as if two had found room
        pipe.output.write("too early\n")
        del pipe.output._waiting[:30]
        pipe.output.write("in time\n")
        read = await pipe.read_until(b"in time\n")
        pipe.output.close()
        os.close(pipe.reading)
        return read

    assert asyncio.run(scene()).splitlines()[1:] == [
        b"waiting 5", b"waiting 6", b"waiting 7", b"lost 3", b"in time",
    ]  # fmt: skip


def test_one_write_of_more_lines_than_the_bound_into_a_full_pipe_keeps_the_first_of_them() -> None:
    async def scene() -> None:
        pipe = Pipe()
        pipe.output.write("x" * (PIPE_BUFFER - 1) + "\n")
        pipe.output.write("".join(f"{number:063d}\n" for number in range(6000)))
        kept = WAITING_MAXIMUM // 64
        lost = pipe.counters["dropped.output.test"]
        assert lost == 6000 - kept
        read = await pipe.read_until(b"lost %d\n" % lost)
        assert read.splitlines()[1:] == [*(b"%063d" % number for number in range(kept)), b"lost %d" % lost]
        pipe.output.write("healed\n")
        assert os.read(pipe.reading, 100) == b"healed\n"
        pipe.output.close()
        os.close(pipe.reading)

    asyncio.run(scene())


def test_one_line_longer_than_the_bound_is_lost_and_told_and_others_come_after_it() -> None:
    async def scene() -> None:
        pipe = Pipe()
        pipe.output.write("x" * (PIPE_BUFFER - 1) + "\n")
        pipe.output.write("y" * WAITING_MAXIMUM + "\n")
        assert pipe.counters == {"dropped.output.test": 1}
        assert (await pipe.read_until(b"lost 1\n")).splitlines()[1:] == [b"lost 1"]
        pipe.output.write("healed\n")
        assert os.read(pipe.reading, 100) == b"healed\n"
        pipe.output.close()
        os.close(pipe.reading)

    asyncio.run(scene())


@pytest.mark.parametrize("length", [63, 64])  # octets of a line: the pipe is full in the midst of one, or after one
def test_the_line_that_a_full_pipe_cuts_is_kept_and_whole_lines_up_to_the_bound(length: int) -> None:
    async def scene() -> None:
        pipe = Pipe()
        lines = [b"%0*d\n" % (length - 1, number) for number in range(20_000)]
        pipe.output.write(b"".join(lines).decode())
        assert WAITING_MAXIMUM - length < len(pipe.output._waiting) <= WAITING_MAXIMUM
        lost = pipe.counters["dropped.output.test"]
        assert lost > 0
        read = await pipe.read_until(b"lost %d\n" % lost)
        assert read == b"".join(lines[: len(lines) - lost]) + b"lost %d\n" % lost
        pipe.output.close()
        os.close(pipe.reading)

    asyncio.run(scene())


def test_an_output_that_is_closed_is_not_tried_again() -> None:
    async def scene() -> None:
        pipe = Pipe()
        os.close(pipe.reading)
        pipe.output.write("one\n")
        retry = pipe.output._retry
        assert retry is not None
        pipe.output.close()
        assert retry.cancelled()

    asyncio.run(scene())


def test_an_output_without_a_reader_is_tried_again_now_and_then() -> None:
    async def scene() -> None:
        pipe = Pipe()
        os.close(pipe.reading)
        pipe.output.write("one\n")
        loop = asyncio.get_running_loop()
        assert pipe.output._retry is not None
        assert 0 < pipe.output._retry.when() - loop.time() <= RETRY
        pipe.output._go_on()
        assert pipe.output._retry is not None
        pipe.output.close()
        assert pipe.output._retry is None

    asyncio.run(scene())


def test_a_pipe_that_loses_its_reader_while_lines_wait_is_no_busy_loop() -> None:
    async def scene() -> None:
        pipe = Pipe()
        pipe.output.write("x" * (2 * PIPE_BUFFER) + "\n")
        assert pipe.output._awaits_room
        os.close(pipe.reading)
        async with asyncio.timeout(5):
            while pipe.output._retry is None:  # noqa: ASYNC110  what is waited for is no asyncio event
                await asyncio.sleep(0)
        assert not pipe.output._awaits_room
        pipe.output.close()

    asyncio.run(scene())


def test_standard_output_that_is_closed_takes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    output = standard_output(Counters())
    assert os.fstat(output._descriptor).st_rdev == Path(os.devnull).stat().st_rdev
    output.close()


def test_standard_error_is_not_waited_for_and_whoever_has_it_too_still_waits() -> None:
    async def scene() -> None:
        reading, writing = os.pipe()
        kept = os.dup(2)
        os.dup2(writing, 2)
        try:
            output = standard_error(Counters())
            assert (os.get_blocking(2), os.get_blocking(output._descriptor)) == (True, False)
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        output.write("x" * (2 * PIPE_BUFFER) + "\n")  # more than a pipe takes
        assert os.read(reading, 1) == b"x"
        output.close()
        os.close(reading)
        os.close(writing)

    asyncio.run(scene())


# --- roles ------------------------------------------------------------------------------------------------------------

MEMBERS = 8000  # whose notices are more than a pipe and the bound hold together


@contextlib.contextmanager
def session_manager(folder: Path, *shell: str) -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """An SM whose output nobody reads after its first line, and a client's socket connected to it."""
    with contextlib.ExitStack() as stack:
        here = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        here.bind((HERE, 0))
        here.settimeout(5)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind((HERE, 0))
            port = free.getsockname()[1]
        configuration = folder / "sm.toml"
        configuration.write_text(
            f'address = "{HERE}"\nport = {port}\n'
            f'[[sessions]]\nsession_id = {SESSION}\ngroup = "{GROUP}"\nport = {GROUP_PORT}\n'
            f'[runtime]\nnode = "sm"\ncontrol = "{folder}/control"\ntrace = "{folder}/trace"\n'
        )
        words = [*shell, sys.executable, "-m", "agents", "mmcp", "sm", "--config", str(configuration)]
        process = stack.enter_context(subprocess.Popen(words, cwd=PROJECT_ROOT, stdout=subprocess.PIPE))
        stack.callback(process.kill)
        assert process.stdout is not None
        if not shell:
            assert process.stdout.readline() == b"ready\n"
        here.connect((HERE, port))
        yield process, here


def join(here: socket.socket, count: int) -> None:
    """As many MNs join, each answered before the next."""
    for number in range(count):
        here.send(packet(PacketType.SJR, MNIdentifier(b"mn%d" % number), PoAIdentifier(b"poa1")))
        assert here.recv(100)[:1] == bytes([PacketType.SJC])


def await_that(holds: Callable[[], bool]) -> None:
    """Look every 10 ms; at most 5 s."""
    end = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def counters(folder: Path) -> dict[str, int]:
    found = request(folder / "control", {"command": "counters"})["counters"]
    assert isinstance(found, dict)
    return found


def test_a_role_whose_notices_nobody_reads_goes_on(tmp_path: Path) -> None:
    (tmp_path / "trace").symlink_to(os.devnull)
    with session_manager(tmp_path) as (process, here):
        join(here, MEMBERS)
        lost = counters(tmp_path)["dropped.output.notices"]
        assert lost > 0
        process.send_signal(signal.SIGTERM)  # what waits is written as the pipe has room, the rest is lost
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
        assert len(lines) < MEMBERS
        assert all(line.startswith(b"mn-joined ") for line in lines[:-1])
        assert process.wait() == 0


def test_a_role_on_a_full_disk_goes_on_and_its_trace_heals(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    with session_manager(tmp_path) as (process, here):
        assert process.stdout is not None
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (trace.stat().st_size + 10, hard))
        join(here, MEMBERS // 4)
        lost = counters(tmp_path)["dropped.output.trace"]
        assert lost > 0
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        process.stdout.close()
        await_that(lambda: "trace-lost" in trace.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    rows = [json.loads(line) for line in trace.read_text().splitlines()]
    assert [row["lines"] for row in rows if row["event"] == "trace-lost"] == [lost]
    assert rows[-1]["dropped.output.trace"] == lost


def test_a_role_without_standard_output_answers(tmp_path: Path) -> None:
    with session_manager(tmp_path, "sh", "-c", 'exec "$@" >&-', "sh") as (process, here):
        assert process.stdout is not None
        assert process.stdout.read() == b""  # closed once the role has been started
        await_that((tmp_path / "control").exists)
        counters(tmp_path)  # answered once all ports are open
        join(here, 3)
