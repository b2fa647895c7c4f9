"""The data plane without sockets: RTP packets, arrivals, reception, the pace of a transport stream."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agents.core.counters import Counters
from agents.media import rtp
from agents.media.arrivals import ArrivalLog, WindowError
from agents.media.delivery import HOLD_NS, PENDING_MAXIMUM, Delivery
from agents.media.receiver import Receiver, ReceiverConfiguration, Reception
from agents.media.source import Source, SourceConfiguration
from agents.media.transport_stream import TransportStream, TransportStreamError
from tests.agents.hosts import free_ports

# --- RTP --------------------------------------------------------------------------------------------------------------

words = st.integers(0, 2**32 - 1)


@given(st.integers(0, 127), st.integers(0, 2**20), st.integers(0, 2**40), words, st.binary(max_size=40))
def test_rtp_is_read_as_it_was_written(kind: int, number: int, timestamp: int, ssrc: int, payload: bytes) -> None:
    data = rtp.build(kind, number, timestamp, ssrc, payload)
    packet = rtp.parse(data)
    assert packet == (kind, number % 65536, timestamp % 2**32, ssrc, 12, 12 + len(payload))


@given(st.binary(max_size=40))
def test_any_octets_are_rtp_or_not(data: bytes) -> None:
    packet = rtp.parse(data)
    if packet is not None:
        assert data[0] >> 6 == 2
        assert 12 <= packet.payload_offset <= packet.payload_end <= len(data)


@given(
    st.lists(words, max_size=15),
    st.one_of(st.none(), st.lists(words, max_size=3)),
    st.binary(max_size=20),
    st.integers(0, 9),
)
def test_optional_parts_of_rtp_are_skipped(
    sources: list[int], extension: list[int] | None, payload: bytes, padding: int
) -> None:
    first = 0x80 | len(sources) | (0x10 if extension is not None else 0) | (0x20 if padding else 0)
    data = struct.pack("!BBHII", first, 0x80 | 33, 7, 8, 9) + b"".join(word.to_bytes(4, "big") for word in sources)
    if extension is not None:
        data += struct.pack("!HH", 1, len(extension)) + b"".join(word.to_bytes(4, "big") for word in extension)
    data += payload + (bytes(padding - 1) + bytes([padding]) if padding else b"")
    packet = rtp.parse(data)
    assert packet is not None
    assert (packet.payload_type, packet.sequence, packet.timestamp, packet.ssrc) == (33, 7, 8, 9)
    assert data[packet.payload_offset : packet.payload_end] == payload


@pytest.mark.parametrize(
    "data", ["", "80" * 11, "00" * 12, "c0" + "00" * 11, "81" + "00" * 11, "90" + "00" * 11, "a0" + "00" * 10 + "01"]
)
def test_what_is_no_rtp(data: str) -> None:
    assert rtp.parse(bytes.fromhex(data)) is None


@given(st.integers(0, 2**40), st.integers(-32768, 32767))
@example(100_000, -32768)
@example(100_000, 32767)
def test_sequence_numbers_are_extended_to_the_nearest(highest: int, step: int) -> None:
    assert rtp.extend((highest + step) % 65536, highest) == highest + step


# --- arrivals ---------------------------------------------------------------------------------------------------------

arrivals = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 30)), max_size=60)


@given(arrivals, st.integers(2, 70), st.integers(0, 300), st.integers(0, 400))
@example([(1, 1), (1, 1)], 2, 0, 10)
def test_window_is_what_a_plain_count_says(rows: list[tuple[int, int]], capacity: int, begin: int, length: int) -> None:
    log, now, plain = ArrivalLog(capacity), 0, []
    for step, number in rows:
        now += step
        log.add(now, number)
        plain.append((now, number))
    kept = plain[-capacity:]
    assert log.overwritten == len(plain) - len(kept)
    end = begin + length
    inside = [row for row in kept if begin <= row[0] <= end]
    if len(kept) < len(plain) and kept[0][0] > begin:
        with pytest.raises(WindowError, match=f"forgotten: only the last {capacity} are kept"):
            log.window(begin, end)
        return
    if len(inside) < 2:
        with pytest.raises(WindowError, match=f"{len(inside)} packets in a window of"):
            log.window(begin, end)
        return
    window = log.window(begin, end)
    numbers = [number for _, number in inside]
    gaps = [(after[0] - before[0], before[0], after[0]) for before, after in pairwise(inside)]
    assert window.packets == len(inside)
    assert window.duplicates == len(numbers) - len(set(numbers))
    assert window.lost == sum(number not in numbers for number in range(min(numbers), max(numbers)))
    assert window.reordered == sum(number < max(numbers[:index]) for index, number in enumerate(numbers) if index)
    assert window.longest_gap_ns == max(gap for gap, _, _ in gaps)
    if window.longest_gap_ns:
        assert (window.longest_gap_ns, window.gap_begin_ns, window.gap_end_ns) in gaps
    assert window.plain()["lost"] == window.lost


def received(numbers: list[int], ssrc: int = 1, reception: Reception | None = None, begin: int = 0) -> Reception:
    reception = reception or Reception()
    for index, number in enumerate(numbers):
        reception.packet_arrived(rtp.build(96, number, number * 90, ssrc, b""), begin + index * 1_000_000)
    return reception


def test_loss_duplicates_and_disorder_across_the_wrap() -> None:
    reception = received([65533, 65534, 65535, 1, 0, 0, 4])
    window = reception.arrivals.window(0, 10**9)
    assert (window.packets, window.lost, window.duplicates, window.reordered) == (7, 2, 1, 2)
    assert reception.counters["received.old"] == 2
    assert reception.describe()["packets_received"] == 7


def test_new_source_shows_no_false_duplicates() -> None:
    reception = received([10, 11, 12])
    received([10, 11, 12], ssrc=2, reception=reception, begin=10_000_000)
    assert reception.counters["received.new-source"] == 1
    assert reception.ssrc == 2
    window = reception.arrivals.window(0, 10**9)
    assert (window.packets, window.duplicates) == (6, 0)
    assert reception.arrivals.window(10_000_000, 10**9).lost == 0


def test_only_news_is_given_on() -> None:
    reception = Reception()
    given = [reception.packet_arrived(rtp.build(96, number, 0, 1, b"%d" % number), 0) for number in (5, 6, 6, 4, 7)]
    assert given == [[b"5"], [b"6"], [], [], [b"7"]]
    assert reception.packet_arrived(b"no", 0) == []
    assert reception.counters["dropped.not-rtp"] == 1


@given(st.integers(0, 35), st.data())
def test_two_paths_deliver_each_packet_once_and_in_order(lag: int, data: st.DataObject) -> None:
    """Whatever the second path is behind by, and whatever one of the two loses, all is delivered once, in order."""
    reception, delivered = Reception(), []
    lost = data.draw(st.sets(st.integers(1, 198)))  # of the first path; the second has it
    arrivals = sorted(
        [(number * 10, 0, number) for number in range(200) if number not in lost]
        + [(number * 10 + lag, 1, number) for number in range(200)]
    )
    for time_ms, _path, number in arrivals:
        delivered += reception.packet_arrived(rtp.build(96, number, 0, 1, b"%d" % number), time_ms * 100_000)
    assert delivered == [b"%d" % number for number in range(200)]
    window = reception.delivery.log.window(0, 10**12)
    assert (window.packets, window.lost, window.duplicates, window.reordered) == (200, 0, 0, 0)
    assert reception.counters["suppressed.duplicate-or-late"] == 200 - len(lost)


def test_missing_packet_is_waited_for_and_then_skipped() -> None:
    counters = Counters()
    delivery = Delivery(counters)
    assert delivery.take(1, b"1", 0) == [b"1"]
    assert delivery.take(4, b"4", 1_000_000) == []
    assert delivery.take(5, b"5", HOLD_NS) == []
    assert delivery.take(6, b"6", HOLD_NS + 1_000_000) == [b"4", b"5", b"6"]
    assert counters["skipped.missing"] == 2
    assert delivery.take(3, b"3", HOLD_NS + 2_000_000) == []  # too late
    assert delivery.take(8, b"8", HOLD_NS + 3_000_000) == []
    assert delivery.flush(HOLD_NS + 4_000_000) == [b"8"]
    assert delivery.take(2, b"2", HOLD_NS + 5_000_000) == [b"2"]  # after a flush anything may come
    assert counters["delivered.packets"] == 6


def test_packets_that_wait_are_bounded() -> None:
    counters = Counters()
    delivery = Delivery(counters)
    delivery.take(0, b"", 0)
    released = [delivery.take(2 + 2 * number, b"", 0) for number in range(PENDING_MAXIMUM + 1)]
    assert [len(some) for some in released] == [0] * PENDING_MAXIMUM + [1]


def test_jitter_of_an_even_stream_is_nothing_even_where_timestamps_wrap() -> None:
    reception = Reception()
    for index in range(200):
        timestamp = 2**32 - 90 * 100 + 90 * index  # 1 ms each
        reception.packet_arrived(rtp.build(96, index, timestamp, 1, b""), 1_700_000_000_000_000_000 + index * 1_000_000)
    assert reception.jitter < 0.1


def test_jitter_follows_rfc_3550() -> None:
    reception, expected, times = Reception(), 0.0, [0, 10, 25, 31, 50]
    for index, milliseconds in enumerate(times):
        reception.packet_arrived(rtp.build(96, index, index * 900, 1, b""), milliseconds * 1_000_000)
    for before, after in pairwise(times):
        expected += (abs((after - before) * 90 - 900) - expected) / 16
    assert reception.jitter == pytest.approx(expected)
    assert reception.describe()["jitter_ms"] == pytest.approx(expected / 90)


# --- transport streams ------------------------------------------------------------------------------------------------

CLOCK = 27_000_000


def ts_packet(pid: int, clock: int | None = None) -> bytes:
    head = bytes([0x47, pid >> 8, pid & 0xFF])
    if clock is None:
        return head + b"\x10" + bytes(184)
    base, extension = divmod(clock % (2**33 * 300), 300)
    pcr = (base << 15 | 0x3F << 9 | extension).to_bytes(6, "big")
    return head + b"\x30" + bytes([7, 0x10]) + pcr + bytes(176)


def ts_file(folder: Path, clocks: list[int], between: int = 13) -> Path:
    """A file with a clock reference (27 MHz ticks) at every ``between + 1``-th packet."""
    file = folder / "clip.ts"
    file.write_bytes(b"".join(ts_packet(256, clock) + ts_packet(257) * between for clock in clocks))
    return file


def test_transport_stream_is_paced_by_its_clock(tmp_path: Path) -> None:
    file = ts_file(tmp_path, [CLOCK * n // 10 for n in range(5)])  # 14 packets each 0.1 s
    with TransportStream(file) as stream:
        rows = list(stream.datagrams())
        assert b"".join(payload for _, payload in rows) == file.read_bytes()
        assert [len(payload) for _, payload in rows] == [1316] * 10
        assert [due for due, _ in rows] == pytest.approx([0.05 * n for n in range(10)])
        assert stream.pace.duration_s == pytest.approx(0.5)
        assert (stream.pace.datagrams, stream.pace.mean_spacing_ns) == (10, 50_000_000)


def test_pace_follows_a_clock_that_changes_speed(tmp_path: Path) -> None:
    with TransportStream(ts_file(tmp_path, [0, CLOCK, CLOCK * 3], between=6)) as stream:
        assert [due for due, _ in stream.datagrams()] == pytest.approx([0.0, 1.0, 3.0])
        assert stream.pace.duration_s == pytest.approx(5.0)


def test_clock_that_wraps_goes_on(tmp_path: Path) -> None:
    wrap = 2**33 * 300
    with TransportStream(ts_file(tmp_path, [wrap - CLOCK, wrap - 1, CLOCK - 1], between=6)) as stream:
        assert [due for due, _ in stream.datagrams()] == pytest.approx([0.0, 1.0, 2.0])


def test_clock_of_another_programme_is_not_mixed_in(tmp_path: Path) -> None:
    file = tmp_path / "clip.ts"
    file.write_bytes(
        b"".join(ts_packet(256, CLOCK * n) + ts_packet(300, 7 * CLOCK) + ts_packet(257) * 5 for n in range(3))
    )
    with TransportStream(file) as stream:
        assert [due for due, _ in stream.datagrams()] == pytest.approx([0.0, 1.0, 2.0])


def test_last_datagram_is_short_and_a_torn_packet_is_left_out(tmp_path: Path) -> None:
    file = ts_file(tmp_path, [0, CLOCK], between=4)
    file.write_bytes(file.read_bytes() + b"\x47\x00")
    with TransportStream(file) as stream:
        assert [len(payload) // 188 for _, payload in stream.datagrams()] == [7, 3]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "cannot be read"),
        (b"RIFF" * 100, "no sync byte at offset 0; not an MPEG transport stream"),
        (ts_packet(256, 0) + bytes(188), "no sync byte at offset 188"),
        (ts_packet(257) * 9, r"no clock references \(PCR\) in 9 packets"),
        (ts_packet(256, 5), r"no clock references \(PCR\) in 1 packets"),
        (ts_packet(256, 0) + ts_packet(256, 61 * CLOCK), "the clock jumps by 61 s at offset 188"),
        (ts_packet(256, CLOCK) + ts_packet(256, 0), "the clock jumps by"),
        (ts_packet(256, 5) * 3, r"the clock \(PCR\) stands still"),
    ],
)
def test_file_that_cannot_be_played(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = tmp_path / "clip.ts"
    file.write_bytes(content)
    with pytest.raises(TransportStreamError, match=complaint) as raised:
        TransportStream(file)
    assert str(raised.value).startswith(str(file))


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TransportStreamError, match="cannot be read"):
        TransportStream(tmp_path / "none.ts")


def sent(source: Source, payloads: Iterator[tuple[float, bytes | None]]) -> list[tuple[float, bytes]]:
    """The packets that a source would send of these, each with the time at which it is due."""
    rows = []
    for due, payload in payloads:
        rows.append((due, source._packet(due, payload)))
        source._number += 1
    return rows


def test_source_plays_a_file_again_and_again(tmp_path: Path) -> None:
    file = ts_file(tmp_path, [0, CLOCK], between=6)  # two datagrams, two seconds
    source = Source(SourceConfiguration("239.1.1.1", 5004, "lo", media=str(file), ssrc=9))
    packets = source._file(file)
    rows = sent(source, islice(packets, 5))
    packets.close()  # type: ignore[attr-defined]  # a generator; it holds the file open
    parsed = [rtp.parse(data) for _, data in rows]
    assert [due for due, _ in rows] == pytest.approx([0.0, 1.0, 2.0, 3.0, 4.0])
    assert [packet and (packet.payload_type, packet.sequence, packet.timestamp, packet.ssrc) for packet in parsed] == [
        (33, n, n * 90_000, 9) for n in range(5)
    ]


def test_synthetic_source_keeps_its_rate_and_size() -> None:
    source = Source(SourceConfiguration("239.1.1.1", 5004, "lo", rate=250.0, size=100))
    rows = sent(source, islice(source._synthetic(), 4))
    assert [due for due, _ in rows] == pytest.approx([0.0, 0.004, 0.008, 0.012])
    assert {len(data) for _, data in rows} == {112}
    packets = [rtp.parse(data) for _, data in rows]
    assert [packet and (packet.payload_type, packet.sequence, packet.timestamp) for packet in packets] == [
        (96, n, n * 360) for n in range(4)
    ]
    assert len({packet and packet.ssrc for packet in packets}) == 1


@pytest.mark.parametrize(("is_full", "counted"), [(True, {"dropped.media": 20}), (False, {})])
def test_payloads_that_a_full_disk_does_not_take_are_counted(tmp_path: Path, is_full: bool, counted: object) -> None:
    file = tmp_path / "media.ts"
    if is_full:
        file.symlink_to("/dev/full")

    async def scene() -> Receiver:
        [port] = free_ports(1)
        receiver = Receiver(ReceiverConfiguration("239.1.1.1", port, media=str(file)), None)
        running = asyncio.create_task(receiver.run())
        await asyncio.sleep(0)
        receiver._play([bytes(1316)] * 20)
        receiver._finished.set()
        await running
        return receiver

    assert asyncio.run(scene())._reception.counters == counted
    assert is_full or file.read_bytes() == bytes(20 * 1316)
