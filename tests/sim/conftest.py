"""Hypothesis gives the same examples each time: a failure is found again by running the test again."""

from hypothesis import settings

settings.register_profile("deterministic", derandomize=True, database=None, deadline=None)
settings.load_profile("deterministic")
