"""OMCP, the Overlay Multicast Control Protocol [draft-koh-omcp-00]."""

from __future__ import annotations

from typing import Any

from captures.omcp.constants import FRAMING, OMCP_PORT
from captures.protocol import Carrier, Protocol


def _dissect(data: bytes) -> dict[str, Any]:
    from captures.omcp import dissector

    return dissector.dissect(data)


PROTOCOL = Protocol(
    name="omcp",
    carriers=(Carrier("tcp", OMCP_PORT),),
    framing=FRAMING,
    dissect=_dissect,
)
