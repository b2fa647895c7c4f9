"""The agents' codec and the judge's layers against each other, over messages that neither of them has made up."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scapy.config import conf

from agents.core.errors import DecodeError
from agents.mmcp.messages import Message, decode, encode
from agents.mmcp.plain import from_plain, to_plain
from captures.mmcp import dissector as judge
from captures.wire.malformed import MalformedMessageError
from tests.wire.mmcp_messages import PACKETS, PROFILES, Plain, any_message, messages, vectors

conf.debug_dissector = True  # scapy would swallow errors of the layers


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("packet", PACKETS)
def test_both_write_and_read_the_same(packet: str, profile: str) -> None:
    @settings(max_examples=40)
    @given(messages(packet, profile))
    def agree(fields: Plain) -> None:
        octets = encode(from_plain(fields))
        assert octets == judge.build(fields)
        assert to_plain(decode(octets)) == judge.dissect(octets) == fields

    agree()


def reads(data: bytes) -> Plain | None:
    """What both say of ``data``: a message, or None when they refuse it. Whatever else they do is a failure."""
    try:
        ours: Plain | None = to_plain(decode(data))
    except DecodeError as error:
        assert error.reason
        assert error.detail
        ours = None
    try:
        theirs: Plain | None = judge.dissect(data)
    except MalformedMessageError:
        theirs = None
    assert ours == theirs
    return ours


@given(st.binary(max_size=64))
@settings(max_examples=200)
def test_arbitrary_octets(data: bytes) -> None:
    reads(data)


@st.composite
def nearly_messages(draw: st.DrawFn) -> bytes:
    """A header that fits, and parameters whose headers are plausible and sometimes wrong."""
    body = b""
    profile = draw(st.sampled_from(PROFILES))
    for _ in range(draw(st.integers(0, 4))):
        code = draw(st.integers(0, 8))
        value = draw(st.one_of(st.binary(max_size=24), st.sampled_from([4, 6, 8, 10, 18]).map(bytes)))
        length = max(0, len(value) + (4 if profile == "L16" else 2) + draw(st.sampled_from([0] * 12 + [-1, 1, -4, 4])))
        reserved = draw(st.sampled_from([0] * 9 + [1, 2, 255]))
        head = bytes([code, reserved, *length.to_bytes(2, "big")]) if profile == "L16" else bytes([code, length % 256])
        body += head + value
    header = bytes([draw(st.integers(0, 14)), draw(st.sampled_from([0, 1, 0xFE, 0xFF]))])
    return header + (8 + len(body)).to_bytes(2, "big") + draw(st.binary(min_size=4, max_size=4)) + body


@given(nearly_messages())
@settings(max_examples=400)
def test_plausible_parameters(data: bytes) -> None:
    reads(data)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    octets = bytearray(encode(from_plain(draw(any_message))))
    for _ in range(draw(st.integers(1, 3))):
        where = draw(st.integers(0, min(len(octets) - 1, 40)))
        match draw(st.sampled_from(["replace", "flip", "insert", "delete"])):
            case "replace":
                octets[where] = draw(st.integers(0, 255))
            case "flip":
                octets[where] ^= 1 << draw(st.integers(0, 7))
            case "insert":
                octets[where:where] = draw(st.binary(min_size=1, max_size=2))
            case _:
                del octets[where]
        if not octets:
            break
    if len(octets) >= 4 and draw(st.booleans()):
        octets[2:4] = len(octets).to_bytes(2, "big")  # so that the parameters are looked at too
    return bytes(octets)


@given(mutated())
@settings(max_examples=400)
def test_mutated_messages(data: bytes) -> None:
    reads(data)


@pytest.mark.parametrize("repair", [False, True], ids=["Payload Length as it was", "Payload Length repaired"])
def test_every_truncation_of_every_vector(repair: bool) -> None:
    whole = [bytes.fromhex(row["hex"]) for row in vectors() if not row.get("malformed")]
    cuts = {octets[:size] for octets in whole for size in range(len(octets))}
    if repair:
        cuts = {cut[:2] + len(cut).to_bytes(2, "big") + cut[4:] for cut in cuts if len(cut) >= 8}
    answers = [reads(cut) for cut in sorted(cuts)]
    assert any(answers) is repair
    assert not all(answers)


@given(any_message)
@settings(max_examples=100)
@example({"packet": "USP", "session_id": 0, "f": 0, "profile": "L16", "params": []})
def test_what_is_read_is_written_again(fields: Plain) -> None:
    octets = judge.build(fields)
    message = decode(octets)
    assert isinstance(message, Message)
    assert encode(message) == octets
    assert from_plain(to_plain(message)) == message
