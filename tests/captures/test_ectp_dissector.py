"""What is ECTP's own: a chain of elements, data packets, no port of its own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

from captures.dissectors.message_layer import Undissected
from captures.ectp.dissector import ECTP, CutShort, bound_to_udp, build, dissect, problems
from captures.ectp.dissector_elements import Address, Connection, Membership, QoS, Timestamp
from captures.wire.malformed import MalformedMessageError
from tests.wire.ectp_messages import acks, addresses, connections, memberships, repaired, targets, timestamps, vectors

OF = {vector["name"]: bytes.fromhex(vector["hex"]) for vector in vectors()}


def packet(octets: str) -> bytes:
    """A packet of hex whose Payload length and Checksum are made to fit."""
    return repaired(bytes.fromhex(octets))


def test_elements_have_values() -> None:
    membership, timestamp, forward, backward = ECTP(OF["heartbeat with the targets agreed"]).elements
    assert (membership.level, membership.child_id) == (0, 2)
    assert timestamp.timestamp == 1_700_000_000_000_000_000
    assert (forward.channel_direction, backward.sprintf("%channel_direction%")) == (0, "backward")
    assert (forward.throughput_chq, forward.throughput_ot, forward.throughput_lqa) == (500_000, 250_000, 125_000)
    assert (backward.delay_ot, backward.delay_lqa, backward.jitter_ot, backward.jitter_lqa) == (50, 200, 10, 40)
    assert (backward.loss_ot, backward.loss_lqa, backward.mss) == (0, 300, 1400)
    (ack,) = ECTP(OF["ack: 15 and 18 lost"]).elements
    assert [ack.throughput_status, ack.delay_status, ack.jitter_status, ack.loss_status] == [0, 1, 2, 3]
    assert (ack.adn, ack.lsn, ack.bitmap_bits, ack.bitmap.hex()) == (4, 15, 8, "6f000000")
    connection, address = ECTP(OF["late join confirm, IPv6 parent"]).elements
    assert (connection.sprintf("%ro%"), connection.agn, connection.mss) == ("reliable", 8, 1400)
    assert (address.port, address.address) == (5006, "2001:db8:1::2")


def test_a_chain_is_written_from_what_is_in_it() -> None:
    layer = ECTP(type=12, elements=[Connection(), Address(address="::1"), QoS(), QoS()])
    data = bytes(layer)
    assert [element.next_element for element in ECTP(data).elements] == [6, 5, 5, 0]
    assert ECTP(data).next_element == 1
    assert problems(layer) == problems(ECTP(data)) == []


def test_a_chain_can_be_written_wrong() -> None:
    wrong = ECTP(type=4, elements=[Membership(next_element=4)])
    assert problems(wrong) == ["octet 16: names timestamp as next, where the packet ends"]
    assert problems(ECTP(type=3, next_element=9)) == ["octet 0: names element 9 as next, where the packet ends"]


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        ("0206", "2 octets are shorter than the header of 16"),
        ("0a 06 0000 00001234 00000050 0000 00 00", "octet 0: version 2 is not 0"),
        ("03 06 0000 00001234 00000050 0000 00 00", "octet 0: connection type 11 is not duplex, 10"),
        ("02 13 0000 00001234 00000050 0000 00 00", "octet 1: packet type 19 is not one of 1 to 18"),
        ("02 03 0000 00001234 00000000 0000 00 00 0102", "octet 16: 2 octets behind the last element"),
        (
            "12 07 0000 00001234 00000000 0000 00 00 0102",
            "octet 0: names connection as next, where RD carries nothing but data",
        ),
        ("72 03 0000 00001234 00000000 0000 00 00 00000000", "octet 0: element 7 is not one of 1 to 6"),
        ("32 04 0000 00001234 00000000 0000 80 00 80010002 00", "octet 16: element 8 is not one of 1 to 6"),
        ("32 04 0000 00001234 00000000 0000 80 00 000100", "octet 16: 3 octets left, membership has 4"),
        ("22 08 0000 00001234 00000000 0000 80 00 00", "octet 16: 1 octets left, ack has at least 12"),
        ("22 08 0000 00001234 00000000 0000 80 00 00000040", "octet 16: 4 octets left, ack has 20"),
        ("32 04 0000 00001234 00000000 0000 80 00 60010002 0000", "octet 20: 2 octets left, address has 8"),
        ("32 09 0000 00001234 00000000 0000 00 00 00000000", "HB lacks its mandatory timestamp"),
    ],
)
def test_what_is_wrong_is_said(octets: str, reason: str) -> None:
    data = packet(octets)
    assert problems(ECTP(data)) == [reason]
    with pytest.raises(MalformedMessageError, match=reason):
        dissect(data)


def test_a_malformed_packet_is_dissected_as_far_as_it_goes() -> None:
    layer = ECTP(bytes.fromhex("32 14 0000 00001234 00000001 0099 00 00 40020003 a0000000 0000000000000007 0102"))
    assert (layer.connection_id, layer.elements[0].child_id, layer.elements[1].timestamp) == (0x1234, 3, 7)
    assert (type(layer.elements[2]), layer.elements[2].load) == (Undissected, b"\x01\x02")
    assert [problem.split(":")[0] for problem in problems(layer)] == ["octet 1", "octet 2", "octet 12", "octet 20"]
    assert "malformed: octet 1" in layer.mysummary()
    assert isinstance(ECTP(bytes(15)), CutShort)


def test_a_checksum_of_all_ones_serves_where_none_is_computed() -> None:  # RFC 1071
    octets = bytes.fromhex("02 06 0000 0000fdf9 00000000 0000 00 00")
    assert dissect(octets) == dissect(octets[:2] + b"\xff\xff" + octets[4:])


def test_elements_that_a_packet_need_not_have_are_no_reason_to_refuse_it() -> None:
    fields = dissect(bytes(ECTP(type=13, f=1, elements=[Timestamp(timestamp=1), Membership(child_id=2)])))
    assert [name for name, _ in fields["elements"]] == ["timestamp", "membership"]


@given(st.lists(st.one_of(acks, connections, memberships, timestamps, targets), max_size=5), addresses)
def test_any_chain_is_read_back(elements: list[Any], address: list[Any]) -> None:
    fields = {"packet": "UL", "connection_id": 1, "psn": 0, "f": 1, "n": 0, "qos": 0, "token_id": 0, "data": ""}
    assert dissect(build(fields | {"elements": elements})) == fields | {"elements": elements}
    behind = fields | {"elements": [*elements, address]}
    assert dissect(build(behind)) == behind


def test_udp_is_bound_only_inside_the_context() -> None:
    data = bytes(IP(dst="239.1.1.1") / UDP(sport=1, dport=5006) / OF["data of odd length"])
    with bound_to_udp(5006):
        assert IP(data)[ECTP].data == b"hello"
    assert Raw in IP(data)


def test_what_is_left_out_is_zero() -> None:
    assert dissect(build({"packet": "ND"})) == {
        "packet": "ND", "connection_id": 0, "psn": 0, "f": 0, "n": 0, "qos": 0, "token_id": 0, "elements": [], "data": "",
    }  # fmt: skip
    with pytest.raises(KeyError):
        build({"packet": "ND", "elements": [["nosuch", {}]]})
