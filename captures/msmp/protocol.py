"""MSMP, the Multicast Session Management Protocol [ISO/IEC 24792]."""

from __future__ import annotations

from typing import Any

from captures.msmp.constants import FRAMING, MSMP_PORT
from captures.protocol import Carrier, Protocol


def _dissect(data: bytes) -> dict[str, Any]:
    from captures.msmp import dissector

    return dissector.dissect(data)


PROTOCOL = Protocol(
    name="msmp",
    carriers=(Carrier("udp", MSMP_PORT), Carrier("tcp", MSMP_PORT)),
    framing=FRAMING,
    dissect=_dissect,
)
