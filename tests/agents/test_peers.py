"""Who may say what: confirms from a wrong peer, packets a role never receives, malformed datagrams, a full session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agents.core.agent import (
    Endpoint,
)
from tests.agents.lab import (
    LMC1,
    LMC2,
    SM,
    STRANGER,
    Chart,
    count,
    joined,
    message,
    row,
    state,
)
from tests.agents.situations import LMC, MN, MULTICAST, PACKETS, handing_over, joining, joining_locally, lmc_joining
from tests.wire.mmcp_messages import vectors


@pytest.mark.parametrize(
    ("build", "packet", "f", "params", "right"),
    [
        (joining, "SJC", 1, [MULTICAST], SM),
        (joining_locally, "LJC", 1, [], LMC1),
        (handing_over, "HIC", 1, [LMC], LMC1),
    ],
)
def test_confirm_from_a_wrong_peer_is_dropped(
    build: Callable[[], Chart], packet: str, f: int, params: list[Any], right: Endpoint
) -> None:
    network = build()
    before, mark = state(network), network.mark()
    wrong = [LMC2, STRANGER, Endpoint(right.address, right.port + 1)]
    for source in wrong:
        network.give("mn", message(packet, *params, f=f), source)
        network.give("mn", message(packet), source)
    assert (state(network), network.lines(mark)) == (before, [])
    assert count(network, "mn", "dropped.unknown-peer") == 2 * len(wrong)
    network.give("mn", message(packet, *params, f=f), right)
    assert state(network) == "ESTABLISHED"


def test_sjc_for_the_lmc_from_a_wrong_peer_is_dropped() -> None:
    network = lmc_joining()
    network.give("lmc1", message("SJC", MULTICAST, f=1), STRANGER)
    assert state(network, "lmc1") == "SJR-SENT"
    assert count(network, "lmc1", "dropped.unknown-peer") == 1


def test_hta_from_a_wrong_peer_or_at_a_wrong_port_is_dropped() -> None:
    network = handing_over()
    [port] = network.nodes["lmc1"].numbers
    mark = network.mark()
    wrong = [(STRANGER, port), (Endpoint(LMC2.address, 9), port), (LMC2, ""), (LMC2, f"{port}1")]
    for source, at in wrong:
        network.give("lmc1", message("HTA", f=1), source, port=at)
    assert network.lines(mark) == []
    assert count(network, "lmc1", "dropped.unmatched-HTA") == len(wrong)
    network.give("lmc1", message("HTA", f=1), LMC2, port=port)
    assert network.lines(mark) == ["lmc1 HIC+ mn"]


@pytest.mark.parametrize(
    ("role", "packet"),
    [("mn", p) for p in ("SJR", "LJR", "ULR", "USR", "ASR", "HIR", "HCT", "HTA+")]
    + [("lmc1", p) for p in ("LJC+", "ASR", "HIC+")]
    + [("sm", p) for p in ("SJC+", "LJR", "LJC+", "ULC+", "USP", "HCT", "HTA+", "HIC+")],
)
def test_packet_that_a_role_never_receives_is_dropped(role: str, packet: str) -> None:
    network = joined()
    f, params = PACKETS[packet]
    mark = network.mark()
    network.give(role, message(packet[:3], *params, f=f), LMC1)
    assert network.lines(mark) == []
    assert count(network, role, "dropped.unexpected-type") == 1
    assert count(network, role, f"received.{packet[:3]}") >= 1


@pytest.mark.parametrize("role", ["mn", "lmc1", "sm"])
@pytest.mark.parametrize("vector", [v for v in vectors() if v.get("malformed")], ids=lambda v: str(v["name"]))
def test_malformed_datagram_is_counted_and_not_answered(vector: dict[str, Any], role: str) -> None:
    network = joined()
    mark = network.mark()
    before = network.nodes[role].agent.counters.snapshot()
    network.give(role, bytes.fromhex(vector["hex"]), LMC1)
    after = network.nodes[role].agent.counters.snapshot()
    grown = {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
    assert len(grown) == 1
    [(name, amount)] = grown.items()
    assert name.startswith("dropped.")
    assert name == f"dropped.{vector.get('reason', name.removeprefix('dropped.'))}"
    assert amount == 1
    assert network.lines(mark) == []
    assert network.nodes[role].traces[-1].details["reason"] == name.removeprefix("dropped.")


def test_session_that_is_full_refuses_newcomers(monkeypatch: pytest.MonkeyPatch) -> None:
    network = joined()
    monkeypatch.setattr("agents.mmcp.constants.MEMBERS_MAXIMUM", 1)
    monkeypatch.setattr("agents.mmcp.session_manager.MEMBERS_MAXIMUM", 1)
    network.give("sm", message("SJR", ["mn_id", "77"]), STRANGER)
    network.give("lmc1", message("LJR", ["mn_id", "77"]), STRANGER)
    network.give("sm", message("SJR", MN), STRANGER)  # a member may join again
    assert network.lines()[-3:] == ["sm SJC- nobody", "lmc1 LJC- nobody", "sm SJC+ nobody"]
    assert count(network, "sm", "refused.session-full") == count(network, "lmc1", "refused.session-full") == 1
    assert len(row(network, "sm")["members"]) == 1
