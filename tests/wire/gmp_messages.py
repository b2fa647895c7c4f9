"""GMP messages for tests: hand-made ones from files, and hypothesis strategies, all as plain values."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.wire.vector_files import (
    Plain,
    bits,
    given_fields,
    ipv4,
    octets_8,
    read_vectors,
    right_checksum,
    tlv_rows,
    words_16,
)

SM_PACKETS = (
    "SCREQ", "SCACC", "SCREJ", "SDREQ", "SDRES", "SCINF", "SCCON", "SRREQ", "SRRES", "SRACC", "SRREJ", "SJREQ", "SJRES",
    "SAREQ",
)  # fmt: skip
MM_PACKETS = ("KAREQ", "KARES", "UIREQ", "UIRES", "LVREQ", "TRREQ", "TRIND", "KDUPT")

NOTHING: dict[str, Plain] = {
    "SM": {
        "q": 0, "s": 0, "m": 0, "i": 0, "session_id": 0, "user_id": 0, "key_length": 0, "port": 0, "group": "0.0.0.0",
    },
    "MM": {
        "r": 0, "ss": 0, "ui": 0, "session_id": 0, "user_id": 0, "port": 0, "group": "0.0.0.0", "period": 0, "timeout": 0,
        "key_length": 0, "reserved": 0,
    },
}  # fmt: skip
OPTION_OF: dict[str, Plain] = {"SAREQ": {"mm_port": 0}, "UIRES": {"members": []}}


def vectors(module: str) -> list[dict[str, Any]]:
    """Every hand-made message of a module."""
    return [row for row in read_vectors("gmp") if row["module"] == module]


def fields_of(vector: dict[str, Any]) -> Plain:
    """What a decoder must say of a well-formed vector, in which zeros are left out."""
    return NOTHING[vector["module"]] | OPTION_OF.get(vector["packet"], {"options": []}) | given_fields(vector)


def repaired_sm(octets: bytes) -> bytes:
    """With a checksum that fits."""
    return right_checksum(octets) if len(octets) >= 4 else octets


def repaired_mm(octets: bytes) -> bytes:
    """There is nothing in an MM message that depends on the rest of it."""
    return octets


utf8 = st.text(max_size=12).map(str.encode)
anything = st.binary(max_size=40)
options = tlv_rows(
    {
        **dict.fromkeys((1, 2, 3), utf8),
        **dict.fromkeys((6, 7, 9, 16, 17, 18), anything),
        **dict.fromkeys((4, 5), st.binary(min_size=8, max_size=8)),
        **dict.fromkeys((8, 19), st.binary(min_size=4, max_size=4)),
        **dict.fromkeys((20, 21), st.binary(min_size=2, max_size=2)),
        22: st.binary(min_size=1, max_size=1),
        23: st.binary(min_size=4, max_size=4),
    },
    unknown=[0, 10, 15, 24, 255],
)
member_types = st.sampled_from([1, 2, 4])
members = st.tuples(words_16.filter(bool), member_types).map(list)
others = st.tuples(st.just(0), member_types, st.integers(0, 2**13 - 1)).map(list)


@st.composite
def messages_sm(draw: st.DrawFn, packet: str) -> Plain:
    """Well-formed session management messages of one type."""
    fields: Plain = {
        "module": "SM", "packet": packet, **{name: draw(bits) for name in "qsmi"},
        "session_id": draw(words_16), "user_id": draw(words_16), "key_length": draw(octets_8), "port": draw(words_16),
        "group": draw(ipv4),
    }  # fmt: skip
    if packet == "SAREQ":
        return fields | {"mm_port": draw(words_16)}
    fields["options"] = draw(st.lists(options, max_size=4))
    if packet == "SCINF":
        fields["i"] = int(bool(fields["options"]))
    return fields


@st.composite
def messages_mm(draw: st.DrawFn, packet: str) -> Plain:
    """Well-formed membership management messages of one type."""
    fields: Plain = {
        "module": "MM", "packet": packet, "mode": draw(st.sampled_from([1, 2])), "member_type": draw(member_types),
        "r": draw(bits), "ss": draw(bits), "ui": draw(bits), "session_id": draw(words_16), "user_id": draw(words_16), "port": draw(words_16),
        "group": draw(ipv4), "period": draw(octets_8), "timeout": draw(octets_8), "key_length": draw(octets_8), "reserved": draw(octets_8),
    }  # fmt: skip
    if packet == "UIRES":
        return fields | {"ui": 1, "members": draw(st.lists(members | others, max_size=6))}
    return fields | {"options": draw(st.lists(options, max_size=4))}
