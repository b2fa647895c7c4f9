"""What of a receiver's time without a packet is its source's own."""

from __future__ import annotations

import pytest

from captures.wire.flows import Flow
from captures.wire.source_gaps import longest_outage, longest_pause

MS = 1_000_000
WAY_MS = 2  # from the source to the receiver


def flow(*packets: tuple[float, int]) -> Flow:
    """Packets of (time in ms, sequence number)."""
    made = Flow()
    for number, (t_ms, sequence) in enumerate(packets, 1):
        made.number.append(number)
        made.t_ns.append(round(t_ms * MS))
        made.sequence.append(sequence % 65536)
    return made


def received(sent: Flow, *missing: int, late_ms: float = 0.0) -> Flow:
    """What comes of what was sent; the first after what is missing comes ``late_ms`` later than it should."""
    return flow(
        *(
            (t_ns / MS + WAY_MS + (late_ms if sequence - 1 in missing else 0.0), sequence)
            for t_ns, sequence in zip(sent.t_ns, sent.sequence, strict=True)
            if sequence not in missing
        )
    )


EVEN = flow(*((10 * number, number) for number in range(100)))
BURSTS = flow(*((500 * (number // 10) + number % 10, number) for number in range(100)))  # ten in 9 ms, twice a second


def outage_ms(got: Flow, sent: Flow, nominal_ms: float = 10.0) -> float:
    found = longest_outage(got, range(len(got.t_ns)), sent, round(nominal_ms * MS))
    assert found is not None
    return found.outage_ns / MS


@pytest.mark.parametrize(
    ("missing", "late_ms", "ms"),
    [((), 0.0, 0.0), ((41, 42, 43, 44, 45), 0.0, 50.0), ((41, 42, 43, 44, 45), 3.0, 53.0)],
)
def test_of_a_source_with_an_even_pace_it_is_all_but_one_spacing(
    missing: tuple[int, ...], late_ms: float, ms: float
) -> None:
    got = received(EVEN, *missing, late_ms=late_ms)
    assert outage_ms(got, EVEN) == ms
    assert outage_ms(got, Flow()) == ms, "and no look at the source is needed for it"


def test_pauses_of_a_source_are_no_outage() -> None:
    assert outage_ms(received(BURSTS), BURSTS) == 0
    assert outage_ms(received(BURSTS), Flow()) == 481, "which the receiver alone cannot know"


def test_an_outage_in_a_burst_is_found_among_longer_pauses() -> None:
    assert outage_ms(received(BURSTS, 43, 44, 45), BURSTS, 1.0) == 3


def test_the_end_of_a_burst_that_is_lost_is_an_outage_and_the_pause_behind_it_is_none() -> None:
    assert outage_ms(received(BURSTS, 47, 48, 49), BURSTS, 1.0) == 3


def test_the_begin_of_a_burst_that_is_lost_is_an_outage_and_the_pause_before_it_is_none() -> None:
    assert outage_ms(received(BURSTS, 50, 51, 52), BURSTS, 1.0) == 3


def test_what_is_missing_on_both_sides_of_a_pause_was_an_outage_through_it() -> None:
    assert outage_ms(received(BURSTS, 49, 50), BURSTS, 1.0) == 492


def test_a_packet_that_waits_is_an_outage_of_its_own() -> None:
    got = received(EVEN)
    got.t_ns[50] += 8 * MS
    assert outage_ms(got, EVEN) == 8


def test_packets_that_come_twice_or_out_of_order_are_taken_at_the_even_pace() -> None:
    assert outage_ms(flow((2, 0), (12, 1), (12.5, 1), (42, 3), (43, 2)), EVEN) == 19.5


def test_sequence_numbers_wrap() -> None:
    sent = flow(*((10 * number, 65530 + number) for number in range(12)))
    got = flow(*((t_ns / MS + 2, number) for number, t_ns in zip(sent.sequence, sent.t_ns, strict=True) if number > 2))
    assert outage_ms(got, sent) == 30


def test_one_packet_makes_no_outage() -> None:
    assert longest_outage(EVEN, range(1), EVEN, MS) is None


@pytest.mark.parametrize(
    ("sent", "begin_ms", "end_ms", "ms"),
    [(EVEN, 105, 195, 0), (BURSTS, 505, 800, 290), (BURSTS, 520, 980, 459), (Flow(), 0, 100, 0), (EVEN, 900, 1050, 50)],
)
def test_a_source_pauses_between_two_moments(sent: Flow, begin_ms: int, end_ms: int, ms: int) -> None:
    assert longest_pause(sent, begin_ms * MS, end_ms * MS, 10 * MS if sent is EVEN else MS) == ms * MS
