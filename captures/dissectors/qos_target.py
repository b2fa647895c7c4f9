"""The target values of QoS management, laid out alike in an element [D E-6] and a target [D S-1] of two protocols."""

from __future__ import annotations

from typing import Any

from scapy.fields import BitEnumField, Field, IntField, ShortField

THROUGHPUT = ("throughput_chq", "throughput_ot", "throughput_lqa")  # bytes/s
DELAY = ("delay_ot", "delay_lqa")  # ms
JITTER = ("jitter_ot", "jitter_lqa")  # ms
LOSS = ("loss_ot", "loss_lqa")  # 0.01 %

DIRECTIONS = {0: "forward", 1: "backward"}


def direction_field() -> Field[Any, Any]:
    """Which channel the targets are for; plain "direction" would be hidden by an attribute of scapy's own."""
    return BitEnumField("channel_direction", 0, 4, DIRECTIONS)


def target_fields() -> list[Field[Any, Any]]:
    """MSS and the targets: controlled highest quality (CHQ), operating target (OT), lowest quality allowed (LQA)."""
    return [
        ShortField("mss", 0),
        *(IntField(name, 0) for name in THROUGHPUT),
        *(ShortField(name, 0) for name in (*DELAY, *JITTER, *LOSS)),
    ]
