"""GMP's clients over TCP [G-2, G-17]: two streams that the client opens, and what becomes of them."""

from __future__ import annotations

from typing import Any

import pytest

from agents.core.agent import CloseStream, Connect, SendStream, StreamClosed, StreamOpened
from agents.gmp.constants import Level
from agents.gmp.events import Activate, AskMembers, Enrol, Leave, Register
from captures.gmp import dissector as judge
from tests.agents.gmp.hand_made import (
    GROUP,
    MM,
    SM,
    Lab,
    creator,
    keep_alive,
    mm,
    nothing,
    participant,
    prefixed,
    sm,
)


def lab_of(until: str = "nothing", **changes: Any) -> Lab:
    lab = Lab()
    participant(lab, until=until, transport="tcp", **changes)
    lab.start("alice")
    lab.run_for(0.1)
    return lab


def heard(lab: Lab) -> list[str]:
    return [fields["packet"] for fields in lab.server.heard]


def asked(lab: Lab) -> list[object]:
    """The streams that a client which no network serves has asked for."""
    return [action for action in lab.nodes["alice"].agent.take_actions() if not hasattr(action, "event")]


def test_client_goes_its_way_over_two_streams() -> None:
    lab = lab_of("active")
    assert heard(lab) == ["SRREQ", "SJREQ", "SAREQ", "KARES"]
    assert lab.server.opened == ["SM", "MM"]
    assert lab.sent == []  # no datagram
    assert lab.lines() == ["alice connects server", "alice connects server", f"alice joins {GROUP}"]
    assert lab.state("alice")["state"] == "ACTIVE"


def test_creator_does_too() -> None:
    lab = Lab()
    creator(lab, transport="tcp", until="active")
    lab.start("bob")
    lab.run_for(0.1)
    assert heard(lab) == ["SCREQ", "SCINF", "SJREQ", "SAREQ", "KARES"]


def test_request_is_sent_once_on_a_stream_and_given_up_like_any() -> None:
    """A stream loses nothing, so there is nothing to repeat [GI-8]; one on which no answer comes is given up."""
    lab = Lab()
    lab.server.answers["SRREQ"] = nothing
    participant(lab, transport="tcp")
    lab.start("alice")
    lab.tell("alice", Register())
    lab.run_for(3.1)
    assert heard(lab) == ["SRREQ"]
    assert lab.told("alice") == [("unanswered", {"request": "SRREQ", "again_in_s": 2.0})]
    assert lab.server.closed == ["SM"]
    lab.run_for(2)
    assert heard(lab) == ["SRREQ", "SRREQ"]
    assert lab.server.opened == ["SM", "SM"]


def test_request_is_sent_again_on_another_stream() -> None:
    lab = lab_of("registered")
    lab.server.answers["SJREQ"] = nothing
    lab.tell("alice", Enrol())
    lab.run_for(0.1)
    lab.network.tell(lab.nodes["server"], StreamClosed("x"))
    lab.server.drop_stream("SM")
    lab.network.tell(lab.nodes["server"], StreamClosed("x"))  # so that the network carries it out
    lab.server.answers["SJREQ"] = lambda _: [sm("SJRES", group=GROUP, port=5004)]
    lab.run_for(1.5)
    assert heard(lab).count("SJREQ") == 2
    assert lab.state("alice")["state"] == "ENROLLED"
    assert lab.count("alice", "lost.stream.reset") == 1


def test_stream_of_module_mm_is_opened_again_while_there_is_a_session() -> None:
    """What nobody has asked for comes there: KAREQ, KDUPT, TRIND [G-17]."""
    lab = lab_of("active")
    lab.server.drop_stream("MM")
    lab.network.tell(lab.nodes["server"], StreamClosed("x"))
    lab.run_for(0.5)
    assert lab.server.opened == ["SM", "MM"]
    lab.run_for(0.6)
    assert lab.server.opened == ["SM", "MM", "MM"]
    lab.server.act(SendStream(lab.server.streams["MM"], prefixed(judge.build(mm("TRIND", ss=1)))))
    lab.network.tell(lab.nodes["server"], StreamClosed("x"))
    lab.run_for(0.1)
    assert lab.state("alice")["state"] == "ENDED"
    assert sorted(lab.server.closed) == ["MM", "SM"]
    lab.run_for(10)
    assert lab.server.opened == ["SM", "MM", "MM"]


def test_stream_on_which_no_keep_alive_request_comes_is_replaced() -> None:
    """A server whose machine has begun again asks its members, but knows nothing of their streams [GI-9]."""
    lab = lab_of("active")
    lab.run_for(1.3)
    assert lab.server.opened == ["SM", "MM"]
    lab.run_for(0.3)
    assert lab.server.opened == ["SM", "MM", "MM"]
    assert lab.count("alice", "reopened.stream") == 1
    lab.server.act(SendStream(lab.server.streams["MM"], prefixed(judge.build(keep_alive()))))
    lab.network.tell(lab.nodes["server"], StreamClosed("x"))
    lab.run_for(0.1)
    assert heard(lab).count("KARES") == 2


def test_server_that_does_not_answer_is_tried_again_when_the_request_is() -> None:
    lab = Lab()
    participant(lab, transport="tcp")
    lab.kill("server")
    lab.start("alice")
    lab.tell("alice", Register())
    lab.run_for(5.5)
    assert lab.lines() == ["alice connects server"] * 2
    assert lab.told("alice") == [("unanswered", {"request": "SRREQ", "again_in_s": 2.0})]


def test_server_that_refuses_the_stream_is_tried_with_each_resend() -> None:
    lab = Lab()
    made = participant(lab, transport="tcp")
    made.start(0.0)
    made.handle(Register(), 0.0)
    for at in (1.0, 2.0, 3.0):
        assert asked(lab) == [Connect("sm", SM)]
        made.handle(StreamClosed("sm", "refused"), at - 0.5)
        made.timer_expired(("request",), at)
    assert asked(lab) == []
    assert lab.count("alice", "unanswered.SRREQ") == 1


def test_leaving_is_said_as_often_on_streams() -> None:
    """Nothing answers LVREQ, and the stream may be dead, which the first one finds out [G-14]."""
    lab = lab_of("active")
    lab.tell("alice", Leave(Level.ENROLLED))
    lab.run_for(10)
    assert heard(lab).count("LVREQ") == 3


def test_activation_that_nothing_answers_is_tried_with_another_stream_of_module_mm() -> None:
    lab = lab_of("enrolled")
    lab.server.answers["SAREQ"] = nothing
    lab.tell("alice", Activate())
    lab.run_for(1.5)
    assert lab.server.opened == ["SM", "MM", "MM"]


def bare() -> Lab:
    """Alice has a stream to module SM, which is the test's own: nobody answers."""
    lab = Lab()
    made = participant(lab, transport="tcp")
    made.start(0.0)
    made.handle(Activate(), 0.0)
    assert asked(lab) == [Connect("sm", SM)]
    made.handle(StreamOpened("sm", SM), 0.0)
    assert [type(action) for action in asked(lab)] == [SendStream]
    return lab


WAY_IN = {
    "sm": [sm("SRACC"), sm("SJRES", group=GROUP, port=5004)],
    "mm": [keep_alive(), mm("TRIND", ss=1)],
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 17, 1000])
def test_stream_may_split_anywhere(size: int) -> None:
    lab = bare()
    made = lab.nodes["alice"].agent
    for message in WAY_IN["sm"]:
        data = prefixed(judge.build(message))
        for at in range(0, len(data), size):
            made.received("sm", data[at : at + size], 0.0)
    made.handle(StreamOpened("mm", MM), 0.0)
    data = b"".join(prefixed(judge.build(message)) for message in WAY_IN["mm"])
    for at in range(0, len(data), size):
        made.received("mm", data[at : at + size], 0.0)
    assert lab.state("alice")["state"] == "ENDED"
    assert not [name for name in made.counters if name.startswith("dropped")]


@pytest.mark.parametrize(
    ("octets", "reason", "goes_on"),
    [
        (bytes(2), "too-short", True),
        (b"\xff\xff", "frame-length", False),
        (b"\0\x04abcd", "too-short", True),
        (prefixed(judge.build(keep_alive())), "unknown-type", True),
    ],
    ids=["length 0", "length 65535", "short", "of the other module"],
)
def test_what_no_message_is_is_counted(octets: bytes, reason: str, *, goes_on: bool) -> None:
    lab = bare()
    made = lab.nodes["alice"].agent
    made.received("sm", octets, 0.0)
    assert [name for name in made.counters if name.startswith("dropped.")] == [f"dropped.{reason}"]
    assert (CloseStream("sm", abort=True) in asked(lab)) is not goes_on
    made.received("sm", prefixed(judge.build(sm("SRACC"))), 0.0)
    assert (lab.state("alice")["state"] == "ENROLLING") is goes_on


def test_datagram_is_not_taken_for_what_a_stream_brings() -> None:
    lab = bare()
    lab.nodes["alice"].agent.receive(judge.build(sm("SRACC")), SM, 0.0)
    assert lab.count("alice", "dropped.foreign-source") == 1
    assert lab.state("alice")["state"] == "REGISTERING"


def test_what_waits_for_a_stream_is_bounded() -> None:
    lab = lab_of("active")
    made = lab.nodes["alice"].agent
    made.handle(StreamClosed("mm", "reset"), 0.0)
    made.handle(AskMembers(), 0.0)
    for _ in range(10):
        made.receive(judge.build(keep_alive()), MM, 0.0, "mm")
    assert lab.count("alice", "unsent.waiting-for-stream") == 3


def test_stream_that_is_not_ours_is_ignored() -> None:
    lab = lab_of()
    lab.tell("alice", StreamOpened("sm", SM))
    lab.tell("alice", StreamOpened("other", SM))
    lab.tell("alice", StreamClosed("other"))
    assert lab.count("alice", "ignored.StreamOpened") == 2
    assert lab.count("alice", "ignored.StreamClosed") == 1
