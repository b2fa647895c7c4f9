"""Hand-made messages from tests/vectors, and octets made right again after something was done to them."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

VECTORS = Path(__file__).parent.parent / "vectors"

Plain = dict[str, Any]


def read_vectors(protocol: str) -> list[dict[str, Any]]:
    """Every hand-made message of a protocol's two files, its hex without spaces."""
    rows = [
        row
        for name in (f"{protocol}.toml", f"{protocol}_more.toml")
        for row in tomllib.loads((VECTORS / name).read_text(encoding="utf-8"))["message"]
    ]
    return [{**row, "hex": "".join(row["hex"].split())} for row in rows]


def given_fields(vector: dict[str, Any]) -> Plain:
    """A vector without what it says about itself."""
    return {
        key: value for key, value in vector.items() if key not in {"name", "hex", "canonical", "malformed", "octet"}
    }


def right_checksum(message: bytes) -> bytes:
    """The message with the checksum of RFC 1071 in its third and fourth octet."""
    message = message[:2] + bytes(2) + message[4:]
    padded = message + bytes(len(message) % 2)
    total = sum(int.from_bytes(padded[at : at + 2]) for at in range(0, len(padded), 2)) % 0xFFFF
    # Any sum but that of zeros alone stays above 0 when the carries are added.
    total = total or (0xFFFF if any(padded) else 0)
    return message[:2] + (0xFFFF - total).to_bytes(2) + message[4:]


def tlv_rows(fixed: dict[int, st.SearchStrategy[bytes]], unknown: Sequence[int]) -> st.SearchStrategy[list[Any]]:
    """One TLV as [type, value in hex]: of a known type with a value of its own form, or of an unknown type."""
    known = st.sampled_from(sorted(fixed)).flatmap(lambda code: st.tuples(st.just(code), fixed[code].map(bytes.hex)))
    other = st.tuples(st.sampled_from(unknown), st.binary(max_size=24).map(bytes.hex))
    return st.one_of(known, known, other).map(list)


@st.composite
def mutated(draw: st.DrawFn, octets: bytes, repaired: Callable[[bytes], bytes]) -> bytes:
    """A message with octets replaced, flipped, put in or taken out; half of the time its sums are made right again."""
    message = bytearray(octets)
    for _ in range(draw(st.integers(1, 3))):
        if not message:
            break
        where = draw(st.integers(0, min(len(message) - 1, 60)))
        match draw(st.sampled_from(["replace", "flip", "insert", "delete", "cut"])):
            case "replace":
                message[where] = draw(st.integers(0, 255))
            case "flip":
                message[where] ^= 1 << draw(st.integers(0, 7))
            case "insert":
                message[where:where] = draw(st.binary(min_size=1, max_size=4))
            case "delete":
                del message[where]
            case _:
                del message[where:]
    return repaired(bytes(message)) if draw(st.booleans()) else bytes(message)


bits, octets_8 = st.integers(0, 1), st.sampled_from([0, 1, 255]) | st.integers(0, 255)
words_16 = st.sampled_from([0, 1, 2**16 - 1]) | st.integers(0, 2**16 - 1)
words_32 = st.sampled_from([0, 1, 2**32 - 1]) | st.integers(0, 2**32 - 1)
words_64 = st.sampled_from([0, 1, 2**64 - 1]) | st.integers(0, 2**64 - 1)
ipv4 = st.sampled_from(["0.0.0.0", "255.255.255.255", "239.1.1.1"]) | st.ip_addresses(v=4).map(str)
ipv6 = st.sampled_from(["::", "::1", "ff1e::1:1", "1:0:0:2::3"]) | st.ip_addresses(v=6).map(str)
packed_addresses = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)
