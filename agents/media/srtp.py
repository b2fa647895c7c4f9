"""SRTP (RFC 3711, AES_CM_128_HMAC_SHA1_80) under keys that change while a stream goes on.

A packet says neither which key it is under (there is no MKI) nor how often its 16-bit number has wrapped, and both are
needed to read it. A receiver tries: the newest generation of keys first, then those that it has superseded for less than
``GRACE_S``; and of a stream that it does not know, or has not heard for a while, the roll-over counters that can be. Only
what is authentic is taken, and only then is anything remembered of a stream, so that forged packets take up no memory.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable

import pylibsrtp
from pylibsrtp import Policy, Session, _binding

from agents.core.counters import Counters
from agents.media import rtp

GRACE_S = 2.0  # s in which a receiver still takes data under a key that another has superseded
SILENT_S = 1.0  # s after which a stream may have wrapped unheard: at 20,000 packets/s it takes 1.6 s to lose its place
ROLL_OVERS_AHEAD = 2  # wraps that a stream may be ahead of the counter that was told
WINDOW = 1024  # packets that may be late: on two paths 40 ms apart, at 20,000 packets/s, some 800 are
STREAMS_MAXIMUM = 64  # of one generation
GENERATIONS_MAXIMUM = 16  # that are tried
GENERATIONS_COUNTED = 256
_ROLL_OVER_MODULUS = 1 << 32
_REPLAYED = "replayed"
_REASONS = {
    "authentication failure": "authentication",
    "replay check failed (bad index)": _REPLAYED,
    "replay check failed (index too old)": "too-old",
    "packet index is too old to consider": "too-old",
    "unsupported parameter": "malformed",
    "error parsing data": "malformed",
}
"""What libsrtp says, and how it is counted; anything else by its own words."""

# The roll-over counter of a stream can be set and read in libsrtp, not in its binding: the library is the same.
_library = ctypes.CDLL(_binding.__file__)
_library.srtp_set_stream_roc.argtypes = (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32)
_library.srtp_get_stream_roc.argtypes = (ctypes.c_void_p, ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32))


class _Session:
    """A session of libsrtp under one key, and its streams by SSRC."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._session = Session()
        handle = self._session._srtp[0]  # noqa: SLF001  the library's own functions are called with it
        self._handle = ctypes.c_void_p(int(_binding.ffi.cast("uintptr_t", handle)))
        self.protect = self._session.protect
        self.unprotect = self._session.unprotect

    def add(self, ssrc: int) -> None:
        policy = Policy(self._key, Policy.SSRC_SPECIFIC, ssrc)
        policy.window_size = WINDOW
        self._session.add_stream(policy)

    def remove(self, ssrc: int) -> None:
        self._session.remove_stream(ssrc)

    def set_roll_over_counter(self, ssrc: int, counter: int) -> None:
        """Have the next packet belong to that counter; 0: to the one nearest to the last packet's."""
        _library.srtp_set_stream_roc(self._handle, ssrc, counter)

    def roll_over_counter(self, ssrc: int) -> int:
        found = ctypes.c_uint32()
        _library.srtp_get_stream_roc(self._handle, ssrc, ctypes.byref(found))
        return found.value


class Protection:
    """Makes SRTP of one stream's RTP packets, the first of which has the extended number ``first`` (0 to 2^48 - 1)."""

    def __init__(self, key: bytes, ssrc: int, first: int) -> None:
        session = _Session(key)
        session.add(ssrc)
        session.set_roll_over_counter(ssrc, first // rtp.SEQUENCE_MODULUS)
        self._session = session
        self.protect = session.protect
        """The packet with 10 octets more; raises ``pylibsrtp.Error`` where the key has served for 2^48 packets."""


class _Generation:
    """One generation of keys: its session, and when each of its streams was last heard (s)."""

    def __init__(self, number: int, key: bytes, told: int) -> None:
        self.number = number
        self.key = key
        self.told = told
        self.until: float | None = None
        self.heard: dict[int, float] = {}
        self.session = _Session(key)

    def unprotect(self, data: bytes, ssrc: int, now: float, near: int | None) -> bytes | str:
        """The RTP packet, or why it is none; ``near`` is the stream's roll-over counter, where another generation has it."""
        heard = self.heard.get(ssrc)
        result: bytes | str
        if heard is None:
            result = self._of_unknown(data, ssrc, near) or "authentication"
        else:
            result = self._tried(data)
            if not isinstance(result, bytes) and now - heard > SILENT_S:
                result = self._of_silent(data, ssrc) or result
        if isinstance(result, bytes):
            self.heard[ssrc] = now
        return result

    def _tried(self, data: bytes) -> bytes | str:
        try:
            return self.session.unprotect(data)
        except pylibsrtp.Error as error:
            text = str(error)
            return _REASONS.get(text) or re.sub(r"\W+", "-", text).strip("-")
        except ValueError:  # longer than the binding takes, which is more than an Ethernet frame carries
            return "too-long"

    def _with_counters(self, data: bytes, ssrc: int, counters: Iterable[int]) -> bytes | None:
        """Try the packet under each of these roll-over counters; None if it is authentic under none."""
        for counter in dict.fromkeys(each % _ROLL_OVER_MODULUS for each in counters):
            self.session.set_roll_over_counter(ssrc, counter)
            result = self._tried(data)
            if isinstance(result, bytes):
                return result
        return None

    def _of_unknown(self, data: bytes, ssrc: int, near: int | None) -> bytes | None:
        ahead = range(self.told, self.told + ROLL_OVERS_AHEAD + 1)
        # A stream that the sender has begun anew begins with 0, whatever was told of the one before.
        counters = (*ahead, 0) if near is None else (near, near + 1)
        self.session.add(ssrc)
        result = self._with_counters(data, ssrc, counters)
        if result is None:
            self.session.remove(ssrc)
        return result

    def _of_silent(self, data: bytes, ssrc: int) -> bytes | None:
        """A stream that has wrapped while it was not heard: only ever ahead, so that nothing old is taken again."""
        ahead = self.session.roll_over_counter(ssrc) + 1
        begin = max(ahead, self.told)
        result = self._with_counters(data, ssrc, (ahead, *range(begin, begin + ROLL_OVERS_AHEAD)))
        self.session.set_roll_over_counter(ssrc, 0)
        return result


class Keys:
    """What a receiver has of a session's keys, and the RTP that it makes with them of the SRTP that comes.

    Counts ``decrypted.packets``, those of them under a key superseded (``decrypted.superseded-key``), and as
    ``undecryptable.REASON`` what is not authentic, was there before, or is no SRTP.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._generations: list[_Generation] = []  # the newest first
        self._last_ssrc: int | None = None
        self.decrypted: dict[int, int] = {}
        """Packets by generation, of the last ``GENERATIONS_COUNTED``."""

    def take(self, generation: int, key: bytes, roll_over_counter: int, now: float) -> bool:
        """A key, newer than those before, and the stream's roll-over counter; the same again only corrects the latter.

        One of an older generation is not taken, and counted.
        """
        newest = self._generations[0] if self._generations else None
        if newest is not None and (newest.number, newest.key) == (generation, key):
            newest.told = roll_over_counter
            return True
        if newest is not None:
            if generation < newest.number:
                self._counters.add("ignored.older-generation")
                return False
            newest.until = now + GRACE_S
        self._generations.insert(0, _Generation(generation, key, roll_over_counter))
        self._forget(now)
        return True

    def unprotect(self, data: bytes, now: float) -> bytes | None:
        """The RTP packet that an SRTP packet is under one of the keys, or None, counted; ``now`` in s, never going back."""
        if len(data) < rtp.HEADER_SIZE or data[0] >> 6 != rtp.RTP_VERSION:
            self._counters.add("undecryptable.not-rtp")
            return None
        self._forget(now)
        ssrc = int.from_bytes(data[8:12], "big")
        reason = "no-key"
        for each in self._generations:
            result = each.unprotect(data, ssrc, now, self._near(ssrc) if ssrc not in each.heard else None)
            if isinstance(result, bytes):
                self._decrypted(each, ssrc)
                return result
            if reason != _REPLAYED:
                reason = result
        self._counters.add(f"undecryptable.{reason}")
        return None

    def _near(self, ssrc: int) -> int | None:
        """The stream's roll-over counter in the newest generation that has heard it."""
        for each in self._generations:
            if ssrc in each.heard:
                return each.session.roll_over_counter(ssrc)
        return None

    def _decrypted(self, generation: _Generation, ssrc: int) -> None:
        self._last_ssrc = ssrc
        self._counters.add("decrypted.packets")
        if generation is not self._generations[0]:
            self._counters.add("decrypted.superseded-key")
        self.decrypted[generation.number] = self.decrypted.get(generation.number, 0) + 1
        if len(self.decrypted) > GENERATIONS_COUNTED:
            del self.decrypted[min(self.decrypted)]
        if len(generation.heard) > STREAMS_MAXIMUM:
            longest_silent = min(generation.heard, key=generation.heard.__getitem__)
            del generation.heard[longest_silent]
            generation.session.remove(longest_silent)
            self._counters.add("evicted.stream")

    def _forget(self, now: float) -> None:
        """Drop the keys that have been superseded for long enough, or by too many."""
        generations = self._generations
        while generations and (until := generations[-1].until) is not None and until <= now:
            generations.pop()
        while len(generations) > GENERATIONS_MAXIMUM:
            generations.pop()
            self._counters.add("evicted.generation")

    @property
    def roll_over_counter(self) -> int:
        """Of the stream that was heard last; before any was, what was told."""
        near = None if self._last_ssrc is None else self._near(self._last_ssrc)
        return near if near is not None else self._generations[0].told if self._generations else 0
