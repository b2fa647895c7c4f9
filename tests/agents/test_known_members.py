"""What SM and LMC take over from a member that writes again, and what they keep."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agents.core.agent import Endpoint
from agents.core.checks import is_source_specific
from agents.mmcp.events import ApplicationLeave
from agents.mmcp.messages import DataChannelStatus
from tests.agents.lab import GROUP, LMC1, MN_ID, PORT, TIMERS, Chart, joined, lab, message, row, state
from tests.agents.situations import handing_over, on_two_interfaces, promised, renewal_unanswered_and_handing_over

OTHER = b"mn2".hex()
FIRST, LATER = Endpoint("10.0.1.102", PORT), Endpoint("10.0.1.103", PORT)


def probed(network: Chart) -> list[Endpoint]:
    """Where probes have gone."""
    return [sent.destination for sent in network.packets("USP")]


@pytest.mark.parametrize(("role", "packet"), [("sm", "SJR"), ("lmc1", "LJR")])
def test_member_that_joins_again_is_probed_where_it_is_now(role: str, packet: str) -> None:
    network = lab()
    for source in (FIRST, LATER):
        network.give(role, message(packet, ["mn_id", OTHER]), source)
    network.run_for(TIMERS.probe_time + 0.1)
    assert probed(network) == [LATER]


def test_sm_takes_the_lmc_from_the_last_request() -> None:
    network = lab()
    for points, lmc in ((["poa_id", b"poa1".hex()], b"lmc1".hex()), (["poa_id", b"poa2".hex()], b"lmc2".hex())):
        network.give("sm", message("SJR", ["mn_id", OTHER], points), FIRST)
        assert row(network, "sm")["members"][OTHER]["lmc"] == lmc


def test_requests_profile_is_the_members_from_then_on() -> None:  # M-2
    network = lab()
    for role, packet in (("sm", "SJR"), ("lmc1", "LJR")):
        for profile in ("L16", "L8"):
            network.give(role, message(packet, ["mn_id", OTHER], profile=profile), FIRST)
            members = network.nodes[role].agent._sessions[1].members  # type: ignore[attr-defined]  # of SM and LMC
            assert members[bytes.fromhex(OTHER)].profile.value == profile


def test_duplicate_hir_says_where_hic_goes() -> None:
    network = handing_over()
    network.give("lmc1", message("HIR", ["mn_id", MN_ID], ["poa_id", b"poa2".hex()]), LATER)
    network.run_for(0.5)
    assert [sent.destination for sent in network.packets("HIC")] == [LATER]


def test_hir_counts_as_heard() -> None:
    network = lab()
    network.give("lmc1", message("LJR", ["mn_id", OTHER]), FIRST)
    network.run_for(TIMERS.probe_time - 1)
    network.give("lmc1", message("HIR", ["mn_id", OTHER], ["poa_id", b"nobodys".hex()]), FIRST)
    network.run_for(TIMERS.probe_time - 0.1)
    assert probed(network) == []
    network.run_for(0.2)
    assert probed(network) == [FIRST]


def test_mn_that_has_come_back_and_left_is_a_stranger() -> None:  # M-19: what was confirmed before is over
    network = joined()
    network.trigger("poa2")
    network.run_for(0.1)
    for packet in ("LJR", "ULR"):
        network.give("lmc1", message(packet, ["mn_id", MN_ID]), FIRST)
    network.give("lmc1", message("HIR", ["mn_id", MN_ID], ["poa_id", b"poa2".hex()]), FIRST)
    assert network.lines()[-1] == "lmc1 HIC- nobody"


def test_report_without_status_keeps_the_status_known() -> None:
    network = joined()
    network.give("sm", message("ASR", ["membership", 1], ["mn_id", MN_ID], ["status", 7, 9]), LMC1)
    network.give("sm", message("ASR", ["membership", 1], ["mn_id", MN_ID]), LMC1)
    members = network.nodes["sm"].agent._sessions[1].members  # type: ignore[attr-defined]  # of an SM
    assert members[bytes.fromhex(MN_ID)].status == DataChannelStatus(7, 9)


@pytest.mark.parametrize("build", [promised, on_two_interfaces, renewal_unanswered_and_handing_over])
def test_mn_that_has_left_waits_for_nothing(build: Callable[[], Chart]) -> None:
    network = build()
    network.tell("mn", ApplicationLeave())
    assert state(network) == "CLOSED"
    assert network.nodes["mn"].next_deadline is None


def test_refusal_of_a_renewal_while_a_handover_is_prepared_does_not_end_it() -> None:
    network = renewal_unanswered_and_handing_over()
    network.give("mn", message("LJC"), LMC1)
    assert state(network) == "HIR-SENT"
    network.run_for(0.5)
    assert (state(network), network.notices("mn")[-1]) == ("ESTABLISHED", "handover-prepared")


@pytest.mark.parametrize(
    ("group", "is_ssm"),
    [
        *((f"ff3{scope:x}::8000:1", True) for scope in range(16)),
        ("ff3e:0:ffff::1", True),
        ("ff3e:1::1", False),
        ("ff1e::1:1", False),
        ("ff7e::1", False),
        ("232.0.0.1", True),
        ("232.255.255.255", True),
        ("233.0.0.1", False),
        (GROUP, False),
    ],
)
def test_groups_that_need_their_source(group: str, is_ssm: bool) -> None:
    assert is_source_specific(group) is is_ssm
