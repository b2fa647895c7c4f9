"""Some thousand random and mutated datagrams per role; tests/bench gives each a million."""

from __future__ import annotations

import pytest

from tests.sim.fuzz import ROLES, fuzz

DATAGRAMS = 20_000


@pytest.mark.parametrize("role", ROLES)
def test_nothing_raises_and_nothing_malformed_is_answered(role: str) -> None:
    fuzz(role, DATAGRAMS)
