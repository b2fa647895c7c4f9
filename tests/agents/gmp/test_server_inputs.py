"""Floods, streams that are torn and slow, and bytes that are no messages: bounded, counted, survived [G-2, G-13, G-17]."""

from __future__ import annotations

from collections.abc import Hashable
from random import Random
from typing import Any

import pytest

from agents.core.agent import CloseStream, Endpoint, SendStream, StreamClosed, StreamOpened
from agents.gmp import admission, server_streams
from captures.gmp import dissector as judge
from testbed.sim.node import Node
from tests.agents.gmp.callers import CLIENT, MM_PORT, Caller, guest, host, text
from tests.agents.gmp.hand_made import GROUP, PORT, SDP, Plain, prefixed, read
from tests.agents.gmp.meeting import SECRETS, Meeting

PEER = Endpoint("10.0.5.5", 40_000)


class StreamingLab(Meeting):
    """A meeting that notes what the server sends on streams, and which it closes."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(**changes)
        self.said: list[Plain] = []
        self.closed: list[Hashable] = []
        self.network._ways = {**self.network._ways, SendStream: self._sent, CloseStream: self._closed}

    def _sent(self, _node: Node, action: SendStream) -> None:
        self.said.append({"stream": action.stream, **read(action.data[2:])[2]})

    def _closed(self, _node: Node, action: CloseStream) -> None:
        self.closed.append(action.stream)

    def octets(self, stream: Hashable, data: bytes) -> None:
        """The next octets of a stream come to the server."""
        node = self.nodes["server"]
        node.agent.received(stream, data, self.now)
        self.network._carry_out(node)


class Streaming:
    """Streams of one address, on which a test speaks itself."""

    def __init__(self, lab: StreamingLab, peer: Endpoint = PEER) -> None:
        self.lab = lab
        self.peer = peer
        self.count = 0

    def open(self, port: str = "sm-streams") -> tuple[str, int]:
        self.count += 1
        name = (self.peer.address, self.count)
        self.lab.tell("server", StreamOpened(name, self.peer._replace(port=self.peer.port + self.count), port))
        return name

    def say(self, stream: Hashable, data: bytes, *, pieces: int = 0) -> list[Plain]:
        """What the server sends on any stream for that."""
        parts = [data] if not pieces else [data[at : at + pieces] for at in range(0, len(data), pieces)]
        for part in parts:
            self.lab.octets(stream, part)
            self.lab.run_for(0.01)
        told, self.lab.said = self.lab.said, []
        return told


@pytest.fixture
def lab() -> StreamingLab:
    return StreamingLab()


def message(module: str, packet: str, **fields: Any) -> bytes:
    usual = {"mode": 1, "member_type": 1} if module == "MM" else {}
    return prefixed(judge.build({"module": module, "packet": packet, **usual, **fields}))


# --- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [0, 1, 3])
def test_session_over_streams(lab: StreamingLab, pieces: int) -> None:
    host(lab)
    streaming = Streaming(lab)
    sm = streaming.open()
    said = streaming.say(sm, message("SM", "SRREQ", session_id=1, options=[text(CLIENT, "tom")]), pieces=pieces)
    assert [each["packet"] for each in said] == ["SRACC"]
    who = {"session_id": 1, "user_id": said[0]["user_id"]}
    said = streaming.say(sm, message("SM", "SJREQ", **who, options=[[MM_PORT, "4082"]]), pieces=pieces)
    assert [each["packet"] for each in said] == ["SJRES"]
    mm = streaming.open("mm-streams")
    said = streaming.say(sm, message("SM", "SAREQ", **who, mm_port=16514), pieces=pieces)
    assert [(each["packet"], each["stream"]) for each in said] == [("KAREQ", mm)]
    streaming.say(mm, message("MM", "KARES", **who), pieces=pieces)
    assert lab.members()["tom"] == "active"
    other = Streaming(lab, Endpoint("10.0.5.6", 1))
    foreign = other.open("mm-streams")
    other.say(foreign, message("MM", "LVREQ", **who, reserved=2))
    assert lab.members()["tom"] == "active"
    assert lab.count("server", "dropped.foreign-source") == 1
    lab.tell("server", StreamClosed(mm))
    again = streaming.open("mm-streams")
    lab.run_for(1.0)
    assert [(each["packet"], each["stream"]) for each in lab.said] == [("KAREQ", again)]
    lab.run_for(3.0)
    assert lab.members()["tom"] == "enrolled"


def test_members_of_one_address_have_their_own_streams(lab: StreamingLab) -> None:
    """GI-21."""
    host(lab)
    streaming = Streaming(lab)
    users, streams = [], []
    for name in ("tom", "tim"):
        sm = streaming.open()
        [accepted] = streaming.say(sm, message("SM", "SRREQ", session_id=1, options=[text(CLIENT, name)]))
        users.append(accepted["user_id"])
        streaming.say(sm, message("SM", "SJREQ", session_id=1, user_id=users[-1]))
        streams.append(streaming.open("mm-streams"))
        asked = streaming.say(sm, message("SM", "SAREQ", session_id=1, user_id=users[-1], mm_port=16514))
        assert streams[-1] in {each["stream"] for each in asked}
        streaming.say(streams[-1], message("MM", "KARES", session_id=1, user_id=users[-1]))
    lab.said.clear()
    lab.run_for(1.0)
    rows = [(each["user_id"], each["stream"]) for each in lab.said]
    assert sorted(rows) == sorted(zip(users, streams, strict=True))


@pytest.mark.parametrize("length", [0xFFFF, 65508])
def test_length_that_no_message_has_closes_the_stream(lab: StreamingLab, length: int) -> None:
    streaming = Streaming(lab)
    stream = streaming.open()
    streaming.say(stream, length.to_bytes(2) + b"x")
    assert lab.closed == [stream]
    assert lab.count("server", "dropped.frame-length") == 1
    streaming.say(stream, b"more")
    assert lab.count("server", "ignored.stream-data") == 1
    assert not lab.server.streams


def test_length_0_is_a_message_that_is_too_short(lab: StreamingLab) -> None:
    host(lab)
    streaming = Streaming(lab)
    stream = streaming.open()
    said = streaming.say(stream, b"\0\0" * 3 + message("SM", "SRREQ", session_id=1, options=[text(CLIENT, "tom")]))
    assert [each["packet"] for each in said] == ["SRACC"]
    assert lab.count("server", "dropped.too-short") == 3


def test_slow_stream_is_closed_whatever_drips_in(lab: StreamingLab) -> None:
    streaming = Streaming(lab)
    stream = streaming.open()
    whole = message("SM", "SRREQ", session_id=1, options=[text(CLIENT, "tom")])
    for at in range(12):
        streaming.say(stream, whole[at : at + 1])
        lab.run_for(0.8)
    lab.run_for(1.0)
    assert lab.closed == [stream]
    assert lab.count("server", "dropped.slow-stream") == 1


def test_stream_that_nobody_claims_is_closed_and_a_members_is_not(lab: StreamingLab) -> None:
    host(lab)
    streaming = Streaming(lab)
    member, stranger = streaming.open(), streaming.open("mm-streams")
    streaming.say(member, message("SM", "SRREQ", session_id=1, options=[text(CLIENT, "tom")]))
    lab.run_for(server_streams.CLAIMED_TIME + 1)
    assert lab.closed == [stranger]
    assert len(lab.server.streams) == 1
    lab.tell("server", StreamClosed(member))
    assert not lab.server.streams
    assert not any("claimed" in key or "whole" in key for key in lab.nodes["server"].alarms)


def test_stream_that_is_gone_when_the_disk_is_done_takes_no_answer(lab: StreamingLab) -> None:
    host(lab)
    streaming = Streaming(lab)
    stream = streaming.open()
    lab.octets(stream, message("SM", "SRREQ", session_id=1, options=[text(CLIENT, "tom")]))
    lab.tell("server", StreamClosed(stream))
    lab.run_for(0.1)
    assert lab.count("server", "unsent.no-stream") == 1


# --- floods -----------------------------------------------------------------------------------------------------------


def test_creations_that_are_not_described_are_bounded_and_expire() -> None:
    lab = Meeting()
    callers = [Caller(lab, f"n{number}", "10.0.0.9", port=5000 + 2 * number) for number in range(20)]
    said = [caller.create() for caller in callers]
    assert said == [["SCACC"]] * admission.HALF_OPEN_OF_ADDRESS_MAXIMUM + [["SCREJ 1"]] * 4
    first = callers[0].session
    assert callers[0].create() == ["SCACC"]  # G-23
    assert callers[0].session == first
    assert lab.server.describe()["half_open"] == 16
    assert Caller(lab, "other", "10.0.0.8").create() == ["SCACC"]
    lab.run_for(admission.HALF_OPEN_TIME + 1)
    assert (lab.server.describe()["half_open"], lab.server.describe()["sessions"]) == (0, 0)
    assert not lab.network.disk(lab.nodes["server"]).entries.keys() - {"next"}
    assert not lab.nodes["server"].alarms
    assert callers[1].create() == ["SCACC"]
    assert callers[0].describe() == ["SCREJ 4"]


def test_creation_that_is_not_described_outlives_the_server_and_expires_too() -> None:
    """GI-15."""
    lab = Meeting()
    caller = Caller(lab, "host", "10.0.0.9")
    caller.create()
    lab.begin_again()
    assert caller.describe() == ["SCCON"]
    caller.create()
    lab.begin_again()
    lab.run_for(admission.HALF_OPEN_TIME + 1)
    assert list(lab.server.sessions) == [1]
    assert caller.describe() == ["SCREJ 4"]


def test_creation_that_is_deleted_waits_for_no_description() -> None:
    lab = Meeting()
    caller = Caller(lab, "host", "10.0.0.9")
    caller.create()
    assert caller.sm_says("SDREQ") == ["SDRES"]
    assert lab.server.describe()["half_open"] == 0
    lab.run_for(admission.HALF_OPEN_TIME + 1)
    assert lab.count("server", "expired.half-open") == 0
    assert caller.create() == ["SCACC"]
    assert caller.describe() == ["SCCON"]


def test_creations_of_all_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.gmp.session_management.HALF_OPEN_MAXIMUM", 3)
    lab = Meeting()
    said = [Caller(lab, f"n{number}", f"10.0.6.{number + 1}").create() for number in range(5)]
    assert said == [["SCACC"]] * 3 + [["SCREJ 1"]] * 2


def test_sessions_are_bounded() -> None:
    lab = Meeting(sessions=1)
    host(lab)
    assert Caller(lab, "other", "10.0.0.8").create() == ["SCREJ 1"]


def test_created_session_is_another_one_afterwards() -> None:
    """G-23: the same ids until the description is confirmed, then a new session."""
    lab = Meeting()
    creator = host(lab)
    assert creator.create() == ["SCACC"]
    assert creator.session == 2


def test_members_are_bounded_for_each_address_and_session() -> None:
    lab = Meeting(members=4, members_of_address=2)
    host(lab)
    same = [Caller(lab, f"n{number}", "10.0.7.7", port=5000 + 2 * number) for number in range(3)]
    assert [caller.register() for caller in same] == [["SRACC"], ["SRACC"], ["SRREJ 1"]]
    others = [Caller(lab, f"o{number}", f"10.0.8.{number + 1}") for number in range(2)]
    assert [caller.register() for caller in others] == [["SRACC"], ["SRREJ 1"]]
    same[0].leave(2)  # it has announced no port of module MM
    assert others[1].register() == ["SRREJ 1"]
    same[0].enrol()
    same[0].leave(2)
    assert others[1].register() == ["SRACC"]


def test_members_of_a_session_that_is_gone_take_no_share_of_their_address() -> None:
    """Nor do they twice after a restart."""
    lab = Meeting(members_of_address=1)
    creator = host(lab)
    alice = guest(lab, "alice", "registered")
    lab.begin_again()
    other = Caller(lab, "other", alice.sm.address, port=7000)
    assert other.register() == ["SRREJ 1"]
    assert creator.sm_says("SDREQ") == ["SDRES"]
    creator.create()
    creator.describe()
    other.session = creator.session
    assert other.register() == ["SRACC"]


def test_user_ids_that_are_all_given_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.gmp.session.ID_MAXIMUM", 3)
    lab = Meeting()
    host(lab)
    said = [guest(lab, name, "nothing").register() for name in ("alice", "bob", "carol")]
    assert said == [["SRACC"], ["SRACC"], ["SRREJ 1"]]


def test_session_ids_that_are_all_given_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Meeting()
    monkeypatch.setattr("agents.gmp.constants.ID_MAXIMUM", 2)
    said = [Caller(lab, f"n{number}", f"10.0.6.{number + 1}").create() for number in range(3)]
    assert said == [["SCACC"], ["SCACC"], ["SCREJ 1"]]


def test_guessers_are_forgotten_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "GUESSERS_MAXIMUM", 2)
    guesses = admission.Guesses()
    for address in ("10.0.0.1", "10.0.0.2", "10.0.0.3"):
        for _ in range(admission.GUESSES_MAXIMUM):
            guesses.wrong(address, 1.0)
    assert len(guesses) == 2
    assert [guesses.are_too_many(f"10.0.0.{last}", 2.0) for last in (1, 2, 3)] == [False, True, True]


# --- what is no message -----------------------------------------------------------------------------------------------


def samples() -> list[tuple[str, bytes]]:
    """A message of each kind that a server takes, as one of its members says it."""
    usual: dict[str, dict[str, Any]] = {
        "SCREQ": {"options": [text(CLIENT, "host")]},
        "SCINF": {
            "user_id": 1,
            "i": 1,
            "group": GROUP,
            "port": PORT,
            "options": [text(1, "a"), text(6, SDP), [22, "00"]],
        },
        "SRREQ": {"options": [text(CLIENT, "alice"), [17, "00" * 16]]},
        "SJREQ": {"user_id": 2, "options": [[MM_PORT, "1389"]]},
        "SAREQ": {"user_id": 2, "mm_port": 5001},
        "SDREQ": {"user_id": 1},
        "KARES": {"user_id": 2, "options": [[23, "00000001"]]},
        "UIREQ": {"user_id": 2},
        "LVREQ": {"user_id": 2, "reserved": 0},
        "TRREQ": {"user_id": 1},
    }
    found = []
    for packet, fields in usual.items():
        module = "MM" if packet in {"KARES", "UIREQ", "LVREQ", "TRREQ"} else "SM"
        found.append((module, message(module, packet, **{"session_id": 1, **fields})[2:]))
    return found


def mutated(random: Random, data: bytes) -> bytes:
    """Some octets changed, cut out or put in; the checksum made right half of the time."""
    octets = bytearray(data)
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(octets) + 1)
        match random.randrange(3):
            case 0 if octets:
                octets[at % len(octets)] = random.randrange(256)
            case 1:
                octets[at:at] = random.randbytes(random.randrange(1, 9))
            case _:
                del octets[at : at + random.randrange(1, 9)]
    if len(octets) >= 4 and random.randrange(2):
        octets[2:4] = b"\0\0"
        padded = bytes(octets) + b"\0" * (len(octets) % 2)
        total = sum(int.from_bytes(padded[at : at + 2]) for at in range(0, len(padded), 2))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        octets[2:4] = (0xFFFF - total).to_bytes(2)
    return bytes(octets)


def check_sets(lab: Meeting) -> None:
    """registered ⊇ enrolled ⊇ active, and all sums are right."""
    for session in lab.server.sessions.values():
        states = [member.state.value for member in session.members.values()]
        assert states.count("active") == len(session.active) == len(session.rounds)
        assert states.count("enrolled") == len(session.enrolled)
        assert not session.active.keys() & session.enrolled.keys()
        assert {*session.active, *session.enrolled} <= session.members.keys()
        assert session.is_active is (session.creator.state.value == "active")
        named = [member for member in session.members.values() if member.name is not None]
        assert len(session.by_name) == len(named)
        assert len(session.by_place) == len(session.members) - len(named)


def fuzz(count: int, seed: int, *, by_stream: bool) -> StreamingLab:
    random = Random(seed)
    lab = StreamingLab(secrets=SECRETS, members=50, sessions=20)
    host(lab, secure=seed % 2, closed=seed // 2 % 2)
    sources = [
        Endpoint("10.0.0.9", 5000),
        Endpoint("10.0.0.9", 5001),
        Endpoint("10.0.1.1", 5000),
        Endpoint("10.0.1.1", 5001),
    ]
    kinds = samples()
    streaming = Streaming(lab)
    names: list[tuple[str, int]] = []
    for number in range(count):
        module, data = random.choice(kinds)
        data = mutated(random, data) if random.randrange(3) else data
        if by_stream:
            if len(names) < 4 or not random.randrange(20):
                names.append(streaming.open(random.choice(("sm-streams", "mm-streams"))))
            octets = prefixed(data) if random.randrange(20) else mutated(random, prefixed(data))
            lab.octets(random.choice(names[-4:]), octets)
        else:
            lab.give("server", data, random.choice(sources), "mm" if module == "MM" else "")
        if not number % 50:
            lab.run_for(random.choice((0.01, 0.3, 2.0)))
            check_sets(lab)
    lab.run_for(100.0)
    check_sets(lab)
    return lab


@pytest.mark.parametrize("seed", range(4))
def test_mutated_datagrams_are_survived(seed: int) -> None:
    lab = fuzz(1500, seed, by_stream=False)
    assert lab.count("server", "dropped.wrong-checksum")


@pytest.mark.parametrize("seed", range(4))
def test_mutated_streams_are_survived(seed: int) -> None:
    lab = fuzz(1500, seed, by_stream=True)
    assert all(stream.is_claimed for stream in lab.server.streams._streams.values())
    assert lab.closed


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("by_stream", [False, True], ids=["datagrams", "streams"])
def test_a_million_mutated_messages(*, by_stream: bool) -> None:
    for seed in range(100):
        fuzz(10_000, seed, by_stream=by_stream)
