"""By which mechanism a link is made, in which words, and what is refused."""

from __future__ import annotations

import re

import pytest

from testbed.net.link_plans import Mechanisms, Plan, check, nft_rules, plan, tc_lines, wirefilter_delay
from testbed.net.model import PERFECT, ModelError, Quality
from testbed.net.quality_text import parse_quality
from testbed.net.wires import with_qualities
from tests.testbed.handover_model import handover_model

NETEM = Mechanisms(netem=True, taps=True)
TAPS = Mechanisms(netem=False, taps=True)
NOTHING = Mechanisms(netem=False, taps=False)


def planned(text: str, mechanisms: Mechanisms) -> Plan:
    return plan(parse_quality(text), mechanisms, "link r1-r2")


@pytest.mark.parametrize(
    ("text", "with_netem", "with_taps"),
    [
        ("", "none", "none"),
        ("loss=1%", "netem", "nft"),
        ("duplicate=1%", "netem", "nft"),
        ("rate=1mbit", "tbf", "tbf"),
        ("delay=20ms", "netem", "wirefilter"),
        ("delay=20ms,jitter=2ms,loss=1%,rate=1mbit,queue=10", "netem+tbf", "wirefilter+nft+tbf"),
    ],
)
def test_the_mechanism_that_there_is_is_named(text: str, with_netem: str, with_taps: str) -> None:
    assert planned(text, NETEM).mechanism == with_netem
    assert planned(text, TAPS).mechanism == with_taps


def test_loss_and_rate_need_neither_netem_nor_taps() -> None:
    assert planned("loss=1%,duplicate=1%,rate=1mbit,queue=10", NOTHING).mechanism == "nft+tbf"


@pytest.mark.parametrize(
    ("text", "mechanisms", "said"),
    [
        ("delay=20ms", NOTHING, "neither netem nor taps; run a kernel with CONFIG_NET_SCH_NETEM"),
        ("delay=20ms,reorder=5%", TAPS, "reordering, and this kernel has no netem"),
        ("delay=2.5ms", TAPS, "a delay of 2.5 ms, and this kernel has no netem; wirefilter counts whole milliseconds"),
        ("delay=20ms,jitter=500us", TAPS, "a jitter of 0.5 ms"),
        ("loss=0.00001%", TAPS, "a loss of less than 0.0001%"),
    ],
)
def test_what_cannot_be_made_here_is_refused_with_the_reason(text: str, mechanisms: Mechanisms, said: str) -> None:
    with pytest.raises(ModelError, match=re.escape(said)):
        planned(text, mechanisms)


def test_a_lab_is_refused_for_the_link_that_cannot_be_made() -> None:
    lab = with_qualities(handover_model(), ("mcs-rr:loss=1%", "ar1>poa1:delay=1ms"))
    check(lab, TAPS)
    with pytest.raises(ModelError, match="link ar1-poa1, ar1 to poa1: a delay"):
        check(lab, NOTHING)


def test_netem_is_told_everything_but_the_rate() -> None:
    everything = planned("delay=20ms,jitter=2ms,loss=1%,duplicate=0.5%,reorder=25%,rate=10mbit,queue=50", NETEM)
    assert tc_lines(everything, "far", had=False) == [
        "qdisc add dev far root handle 1: netem limit 100000 delay 20000us 2000us loss random 1% duplicate 0.5% reorder 25%",
        "qdisc add dev far parent 1:1 handle 10: tbf rate 10000000bit burst 2500 limit 75700",
        "qdisc add dev far parent 10:1 handle 20: pfifo limit 50",
    ]
    assert "numgen" not in nft_rules("w", everything, "near", "far", None)


def test_netem_keeps_the_order_where_no_reordering_is_asked() -> None:
    (line,) = tc_lines(planned("delay=20ms,jitter=5ms", NETEM), "far", had=False)
    assert line.endswith("delay 20000us 5000us rate 100gbit")
    (line,) = tc_lines(planned("delay=20ms,jitter=5ms,reorder=1%", NETEM), "far", had=False)
    assert "gbit" not in line


def test_a_rate_without_netem_is_a_token_bucket_of_its_own() -> None:
    slow = planned("rate=64kbit", TAPS)
    assert tc_lines(slow, "far", had=True) == [
        "qdisc del dev far root",
        "qdisc add dev far root handle 10: tbf rate 64000bit burst 1514 limit 1514000",
        "qdisc add dev far parent 10:1 handle 20: pfifo limit 1000",
    ]
    assert tc_lines(planned("delay=1ms", TAPS), "far", had=False) == []


def test_nftables_loses_and_doubles_by_the_millionth_before_the_delay() -> None:
    rules = nft_rules("w", planned("delay=20ms,loss=1%,duplicate=0.5%", TAPS), "near", "far", ("in", "out"))
    assert rules.splitlines() == [
        "table netdev w",
        "delete table netdev w",
        "table netdev w {",
        " chain there {",
        '  type filter hook ingress device "near" priority 0;',
        "  numgen random mod 1000000 < 10000 counter drop",
        '  numgen random mod 1000000 < 5000 counter dup to "in"',
        '  fwd to "in"',
        " }",
        " chain out {",
        '  type filter hook ingress device "out" priority 0;',
        '  fwd to "far"',
        " }",
        "}",
    ]


def test_a_link_that_loses_all_needs_no_chance() -> None:
    assert "  counter drop\n" in nft_rules("w", planned("loss=100%", TAPS), "near", "far", None)


def test_wirefilter_delays_one_way_in_milliseconds() -> None:
    assert wirefilter_delay(planned("delay=20ms,jitter=5ms", TAPS)) == "LR20+5U"
    assert wirefilter_delay(Plan(PERFECT, netem=False, delays=True)) == "LR0+0U"
    assert wirefilter_delay(Plan(Quality(delay_s=0.029), netem=False, delays=True)) == "LR29+0U"
