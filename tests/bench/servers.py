"""A role and the bare loop (bare_loop.py) as processes on 127.0.0.1, and the client that measures both in turns."""

from __future__ import annotations

import contextlib
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed.host.sandbox import PROJECT_ROOT
from tests.bench.members import GROUP, GROUP_PORT, HERE, MEMBERS, ROUNDS, SESSION

WINDOW = 128  # datagrams on their way: a socket's buffer holds more
ATTEMPTS = 40
BUSY = 0.9  # a server that had less to do was not measured, its client was
BUSY_BARE = 0.7  # to take reports is cheaper than to send them
POLLS_MAXIMUM = 5_000_000  # of an empty socket: some seconds


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(count)]
        for each in sockets:
            each.bind((HERE, 0))
        return [each.getsockname()[1] for each in sockets]


@dataclass(frozen=True, slots=True)
class Measured:
    """Datagrams per second, and the server's own time for each."""

    per_second: float
    server_us: float

    @property
    def busy(self) -> float:
        """The part of the time in which the server had a processor and something to do."""
        return self.per_second * self.server_us / 1e6


class Server:
    """A process that listens on ``port``, and a client's socket connected to it."""

    def __init__(self, stack: contextlib.ExitStack, port: int, client_port: int, *words: str) -> None:
        self.socket = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.socket.bind((HERE, client_port))
        self.socket.connect((HERE, port))
        self.socket.setblocking(False)
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, *words], cwd=PROJECT_ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
            )
        )
        stack.callback(process.kill)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        # What it says later is taken by a reader of its own: not by a pipe that fills, nor by the client's process.
        reader = subprocess.Popen(["cat"], stdin=process.stdout, stdout=subprocess.DEVNULL)
        stack.callback(reader.wait)
        stack.callback(process.kill)
        self._threads = Path(f"/proc/{process.pid}/task")

    def processor_ns(self) -> int:
        return sum(int((each / "schedstat").read_text().split()[0]) for each in self._threads.iterdir())

    def measure(self, work: Callable[[socket.socket], int]) -> Measured:
        """``work`` gives how many datagrams it has sent, when all are taken."""
        used, began = self.processor_ns(), time.perf_counter()
        count = work(self.socket)
        whole, used = time.perf_counter() - began, self.processor_ns() - used
        return Measured(count / whole, used / count / 1000)


# The client never sleeps: a server that had to wake it for each answer would pay more for that than for the answer, and
# the faster the server, the less it would.


def take(here: socket.socket) -> bytes:
    """The next datagram, waited for busily."""
    for _ in range(POLLS_MAXIMUM):
        try:
            return here.recv(2048)
        except BlockingIOError:
            continue
    raise TimeoutError("the server does not answer")


def exchange(here: socket.socket, requests: Sequence[bytes]) -> int:
    """Send all, each of which is answered, with WINDOW on their way."""
    for request in requests[:WINDOW]:
        here.send(request)
    recv, send = here.recv, here.send
    for request in requests[WINDOW:]:
        try:
            recv(2048)  # not take(): where the bare loop is measured, the client must not be the slower one
        except BlockingIOError:
            take(here)
        send(request)
    for _ in requests[:WINDOW]:
        take(here)
    return len(requests)


def pour(here: socket.socket, reports: Sequence[bytes], marker: bytes) -> int:
    """Send all, none of which is answered, and after each half WINDOW a marker that is, to know what has been taken."""
    half = WINDOW // 2
    here.send(marker)
    for begin in range(0, len(reports), half):
        for report in reports[begin : begin + half]:
            here.send(report)
        here.send(marker)
        take(here)
    take(here)
    return len(reports)


def told(name: str, target: float | None, ours: list[Measured], bare: list[Measured]) -> float:
    """Print medians and ratios; return the median of the pairs' ratios of rates."""
    ratio = statistics.median(a.per_second / b.per_second for a, b in zip(ours, bare, strict=True))
    own = statistics.median(b.server_us / a.server_us for a, b in zip(ours, bare, strict=True))
    print(
        f"\n{name}, {MEMBERS} members, {len(ours)} pairs: ratio {ratio:.2f} "
        f"({'no target' if target is None else f'target {target:g}'}), "
        f"by the servers' own time {own:.2f}"
    )
    for who, rows in (("ours", ours), ("bare loop", bare)):
        rates = [row.per_second for row in rows]
        each = statistics.median(row.server_us for row in rows)
        busy = statistics.median(row.busy for row in rows)
        print(
            f"  {who:9} {statistics.median(rates):9.0f}/s (from {min(rates):.0f} to {max(rates):.0f}), "
            f"server {each:.2f} us each, {busy:.0%} busy"
        )
    return ratio


def nothing(_here: socket.socket) -> None:
    """What is done before a measurement that needs no preparation."""


def in_turns(
    ours: Server,
    bare: Server,
    work: Callable[[socket.socket], int],
    prepare: Callable[[socket.socket], object] = nothing,
) -> tuple[list[Measured], list[Measured]]:
    """ROUNDS pairs in which the servers were the slow ones; ``prepare`` comes before each and is not measured.

    Where something else has the processors, the client is starved, both servers wait for it, and the ratio looks better
    than it is: such pairs do not count.
    """

    def measured(server: Server) -> Measured:
        prepare(server.socket)
        return server.measure(work)

    for server in (ours, bare):
        measured(server)  # warm up
    pairs: list[tuple[Measured, Measured]] = []
    for _ in range(ATTEMPTS):
        pair = (measured(ours), measured(bare))
        if pair[0].busy >= BUSY and pair[1].busy >= BUSY_BARE:
            pairs.append(pair)
            if len(pairs) == ROUNDS:
                return [own for own, _ in pairs], [other for _, other in pairs]
    pytest.fail(f"{len(pairs)} of {ATTEMPTS} pairs count: something else runs here; measure again when it has ended")


@contextlib.contextmanager
def servers(directory: Path, role: str) -> Iterator[tuple[Server, Server, list[int]]]:
    """The role and the bare loop; the ports: SM's, LMC's."""
    sm_port, lmc_port, bare_port, other = free_ports(4)
    table = f'[[controllers]]\nname = "lmc1"\naddress = "{HERE}"\nport = {lmc_port}\npoints_of_attachment = ["poa1"]\n'
    sm = f'address = "{HERE}"\nport = {sm_port}\n[[sessions]]\nsession_id = {SESSION}\ngroup = "{GROUP}"\nport = {GROUP_PORT}\n'
    lmc = (
        f'name = "lmc1"\ninterface = "lo"\nsubnet = "127.0.0.0/8"\nsession_manager = "{HERE}"\n'
        f"session_manager_port = {sm_port}\nsessions = [{SESSION}]\ntimers.srt_s = 3600.0\n"
        "timers.spt_s = 3600.0\n"
    )
    path = directory / f"{role}.toml"
    path.write_text((sm if role == "sm" else lmc) + table)
    port, client_port = (sm_port, other) if role == "sm" else (lmc_port, sm_port)
    with contextlib.ExitStack() as stack:
        bare = Server(stack, bare_port, 0, "tests/bench/bare_loop.py", str(bare_port))
        here = Server(stack, port, client_port, "-m", "agents", "mmcp", role, "--config", str(path))
        yield here, bare, [sm_port, lmc_port]
