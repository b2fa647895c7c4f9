"""The simulated world: the same seed is the same run, every fault happens, and what breaks is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from agents.core.agent import Endpoint, Notify
from agents.core.links import LinkUp
from agents.mmcp.node_session import NodeSession
from testbed.commands.program import main
from testbed.mmcp.simulate import HANDOVER
from testbed.mmcp.world import Mobile, PlanError, World
from testbed.sim import command
from testbed.sim.faults import PERFECT, Faults
from testbed.sim.machine import RoleError
from testbed.sim.world import BROKEN, NOT_CHECKED
from tests.sim.worlds import ROUGH, broken, judged, plan, ran

PROJECT = Path(__file__).resolve().parents[2]
HASH_OF_A_RUN = (
    "from tests.sim.worlds import plan, ran; world = ran(plan(3)); print(world.trace_hash, world.events, world.now)"
)


# --- determinism ------------------------------------------------------------------------------------------------------


def test_the_same_seed_is_the_same_run_and_another_is_another() -> None:
    one, same, other = ran(plan(3)), ran(plan(3)), ran(plan(4))
    assert one.trace_hash == same.trace_hash
    assert (one.events, one.fates, one.handovers) == (same.events, same.fates, same.handovers)
    assert one.trace_hash != other.trace_hash


def test_the_hash_does_not_depend_on_the_process() -> None:
    lines = {
        subprocess.run(
            [sys.executable, "-c", HASH_OF_A_RUN],
            cwd=PROJECT, env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": "."}, check=True, capture_output=True, text=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    world = ran(plan(3))
    assert lines == {f"{world.trace_hash} {world.events} {world.now}\n"}


def test_a_run_in_pieces_is_the_same_run() -> None:
    whole, pieces = ran(plan(5), 4.0), World(plan(5))
    pieces.begin()
    for number in range(40):
        pieces.run_until((number + 1) / 10)
    assert pieces.trace_hash == whole.trace_hash


# --- faults -----------------------------------------------------------------------------------------------------------


def test_a_perfect_network_loses_nothing_and_every_handover_is_predictive() -> None:
    world = ran(plan(faults=PERFECT), 20.0)
    assert broken(judged(world)) == {}
    assert world.handovers["predictive"] > 20
    assert {name: count for name, count in world.handovers.items() if count} == {
        "predictive": world.handovers["predictive"]
    }
    for fate in ("lost", "duplicated", "reordered", "partitioned"):
        assert world.fates[fate] == 0
    assert world.fates["sent"] == world.fates["delivered"] + world.fates["no-link"] + world.fates["no-receiver"]


@pytest.mark.parametrize(
    ("fate", "faults"),
    [
        ("lost", Faults(loss=0.1)),
        ("duplicated", Faults(duplication=0.1)),
        ("reordered", Faults(reordering=0.1)),
    ],
)
def test_each_fault_happens_as_often_as_asked(fate: str, faults: Faults) -> None:
    world = ran(plan(faults=faults, mns=100), 20.0)
    assert world.fates["sent"] > 2000
    assert 0.05 < world.fates[fate] / world.fates["sent"] < 0.2


def test_jitter_spreads_the_delay() -> None:
    arrivals = {}
    for jitter in (0.0, 0.01):
        world = World(plan(faults=Faults(delay_s=0.005, jitter_s=jitter), moves_per_s=0.0))
        world.begin()
        world.run_for(0.0)  # the LMCs have sent their SJRs at once
        arrivals[jitter] = {round(entry[0], 9) for entry in world._agenda if entry[1] == world._arrive}
    assert arrivals[0.0] == {0.005}
    assert len(arrivals[0.01]) == 4
    assert all(0.005 <= time <= 0.015 for time in arrivals[0.01])


def test_a_partition_holds_until_it_heals() -> None:
    world = World(plan(faults=PERFECT, mns=2, moves_per_s=0.0))
    world.cut("cell0", "core")
    world.begin()
    world.run_for(3.0)
    assert world.fates["partitioned"] > 0
    states = [mobile.agent.state.value for mobile in world.mobiles]
    assert states == ["SJR-SENT", "ESTABLISHED"]
    world.heal()
    world.run_for(3.0)
    assert [mobile.agent.state.value for mobile in world.mobiles] == ["ESTABLISHED"] * 2


def test_a_node_without_a_link_hears_nothing_and_is_not_heard() -> None:
    world = ran(plan(faults=PERFECT, mns=1, moves_per_s=0.0), 3.0)
    mobile = world.mobiles[0]
    world.link_down(mobile)
    before = dict(world.fates)
    world.leave(mobile)
    assert world.fates["no-link"] == before["no-link"] + 1 == mobile.agent.counters["unsent.no-link"]
    heard = mobile.agent.counters["received.USP"]
    world._arrive((mobile.node.endpoint, b"x", Endpoint("1.2.3.4", 1)), world.sm_node)
    assert world.fates["no-receiver"] == before["no-receiver"] + 1
    assert mobile.agent.counters["received.USP"] == heard


def test_memory_does_not_grow_with_time() -> None:
    world = ran(plan(), 10.0)
    early = world.pending
    world.run_for(100.0)
    assert world.pending <= 2 * early


def test_too_many_cells_for_the_address_space() -> None:
    with pytest.raises(PlanError, match="at most 64 cells"):
        World(plan(mns=200_000, cells=65))


# --- invariants -------------------------------------------------------------------------------------------------------


# A subnet of two cells, and a cell whose parent is the SM.
MIXED = ((0, 3), (1,))


@pytest.mark.parametrize("serving", [None, MIXED], ids=["one LMC a cell", "mixed"])
@pytest.mark.parametrize("seed", range(20))
def test_invariants_hold_after_a_rough_time(seed: int, serving: tuple[tuple[int, ...], ...] | None) -> None:
    world = ran(plan(seed, serving=serving))
    assert broken(judged(world)) == {}
    assert world.handovers["predictive"] + world.handovers["fallback"] > 5
    assert all(world.fates[fate] > 0 for fate in ("lost", "duplicated", "reordered"))


def forget(world: World) -> Mobile:
    """A fault planted on purpose: an LMC loses one of its MNs."""
    for _, lmc in world.controllers:
        members = lmc._sessions[1].members
        if members:
            name = members.popitem()[0]
            return next(mobile for mobile in world.mobiles if mobile.node.name.encode() == name)
    raise AssertionError("nobody is a member anywhere")


def test_a_forgotten_node_is_told() -> None:
    world = ran(plan())
    world.calm()
    mobile = forget(world)
    found = broken(HANDOVER.check(world))
    assert list(found) == ["known-by-parent", "one-parent"]
    assert found["known-by-parent"][0].startswith(f"{mobile.node.name} reports to 10.")


def test_a_second_parent_is_told() -> None:
    world = ran(plan(faults=PERFECT))
    world.calm()
    members = [lmc._sessions[1].members for _, lmc in world.controllers]
    name, row = next(iter(members[0].items()))
    members[1][name] = row
    assert list(broken(HANDOVER.check(world))) == ["one-parent"]


def test_other_breaches_are_told() -> None:
    world = ran(plan(faults=PERFECT))
    before = world.counters()
    world.calm()
    node, _ = world.controllers[0]
    node.groups["239.1.1.1", "lan", None] = False
    node.agent.counters["sent.ASR"] = 0
    world.mobiles[0].agent._sessions[1]._machine.state = type(world.mobiles[0].agent.state).CLOSED
    assert forget(world) is not None
    world.session_manager._sessions[1].members.pop(b"mn2")
    world.notified(world.mobiles[4].node, Notify("established"))
    world.session_manager._sessions[1].members[b"mn3"].lmc = b"lmcx"
    world.mobiles[3].node.groups.clear()
    world.mobiles[5].cell += 1  # whose LMC does not know it
    found = broken(HANDOVER.check(world, before))
    assert set(found) == set(HANDOVER.every_invariant) - {"nothing-raised", "receives-again"}
    assert {name: row.outcome for row in HANDOVER.check(world) if (name := row.invariant) == "counters-grow"} == {
        "counters-grow": NOT_CHECKED
    }


def test_mn_that_shows_no_membership_where_it_has_come_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NodeSession, "_renew_membership_on", lambda *_: None)
    found = broken(judged(ran(plan(faults=PERFECT))))
    assert list(found) == ["receives-again"]
    assert "has shown no membership in cell" in found["receives-again"][0]


def test_membership_shown_from_an_address_of_another_subnet_does_not_count() -> None:
    world = ran(plan(mns=1, moves_per_s=0.0, faults=PERFECT))
    (mobile,) = world.mobiles
    world.link_down(mobile)
    world.regain_link(mobile.node, "cell1", "10.0.0.0")
    before = mobile.node.shown_at
    world.run_for(0.1)
    world.tell(mobile.node, LinkUp("radio"))
    world.run_for(0.1)
    assert mobile.node.shown_at == before


def test_mixed_world_has_handovers_of_every_kind() -> None:
    world = ran(plan(serving=MIXED, faults=PERFECT))
    sm = world.session_manager.counters
    lmcs = [lmc.counters for _, lmc in world.controllers]
    assert sm["received.HIR"] > 0  # from a cell without an LMC
    assert sum(each["refused.handover-unknown-poa"] for each in lmcs) > 0  # to it
    assert sum(each["sent.HIC"] - each["sent.HCT"] - each["refused.handover-unknown-poa"] for each in lmcs) > 0
    assert broken(judged(world)) == {}


def test_mn_that_is_in_no_group_within_spt_of_the_last_fault_is_told() -> None:
    world = ran(plan(mns=2, moves_per_s=0.0, faults=PERFECT))
    agent = world.mobiles[1].agent
    joined_on = agent._sessions[1]._joined_on
    joined_on.clear()  # as if it had forgotten to join
    world.mobiles[1].node.groups.clear()
    world.calm()
    found = broken(HANDOVER.check(world))
    assert set(found) == {"receives-again", "in-group"}
    assert "mn1: is ESTABLISHED and in no group" in found["receives-again"][0]


def test_a_role_that_raises_is_told_with_its_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(plan())
    monkeypatch.setattr(world.controllers[0][1], "receive", lambda *_args: 1 / 0)
    result = command.perform(HANDOVER, world, 5.0)
    assert result["verdict"] == "fail"
    (raised,) = [row for row in result["invariants"] if row["outcome"] == BROKEN]
    assert raised["invariant"] == "nothing-raised"
    assert "lmc0: ZeroDivisionError" in raised["seen"][0]
    assert {row["outcome"] for row in result["invariants"]} == {BROKEN, NOT_CHECKED}
    world = World(plan())
    monkeypatch.setattr(world.controllers[0][1], "receive", lambda *_args: 1 / 0)
    world.begin()
    with pytest.raises(RoleError, match="lmc0"):
        world.run_for(5.0)


# --- the command ------------------------------------------------------------------------------------------------------

WORDS = ("sim", "handover", "--mns=50", "--duration=5s", "--moves=5%/s", "--loss=10%", "--seed=7")


def test_the_command_prints_a_summary_and_the_same_hash_each_time() -> None:
    result = CliRunner().invoke(main, WORDS)
    assert result.exit_code == 0, result.output
    for part in ("virtual time", "events", "handovers", "datagrams", "trace hash", "PASS"):
        assert part in result.output
    rows = [json.loads(CliRunner().invoke(main, [*WORDS, "--json"]).output) for _ in range(2)]
    assert rows[0]["trace_hash"] == rows[1]["trace_hash"]
    assert f"trace hash    {rows[0]['trace_hash']}" in result.output
    assert {row["invariant"] for row in rows[0]["invariants"]} == set(HANDOVER.every_invariant)


def test_a_broken_invariant_is_printed_with_the_way_to_see_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    perform = command.perform
    monkeypatch.setattr(command, "perform", partial(perform, meddle=forget))
    result = CliRunner().invoke(main, WORDS)
    assert result.exit_code == 1
    assert "broken        known-by-parent" in result.output
    again = result.output[result.output.index("again with") :].split()
    assert again[2:7] == ["python", "-m", "testbed", "sim", "handover"]
    assert {"--mns=50", "--loss=10%", "--seed=7", "--cells=10", "--moves=5%/s"} <= set(again)
    given = {word[2:].split("=")[0]: word.split("=")[1] for word in again[7:]}
    asked = {word[2:].split("=")[0]: word.split("=")[1] for word in WORDS[2:]}
    assert command.build(HANDOVER, given)[0].plan == command.build(HANDOVER, asked)[0].plan


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--loss=5"], "write a number and %"),
        (["--loss=95%"], "0% to 90%"),
        (["--duration=60"], "has no unit"),
        (["--mns=0"], "1 to 1000000"),
        (["--roam=1"], "--moves: an MN that has one cell cannot move; give 2 or more"),
        (["--cells=1"], "--moves: an MN that has one cell cannot move"),
        (["--restart=lmc3"], "--restart: 'lmc3' is no restart"),
        (["--restart=lmc3@20"], "has no unit"),
        (["--restart=lmc10@20s"], "there is no lmc10: with 10 cells the last is lmc9"),
        (["--leave=sm@20s"], "--leave: 'sm@20s' is no leave"),
        (["--leave=lmc10@20s"], "there is no lmc10: with 10 cells the last is lmc9"),
        (["--partition=lmc3@20s"], "--partition: 'lmc3@20s' is no partition"),
        (["--moves=10%"], "no rate"),
        (["--moves=200%/s"], "0%/s to 100%/s"),
        (["--mns=200000", "--cells=65"], "at most 64 cells"),
    ],
)
def test_what_it_does_not_take(words: list[str], said: str) -> None:
    result = CliRunner().invoke(main, ["sim", "handover", *words])
    assert result.exit_code == 2
    assert said in result.output
    assert result.output.count("\n") == 1


def test_a_long_run_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "TELL_AFTER_S", 0.0)
    told: list[str] = []
    world = World(plan(faults=ROUGH))
    command.perform(HANDOVER, world, 2.0, told.append)
    assert told[0].endswith("events")
    assert told[-1].startswith("quiet")
