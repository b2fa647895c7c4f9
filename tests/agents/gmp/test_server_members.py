"""Members at the server: asked, silent, leaving; how sessions end [7.2, Figure 12]."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from tests.agents.gmp.callers import CORE, Caller, guest, host, text
from tests.agents.gmp.meeting import SECRETS, SESSION, Meeting

PERIOD, TIMEOUT = 1.0, 3.0  # s, of the callers' sessions


def asked(lab: Meeting, who: Caller) -> list[float]:
    return [sent.time for sent in lab.packets("KAREQ") if sent.destination == who.mm]


# --- keep-alive -------------------------------------------------------------------------------------------------------


def test_active_member_is_asked_once_in_a_period_and_nobody_else() -> None:
    lab = Meeting()
    host(lab)
    alice, bob = guest(lab, "alice"), guest(lab, "bob", "enrolled")
    begin = len(asked(lab, alice))
    for _ in range(30):
        lab.run_for(PERIOD / 10)
        alice.keep_alive()
    times = asked(lab, alice)[begin:]
    assert len(times) in {3, 4}
    assert all(later - earlier == pytest.approx(PERIOD) for earlier, later in pairwise(times))
    assert times[0] - asked(lab, alice)[begin - 1] <= PERIOD + 0.02  # until the first was answered
    assert not asked(lab, bob)
    [row] = [sent.fields for sent in lab.packets("KAREQ") if sent.destination == alice.mm][-1:]
    assert (row["user_id"], row["period"], row["timeout"], row["mode"], row["member_type"]) == (
        alice.user,
        10,
        30,
        1,
        1,
    )


def test_silent_member_falls_step_by_step() -> None:
    lab = Meeting(enrolment_timeout_s=4.0)
    host(lab)
    alice = guest(lab, "alice")
    lab.run_for(TIMEOUT - 0.1)
    assert lab.members()["alice"] == "active"
    lab.run_for(0.2)
    assert lab.members()["alice"] == "enrolled"
    assert ("dropped", {"session": 1, "user": alice.user, "state": "enrolled"}) in lab.told()
    lab.run_for(3.8)
    assert lab.members()["alice"] == "enrolled"
    lab.run_for(0.3)
    assert lab.members()["alice"] == "registered"
    lab.run_for(100.0)
    assert lab.members()["alice"] == "registered"


def test_enrolled_member_falls_after_ten_timeouts_or_never() -> None:
    """As G-21 has it."""
    for timeout, state in ((None, "registered"), (0.0, "enrolled")):
        lab = Meeting(enrolment_timeout_s=timeout)
        host(lab)
        guest(lab, "alice", "enrolled")
        lab.run_for(10 * TIMEOUT - 0.5)
        assert lab.members()["alice"] == "enrolled"
        lab.run_for(1.0)
        assert lab.members()["alice"] == state


def test_member_that_never_answers_its_activation_falls_too() -> None:
    """Its KARES is waited for no longer than its activation [G-21]."""
    lab = Meeting()
    host(lab)
    alice = guest(lab, "alice", "enrolled")
    lab.run_for(5.0)
    assert alice.activate() == ["KAREQ"]
    lab.run_for(10 * TIMEOUT + 6.0)
    assert lab.members()["alice"] == "registered"


KARES: dict[str, tuple[str, dict[str, object], str, str]] = {
    "registered": ("registered", {}, "registered", "dropped.foreign-source"),  # its port is not announced yet
    "enrolled": ("enrolled", {}, "active", ""),
    "active": ("active", {}, "active", ""),
    "another mode": ("enrolled", {"mode": 2}, "enrolled", "dropped.wrong-mode"),
    "no mode": ("enrolled", {"mode": 3}, "enrolled", "dropped.wrong-mode"),
    "two member types": ("enrolled", {"member_type": 3}, "enrolled", "dropped.wrong-member-type"),
    "unknown user": ("enrolled", {"user_id": 99}, "enrolled", "dropped.not-registered"),
    "unknown session": ("enrolled", {"session_id": 99}, "enrolled", "dropped.unknown-session"),
}


@pytest.mark.parametrize("name", KARES)
def test_keep_alive_response(name: str) -> None:
    until, fields, state, counter = KARES[name]
    lab = Meeting()
    host(lab)
    alice = guest(lab, "alice", until)
    alice.keep_alive(**fields)
    assert lab.members()["alice"] == state
    assert not counter or lab.count("server", counter) == 1


def test_keep_alive_response_enrols_a_member_that_fell_unless_there_is_a_key() -> None:
    """Figure 12's step from registered to enrolled, and G-20."""
    for secure, state in ((0, "enrolled"), (1, "registered")):
        lab = Meeting(secrets=SECRETS)
        host(lab, secure=secure)
        alice = guest(lab, "alice", "nothing")
        alice.secure = secure
        alice.come("enrolled").leave(1)
        assert lab.members()["alice"] == "registered"
        alice.keep_alive()
        assert lab.members()["alice"] == state


# --- leave [G-14] -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("until", "level", "state"),
    [
        ("active", 0, "enrolled"),
        ("active", 1, "registered"),
        ("active", 2, None),
        ("enrolled", 0, "enrolled"),
        ("enrolled", 1, "registered"),
        ("enrolled", 2, None),
        ("registered", 0, "registered"),
        ("registered", 1, "registered"),
        ("active", 3, "active"),
    ],
)
def test_leave(until: str, level: int, state: str | None) -> None:
    lab = Meeting()
    host(lab, until="active")
    alice = guest(lab, "alice", until)
    for _ in range(3):
        assert alice.leave(level) == []
    assert lab.members().get("alice") == state


def test_leave_from_elsewhere_moves_nobody() -> None:
    lab = Meeting()
    host(lab)
    alice = guest(lab, "alice")
    alice.mm_says("LVREQ", alice.sm)
    assert lab.members()["alice"] == "active"


def test_creator_stays_registered_as_long_as_there_is_a_session() -> None:
    """GI-11."""
    lab = Meeting()
    creator = host(lab, until="enrolled")
    creator.leave(2)
    assert lab.members() == {"host": "registered"}
    assert creator.sm_says("SDREQ") == ["SDRES"]


# --- the end ----------------------------------------------------------------------------------------------------------


def silent(lab: Meeting, *others: Caller) -> None:
    """All others answer until the one is given up."""
    for _ in range(int(TIMEOUT / PERIOD) + 1):
        lab.run_for(PERIOD)
        for other in others:
            other.keep_alive()


ENDS: dict[str, tuple[Callable[[Meeting, Caller, Caller, Caller], object], str]] = {
    "creator": (lambda _lab, creator, _core, _other: creator.mm_says("TRREQ"), "creator"),
    "creator leaves": (lambda _lab, creator, _core, _other: creator.leave(0), "creator-left"),
    "core member leaves": (lambda _lab, _creator, core, _other: core.leave(0), "core-left"),
    "core member de-enrols": (lambda _lab, _creator, core, _other: core.leave(1), "core-left"),
    "core member leaves for good": (lambda _lab, _creator, core, _other: core.leave(2), "core-left"),
    "creator silent": (lambda lab, _creator, core, other: silent(lab, core, other), "creator-silent"),
    "core member silent": (lambda lab, creator, _core, other: silent(lab, creator, other), "core-silent"),
    "other leaves": (lambda _lab, _creator, _core, other: other.leave(2), ""),
    "other silent": (lambda lab, creator, core, _other: silent(lab, creator, core), ""),
}


@pytest.mark.parametrize("name", ENDS)
def test_end(name: str) -> None:
    """Who ends a session by leaving, at any level, or by silence, and who is told [G-11, GI-23]."""
    course, reason = ENDS[name]
    lab = Meeting()
    creator = host(lab, text(CORE, "alice"), until="enrolled")
    core, other = guest(lab, "alice"), guest(lab, "bob")
    creator.activate()
    creator.keep_alive()
    course(lab, creator, core, other)
    lab.run_for(0.1)
    told = {sent.destination for sent in lab.packets("TRIND")}
    if not reason:
        assert lab.server.sessions[SESSION].is_active
        assert not told
        return
    assert not lab.server.sessions
    assert ("session-ended", {"session": 1, "reason": reason}) in lab.told()
    gone = {core.mm} if reason.startswith("core") else set()
    assert told == {creator.mm, core.mm, other.mm} - gone
    for sent in lab.packets("TRIND"):
        assert (sent.fields["ss"], sent.fields["session_id"]) == (1, SESSION)
    assert set(lab.nodes["server"].alarms) == {("ended",)}


def test_core_member_that_is_not_active_ends_the_session_as_well() -> None:
    """By an LVREQ that moves it [GI-23]."""
    lab = Meeting()
    creator = host(lab, text(CORE, "alice"), until="enrolled")
    core = guest(lab, "alice", "enrolled")
    creator.activate()
    creator.keep_alive()
    core.leave(0)
    assert lab.server.sessions[SESSION].is_active
    core.leave(1)
    lab.run_for(0.1)
    assert ("session-ended", {"session": 1, "reason": "core-left"}) in lab.told()
    assert creator.mm in {sent.destination for sent in lab.packets("TRIND")}


def test_what_is_gone_is_answered_alike_for_a_minute() -> None:
    """G-24."""
    lab = Meeting()
    creator = host(lab, until="active")
    assert creator.mm_says("TRREQ") == ["TRIND"]
    for _ in range(3):
        lab.run_for(19.0)
        assert creator.mm_says("TRREQ") == ["TRIND"]
        assert creator.sm_says("SDREQ") == ["SDRES"]
        assert creator.sm_says("SDREQ", creator.mm) == ["SDRES 4"]  # from elsewhere
    lab.run_for(4.0)
    assert creator.mm_says("TRREQ") == []
    assert creator.sm_says("SDREQ") == ["SDRES 4"]
    assert not lab.server.ended
    assert not lab.nodes["server"].alarms


def test_session_that_is_gone_gives_its_id_to_nobody_soon() -> None:
    lab = Meeting()
    host(lab, until="active").mm_says("TRREQ")
    again = Caller(lab, "host", "10.0.0.9")
    again.create()
    assert again.session == 2


# --- user information [G-22] ------------------------------------------------------------------------------------------


def test_open_session_names_the_indispensable_and_counts_the_others() -> None:
    lab = Meeting()
    creator = host(lab, text(CORE, "alice"), until="enrolled")
    alice, bob, _ = guest(lab, "alice"), guest(lab, "bob"), guest(lab, "carol")
    guest(lab, "dave", "enrolled")
    creator.activate()
    creator.keep_alive()
    assert bob.mm_says("UIREQ") == ["UIRES"]
    [answer] = bob.answers
    assert (answer["user_id"], answer["r"], answer["ui"]) == (bob.user, 0, 1)
    assert sorted(word[:2] for word in answer["members"]) == [[0, 1], [creator.user, 4], [alice.user, 2]]
    assert [word[2] for word in answer["members"] if word[0] == 0] == [2]


def test_closed_session_names_all() -> None:
    lab = Meeting()
    creator = host(lab, until="active", closed=1)
    token = lab.server.sessions[SESSION].token
    bob = guest(lab, "bob", "nothing")
    bob.closed = 1
    bob.come("active", token)
    assert bob.mm_says("UIREQ") == ["UIRES"]
    assert sorted(word[:2] for word in bob.answers[0]["members"]) == [[creator.user, 4], [bob.user, 1]]


def test_one_member_is_not_told_again_and_again() -> None:
    lab = Meeting()
    host(lab)
    bob = guest(lab, "bob")
    assert bob.mm_says("UIREQ") == ["UIRES"]
    assert bob.mm_says("UIREQ") == []
    assert lab.count("server", "dropped.too-often") == 1
    lab.run_for(1.0)
    assert bob.mm_says("UIREQ") == ["UIRES"]
