"""GMP's clients against a server made by hand: the way in, what is asked of a member, and the way out (clause 7)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agents.core.agent import ApplicationData, Endpoint
from agents.core.media_control import MediaReport, encode
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
from agents.mmcp.events import ApplicationLeave
from captures.gmp import dissector as judge
from tests.agents.gmp.hand_made import (
    BOB,
    CREATOR_ID,
    GROUP,
    GROUP_KEY,
    MM,
    PORT,
    SECRET,
    SESSION,
    SM,
    STRANGER,
    TO_GROUP,
    USER,
    Lab,
    creator,
    keep_alive,
    key_options,
    mm,
    participant,
    read,
    refusal,
    sm,
)


def started(until: str = "active", **changes: Any) -> Lab:
    lab = Lab()
    participant(lab, until=until, **changes)
    lab.start("alice")
    lab.run_for(0.1)
    return lab


def orders(lab: Lab, name: str) -> list[tuple[str, int, str | None, int]]:
    """What the program that carries the data was told: action, generation, key, roll-over counter."""
    plain = [json.loads(data) for to, data in lab.delivered if to == name]
    return [(row["action"], row["generation"], row["key"], row["roll_over_counter"]) for row in plain]


# --- the way in -------------------------------------------------------------------------------------------------------


def test_participant_goes_to_where_it_is_told() -> None:
    lab = started()
    assert lab.lines() == [
        "alice SRREQ server", "server SRACC alice", "alice SJREQ server", "server SJRES alice", "alice SAREQ server",
        "server KAREQ alice", "alice KARES server", f"alice joins {GROUP}",
    ]  # fmt: skip
    assert lab.notices("alice") == ["registered", "enrolled", "active"]
    sent = {one.packet: one for one in lab.sent if one.sender == "alice"}
    assert sent["SRREQ"].fields["options"] == [[16, b"alice".hex()]]
    assert (sent["SRREQ"].fields["session_id"], sent["SRREQ"].fields["user_id"]) == (SESSION, 0)
    assert sent["SJREQ"].fields["options"] == [[21, "4082"]]  # G-15: the MM port
    assert sent["SAREQ"].fields["mm_port"] == 16514
    assert (sent["KARES"].source, sent["KARES"].destination) == (Endpoint("10.0.0.2", 16514), MM)  # G-17
    assert (sent["SAREQ"].source.port, sent["SAREQ"].destination) == (16513, SM)
    assert (sent["KARES"].fields["mode"], sent["KARES"].fields["member_type"]) == (1, 1)
    assert orders(lab, "alice") == [("receive", 0, None, 0)]
    assert lab.state("alice")["state"] == "ACTIVE"


@pytest.mark.parametrize(
    ("until", "state"), [("nothing", "IDLE"), ("registered", "REGISTERED"), ("enrolled", "ENROLLED")]
)
def test_participant_stops_where_it_is_told(until: str, state: str) -> None:
    lab = started(until)
    assert lab.state("alice")["state"] == state
    lab.tell("alice", Activate())
    lab.run_for(0.1)
    assert lab.state("alice")["state"] == "ACTIVE"


def test_each_step_may_be_asked_for() -> None:
    lab = started("nothing", session_id=0)
    for event, state in ((Register(SESSION), "REGISTERED"), (Enrol(), "ENROLLED"), (Activate(), "ACTIVE")):
        lab.tell("alice", event)
        lab.run_for(0.1)
        assert lab.state("alice")["state"] == state


def test_session_may_be_said_later() -> None:
    lab = started("active", session_id=0)
    assert lab.told("alice") == [("waiting", {"reason": "no-session"})]
    lab.tell("alice", Register(SESSION))
    lab.run_for(0.1)
    assert lab.state("alice")["state"] == "ACTIVE"
    lab.tell("alice", Register(SESSION + 1))
    assert lab.told("alice")[-1] == ("refused", {"request": "SRREQ", "reason": "in-another-session"})


def test_closed_session_is_looked_at_first() -> None:
    """SRRES stops the resends, and 30 s later it begins again [G-23]."""
    lab = Lab()
    lab.server.answers["SRREQ"] = lambda _: [sm("SRRES", m=1, user_id=0)]
    participant(lab)
    lab.start("alice")
    lab.tell("alice", Register(token=b"\xaa\xbb"))
    lab.run_for(10)
    assert lab.times("alice SRREQ server") == [0.0]
    assert lab.packets("SRREQ")[0].fields["options"] == [[16, b"alice".hex()], [17, "aabb"]]
    assert lab.state("alice")["state"] == "AUTHORISING"
    lab.run_for(20.1)
    assert lab.times("alice SRREQ server") == [0.0, 30.002]
    lab.from_server("alice", sm("SRACC", m=1))
    assert lab.state("alice")["state"] == "REGISTERED"
    assert lab.notices("alice") == ["authorising", "authorising", "registered"]
    lab.run_for(60)
    assert len(lab.packets("SRREQ")) == 2


def test_request_is_sent_three_times_a_second_apart() -> None:
    """And tried again later, as long as it is wanted [G-1, GI-3]."""
    lab = Lab()
    lab.server.answers.clear()
    participant(lab)
    lab.start("alice")
    lab.tell("alice", Register())
    lab.run_for(9.5)
    assert lab.times("alice SRREQ server") == [0, 1, 2, 5, 6, 7]
    assert lab.told("alice") == [("unanswered", {"request": "SRREQ", "again_in_s": 2.0}),
                                 ("unanswered", {"request": "SRREQ", "again_in_s": 4.0})]  # fmt: skip
    lab.tell("alice", Leave(Level.REGISTERED))
    lab.run_for(60)
    assert len(lab.packets("SRREQ")) == 6
    assert lab.count("alice", "unanswered.SRREQ") == 2


@pytest.mark.parametrize("packet", ["SRREQ", "SRACC", "SJREQ", "SJRES", "SAREQ", "KAREQ"])
def test_lost_message_of_the_way_in_costs_a_second(packet: str) -> None:
    lab = Lab()
    participant(lab)
    lab.start("alice")
    lab.lose(packet)
    lab.tell("alice", Activate())
    lab.run_for(1.1)
    assert lab.state("alice")["state"] == "ACTIVE"


@pytest.mark.parametrize("packet", ["SRREQ", "SRACC", "SJREQ", "SJRES", "SAREQ", "KAREQ", "KARES"])
def test_repeated_message_of_the_way_in_changes_nothing(packet: str) -> None:
    lab = Lab()
    participant(lab)
    lab.start("alice")
    lab.repeat(packet)
    lab.tell("alice", Activate())
    lab.run_for(0.1)
    assert lab.notices("alice") == ["registered", "enrolled", "active"]


@pytest.mark.parametrize(
    ("packet", "answer", "state"),
    [
        ("SRREQ", refusal("SRREJ", 2, user_id=0), "IDLE"),
        ("SRREQ", refusal("SRREJ", 4, user_id=0), "IDLE"),
        ("SRREQ", refusal("SRREJ", 5, user_id=0), "IDLE"),
        ("SJREQ", refusal("SJRES", 2), "REGISTERED"),
        ("SAREQ", refusal("SJRES", 2), "ENROLLED"),
        ("SJREQ", refusal("SJRES", 4), "ENDED"),
        ("SAREQ", refusal("SJRES", 4), "ENDED"),
    ],
    ids=lambda value: value["packet"] if isinstance(value, dict) else value,
)
def test_refusal_for_good_is_told_and_not_tried_again(packet: str, answer: dict[str, Any], state: str) -> None:
    """Each reason of the page that will not pass [G-16]."""
    lab = Lab()
    lab.server.answers[packet] = lambda _: [answer]
    participant(lab)
    lab.start("alice")
    lab.tell("alice", Activate())
    lab.run_for(60)
    assert lab.state("alice")["state"] == state
    assert len(lab.packets(packet)) == 1
    reason = int(answer["options"][0][1], 16)
    assert ("refused", {"request": packet, "reason": reason}) in lab.told("alice")


@pytest.mark.parametrize(
    ("packet", "reason", "again"),
    [("SRREQ", 1, "SRREQ"), ("SJREQ", 1, "SJREQ"), ("SAREQ", 1, "SAREQ"), ("SJREQ", 6, "SRREQ"), ("SAREQ", 6, "SJREQ")],
)
def test_refusal_that_may_pass_is_tried_again(packet: str, reason: int, again: str) -> None:
    """Without resources, or of a member that the server does not know so far [GI-3, GI-5]."""
    lab = Lab()
    granted = lab.server.answers[packet]
    answer = "SRREJ" if packet == "SRREQ" else "SJRES"
    lab.server.answers[packet] = lambda _: [refusal(answer, reason, user_id=0 if packet == "SRREQ" else USER)]
    participant(lab)
    lab.start("alice")
    lab.tell("alice", Activate())
    lab.run_for(1)
    mark = lab.mark()
    lab.server.answers[packet] = granted
    lab.run_for(2)
    assert lab.lines(mark)[0] == f"alice {again} server"
    assert lab.state("alice")["state"] == "ACTIVE"


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
    """Several UIRES, R in all but the last, and those who are only counted [G-22]."""
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


# --- the way out ------------------------------------------------------------------------------------------------------


def test_active_member_leaves_once_and_again_when_it_was_not_heard() -> None:
    """Level 0 [G-14]: again only while a KAREQ still comes, a second apart and three times in all."""
    lab = started()
    mark = lab.mark()
    lab.tell("alice", Leave(Level.ACTIVE))
    assert lab.lines(mark) == ["alice LVREQ server", f"alice leaves {GROUP}"]
    assert lab.packets("LVREQ")[0].data[15] == 0
    lab.run_for(60)
    assert len(lab.packets("LVREQ")) == 1
    for _ in range(5):
        lab.from_server("alice", keep_alive())
        lab.from_server("alice", keep_alive())
        lab.run_for(1)
    assert len(lab.packets("LVREQ")) == 3
    assert lab.count("alice", "received.keep-alive-after-leave") == 10
    assert lab.state("alice")["state"] == "ENROLLED"
    assert orders(lab, "alice")[-1][0] == "stop"


@pytest.mark.parametrize(("level", "state"), [(Level.ENROLLED, "REGISTERED"), (Level.REGISTERED, "IDLE")])
@pytest.mark.parametrize("until", ["enrolled", "active"])
def test_leaving_for_good_is_said_three_times(level: Level, state: str, until: str) -> None:
    """Levels 1 and 2 [G-10, G-14]."""
    lab = started(until)
    lab.tell("alice", Leave(level))
    lab.run_for(60)
    assert lab.times("alice LVREQ server") == pytest.approx([0.1, 1.1, 2.1])
    assert {one.data[15] for one in lab.packets("LVREQ")} == {int(level)}
    assert {one.fields["user_id"] for one in lab.packets("LVREQ")} == {USER}
    assert lab.state("alice")["state"] == state
    assert lab.told("alice")[-1] == ("left", {"level": level.name.lower()})


def test_who_enrols_again_is_not_thrown_out_by_its_own_leave() -> None:
    lab = started()
    lab.tell("alice", Leave(Level.ENROLLED))
    lab.run_for(0.5)
    lab.tell("alice", Activate())
    lab.run_for(10)
    assert len(lab.packets("LVREQ")) == 1
    assert lab.state("alice")["state"] == "ACTIVE"


@pytest.mark.parametrize(
    ("until", "level"), [("nothing", Level.REGISTERED), ("registered", Level.ENROLLED), ("enrolled", Level.ACTIVE)]
)
def test_leaving_where_one_is_not_says_nothing(until: str, level: Level) -> None:
    lab = started(until)
    lab.tell("alice", Leave(level))
    lab.run_for(5)
    assert lab.packets("LVREQ") == []
    assert lab.count("alice", "ignored.leave") == 1


def test_leaving_while_a_request_is_out_takes_it_back() -> None:
    lab = Lab()
    lab.server.answers["SJREQ"] = lambda _: []
    participant(lab)
    lab.start("alice")
    lab.tell("alice", Activate())
    lab.run_for(0.5)
    lab.tell("alice", Leave(Level.REGISTERED))
    lab.run_for(60)
    assert len(lab.packets("SJREQ")) == 1
    assert len(lab.packets("LVREQ")) == 3
    assert lab.state("alice")["state"] == "IDLE"


# --- keys -------------------------------------------------------------------------------------------------------------


def secure(lab: Lab, generation: int = 1, counter: int | None = None) -> None:
    lab.server.answers["SRREQ"] = lambda _: [sm("SRACC", s=1)]
    lab.server.answers["SJREQ"] = lambda _: [
        sm("SJRES", s=1, key_length=30, options=key_options(generation, counter=counter), **TO_GROUP)
    ]


def secure_member(until: str = "active", generation: int = 1, counter: int | None = None) -> Lab:
    lab = Lab()
    secure(lab, generation, counter)
    participant(lab, secret=SECRET, until=until)
    lab.start("alice")
    lab.run_for(0.1)
    return lab


def test_key_comes_with_enrolment_and_goes_to_the_data() -> None:
    """Wrapped for this member alone [G-12, G-18]; with the roll-over counter a late one decrypts [G-29]."""
    lab = secure_member(counter=3)
    assert orders(lab, "alice") == [("receive", 1, GROUP_KEY.hex(), 3)]
    assert lab.state("alice")["generation"] == 1
    assert GROUP_KEY.hex() not in repr([lab.nodes["alice"].traces, lab.told("alice"), lab.state("alice")])
    assert GROUP_KEY not in b"".join(one.data for one in lab.sent)


@pytest.mark.parametrize("until", ["enrolled", "active"])
def test_new_key_is_taken(until: str) -> None:
    lab = secure_member(until)
    new = bytes(30)
    for _ in range(3):  # KDUPT is sent three times [G-15]
        lab.from_server("alice", mm("KDUPT", key_length=30, options=key_options(2, new, counter=7)))
    assert lab.state("alice")["generation"] == 2
    assert lab.notices("alice").count("key") == 2
    assert [row for row in orders(lab, "alice") if row[1] == 2] == (
        [("receive", 2, new.hex(), 7)] if until == "active" else []
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "no-key"),
        (key_options(6)[:1], "no-key"),
        (key_options(0), "no-key"),
        (key_options(6, user=USER + 1), "wrong-key"),
        (key_options(6, secret=bytes(32)), "wrong-key"),
        ([[18, "00" * 24], [19, "00000006"]], "wrong-key"),
        ([[18, GROUP_KEY.hex()], [19, "00000006"]], "wrong-key"),
        (key_options(4), "old-generation"),
        (key_options(5, bytes(30)), "another-key-of-this-generation"),
    ],
    ids=[
        "none",
        "no generation",
        "generation 0",
        "another user's",
        "another secret's",
        "short",
        "in the clear",
        "old",
        "changed",
    ],
)
def test_key_that_is_of_no_use_is_dropped(options: list[Any], reason: str) -> None:
    lab = secure_member(generation=5)
    lab.from_server("alice", mm("KDUPT", key_length=30, options=options))
    assert lab.count("alice", f"dropped.{reason}") == 1
    assert orders(lab, "alice") == [("receive", 5, GROUP_KEY.hex(), 0)]


def test_member_without_the_current_key_asks_for_it() -> None:
    """KAREQ's Reserved octet tells that there is one [G-15]: SJREQ again, and SJRES has it."""
    lab = secure_member(generation=255)
    secure(lab, 257)
    mark = lab.mark()
    lab.from_server("alice", keep_alive(reserved=1))  # 257's low octet
    lab.from_server("alice", keep_alive(reserved=1))
    lab.run_for(0.1)
    assert lab.lines(mark) == ["alice KARES server", "alice SJREQ server", "alice KARES server", "server SJRES alice"]
    assert lab.state("alice")["state"] == "ACTIVE"
    assert orders(lab, "alice")[-1] == ("receive", 257, GROUP_KEY.hex(), 0)


@pytest.mark.parametrize("octet", [0, 255, 254], ids=["none", "the one held", "an older one"])
def test_member_that_has_the_current_key_asks_for_none(octet: int) -> None:
    lab = secure_member(generation=255)
    lab.from_server("alice", keep_alive(reserved=octet))
    assert len(lab.packets("SJREQ")) == 1


def test_secure_session_is_not_for_who_has_no_secret() -> None:
    lab = Lab()
    secure(lab)
    participant(lab, until="active")
    lab.start("alice")
    lab.run_for(10)
    assert lab.packets("SJREQ") == []
    assert lab.told("alice")[-1] == ("refused", {"request": "SJREQ", "reason": "no-secret"})


def test_enrolment_without_a_key_of_use_is_no_enrolment() -> None:
    lab = Lab()
    secure(lab)
    lab.server.answers["SJREQ"] = lambda _: [sm("SJRES", s=1, options=key_options(1, user=9), **TO_GROUP)]
    participant(lab, secret=SECRET, until="active")
    lab.start("alice")
    lab.run_for(3.5)
    assert len(lab.packets("SJREQ")) == 3
    assert lab.count("alice", "dropped.wrong-key") == 3
    assert lab.state("alice")["state"] == "REGISTERED"


def test_who_leaves_forgets_the_key() -> None:
    lab = secure_member("enrolled")
    lab.tell("alice", Leave(Level.ENROLLED))
    assert lab.state("alice")["generation"] == 0
    lab.from_server("alice", mm("KDUPT", key_length=30, options=key_options(2)))
    assert lab.count("alice", "dropped.not-enrolled") == 1


# --- the data ---------------------------------------------------------------------------------------------------------


def test_program_that_comes_late_is_told_what_holds() -> None:
    lab = secure_member()
    lab.tell("alice", ApplicationData(encode(MediaReport())))
    assert orders(lab, "alice") == [("receive", 1, GROUP_KEY.hex(), 0)] * 2
    lab.tell("alice", ApplicationData(encode(MediaReport(action="receive", generation=1))))
    assert len(orders(lab, "alice")) == 2
    lab.tell("alice", ApplicationData(b"{"))
    assert lab.count("alice", "dropped.media-report") == 1


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


# --- the creator ------------------------------------------------------------------------------------------------------


def created(until: str = "active", **changes: Any) -> Lab:
    lab = Lab()
    creator(lab, until=until, **changes)
    lab.server.answers["SRREQ"] = lambda _: [sm("SRACC", user_id=CREATOR_ID)]
    lab.start("bob")
    lab.run_for(0.1)
    return lab


def test_creator_makes_a_session_and_sends() -> None:
    lab = created()
    assert lab.lines() == [
        "bob SCREQ server", "server SCACC bob", "bob SCINF server", "server SCCON bob", "bob SJREQ server",
        "server SJRES bob", "bob SAREQ server", "server KAREQ bob", "bob KARES server",
    ]  # fmt: skip
    assert lab.packets("SCREQ")[0].fields["options"] == [[16, b"bob".hex()]]  # G-19
    described = lab.packets("SCINF")[0].fields
    codes = [code for code, _ in described["options"]]
    assert codes == [1, 6, 7, 8, 22]  # G-26: 1 and 6 must be there
    assert (described["i"], described["group"], described["port"]) == (1, GROUP, PORT)
    assert (described["session_id"], described["user_id"]) == (SESSION, CREATOR_ID)
    assert orders(lab, "bob") == [("send", 0, None, 0)]
    assert lab.notices("bob") == ["created", "registered", "enrolled", "active"]
    assert lab.packets("KARES")[0].fields["member_type"] == 1  # as KAREQ has it


def test_token_of_a_closed_session_is_told_to_who_hands_it_out() -> None:
    """SCCON has it [G-9]; nothing else of the creator says it."""
    lab = Lab()
    creator(lab, session={"closed": True, "invited_members": ["carol"]})
    lab.server.answers["SCINF"] = lambda _: [sm("SCCON", m=1, user_id=CREATOR_ID, options=[[17, "0a0b"]])]
    lab.start("bob")
    lab.tell("bob", Register())
    lab.run_for(0.1)
    assert lab.told("bob")[-1] == ("registered", {"session": SESSION, "token": "0a0b"})
    assert lab.packets("SCREQ")[0].fields["m"] == 1
    assert [9, b"carol".hex()] in lab.packets("SCINF")[0].fields["options"]
    assert "0a0b" not in repr(lab.state("bob")) + repr(lab.nodes["bob"].traces)


def test_secure_session_is_asked_for_and_its_source_tells_the_roll_over_counter() -> None:
    """TLV 23 in KARES: nothing else tells the server of it [GI-7]."""
    lab = Lab()
    creator(lab, secret=SECRET, session={"secure": True}, until="active")
    options = key_options(1, user=CREATOR_ID)
    lab.server.answers["SJREQ"] = lambda _: [sm("SJRES", s=1, user_id=CREATOR_ID, options=options, **TO_GROUP)]
    lab.start("bob")
    lab.run_for(0.1)
    assert (lab.packets("SCREQ")[0].fields["s"], lab.packets("SCINF")[0].fields["key_length"]) == (1, 30)
    assert orders(lab, "bob") == [("send", 1, GROUP_KEY.hex(), 0)]
    lab.tell("bob", ApplicationData(encode(MediaReport(9, 70000, 1, "send"))))
    lab.from_server("bob", keep_alive(user_id=CREATOR_ID, member_type=4))
    assert lab.packets("KARES")[-1].fields["options"] == [[23, "00000009"]]


@pytest.mark.parametrize("packet", ["SCREQ", "SCACC", "SCINF", "SCCON"])
def test_lost_message_of_creation_costs_a_second(packet: str) -> None:
    lab = Lab()
    creator(lab)
    lab.start("bob")
    lab.lose(packet)
    lab.tell("bob", Activate())
    lab.run_for(1.1)
    assert lab.state("bob")["state"] == "ACTIVE"


@pytest.mark.parametrize(("packet", "reason"), [("SCREQ", 2), ("SCREQ", 3), ("SCREQ", 7), ("SCINF", 8)])
def test_refused_creation_is_told(packet: str, reason: int) -> None:
    lab = Lab()
    creator(lab)
    lab.server.answers[packet] = lambda _: [
        refusal("SCREJ", reason, session_id=0 if packet == "SCREQ" else SESSION, user_id=0)
    ]
    lab.start("bob")
    lab.tell("bob", Activate())
    lab.run_for(60)
    assert lab.told("bob")[-1] == ("refused", {"request": packet, "reason": reason})
    assert lab.state("bob")["state"] == "IDLE"
    assert len(lab.packets(packet)) == 1


def test_acceptance_without_ids_is_dropped() -> None:
    lab = Lab()
    creator(lab)
    lab.server.answers["SCREQ"] = lambda _: [sm("SCACC", user_id=0)]
    lab.start("bob")
    lab.tell("bob", Register())
    lab.run_for(0.5)
    assert lab.count("bob", "dropped.no-ids") == 1
    assert lab.state("bob")["state"] == "CREATING"


def test_creator_tries_again_until_the_session_may_start() -> None:
    """Refused with reason 6 until the start condition holds [G-25]; each time it enrols again first [GI-5]."""
    lab = Lab()
    creator(lab, until="active")
    granted = lab.server.answers["SAREQ"]
    lab.server.answers["SAREQ"] = lambda _: [refusal("SJRES", 6, user_id=CREATOR_ID)]
    lab.start("bob")
    lab.run_for(9)
    assert lab.times("bob SAREQ server") == pytest.approx([0.006, 2.01, 4.014, 6.018, 8.022], abs=0.01)
    lab.server.answers["SAREQ"] = granted
    lab.run_for(2)
    assert lab.state("bob")["state"] == "ACTIVE"


def test_creator_ends_its_session() -> None:
    lab = created()
    mark = lab.mark()
    lab.lose("TRIND")
    lab.tell("bob", EndSession())
    lab.run_for(2)
    assert lab.lines(mark) == ["bob TRREQ server", "server TRIND bob (lost)", "bob TRREQ server", "server TRIND bob"]
    assert (lab.packets("TRREQ")[0].source.port, lab.packets("TRREQ")[0].destination) == (16514, MM)
    assert lab.told("bob")[-1] == ("ended", {"reason": "ended"})
    assert orders(lab, "bob")[-1][0] == "stop"


def test_end_that_the_server_is_silent_about_is_told() -> None:
    """Requests of module MM are refused by silence [G-16]."""
    lab = created()
    lab.server.answers["TRREQ"] = lambda _: []
    lab.tell("bob", EndSession())
    lab.run_for(3.1)
    assert lab.told("bob")[-1] == ("unanswered", {"request": "TRREQ"})
    assert lab.state("bob")["state"] == "ACTIVE"


def test_end_and_deletion_are_for_a_session_that_there_is() -> None:
    lab = created("nothing")
    lab.tell("bob", EndSession())
    lab.tell("bob", DeleteSession())
    assert lab.lines() == []
    assert lab.told("bob") == [
        ("refused", {"request": "TRREQ", "reason": "not-active"}),
        ("refused", {"request": "SDREQ", "reason": "no-session"}),
    ]


def test_creator_deletes_an_inactive_session() -> None:
    lab = created("enrolled")
    lab.tell("bob", DeleteSession())
    lab.run_for(0.1)
    assert lab.lines()[-2:] == ["bob SDREQ server", "server SDRES bob"]
    assert lab.told("bob")[-1] == ("ended", {"reason": "deleted"})
    lab.tell("bob", Activate())  # another session
    lab.run_for(0.1)
    assert lab.state("bob")["state"] == "ACTIVE"
    assert len(lab.packets("SCREQ")) == 2


def test_deletion_that_is_refused_changes_nothing() -> None:
    """Reason 6 while somebody is active [G-27]."""
    lab = created()
    lab.server.answers["SDREQ"] = lambda _: [refusal("SDRES", 6, user_id=CREATOR_ID)]
    lab.tell("bob", DeleteSession())
    lab.run_for(0.1)
    assert lab.told("bob")[-1] == ("refused", {"request": "SDREQ", "reason": 6})
    assert lab.state("bob")["state"] == "ACTIVE"


def test_description_may_change() -> None:
    lab = created()
    lab.tell("bob", Describe(name="seminar", start_time=7))
    lab.run_for(0.1)
    described = dict(lab.packets("SCINF")[-1].fields["options"])
    assert (described[1], described[4]) == (b"seminar".hex(), f"{7:016x}")
    assert lab.told("bob")[-1] == ("described", {"session": SESSION})
    assert lab.state("bob")["state"] == "ACTIVE"
    lab.server.answers["SCINF"] = lambda _: [refusal("SCREJ", 8, user_id=CREATOR_ID)]
    lab.tell("bob", Describe(name="x"))
    lab.run_for(0.1)
    assert lab.state("bob")["state"] == "ACTIVE"


def test_creator_that_the_server_has_dropped_registers_again() -> None:
    """Its SRREQ is answered with the User ID that it had [G-28]."""
    lab = created("registered")
    granted = lab.server.answers["SJREQ"]
    lab.server.answers["SJREQ"] = lambda _: [refusal("SJRES", 6, user_id=CREATOR_ID)]
    lab.tell("bob", Activate())
    lab.run_for(1)
    lab.server.answers["SJREQ"] = granted
    lab.run_for(2)
    assert lab.packets("SRREQ")[0].fields["user_id"] == CREATOR_ID
    assert lab.state("bob")["state"] == "ACTIVE"
    assert lab.state("bob")["user"] == CREATOR_ID
    assert BOB


def test_history_reads_as_the_judge_does() -> None:
    lab = started()
    traced = [trace.details["packet"] for trace in lab.nodes["alice"].traces if trace.event == "sent"]
    assert traced == [read(one.data)[0] for one in lab.sent if one.sender == "alice"]
