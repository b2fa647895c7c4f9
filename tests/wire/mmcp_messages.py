"""MMCP messages for the wire tests: hand-made ones from files, and hypothesis strategies, all as plain values.

The plain form is that of both command lines: {"packet", "session_id", "f", "profile", "params"}.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.wire.vector_files import read_vectors

FIELDS = ("packet", "session_id", "f", "profile", "params")

PACKETS = ("SJR", "SJC", "LJR", "LJC", "ULR", "ULC", "USR", "ASR", "USP", "HIR", "HCT", "HTA", "HIC")
WITH_FLAG = frozenset({"SJC", "LJC", "ULC", "HTA", "HIC"})
PROFILES = ("L16", "L8")

Plain = dict[str, Any]


def vectors() -> list[dict[str, Any]]:
    """Every hand-made message of both files, its hex without spaces."""
    return read_vectors("mmcp")


def fields_of(vector: dict[str, Any]) -> Plain:
    """What a decoder must say of a well-formed vector."""
    return {name: vector[name] for name in FIELDS}


words = st.one_of(st.sampled_from([0, 1, 2**31, 2**32 - 1]), st.integers(0, 2**32 - 1))
ports = st.one_of(st.sampled_from([0, 1, 24793, 65535]), st.integers(0, 65535))
identifiers = st.one_of(
    st.sampled_from([b"\0", b"\x01", b"mn1", b"\xff" * 253]), st.binary(min_size=1, max_size=253)
).map(bytes.hex)
extreme_addresses = st.sampled_from(
    ["0.0.0.0", "255.255.255.255", "239.1.1.1", "::", "::1", "ff1e::1:1", "f" * 4 + ":ffff" * 7, "1::8", "1:0:0:2::3"]
)
addresses = st.one_of(extreme_addresses, st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))

mn_ids = identifiers.map(lambda value: ["mn_id", value])
poa_ids = identifiers.map(lambda value: ["poa_id", value])
groups = st.tuples(st.just("multicast"), addresses, ports).map(list)
lmcs = st.tuples(st.just("lmc"), addresses, ports).map(list)
statuses = st.tuples(st.just("status"), words, words).map(list)
memberships = words.map(lambda value: ["membership", value])


def unknown_parameters(profile: str) -> st.SearchStrategy[list[Any]]:
    """Parameters of types 0 and 7 to 255, whole, as ["raw", hex]."""
    codes = st.one_of(st.just(0), st.integers(7, 255))
    values = st.binary(max_size=24)

    def whole(code: int, value: bytes) -> list[Any]:
        length = (4 + len(value)).to_bytes(3, "big") if profile == "L16" else bytes([2 + len(value)])
        return ["raw", (bytes([code]) + length + value).hex()]

    return st.builds(whole, codes, values)


def _ordinary(packet: str, f: int) -> list[st.SearchStrategy[list[list[Any]]]]:
    """The parameters of a packet in the order of the standard's tables, each as none, one or several."""

    def one(kind: st.SearchStrategy[list[Any]]) -> st.SearchStrategy[list[list[Any]]]:
        return kind.map(lambda item: [item])

    def maybe(kind: st.SearchStrategy[list[Any]]) -> st.SearchStrategy[list[list[Any]]]:
        return st.lists(kind, max_size=1)

    reported = st.lists(st.tuples(mn_ids, maybe(statuses)), max_size=4).map(
        lambda rows: [item for mn, status in rows for item in (mn, *status)]
    )
    return {
        "SJR": [one(mn_ids), maybe(poa_ids), maybe(lmcs)],
        "SJC": [one(groups), maybe(lmcs)] if f else [],
        "LJR": [one(mn_ids)],
        "ULR": [one(mn_ids)],
        "USR": [one(mn_ids), maybe(statuses)],
        "ASR": [one(memberships), reported],
        "HIR": [one(mn_ids), one(poa_ids)],
        "HCT": [one(mn_ids), one(groups)],
        "HIC": [one(lmcs)] if f else [],
    }.get(packet, [])


@st.composite
def messages(draw: st.DrawFn, packet: str, profile: str) -> Plain:
    """Well-formed messages of one type and profile: usual ones, with unknown parameters anywhere, in any order."""
    f = draw(st.integers(0, 1)) if packet in WITH_FLAG else 0
    params = [item for part in _ordinary(packet, f) for item in draw(part)]
    params += draw(st.lists(unknown_parameters(profile), max_size=2))
    if draw(st.booleans()):
        params = draw(st.permutations(params))
    # Nothing tells the profile of a bare header: it is read as L16.
    return {
        "packet": packet,
        "session_id": draw(words),
        "f": f,
        "profile": profile if params else "L16",
        "params": list(params),
    }


any_message = st.tuples(st.sampled_from(PACKETS), st.sampled_from(PROFILES)).flatmap(lambda pair: messages(*pair))
