"""Messages come out of a stream whole, wherever it was cut; what cannot be a message ends it, once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.errors import DecodeError
from agents.core.framing import Framer

HEADER, MAXIMUM = 3, 20
bodies = st.lists(st.binary(max_size=MAXIMUM - HEADER), max_size=6)


def length_in(header: bytes) -> int:
    """A type octet, which must not be 0xff, and the length of the whole message in 16 bits."""
    if header[0] == 0xFF:
        raise DecodeError("unknown-type", "type 255")
    return int.from_bytes(header[1:])


def framer() -> Framer:
    return Framer(HEADER, length_in, MAXIMUM)


def message(body: bytes) -> bytes:
    return b"\x01" + (HEADER + len(body)).to_bytes(2) + body


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[begin:end] for begin, end in pairwise(edges)]


@given(bodies, st.lists(st.integers(0, 1000), max_size=200))
def test_messages_are_whole_wherever_the_stream_is_cut(written: list[bytes], cuts: list[int]) -> None:
    sent = [message(body) for body in written]
    under_test = framer()
    found: list[bytes] = []
    seen = 0
    for piece in pieces(b"".join(sent), cuts):
        found += under_test.feed(piece)
        seen += len(piece)
        assert under_test.pending == seen - sum(map(len, found)) <= MAXIMUM
    assert found == sent
    assert under_test.pending == 0


@given(bodies)
def test_every_octet_may_come_alone(written: list[bytes]) -> None:
    sent = [message(body) for body in written]
    under_test = framer()
    assert [whole for octet in b"".join(sent) for whole in under_test.feed(bytes([octet]))] == sent


@given(bodies, st.binary(min_size=1, max_size=60), st.lists(st.integers(0, 1000), max_size=50))
def test_whatever_comes_is_cut_as_if_it_had_come_at_once_or_refused_once(
    written: list[bytes], noise: bytes, cuts: list[int]
) -> None:
    def taken(parts: Sequence[bytes]) -> tuple[list[bytes], list[str]]:
        under_test, found, reasons = framer(), list[bytes](), list[str]()
        for part in parts:
            try:
                for each in under_test.feed(part):
                    assert HEADER <= len(each) == length_in(each[:HEADER]) <= MAXIMUM
                    found.append(each)
            except DecodeError as error:
                reasons.append(error.reason)
            assert under_test.pending <= MAXIMUM
        return found, reasons

    data = b"".join(map(message, written)) + noise
    found, reasons = taken([data])
    assert len(reasons) <= 1
    assert taken(pieces(data, cuts)) == (found, reasons)
    assert found[: len(written)] == [message(body) for body in written]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"\x01\x00\x02", "frame-length: a message of 2 octets; 3 to 20 may be"),
        (b"\x01\x00\x15", "frame-length: a message of 21 octets; 3 to 20 may be"),
        (b"\x01\xff\xff", "frame-length: a message of 65535 octets"),
        (b"\xff\x00\x03", "unknown-type: type 255"),
    ],
)
def test_length_that_cannot_be_is_refused_after_what_was_whole_and_once(header: bytes, reason: str) -> None:
    under_test = framer()
    whole = under_test.feed(message(b"good") + header + b"more" + message(b"lost"))
    assert next(whole) == message(b"good")
    with pytest.raises(DecodeError, match=f"^{reason}"):
        next(whole)
    assert list(under_test.feed(message(b"later"))) == []
    assert under_test.pending == 0


def test_what_is_not_taken_comes_next_time() -> None:
    under_test = framer()
    assert next(under_test.feed(message(b"1") + message(b"2") + b"\x01")) == message(b"1")
    assert under_test.pending == len(message(b"2")) + 1
    assert list(under_test.feed(b"\x00\x03")) == [message(b"2"), message(b"")]
