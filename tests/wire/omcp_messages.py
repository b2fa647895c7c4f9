"""OMCP messages for tests: hand-made ones from files, and hypothesis strategies, all as plain values."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.wire.vector_files import (
    Plain,
    given_fields,
    octets_8,
    packed_addresses,
    read_vectors,
    tlv_rows,
    words_64,
)

PACKETS = ("Join Request", "Join Confirm", "Relay Request", "Relay Confirm", "Status Report", "Status Confirm")


def vectors() -> list[dict[str, Any]]:
    """Every hand-made message."""
    return read_vectors("omcp")


def fields_of(vector: dict[str, Any]) -> Plain:
    """What a decoder must say of a well-formed vector."""
    return given_fields(vector)


def repaired(octets: bytes) -> bytes:
    """With a Length that fits."""
    return octets[:4] + len(octets).to_bytes(4) + octets[8:] if len(octets) >= 8 else octets


def of_size(size: int) -> st.SearchStrategy[bytes]:
    """Any octets, so many of them."""
    return st.binary(min_size=size, max_size=size)


node_ids = st.one_of(
    st.sampled_from([b"x", b"ra1", b"n" * 64]),
    st.text(min_size=1, max_size=16).map(str.encode).filter(lambda octets: len(octets) <= 64),
)
ports = of_size(2)
tlvs = tlv_rows(
    {
        1: node_ids,
        2: st.builds(bytes.__add__, ports, packed_addresses),
        3: of_size(1),
        4: st.one_of(
            st.tuples(st.integers(0, 32), octets_8, of_size(4)), st.tuples(st.integers(0, 128), octets_8, of_size(16))
        ).map(lambda row: bytes(row[:2]) + row[2]),
        5: st.tuples(ports, packed_addresses, node_ids).map(b"".join),
        6: of_size(4),
        7: of_size(4),
        8: st.builds(bytes.__add__, of_size(4), packed_addresses),
        9: of_size(24),
        10: of_size(8),
        11: of_size(2),
        12: st.builds(lambda node_id, counts: bytes([len(node_id)]) + node_id + counts, node_ids, of_size(12)),
        13: of_size(24),
    },
    unknown=[0, 14, 99, 255],
)


@st.composite
def messages(draw: st.DrawFn, packet: str) -> Plain:
    """Well-formed messages of one type."""
    return {
        "packet": packet,
        "session_id": str(draw(words_64)),
        "flags": draw(octets_8),
        "tlvs": draw(st.lists(tlvs, max_size=4)),
    }
