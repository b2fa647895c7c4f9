"""SRTP under keys that change: who opens what, what is counted, and that forged packets change nothing."""

from __future__ import annotations

import contextlib
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agents.core.counters import Counters
from agents.core.media_control import MediaOrder
from agents.media import rtp
from agents.media.source import Source, SourceConfiguration
from agents.media.srtp import (
    GENERATIONS_COUNTED,
    GENERATIONS_MAXIMUM,
    GRACE_S,
    SILENT_S,
    STREAMS_MAXIMUM,
    WINDOW,
    Keys,
    Protection,
)
from tests.agents import plain_srtp
from tests.agents.srtp_forger import KEY, OTHER, SSRC, fuzz, packet

WRAP = rtp.SEQUENCE_MODULUS

keys_of_30 = st.binary(min_size=30, max_size=30)


def protected(number: int, key: bytes = KEY, ssrc: int = SSRC) -> bytes:
    """The SRTP packet of that extended number, as a source makes it that begins there."""
    return Protection(key, ssrc, number).protect(packet(number, ssrc))


def holding(key: bytes = KEY, told: int = 0, generation: int = 1) -> tuple[Keys, Counters]:
    counters = Counters()
    keys = Keys(counters)
    assert keys.take(generation, key, told, 0.0)
    return keys, counters


def test_keys_are_derived_as_the_standard_shows() -> None:
    """RFC 3711 B.3: the witness itself is right."""
    encryption, authentication, salt = plain_srtp.derived(
        bytes.fromhex("E1F97A0D3E018BE0D64FA32C06DE41390EC675AD498AFEEBB6960B3AABE6")
    )
    assert encryption.hex().upper() == "C61E7A93744F39EE10734AFE3FF7A087"
    assert authentication.hex().upper() == "CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"
    assert salt.to_bytes(14, "big").hex().upper() == "30CBBC08863D8C85D49DB34A9AE1"


@given(keys_of_30, st.integers(0, 2**47), st.integers(0, 2**32 - 1), st.binary(max_size=1332))
@example(KEY, WRAP, SSRC, b"")
@example(KEY, 2**47, SSRC, bytes(1332))
def test_both_ways_are_those_of_the_standard(key: bytes, number: int, ssrc: int, payload: bytes) -> None:
    plain = rtp.build(33, number, number * 90, ssrc, payload)
    sent = Protection(key, ssrc, number).protect(plain)
    assert sent == plain_srtp.sealed(key, plain, number // WRAP)
    assert plain_srtp.opened(key, sent, number // WRAP) == plain
    keys, _ = holding(key, number // WRAP)
    assert keys.unprotect(sent, 0.0) == plain
    assert keys.roll_over_counter == number // WRAP


def test_stream_goes_on_over_wraps() -> None:
    sender, (keys, counters) = Protection(KEY, SSRC, 3 * WRAP - 20), holding(told=2)
    for number in range(3 * WRAP - 20, 3 * WRAP + 20):
        assert keys.unprotect(sender.protect(packet(number)), 0.0) == packet(number)
    assert keys.roll_over_counter == 3
    assert counters == {"decrypted.packets": 40}


@pytest.mark.parametrize(
    ("told", "now", "is_found"),
    [(5, 5, True), (5, 6, True), (5, 7, True), (5, 8, False), (5, 4, False), (5, 0, True), (0, 2, True), (0, 3, False)],
)
def test_late_joiner_finds_the_roll_over_counter_near_what_it_was_told(told: int, now: int, is_found: bool) -> None:
    """A little ahead, since what was told is old; or 0, since the source may have begun anew. What is told anew mends it."""
    keys, counters = holding(told=told)
    sender = Protection(KEY, SSRC, now * WRAP + 7)
    found = keys.unprotect(sender.protect(packet(7)), 0.0)
    assert (found == packet(7)) is is_found
    assert counters == ({"decrypted.packets": 1} if is_found else {"undecryptable.authentication": 1})
    assert keys.take(1, KEY, now, 0.0)
    assert keys.unprotect(sender.protect(packet(8)), 0.0) == packet(8)


@given(st.data())
def test_no_packet_is_lost_at_rekeys(data: st.DataObject) -> None:
    """Receivers have each key before the source uses it; packets of several keys arrive mixed, late, and over a wrap."""
    rekeys = data.draw(st.lists(st.integers(0, 199), unique=True, max_size=5).map(sorted))
    begin = data.draw(st.sampled_from([0, 50, WRAP - 100, WRAP - 199, WRAP - 1, 2 * WRAP - 80]))
    ways = [bytes([generation]) * 30 for generation in range(len(rekeys) + 1)]
    wire, taken = [], []
    sender = Protection(ways[0], SSRC, begin)
    generation = 0
    for step in range(200):
        if step in rekeys:
            generation += 1
            sender = Protection(ways[generation], SSRC, begin + step)
        delay = data.draw(st.integers(0, 30)) if step % 9 == 0 else 0
        wire.append((step + delay, step, sender.protect(packet(begin + step))))
    keys, counters = holding(ways[0], begin // WRAP, 0)
    for at, step, octets in sorted(wire):
        now = at / 100
        for number, rekey in enumerate(rekeys, 1):
            if at >= rekey and keys._generations[0].number < number:
                keys.take(number, ways[number], begin // WRAP, now)
        plain = keys.unprotect(octets, now)
        assert plain == packet(begin + step)
        taken.append(step)
    assert sorted(taken) == list(range(200))
    assert counters["decrypted.packets"] == 200
    assert sum(keys.decrypted.values()) == 200
    assert set(counters) <= {"decrypted.packets", "decrypted.superseded-key"}


def test_key_before_is_taken_for_two_seconds_and_no_longer() -> None:
    keys, counters = holding()
    sender = Protection(KEY, SSRC, 10)
    assert keys.unprotect(sender.protect(packet(10)), 99.0)
    assert keys.take(2, OTHER, 0, 100.0)
    assert keys.unprotect(sender.protect(packet(11)), 100.0)
    assert keys.unprotect(sender.protect(packet(12)), 100.0 + GRACE_S - 0.001)
    assert keys.unprotect(protected(13, OTHER), 101.0)
    assert keys.unprotect(sender.protect(packet(14)), 100.0 + GRACE_S) is None
    assert keys.unprotect(protected(15, OTHER), 200.0)
    assert keys.decrypted == {1: 3, 2: 2}
    assert counters == {"decrypted.packets": 5, "decrypted.superseded-key": 2, "undecryptable.authentication": 1}


def test_each_key_has_its_own_two_seconds() -> None:
    keys, _ = holding(b"0" * 30, generation=0)
    for generation in range(1, 4):
        assert keys.take(generation, b"%d" % generation * 30, 0, float(generation))
    opened = {
        (generation, at): keys.unprotect(protected(int(at * 10), b"%d" % generation * 30, generation), at) is not None
        for at in (3.5, 4.5)
        for generation in range(4)
    }
    assert [generation for generation in range(4) if opened[generation, 3.5]] == [1, 2, 3]
    assert [generation for generation in range(4) if opened[generation, 4.5]] == [2, 3]


def test_older_generation_is_not_taken() -> None:
    keys, counters = holding(generation=5)
    assert not keys.take(4, OTHER, 0, 0.0)
    assert counters == {"ignored.older-generation": 1}
    assert keys.unprotect(protected(1, OTHER), 0.0) is None
    assert keys.unprotect(protected(1), 0.0)


def test_old_and_repeated_packets_are_refused_and_told_apart() -> None:
    keys, counters = holding()
    sent = {number: protected(number) for number in (5, 6, 5000)}
    assert keys.unprotect(sent[5], 0.0)
    assert keys.unprotect(sent[5], 0.0) is None
    assert keys.unprotect(sent[5000], 0.0)
    assert keys.unprotect(sent[6], 0.0) is None
    assert counters == {"decrypted.packets": 2, "undecryptable.replayed": 1, "undecryptable.too-old": 1}


def test_packets_of_a_path_that_is_behind_are_taken() -> None:
    keys, _ = holding()
    sent = [protected(number) for number in range(WINDOW)]
    for octets in [*sent[1::2], *sent[0::2]]:
        assert keys.unprotect(octets, 0.0) is not None


@pytest.mark.parametrize("ahead", [WRAP // 2 + 10, WRAP - 5, WRAP + 300, 2 * WRAP, 2 * WRAP + 40_000])
@pytest.mark.parametrize("begin", [100, 60_000])
def test_stream_is_found_again_that_has_wrapped_unheard(begin: int, ahead: int) -> None:
    """And what is of before is not: only counters ahead are tried."""
    keys, _ = holding()
    old, new = protected(begin), protected(begin + ahead)
    assert keys.unprotect(old, 0.0)
    if begin + ahead > WRAP:  # else the counter is still the same
        assert keys.unprotect(new, SILENT_S - 0.01) is None
    assert keys.unprotect(old, SILENT_S + 0.01) is None
    found = keys.unprotect(new, SILENT_S + 0.02)
    assert (found is not None) == ((begin + ahead) // WRAP <= 2)
    if found:
        assert keys.unprotect(protected(begin + ahead + 1), SILENT_S + 0.03) == packet(begin + ahead + 1)
        assert keys.unprotect(old, 9.0) is None


def test_what_is_told_anew_finds_a_stream_again_that_is_far_ahead() -> None:
    keys, _ = holding()
    assert keys.unprotect(protected(7), 0.0)
    assert keys.unprotect(protected(9 * WRAP), 5.0) is None
    assert keys.take(1, KEY, 9, 5.0)
    assert keys.unprotect(protected(9 * WRAP), 5.0)


def test_new_key_goes_on_at_the_counter_of_the_one_before() -> None:
    """What was told with the key is older than what the receiver has itself seen."""
    keys, _ = holding(told=40)
    assert keys.unprotect(protected(41 * WRAP - 2), 0.0)
    assert keys.take(2, OTHER, 3, 0.0)
    sender = Protection(OTHER, SSRC, 41 * WRAP - 1)
    late = sender.protect(packet(41 * WRAP - 1))
    assert keys.unprotect(sender.protect(packet(41 * WRAP)), 0.0)
    assert keys.unprotect(late, 0.0)
    assert keys.roll_over_counter == 41


def test_state_is_bounded() -> None:
    keys, counters = holding(generation=0)
    for generation in range(1, GENERATIONS_COUNTED + 20):
        key = generation.to_bytes(2, "big") * 15
        assert keys.take(generation, key, 0, 0.0)
        assert keys.unprotect(protected(1, key, generation), 0.0)
    assert len(keys._generations) == GENERATIONS_MAXIMUM
    assert len(keys.decrypted) == GENERATIONS_COUNTED
    assert counters["evicted.generation"] == GENERATIONS_COUNTED + 20 - GENERATIONS_MAXIMUM
    keys, counters = holding()
    for ssrc in range(STREAMS_MAXIMUM + 5):
        assert keys.unprotect(protected(1, ssrc=ssrc), float(ssrc))
    assert sorted(keys._generations[0].heard) == list(range(5, STREAMS_MAXIMUM + 5))
    assert counters["evicted.stream"] == 5


@pytest.mark.parametrize("seed", range(3))
def test_forged_packets_open_nothing_and_leave_nothing(seed: int) -> None:
    counters = fuzz(2000, seed)
    for reason in ("authentication", "not-rtp", "too-long"):
        assert counters[f"undecryptable.{reason}"]


def test_without_a_key_nothing_is_opened() -> None:
    counters = Counters()
    keys = Keys(counters)
    assert keys.unprotect(protected(1), 0.0) is None
    assert keys.roll_over_counter == 0
    assert counters == {"undecryptable.no-key": 1}


def test_last_packet_before_a_wrap_may_be_the_first_under_a_key() -> None:
    keys, _ = holding(told=2)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here,
        contextlib.closing(Source(SourceConfiguration(orders="none", first_number=3 * WRAP - 1))) as source,
    ):
        here.bind(("127.0.0.1", 0))
        source._order = MediaOrder("send", *here.getsockname())
        source._sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        source._protection = Protection(KEY, source._ssrc, source._number)
        for payload in (b"last", b"first"):
            source._send(source._packet(0.0, payload))
            plain = keys.unprotect(here.recv(2048), 0.0)
            assert plain is not None
            assert plain.endswith(payload)
    assert keys.roll_over_counter == 3
