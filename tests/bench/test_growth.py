"""What a member costs: memory, and what grows with the number of members."""

from __future__ import annotations

import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from agents.core.agent import Action, Agent, Endpoint, GroupJoined, Notify, SendDatagram
from agents.mmcp.constants import PacketType
from agents.mmcp.messages import (
    Membership,
    MNIdentifier,
    PoAIdentifier,
    decode,
    multicast_address,
)
from tests.bench.members import (
    AT,
    GROUP,
    GROUP_PORT,
    LMC1,
    LMC2,
    MEMBERS,
    ROUNDS,
    STATUS,
    controller,
    fill,
    mn_id,
    packet,
    session_manager,
)

pytestmark = pytest.mark.timeout(300)

MEMBER_BYTES = 2048
GROWTH = 1.5
FEW, MANY = 1_000, 100_000


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
    """The time of one operation. The port of an HTA is that of the HCT just sent."""
    began = time.perf_counter()
    port = ""
    for steps in rows:
        for data, source in steps:
            agent.receive(data, source, 2.0, port if data[0] == PacketType.HTA else "")
            for action in agent.take_actions():
                port = getattr(action, "port", "") or port
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
    # The least of each: what else this machine does can only add, and most to those that do not fit its cache.
    few, many = (min(times) * 1e6 for times in zip(*pairs, strict=True))
    ratio = many / few
    print(f"\n{name:34} {few:7.2f} us of {FEW}, {many:7.2f} us of {MANY}: ratio {ratio:.2f} (target {GROWTH:g})")
    assert ratio <= GROWTH


# --- what concerns all members at once --------------------------------------------------------------------------------

# Such a round costs each member its share, so it is that share that must not grow; and while it lasts nothing else is
# answered, so no turn of it may take as long as a peer waits before it sends again (CTT).
TURN_S = 0.25
SHARE_GROWTH = 4.0  # 100,000 records and what is sent about them do not fit a processor's cache


@dataclass(frozen=True, slots=True)
class Round:
    """A time in which every member has its turn: from ``begin`` to ``end`` (s), after all have been heard at 1 s."""

    role: Callable[[], Agent]
    join: PacketType
    sent: PacketType | None  # what is sent about each member, or to each
    begin: float
    end: float


ROUNDS_OF_ALL = {  # SRT is 10 s, SPT 30 s
    "LMC aggregates": Round(controller, PacketType.LJR, PacketType.ASR, 9.9, 11.9),
    "LMC looks at silent MNs": Round(controller, PacketType.LJR, PacketType.USP, 30.9, 32.9),
    "LMC gives silent MNs up": Round(controller, PacketType.LJR, None, 120.9, 122.9),
    "SM looks at silent MNs": Round(session_manager, PacketType.SJR, PacketType.USP, 30.9, 32.9),
}


def about(action: Action, sent: PacketType | None) -> int:
    """How many members an action is about: those named in an ASR, the receiver of a probe, or one that is given up."""
    if sent is None or not isinstance(action, SendDatagram):
        return int(sent is None and isinstance(action, Notify))
    if action.data[0] != sent:
        return 0
    named = decode(action.data).parameters if sent is PacketType.ASR else ()
    return sum(isinstance(part, MNIdentifier) for part in named) if sent is PacketType.ASR else 1


def measured_round(what: Round, count: int) -> tuple[float, float]:
    """Each member's share of the round, and the longest turn (s)."""
    agent = what.role()
    agent.keeps_history = False
    fill(agent, what.join, count)
    while (due := agent.next_deadline()) is not None and due < what.begin:
        agent.expire(due)
        agent.take_actions()
    turns: list[float] = []
    seen = 0
    gc.collect()
    gc.disable()
    try:
        while (due := agent.next_deadline()) is not None and due < what.end:
            began = time.perf_counter()
            agent.expire(due)
            turns.append(time.perf_counter() - began)
            seen += sum(about(action, what.sent) for action in agent.take_actions())
    finally:
        gc.enable()
    assert seen == count
    return sum(turns) / count, max(turns)


@pytest.mark.parametrize("name", ROUNDS_OF_ALL)
def test_no_members_share_of_a_round_grows(name: str) -> None:
    pairs = [[measured_round(ROUNDS_OF_ALL[name], count) for count in (FEW, MANY)] for _ in range(3)]
    few, many = (statistics.median(pair[which][0] for pair in pairs) * 1e6 for which in (0, 1))
    ratio = statistics.median(pair[1][0] / pair[0][0] for pair in pairs)
    turn = min(pair[1][1] for pair in pairs)  # what else runs here only makes a turn longer
    print(
        f"\n{name:34} {few:7.2f} us for each of {FEW}, {many:7.2f} us of {MANY}: ratio {ratio:.2f} (target {SHARE_GROWTH:g}); "
        f"longest turn {turn * 1e3:.0f} ms (target {TURN_S * 1e3:g})"
    )
    assert ratio <= SHARE_GROWTH
    assert turn <= TURN_S
