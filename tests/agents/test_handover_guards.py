"""Who may hand a context over, and for what (decision M-24)."""

from __future__ import annotations

import pytest

from agents.core.agent import Endpoint
from tests.agents.lab import GROUP, GROUP_PORT, LMC1, MN_ID, STRANGER, count, joined, message, row


def context(group: str = GROUP) -> bytes:
    return message("HCT", ["mn_id", MN_ID], ["multicast", group, GROUP_PORT])


def test_a_strangers_context_is_dropped_and_never_answered() -> None:  # M-24
    network = joined()
    mark = network.mark()
    network.give("lmc2", context(), STRANGER)
    network.run_for(0.5)
    assert count(network, "lmc2", "dropped.unknown-lmc") == 1
    assert not [line for line in network.lines(mark) if "HTA" in line or "joins" in line]


@pytest.mark.parametrize("group", ["239.9.9.9", "ff1e::9"])
def test_a_context_for_another_group_is_refused_without_a_join(group: str) -> None:  # M-24
    network = joined()
    mark = network.mark()
    network.give("lmc2", context(group), Endpoint(LMC1.address, 40000))
    network.run_for(0.5)
    assert count(network, "lmc2", "refused.group-not-the-sessions") == 1
    assert not [line for line in network.lines(mark) if "joins" in line]
    assert row(network, "lmc2")["expected"] == {}
    assert [sent.destination.port for sent in network.packets("HTA")] == [40000]
