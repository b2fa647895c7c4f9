"""GMP's decisions: each is named by code that depends on it and by a test that holds it, and no other is named."""

from __future__ import annotations

from agents.documentation import mentions
from agents.gmp.decisions import IMPLEMENTATION, SPECIFICATION

FOUND = mentions([*SPECIFICATION, *IMPLEMENTATION])


def test_decisions_are_numbered_and_complete() -> None:
    assert [decision.id for decision in SPECIFICATION] == [f"G-{number}" for number in range(1, 30)]
    numbers = [int(decision.id.removeprefix("GI-")) for decision in IMPLEMENTATION]
    assert numbers == sorted(set(numbers))
    assert set(FOUND) == {decision.id for decision in (*SPECIFICATION, *IMPLEMENTATION)}, (
        "named, but in no list of decisions"
    )


def test_every_decision_is_named_by_code_and_by_a_test() -> None:
    without_code = {name for name, places in FOUND.items() if not any(one.path.startswith("agents/") for one in places)}
    assert without_code == set()
    untested = {name for name, places in FOUND.items() if not any(one.in_tests for one in places)}
    assert untested == set()
