"""What a link does to packets, as a person writes it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.net.model import PERFECT, Quality
from testbed.net.quality_text import QualityError, parse_quality, quality_text

EVERYTHING = Quality(0.02, 0.0015, 0.01, 0.005, 0.25, 10_000_000, 100)


@pytest.mark.parametrize(
    "text",
    [
        "delay=20ms,jitter=1.5ms,loss=1%,duplicate=0.5%,reorder=25%,rate=10mbit,queue=100",
        "queue 100 delay 0.02s, jitter=1500us loss 1% duplicate 0.5% reorder 25% rate 10000kbit",
    ],
)
def test_every_word_sets_its_field(text: str) -> None:
    assert parse_quality(text) == EVERYTHING


def test_what_is_left_out_is_perfect() -> None:
    assert parse_quality("") == parse_quality("  ") == PERFECT
    assert parse_quality("loss=3%") == Quality(loss=0.03)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("delay=20", "delay '20': write a number and one of us, ms, s, such as 20ms"),
        ("delay", "delay '': write a number"),
        ("loss=0.01", "loss '0.01': write a number and one of %, such as 1%"),
        ("loss=-1%", "loss '-1%'"),
        ("rate=10", "bit, kbit, mbit, gbit"),
        ("queue=5s", "queue '5s': write a number, such as 100"),
        ("latency=20ms", "'latency' in 'latency=20ms': a link has delay, jitter"),
        ("delay=1ms delay=2ms", "gives delay twice"),
    ],
)
def test_what_says_nothing_is_refused_with_an_example(text: str, said: str) -> None:
    with pytest.raises(QualityError, match=re.escape(said)):
        parse_quality(text)


@given(
    st.builds(
        Quality,
        delay_s=st.integers(0, 10_000).map(lambda ms: ms / 1000),
        loss=st.integers(0, 1000).map(lambda part: part / 1000),
        rate_bps=st.none() | st.integers(1, 10**10),
        queue_packets=st.none() | st.integers(1, 1000),
    )
)
def test_a_text_is_read_as_it_was_written(quality: Quality) -> None:
    text = quality_text(quality)
    read = PERFECT if text == "perfect" else parse_quality(text)
    assert read.delay_s == pytest.approx(quality.delay_s)
    assert read.loss == pytest.approx(quality.loss)
    assert (read.rate_bps, read.queue_packets) == (quality.rate_bps, quality.queue_packets)
