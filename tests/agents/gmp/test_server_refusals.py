"""What the server refuses, and the reason that it gives [G-13, G-16, G-19, G-23 to G-28, GI-17]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agents.core.agent import Endpoint
from tests.agents.gmp.callers import (
    CLIENT,
    CONDITION,
    CORE,
    END,
    INVITED,
    KEEP_ALIVE,
    MEDIA,
    MM_PORT,
    NAME,
    START,
    TOKEN,
    Caller,
    guest,
    host,
    text,
)
from tests.agents.gmp.hand_made import SDP
from tests.agents.gmp.meeting import SECRETS, SESSION, Meeting

STRANGER = Endpoint("10.0.0.66", 5000)


def creation(named: bool = True, changes: dict[str, Any] | None = None, **fields: Any) -> list[str]:
    lab = Meeting(**(changes or {}))
    return Caller(lab, "host", "10.0.0.9").create(named=named, **fields)


CREATIONS: dict[str, tuple[Callable[[], list[str]], str]] = {
    "open": (creation, "SCACC"),
    "nameless": (lambda: creation(named=False), "SCACC"),
    "nameless where names are wanted": (lambda: creation(named=False, changes={"require_names": True}), "SCREJ 2"),
    "empty name": (lambda: creation(options=[[CLIENT, ""]]), "SCREJ 8"),
    "name that is no UTF-8": (lambda: creation(options=[[CLIENT, "ff"]]), "SCREJ 8"),
    "longest name": (lambda: creation(options=[text(CLIENT, "n" * 255)]), "SCACC"),
    "name that is too long": (lambda: creation(options=[text(CLIENT, "n" * 256)]), "SCREJ 8"),  # GI-20
    "secure where there are no secrets": (lambda: creation(s=1), "SCREJ 3"),
    "secure": (lambda: creation(changes={"secrets": SECRETS}, s=1), "SCACC"),
    "secure without a name": (lambda: creation(named=False, changes={"secrets": SECRETS}, s=1), "SCREJ 2"),
    "secure without a secret": (lambda: creation(changes={"secrets": {}}, s=1), "SCREJ 2"),
    "quality of service": (lambda: creation(q=1), "SCREJ 7"),
}


@pytest.mark.parametrize("name", CREATIONS)
def test_creation(name: str) -> None:
    course, answer = CREATIONS[name]
    assert course() == [answer]


def test_refusal_for_want_of_secure_mode_says_so() -> None:
    lab = Meeting()
    caller = Caller(lab, "host", "10.0.0.9")
    caller.create(s=1)
    assert caller.answers[0]["s"] == 1
    caller.create(q=1)
    assert caller.answers[0]["s"] == 0


DESCRIPTIONS: dict[str, tuple[tuple[list[Any], ...], dict[str, Any], str]] = {
    "whole": ((), {}, "SCCON"),
    "without keep-alive": ((), {"without": (KEEP_ALIVE,)}, "SCCON"),
    "without name": ((), {"without": (NAME,)}, "SCREJ 8"),
    "without media": ((), {"without": (MEDIA,)}, "SCREJ 8"),
    "without options": ((), {"without": (NAME, MEDIA, KEEP_ALIVE)}, "SCREJ 8"),
    "empty name": (([NAME, ""],), {}, "SCREJ 8"),
    "name that is no UTF-8": (([NAME, "c328"],), {}, "SCREJ 8"),
    "name with 4-byte UTF-8, HTML and marks": ((text(NAME, "\U0001f600<b>\u202e\x07"),), {}, "SCCON"),
    "longest name": ((text(NAME, "n" * 255),), {}, "SCCON"),
    "name that is too long": ((text(NAME, "n" * 256),), {}, "SCREJ 8"),
    "media that is too long": ((text(MEDIA, SDP + "a=x\r\n" * 2000),), {}, "SCREJ 8"),
    "empty core member": (([CORE, ""],), {}, "SCREJ 8"),
    "core member with a name that is too long": ((text(CORE, "n" * 256),), {}, "SCREJ 8"),
    "empty invited member": (([INVITED, ""],), {}, "SCREJ 8"),
    "invited member with a name that is too long": ((text(INVITED, "n" * 256),), {}, "SCREJ 8"),
    "too many core members": (tuple(text(CORE, f"n{n}") for n in range(1025)), {}, "SCREJ 8"),
    "period 0": (([KEEP_ALIVE, "001e0000"],), {}, "SCREJ 8"),
    "timeout not above period": (([KEEP_ALIVE, "1e1e0000"],), {}, "SCREJ 8"),
    "no start condition": (([CONDITION, "00"],), {}, "SCCON"),
    "unknown start condition": (([CONDITION, "03"],), {}, "SCREJ 8"),
    "ends before it starts": (([START, "00" * 7 + "02"], [END, "00" * 7 + "01"]), {}, "SCREJ 8"),
    "unicast group": ((), {"group": "10.1.1.1"}, "SCREJ 8"),
    "no group": ((), {"group": "0.0.0.0"}, "SCREJ 8"),
    "group with a source": ((), {"group": "232.1.1.1"}, "SCREJ 8"),
    "port 0": ((), {"port": 0}, "SCREJ 8"),
    "unknown option": (([99, "0102"],), {}, "SCCON"),
    "secure all at once": ((), {"s": 1}, "SCREJ 8"),  # GI-14
    "of another user": ((), {"user_id": 7}, "SCREJ 2"),
    "of another session": ((), {"session_id": 7}, "SCREJ 4"),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_description(name: str) -> None:
    options, changes, answer = DESCRIPTIONS[name]
    caller = Caller(Meeting(), "host", "10.0.0.9")
    caller.create()
    assert caller.describe(*options, **changes) == [answer]
    if answer != "SCCON":  # nothing was kept of it
        assert caller.describe() == ["SCCON"]


def test_session_may_become_a_closed_one_until_it_is_described_and_no_open_one() -> None:
    """M is that of SCREQ, or of the first SCINF [GI-14]."""
    caller = Caller(Meeting(), "host", "10.0.0.9")
    caller.create(m=1)
    assert caller.describe(m=0) == ["SCREJ 8"]
    assert caller.describe(m=1) == ["SCCON"]
    assert caller.create(m=0) == ["SCACC"]
    assert caller.describe(m=1) == ["SCCON"]
    assert len(caller.option(TOKEN)) == 16
    assert caller.describe(text(NAME, "another"), m=0) == ["SCREJ 8"]
    assert caller.describe(text(NAME, "another"), m=1) == ["SCCON"]


def test_description_from_elsewhere() -> None:
    caller = Caller(Meeting(), "host", "10.0.0.9")
    caller.create()
    assert caller.say({"module": "SM", "packet": "SCINF"}, STRANGER) == ["SCREJ 2"]


REGISTRATIONS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "named": ({}, ["SRACC"]),
    "nameless": ({"options": []}, ["SRACC"]),
    "empty name": ({"options": [[CLIENT, ""]]}, ["SRREJ 8"]),
    "name that is no UTF-8": ({"options": [[CLIENT, "80"]]}, ["SRREJ 8"]),
    "longest name": ({"options": [text(CLIENT, "n" * 255)]}, ["SRACC"]),
    "name that is too long": ({"options": [text(CLIENT, "n" * 256)]}, ["SRREJ 8"]),
    "unknown session": ({"session_id": 9}, ["SRREJ 4"]),
}


@pytest.mark.parametrize("name", REGISTRATIONS)
def test_open_registration(name: str) -> None:
    fields, answers = REGISTRATIONS[name]
    lab = Meeting()
    host(lab)
    assert guest(lab, "alice", "nothing").register(**fields) == answers


def test_session_without_a_description_takes_nobody() -> None:
    lab = Meeting()
    Caller(lab, "host", "10.0.0.9").create()
    assert guest(lab, "alice", "nothing").register() == ["SRREJ 6"]


CLOSED: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "invited": ("alice", {}, ["SRRES", "SRACC"]),
    "core member": ("carol", {}, ["SRRES", "SRACC"]),  # GI-18
    "not invited": ("bob", {}, ["SRRES", "SRREJ 2"]),
    "no name": ("alice", {"options": [[TOKEN, "00" * 16]]}, ["SRRES", "SRREJ 8"]),
    "no token": ("alice", {"options": [text(CLIENT, "alice")]}, ["SRRES", "SRREJ 8"]),
    "other token": ("alice", {"options": [text(CLIENT, "alice"), [TOKEN, "00" * 16]]}, ["SRRES", "SRREJ 5"]),
    "half a token": ("alice", {"options": [text(CLIENT, "alice"), [TOKEN, ""]]}, ["SRRES", "SRREJ 5"]),
}


@pytest.mark.parametrize("name", CLOSED)
def test_closed_registration(name: str) -> None:
    who, fields, answers = CLOSED[name]
    lab = Meeting()
    creator = host(lab, text(INVITED, "alice"), text(CORE, "carol"), closed=1)
    token = creator.option(TOKEN)
    assert len(token) == 16
    caller = guest(lab, who, "nothing")
    caller.closed = 1
    assert caller.register(token, **fields) == answers


def test_closed_session_without_invitations_is_for_who_has_the_token() -> None:
    lab = Meeting()
    token = host(lab, closed=1).option(TOKEN)
    caller = guest(lab, "bob", "nothing")
    caller.closed = 1
    assert caller.register(token) == ["SRRES", "SRACC"]


def test_guesses_of_one_address_come_to_an_end() -> None:
    """For a minute the right token is refused as well [GI-19]."""
    lab = Meeting()
    token = host(lab, closed=1).option(TOKEN)
    guesser = guest(lab, "bob", "nothing")
    guesser.closed = 1
    for number in range(8):
        assert guesser.register(bytes([number] * 16)) == ["SRRES", "SRREJ 5"]
    assert guesser.register(token) == ["SRRES", "SRREJ 5"]
    assert lab.count("server", "refused.too-many-guesses") == 1
    other = guest(lab, "alice", "nothing")
    other.closed = 1
    assert other.register(token) == ["SRRES", "SRACC"]
    lab.run_for(60.0)
    assert guesser.register(token) == ["SRRES", "SRACC"]


def test_name_of_a_member_is_not_for_another_address() -> None:
    lab = Meeting()
    host(lab)
    alice = guest(lab, "alice", "registered")
    thief = Caller(lab, "alice", "10.0.3.3")
    assert thief.register() == ["SRREJ 2"]
    alice.come("active").leave(2)
    assert thief.register() == ["SRACC"]  # the first is no member any more


def test_member_that_begins_again_at_its_address_is_the_same() -> None:
    """By another port [GI-16]; what comes from the one before is from elsewhere then."""
    lab = Meeting()
    host(lab)
    alice = guest(lab, "alice")
    before, user = alice.sm, alice.user
    alice.sm = Endpoint(before.address, 6000)
    assert alice.register() == ["SRACC"]
    assert (alice.user, lab.members()["alice"]) == (user, "active")
    assert lab.count("server", "moved.members") == 1
    assert alice.enrol(source=before) == ["SJRES 2"]
    assert alice.enrol() == ["SJRES"]
    lab.begin_again()
    assert "SJRES" in alice.enrol()


def test_client_without_a_name_is_known_by_its_address_and_port() -> None:
    """GI-16."""
    lab = Meeting()
    host(lab)
    alice = guest(lab, "alice", "nothing")
    assert alice.register(options=[]) == ["SRACC"]
    first = alice.user
    assert (alice.register(options=[]), alice.user) == (["SRACC"], first)
    alice.sm = Endpoint(alice.sm.address, 6000)
    assert alice.register(options=[]) == ["SRACC"]
    assert alice.user != first


STEPS: dict[str, tuple[str, Callable[[Caller], list[str]], list[str]]] = {
    "enrol": ("registered", lambda who: who.enrol(), ["SJRES"]),
    "enrol again": ("enrolled", lambda who: who.enrol(), ["SJRES"]),
    "enrol without being registered": ("registered", lambda who: who.enrol(user_id=9), ["SJRES 6"]),
    "enrol in no session": ("registered", lambda who: who.enrol(session_id=9), ["SJRES 4"]),
    "enrol as another": ("registered", lambda who: who.enrol(user_id=1), ["SJRES 2"]),
    "enrol from elsewhere": ("registered", lambda who: who.enrol(source=STRANGER), ["SJRES 2"]),
    "enrol from another port": ("registered", lambda who: who.enrol(source=who.mm), ["SJRES 2"]),
    "activate": ("enrolled", lambda who: who.activate(), ["KAREQ"]),
    "activate again": ("active", lambda who: who.activate(), ["KAREQ"]),
    "activate without being enrolled": ("registered", lambda who: who.activate(), ["SJRES 6"]),
    "activate without being registered": ("enrolled", lambda who: who.activate(user_id=9), ["SJRES 6"]),
    "activate in no session": ("enrolled", lambda who: who.activate(session_id=9), ["SJRES 4"]),
    "activate as another": ("enrolled", lambda who: who.activate(user_id=1), ["SJRES 2"]),
    "activate from elsewhere": ("enrolled", lambda who: who.activate(source=STRANGER), ["SJRES 2"]),
    "delete as another": ("registered", lambda who: who.sm_says("SDREQ"), ["SDRES 2"]),
    "delete from elsewhere": ("registered", lambda who: who.sm_says("SDREQ", STRANGER, user_id=1), ["SDRES 2"]),
    "delete no session": ("registered", lambda who: who.sm_says("SDREQ", session_id=9), ["SDRES 4"]),
    "end as another": ("active", lambda who: who.mm_says("TRREQ"), []),
    "end from elsewhere": ("active", lambda who: who.mm_says("TRREQ", STRANGER, user_id=1), []),
    "ask who is there": ("active", lambda who: who.mm_says("UIREQ"), ["UIRES"]),
    "ask who is there, inactive": ("enrolled", lambda who: who.mm_says("UIREQ"), []),
    "ask who is there from elsewhere": ("active", lambda who: who.mm_says("UIREQ", STRANGER), []),
    "ask who is there in another mode": ("active", lambda who: who.mm_says("UIREQ", mode=2), []),
}


@pytest.mark.parametrize("name", STEPS)
def test_step(name: str) -> None:
    until, step, answers = STEPS[name]
    lab = Meeting()
    host(lab, until="active")
    alice = guest(lab, "alice", until)
    before = lab.members()
    assert step(alice) == answers
    if answers != ["SJRES"] or until != "registered":
        assert lab.members() == before


def test_session_with_active_members_is_not_deleted() -> None:
    lab = Meeting()
    creator = host(lab)
    alice = guest(lab, "alice")
    assert creator.sm_says("SDREQ") == ["SDRES 6"]
    alice.leave(0)
    assert creator.sm_says("SDREQ") == ["SDRES"]


@pytest.mark.parametrize(("condition", "until"), [(None, "registered"), ("01", "registered"), ("02", "enrolled")])
def test_session_starts_when_its_core_members_are_there(condition: str | None, until: str) -> None:
    lab = Meeting()
    rows = [] if condition is None else [[CONDITION, condition]]
    creator = host(lab, text(CORE, "alice"), text(CORE, "bob"), *rows, until="enrolled")
    guest(lab, "carol")  # others may be active before
    guest(lab, "alice", until)
    assert creator.activate() == ["SJRES 6"]
    bob = guest(lab, "bob", "registered")
    if until == "enrolled":
        assert creator.activate() == ["SJRES 6"]
        bob.enrol()
    assert creator.activate() == ["KAREQ"]
    creator.keep_alive()
    assert lab.server.sessions[SESSION].is_active


def test_session_without_a_start_condition_starts() -> None:
    lab = Meeting()
    creator = host(lab, text(CORE, "alice"), [CONDITION, "00"], until="enrolled")
    assert creator.activate() == ["KAREQ"]


def test_creator_that_was_not_granted_its_activation_starts_nothing() -> None:
    """GI-22."""
    lab = Meeting()
    creator = host(lab, text(CORE, "alice"), until="enrolled")
    assert creator.activate() == ["SJRES 6"]
    creator.keep_alive()
    assert lab.count("server", "ignored.KARES.not-asked") == 1
    assert not lab.server.sessions[SESSION].is_active


@pytest.mark.parametrize("options", [[], [[MM_PORT, "0000"]]])
def test_secure_session_wants_the_port_that_keys_come_to(options: list[Any]) -> None:
    lab = Meeting(secrets=SECRETS)
    creator = host(lab, secure=1)
    assert creator.enrol(options=options) == ["SJRES 8"]
    assert creator.enrol() == ["SJRES"]
    bob = guest(lab, "stranger", "registered")
    bob.secure = 1
    assert bob.enrol() == ["SJRES 2"]  # G-12: it has no secret


@pytest.mark.parametrize("packet", ["SCACC", "SCREJ", "SCCON", "SRRES", "SRACC", "SRREJ", "SDRES", "SJRES"])
def test_answers_are_no_requests(packet: str) -> None:
    lab = Meeting()
    host(lab)
    assert guest(lab, "alice", "nothing").sm_says(packet) == []
    assert lab.count("server", "dropped.unexpected-type") == 1
