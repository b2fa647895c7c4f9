"""RTP streams in constant memory, against a plain count that keeps everything."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captures.wire.rtp import Stream, StreamKey, Streams

KEY = StreamKey("eth0", bytes([10, 0, 0, 1, 239, 1, 1, 1, 0x9C, 0x40, 0x13, 0x8C]), 0xABCD)
MS = 1_000_000
Packet = tuple[int, int]  # time in ms, sequence number before it is cut to 16 bits


def measured(
    packets: list[Packet], *, payload_type: int = 33, changed_ms: int = -10_000, clock: int = 90_000
) -> Stream:
    """The stream of packets sent at 1 ms per sequence number."""
    stream: Stream | None = None
    for number, (at_ms, sequence) in enumerate(packets, 1):
        stamp = sequence * clock // 1000 & 0xFFFFFFFF
        if stream is None:
            stream = Stream(KEY, number, at_ms * MS, payload_type, sequence & 0xFFFF, stamp)
        else:
            stream.add(number, at_ms * MS, sequence & 0xFFFF, stamp, changed_ms * MS)
    assert stream is not None
    return stream


def on_time(*sequences: int) -> list[Packet]:
    return [(at, sequence) for at, sequence in enumerate(sequences, 1000)]


def test_a_whole_stream_over_the_wrap() -> None:
    stream = measured([(number, 65_000 + number) for number in range(3000)])
    assert (stream.packets, stream.expected, stream.lost, stream.missing) == (3000, 3000, 0, 0)
    assert (stream.duplicates, stream.reordered, stream.interruptions) == (0, 0, 0)
    assert stream.jitter_ns == 0
    assert stream.name == "10.0.0.1 port 40000 to 239.1.1.1 port 5004, SSRC 0x0000abcd"


@pytest.mark.parametrize(
    ("sequences", "figures"),
    [  # lost as in RFC 3550 A.3, missing, duplicates, reordered
        ([1, 2, 4, 5], (1, 1, 0, 0)),
        ([1, 2, 2, 3], (-1, 0, 1, 0)),
        ([1, 3, 2, 4], (0, 0, 0, 1)),
        ([1, 3, 2, 2, 4], (-1, 0, 1, 1)),
        ([1, 2, 4, 4, 5], (0, 1, 1, 0)),
        ([5, 6, 3, 7], (1, 1, 0, 1)),  # 3 was sent before the first one seen, 4 never came
        ([5, 6, 3, 4, 7], (0, 0, 0, 2)),
        ([65535, 1, 0, 2], (0, 0, 0, 1)),
    ],
)
def test_loss_duplicates_and_order(sequences: list[int], figures: tuple[int, int, int, int]) -> None:
    stream = measured(on_time(*sequences))
    assert (stream.lost, stream.missing, stream.duplicates, stream.reordered) == figures


RESTARTED = [*range(200, 30_700), *range(700, 1500)]


def test_a_source_that_restarts_has_lost_nothing() -> None:
    stream = measured(on_time(*RESTARTED))
    assert (stream.restarts, stream.packets, stream.expected, stream.lost) == (1, len(RESTARTED), len(RESTARTED), 0)
    assert (stream.missing, stream.duplicates, stream.reordered, stream.astray) == (0, 0, 0, 0)


@pytest.mark.parametrize("first", [700, 20_000, 60_000], ids=["behind", "ahead", "before the first"])
def test_each_sequence_of_a_restarted_source_is_counted(first: int) -> None:
    sequences = [*range(10_000, 10_500), *range(first, first + 500)]
    del sequences[800], sequences[20:23]
    stream = measured(on_time(*sequences))
    assert (stream.restarts, stream.expected, stream.lost, stream.missing) == (1, 1000, 4, 4)
    assert (stream.duplicates, stream.reordered, stream.astray, stream.interruptions) == (0, 0, 0, 0)


def test_what_was_missing_before_a_restart_stays_missing() -> None:
    sequences = [*range(400), *range(401, 1000), *range(300, 600), 400]
    stream = measured(on_time(*sequences))
    assert (stream.restarts, stream.missing, stream.duplicates, stream.reordered) == (1, 1, 1, 0)


def test_a_restart_is_no_jitter_and_its_silence_is_an_interruption() -> None:
    stream = measured([(n, n) for n in range(5000)] + [(5500 + n, 40_000 + n) for n in range(500)])
    assert (stream.restarts, stream.interruptions, stream.longest_interruption_ns) == (1, 1, 501 * MS)
    assert (stream.max_jitter_ns, stream.lost) == (0, 0)


def test_who_was_silent_for_as_long_as_the_numbers_say_has_not_restarted() -> None:
    packets = [(n, n) for n in range(2000)]
    away = measured([*packets, *((6000 + n, 6000 + n) for n in range(100))])
    assert (away.restarts, away.interruptions_missing, away.interruptions) == (0, 4000, 1)
    jumped = measured([*packets, *((2100 + n, 6000 + n) for n in range(100))])
    assert (jumped.restarts, jumped.missing, jumped.interruptions) == (1, 0, 1)


@pytest.mark.parametrize(
    ("sequences", "figures"),
    [  # restarts, duplicates, reordered, astray
        ([*range(1000), 500, *range(1000, 1100)], (0, 1, 0, 0)),
        ([*range(1000), 9000, *range(1000, 1100)], (0, 0, 0, 1)),
        ([*range(1000), 65_000, *range(1000, 1100)], (0, 0, 0, 1)),
        ([*range(1000), 500, 1000, 501, *range(1001, 1100)], (0, 2, 0, 0)),
        ([*range(1000), *range(1500, 1700), *range(1000, 1500), *range(1700, 1800)], (0, 0, 500, 0)),
        ([*range(1000), *range(950, 1100)], (0, 50, 0, 0)),
        ([*range(1000), *range(800, 1000), *range(2000, 2100)], (1, 0, 0, 0)),
    ],
    ids=["a late copy", "far ahead", "before the first", "two that do not follow", "late ones", "near", "a replay"],
)
def test_what_is_no_restart_and_what_is(sequences: list[int], figures: tuple[int, int, int, int]) -> None:
    stream = measured(on_time(*sequences))
    assert (stream.restarts, stream.duplicates, stream.reordered, stream.astray) == figures


def test_an_interruption_is_no_scattered_loss() -> None:
    stream = measured([(0, 0), (1, 1), (51, 51), (52, 52), (54, 54)])
    assert (stream.interruptions, stream.interruptions_missing, stream.scattered) == (1, 49, 1)
    assert stream.longest_interruption_ns == 50 * MS


def test_loss_beside_a_change_of_membership_is_an_interruption() -> None:
    packets = [(0, 0), (1, 1), (3, 3)]
    assert measured(packets).scattered == 1
    assert measured(packets, changed_ms=2).scattered == 0
    assert measured([(at + 500, sequence) for at, sequence in packets], changed_ms=2).scattered == 1
    assert (
        measured(packets, changed_ms=4).scattered == 0
    )  # told ahead of the packet, and of many only the last is known


def test_a_late_packet_of_an_interruption_is_not_missing() -> None:
    stream = measured([(0, 0), (50, 50), (51, 30), (52, 51)])
    assert (stream.missing, stream.reordered) == (48, 1)


def test_jitter_is_rfc_3550s() -> None:
    # Every second packet 4 ms late: D is 4 ms each time, and J comes near to it by a sixteenth of what is left.
    stream = measured([(10 * n + 4 * (n % 2), 10 * n) for n in range(200)])
    expected = 0.0
    for _ in range(199):
        expected += (4 * MS - expected) / 16
    assert stream.jitter_ns == pytest.approx(expected)
    assert stream.max_jitter_ns == pytest.approx(expected)
    assert stream.mean_jitter_ns is not None
    assert 0 < stream.mean_jitter_ns < expected


def test_a_late_packet_counts_for_what_follows_and_not_for_the_largest() -> None:
    before = measured([(0, 0), (1, 1), (3, 3), (13, 2)])
    assert (before.jitter_ns, before.max_jitter_ns) == (11 * MS / 16, 0)
    stream = measured([(0, 0), (1, 1), (3, 3), (13, 2), (14, 14)])  # 12 numbers on in 1 ms
    assert stream.jitter_ns == pytest.approx((11 * MS * 15 / 16 + 11 * MS) / 16)
    assert stream.max_jitter_ns == stream.jitter_ns


def test_the_clock_of_a_dynamic_payload_type_is_learned() -> None:
    packets = [(n, n) for n in range(3000)]
    assert measured(packets, payload_type=96).clock_hz == 90_000
    assert measured(packets, payload_type=97, clock=48_000).clock_hz == 48_000
    odd = measured(packets, payload_type=97, clock=12_345)
    assert (odd.clock_hz, odd.mean_jitter_ns) == (0, None)
    assert odd.as_dict()["max_jitter_ms"] is None


@given(
    st.integers(0, 65_535),
    st.lists(st.sampled_from(["send", "send", "send", "send", "lose", "double", "swap"]), min_size=1, max_size=400),
)
def test_figures_are_those_of_a_plain_count(first: int, deeds: list[str]) -> None:
    sent, sequence = [first], first
    held: int | None = None
    for deed in deeds:
        sequence += 1
        if deed == "swap" and held is None:
            held = sequence
            continue
        if deed != "lose":
            sent += [sequence] * (2 if deed == "double" else 1)
        if held is not None:
            sent.append(held)
            held = None
    stream = measured(on_time(*sent))
    assert stream.packets == len(sent)
    assert stream.expected == max(sent) - min(sent) + 1
    assert stream.lost == stream.expected - len(sent)
    assert stream.missing == stream.expected - len(set(sent))
    assert stream.duplicates == len(sent) - len(set(sent))


def add(streams: Streams, *, ssrc: int, sequence: int, at: int = 0) -> None:
    streams.add("eth0", KEY.flow, ssrc, 1, at, 33, sequence, 0)


def test_what_only_looks_like_rtp_is_no_stream() -> None:
    streams = Streams()
    for sequence in (5, 900, 17):
        add(streams, ssrc=1, sequence=sequence)
    for sequence in (5, 6):
        add(streams, ssrc=2, sequence=sequence)
    assert [stream.key.ssrc for stream in streams.found()] == [2]
    assert streams.not_streams() == 3


def test_streams_are_bounded_and_what_is_forgotten_counted() -> None:
    streams = Streams(limit=8)
    for ssrc in range(20):
        for sequence in range(3):
            add(streams, ssrc=ssrc, sequence=sequence, at=ssrc)
    assert len(streams.found()) <= 8
    assert streams.found()[-1].key.ssrc == 19
    assert streams.evicted + len(streams.found()) == 20
    assert streams.evicted_packets == 3 * streams.evicted


def test_noise_is_forgotten_before_streams() -> None:
    streams = Streams(limit=8)
    for sequence in range(3):
        add(streams, ssrc=1, sequence=sequence)
    for ssrc in range(100, 200):
        add(streams, ssrc=ssrc, sequence=1, at=ssrc)
    assert [stream.key.ssrc for stream in streams.found()] == [1]
    assert streams.evicted == 0


def test_a_late_ssrc_of_its_own_interface_is_its_own_stream() -> None:
    streams = Streams()
    for interface in ("eth0", "eth1"):
        for sequence in range(2):
            streams.add(interface, KEY.flow, 7, 1, 0, 33, sequence, 0)
    figures: list[dict[str, Any]] = [stream.as_dict() for stream in streams.found()]
    assert [one["interface"] for one in figures] == ["eth0", "eth1"]
    assert {one["packets"] for one in figures} == {2}


@pytest.mark.parametrize(
    ("packets", "figures"),
    [  # (time, sequence number); reordered, backward, missing, duplicates
        ([(1, 1), (3, 3), (2, 2), (4, 4)], (0, 1, 0, 0)),  # as several queues of one card hand them over
        ([(1, 1), (4, 4), (2, 2), (3, 3), (5, 5)], (0, 1, 0, 0)),
        ([(2, 2), (1, 1), (3, 3)], (0, 1, 0, 0)),
        ([(1, 1), (2, 3), (3, 2), (4, 4)], (1, 0, 0, 0)),  # came late indeed
        ([(1, 1), (2, 3), (2, 2), (4, 4)], (1, 0, 0, 0)),
        ([(1, 1), (3, 3), (2, 2), (2, 2)], (0, 1, 0, 1)),
    ],
)
def test_the_order_of_the_file_is_not_that_of_the_network(
    packets: list[Packet], figures: tuple[int, int, int, int]
) -> None:
    stream = measured(packets)
    assert (stream.reordered, stream.backward, stream.missing, stream.duplicates) == figures
