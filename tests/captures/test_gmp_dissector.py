"""What is GMP's own: two modules told apart by ports, options in words and in TLVs, messages over TCP."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Raw

from captures.dissectors.message_layer import Undissected
from captures.dissectors.tlv import OtherTLV
from captures.gmp.dissector import (
    GMPMM,
    GMPSM,
    CutShort,
    GMPMMStream,
    GMPSMStream,
    bound_to_tcp,
    bound_to_udp,
    build,
    dissect,
    dissect_stream,
    problems,
)
from captures.gmp.dissector_options import REJECT_REASONS
from captures.wire.malformed import MalformedMessageError
from tests.wire.gmp_messages import vectors
from tests.wire.vector_files import right_checksum

OF = {vector["name"]: bytes.fromhex(vector["hex"]) for module in ("SM", "MM") for vector in vectors(module)}


def sm(options: str, packet: str = "1007") -> bytes:
    """A session management message, SCCON if nothing else is said, around its options."""
    return right_checksum(bytes.fromhex(packet + "0000 0005 0001 00000000 00000000" + options))


def test_options_have_names_and_values() -> None:
    name, content, owner, start, end, media, core, _, keep_alive, invited = GMPSM(
        OF["description with every option"]
    ).options
    assert [option.text for option in (name, content, owner, media, core, invited)] == [
        b"q", "é".encode(), b"al", b"v=0\r\n", b"a", b"bob",
    ]  # fmt: skip
    assert (start.seconds, end.seconds - start.seconds) == (1_700_000_000, 3600)
    assert (keep_alive.period, keep_alive.timeout) == (10, 30)
    assert name.sprintf("%type%") == "name and purpose"
    key, generation = GMPSM(OF["enrolled in a secure session"]).options
    assert (key.octets[:2].hex(), len(key.octets), generation.generation) == ("0001", 24, 1)
    (refusal,) = GMPSM(OF["refused: not authorised"]).options
    assert REJECT_REASONS[refusal.reason] == "not authorised"


def test_words_have_values() -> None:
    (port,) = GMPSM(OF["activate, MM port 40000"]).options
    assert port.mm_port == 40000
    members = GMPMM(OF["three are active"]).options
    assert [(member.user_id, member.sprintf("%member_type%")) for member in members] == [
        (1, "creator"), (2, "core member"), (7, "participant"),
    ]  # fmt: skip


def test_options_settled_later_have_values() -> None:  # G-15, G-25, G-29
    (port,) = GMPSM(OF["enrol in a secure session"]).options
    assert port.mm_port == 40000
    _, counter = GMPSM(OF["enrolled, the key's stream has wrapped three times"]).options
    assert counter.counter == 3
    condition = GMPSM(OF["may start when core members are enrolled"]).options[-1]
    assert condition.sprintf("%condition%") == "core members enrolled"
    assert REJECT_REASONS[8] == "description malformed"


def test_the_same_octets_mean_something_else_in_each_module() -> None:  # G-3
    octets = OF["the creator ends the session"]
    assert dissect(octets, "MM")["packet"] == "TRREQ"
    assert "octet 1: SM type 96" in problems(GMPSM(octets))[0]
    with pytest.raises(KeyError):
        dissect(octets, "XM")


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("1001", "2 octets are shorter than the header of 16"),
        (sm("", "2001").hex(), "octet 0: version 2 is not 1"),
        ("1001 effd 0000 0000 00000000 00000000", "octet 2: Checksum is 0xeffd, the octets give 0xeffe"),
        (sm("11 00 0007 00").hex(), "octet 16: TLV of 7 octets overruns the message by 2"),
        (sm("11 00 0003").hex(), "octet 16: TLV Length 3 is below its minimum of 4"),
        (sm("110000").hex(), "octet 16: 3 octets left, a TLV header has 4"),
        (sm("11000006 0001").hex(), "octet 22: 2 octets of padding are missing"),
        (sm("08000006 0a1e 0000").hex(), "octet 16: keep-alive has a value of 2 octets, not 4"),
        (sm("03000005 80 000000").hex(), "octet 20: text is no UTF-8"),
        (sm("0000", "100e").hex(), "octet 16: the option of SAREQ is 2 octets, not one word"),
    ],
)
def test_what_is_wrong_is_said(octets: str, reason: str) -> None:
    data = bytes.fromhex(octets)
    assert problems(GMPSM(data)) == [reason]
    with pytest.raises(MalformedMessageError, match=reason):
        dissect(data)


def test_a_malformed_message_is_dissected_as_far_as_it_goes() -> None:
    layer = GMPSM(sm("01000005 71 000000 04000006 0000 0000 11000009 ff", "2306"))
    assert (layer.version, layer.m, layer.i, layer.session_id) == (2, 1, 1, 5)
    assert layer.options[0].text == b"q"
    assert isinstance(layer.options[1], OtherTLV)
    assert (type(layer.options[2]), layer.options[2].load.hex()) == (Undissected, "11000009ff")
    assert [problem.split(":")[0] for problem in problems(layer)] == ["octet 0", "octet 24", "octet 32"]
    assert isinstance(GMPMM(bytes(15)), CutShort)


def test_a_checksum_of_all_ones_serves_where_none_is_computed() -> None:  # RFC 1071, G-5
    octets = bytes.fromhex("1004 0000 effb 0000 00000000 00000000")
    assert dissect(octets) == dissect(octets[:2] + b"\xff\xff" + octets[4:])


def test_udp_is_bound_only_inside_the_context() -> None:
    to_sm = bytes(IP(dst="10.0.0.1") / UDP(sport=1, dport=16513) / OF["ask for an open session"])
    from_mm = bytes(IP(dst="10.0.0.1") / UDP(sport=16514, dport=40000) / OF["keep-alive request"])
    with bound_to_udp():
        assert IP(to_sm)[GMPSM].type == 1
        assert IP(from_mm)[GMPMM].type == 1
    assert Raw in IP(to_sm)
    assert Raw in IP(from_mm)


def test_tcp_puts_a_length_of_two_octets_before_each_message() -> None:  # G-2
    first, second = OF["ask for an open session"], OF["description"]
    segment = b"\x00\x10" + first + bytes([0, len(second)]) + second + b"\x00\x10\x10"
    messages, rest = dissect_stream(segment)
    assert messages == [dissect(first), dissect(second)]
    assert rest == b"\x00\x10\x10"
    with bound_to_tcp():
        stream = IP(bytes(IP(dst="10.0.0.1") / TCP(dport=16513) / segment))[GMPSMStream]
    assert [message.type for message in stream.messages] == [1, 6]
    assert stream.rest == rest
    assert problems(stream) == []
    mm = GMPMMStream(messages=[GMPMM(OF["leave"])])
    assert bytes(mm) == b"\x00\x10" + OF["leave"]
    assert dissect_stream(bytes(mm), "MM") == ([dissect(OF["leave"], "MM")], b"")


def test_a_malformed_message_on_a_stream_is_named_and_the_next_one_is_found() -> None:
    segment = bytes.fromhex("0010") + OF["bad checksum"] + bytes.fromhex("0000 0010") + OF["deleted"]
    stream = GMPSMStream(segment)
    assert stream.messages[2].type == 5
    assert problems(stream) == [
        "message 1 at octet 2: octet 2: Checksum is 0xeff6, the octets give 0xeff7",
        "message 2 at octet 20: 0 octets are shorter than the header of 16",
    ]
    with pytest.raises(MalformedMessageError, match="message 1 at octet 2: octet 2: Checksum"):
        dissect_stream(segment)


def test_what_is_left_out_is_zero() -> None:
    assert build({"module": "SM", "packet": "SCREQ"}) == OF["ask for an open session"]
    with pytest.raises(KeyError):
        build({"module": "MM", "packet": "SCREQ"})
