"""When a link that was measured counts as what it was asked to be."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from testbed.net.link_plans import Plan
from testbed.net.link_probes import Arrival
from testbed.net.link_verification import Measured, judge_delays, judge_rate, judge_shares
from testbed.net.quality_text import parse_quality


def plan_of(text: str, *, netem: bool = False) -> Plan:
    return Plan(parse_quality(text), netem, delays=False)


def arrivals(delays: Sequence[float], size: int = 60) -> list[Arrival]:
    return [Arrival(number, delay, number * 0.003 + delay, size) for number, delay in enumerate(delays)]


def delays_of(text: str, delays: Sequence[float], sent: int | None = None) -> list[str]:
    problems: list[str] = []
    judge_delays(plan_of(text), sent or len(delays), arrivals(delays), Measured(), problems)
    return problems


@pytest.mark.parametrize(
    ("text", "found_s", "right"),
    [
        ("delay=20ms", 0.0209, True),
        ("delay=20ms", 0.0211, False),
        ("delay=20ms", 0.0188, False),
        ("delay=100ms", 0.1049, True),
        ("delay=100ms", 0.1051, False),
        ("loss=1%", 0.0009, True),
        ("loss=1%", 0.0011, False),
    ],
)
def test_a_delay_is_right_within_a_millisecond_or_a_twentieth(text: str, found_s: float, right: bool) -> None:
    assert (delays_of(text, [found_s] * 30) == []) is right


def test_one_late_probe_is_no_wrong_delay() -> None:
    assert delays_of("delay=20ms", [0.02] * 20 + [0.09] * 3) == []


def test_jitter_must_be_there_and_no_more_than_asked() -> None:
    chance = random.Random(1)
    assert delays_of("delay=20ms,jitter=5ms", [chance.uniform(0.015, 0.025) for _ in range(30)]) == []
    late = [chance.uniform(0.015, 0.025) for _ in range(28)] + [0.06, 0.09]
    assert delays_of("delay=20ms,jitter=5ms", late) == []
    assert "jitter 0.0 ms instead of 5 ms" in delays_of("delay=20ms,jitter=5ms", [0.02] * 30)[0]
    assert "jitter" in delays_of("delay=20ms,jitter=2ms", [chance.uniform(0.01, 0.03) for _ in range(30)])[0]


def test_a_link_that_was_asked_to_lose_nothing_loses_nothing() -> None:
    assert delays_of("delay=20ms", [0.02] * 29, sent=30) == ["1 of 30 probes lost, and no loss was asked"]
    assert delays_of("loss=10%", [0.0] * 27, sent=30) == []
    assert delays_of("delay=20ms", [], sent=30) == ["none of 30 probes arrived"]
    assert delays_of("loss=100%", [], sent=30) == []


def shares(text: str, came: list[Arrival], sent: int, *, netem: bool = False) -> tuple[Measured, list[str]]:
    found, problems = Measured(), list[str]()
    judge_shares(plan_of(text, netem=netem), sent, came, found, problems)
    return found, problems


@pytest.mark.parametrize(("lost", "right"), [(40, True), (59, True), (61, False), (21, True), (19, False), (0, False)])
def test_loss_is_right_within_three_standard_deviations(lost: int, right: bool) -> None:
    found, problems = shares("loss=1%", arrivals([0.0] * (4000 - lost)), 4000)
    assert found.loss == lost / 4000
    assert (problems == []) is right


def test_duplicates_are_counted_among_those_that_came() -> None:
    came = arrivals([0.0] * 1900)
    found, problems = shares("loss=5%,duplicate=10%", came + came[:190], 2000)
    assert (found.loss, found.duplicate, problems) == (0.05, 0.1, [])
    _, problems = shares("loss=5%,duplicate=10%", came, 2000)
    assert problems == ["duplicates 0.00% (0 of 1900 probes) instead of 10.00%"]


def test_netem_loses_but_a_copy_of_what_it_doubles() -> None:
    came = arrivals([0.0] * 1500)
    assert shares("loss=50%,duplicate=50%", came + came[:500], 2000, netem=True)[1] == []
    assert shares("loss=50%,duplicate=50%", came + came[:500], 2000, netem=False)[1] != []


def test_what_overtakes_others_has_no_delay() -> None:
    came = arrivals([0.0] * 50 + [0.02] * 950)
    found, problems = shares("delay=20ms,reorder=5%", came, 1000)
    assert (found.reorder, problems) == (0.05, [])
    assert shares("delay=20ms,reorder=20%", came, 1000)[1] == ["reordering 5.00% (50 of 1000 probes) instead of 20.00%"]
    assert delays_of("delay=20ms,reorder=50%", [0.0] * 18 + [0.02] * 12) == []


@pytest.mark.parametrize(
    ("rate_bps", "right"), [(1_000_000, True), (1_049_000, True), (1_060_000, False), (940_000, False)]
)
def test_a_rate_is_right_within_a_twentieth(rate_bps: float, right: bool) -> None:
    apart = 1250 * 8 / rate_bps
    came = [Arrival(number, 0.0, number * apart, 1250) for number in range(40)]
    found, problems = Measured(), list[str]()
    judge_rate(plan_of("rate=1mbit"), 50, came, found, problems)
    assert found.rate_bps == pytest.approx(rate_bps)
    assert (problems == []) is right


def test_a_machine_that_cannot_send_so_fast_is_told_of() -> None:
    apart = 1514 * 8 / 500e6
    came = [Arrival(number, 0.0001, number * apart + 0.0001, 1514) for number in range(1000)]
    problems: list[str] = []
    judge_rate(plan_of("rate=1gbit"), 1000, came, Measured(), problems)
    assert problems[1] == "this machine sent no more than 500 Mbit/s: ask for a lower rate"


def test_a_rate_that_lets_nearly_nothing_through_is_not_measured_but_wrong() -> None:
    problems: list[str] = []
    judge_rate(plan_of("rate=1mbit"), 50, arrivals([0.0] * 3, 1250), Measured(), problems)
    assert problems == ["only 3 of 50 frames arrived, too few to tell the rate"]
