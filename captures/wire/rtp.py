"""RTP streams in constant memory [RFC 3550]: what came, what is missing, how unevenly, at each interface.

`lost` is what RFC 3550 A.3 calls so: the packets expected between the lowest and the highest sequence number less those
received, so duplicates make it smaller. `missing` counts the sequence numbers that never came. A stretch of at least
`INTERRUPTION_PACKETS` missing in a row that lasts at least `INTERRUPTION_NS` is an interruption, and so is what is missing
within `SETTLING_NS` of a change of membership or link at the interface: a member that goes and comes again looks like that,
and nothing on the wire tells it from an outage. What else is missing is scattered.

A sequence number is taken for the one nearest to the highest so far unless that is too far to go: more than `DROPOUT_MAX`
ahead within less time than so many packets take, or more than `MISORDER_MAX` behind and not known to be missing. RFC 3550 A.1
does not ask how long that took; but members of a multicast group that come again later are no new source. A packet that far
off is astray; if the very next one follows it, the source has restarted: the sequence goes on from there with nothing missing
in between, and what is expected is the sum over the sequences. Jitter is that of RFC 3550 6.4.1: each packet is compared with
the one that came before it, late ones too; in mean and maximum a packet whose timestamp goes back does not count. Of a
dynamic payload type the clock rate is learned from the first second, and jitter counted from there.

Packets are taken in the order of the file. Where that is not the order of their times, as in captures of several queues of
one card, `backward` counts it, and a late packet is `reordered` only if it came later than one that was sent after it.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from typing import Any, NamedTuple

from captures.wire.internet import printed

INTERRUPTION_PACKETS = 3
INTERRUPTION_NS = 20_000_000
SETTLING_NS = 100_000_000  # how long routers may drop single packets after a membership or a link has changed

_CLOCK_HZ = {
    **dict.fromkeys((0, 2, 3, 4, 5, 7, 8, 9, 12, 13, 15, 18), 8000),
    **dict.fromkeys((14, 25, 26, 28, 31, 32, 33, 34), 90_000),
    6: 16_000, 10: 44_100, 11: 44_100, 16: 11_025, 17: 22_050,
}  # fmt: skip
"""Clock rates of the payload types that have one of their own [RFC 3551 6]."""

_DYNAMIC = 96  # payload types from here on have the clock rate that their session description says [RFC 3551 3]
_USUAL_CLOCKS_HZ = (8000, 16_000, 24_000, 32_000, 44_100, 48_000, 90_000)
_LEARN_NS = 1_000_000_000
_TIMESTAMP_HALF = 1 << 31

_HALF, _ALL = 1 << 15, 1 << 16
_LATE_MAX = 1024  # missing numbers remembered, to tell a late packet from one that came twice
DROPOUT_MAX, MISORDER_MAX = 3000, 100  # packets [RFC 3550 A.1]
_HASTE = 4  # how much faster than on average so far a sender may have sent during a silence


class StreamKey(NamedTuple):
    """What makes a stream: `flow` are the packed addresses and ports, source first."""

    interface: str
    flow: bytes
    ssrc: int


class _Jump(NamedTuple):
    """A packet too far from the others. `is_copy`: it was counted as one that came twice, else as astray."""

    packets: int
    t_ns: int
    sequence: int
    timestamp: int
    is_copy: bool


class Stream:
    """One stream at one interface; `add` takes its packets in the order of the capture. Times in ns."""

    __slots__ = (
        "_began_ns", "_expected_before", "_first_timestamp", "_jump", "_last_timestamp", "_late", "astray", "backward", "base",
        "clock_hz", "duplicates", "first_frame", "first_ns", "highest", "in_order", "interruptions", "interruptions_missing",
        "jitter_ns", "jitter_sum_ns", "key", "last_frame", "last_ns", "longest_interruption_ns", "max_jitter_ns",
        "max_missing", "packets", "payload_type", "reordered", "restarts", "scattered",
        "sequential",
    )  # fmt: skip

    def __init__(
        self, key: StreamKey, number: int, t_ns: int, payload_type: int, sequence: int, timestamp: int
    ) -> None:
        self.key = key
        self.payload_type = payload_type
        self.clock_hz = _CLOCK_HZ.get(payload_type, 0)
        self.packets = self.in_order = 1
        self.sequential = 0
        self.base = self.highest = sequence
        self.first_frame = self.last_frame = number
        self.first_ns = self.last_ns = t_ns
        self._last_timestamp = self._first_timestamp = timestamp
        # Of each missing number whether it is part of an interruption, and when the packet came that went past it.
        self._late: OrderedDict[int, tuple[bool, int]] = OrderedDict()
        self._began_ns = t_ns  # when this sequence did; a restart begins a new one
        self._expected_before = 0  # in the sequences before this one
        self._jump: _Jump | None = None
        self.astray = self.restarts = self.backward = 0
        self.duplicates = self.reordered = self.scattered = 0
        self.interruptions = self.interruptions_missing = self.longest_interruption_ns = self.max_missing = 0
        self.jitter_ns = self.jitter_sum_ns = self.max_jitter_ns = 0.0

    def add(self, number: int, t_ns: int, sequence: int, timestamp: int, changed_ns: int) -> None:
        """Take the next packet; `changed_ns` is when a membership or link at the interface last changed."""
        self.packets += 1
        self.last_frame = number
        step = (sequence - self.highest) & 0xFFFF
        if step == 1:
            self.highest += 1
            self.sequential += 1
        elif not self._is_far(step, t_ns):
            self._out_of_sequence(step, t_ns, changed_ns)
        elif not self._has_restarted(t_ns, sequence, timestamp):
            return  # it says nothing of how evenly the others come
        passed_ns = t_ns - self.last_ns
        if passed_ns < 0:
            self.backward += 1
        self.last_ns = t_ns
        ahead = (timestamp - self._last_timestamp) & 0xFFFFFFFF
        if ahead >= _TIMESTAMP_HALF:
            ahead -= 2 * _TIMESTAMP_HALF
        if self.clock_hz:
            late = passed_ns - ahead * 1_000_000_000 / self.clock_hz
            self.jitter_ns = jitter = self.jitter_ns + ((late if late > 0 else -late) - self.jitter_ns) / 16
            if ahead >= 0:
                self.jitter_sum_ns += jitter
                self.max_jitter_ns = max(self.max_jitter_ns, jitter)
        elif self.payload_type >= _DYNAMIC:
            self._learn_clock(t_ns, timestamp)
        if ahead >= 0:
            self.in_order += 1
        self._last_timestamp = timestamp

    def _learn_clock(self, t_ns: int, timestamp: int) -> None:
        """Of a dynamic payload type no packet tells the clock rate, but the stream's own pace does."""
        passed = t_ns - self._began_ns
        if passed < _LEARN_NS:
            return
        pace = ((timestamp - self._first_timestamp) & 0xFFFFFFFF) * 1_000_000_000 / passed
        nearest = min(_USUAL_CLOCKS_HZ, key=lambda clock: abs(clock - pace))
        if abs(nearest - pace) < nearest / 20:
            self.clock_hz = nearest
            self.in_order = 0

    def _is_far(self, step: int, t_ns: int) -> bool:
        """Whether a packet so many numbers ahead, modulo 2^16, is of no place in this sequence."""
        if step >= _HALF:
            return _ALL - step > MISORDER_MAX and self.highest + step - _ALL not in self._late
        if step <= DROPOUT_MAX:
            return False
        # Before two have followed each other nothing is known of the pace.
        return not self.sequential or (t_ns - self.last_ns) * _HASTE < step * self._spacing_ns

    @property
    def _spacing_ns(self) -> float:
        """The mean time between two packets as they were sent."""
        return (self.last_ns - self._began_ns) / max(self.highest - self.base, 1)

    def _has_restarted(self, t_ns: int, sequence: int, timestamp: int) -> bool:
        """Take a packet that is far off; say whether it is the second in a new sequence, which then goes on."""
        jump = self._jump
        if jump is None or jump.packets != self.packets - 1 or (sequence - jump.sequence) & 0xFFFF != 1:
            behind = (self.highest - sequence) & 0xFFFF
            is_copy = behind < _HALF and self.highest - behind >= self.base
            self._jump = _Jump(self.packets, t_ns, sequence, timestamp, is_copy)
            self.duplicates += is_copy
            self.astray += not is_copy
            return False
        self.duplicates -= jump.is_copy
        self.astray -= not jump.is_copy
        silence = jump.t_ns - self.last_ns
        if silence >= max(INTERRUPTION_NS, INTERRUPTION_PACKETS * self._spacing_ns):
            self.interruptions += 1
            self.longest_interruption_ns = max(self.longest_interruption_ns, silence)
        self._expected_before = self.expected
        self.base, self.highest = jump.sequence, jump.sequence + 1
        self._late.clear()
        self._jump = None
        self._began_ns = self.last_ns = jump.t_ns
        self._first_timestamp = self._last_timestamp = jump.timestamp
        self.restarts += 1
        self.sequential += 1
        return True

    def _out_of_sequence(self, step: int, t_ns: int, changed_ns: int) -> None:
        if not 0 < step < _HALF:
            number = self.highest - ((_ALL - step) & 0xFFFF)
            passed_by = self._late.pop(number, None)
            if number < self.base:
                # It was sent before the first one that was seen, so nothing was missing there yet.
                self.scattered += self.base - number - 1
                for between in range(max(number + 1, self.base - _LATE_MAX), self.base):
                    self._late[between] = False, self.first_ns
                self.base = number
                self.reordered += t_ns >= self.first_ns
            elif passed_by is None:
                self.duplicates += 1
            else:
                interrupted, passed_by_ns = passed_by
                # One that came in time and stands late in the file was put out of order by the capture.
                self.reordered += t_ns >= passed_by_ns
                if interrupted:
                    self.interruptions_missing -= 1
                else:
                    self.scattered -= 1
            return
        missing, silence = step - 1, t_ns - self.last_ns
        long = missing >= INTERRUPTION_PACKETS and silence >= INTERRUPTION_NS
        # The change may stand before the packet in the file and have come a little after it: of many, only the last is known.
        interrupted = long or changed_ns >= self.last_ns - SETTLING_NS
        if interrupted:
            self.interruptions += 1
            self.interruptions_missing += missing
            self.longest_interruption_ns = max(self.longest_interruption_ns, silence)
        else:
            self.scattered += missing
            self.max_missing = max(self.max_missing, missing)
        first = self.highest + 1
        self.highest += step
        for between in range(max(first, self.highest - _LATE_MAX), self.highest):
            self._late[between] = interrupted, t_ns
        while len(self._late) > _LATE_MAX:
            self._late.popitem(last=False)

    @property
    def expected(self) -> int:
        """Packets from the lowest to the highest sequence number [RFC 3550 A.3], of each sequence if the source restarted."""
        return self._expected_before + self.highest - self.base + 1

    @property
    def lost(self) -> int:
        """As RFC 3550 A.3: expected less received; below zero where more was duplicated than lost."""
        return self.expected - self.packets

    @property
    def missing(self) -> int:
        """Sequence numbers that never came."""
        return self.scattered + self.interruptions_missing

    @property
    def mean_jitter_ns(self) -> float | None:
        """Mean of the jitter after each packet; None where the payload type tells no clock rate."""
        return self.jitter_sum_ns / max(self.in_order - 1, 1) if self.clock_hz else None

    @property
    def name(self) -> str:
        """Source, destination and SSRC as text."""
        flow = self.key.flow
        octets = (len(flow) - 4) // 2
        source, destination = printed(flow[:octets]), printed(flow[octets : 2 * octets])
        sport, dport = int.from_bytes(flow[-4:-2]), int.from_bytes(flow[-2:])
        return f"{source} port {sport} to {destination} port {dport}, SSRC {self.key.ssrc:#010x}"

    def as_dict(self) -> dict[str, Any]:
        """Figures of the stream as JSON; times in ms, None for a jitter whose clock rate is not known."""
        mean = self.mean_jitter_ns
        return {
            "interface": self.key.interface,
            "stream": self.name,
            "payload_type": self.payload_type,
            "packets": self.packets,
            "expected": self.expected,
            "lost": self.lost,
            "missing": self.missing,
            "scattered": self.scattered,
            "interruptions": self.interruptions,
            "longest_interruption_ms": round(self.longest_interruption_ns / 1e6, 3),
            "duplicates": self.duplicates,
            "reordered": self.reordered,
            "astray": self.astray,
            "restarts": self.restarts,
            "backward": self.backward,
            "jitter_ms": None if mean is None else round(self.jitter_ns / 1e6, 3),
            "mean_jitter_ms": None if mean is None else round(mean / 1e6, 3),
            "max_jitter_ms": None if mean is None else round(self.max_jitter_ns / 1e6, 3),
            "frames": [self.first_frame, self.last_frame],
        }


class KeptStream(Stream):
    """A stream of which every packet's frame number, time in ns and sequence number is kept, in the order of the file."""

    __slots__ = ("numbers", "sequences", "times")

    def __init__(
        self, key: StreamKey, number: int, t_ns: int, payload_type: int, sequence: int, timestamp: int
    ) -> None:
        super().__init__(key, number, t_ns, payload_type, sequence, timestamp)
        self.numbers, self.times, self.sequences = array("Q", [number]), array("Q", [t_ns]), array("H", [sequence])

    def add(self, number: int, t_ns: int, sequence: int, timestamp: int, changed_ns: int) -> None:
        """As `Stream.add`."""
        self.numbers.append(number)
        self.times.append(t_ns)
        self.sequences.append(sequence)
        super().add(number, t_ns, sequence, timestamp, changed_ns)


class Streams:
    """All streams of a capture, the `limit` that were used last; what was evicted is counted.

    A UDP flow is a stream once two of its packets followed each other in sequence [RFC 3550 A.1]: until then it may be
    anything whose first octet looks like RTP version 2.
    """

    def __init__(self, limit: int = 4096) -> None:
        self.evicted = 0
        self.evicted_packets = 0
        self._limit = limit
        self._found: dict[StreamKey, Stream] = {}
        self._changed: dict[str, int] = {}
        self._kept: set[tuple[bytes, bytes]] = set()

    def keep(self, group: bytes, port: int) -> None:
        """From now on, keep every packet that is sent to a group, given packed, and port, in memory that grows with them."""
        self._kept.add((group, port.to_bytes(2)))

    def kept(self) -> list[KeptStream]:
        """What was kept of which streams, of whatever length, in order of their first packets."""
        return [stream for stream in self._found.values() if isinstance(stream, KeptStream)]

    def changed(self, interface: str, t_ns: int) -> None:
        """Somebody at the interface joined or left, or lost the link: what is missing just then was not lost."""
        if interface in self._changed or len(self._changed) < self._limit:
            self._changed[interface] = t_ns

    def add(
        self,
        interface: str,
        flow: bytes,
        ssrc: int,
        number: int,
        t_ns: int,
        payload_type: int,
        sequence: int,
        timestamp: int,
    ) -> None:
        """Take one packet."""
        # A plain tuple equals its NamedTuple, and is made in a third of the time.
        stream = self._found.get(key := (interface, flow, ssrc))  # type: ignore[call-overload]  # see above
        if stream is not None:
            stream.add(number, t_ns, sequence, timestamp, self._changed.get(interface, -1))
            return
        if len(self._found) >= self._limit:
            self._evict()
        octets = (len(flow) - 4) // 2
        kind = KeptStream if (flow[octets:-4], flow[-2:]) in self._kept else Stream
        self._found[StreamKey(*key)] = kind(StreamKey(*key), number, t_ns, payload_type, sequence, timestamp)

    def _evict(self) -> None:
        """Drop the quarter that is least worth keeping: what is no stream first, then what was silent longest."""
        order = sorted(self._found.values(), key=lambda stream: (stream.sequential > 0, stream.last_ns))
        for stream in order[: self._limit // 4]:
            del self._found[stream.key]
            if stream.sequential:
                self.evicted += 1
            self.evicted_packets += stream.packets

    def found(self) -> list[Stream]:
        """Streams in order of their first packets."""
        return [stream for stream in self._found.values() if stream.sequential]

    def not_streams(self) -> int:
        """Packets of flows that looked like RTP and were not."""
        return sum(stream.packets for stream in self._found.values() if not stream.sequential)
