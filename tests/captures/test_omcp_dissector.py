"""What is OMCP's own: addresses of both families in TLVs, and TCP alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP
from scapy.packet import Packet, Raw

from captures.dissectors.message_layer import Undissected
from captures.dissectors.tlv import OtherTLV
from captures.omcp.dissector import (
    OMCP,
    CutShort,
    OMCPStream,
    bound_to_tcp,
    build,
    dissect,
    dissect_stream,
    problems,
)
from captures.omcp.dissector_tlvs import Member, Parent
from captures.wire.malformed import MalformedMessageError
from tests.wire.omcp_messages import node_ids, vectors

OF = {vector["name"]: bytes.fromhex(vector["hex"]) for vector in vectors()}


def first_tlv(code: int, value: bytes) -> Packet:
    """The layer of one TLV in a message."""
    fields = {"packet": "Status Confirm", "session_id": 1, "tlvs": [[code, value.hex()]]}
    (layer,) = OMCP(build(fields)).tlvs
    assert isinstance(layer, Packet)
    return layer


def test_a_join_has_values() -> None:
    layer = OMCP(OF["join again, the IPv4 parent has failed"])
    node, control, types, subnet, parent = layer.tlvs
    assert str(layer.flags) == "RELAY+REJOIN"
    assert node.node_id == b"r1"
    assert (control.port, control.address) == (24794, "2001:db8:2::3")
    assert str(types.types) == "unicast+IP-in-IP"
    assert (subnet.prefix_length, subnet.multicast_enabled, subnet.address) == (64, 1, "2001:db8:2::")
    assert (parent.port, parent.address, parent.node_id) == (24794, "10.0.0.2", b"x")


def test_an_assignment_has_values() -> None:
    parent, admission = OMCP(OF["IPv6 parent assigned, with admission"]).tlvs
    assert (parent.port, parent.address, parent.node_id) == (24794, "2001:db8:1::2", b"sender")
    assert (admission.expiry, admission.mac) == (1_700_000_000, bytes(range(16)))
    (reason,) = OMCP(OF["refused: closing"]).tlvs
    assert reason.sprintf("%reason%") == "closing"


def test_a_channel_has_values() -> None:
    channel, interval = OMCP(OF["unicast over IPv6 granted"]).tlvs
    assert (channel.sprintf("%channel_type%"), channel.port, channel.address) == ("unicast", 5004, "2001:db8:2::3")
    assert interval.milliseconds == 2000


def test_a_report_has_values() -> None:
    _, qos, membership, member = OMCP(OF["report of a relay agent"]).tlvs
    assert (qos.packets, qos.octets, qos.throughput, qos.elapsed) == (1000, 1_400_000, 140_000, 10)
    assert (membership.receivers, membership.relay_agents) == (3, 1)
    assert (member.node_id, member.packets, member.throughput, member.excess) == (b"r1", 992, 139_264, b"")


IPV6_TAIL = bytes.fromhex("000100000000000000000002")


@pytest.mark.parametrize(
    ("rest", "address", "node_id"),
    [
        (bytes(4) + b"a", "0.0.0.0", b"a"),  # too short for IPv6
        (bytes(4) + b"a" * 12, "0.0.0.0", b"a" * 12),
        (bytes(4) + b"a" * 13, "0.0.0.0", b"a" * 13),  # from here on both would fit
        (bytes(4) + b"a" * 64, "0.0.0.0", b"a" * 64),
        (bytes.fromhex("20010db8") + IPV6_TAIL + b"a", "2001:db8:1::2", b"a"),
        (bytes.fromhex("20010db8") + IPV6_TAIL + b"a" * 52, "2001:db8:1::2", b"a" * 52),
        (bytes.fromhex("20010db8") + IPV6_TAIL + b"a" * 53, "2001:db8:1::2", b"a" * 53),  # too long for IPv4
        (bytes.fromhex("20010db8") + b"a" * 76, "2001:db8:6161:6161:6161:6161:6161:6161", b"a" * 64),
        (bytes.fromhex("fd000000") + b"\xff" * 12 + "é".encode(), "fd00:0:ffff:ffff:ffff:ffff:ffff:ffff", "é".encode()),
    ],
)
def test_a_parent_s_address_is_told_from_its_node_id(rest: bytes, address: str, node_id: bytes) -> None:
    parent = first_tlv(5, b"\x60\xda" + rest)
    assert (type(parent), parent.port, parent.address, parent.node_id) == (
        Parent, 24794, address, node_id,
    )  # fmt: skip


@given(st.ip_addresses().filter(lambda address: b"\0" in address.packed[4:] or address.version == 4), node_ids)
def test_any_parent_with_a_printable_name_is_read_back(address: object, node_id: bytes) -> None:
    parent = Parent(type=5, port=1, address=str(address), node_id=node_id)
    if node_id.decode().isprintable():
        read = first_tlv(5, bytes(parent)[4:])
        assert (read.address, read.node_id) == (str(address), node_id)


def test_a_member_that_counts_wrong_is_shown_as_far_as_it_goes() -> None:
    short = first_tlv(12, b"\x01ab" + bytes(7) + b"\x05" + bytes(3) + b"\x07")
    assert (type(short), short.node_id, len(short.excess)) == (Member, b"a", 1)
    long = first_tlv(12, b"\xffab" + bytes(7) + b"\x05" + bytes(3) + b"\x07")
    assert (long.node_id, long.packets, long.throughput) == (b"ab", 5, 7)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("1006", "2 octets are shorter than the header of 16"),
        ("20 06 00 00 00000010 0000000000000001", "octet 0: version 2 is not 1"),
        ("10 07 00 00 00000010 0000000000000001", "octet 1: type 7 is not one of 1 to 6"),
        ("10 06 00 00 00010000 0000000000000001", "octet 4: Length is 65536, the message has 16 octets"),
        ("10 06 00 00 00010001 0000000000000001", "octet 4: Length 65537 exceeds 65536"),
        ("10 06 00 00 00000014 0000000000000001 01000004", "octet 16: Node ID has a value of 0 octets, not 1 to 64"),
        (
            "10 06 00 00 00000015 0000000000000001 02000005 01",
            "octet 16: control address has a value of 1 octets, not 6 or 18",
        ),
        ("10 06 00 00 0000001a 0000000000000001 0400000a 2100 0a000000", "octet 20: prefix length 33 exceeds 32"),
        (
            "10 06 00 00 0000001b 0000000000000001 0500000b 60da 0a000000 ff",
            "octet 20: Node ID that is no UTF-8, Node ID of 0 octets behind an address of 16",
        ),
        (
            "10 06 00 00 00000023 0000000000000001 0c000013 03 7231 0000000000000000 00000000",
            "octet 20: Node ID of 3 octets where there is room for 2",
        ),
    ],
)
def test_what_is_wrong_is_said(octets: str, reason: str) -> None:
    data = bytes.fromhex(octets)
    assert problems(OMCP(data)) == [reason]
    with pytest.raises(MalformedMessageError, match=reason):
        dissect(data)


def test_a_message_of_64_kib_is_read_and_one_octet_more_is_refused() -> None:
    longest = {
        "packet": "Status Report", "session_id": "1", "flags": 0, "tlvs": [[99, "00" * 65500], [99, "00" * 12]],
    }  # fmt: skip
    octets = build(longest)
    assert len(octets) == 65536
    assert dissect(octets) == longest
    longest["tlvs"] = [[99, "00" * 65500], [99, "00" * 13]]
    with pytest.raises(MalformedMessageError, match="octet 4: Length 65537 exceeds 65536"):
        dissect(build(longest))


def test_a_malformed_message_is_dissected_as_far_as_it_goes() -> None:
    layer = OMCP(bytes.fromhex("10 09 04 00 00000099 0000000000000001 01000005 78 02000005 00 0300ffff"))
    assert (layer.session_id, layer.tlvs[0].node_id) == (1, b"x")
    assert isinstance(layer.tlvs[1], OtherTLV)
    assert isinstance(layer.tlvs[2], Undissected)
    assert [problem.split(":")[0] for problem in problems(layer)] == ["octet 1", "octet 4", "octet 21", "octet 26"]
    assert isinstance(OMCP(bytes(15)), CutShort)


def test_several_messages_in_one_segment_are_all_read() -> None:
    first, second = OF["last report"], OF["leave"]
    assert dissect_stream(first + second + first[:9]) == ([dissect(first), dissect(second)], first[:9])
    segment = bytes(IP(dst="10.0.0.1") / TCP(dport=24794) / (first + second))
    with bound_to_tcp():
        stream = IP(segment)[OMCPStream]
    assert [message.type for message in stream.messages] == [5, 3]
    assert problems(stream) == []
    assert bytes(OMCPStream(messages=[OMCP(first), OMCP(second)])) == first + second
    assert Raw in IP(segment)


@pytest.mark.parametrize("length", ["0000000f", "00010001", "00000000"])
def test_a_length_that_no_message_has_ends_the_reading(length: str) -> None:
    segment = OF["last report"] + bytes.fromhex("10060000" + length)
    assert problems(OMCPStream(segment)) == [f"octet 26: length {int(length, 16)} is not in 16 to 65536"]
    with pytest.raises(MalformedMessageError, match="octet 26: length"):
        dissect_stream(segment)
