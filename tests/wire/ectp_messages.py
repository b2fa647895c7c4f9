"""ECTP packets for tests: hand-made ones from files, and hypothesis strategies, all as plain values."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.wire.vector_files import (
    Plain,
    bits,
    given_fields,
    ipv4,
    ipv6,
    octets_8,
    read_vectors,
    right_checksum,
    words_16,
    words_32,
    words_64,
)

PACKETS = (
    "CR", "CC", "TJ", "TC", "DT", "ND", "RD", "ACK", "HB", "HBACK", "JR", "JC", "UL", "CT", "TGR", "TGC", "TRR", "TRC",
)  # fmt: skip
WITH_DATA = frozenset({"DT", "RD"})

Element = list[Any]
Elements = st.SearchStrategy[list[Element]]


def vectors() -> list[dict[str, Any]]:
    """Every hand-made packet."""
    return read_vectors("ectp")


def fields_of(vector: dict[str, Any]) -> Plain:
    """What a decoder must say of a well-formed vector."""
    return {"data": ""} | given_fields(vector)


def repaired(octets: bytes) -> bytes:
    """With a Payload length and a checksum that fit."""
    if len(octets) < 16:
        return octets
    return right_checksum(octets[:12] + (len(octets) - 16).to_bytes(2) + octets[14:])


def _values(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[Plain]:
    return st.fixed_dictionaries(values)


quarters = st.integers(0, 3)
pairs = st.lists(words_16, min_size=2, max_size=2)
connections = _values(tco=quarters, ro=quarters, agn=octets_8, mss=words_16).map(lambda values: ["connection", values])
acks = _values(
    status=st.lists(quarters, min_size=4, max_size=4), bitmap=st.text("01", max_size=100), adn=words_32, lsn=words_32
).map(lambda values: ["ack", values])
memberships = _values(level=octets_8, child_id=words_16).map(lambda values: ["membership", values])
timestamps = _values(timestamp=words_64).map(lambda values: ["timestamp", values])
targets = _values(
    direction=st.integers(0, 15), mss=words_16, throughput=st.lists(words_32, min_size=3, max_size=3), delay=pairs,
    jitter=pairs, loss=pairs,
).map(lambda values: ["qos", values])  # fmt: skip
addresses = _values(port=words_16, address=ipv4 | ipv6).map(lambda values: ["address", values])


def _one(kind: st.SearchStrategy[Element]) -> Elements:
    return kind.map(lambda element: [element])


def _some(kind: st.SearchStrategy[Element], most: int) -> Elements:
    return st.lists(kind, max_size=most)


def _elements(packet: str, f: int) -> list[Elements]:
    """The elements of a packet in the order of its grammar, each as none, one or several."""
    return {
        "CR": [_one(connections), _some(targets, 2)],
        "CC": [_some(targets, 2)],
        "TC": [_one(memberships), _some(addresses, 1)] if f else [],
        "ACK": [_one(acks)],
        "HB": [_one(memberships), _one(timestamps), _some(targets, 2)],
        "HBACK": [_one(memberships), _one(timestamps), _some(acks, 1)],
        "JC": [_one(connections), _some(addresses, 1), _some(targets, 2)] if f else [],
        "TGR": [_one(connections)],
    }.get(packet, [])


@st.composite
def messages(draw: st.DrawFn, packet: str) -> Plain:
    """Well-formed packets of one type."""
    f = draw(bits)
    return {
        "packet": packet, "connection_id": draw(words_32), "psn": draw(words_32), "f": f, "n": draw(bits), "qos": draw(bits),
        "token_id": draw(octets_8), "elements": [element for part in _elements(packet, f) for element in draw(part)],
        "data": draw(st.binary(max_size=40)).hex() if packet in WITH_DATA else "",
    }  # fmt: skip
