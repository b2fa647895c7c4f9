"""GMP, the Group Management Protocol [X.602]."""

from __future__ import annotations

from typing import Any

from captures.gmp.constants import FRAMING, GMP_MM_PORT, GMP_SM_PORT
from captures.protocol import Carrier, Protocol


def _dissect(data: bytes, module: str = "SM") -> dict[str, Any]:
    from captures.gmp import dissector

    return dissector.dissect(data, module)


PROTOCOL = Protocol(
    name="gmp",
    carriers=(
        Carrier("udp", GMP_SM_PORT, "SM"),
        Carrier("udp", GMP_MM_PORT, "MM"),
        Carrier("tcp", GMP_SM_PORT, "SM"),
        Carrier("tcp", GMP_MM_PORT, "MM"),
    ),
    framing=FRAMING,
    dissect=_dissect,
)
