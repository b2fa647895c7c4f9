"""What the server has told anybody is on disk: it is killed at every commit, and its disk fails."""

from __future__ import annotations

import pytest

from agents.core.agent import Endpoint
from captures.gmp import dissector as judge
from tests.agents.gmp.callers import CORE, TOKEN, Caller, guest, host, text
from tests.agents.gmp.hand_made import Plain
from tests.agents.gmp.meeting import SECRETS, SESSION, Meeting

COMMIT = 0.005  # s, that the simulated disk takes
STATES = ("registered", "enrolled", "active")


def test_server_goes_on_after_a_restart() -> None:
    lab = Meeting()
    lab.host()
    lab.run_for(0.1)
    for name, until in (("alice", "active"), ("bob", "enrolled"), ("carol", "registered")):
        lab.join(name, until)
    lab.run_for(0.5)
    before = list(lab.server.rows("members")), list(lab.server.rows("sessions"))
    lab.begin_again()
    assert (list(lab.server.rows("members")), list(lab.server.rows("sessions"))) == before
    assert lab.told()[-1] == ("restored", {"sessions": 1, "members": 4})
    mark = len(lab.sent)
    lab.run_for(0.99)
    asked = [sent.receiver for sent in lab.sent[mark:] if sent.packet == "KAREQ"]
    assert sorted(asked) == ["alice", "host"]
    lab.run_for(60.0)
    assert lab.members()["alice"] == "active"
    assert lab.server.sessions[SESSION].is_active
    assert lab.count("alice", "sent.SAREQ") == 1


def test_closed_and_secure_session_goes_on_after_a_restart() -> None:
    lab = Meeting(secrets=SECRETS)
    creator = host(lab, text(CORE, "bob"), closed=1, secure=1)
    token = creator.option(TOKEN)
    session = lab.server.sessions[SESSION]
    key, generation = session.key, session.generation
    lab.begin_again()
    again = lab.server.sessions[SESSION]
    assert again is not session
    assert (again.key, again.generation, again.token, again.description) == (
        key,
        generation,
        token,
        session.description,
    )
    bob = guest(lab, "bob", "nothing")
    bob.closed = bob.secure = 1
    bob.come("active", token)
    assert lab.members()["bob"] == "active"


def test_ids_of_what_is_gone_are_given_to_nobody_after_a_restart() -> None:
    lab = Meeting()
    creator = host(lab)
    alice = guest(lab, "alice", "enrolled")
    lab.begin_again()
    alice.leave(2)
    assert guest(lab, "bob", "registered").user == alice.user + 1
    assert creator.sm_says("SDREQ") == ["SDRES"]
    lab.begin_again()
    assert creator.create() == ["SCACC"]
    assert creator.session == SESSION + 1


def promises(lab: Meeting) -> dict[tuple[str, int], str]:
    """What the clients have been told: by address and session, the state that was confirmed."""
    found: dict[tuple[str, int], str] = {}
    for sent in lab.sent:
        if sent.sender != "server" or any(code == 20 for code, _ in sent.fields.get("options", ())):
            continue
        who = (sent.destination.address, sent.fields["session_id"])
        states = {"SCACC": "registered", "SRACC": "registered", "SJRES": "enrolled", "KAREQ": "enrolled"}
        if sent.packet in states:
            found[who] = max(found.get(who, "registered"), states[sent.packet], key=STATES.index)
        elif sent.packet in {"SDRES", "TRIND"}:
            found[who] = "gone"
    return found


def course(lab: Meeting, *, secure: int) -> None:
    """A session's life, in which each step is asked for and nobody waits for the answer."""
    creator = Caller(lab, "host", "10.0.0.9")
    creator.secure = secure
    alice, bob = guest(lab, "alice", "nothing"), guest(lab, "bob", "nothing")
    alice.secure = bob.secure = secure
    creator.create()
    for step in (
        creator.describe, alice.register, bob.register, creator.enrol, alice.enrol, bob.enrol, creator.activate,
        creator.keep_alive, alice.activate, alice.keep_alive, bob.activate, bob.keep_alive,
    ):  # fmt: skip
        step()
    alice.leave(1)
    creator.mm_says("TRREQ")


def kept(lab: Meeting, promised: dict[tuple[str, int], str], since: str) -> None:
    """Nothing that was confirmed to anybody is lost. Alice, who leaves in the end, may be lower."""
    left = guest(lab, "alice", "nothing").sm.address
    for (address, session_id), state in promised.items():
        session = lab.server.sessions.get(session_id)
        if state == "gone":
            assert session is None, f"{since}: session {session_id} is there again"
            continue
        told = {each for (_, other), each in promised.items() if other == session_id}
        if session is None and (session_id in lab.server.ended or "gone" in told):
            continue  # all are told once more, or were
        assert session is not None, f"{since}: session {session_id} is there no more"
        states = [member.state.value for member in session.members.values() if member.sm.address == address]
        assert states, f"{since}: {address} is no member"
        least = "registered" if address == left else state
        assert STATES.index(states[0]) >= STATES.index(least), f"{since}: {address} was {state}, and is {states[0]}"


class DeadError(Exception):
    """The machine has died in the midst of it."""


@pytest.mark.parametrize("secure", [0, 1])
@pytest.mark.parametrize("moment", [0.0, 0.9])  # of a commit's time: before it, or after it and before its answer
def test_server_killed_at_every_commit_keeps_its_word(secure: int, moment: float) -> None:
    def run(fatal: int) -> tuple[Meeting, int]:
        """Kill the server at the commit of that number; how many there were."""
        lab = Meeting(secrets=SECRETS)
        network = lab.network
        commits = 0
        original = network.commit

        def commit(node: object, action: object) -> None:
            nonlocal commits
            commits += 1
            original(node, action)  # type: ignore[arg-type]
            if commits == fatal:
                network.later(moment * COMMIT, die)

        def die() -> None:
            promised = promises(lab)
            lab.begin_again()
            kept(lab, promised, f"commit {fatal}")

        network._ways = {**network._ways, **{kind: commit for kind in network._ways if kind.__name__ == "Commit"}}
        course(lab, secure=secure)
        lab.run_for(0.1)
        kept(lab, {who: state for who, state in promises(lab).items() if state == "gone"}, f"after commit {fatal}")
        told = {sent.destination.address for sent in lab.packets("TRIND")}
        if not lab.server.sessions and fatal in {0, commits}:  # the last one is the end's
            assert told >= {"10.0.0.9", guest(lab, "bob", "nothing").sm.address}
        return lab, commits

    lab, count = run(0)
    assert not lab.server.sessions
    assert count > 10
    for fatal in range(1, count + 1):
        run(fatal)


def test_members_stay_through_any_restart() -> None:
    """The server begins again every 0.37 s while members come: whoever was told to be active stays so."""
    lab = Meeting()
    lab.host()
    lab.run_for(1.0)
    for name in ("alice", "bob", "carol"):
        lab.join(name)
        lab.run_for(0.004)
        lab.begin_again()
        lab.run_for(0.37)
    lab.run_for(8.0)
    assert {name: lab.state(name) for name in ("host", "alice", "bob", "carol")} == dict.fromkeys(
        ("host", "alice", "bob", "carol"), "ACTIVE"
    )
    assert set(lab.members().values()) == {"active"}
    for name in ("alice", "bob", "carol"):
        assert "silent" not in lab.notices(name)


def test_damaged_entries_are_passed_over_and_told() -> None:
    lab = Meeting()
    host(lab, until="active")
    guest(lab, "alice")
    disk = lab.network.disk(lab.nodes["server"])
    disk.entries.update(
        {"m/1/9": b"\1", "m/7/1": disk.entries["m/1/2"], "s/3": b"{}", "s/4": b'{"version": 9}', "x": b""}
    )
    lab.begin_again()
    assert lab.count("server", "unreadable.entries") == 4
    assert lab.members() == {"host": "active", "alice": "active"}


# --- a disk that takes nothing ----------------------------------------------------------------------------------------


def test_full_disk_refuses_what_is_new_and_serves_what_is_there() -> None:
    lab = Meeting()
    creator = host(lab, until="active")
    alice, bob = guest(lab, "alice"), guest(lab, "bob", "registered")
    disk = lab.network.disk(lab.nodes["server"])
    disk.failure = "database or disk is full"
    carol = guest(lab, "carol", "nothing")
    assert carol.register() == ["SRREJ 1"]
    assert bob.enrol() == ["SJRES 1"]
    assert Caller(lab, "other", "10.0.0.8").create() == ["SCREJ 1"]
    assert creator.describe(text(1, "another name")) == ["SCREJ 1"]
    assert lab.server.describe()["store"] == "database or disk is full"
    assert lab.told()[-1] == ("storage-failed", {"reason": "database or disk is full"})
    for _ in range(30):  # existing members are served
        lab.run_for(1.0)
        alice.keep_alive()
        creator.keep_alive()
    assert lab.members() == {"host": "active", "alice": "active", "bob": "registered"}
    assert alice.mm_says("UIREQ") == ["UIRES"]
    alice.leave(0)
    assert lab.members()["alice"] == "enrolled"
    lab.run_for(2.5)  # it is tried again in vain
    creator.keep_alive()
    disk.failure = ""
    lab.run_for(2.0)  # it is found by itself, since alice's leave is to be written
    assert lab.server.describe()["store"] == "ok"
    assert ("storage-healed", {}) in lab.told()
    assert carol.register() == ["SRACC"]
    lab.begin_again()
    assert lab.members() == {"host": "active", "alice": "enrolled", "bob": "registered", "carol": "registered"}


def test_end_that_nobody_was_told_of_is_told_after_a_restart() -> None:
    lab = Meeting()
    creator = host(lab, until="active")
    alice = guest(lab, "alice")
    data = {"module": "MM", "packet": "TRREQ", "mode": 1, "member_type": 4, "session_id": 1, "user_id": creator.user}
    lab.give("server", judge.build(data), creator.mm, "mm")
    disk = lab.network.disk(lab.nodes["server"])
    disk._write(disk.under_way[0])  # it is on disk, and the machine dies before anybody knows
    lab.begin_again()
    lab.run_for(0.1)
    assert {sent.destination for sent in lab.packets("TRIND")} == {creator.mm, alice.mm}
    assert not lab.server.sessions
    assert disk.entries.keys() == {"next"}


def test_session_ends_for_all_while_the_disk_is_full() -> None:
    lab = Meeting()
    creator = host(lab, until="active")
    alice = guest(lab, "alice")
    disk = lab.network.disk(lab.nodes["server"])
    disk.failure = "database or disk is full"
    assert creator.mm_says("TRREQ") == ["TRIND"]
    assert alice.mm in {sent.destination for sent in lab.packets("TRIND")}
    disk.failure = ""
    lab.run_for(2.0)
    lab.begin_again()
    assert not lab.server.sessions


def test_member_that_left_reads_no_more_while_the_disk_is_full() -> None:
    lab = Meeting(secrets=SECRETS)
    host(lab, secure=1, until="active")
    bob = guest(lab, "bob", "nothing")
    bob.secure = 1
    bob.come()
    lab.network.disk(lab.nodes["server"]).failure = "database or disk is full"
    bob.leave(1)
    lab.run_for(0.1)
    assert lab.server.sessions[SESSION].generation == 2
    assert {sent.receiver for sent in lab.packets("KDUPT")} == {"nobody"}
    assert {sent.destination.address for sent in lab.packets("KDUPT")} == {"10.0.0.9"}


def test_server_that_keeps_nothing_answers_at_once() -> None:
    """Without a store [GI-10]."""
    lab = Meeting(durable=False)
    host(lab, until="active")
    guest(lab, "alice")
    assert lab.nodes["server"].disk is None
    assert lab.server.describe()["store"] == "none"
    lab.begin_again()
    assert not lab.server.sessions


def test_more_than_can_wait_for_the_disk_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.gmp.ledger.WAITING_MAXIMUM", 2)
    lab = Meeting()
    host(lab)
    said: list[Plain] = []
    for number in range(6):
        caller = Caller(lab, f"n{number}", f"10.0.4.{number + 1}")
        data = {"module": "SM", "packet": "SRREQ", "session_id": 1, "options": [text(16, caller.name)]}
        lab.give("server", judge.build(data), caller.sm)
    lab.run_for(0.1)
    said = [sent.fields for sent in lab.sent if sent.packet in {"SRACC", "SRREJ"}]
    assert [each["packet"] for each in said].count("SRREJ") == 3
    assert lab.count("server", "refused.too-many-changes") == 3
    assert Endpoint("10.0.4.1", 5000) in {sent.destination for sent in lab.packets("SRACC")}
