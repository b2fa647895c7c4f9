"""The children that a parent watches (clause 7.4, M-13), against a plain account of who was heard when."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.mmcp.constants import UNANSWERED_PROBES
from agents.mmcp.monitoring import LOOK_MAXIMUM, LOOK_PAUSE, Child, Children, Watch

PROBE_TIME = 3.0
NAMES = [b"a", b"b", b"c", b"d"]
STEPS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0, 3.0, 10.0]), st.sampled_from(["heard", "leave", "wait", "sleep"]), st.sampled_from(NAMES)),
    max_size=60,
)  # fmt: skip


@dataclass
class Account:
    """What M-13 says of one child."""

    heard: float
    probed: int = 0

    @property
    def due(self) -> float:
        return self.heard + (self.probed + 1) * PROBE_TIME


def looked_at(accounts: dict[bytes, Account], now: float) -> list[tuple[bytes, Watch]]:
    """Who is to be probed or has failed, each for itself."""
    seen = []
    for name, account in list(accounts.items()):
        while account.due <= now and name in accounts:
            if account.probed == UNANSWERED_PROBES:
                seen.append((name, Watch.FAILED))
                del accounts[name]
            else:
                account.probed += 1
                seen.append((name, Watch.PROBE))
    return sorted(seen, key=lambda row: row[0])


@given(STEPS)
def test_children_are_probed_and_fail_as_each_for_itself_would(steps: list[tuple[float, str, bytes]]) -> None:
    """The parent looks when it is told to, or (a machine that was asleep) later."""
    children: Children[Child] = Children(PROBE_TIME)
    accounts: dict[bytes, Account] = {}
    now = 0.0
    look: float | None = None
    for seconds, what, name in steps:
        end = now + seconds
        while look is not None and look <= end:
            now = end if what == "sleep" else look
            found = [(each, done) for each, _, done in children.look(now)]
            assert sorted(found, key=lambda row: row[0]) == looked_at(accounts, now)
            look = children.next_look if children else None
            assert look is None or look > now
        now = end
        if what == "heard":
            if name in children:
                children[name].heard(now)
            else:
                children[name] = Child(now)
                look = now + PROBE_TIME if len(children) == 1 else look
            accounts[name] = Account(now)
        elif what == "leave":
            assert (children.pop(name, None) is None) == (accounts.pop(name, None) is None)
        assert {each: child.probes for each, child in children.items()} == {
            each: account.probed for each, account in accounts.items()
        }
        assert not accounts or look is not None
        assert all(look is None or look <= account.due for account in accounts.values())


def test_many_that_are_due_at_once_are_looked_at_some_at_a_time() -> None:
    children: Children[Child] = Children(PROBE_TIME)
    for number in range(2 * LOOK_MAXIMUM + 1):
        children[b"%d" % number] = Child(0.0)
    now, looks = PROBE_TIME, []
    while now < 2 * PROBE_TIME:
        looks.append((now, len(list(children.look(now)))))
        now = children.next_look
    times, counts = zip(*looks[:3], strict=True)
    assert counts == (LOOK_MAXIMUM, LOOK_MAXIMUM, 1)
    assert times == pytest.approx([PROBE_TIME, PROBE_TIME + LOOK_PAUSE, PROBE_TIME + 2 * LOOK_PAUSE])
    assert {child.probes for child in children.values()} == {1}
    assert sum(count for _, count in looks) == len(children), "none twice"
