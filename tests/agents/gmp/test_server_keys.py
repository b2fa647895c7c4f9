"""Keys of secure sessions at the server: who is sent which, wrapped for whom, when [7.3, G-12, G-15, G-18, G-29]."""

from __future__ import annotations

import pytest

from agents.gmp import key_distribution
from agents.gmp.keys import WrongKeyError, unwrap, wrapping_key
from captures.gmp import dissector as judge
from tests.agents.gmp.callers import COUNTER, GENERATION, KEY, TOKEN, Caller, guest, host
from tests.agents.gmp.hand_made import Plain
from tests.agents.gmp.meeting import FRIENDS, SECRETS, SESSION, Meeting


def secure(lab: Meeting, name: str, until: str = "active") -> Caller:
    who = guest(lab, name, "nothing")
    who.secure = 1
    return who.come(until)


def key_in(fields: Plain, who: str, user: int) -> tuple[int, bytes]:
    """The generation and the key that a message has for somebody."""
    options = {code: bytes.fromhex(value) for code, value in fields["options"]}
    assert fields["key_length"] == 30
    assert len(options[KEY]) == 40
    return int.from_bytes(options[GENERATION]), unwrap(options[KEY], wrapping_key(SECRETS[who], SESSION, user))


def distributed(lab: Meeting, since: int = 0) -> list[tuple[float, str, int]]:
    """When KDUPT was sent, to which address, for which generation."""
    found = []
    for sent in lab.sent[since:]:
        if sent.packet == "KDUPT":
            options = dict(sent.fields["options"])
            found.append((round(sent.time, 3), sent.destination.address, int(options[GENERATION], 16)))
    return found


def test_key_comes_with_enrolment_wrapped_for_one() -> None:
    lab = Meeting(secrets=SECRETS)
    host(lab, secure=1, until="active")
    session = lab.server.sessions[SESSION]
    assert (len(session.key), session.generation) == (30, 1)
    alice = secure(lab, "alice", "registered")
    assert alice.enrol() == ["SJRES"]
    assert key_in(alice.answers[0], "alice", alice.user) == (1, session.key)
    with pytest.raises(WrongKeyError):
        key_in(alice.answers[0], "bob", alice.user)
    with pytest.raises(WrongKeyError):
        key_in(alice.answers[0], "alice", alice.user + 1)
    assert not distributed(lab)


def test_keep_alive_request_has_the_generation_and_older_members_ask_again() -> None:
    lab = Meeting(secrets=SECRETS)
    host(lab, secure=1, until="active")
    alice = secure(lab, "alice")
    assert lab.packets("KAREQ")[-1].fields["reserved"] == 1
    assert alice.enrol(options=[]) == ["SJRES"]
    assert key_in(alice.answers[0], "alice", alice.user)[0] == 1
    assert lab.members()["alice"] == "active"


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("until", ["enrolled", "active"])
def test_who_is_de_enrolled_has_no_key_of_what_comes(until: str, level: int) -> None:
    lab = Meeting(secrets=SECRETS)
    creator = host(lab, secure=1, until="active")
    alice, bob, carol = secure(lab, "alice", until), secure(lab, "bob"), secure(lab, "carol", "enrolled")
    secure(lab, "dave", "registered")
    old = lab.server.sessions[SESSION].key
    mark = len(lab.sent)
    begin = lab.now
    alice.leave(level)
    for _ in range(4):
        lab.run_for(0.9)
        creator.keep_alive()
        bob.keep_alive()
    told = distributed(lab, mark)
    addresses = [address for _, address, _ in told]
    assert addresses[:3] == [carol.mm.address, bob.mm.address, creator.mm.address]
    assert addresses == addresses[:3] * 3  # three times, the creator last
    assert [time - begin for time, _, _ in told[::3]] == pytest.approx([0.005, 1.005, 2.005], abs=0.01)
    assert {generation for _, _, generation in told} == {2}
    session = lab.server.sessions[SESSION]
    assert session.key != old
    first = next(sent for sent in lab.sent[mark:] if sent.packet == "KDUPT" and sent.destination == bob.mm)
    assert key_in(first.fields, "bob", bob.user) == (2, session.key)
    assert ("rekeyed", {"session": 1, "generation": 2, "members": 3}) in lab.told()


def test_who_is_silent_too_long_has_no_key_of_what_comes() -> None:
    lab = Meeting(secrets=SECRETS, enrolment_timeout_s=2.0)
    host(lab, secure=1)
    secure(lab, "alice", "enrolled")
    bob = secure(lab, "bob", "registered")
    lab.run_for(1.0)
    bob.enrol()
    lab.run_for(1.1)
    assert lab.members()["alice"] == "registered"
    assert {address for _, address, _ in distributed(lab)} == {bob.mm.address}


def test_leaving_the_active_ones_alone_changes_no_key() -> None:
    lab = Meeting(secrets=SECRETS)
    host(lab, secure=1, until="active")
    secure(lab, "alice").leave(0)
    assert lab.server.sessions[SESSION].generation == 1


def test_open_key_less_session_sends_no_keys() -> None:
    lab = Meeting(secrets=SECRETS)
    host(lab, until="active")
    guest(lab, "alice").leave(1)
    lab.run_for(3.0)
    assert not distributed(lab)


def test_joining_changes_the_key_where_that_is_configured() -> None:
    lab = Meeting(secrets=SECRETS, rekey_on_join=True)
    creator = host(lab, secure=1, until="active")
    assert lab.server.sessions[SESSION].generation == 2  # for the creator itself
    old = lab.server.sessions[SESSION].key
    alice = secure(lab, "alice", "registered")
    assert [each for each in alice.enrol() if each != "KDUPT"] == ["SJRES"]
    [answer] = [each for each in alice.answers if each["packet"] == "SJRES"]
    generation, key = key_in(answer, "alice", alice.user)
    assert generation == 3
    assert key not in {old, b""}  # it cannot read what was before
    assert creator.mm.address in {address for _, address, number in distributed(lab) if number == 3}


def test_who_leaves_while_keys_are_sent_is_followed_by_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_distribution, "AT_ONCE", 1)
    monkeypatch.setattr(key_distribution, "PAUSE", 0.05)
    lab = Meeting(secrets=SECRETS)
    host(lab, secure=1, until="active")
    friends = [secure(lab, name) for name in FRIENDS]
    friends[0].leave(1)
    lab.run_for(0.03)  # the first is sent the key
    friends[1].leave(1)
    assert lab.server.sessions[SESSION].generation == 2
    lab.run_for(0.3)
    assert lab.server.sessions[SESSION].generation == 3
    lab.run_for(0.3)
    newest = {address for _, address, generation in distributed(lab) if generation == 3}
    assert newest == {"10.0.0.9", friends[2].mm.address, friends[3].mm.address}


def test_who_leaves_while_a_key_is_on_its_way_to_the_disk_is_not_sent_it() -> None:
    lab = Meeting(secrets=SECRETS)
    host(lab, secure=1, until="active")
    friends = [secure(lab, name) for name in FRIENDS]
    for friend in friends[:2]:
        leave = {"module": "MM", "packet": "LVREQ", "mode": 1, "member_type": 1, "reserved": 1, "session_id": 1}
        lab.give("server", judge.build({**leave, "user_id": friend.user}), friend.mm, "mm")
    lab.run_for(0.5)
    assert lab.server.sessions[SESSION].generation == 2
    told = {address for _, address, _ in distributed(lab)}
    assert told == {"10.0.0.9", friends[2].mm.address, friends[3].mm.address}


def test_roll_over_counter_of_the_creator_goes_to_who_comes_late() -> None:
    lab = Meeting(secrets=SECRETS)
    creator = host(lab, secure=1, until="active")
    creator.keep_alive(options=[[COUNTER, "00000007"]])
    guest_counter = secure(lab, "bob", "registered")
    guest_counter.keep_alive(options=[[COUNTER, "00000009"]])  # only the creator says it
    guest_counter.enrol()
    assert guest_counter.option(COUNTER) == b"\0\0\0\7"


def test_what_is_secret_is_told_to_nobody() -> None:
    lab = Meeting(secrets=SECRETS)
    creator = host(lab, secure=1, closed=1)
    token = creator.option(TOKEN)
    alice = guest(lab, "alice", "nothing")
    alice.closed = alice.secure = 1
    alice.come("active", token)
    alice.leave(1)
    lab.run_for(3.0)
    server = lab.server
    session = server.sessions[SESSION]
    told = [str(action) for action in lab.nodes["server"].told or ()]
    told += [str(server.describe()), *map(str, server.rows("sessions")), *map(str, server.rows("members"))]
    everything = "\n".join(told) + repr(session.members)
    for secret in (token, session.key, *SECRETS.values(), session.members[alice.user].wrapping_key or session.key):
        assert secret.hex() not in everything
        assert repr(secret)[2:-1] not in everything
    for sent in lab.sent:
        assert session.key not in sent.data


@pytest.mark.parametrize("name", FRIENDS)
def test_key_of_a_client_that_lost_its_secret_is_not_sent(name: str) -> None:
    lab = Meeting(secrets=SECRETS)
    host(lab, secure=1, until="active")
    friends = {each: secure(lab, each) for each in FRIENDS}
    lab.secrets = {who: secret for who, secret in SECRETS.items() if who != name}
    lab.begin_again()
    other = next(each for each in FRIENDS if each != name)
    friends[other].leave(1)
    lab.run_for(0.5)
    assert friends[name].mm.address not in {address for _, address, _ in distributed(lab)}
    assert friends[name].enrol() == ["SJRES 2"]
