"""More courses of events than the quick tests look at, and others each time: the seed comes from outside.

``COURSES_SEED=NUMBER make bench`` goes through the courses of an earlier run again, ``COURSES=COUNT`` through more of them.
"""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.sim.test_any_course import AnyCourse

pytestmark = pytest.mark.timeout(1800)

COURSES = 3000  # about half a minute


def test_other_courses_each_time() -> None:
    number = int(os.environ.get("COURSES_SEED") or random.SystemRandom().getrandbits(32))
    courses = int(os.environ.get("COURSES") or COURSES)
    print(f"\n{courses} courses of events; again with COURSES_SEED={number}")

    @seed(number)
    class OtherCourses(AnyCourse):
        pass

    run_state_machine_as_test(
        OtherCourses,
        settings=settings(
            AnyCourse.TestCase.settings,
            max_examples=courses,
            derandomize=False,
            phases=[Phase.generate],
        ),
    )
