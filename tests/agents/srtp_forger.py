"""A forger beside a source: what it makes of the source's packets opens nothing, hides nothing and leaves nothing behind."""

from __future__ import annotations

import ctypes
import random
from collections import deque
from dataclasses import dataclass, field

from agents.core.counters import Counters
from agents.media import rtp, srtp
from agents.media.receiver import Reception
from agents.media.srtp import GRACE_S, SILENT_S, Keys, Protection

SSRC = 0x12345678
KEY, OTHER = bytes(range(30)), bytes(range(60, 90))
REMEMBERED = 1000  # packets of the source that the forger works with
REKEY_PERIOD = 700  # packets of the source


def packet(number: int, ssrc: int = SSRC) -> bytes:
    return rtp.build(96, number, number * 90, ssrc, b"payload %d" % number)


@dataclass
class Forger:
    """Makes packets of those that it has seen, and of nothing, without a key."""

    chance: random.Random
    seen: deque[bytes] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def packet(self) -> bytes:
        chance = self.chance
        octets = bytearray(chance.choice(self.seen)) if self.seen and chance.random() < 0.8 else bytearray()
        kind = chance.randrange(6)
        if not octets or kind == 0:
            return chance.randbytes(chance.choice([0, 1, 11, 12, 13, 22, 40, 1500, 1501, 3000]))
        if kind == 1:
            return bytes(octets[: chance.randrange(len(octets))])
        if kind == 2:
            return bytes(octets) + chance.randbytes(chance.randrange(1, 2000))
        at = chance.randrange(min(12, len(octets)) if kind == 3 else len(octets))
        octets[at] ^= chance.randrange(1, 256)
        if kind == 4:
            octets[8:12] = chance.randbytes(4)
        if kind == 5:
            octets[0] = chance.choice([0x80, 0x9F, 0xBF, 0xB0, 0x8F])
            octets[-20:] = chance.randbytes(20)
        return bytes(octets)


def has_stream(keys: Keys, ssrc: bytes) -> bool:
    """Whether libsrtp keeps anything of such a stream."""
    found, number = ctypes.c_uint32(), int.from_bytes(ssrc, "big")
    sessions = [each.session._handle for each in keys._generations]
    return 0 in [srtp._library.srtp_get_stream_roc(each, number, ctypes.byref(found)) for each in sessions]


def fuzz(count: int, seed: int) -> Counters:
    """A receiver gets ``count`` forged packets, in groups between those of a source that wraps, rekeys and falls silent.

    Every packet of the source is opened, none of the forger's is, each of which is counted; gives what was.
    """
    chance = random.Random(seed)
    forger, reception = Forger(chance), Reception()
    keys = Keys(reception.counters)
    number, now, forged, genuine, generation = rtp.SEQUENCE_MODULUS - 300, 0.0, 0, 0, 0
    octets_of_ssrc = SSRC.to_bytes(4, "big")
    sender = Protection(KEY, SSRC, number)
    while forged < count:
        if genuine % REKEY_PERIOD == 0:
            generation += 1
            key = (KEY, OTHER)[generation % 2]
            assert keys.take(generation, key, 0, now)
            sender = Protection(key, SSRC, number)
            now += GRACE_S / 2
        for _ in range(chance.randrange(8)):
            octets = forger.packet()
            assert keys.unprotect(octets, now) is None
            assert octets[8:12] == octets_of_ssrc or not has_stream(keys, octets[8:12])
            forged += 1
        octets = sender.protect(packet(number))
        forger.seen.append(octets)
        plain = keys.unprotect(octets, now)
        assert plain == packet(number)
        assert reception.packet_arrived(plain, round(now * 1e9)) == [plain[rtp.HEADER_SIZE :]]
        genuine += 1
        number += 1
        now += chance.choice([0.001, 0.001, SILENT_S + 0.1])
    assert has_stream(keys, octets_of_ssrc)
    assert {ssrc for each in keys._generations for ssrc in each.heard} == {SSRC}
    counters = reception.counters
    assert counters["received.packets"] == counters["decrypted.packets"] == genuine
    assert sum(value for name, value in counters.items() if name.startswith("undecryptable.")) == forged
    return counters
