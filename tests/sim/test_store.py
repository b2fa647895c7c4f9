"""The durable store: what was committed is there after any death of the machine, and a world that counts on it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.agent import Commit, Committed
from testbed.sim import command
from testbed.sim.faults import Faults
from testbed.sim.world import BROKEN, HELD
from tests.sim.roles import COUNTING, Counting, Puppet, acts, puppet, puppets

CHANGES = st.dictionaries(st.sampled_from("abc"), st.one_of(st.none(), st.binary(max_size=2)), max_size=3)


def applied(rows: list[dict[str, bytes | None]]) -> dict[str, bytes]:
    found: dict[str, bytes | None] = {}
    for row in rows:
        found |= row
    return {key: value for key, value in found.items() if value is not None}


@given(st.lists(st.tuples(CHANGES, st.sampled_from([0.0, 0.001, 0.004, 0.01])), max_size=12), st.integers(0, 1000))
def test_after_a_death_what_was_confirmed_is_there_and_the_rest_wholly_or_not(
    course: list[tuple[dict[str, bytes | None], float]], seed: int
) -> None:
    network, [node, _] = puppets(seed=seed)
    for number, (changes, seconds) in enumerate(course):
        acts(network, node, Commit(number, changes))
        network.run_for(seconds)
    confirmed = [heard.key for heard in puppet(node).heard if isinstance(heard, Committed)]
    assert confirmed == list(range(len(confirmed))), "in order"
    network.replace(node, Puppet())
    rows = [changes for changes, _ in course]
    possible = [applied(rows[:count]) for count in range(len(confirmed), len(rows) + 1)]
    assert puppet(node).restored in possible
    network.run_for(1.0)
    assert puppet(node).heard == ["start"], "nothing is confirmed that another life has asked for"


def test_a_death_leaves_all_some_or_none_of_what_was_under_way() -> None:
    found = set()
    for seed in range(50):
        network, [node, _] = puppets(seed=seed)
        acts(network, node, *(Commit(number, {"count": bytes([number])}) for number in (1, 2)))
        network.replace(node, Puppet())
        found.add((puppet(node).restored or {}).get("count"))
    assert found == {None, b"\1", b"\2"}


def test_a_full_disk_takes_nothing_and_says_so() -> None:
    network, [node, _] = puppets()
    acts(network, node, Commit(1, {"key": b"old"}))
    network.run_for(1.0)
    network.fill_disk(node)
    acts(network, node, Commit(2, {"key": b"new"}))
    network.run_for(1.0)
    assert puppet(node).heard[-1] == Committed(2, succeeded=False, reason="no space left on device")
    acts(network, node, Commit(3, {"key": b"newer"}))
    network.replace(node, Puppet())
    assert puppet(node).restored == {"key": b"old"}
    network.fill_disk(node, "")
    acts(network, node, Commit(4, {"key": None}))
    network.run_for(1.0)
    assert network.disk(node).entries == {}


@pytest.mark.parametrize("seed", range(5))
def test_a_world_of_a_few_lines_is_run_and_judged(seed: int) -> None:
    given = {"seed": str(seed), "loss": "10%", "duplication": "10%", "duration": "30s"}
    world, duration_s = command.build(COUNTING, given)
    result = command.perform(COUNTING, world, duration_s)
    assert result["verdict"] == "pass"
    assert result["sum"] > 50
    assert {row["invariant"]: row["outcome"] for row in result["invariants"]} == {
        "durable": HELD, "one-effect": HELD, "counters-grow": HELD, "nothing-raised": HELD,
    }  # fmt: skip


def test_every_fault_that_is_asked_for_happens() -> None:
    given = {
        "delay": "1s", "jitter": "2s", "loss": "3%", "duplication": "4%", "reordering": "5%", "held-back": "6s",
        "stall": "7%", "stalled": "8s", "reset": "9%", "refusal": "10%",
    }  # fmt: skip
    with_streams = replace(COUNTING, has_streams=True)
    asked = command.faults(with_streams, command.parse(with_streams, given))
    assert asked == Faults(
        delay_s=1, jitter_s=2, loss=0.03, duplication=0.04, reordering=0.05, held_back_s=6,
        stall=0.07, stalled_s=8, reset=0.09, refusal=0.1,
    )  # fmt: skip
    assert command.faults(COUNTING, command.parse(COUNTING, given)).stall == 0.0


@pytest.mark.parametrize(("hasty", "broken"), [(False, set()), (True, {"durable"})])
def test_who_speaks_before_it_is_on_disk_is_found(hasty: bool, broken: set[str]) -> None:
    simulation = replace(COUNTING, build=partial(Counting, hasty=hasty))
    found = set()
    for seed in range(5):
        world, _ = command.build(simulation, {"seed": str(seed), "clients": "100", "duration": "4s", "jitter": "0ms"})
        world.begin()
        world.run_until(3.5)  # the server has died while it wrote, and nobody has asked it since
        assert world.heard > 0
        found |= {verdict.invariant for verdict in simulation.check(world) if verdict.outcome == BROKEN}
    assert found == broken
