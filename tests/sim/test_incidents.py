"""Restarts and partitions that a person asks of the simulator."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner

from testbed import simulate

FEW = ["handover", "--json", "--mns=20", "--cells=3", "--duration=30s"]


def simulated(*words: str) -> dict[str, Any]:
    result = CliRunner().invoke(simulate.command, [*FEW, *words], catch_exceptions=False)
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


def test_what_is_planned_is_in_the_replay() -> None:
    words = ("--restart=sm@10s,lmc1@12s", "--partition=lmc1@5s+2s")
    replay = simulated(*words)["replay"].split()
    assert set(words) <= set(replay)
