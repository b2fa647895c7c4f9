"""A million random and mutated datagrams per role, and forged packets of data: nothing raises, nothing malformed is answered, memory stays flat."""

from __future__ import annotations

import time

import pytest

from tests.agents.srtp_forger import fuzz as fuzz_receiver
from tests.sim.fuzz import ROLES, fuzz

pytestmark = pytest.mark.timeout(1200)

DATAGRAMS = 1_000_000


@pytest.mark.parametrize("role", ROLES)
def test_a_million_datagrams(role: str) -> None:
    began = time.monotonic()
    outcome = fuzz(role, DATAGRAMS)
    print(
        f"\n{role}: {DATAGRAMS} datagrams in {time.monotonic() - began:.0f} s: {outcome.malformed} malformed, "
        f"{outcome.foreign} not for it, {outcome.answers} answered; {outcome.grown} objects more than half-way, "
        f"{outcome.timers} timers at most"
    )


def test_a_million_srtp_packets() -> None:
    began = time.monotonic()
    counters = fuzz_receiver(DATAGRAMS, 1)
    refused = ", ".join(
        f"{value} {name}" for name, value in counters.snapshot().items() if name.startswith("undecryptable")
    )
    print(
        f"\nreceiver: {DATAGRAMS} forged SRTP packets beside {counters['decrypted.packets']} of the source "
        f"in {time.monotonic() - began:.0f} s: {refused}"
    )
