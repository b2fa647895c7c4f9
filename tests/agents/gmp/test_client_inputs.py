"""Every state of GMP's clients against every message and event, and against octets that are none.

Nothing raises, what is sent is legal, every step of the tables is taken by somebody, and whatever a client was told it still answers
its server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.core.agent import (
    ApplicationData,
    Connect,
    Endpoint,
    Event,
    GroupJoined,
    SendStream,
    StreamClosed,
    StreamOpened,
)
from agents.core.errors import IllegalTransitionError
from agents.core.machine import Machine
from agents.core.media_control import MediaReport, encode
from agents.gmp.client_state import CREATOR_TABLE, PARTICIPANT_TABLE, Input, State
from agents.gmp.constants import Level
from agents.gmp.events import (
    Activate,
    AskMembers,
    DeleteSession,
    Describe,
    EndSession,
    Enrol,
    Leave,
    Register,
)
from captures.gmp import dissector as judge
from tests.agents.gmp.hand_made import (
    CREATOR_ID,
    GROUP,
    MM,
    SECRET,
    SESSION,
    SM,
    STRANGER,
    TO_GROUP,
    USER,
    Lab,
    Plain,
    creator,
    keep_alive,
    key_options,
    mm,
    nothing,
    participant,
    prefixed,
    refusal,
    sm,
)
from tests.wire.vector_files import right_checksum

EVENTS: dict[str, Event] = {
    "register": Register(),
    "register elsewhere": Register(SESSION + 1, b"token"),
    "enrol": Enrol(),
    "activate": Activate(),
    "leave active": Leave(Level.ACTIVE),
    "leave enrolled": Leave(Level.ENROLLED),
    "leave registered": Leave(Level.REGISTERED),
    "members": AskMembers(),
    "end": EndSession(),
    "delete": DeleteSession(),
    "describe": Describe(content="more"),
    "stream opened": StreamOpened("sm", SM),
    "stream closed": StreamClosed("mm", "reset"),
    "not joined": GroupJoined(GROUP, "lan", succeeded=False, reason="x"),
    "joined": GroupJoined(GROUP, "lan", succeeded=True),
    "report": ApplicationData(encode(MediaReport(1, 2, 3, "send"))),
    "no report": ApplicationData(b"\xff"),
}
STEPS = {
    "SCREQ": "CREATING",
    "SCINF": "DESCRIBING",
    "SRREQ": "REGISTERING",
    "SJREQ": "ENROLLING",
    "SAREQ": "ACTIVATING",
}
ROLES: dict[str, tuple[Callable[..., Any], str, int, tuple[str, ...]]] = {
    "participant": (participant, "alice", USER, ("SRREQ", "SJREQ", "SAREQ")),
    "creator": (creator, "bob", CREATOR_ID, ("SCREQ", "SCINF", "SJREQ", "SAREQ")),
}


def grants(lab: Lab, user: int) -> None:
    key = key_options(1, user=user)
    lab.server.answers["SRREQ"] = lambda _: [sm("SRACC", s=1, user_id=user)]
    lab.server.answers["SJREQ"] = lambda _: [sm("SJRES", s=1, user_id=user, options=key, **TO_GROUP)]


def situation(role: str, state: str) -> tuple[Lab, str, int]:
    """A client in a state, by a server that does not answer the next request."""
    make, name, user, steps = ROLES[role]
    lab = Lab()
    grants(lab, user)
    extra = {"session": {"secure": True}} if role == "creator" else {}
    make(lab, secret=SECRET, **extra)
    lab.start(name)
    if state == "AUTHORISING":
        lab.server.answers["SRREQ"] = lambda _: [sm("SRRES", s=1, user_id=0)]
    for step in steps:
        if STEPS[step] == state:
            lab.server.answers[step] = nothing
    if role == "creator" and state in {"REGISTERING", "AUTHORISING"}:
        lab.tell(name, Register())
        lab.run_for(0.1)
        lab.tell(name, Leave(Level.REGISTERED))
        lab.run_for(3)
        lab.server.answers["SRREQ"] = lab.server.answers["SRREQ"] if state == "AUTHORISING" else nothing
    goals: dict[str, Event] = {"REGISTERED": Register(), "ENROLLED": Enrol()}
    if state != "IDLE":
        lab.tell(name, goals.get(state, Activate()))
        lab.run_for(0.1)
    if state == "ENDED":
        lab.from_server(name, mm("TRIND", ss=1, user_id=user))
    return lab, name, user


def messages(user: int) -> list[Plain]:
    ids = {"user_id": user}
    told = [sm(packet, **ids, **TO_GROUP) for packet in ("SCACC", "SCCON", "SRRES", "SRACC", "SJRES", "SDRES")]
    told += [sm("SJRES", options=key_options(generation, user=user), s=1, **ids) for generation in (1, 2)]
    told += [
        refusal(packet, reason, **ids) for packet in ("SCREJ", "SRREJ", "SJRES", "SDRES") for reason in (1, 2, 4, 6, 77)
    ]
    told += [sm("SRREJ", **ids), keep_alive(**ids), keep_alive(reserved=9, **ids), mm("TRIND", ss=1, **ids)]
    told += [mm("KDUPT", options=key_options(generation, user=user), **ids) for generation in (0, 1, 2)]
    told += [mm("UIRES", ui=1, members=[[1, 4]], r=r, **ids) for r in (0, 1)]
    told += [mm("TRIND", **ids), mm("KDUPT", **ids), sm("SAREQ", mm_port=1), mm("LVREQ", **ids)]
    return told


SITUATIONS = [
    (role, state.value)
    for role in ROLES
    for state in State
    if role == "creator" or state not in {State.CREATING, State.DESCRIBING}
]


@pytest.mark.parametrize(("role", "state"), SITUATIONS)
def test_situation_is_what_it_is_called(role: str, state: str) -> None:
    lab, name, _ = situation(role, state)
    assert lab.state(name)["state"] == state


def still_works(lab: Lab, name: str, user: int) -> None:
    """Whatever happened, the client comes to be active when it is asked to, by a server that answers."""
    lab.server.answers = Lab().server.answers
    grants(lab, user)
    if lab.state(name)["session"] not in {0, SESSION}:
        lab.tell(name, Leave(Level.REGISTERED))
        lab.tell(name, Register(SESSION))
    lab.tell(name, Activate())
    lab.run_for(3.3)
    if lab.state(name)["state"] == "AUTHORISING":
        lab.run_for(30)
    if lab.state(name)["state"] == "ENDED":  # by a request that waited
        lab.tell(name, Activate())
        lab.run_for(1)
    assert lab.state(name)["state"] == "ACTIVE"


def steps_of(lab: Lab, name: str) -> set[tuple[str, str, str]]:
    return {
        (str(line.details["machine"]), str(line.details["from"]), str(line.details["on"]))
        for line in lab.nodes[name].traces
        if line.event == "state"
    }


def given_every_message(role: str, state: str) -> Iterator[tuple[Lab, str]]:
    for message in messages(ROLES[role][2]):
        lab, name, user = situation(role, state)
        lab.give(name, judge.build(message), Endpoint(STRANGER, 16513), "mm" if message["module"] == "MM" else "")
        assert lab.count(name, "dropped.foreign-source") + lab.count(name, "dropped.unexpected-type") == 1
        lab.from_server(name, message)
        lab.from_server(name, message)
        lab.run_for(0.5)
        still_works(lab, name, user)
        yield lab, name


def told_every_event(role: str, state: str) -> Iterator[tuple[Lab, str]]:
    for first in EVENTS.values():
        lab, name, user = situation(role, state)
        lab.tell(name, first)
        lab.run_for(1.5)
        for second in EVENTS.values():
            lab.tell(name, second)
        lab.run_for(1.5)
        still_works(lab, name, user)
        yield lab, name


def rare_courses(role: str) -> Iterator[tuple[Lab, str]]:
    """A member for whom the server falls silent, comes back, or of whom it knows nothing when it asks for its key again."""
    lab, name, user = situation(role, "ACTIVE")
    lab.server.answers["SAREQ"] = nothing
    lab.run_for(7.5)
    lab.from_server(name, keep_alive(user_id=user))
    yield lab, name
    lab, name, user = situation(role, "ACTIVE")
    lab.server.answers["SJREQ"] = nothing
    lab.from_server(name, keep_alive(user_id=user, reserved=2))
    lab.from_server(name, refusal("SJRES", 6, user_id=user))
    yield lab, name
    lab, name, user = situation(role, "ACTIVE")
    lab.tell(name, Leave(Level.REGISTERED))
    lab.from_server(name, mm("TRIND", ss=1, user_id=user))
    yield lab, name


def test_every_input_in_every_state_and_every_step_of_the_tables() -> None:
    taken: set[tuple[str, str, str]] = set()
    for role, state in SITUATIONS:
        for lab, name in (*given_every_message(role, state), *told_every_event(role, state)):
            taken |= steps_of(lab, name)
    for role in ROLES:
        for lab, name in rare_courses(role):
            taken |= steps_of(lab, name)
    for table in (PARTICIPANT_TABLE, CREATOR_TABLE):
        steps = {(table.name, before.value, on.value) for before, row in table.steps.items() for on in row}
        assert steps - taken == set()


@pytest.mark.parametrize("table", [PARTICIPANT_TABLE, CREATOR_TABLE], ids=lambda table: str(table.name))
def test_step_that_is_not_in_the_table_raises(table: Any) -> None:
    lab, name, _ = situation("participant", "IDLE")
    machine: Machine[State, Input] = Machine(table, lab.nodes[name].agent)
    for state in State:
        for on in Input:
            machine.state = state
            if not machine.allows(on):
                with pytest.raises(IllegalTransitionError, match=table.name):
                    machine.move(on)


# --- octets that are none -----------------------------------------------------------------------------------------------


def mutated(random: Random, data: bytes) -> bytes:
    octets = bytearray(data)
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(octets)) if octets else 0
        match random.randrange(4):
            case 0 if octets:
                octets[at] ^= 1 << random.randrange(8)
            case 1 if octets:
                octets[at] = random.randrange(256)
            case 2:
                octets[at:at] = random.randbytes(random.randint(1, 4))
            case _:
                del octets[at : at + random.randint(1, 4)]
    if random.randrange(2) and len(octets) >= 4:  # so that more than the checksum is looked at
        return right_checksum(bytes(octets))
    return bytes(octets)


def flood(role: str, state: str, count: int, seed: int) -> None:
    """Mutated messages of the server's; then the client must still work."""
    random = Random(seed)
    lab, name, user = situation(role, state)
    told = [(message["module"] == "MM", judge.build(message)) for message in messages(user)]
    for _ in range(count):
        is_mm, data = random.choice(told)
        lab.give(name, mutated(random, data), MM if is_mm else SM, "mm" if is_mm else "")
    lab.tell(name, Leave(Level.REGISTERED))
    lab.run_for(1)
    assert len(lab.nodes[name].agent.counters) < 200
    was = lab.state(name)  # what a mutated message may have said of ids and mode
    ids = {"session_id": was["session"], "user_id": was["user"], "mode": 2 if was["closed"] else 1}
    lab.from_server(name, mm("TRIND", ss=1, **ids))
    still_works(lab, name, user)


class Alone:
    """A client over streams without a network: what it connects opens at once, until a test feeds it octets."""

    def __init__(self, role: str) -> None:
        make, self.name, self.user, _ = ROLES[role]
        lab = Lab()
        self.agent = make(lab, secret=SECRET, transport="tcp")
        self.sent: list[bytes] = []
        self.now = 0.0
        self.agent.start(self.now)

    def carry_out(self) -> None:
        for action in self.agent.take_actions():
            if isinstance(action, Connect):
                self.agent.handle(StreamOpened(action.stream, action.destination), self.now)
                self.carry_out()
            elif isinstance(action, SendStream):
                self.sent.append(action.data)

    def tell(self, event: Event) -> None:
        self.agent.handle(event, self.now)
        self.carry_out()

    def feed(self, stream: str, data: bytes) -> None:
        self.agent.received(stream, data, self.now)
        self.carry_out()

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.agent.next_deadline()) is not None and due <= end:
            self.now = due
            self.agent.expire(self.now)
            self.carry_out()
        self.now = end


def flood_streams(role: str, count: int, seed: int) -> None:
    """Mutated messages on streams, cut anywhere, lengths among what is mutated; then the client must still ask."""
    random = Random(seed)
    alone = Alone(role)
    told = [("mm" if message["module"] == "MM" else "sm", judge.build(message)) for message in messages(alone.user)]
    alone.tell(Activate())
    for number in range(count):
        stream, message = random.choice(told)
        data = prefixed(message if random.randrange(2) else mutated(random, message))
        data = mutated(random, data) if random.randrange(8) == 0 else data
        cut = random.randrange(len(data) + 1)
        for piece in (data[:cut], data[cut:]):
            alone.feed(stream, piece)
        if number % 50 == 0:
            alone.pass_time(random.random() * 4)
            alone.tell(Activate())
    alone.tell(Leave(Level.REGISTERED))
    alone.pass_time(3)
    for stream in ("sm", "mm"):
        alone.tell(StreamClosed(stream, "reset"))
    alone.sent.clear()
    alone.tell(Activate())
    assert len(alone.sent) == 1
    assert len(alone.agent.counters) < 200


@pytest.mark.parametrize(("role", "state"), SITUATIONS)
def test_mutated_messages(role: str, state: str) -> None:
    flood(role, state, 300, seed=1)


@pytest.mark.parametrize("role", list(ROLES))
def test_mutated_streams(role: str) -> None:
    for seed in range(5):
        flood_streams(role, 300, seed)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("role", list(ROLES))
def test_a_million_mutated_messages(role: str) -> None:
    states = [state for of, state in SITUATIONS if of == role]
    for seed in range(100):
        flood(role, states[seed % len(states)], 10_000, seed)


@pytest.mark.long
@pytest.mark.parametrize("role", list(ROLES))
def test_a_million_octets_of_mutated_streams(role: str) -> None:
    for seed in range(40):  # of some 30 octets each
        flood_streams(role, 1000, seed)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(sorted(EVENTS)), st.floats(0, 5)) | st.integers(0, 40), max_size=12))
def test_any_course_of_events(course: list[Any]) -> None:
    lab, name, user = situation("creator", "IDLE")
    told = messages(user)
    for step in course:
        if isinstance(step, int):
            lab.from_server(name, told[step % len(told)])
        else:
            lab.tell(name, EVENTS[step[0]])
            lab.run_for(step[1])
    still_works(lab, name, user)
