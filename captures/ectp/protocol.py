"""ECTP, the duplex multicast transport with QoS management [X.607, X.607.1]."""

from __future__ import annotations

from typing import Any

from captures.protocol import Carrier, Protocol


def _dissect(data: bytes) -> dict[str, Any]:
    from captures.ectp import dissector

    return dissector.dissect(data)


PROTOCOL = Protocol(
    name="ectp",
    carriers=(Carrier("udp", None),),
    dissect=_dissect,
)
