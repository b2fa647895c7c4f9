"""Random and mutated datagrams for one role, and what must be true after each and in the end.

Nothing raises; what is malformed, of another session or never meant for the role gets no answer; and memory stays flat:
time passes between datagrams, so that members that a lucky mutation has made fail and are forgotten.
"""

from __future__ import annotations

import gc
import random
from dataclasses import dataclass

from agents.core.agent import Endpoint, GroupJoined, JoinGroup, SendDatagram
from agents.core.errors import DecodeError
from agents.core.timers import TimerKey
from agents.core.timers import Timers as RoleTimers
from agents.mmcp.constants import DEFAULT_PORT, PacketType, Profile
from agents.mmcp.local_mobility_controller import LocalMobilityController
from agents.mmcp.messages import (
    Membership,
    Message,
    MNIdentifier,
    MulticastAddress,
    Parameter,
    PoAIdentifier,
    data_channel_status,
    decode,
    encode,
    lmc_address,
    multicast_address,
)
from agents.mmcp.mobile_node import MobileNode
from agents.mmcp.role import Role
from agents.mmcp.timing import Timers
from testbed.mmcp.world import GROUP, GROUP_PORT, SESSION, SM_ADDRESS, Plan, World

STEP_S = 0.005  # virtual time between two datagrams
TIMERS = Timers(jwt_s=0.1, srt_s=0.1, hit_s=0.1, ctt_s=0.015, linger_s=0.1, join_retries=1)
ROLES = ("sm", "lmc", "mn")
OBJECTS_MORE = 3000  # that the garbage collector may know of at the end more than in the middle
SAMPLE = 500  # datagrams between two looks at the timers
TIMERS_MAXIMUM = 3000  # armed at one time: some for each datagram within the life of a membership


@dataclass(slots=True)
class Outcome:
    """What a fuzz run has seen: datagrams by kind, answers, and the growth in objects since its middle."""

    malformed: int = 0
    foreign: int = 0
    answers: int = 0
    timers: int = 0
    grown: int = 0


def examples() -> list[bytes]:
    """Valid messages of all types and both profiles, the stuff that mutations are made of."""
    mn, poa, group = MNIdentifier(b"mn0"), PoAIdentifier(b"cell1"), multicast_address(GROUP, GROUP_PORT)
    lmc = lmc_address(Endpoint("10.0.1.1", DEFAULT_PORT))
    six = MulticastAddress(bytes.fromhex("ff3e") + bytes(14), GROUP_PORT)
    status = data_channel_status(7, 9)
    with_flag: list[tuple[PacketType, tuple[Parameter, ...]]] = [
        (PacketType.SJC, (group, lmc)), (PacketType.SJC, (group,)), (PacketType.LJC, ()), (PacketType.ULC, ()),
        (PacketType.HTA, ()), (PacketType.HIC, (lmc,)),
    ]  # fmt: skip
    without: list[tuple[PacketType, tuple[Parameter, ...]]] = [
        (PacketType.SJR, (mn, poa)), (PacketType.SJR, (MNIdentifier(b"lmc1"), lmc)), (PacketType.SJC, ()),
        (PacketType.LJR, (mn,)), (PacketType.LJC, ()), (PacketType.ULR, (mn,)), (PacketType.USR, (mn, status)),
        (PacketType.ASR, (Membership(2), mn, status, MNIdentifier(b"mn1"))), (PacketType.USP, ()),
        (PacketType.HIR, (mn, poa)), (PacketType.HCT, (mn, group)), (PacketType.HCT, (mn, six)), (PacketType.HTA, ()),
        (PacketType.HIC, ()),
    ]  # fmt: skip
    return [
        encode(Message(packet, SESSION, parameters, accepted, profile))
        for accepted, rows in ((True, with_flag), (False, without))
        for packet, parameters in rows
        for profile in Profile
    ]


def mutated(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """``data`` with one to three faults; its length field is put right half the time, so that more is reached."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        match chance.randrange(5):
            case 0 if changed:
                changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
            case 1 if changed:
                changed[chance.randrange(len(changed))] = chance.choice((0, 1, 2, 4, 0x7F, 0x80, 0xFF))
            case 2:
                del changed[chance.randrange(len(changed) + 1) :]
            case 3:
                changed += chance.randbytes(chance.randint(1, 12))
            case _:
                changed += chance.choice(others)[8:]
    if chance.random() < 0.5 and len(changed) >= 4:
        changed[2:4] = len(changed).to_bytes(2, "big")
    return bytes(changed)


def role_at_work(which: str) -> tuple[World, Role]:
    """A role in the middle of a session, taken out of a small world."""
    world = World(Plan(mns=4, cells=2, seed=1, roam=2, timers=TIMERS))
    world.begin()
    world.run_for(1.0)
    roles: dict[str, Role] = {
        "sm": world.session_manager,
        "lmc": world.controllers[0][1],
        "mn": world.mobiles[0].agent,
    }
    role = roles[which]
    timers: RoleTimers[TimerKey] = RoleTimers()
    for key, deadline in next(node for node in world.nodes.values() if node.agent is role).alarms.items():
        timers.set(key, deadline)
    role.timers = role._own_timers = timers
    return world, role


def fuzz(which: str, datagrams: int, seed: int = 1) -> Outcome:
    """Give a role so many datagrams; AssertionError, or whatever it raises, when it is not up to them."""
    chance = random.Random(f"fuzz {which} {seed}")
    world, role = role_at_work(which)
    now = world.now
    good = examples()
    sources = [
        Endpoint(address, DEFAULT_PORT)
        for address in (
            SM_ADDRESS,
            world.controllers[0][0].endpoint.address,
            world.controllers[1][0].endpoint.address,
            "10.9.9.9",
        )
    ]
    outcome = Outcome()
    objects_in_the_middle = 0
    for number in range(datagrams):
        now += STEP_S
        if (deadline := role.next_deadline()) is not None and deadline <= now:
            role.expire(now)
        if isinstance(role, MobileNode) and role.state.value == "CLOSED":
            role.start(now)
        role.take_actions()
        kind = chance.random()
        if kind < 0.15:
            data = chance.randbytes(chance.randint(0, 64))
        elif kind < 0.95:
            data = mutated(chance.choice(good), chance, good)
        else:
            data = chance.choice(good)
        role.receive(data, chance.choice(sources), now, chance.choice(("", "transfer-1", "transfer-2", "transfer-3")))
        _look_at_answers(role, data, now, chance, outcome)
        if number % SAMPLE == 0:
            outcome.timers = max(outcome.timers, len(role.timers))
        if number == datagrams // 2:
            gc.collect()
            objects_in_the_middle = len(gc.get_objects())
    gc.collect()
    outcome.grown = len(gc.get_objects()) - objects_in_the_middle
    assert outcome.malformed > datagrams // 10, outcome
    assert outcome.answers > 0, outcome  # an absence of answers counts only where there could be some
    assert len(role.counters.snapshot()) < 100
    assert outcome.timers < TIMERS_MAXIMUM, outcome
    assert outcome.grown < OBJECTS_MORE, outcome
    return outcome


def _look_at_answers(role: Role, data: bytes, now: float, chance: random.Random, outcome: Outcome) -> None:
    actions = role.take_actions()
    answered = any(isinstance(action, SendDatagram) for action in actions)
    try:
        message = decode(data)
    except DecodeError as error:
        outcome.malformed += 1
        assert not answered, f"answered {data.hex()}: {error}"
    else:
        outcome.answers += answered
        if message.session_id != SESSION or message.packet not in role.RECEIVES:
            outcome.foreign += 1
            if message.packet is PacketType.LJR and isinstance(role, LocalMobilityController):  # it must refuse
                sent = [decode(action.data) for action in actions if isinstance(action, SendDatagram)]
                assert [(m.packet, m.accepted) for m in sent] == [(PacketType.LJC, False)], f"{data.hex()}: {sent}"
            else:
                assert not answered, f"answered {data.hex()}, which is not for it"
    for action in actions:
        if isinstance(action, JoinGroup):
            role.handle(GroupJoined(action.group, action.interface, succeeded=chance.random() < 0.8), now)
