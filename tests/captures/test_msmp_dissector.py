"""What is MSMP's own: QoS values in TLVs, UDP between members and server, TCP between servers."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Raw

from captures.dissectors.message_layer import Undissected
from captures.dissectors.tlv import OtherTLV
from captures.msmp.dissector import (
    MSMP,
    CutShort,
    MSMPStream,
    bound_to_tcp,
    bound_to_udp,
    build,
    dissect,
    dissect_stream,
    problems,
)
from captures.wire.malformed import MalformedMessageError
from tests.wire.msmp_messages import vectors

OF = {vector["name"]: bytes.fromhex(vector["hex"]) for vector in vectors()}


def test_a_target_has_values() -> None:
    (target,) = MSMP(OF["a new target for the backward channel"]).tlvs
    assert (target.channel_direction, target.sprintf("%channel_direction%")) == (1, "backward")
    assert target.mss == 1400
    assert (target.throughput_chq, target.throughput_ot, target.throughput_lqa) == (64000, 32000, 16000)
    assert (target.delay_ot, target.delay_lqa, target.jitter_ot, target.jitter_lqa) == (50, 200, 10, 40)
    assert (target.loss_ot, target.loss_lqa) == (0, 300)


def test_a_measurement_has_values() -> None:
    (value,) = MSMP(OF["report"]).tlvs
    assert (value.throughput, value.delay, value.jitter, value.loss) == (240_000, 20, 5, 120)
    assert (value.throughput_status, value.delay_status, value.jitter_status, value.loss_status) == (0, 0, 0, 1)
    aggregate, _ = MSMP(OF["five members and the target"]).tlvs
    assert aggregate.members == 5
    assert [getattr(aggregate, f"members_status_{status}") for status in range(4)] == [2, 1, 1, 1]
    assert (aggregate.throughput, aggregate.delay, aggregate.jitter, aggregate.loss) == (100_000, 250, 60, 700)
    assert aggregate.sprintf("%loss_status%") == "abnormal"


def test_other_tlvs_have_values() -> None:
    (plan,) = MSMP(OF["report every second and on change"]).tlvs
    assert (plan.interval, plan.sprintf("%mode%"), plan.mask) == (10, "both", 0b1111)
    (reason,) = MSMP(OF["cannot be met"]).tlvs
    assert reason.sprintf("%reason%") == "cannot be met"
    members = MSMP(OF["two members"]).tlvs
    assert [(member.user_id, member.sprintf("%state%")) for member in members] == [(1, "registered"), (2, "enrolled")]


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("10", "1 octets are shorter than the header of 12"),
        ("20 07 000c 0005 0002 000003eb", "octet 0: version 2 is not 1"),
        ("10 1f 000c 0005 0002 000003eb", "octet 1: type 31 is not one of 1 to 10 and 32 to 37"),
        ("10 07 0010 0005 0002 000003eb", "octet 2: Length is 16, the message has 12 octets"),
        ("10 06 0011 0005 0002 000003ea 04000005 00", "octet 12: reason has a value of 1 octets, not 2"),
        ("10 06 0012 0005 0002 000003ea 04000008 0000", "octet 12: TLV of 8 octets overruns the message by 2"),
    ],
)
def test_what_is_wrong_is_said(octets: str, reason: str) -> None:
    data = bytes.fromhex(octets)
    assert problems(MSMP(data)) == [reason]
    with pytest.raises(MalformedMessageError, match=reason):
        dissect(data)


def test_a_malformed_message_is_dissected_as_far_as_it_goes() -> None:
    layer = MSMP(bytes.fromhex("10 28 0099 0005 0002 000003ea 04000006 0004 04000005 00 0400ffff"))
    assert (layer.session_id, layer.tlvs[0].reason) == (5, 4)
    assert isinstance(layer.tlvs[1], OtherTLV)
    assert isinstance(layer.tlvs[2], Undissected)
    assert [problem.split(":")[0] for problem in problems(layer)] == ["octet 1", "octet 2", "octet 18", "octet 23"]
    assert isinstance(MSMP(bytes(11)), CutShort)


def test_udp_is_bound_only_inside_the_context() -> None:
    packet = bytes(IP(dst="10.0.0.1") / UDP(sport=24792, dport=1) / OF["terminated"])
    with bound_to_udp():
        assert IP(packet)[MSMP].transaction_id == 1002
    assert Raw in IP(packet)


def test_servers_put_a_length_of_four_octets_before_each_message() -> None:
    first, second = OF["a session has changed"], OF["a member is active"]
    segment = b"\0\0\0\x0c" + first + b"\0\0\0\x14" + second
    assert dissect_stream(segment + b"\0\0\0") == ([dissect(first), dissect(second)], b"\0\0\0")
    with bound_to_tcp():
        stream = IP(bytes(IP(dst="10.0.0.1") / TCP(sport=24792) / segment))[MSMPStream]
    assert [message.type for message in stream.messages] == [32, 34]
    assert problems(stream) == []
    assert bytes(MSMPStream(messages=[MSMP(first), MSMP(second)])) == segment


def test_a_length_that_no_message_has_ends_the_reading() -> None:
    segment = b"\0\0\0\x0c" + OF["a session has changed"] + b"\0\x01\0\0"
    assert problems(MSMPStream(segment)) == ["octet 16: length 65536 is not in 0 to 65535"]
    with pytest.raises(MalformedMessageError, match="octet 16: length 65536"):
        dissect_stream(segment)
    other_lengths = b"\0\0\0\x0d" + OF["a session has changed"] + b"\0"
    assert problems(MSMPStream(other_lengths)) == [
        "message 1 at octet 4: octet 2: Length is 12, the message has 13 octets",
        "message 1 at octet 4: octet 12: 1 octets left, a TLV header has 4",
    ]


def test_what_is_left_out_is_zero() -> None:
    assert dissect(build({"packet": "SLREQ", "session_id": 1})) == {
        "packet": "SLREQ", "session_id": 1, "user_id": 0, "transaction_id": 0, "tlvs": [],
    }  # fmt: skip
