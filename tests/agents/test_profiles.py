"""The two forms of parameter headers [M-2]: a role writes its own in the configured one, and answers in its peer's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.agents.lab import LMC1, STRANGER, TIMERS, Chart, joined, message, move, state
from tests.agents.situations import MN, POA2

OWN = {"mn": ("SJR", "LJR", "USR", "HIR", "ULR"), "lmc1": ("SJR", "ASR", "HCT"), "lmc2": ("SJR", "ASR", "HCT")}


def used(network: Chart) -> dict[tuple[str, str], set[str]]:
    """Profiles by sender and packet, of all packets that have parameters."""
    found: dict[tuple[str, str], set[str]] = {}
    for sent in network.sent:
        if sent.fields["params"]:
            found.setdefault((sent.sender, sent.packet), set()).add(sent.fields["profile"])
    return found


def walked(**profiles: str) -> Chart:
    changes = {role: {"profile": profile} for role, profile in profiles.items()}
    network = joined(**changes)
    move(network, "poa2")
    network.run_for(2 * TIMERS.srt_s)
    assert state(network) == "ESTABLISHED"
    return network


@pytest.mark.parametrize(
    ("role", "packet", "params", "answer"),
    [
        ("sm", "SJR", [MN], "SJC"),
        ("sm", "SJR", [["mn_id", b"lmc1".hex()], ["lmc", *LMC1]], "SJC"),
        ("sm", "HIR", [MN, POA2], "HIC"),
    ],
)
def test_l8_request_gets_an_l8_reply(role: str, packet: str, params: list[Any], answer: str) -> None:  # M-2
    network = joined()
    network.give(role, message(packet, *params, profile="L8"), STRANGER)
    sent = network.sent[-1]
    assert (sent.packet, sent.fields["f"], sent.fields["profile"]) == (answer, 1, "L8")


def test_l8_handover_request_gets_an_l8_confirm() -> None:  # M-2
    network = joined()
    network.give("lmc1", message("HIR", MN, POA2, profile="L8"), STRANGER)
    network.run_for(0.1)
    [confirm] = network.packets("HIC")
    assert (confirm.fields["f"], confirm.fields["profile"]) == (1, "L8")
    assert confirm.destination == STRANGER


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
