"""How fast the source sends SRTP under a role's orders: against a bare loop of libsrtp's protect and sendto.

Both send the same packets from this process to the same group on the loopback, in turns; the source is made to think that
all its packets are late, so that it never waits.
"""

from __future__ import annotations

import os
import socket
import statistics
import time
from itertools import islice
from pathlib import Path

import pylibsrtp

from agents.core.media_control import MediaOrder, encode
from agents.media import rtp
from agents.media.source import Source, SourceConfiguration
from tests.bench.members import ROUNDS

PACKETS = 50_000
RATIO = 0.6
KEY = os.urandom(30)
ORDER = MediaOrder("send", "239.255.77.77", 24777, "lo", 1, KEY)
SIZE = 188  # bytes of payload


def ours(folder: Path) -> float:
    """Packets per second of a source, its orders heard between them."""
    path = folder / "role"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as role:
        path.unlink(missing_ok=True)
        role.bind(str(path))
        role.listen()
        source = Source(SourceConfiguration(orders=str(path), size=SIZE))
        source._listen(time.monotonic(), 0.0)
        with role.accept()[0] as connection:
            connection.send(encode(ORDER))
            source._listen(time.monotonic(), 1.0)
            began = time.perf_counter()
            source.send_all(islice(source._synthetic(), PACKETS), time.monotonic() - PACKETS)
            took = time.perf_counter() - began
    assert (source.sent, source.behind, source.unsent) == (PACKETS, PACKETS, 0)
    source.close()
    return PACKETS / took


def bare() -> float:
    """Packets per second, each protected and sent."""
    packets = [rtp.build(96, number, number * 90, 7, bytes(SIZE)) for number in range(PACKETS)]
    session = pylibsrtp.Session(pylibsrtp.Policy(KEY, pylibsrtp.Policy.SSRC_SPECIFIC, 7))
    source = Source(SourceConfiguration(ORDER.group, ORDER.port, ORDER.interface))
    destination = (ORDER.group, ORDER.port)
    with source._open(ORDER) as sender:
        began = time.perf_counter()
        for packet in packets:
            sender.sendto(session.protect(packet), destination)
        return PACKETS / (time.perf_counter() - began)


def test_srtp_sender(tmp_path: Path) -> None:
    rows = [(ours(tmp_path), bare()) for _ in range(ROUNDS)]
    ratio = statistics.median(here / there for here, there in rows)
    mine, others = (statistics.median(rates) for rates in zip(*rows, strict=True))
    print(
        f"\nSRTP packets of {SIZE} bytes sent: {mine:.0f}/s, bare protect and sendto {others:.0f}/s, "
        f"ratio {ratio:.2f} (target {RATIO})"
    )
    assert ratio >= RATIO
