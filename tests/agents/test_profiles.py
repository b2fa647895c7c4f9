"""The two forms of parameter headers [M-2]: a role writes its own in the configured one, and answers in its peer's."""

from __future__ import annotations

import pytest

from tests.agents.lab import TIMERS, joined, move, state
from tests.agents.network import Network

OWN = {"mn": ("SJR", "LJR", "USR", "HIR", "ULR"), "lmc1": ("SJR", "ASR", "HCT"), "lmc2": ("SJR", "ASR", "HCT")}


def used(network: Network) -> dict[tuple[str, str], set[str]]:
    """Profiles by sender and packet, of all packets that have parameters."""
    found: dict[tuple[str, str], set[str]] = {}
    for sent in network.sent:
        if sent.fields["params"]:
            found.setdefault((sent.sender, sent.packet), set()).add(sent.fields["profile"])
    return found


def walked(**profiles: str) -> Network:
    changes = {role: {"profile": profile} for role, profile in profiles.items()}
    network = joined(**changes)
    move(network, "poa2")
    network.run_for(2 * TIMERS.srt_s)
    assert state(network) == "ESTABLISHED"
    return network


def test_everybody_may_speak_l8() -> None:
    found = used(walked(sm="L8", lmc="L8", mn="L8"))
    assert {profile for profiles in found.values() for profile in profiles} == {"L8"}
    assert ("mn", "HIR") in found
    assert ("lmc1", "HCT") in found
    assert ("lmc1", "HIC") in found


@pytest.mark.parametrize("speaker", ["mn", "lmc"])
def test_requests_are_the_senders_own_and_confirms_are_the_requests(speaker: str) -> None:
    other = {"mn": "L16", "lmc": "L16"} | {speaker: "L8"}
    found = used(walked(**{speaker: "L8"}))
    for (sender, packet), profiles in found.items():
        role = sender.rstrip("12")
        if packet in OWN.get(sender, ()):
            assert profiles == {other[role]}, (sender, packet)
    assert found["lmc1", "HIC"] == {other["mn"]}
    assert found["sm", "SJC"] == {other["lmc"], other["mn"]}
