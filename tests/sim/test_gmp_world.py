"""GMP's sessions in virtual time: every invariant holds whatever happens, and what breaks one is told."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from agents.core.agent import Notify
from agents.gmp.constants import Level
from agents.gmp.key_distribution import KeyDistribution
from agents.gmp.ledger import Ledger
from agents.gmp.membership_management import MembershipManagement
from agents.gmp.session import REGISTERED, MemberInput
from testbed.commands.program import main
from testbed.gmp.people import Person, Plan
from testbed.gmp.simulate import SIMULATION
from testbed.gmp.world import ENDS, World
from testbed.sim.faults import PERFECT, Faults
from tests.sim.worlds import broken

ROUGH = Faults(jitter_s=0.01, loss=0.1, duplication=0.05, reordering=0.05, held_back_s=0.3, reset=0.01, stall=0.02)


def plan(seed: int = 1, **changes: Any) -> Plan:
    given: dict[str, Any] = {
        "participants": 12, "seed": seed, "faults": ROUGH, "arrival_s": 5.0, "streams": 0.3, "leaves_per_s": 0.5,
        "silences_per_s": 0.3, "away_s": 8.0, "period": 10, "timeout": 40,
    }  # fmt: skip
    return Plan(**{**given, **changes})


def ran(wanted: Plan, seconds: float = 20.0) -> World:
    world = World(wanted)
    world.begin()
    world.run_for(seconds)
    return world


def judged(world: World) -> dict[str, tuple[str, ...]]:
    before = world.counters()
    world.calm()
    return broken(SIMULATION.check(world, before))


def still(**changes: Any) -> World:
    """A world without faults in which everybody is active."""
    return ran(plan(faults=PERFECT, leaves_per_s=0.0, silences_per_s=0.0, streams=0.0, arrival_s=1.0, **changes), 10.0)


# --- all holds --------------------------------------------------------------------------------------------------------


def test_perfect_network_drops_nobody() -> None:
    world = still()
    assert world.server.describe()["active"] == 16
    assert world.server.counters["silent.members"] == 0
    assert judged(world) == {}


def rough(seed: int) -> World:
    """A server that dies again and again, and sessions that end, each in another way."""
    world = World(plan(seed, streams=seed % 3 / 2, leaves_per_s=0.5 + seed % 5, rekey_on_join=bool(seed % 2)))
    for number in range(seed % 20):
        world.later(1.37 + number * 0.9211, world.restart_server)
    for number in range(seed % 4):
        world.later(10.0 + number, world.end_meeting, world.meetings[number], ENDS[(seed + number) % len(ENDS)])
    world.begin()
    world.run_for(20.0)
    return world


@pytest.mark.parametrize("seed", [1, 2, 3, 5, 6, 7])
def test_invariants_hold_after_a_rough_time(seed: int) -> None:
    world = rough(seed)
    assert judged(world) == {}
    assert all(count for what, count in world.counts.items() if what != "again"), world.counts


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_invariants_hold_after_many_a_rough_time() -> None:
    for seed in range(100, 400):
        assert judged(rough(seed)) == {}, seed


def test_same_seed_is_the_same_run_and_another_is_another() -> None:
    hashes = [ran(plan(seed), 6.0).trace_hash for seed in (3, 3, 4)]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("how", ENDS)
def test_session_that_ends_does_so_for_everybody(how: str) -> None:
    world = still(sessions=1)
    world.end_meeting(world.meetings[0], how)
    world.run_for(6.0)  # who is silent speaks again when it is calm
    assert judged(world) == {}
    is_refused = how == "delete"  # while somebody is active
    assert world.over == (set() if is_refused else {1})
    states = {person.described["state"] for person in world.people.values()}
    assert states == ({"ACTIVE"} if is_refused else {"ENDED"} if "leave" not in how else states)


# --- what breaks is told ------------------------------------------------------------------------------------------------


def test_member_that_is_lost_in_a_death_of_the_machine_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that answers before anything is on disk."""
    monkeypatch.setattr(Ledger, "put", lambda _self, _changes, done, _refused, now: done(now))
    world = still(sessions=1)
    world.restart_server()
    assert "confirmed-survives" in world.breaches


def test_member_that_answers_and_is_dropped_is_told() -> None:
    world = still(sessions=1)
    session = world.server.sessions[1]
    member = next(each for each in session.active.values() if each.name == "p5")
    member.heard -= 3.9
    session.active.move_to_end(member.user_id, last=False)
    world.server.timers.set(("silence", 1), world.now + 0.15)
    world.run_for(0.2)
    assert list(world.breaches) == ["answering-stays"]


def test_silent_member_that_is_not_dropped_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world = still(sessions=1)
    monkeypatch.setattr(MembershipManagement, "silence_time", lambda *_: None)
    world.fall_silent(world.people["p5"])
    world.run_for(6.0)
    assert list(world.breaches) == ["silent-dropped"]


def test_key_that_is_not_renewed_when_a_member_leaves_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world = still()
    monkeypatch.setattr(KeyDistribution, "renew", lambda *_: None)
    person = world.people["p6"]
    assert person.meeting.is_secure
    world.leave(person, Level.ENROLLED)
    world.run_for(1.0)
    assert world.breaches == {}  # it has forgotten the key itself
    other = world.people["p10"]
    found = world.member_of(other)
    assert found is not None
    world.server.membership._step_down(found[0], found[1], MemberInput.LEAVE_ENROLLED, world.now)
    world.notified(world.server_node, Notify("left", {"session": found[0].session_id, "user": found[1].user_id}))
    world.run_for(1.0)
    assert list(world.breaches) == ["key-of-enrolled"]


def test_other_breaches_are_told() -> None:
    world = still()
    world.meetings[2].keys = dict.fromkeys(world.meetings[2].keys, b"x" * 30)
    world.over.add(world.meetings[1].session_id)
    world.people["p3"].willing = False
    world.restart_client(world.people["p2"])
    world.restart_server()
    found = judged(world)
    assert {"one-key", "ends-for-all", "left-is-gone"} <= set(found)
    world.check_sets(world.server.sessions[1], 2)
    world.server.sessions[1].members[2].state = REGISTERED
    world.check_sets(world.server.sessions[1], 2)
    assert "nested-sets" in world.breaches


def test_command() -> None:
    words = (
        "sim",
        "gmp",
        "--participants=20",
        "--duration=20s",
        "--loss=5%",
        "--period=1s",
        "--timeout=5s",
        "--ends=2",
    )
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    for part in ("at server", "trace hash", "PASS"):
        assert part in result.output
    for wrong, said in (("--timeout=1s", "more than --period"), ("--ends=5", "there are 4"), ("--leaves=5", "no rate")):
        assert said in CliRunner().invoke(main, [*words, wrong]).output


# --- any course of events -----------------------------------------------------------------------------------------------

PEOPLE = st.integers(0, 5)
TIMES = st.sampled_from(
    [0.0, 0.004, 0.006, 0.011, 0.03, 0.3, 1.0, 1.1, 4.0, 6.0]
)  # s, on both sides of what takes time


class AnyCourse(RuleBasedStateMachine):
    """A server, two sessions with their creators, a core member each and two more participants."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(plan(
            participants=4, sessions=4, faults=PERFECT, streams=0.4, arrival_s=0.5, leaves_per_s=0.0, silences_per_s=0.0,
        ))  # fmt: skip

    @initialize(seconds=TIMES)
    def begin(self, seconds: float) -> None:
        self.world.begin()
        self.world.run_for(seconds)

    def person(self, number: int) -> Person:
        people = list(self.world.people.values())
        return people[number % len(people)]

    @rule(number=PEOPLE)
    def come(self, number: int) -> None:
        self.world.come(self.person(number))

    @rule(number=PEOPLE, level=st.sampled_from(list(Level)))
    def leave(self, number: int, level: Level) -> None:
        self.world.leave(self.person(number), level)

    @rule(number=PEOPLE)
    def fall_silent(self, number: int) -> None:
        self.world.fall_silent(self.person(number))

    @rule(number=PEOPLE)
    def speak(self, number: int) -> None:
        self.world.speak(self.person(number))

    @rule(number=PEOPLE)
    def client_dies(self, number: int) -> None:
        if not self.person(number).is_creator:  # a creator that has forgotten its session makes another one
            self.world.restart_client(self.person(number))

    @rule(number=st.integers(0, 3), how=st.sampled_from(ENDS))
    def end(self, number: int, how: str) -> None:
        self.world.end_meeting(self.world.meetings[number], how)

    @rule(number=st.integers(0, 3))
    def create_again(self, number: int) -> None:
        self.world.create_again(self.world.meetings[number])

    @rule()
    def server_dies(self) -> None:
        self.world.restart_server()

    @rule(failure=st.sampled_from(["", "no space left on device"]))
    def disk(self, failure: str) -> None:
        self.world.fill_disk(self.world.server_node, failure)

    @rule(loss=st.sampled_from([0.0, 0.3, 1.0]), late=st.booleans(), reset=st.sampled_from([0.0, 0.2]))
    def faults(self, loss: float, late: bool, reset: float) -> None:
        self.world.faults = Faults(
            loss=loss, duplication=0.2 * late, jitter_s=0.02 * late, reordering=0.2 * late, held_back_s=0.4, reset=reset
        )

    @rule(seconds=TIMES)
    def time_passes(self, seconds: float) -> None:
        self.world.run_for(seconds)

    @precondition(lambda self: self.world.now > 5)
    @rule()
    def calm(self) -> None:
        found = judged(self.world)
        assert found == {}, found

    def teardown(self) -> None:
        self.calm()


AnyCourse.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, phases=[Phase.generate], report_multiple_bugs=False
)
TestAnyCourse = AnyCourse.TestCase


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_other_courses() -> None:
    run_state_machine_as_test(AnyCourse, settings=settings(AnyCourse.TestCase.settings, max_examples=3000))
