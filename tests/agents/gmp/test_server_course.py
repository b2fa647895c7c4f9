"""Any course of a session's events at the server: its sets stay nested, and what was confirmed survives."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agents.gmp.callers import CORE, Caller, host, text
from tests.agents.gmp.meeting import SECRETS, SESSION, Meeting
from tests.agents.gmp.test_server_inputs import check_sets

NAMES = ("alice", "bob", "carol")
STEPS = ("register", "enrol", "activate", "keep_alive", "leave 0", "leave 1", "leave 2", "UIREQ")
EVENTS = st.one_of(
    st.tuples(st.sampled_from(("host", *NAMES)), st.sampled_from(STEPS)),
    st.tuples(st.just("server"), st.sampled_from(("restart", "disk full", "disk well", "0.2 s", "1.1 s", "4 s"))),
    st.tuples(st.just("host"), st.sampled_from(("TRREQ", "SDREQ", "describe"))),
)


def take(who: Caller, step: str) -> None:
    match step.split():
        case ["leave", level]:
            who.leave(int(level))
        case ["UIREQ" | "TRREQ"]:
            who.mm_says(step)
        case ["SDREQ"]:
            who.sm_says(step)
        case ["register"] if who.name == "host":
            who.sm_says("SRREQ", options=[text(16, "host")])
        case _:
            getattr(who, step)()


def happen(lab: Meeting, event: str) -> None:
    disk = lab.network.disk(lab.nodes["server"])
    match event:
        case "restart":
            lab.begin_again()
        case "disk full":
            disk.failure = "database or disk is full"
        case "disk well":
            disk.failure = ""
        case _:
            lab.run_for(float(event.split(maxsplit=1)[0]))


def generations_only_grow(lab: Meeting, before: int) -> int:
    session = lab.server.sessions.get(SESSION)
    if session is None:
        return before
    assert session.generation >= before
    return session.generation


@settings(max_examples=60)
@given(st.lists(EVENTS, max_size=40), st.booleans())
def test_any_course_keeps_the_sets_nested(course: list[tuple[str, str]], secure: bool) -> None:
    lab = Meeting(secrets=SECRETS, enrolment_timeout_s=5.0)
    callers: dict[str, Caller] = {"host": host(lab, text(CORE, "alice"), secure=int(secure))}
    for number, name in enumerate(NAMES):
        callers[name] = Caller(lab, name, f"10.0.1.{number + 1}")
        callers[name].secure = int(secure)
    generation, was_full = 0, False
    for who, what in course:
        was_full = was_full or what == "disk full"
        if who == "server":
            happen(lab, what)
        else:
            take(callers[who], what)
        check_sets(lab)
        if not was_full:  # what could not be written may be lost with the machine
            generation = generations_only_grow(lab, generation)
    lab.network.disk(lab.nodes["server"]).failure = ""
    lab.run_for(120.0)
    check_sets(lab)
    for session in lab.server.sessions.values():  # nobody answers any more
        assert not session.active
        assert not session.is_active
    members: Any = lab.members()
    lab.begin_again()
    assert lab.members() == members
