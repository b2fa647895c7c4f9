"""Any course of events, as Hypothesis thinks of it: an SM, two LMCs, three MNs on a network that does its worst.

One LMC serves two cells, the other one, and the fourth cell has none: there are handovers within a subnet, between LMCs,
and from and to the SM.
After each quiet period every invariant must hold again, whatever happened before it.
"""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from testbed.mmcp.simulate import HANDOVER
from testbed.mmcp.world import Mobile, World
from testbed.sim.faults import PERFECT, Faults
from tests.sim.worlds import broken, plan

MNS = st.integers(0, 2)
CELLS = st.integers(0, 3)
SERVING = ((0, 3), (1,))
CONTROLLERS = st.integers(0, len(SERVING) - 1)
TIMES = st.sampled_from([0.0, 0.004, 0.006, 0.012, 0.03, 0.1, 0.4, 1.0, 3.0])  # s, on both sides of what takes time
SITES = st.sampled_from([("cell0", "core"), ("cell1", "core"), ("cell0", "cell1")])


class AnyCourse(RuleBasedStateMachine):
    """What may happen. ``_next`` is where an MN's radio will be when its link comes up next."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(plan(1, mns=3, cells=4, roam=4, serving=SERVING, moves_per_s=0.0, faults=PERFECT))
        self._next = [mobile.cell for mobile in self.world.mobiles]

    @initialize(seconds=TIMES)
    def begin(self, seconds: float) -> None:
        self.world.begin()
        self.world.run_for(seconds)

    # --- what MNs do ------------------------------------------------------------------------------------------------

    @rule(number=MNS, cell=CELLS)
    def trigger(self, number: int, cell: int) -> None:
        mobile = self.world.mobiles[number]
        if not (mobile.node.link_is_up and cell == mobile.cell):  # else it says what everybody knows
            self._next[number] = cell
        self.world.detect(mobile, cell)

    @rule(number=MNS)
    def link_down(self, number: int) -> None:
        mobile = self.world.mobiles[number]
        if mobile.node.link_is_up:
            self.world.link_down(mobile)

    @rule(number=MNS)
    def link_up(self, number: int) -> None:
        mobile = self.world.mobiles[number]
        if not mobile.node.link_is_up:
            self._arrive(number, mobile)

    @rule(number=MNS, cell=CELLS, seconds=TIMES)
    def walk(self, number: int, cell: int, seconds: float) -> None:
        self.walk_misled(number, cell, cell, seconds)

    @rule(number=MNS, told=CELLS, cell=CELLS, seconds=TIMES)
    def walk_misled(self, number: int, told: int, cell: int, seconds: float) -> None:
        """The link comes up elsewhere than the trigger said [M-32]."""
        self.trigger(number, told)
        self.world.run_for(seconds)
        self.link_down(number)
        self._next[number] = cell
        self.world.run_for(seconds)
        self.link_up(number)

    @rule(number=MNS)
    def leave(self, number: int) -> None:
        if self.world.mobiles[number].willing:
            self.world.leave(self.world.mobiles[number])

    @rule(number=MNS)
    def rejoin(self, number: int) -> None:
        self.world.join(self.world.mobiles[number])

    # --- what the network does --------------------------------------------------------------------------------------

    @rule(loss=st.sampled_from([0.0, 0.3, 1.0]), duplication=st.sampled_from([0.0, 0.3]), jitter=st.booleans())
    def faults(self, loss: float, duplication: float, jitter: bool) -> None:
        self.world.faults = Faults(
            loss=loss, duplication=duplication, jitter_s=0.02 * jitter, reordering=0.2 * jitter, held_back_s=0.1
        )

    @rule(sites=SITES)
    def partition(self, sites: tuple[str, str]) -> None:
        self.world.cut(*sites)

    @rule()
    def heal(self) -> None:
        self.world.heal()

    @rule(seconds=TIMES)
    def time_passes(self, seconds: float) -> None:
        self.world.run_for(seconds)

    @rule()
    def session_manager_dies(self) -> None:
        self.world.restart_session_manager()

    @rule(index=CONTROLLERS)
    def controller_dies(self, index: int) -> None:
        self.world.restart_controller(index)

    @rule(index=CONTROLLERS)
    def controller_leaves(self, index: int) -> None:
        self.world.leave_controller(index)

    # --- what must be -----------------------------------------------------------------------------------------------

    @precondition(lambda self: self.world.now > 5)
    @rule()
    def quiet(self) -> None:
        self._judge()

    def teardown(self) -> None:
        self._judge()

    def _judge(self) -> None:
        # A trigger that no move has followed stays without one [M-28].
        before = self.world.counters()
        for number, mobile in enumerate(self.world.mobiles):
            if not mobile.node.link_is_up:
                self._arrive(number, mobile)
        self.world.run_for(1.0)
        self.world.calm()
        found = broken(HANDOVER.check(self.world, before))
        assert found == {}, found

    def _arrive(self, number: int, mobile: Mobile) -> None:
        self.world.link_up(mobile, self._next[number])  # a radio says with which cell it has associated


AnyCourse.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=30,
    phases=[Phase.generate],  # when it fails, add Phase.shrink: that takes minutes, and finds the few steps that matter
    report_multiple_bugs=False,
)
TestAnyCourse = AnyCourse.TestCase


def test_leaving_before_the_new_address_and_joining_again() -> None:
    world = World(plan(mns=1, cells=2, roam=2, moves_per_s=0.0, faults=PERFECT))
    world.begin()
    world.run_for(3.0)
    (mobile,) = world.mobiles
    world.detect(mobile, 1)
    world.link_down(mobile)
    world.link_up(mobile, 1)
    world.leave(mobile)
    world.run_for(1.0)
    world.join(mobile)
    world.calm()
    assert broken(HANDOVER.check(world)) == {}


@pytest.mark.parametrize("tenths", range(5))
def test_lmc_that_restarts_cut_off_from_the_sm(tenths: int) -> None:
    """Within one JWT of 0.5 s, an MN or the LMC is the first whom the SM hears again."""
    world = World(plan(mns=3, cells=2, roam=2, moves_per_s=0.0, faults=PERFECT))
    world.begin()
    world.run_for(3.0)
    world.cut("cell0", "core")
    world.restart_controller(0)
    world.run_for(10.0 + tenths / 10)
    world.calm()
    assert broken(HANDOVER.check(world)) == {}
    assert world.rejoins == 0
