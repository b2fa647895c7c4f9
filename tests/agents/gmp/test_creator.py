"""GMP's creator: a session is made, described, ended and deleted (clause 7.1)."""

from __future__ import annotations

from typing import Any

import pytest

from agents.core.agent import ApplicationData, Notify
from agents.core.errors import EncodeError
from agents.core.media_control import MediaReport, encode
from agents.gmp.constants import Level
from agents.gmp.events import (
    Activate,
    DeleteSession,
    Describe,
    EndSession,
    Leave,
    Register,
)
from tests.agents.gmp.hand_made import (
    BOB,
    CREATOR_ID,
    GROUP,
    GROUP_KEY,
    MM,
    PORT,
    SECRET,
    SESSION,
    TO_GROUP,
    Lab,
    creator,
    keep_alive,
    key_options,
    mm,
    nothing,
    orders,
    read,
    refusal,
    sm,
    started,
)


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
    assert lab.nodes["bob"].notices[-1] == Notify("registered", {"session": SESSION}, {"token": "0a0b"})
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


def test_source_goes_over_to_a_new_key_when_the_members_have_it() -> None:
    """It is told 1.5 s after it came, whatever else comes meanwhile: until then each key that was in use is good for 2 s [GI-12]."""
    lab = Lab()
    creator(lab, secret=SECRET, session={"secure": True}, until="active")
    options = key_options(1, user=CREATOR_ID)
    lab.server.answers["SJREQ"] = lambda _: [sm("SJRES", s=1, user_id=CREATOR_ID, options=options, **TO_GROUP)]
    lab.start("bob")
    lab.run_for(0.1)
    for generation in (2, 3):
        told = mm("KDUPT", user_id=CREATOR_ID, options=key_options(generation, user=CREATOR_ID))
        lab.from_server("bob", told)
        lab.run_for(0.7)
    assert [row[1] for row in orders(lab, "bob")] == [1]
    lab.run_for(0.2)
    assert [row[1] for row in orders(lab, "bob")] == [1, 3]
    lab.from_server("bob", mm("KDUPT", user_id=CREATOR_ID, options=key_options(4, user=CREATOR_ID)))
    lab.tell("bob", Leave(Level.ACTIVE))
    lab.run_for(2)
    assert [(row[0], row[1]) for row in orders(lab, "bob")][2:] == [("stop", 0)]


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


def test_description_that_was_not_answered_is_sent_again_and_no_other_session_made() -> None:
    """It may have been confirmed, and SCREQ would then make another one [G-23]."""
    lab = Lab()
    confirmed = lab.server.answers["SCINF"]
    lab.server.answers["SCINF"] = nothing
    creator(lab, until="registered")
    lab.start("bob")
    lab.run_for(4)
    lab.server.answers["SCINF"] = confirmed
    lab.run_for(2)
    assert len(lab.packets("SCREQ")) == 1
    assert lab.state("bob")["state"] == "REGISTERED"


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


@pytest.mark.parametrize(
    "event", [Describe(start_time=-1), Describe(media="x" * 65000, content="x" * 1000)], ids=["time", "size"]
)
def test_description_that_no_message_can_hold_is_refused_to_who_asks(event: Describe) -> None:
    lab = created()
    mark = lab.mark()
    with pytest.raises(EncodeError):
        lab.nodes["bob"].agent.handle(event, lab.now)
    lab.tell("bob", Describe(owner="bob"))
    lab.run_for(0.1)
    assert lab.lines(mark) == ["bob SCINF server", "server SCCON bob"]


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
