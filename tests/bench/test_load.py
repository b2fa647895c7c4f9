"""How many MNs an SM and an LMC carry: their rates against a bare loop's, their memory, and what grows with the members.

Rates are ratios to a loop of the same kind without a protocol (bare_loop.py), since they say more than rates: server and
client are separate processes on 127.0.0.1, the client is the same for both, and the two are measured in turns. Beside each
rate stands the server's own time per datagram, which the client cannot hide.
"""

from __future__ import annotations

import contextlib
import gc
import socket
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agents.core.agent import Agent, Endpoint, GroupJoined
from agents.mmcp.configuration import (
    Controller,
    LocalMobilityControllerConfiguration,
    Session,
    SessionManagerConfiguration,
)
from agents.mmcp.constants import PacketType
from agents.mmcp.local_mobility_controller import LocalMobilityController
from agents.mmcp.messages import (
    DataChannelStatus,
    Membership,
    Message,
    MNIdentifier,
    Parameter,
    PoAIdentifier,
    decode,
    encode,
    lmc_address,
    multicast_address,
)
from agents.mmcp.session_manager import SessionManager
from captures.dissectors import mmcp as judge
from testbed.sandbox import PROJECT_ROOT

pytestmark = pytest.mark.timeout(300)

MEMBERS = 10_000
WINDOW = 128  # datagrams on their way: a socket's buffer holds more
ROUNDS = 7
ATTEMPTS = 40
BUSY = 0.9  # a server that had less to do was not measured, its client was
BUSY_BARE = 0.7  # to take reports is cheaper than to send them
POLLS_MAXIMUM = 5_000_000  # of an empty socket: some seconds

ROUND_TRIP_RATIO = 0.5
INTAKE_RATIO = 0.5
MEMBER_BYTES = 2048
GROWTH = 1.5
FEW, MANY = 1_000, 100_000
CODEC_PER_S = 200_000

HERE, GROUP, GROUP_PORT, SESSION = "127.0.0.1", "239.1.1.1", 5004, 1
STATUS = DataChannelStatus(123_456, 60)


def packet(kind: PacketType, *parameters: Parameter, accepted: bool = False) -> bytes:
    return encode(Message(kind, SESSION, parameters, accepted))


def mn_id(number: int) -> MNIdentifier:
    return MNIdentifier(b"mn%06d" % number)


# --- servers and client -----------------------------------------------------------------------------------------------


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
        self._statistics = Path(f"/proc/{process.pid}/schedstat")

    def processor_ns(self) -> int:
        return int(self._statistics.read_text().split()[0])

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


def told(name: str, target: float, ours: list[Measured], bare: list[Measured]) -> float:
    """Print medians and ratios; return the median of the pairs' ratios of rates."""
    ratio = statistics.median(a.per_second / b.per_second for a, b in zip(ours, bare, strict=True))
    own = statistics.median(b.server_us / a.server_us for a, b in zip(ours, bare, strict=True))
    print(
        f"\n{name}, {MEMBERS} members, {len(ours)} pairs: ratio {ratio:.2f} (target {target:g}), "
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


def test_session_join_round_trips(tmp_path: Path) -> None:
    """SJRs of members, as each renewal is one; and of MNs that have left, of whom the SM makes a record and tells."""
    with servers(tmp_path, "sm") as (sm, bare, (_, lmc_port)):
        announcement = packet(PacketType.SJR, MNIdentifier(b"lmc1"), lmc_address(Endpoint(HERE, lmc_port)))
        exchange(sm.socket, [announcement])
        requests = [packet(PacketType.SJR, mn_id(n), PoAIdentifier(b"poa1")) for n in range(MEMBERS)]
        leaves = [packet(PacketType.ULR, mn_id(n)) for n in range(MEMBERS)]
        sm.socket.send(requests[0])
        answer = decode(take(sm.socket))
        assert (answer.packet, answer.accepted, answer.lmc) == (PacketType.SJC, True, Endpoint(HERE, lmc_port))
        rows = in_turns(sm, bare, lambda here: exchange(here, requests))
        ratio = told("SJR -> SJC round trips at the SM", ROUND_TRIP_RATIO, *rows)
        rows = in_turns(sm, bare, lambda here: exchange(here, requests), lambda here: exchange(here, leaves))
        told("the same, each of an MN that had left", ROUND_TRIP_RATIO, *rows)
    assert ratio >= ROUND_TRIP_RATIO


def test_status_report_intake(tmp_path: Path) -> None:
    """The client has the SM's port: it is the LMC's SM first, then its MNs."""
    with servers(tmp_path, "lmc") as (lmc, bare, _):
        assert decode(take(lmc.socket)).packet is PacketType.SJR
        lmc.socket.send(packet(PacketType.SJC, multicast_address(GROUP, GROUP_PORT), accepted=True))
        exchange(lmc.socket, [packet(PacketType.LJR, mn_id(n)) for n in range(MEMBERS)])
        reports = [packet(PacketType.USR, mn_id(n), STATUS) for n in range(MEMBERS)]
        stranger = packet(PacketType.ULR, MNIdentifier(b"nobody"))
        ours, others = in_turns(lmc, bare, lambda here: pour(here, reports, stranger))
        ratio = told("USR intake at the LMC", INTAKE_RATIO, ours, others)
        lmc.socket.send(packet(PacketType.USP))
        aggregate = decode(take(lmc.socket))
        assert (aggregate.packet, aggregate.members) == (PacketType.ASR, MEMBERS)
    assert ratio >= INTAKE_RATIO


# --- memory and growth, without sockets -------------------------------------------------------------------------------


AT = Endpoint("10.0.1.100", 24793)
SM, LMC1, LMC2 = (Endpoint(f"10.0.{n}.2", 24793) for n in (20, 1, 2))
TABLE = [Controller("lmc1", LMC1.address, ["poa1"]), Controller("lmc2", LMC2.address, ["poa2"])]


def session_manager() -> Agent:
    """An SM to which both LMCs have announced themselves."""
    agent = SessionManager(SessionManagerConfiguration(SM.address, [Session(SESSION, GROUP, GROUP_PORT)], TABLE))
    agent.start(0.0)
    for row in TABLE:
        announcement = packet(PacketType.SJR, MNIdentifier(row.name.encode()), lmc_address(row.endpoint))
        agent.receive(announcement, row.endpoint, 0.0)
    agent.take_actions()
    return agent


def controller() -> Agent:
    """lmc1, in its session."""
    agent = LocalMobilityController(
        LocalMobilityControllerConfiguration("lmc1", "none", "10.0.1.0/24", SM.address, TABLE, [SESSION])
    )
    agent.start(0.0)
    agent.receive(packet(PacketType.SJC, multicast_address(GROUP, GROUP_PORT), accepted=True), SM, 0.0)
    agent.take_actions()
    return agent


def fill(agent: Agent, kind: PacketType, count: int) -> None:
    """Let MNs join, each from an endpoint of its own, and report."""
    for number in range(count):
        source = Endpoint(f"10.1.{number >> 8 & 255}.{number & 255}", 24793)
        point = (PoAIdentifier(b"poa1"),) if kind is PacketType.SJR else ()
        agent.receive(packet(kind, mn_id(number), *point), source, 1.0)
        agent.receive(packet(PacketType.USR, mn_id(number), STATUS), source, 1.0)
        agent.take_actions()


@pytest.mark.parametrize(("role", "kind"), [(session_manager, PacketType.SJR), (controller, PacketType.LJR)])
def test_memory_per_member(role: Callable[[], Agent], kind: PacketType) -> None:
    fill(role(), kind, 10)  # what is cached once for all
    tracemalloc.start()
    try:
        agent = role()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        fill(agent, kind, MEMBERS)
        gc.collect()
        each = (tracemalloc.get_traced_memory()[0] - before) / MEMBERS
    finally:
        tracemalloc.stop()
    print(f"\nmemory per member at {role.__name__}: {each:.0f} bytes of {MEMBERS} (target {MEMBER_BYTES})")
    assert 0 < each <= MEMBER_BYTES


# What a member costs: (name, role, how it is filled, one operation's datagrams as (data, source)).
Step = tuple[bytes, Endpoint]
Operation = Callable[[int], Sequence[Step]]


def _aggregate(number: int) -> Sequence[Step]:
    rows = [part for n in range(number, number + 20) for part in (mn_id(n), STATUS)]
    return [(packet(PacketType.ASR, Membership(20), *rows), LMC1)]


OPERATIONS: dict[str, tuple[Callable[[], Agent], PacketType, Operation]] = {
    "SM join": (
        session_manager, PacketType.SJR,
        lambda n: [(packet(PacketType.SJR, mn_id(n), PoAIdentifier(b"poa1")), AT)],
    ),
    "SM status report": (session_manager, PacketType.SJR, lambda n: [(packet(PacketType.USR, mn_id(n), STATUS), AT)]),
    "SM aggregate of 20": (session_manager, PacketType.SJR, _aggregate),
    "SM leave and join": (
        session_manager, PacketType.SJR,
        lambda n: [(packet(PacketType.ULR, mn_id(n)), AT), (packet(PacketType.SJR, mn_id(n)), AT)],
    ),
    "SM handover": (
        session_manager, PacketType.SJR,
        lambda n: [(packet(PacketType.HIR, mn_id(n), PoAIdentifier(b"poa2")), AT)],
    ),
    "LMC join": (controller, PacketType.LJR, lambda n: [(packet(PacketType.LJR, mn_id(n)), AT)]),
    "LMC status report": (controller, PacketType.LJR, lambda n: [(packet(PacketType.USR, mn_id(n), STATUS), AT)]),
    "LMC leave and join": (
        controller, PacketType.LJR,
        lambda n: [(packet(PacketType.ULR, mn_id(n)), AT), (packet(PacketType.LJR, mn_id(n)), AT)],
    ),
    "LMC handover away and back": (
        controller, PacketType.LJR,
        lambda n: [
            (packet(PacketType.HIR, mn_id(n), PoAIdentifier(b"poa2")), AT),
            (packet(PacketType.HTA, accepted=True), LMC2),
            (packet(PacketType.LJR, mn_id(n)), AT),
        ],
    ),
    "LMC context, its MN and its leave": (
        controller, PacketType.LJR,
        lambda n: [
            (packet(PacketType.HCT, MNIdentifier(b"new%06d" % n), multicast_address(GROUP, GROUP_PORT)), LMC2),
            (packet(PacketType.LJR, MNIdentifier(b"new%06d" % n)), AT),
            (packet(PacketType.ULR, MNIdentifier(b"new%06d" % n)), AT),
        ],
    ),
}  # fmt: skip
REPEATS = 2_000


def seconds(agent: Agent, rows: Sequence[Sequence[Step]]) -> float:
    """The time of one operation. The channel of an HTA is that of the HCT just sent."""
    began = time.perf_counter()
    channel = 0
    for steps in rows:
        for data, source in steps:
            agent.receive(data, source, 2.0, channel if data[0] == PacketType.HTA else 0)
            for action in agent.take_actions():
                channel = getattr(action, "channel", 0) or channel
        agent.next_deadline()
    return (time.perf_counter() - began) / len(rows)


@pytest.mark.parametrize("name", OPERATIONS)
def test_nothing_grows_with_the_members(name: str) -> None:
    role, kind, operation = OPERATIONS[name]
    agents: dict[int, tuple[Agent, Sequence[Sequence[Step]]]] = {}
    for count in (FEW, MANY):
        agent = role()
        fill(agent, kind, count)
        agent.handle(GroupJoined(GROUP, "none", succeeded=True), 1.0)
        numbers = [turn * 7919 % (count - 20) for turn in range(REPEATS)]  # all over the table
        agents[count] = (agent, [operation(number) for number in numbers])
    gc.collect()
    gc.freeze()  # a collection's cost is the interpreter's, and is spread over what is allocated
    try:
        pairs = [(seconds(*agents[FEW]), seconds(*agents[MANY])) for _ in range(ROUNDS)]
    finally:
        gc.unfreeze()
    few, many = (statistics.median(times) * 1e6 for times in zip(*pairs, strict=True))
    ratio = statistics.median(many / few for few, many in pairs)
    print(f"\n{name:34} {few:7.2f} us of {FEW}, {many:7.2f} us of {MANY}: ratio {ratio:.2f} (target {GROWTH:g})")
    assert ratio <= GROWTH


# --- codec ------------------------------------------------------------------------------------------------------------


def rate(work: Callable[[bytes], Any], data: bytes, times: int) -> float:
    """How often a second."""
    began = time.perf_counter()
    for _ in range(times):
        work(data)
    return times / (time.perf_counter() - began)


def test_codec() -> None:
    """Three parameters, 40 bytes; the judge is scapy's."""
    data = packet(PacketType.ASR, Membership(1), mn_id(1), STATUS)

    def judged(data: bytes) -> None:
        assert judge.build(judge.dissect(data)) == data

    assert encode(decode(data)) == data
    rows = [(rate(lambda data: encode(decode(data)), data, 40_000), rate(judged, data, 500)) for _ in range(ROUNDS)]
    ours, scapys = (statistics.median(rates) for rates in zip(*rows, strict=True))
    print(
        f"\ndecode + encode of {len(data)} bytes with 3 parameters: {ours:.0f}/s (target {CODEC_PER_S}), "
        f"scapy {scapys:.0f}/s, ratio {ours / scapys:.0f}"
    )
    assert ours >= CODEC_PER_S
