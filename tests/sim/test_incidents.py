"""Restarts, leaves and partitions that a person asks of the simulator."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner

from testbed.commands.program import main

FEW = ["sim", "handover", "--json", "--mns=20", "--cells=3", "--duration=30s"]


def simulated(*words: str) -> dict[str, Any]:
    result = CliRunner().invoke(main, [*FEW, *words], catch_exceptions=False)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_partition_lasts_as_long_as_was_asked() -> None:
    assert simulated()["datagrams"]["partitioned"] == 0
    short, long = (simulated(f"--partition=lmc1@5s+{seconds}s") for seconds in (5, 20))
    assert 0 < short["datagrams"]["partitioned"] < long["datagrams"]["partitioned"]
    assert short["verdict"] == "pass"


def test_two_partitions_end_each_for_itself() -> None:
    one = simulated("--partition=lmc1@5s+20s")["datagrams"]["partitioned"]
    both = simulated("--partition=lmc1@5s+20s,lmc2@6s+1s")["datagrams"]["partitioned"]
    assert both >= one


def test_roles_begin_again_and_all_is_well_afterwards() -> None:
    plain, restarted = simulated(), simulated("--restart=sm@10s,lmc0@12s,lmc2@12s")
    assert restarted["trace_hash"] != plain["trace_hash"]
    assert restarted["verdict"] == "pass"
    assert restarted == simulated("--restart=sm@10s,lmc0@12s,lmc2@12s") | {
        name: restarted[name] for name in ("events_per_s", "real_s")
    }


def test_nodes_whose_lmc_leaves_are_the_sms_until_it_is_back() -> None:
    all_leave, all_return = "--leave=lmc0@10s,lmc1@10s,lmc2@10s", "--restart=lmc0@11s,lmc1@11s,lmc2@11s"
    stayed, left, back = (simulated("--duration=200s", *words) for words in ([], [all_leave], [all_leave, all_return]))
    assert {run["verdict"] for run in (stayed, left, back)} == {"pass"}
    predictive = [run["handovers"]["predictive"] for run in (left, back, stayed)]
    assert predictive == sorted(set(predictive)), "without LMCs there is none to be handed over to"


def test_what_is_planned_is_in_the_replay() -> None:
    words = ("--restart=sm@10s,lmc1@12s", "--leave=lmc2@15s", "--partition=lmc1@5s+2s")
    replay = simulated(*words)["replay"].split()
    assert set(words) <= set(replay)
