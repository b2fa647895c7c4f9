"""GMP's clients as members: what they answer, believe and ask, and what the data does (clauses 7.2 and 7.3)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agents.core.agent import ApplicationData, Endpoint
from agents.core.media_control import MediaReport, encode
from agents.gmp.constants import Level
from agents.gmp.events import AskMembers, EndSession, Leave, Register
from agents.mmcp.events import ApplicationLeave
from captures.gmp import dissector as judge
from tests.agents.gmp.hand_made import (
    GROUP,
    GROUP_KEY,
    MM,
    PORT,
    SESSION,
    SM,
    STRANGER,
    TO_GROUP,
    USER,
    Lab,
    keep_alive,
    mm,
    orders,
    participant,
    refusal,
    secure_member,
    sm,
    started,
)

# --- a member ---------------------------------------------------------------------------------------------------------


def test_member_answers_each_keep_alive_request() -> None:
    lab = started()
    mark = lab.mark()
    lab.from_server("alice", keep_alive(member_type=2))
    lab.from_server("alice", keep_alive(member_type=2))
    assert lab.lines(mark) == ["alice KARES server"] * 2
    answer = lab.packets("KARES")[-1].fields
    assert (answer["session_id"], answer["user_id"], answer["member_type"]) == (SESSION, USER, 2)
    assert (answer["group"], answer["port"]) == (GROUP, PORT)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"session_id": SESSION + 1}, "of-another"),
        ({"user_id": USER + 1}, "of-another"),
        ({"mode": 2}, "wrong-mode"),
    ],
    ids=["another session", "another user", "another mode"],
)
@pytest.mark.parametrize("packet", ["KAREQ", "TRIND", "KDUPT"])
def test_message_of_another_is_dropped(packet: str, changes: dict[str, Any], reason: str) -> None:
    """A mode that is not the session's too [G-26]."""
    lab = started()
    mark = lab.mark()
    lab.from_server("alice", mm(packet, **{**TO_GROUP, "ss": 1, "period": 10, "timeout": 30, **changes}))
    assert lab.lines(mark) == []
    assert lab.count("alice", f"dropped.{reason}") == 1
    assert lab.state("alice")["state"] == "ACTIVE"


@pytest.mark.parametrize(
    "source", [Endpoint(STRANGER, 16514), Endpoint(SM.address, 16513), Endpoint(SM.address, 9)], ids=str
)
@pytest.mark.parametrize("packet", ["KAREQ", "TRIND", "KDUPT", "UIRES"])
def test_forged_message_of_module_mm_is_dropped(packet: str, source: Endpoint) -> None:
    """Only the server's own endpoint of that module is believed [G-13, G-17]."""
    lab = started()
    mark = lab.mark()
    fields = mm(packet, ss=1, **({"ui": 1, "members": []} if packet == "UIRES" else {}))
    lab.give("alice", judge.build(fields), source, "mm")
    assert lab.lines(mark) == []
    assert lab.count("alice", "dropped.foreign-source") == 1


@pytest.mark.parametrize("packet", ["SRRES", "SRACC", "SRREJ"])
def test_forged_answer_of_module_sm_is_dropped(packet: str) -> None:
    lab = Lab()
    lab.server.answers.clear()
    participant(lab)
    lab.start("alice")
    lab.tell("alice", Register())
    for source in (Endpoint(STRANGER, 16513), MM, Endpoint(SM.address, 9)):
        lab.give("alice", judge.build(sm(packet)), source)
    assert lab.count("alice", "dropped.foreign-source") == 3
    assert lab.state("alice")["state"] == "REGISTERING"
    lab.from_server("alice", sm(packet, session_id=SESSION + 1))
    assert lab.count("alice", "dropped.of-another") == 1


def test_answer_that_nobody_has_asked_for_is_dropped() -> None:
    lab = started("registered")
    mark = lab.mark()
    for packet in ("SRRES", "SRACC", "SRREJ", "SJRES", "SCACC", "SCREJ", "SCCON", "SDRES"):
        lab.from_server("alice", sm(packet))
    lab.from_server("alice", mm("UIRES", ui=1, members=[]))
    assert lab.lines(mark) == []
    assert lab.count("alice", "dropped.unasked") == 9
    assert lab.state("alice")["state"] == "REGISTERED"


def test_silent_server_is_asked_whether_there_still_is_a_session() -> None:
    """A period and the timeout after the last KAREQ [GI-4]; the data goes on meanwhile."""
    lab = started()
    began = lab.times("server KAREQ alice")[-1]
    mark = lab.mark()
    lab.run_for(4.1)
    assert lab.lines(mark) == ["alice SAREQ server", "server KAREQ alice", "alice KARES server"]
    assert lab.times("alice SAREQ server")[-1] == pytest.approx(began + 0.001 + 4.0)
    assert orders(lab, "alice") == [("receive", 0, None, 0)]
    assert lab.notices("alice") == ["registered", "enrolled", "active", "silent", "active"]


def test_silent_server_that_comes_back_finds_an_active_member() -> None:
    """After a restart it asks its active members, of whom this one has given up asking for the moment."""
    lab = started()
    lab.kill("server")
    lab.run_for(7.5)
    assert lab.notices("alice")[-2:] == ["silent", "unanswered"]
    assert lab.state("alice")["state"] == "ENROLLED"
    lab.from_server("alice", keep_alive())
    assert lab.state("alice")["state"] == "ACTIVE"
    assert orders(lab, "alice") == [("receive", 0, None, 0)]
    lab.run_for(3)
    assert lab.packets("SAREQ")[-1].time < lab.now - 3.4


def test_silence_after_the_end_of_a_session_is_its_end() -> None:
    lab = started()
    lab.server.answers["SAREQ"] = lambda _: [refusal("SJRES", 4)]  # TRIND was lost
    lab.run_for(5)
    assert lab.state("alice")["state"] == "ENDED"
    assert lab.lines()[-1] == f"alice leaves {GROUP}"
    assert orders(lab, "alice")[-1][0] == "stop"
    assert lab.told("alice")[-1] == ("ended", {"reason": "unknown-session"})


def test_session_ends() -> None:
    lab = started()
    mark = lab.mark()
    lab.from_server("alice", mm("TRIND", ss=1))
    assert lab.lines(mark) == [f"alice leaves {GROUP}"]
    assert lab.told("alice")[-1] == ("ended", {"reason": "ended"})
    lab.from_server("alice", mm("TRIND", ss=1))
    lab.from_server("alice", keep_alive())
    lab.run_for(60)
    assert lab.lines(mark) == [f"alice leaves {GROUP}"]
    assert lab.count("alice", "ignored.repeated-TRIND") == 1
    assert lab.count("alice", "dropped.unexpected-keep-alive") == 1


def test_termination_that_does_not_say_so_is_dropped() -> None:
    lab = started()
    lab.from_server("alice", mm("TRIND"))
    assert lab.count("alice", "dropped.not-ending") == 1
    assert lab.state("alice")["state"] == "ACTIVE"


# --- who is active ----------------------------------------------------------------------------------------------------


def test_members_are_asked_for_and_listed() -> None:
    """Several UIRES, R in all but the last, which ends the list [GI-6], and those who are only counted [G-22]."""
    lab = started()
    lab.server.answers["UIREQ"] = lambda _: [
        mm("UIRES", ui=1, r=1, members=[[1, 4], [2, 1]]),
        mm("UIRES", ui=1, members=[[3, 2], [0, 1]]),
    ]
    lab.tell("alice", AskMembers())
    lab.run_for(0.1)
    assert lab.told("alice")[-1] == ("members", {"active": 3, "others": 0})
    assert list(lab.nodes["alice"].agent.rows("members")) == [
        {"user": 1, "member_type": "creator"},
        {"user": 2, "member_type": "participant"},
        {"user": 3, "member_type": "core"},
        {"user": 0, "member_type": "participant", "others": 0},
    ]
    with pytest.raises(KeyError):
        lab.nodes["alice"].agent.rows("sessions").__iter__().__next__()


def test_members_are_for_active_ones() -> None:
    lab = started("enrolled")
    mark = lab.mark()
    lab.tell("alice", AskMembers())
    assert lab.lines(mark) == []
    assert lab.told("alice")[-1] == ("refused", {"request": "UIREQ", "reason": "not-active"})


def test_flood_of_user_information_is_bounded() -> None:
    lab = started()
    lab.server.answers["UIREQ"] = lambda _: []
    lab.tell("alice", AskMembers())
    message = judge.build(mm("UIRES", ui=1, r=1))
    for start in [*range(1, 65536, 300)] * 2:
        words = b"".join(user.to_bytes(2) + b"\x20\0" for user in range(start, min(start + 300, 65536)))
        lab.give("alice", message + words, MM, "mm")
    assert len(list(lab.nodes["alice"].agent.rows("members"))) == 65535
    lab.run_for(3.1)  # a row without an end is no answer
    assert lab.told("alice")[-1] == ("unanswered", {"request": "UIREQ"})
    lab.from_server("alice", mm("UIRES", ui=1, members=[]))
    assert lab.count("alice", "dropped.unasked") == 1


def test_more_requests_than_can_wait_are_counted() -> None:
    lab = started()
    for _ in range(20):
        lab.tell("alice", AskMembers())
    assert lab.count("alice", "unsent.too-many-requests") == 3
    lab.run_for(1)
    assert lab.notices("alice").count("members") == 17


# --- the data ---------------------------------------------------------------------------------------------------------


def test_program_that_comes_late_is_told_what_holds() -> None:
    lab = secure_member()
    lab.tell("alice", ApplicationData(encode(MediaReport())))
    assert orders(lab, "alice") == [("receive", 1, GROUP_KEY.hex(), 0)] * 2
    lab.tell("alice", ApplicationData(encode(MediaReport(action="receive", generation=1))))
    assert len(orders(lab, "alice")) == 2
    lab.tell("alice", ApplicationData(b"{"))
    assert lab.count("alice", "dropped.media-report") == 1


def test_data_goes_on_where_the_session_is_now() -> None:
    """A session that has another group: its member leaves the one that it joined, and not the new one [GI-26]."""
    lab = started()
    mark = lab.mark()
    for _ in range(2):
        lab.from_server("alice", mm("KAREQ", period=10, timeout=30, group="239.9.9.9", port=6000))
    assert lab.lines(mark) == [f"alice leaves {GROUP}", "alice joins 239.9.9.9", *["alice KARES server"] * 2]
    assert [json.loads(data)["group"] for _, data in lab.delivered] == [GROUP, "239.9.9.9"]
    lab.tell("alice", Leave(Level.ACTIVE))
    assert "alice leaves 239.9.9.9" in lab.lines(mark)


@pytest.mark.parametrize("group", ["10.1.2.3", "255.255.255.255", "232.1.2.3"])
def test_what_is_no_group_is_not_joined(group: str) -> None:
    lab = started()
    before = orders(lab, "alice")
    lab.from_server("alice", mm("KAREQ", period=10, timeout=30, **{**TO_GROUP, "group": group}))
    assert (lab.state("alice")["group"], orders(lab, "alice")) == (GROUP, before)
    assert lab.count("alice", "dropped.no-group") == 1


def test_group_that_could_not_be_joined_is_joined_again() -> None:
    lab = Lab()
    participant(lab, until="active")
    lab.nodes["alice"].joins_succeed = False
    lab.start("alice")
    lab.run_for(0.5)
    assert lab.notices("alice")[-1] == "group-join-failed"
    lab.nodes["alice"].joins_succeed = True
    lab.run_for(1)
    assert lab.lines().count(f"alice joins {GROUP}") == 2
    assert lab.count("alice", "joined.group") == 1


def test_what_does_not_concern_a_client_is_counted() -> None:
    lab = started("nothing")
    lab.tell("alice", ApplicationLeave())
    lab.tell("alice", EndSession())
    lab.nodes["alice"].agent.received("other", b"x", lab.now)
    assert lab.count("alice", "ignored.ApplicationLeave") == 1
    assert lab.count("alice", "ignored.EndSession") == 1
    assert lab.count("alice", "ignored.stream-data") == 1
