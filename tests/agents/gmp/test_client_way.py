"""GMP's clients against a server made by hand: the way in, step by step, and the way out (clause 7.1)."""

from __future__ import annotations

from typing import Any

import pytest

from agents.core.agent import Endpoint
from agents.gmp.constants import Level
from agents.gmp.events import (
    Activate,
    Enrol,
    Leave,
    Register,
)
from tests.agents.gmp.hand_made import (
    GROUP,
    MM,
    SESSION,
    SM,
    USER,
    Lab,
    keep_alive,
    orders,
    participant,
    refusal,
    sm,
    started,
)

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


def test_who_comes_back_says_first_that_it_has_left() -> None:
    """An LVREQ that is overtaken by what is asked after it would throw it out again [GI-13]."""
    lab = started()
    lab.tell("alice", Leave(Level.ENROLLED))
    lab.run_for(0.5)
    lab.tell("alice", Activate())
    lab.run_for(10)
    lines = [line for line in lab.lines() if "LVREQ" in line or "SJREQ" in line]
    assert lines == ["alice SJREQ server", *["alice LVREQ server"] * 3, "alice SJREQ server"]
    assert lab.times("alice SJREQ server")[-1] == pytest.approx(lab.times("alice LVREQ server")[-1] + 1)
    assert lab.state("alice")["state"] == "ACTIVE"


def test_who_was_active_and_wants_to_be_again_waits_a_second() -> None:
    lab = started()
    lab.tell("alice", Leave(Level.ACTIVE))
    lab.tell("alice", Activate())
    lab.run_for(0.9)
    assert len(lab.packets("SAREQ")) == 1
    lab.run_for(0.2)
    assert len(lab.packets("SAREQ")) == 2
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
