"""How fast MMCP messages are read and written."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

from agents.mmcp.constants import PacketType
from agents.mmcp.messages import (
    Membership,
    decode,
    encode,
)
from captures.mmcp import dissector as judge
from tests.bench.members import ROUNDS, STATUS, mn_id, packet

pytestmark = pytest.mark.timeout(300)

TIMES_SCAPY_AT_LEAST = 60  # measured: 106 to 110; a busy machine slows both alike


def rate(work: Callable[[bytes], Any], data: bytes, times: int) -> float:
    """How often a second."""
    began = time.perf_counter()
    for _ in range(times):
        work(data)
    return times / (time.perf_counter() - began)


def test_codec() -> None:
    """Three parameters, 40 bytes; the judge is scapy's."""
    data = packet(PacketType.ASR, Membership(1), mn_id(1), STATUS)

    def judged(data: bytes) -> None:
        assert judge.build(judge.dissect(data)) == data

    assert encode(decode(data)) == data
    rows = [(rate(lambda data: encode(decode(data)), data, 40_000), rate(judged, data, 500)) for _ in range(ROUNDS)]
    ours, scapys = (statistics.median(rates) for rates in zip(*rows, strict=True))
    print(
        f"\ndecode + encode of {len(data)} bytes with 3 parameters: {ours:.0f}/s, scapy {scapys:.0f}/s, "
        f"ratio {ours / scapys:.0f} (target {TIMES_SCAPY_AT_LEAST})"
    )
    assert ours >= TIMES_SCAPY_AT_LEAST * scapys
