"""MSMP messages for tests: hand-made ones from files, and hypothesis strategies, all as plain values."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.wire.vector_files import Plain, given_fields, read_vectors, tlv_rows, words_16, words_32

PACKETS = (
    "QRREQ", "QRRES", "QSREQ", "QSRES", "QUREQ", "QURES", "QVREQ", "QVRES", "QTREQ", "QTIND",
    "SNREQ", "SNRES", "MNREQ", "MNRES", "SLREQ", "SLRES",
)  # fmt: skip
SIZES = {1: 28, 2: 12, 3: 4, 4: 2, 5: 4, 6: 24}


def vectors() -> list[dict[str, Any]]:
    """Every hand-made message."""
    return read_vectors("msmp")


def fields_of(vector: dict[str, Any]) -> Plain:
    """What a decoder must say of a well-formed vector."""
    return given_fields(vector)


def repaired(octets: bytes) -> bytes:
    """With a Length that fits."""
    return octets[:2] + len(octets).to_bytes(2) + octets[4:] if len(octets) >= 4 else octets


tlvs = tlv_rows(
    {code: st.binary(min_size=size, max_size=size) for code, size in SIZES.items()}, unknown=[0, 7, 99, 255]
)


@st.composite
def messages(draw: st.DrawFn, packet: str) -> Plain:
    """Well-formed messages of one type."""
    return {
        "packet": packet, "session_id": draw(words_16), "user_id": draw(words_16), "transaction_id": draw(words_32),
        "tlvs": draw(st.lists(tlvs, max_size=4)),
    }  # fmt: skip
