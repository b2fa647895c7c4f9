"""What the Wireshark plugin makes of OMCP beyond the vectors: values, links, and messages in a TCP stream."""

from __future__ import annotations

import ipaddress
import struct
from pathlib import Path

import pytest

from tests.captures.agreement import left_unsaid
from tests.captures.exchanges import Capture, Links
from tests.captures.tshark import Layer, layers
from tests.captures.wrong_messages import with_length

pytestmark = pytest.mark.lab

NODE, MANAGER = ("10.0.0.9", 40000), ("10.0.0.1", 24794)
JOIN_REQUEST, JOIN_CONFIRM, RELAY_CONFIRM, STATUS_REPORT, STATUS_CONFIRM = 1, 2, 4, 5, 6
V4, V6 = ipaddress.ip_address("10.0.1.2").packed, ipaddress.ip_address("2001:db8:1::2").packed
PORT = struct.pack("!H", 24794)


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BBH", kind, 0, 4 + len(value)) + value


def omcp(kind: int, *tlvs: bytes, flags: int = 0, session: int = 7) -> bytes:
    return with_length(struct.pack("!BBBBIQ", 0x10, kind, flags, 0, 0, session) + b"".join(tlvs), 4, 4)


def shown(folder: Path, message: bytes) -> Layer:
    capture = Capture(folder)
    capture.stream(0.0, NODE, MANAGER, [message])
    (layer,) = layers(folder, capture.write(), "omcp")
    return layer


def test_every_value_has_its_fields(tmp_path: Path) -> None:
    tlvs = [
        tlv(1, b"ra1"), tlv(2, PORT + V4), tlv(2, PORT + V6), tlv(3, b"\x05"), tlv(4, b"\x18\x01" + V4),
        tlv(4, b"\x40\x00" + V6), tlv(6, struct.pack("!I", 2000)), tlv(7, struct.pack("!I", 10000)),
        tlv(8, b"\x04\x00" + PORT + V4), tlv(8, b"\x02\x00" + PORT + V6), tlv(9, struct.pack("!QQII", 2**63, 2, 3, 4)),
        tlv(10, struct.pack("!II", 5, 6)), tlv(11, struct.pack("!H", 4)), tlv(12, b"\x02r1" + struct.pack("!QI", 8, 9)),
        tlv(13, struct.pack("!Q", 1_800_000_000) + b"\xaa" * 16), tlv(99, b""),
    ]  # fmt: skip
    layer = shown(tmp_path, omcp(STATUS_REPORT, *tlvs, flags=0x0B, session=2**64 - 1))
    assert layer.problems == ()
    expected = {
        "session": ["18446744073709551615"], "flags.leave": ["1"], "flags.relay": ["1"], "flags.accept": ["0"],
        "flags.rejoin": ["1"], "node_id": ["ra1"], "control": ["10.0.1.2"], "control_ipv6": ["2001:db8:1::2"],
        "control_port": ["24794"] * 2, "channel_types.unicast": ["1"], "channel_types.multicast": ["0"],
        "channel_types.ip_in_ip": ["1"], "subnet": ["10.0.1.2"], "subnet_ipv6": ["2001:db8:1::2"],
        "subnet.prefix_length": ["24", "64"], "subnet.multicast_enabled": ["1", "0"], "rr_time": ["2000"],
        "sr_time": ["10000"], "channel_type": ["4", "2"], "channel": ["10.0.1.2"], "channel_ipv6": ["2001:db8:1::2"],
        "packets": ["9223372036854775808"], "bytes": ["2"], "throughput": ["3"], "elapsed": ["4"], "receivers": ["5"],
        "relay_agents": ["6"], "reason": ["4"], "member.id": ["r1"], "member.packets": ["8"], "member.throughput": ["9"],
        "expiry": ["1800000000"], "mac": [":".join(["aa"] * 16)], "tlv.unknown": ["63:00:00:04"],
    }  # fmt: skip
    booleans = {"True": "1", "False": "0"}  # as 4.4 prints them
    assert {name: [booleans.get(x, x) for x in layer.all(f"omcp.{name}")] for name in expected} == expected


@pytest.mark.parametrize(
    ("value", "address", "identity"),
    [
        (PORT + V4 + b"r", "10.0.1.2", "r"),
        (PORT + V4 + b"a node with a long name", "10.0.1.2", "a node with a long name"),
        (PORT + V4 + b"x" * 64, "10.0.1.2", "x" * 64),
        (PORT + V6 + b"r", "2001:db8:1::2", "r"),
        (PORT + V6 + b"x" * 64, "2001:db8:1::2", "x" * 64),
    ],
)
def test_a_parent_of_either_version(tmp_path: Path, value: bytes, address: str, identity: str) -> None:
    layer = shown(tmp_path, omcp(JOIN_CONFIRM, tlv(5, value), flags=4))
    assert layer.problems == ()
    assert layer.all("omcp.parent") + layer.all("omcp.parent_ipv6") == [address]
    assert layer.all("omcp.parent_id") == [identity]


WRONG = [
    (b"\x20" + omcp(JOIN_REQUEST)[1:], "octet 0: Version is 2, not 1"),
    (omcp(0), "octet 1: Type 0 is not one of 1 to 6"),
    (omcp(7), "octet 1: Type 7 is not one of 1 to 6"),
    (omcp(1)[:4] + b"\x00\x01\x00\x01" + omcp(1)[8:], "octet 4: Length is 65537, more than 64 KiB"),
    (omcp(1)[:4] + b"\x00\x00\x00\x0f" + omcp(1)[8:], "octet 4: Length is 15, the message has 16 octets"),
    (omcp(1, b"\x01\x00"), "octet 16: 2 octets left, the header of a TLV has 4"),
    (omcp(1, b"\x01\x00\x00\x02"), "octet 16: TLV Length 2 is below its minimum of 4"),
    (omcp(1, b"\x01\x00\x00\x06r"), "octet 16: TLV of 6 octets overruns the message by 1"),
    (omcp(1, tlv(1, b"")), "octet 20: a Node ID has 1 to 64 octets, not 0"),
    (omcp(1, tlv(1, b"x" * 65)), "octet 20: a Node ID has 1 to 64 octets, not 65"),
    (omcp(1, tlv(2, PORT + V4 + b"\x00")), "octet 20: 7 octets are no port and address"),
    (omcp(1, tlv(3, b"")), "octet 20: a value of 0 octets where there are 1"),
    (omcp(1, tlv(4, b"\x18" + V4)), "octet 20: 5 octets are no subnet"),
    (omcp(1, tlv(4, b"\x21\x01" + V4)), "octet 20: a prefix of 33 bits, the address has 32"),
    (omcp(1, tlv(1, b"\xc3")), "octet 20: text that is no UTF-8"),
    (omcp(1, tlv(5, PORT + V4)), "octet 20: 6 octets are no port, address and Node ID"),
    (omcp(1, tlv(5, PORT + V6 + b"x" * 65)), "octet 38: a Node ID has 1 to 64 octets, not 65"),
    (omcp(1, tlv(8, b"\x01\x00" + PORT)), "octet 20: 4 octets are no data channel"),
    (omcp(1, tlv(12, b"\x03r1" + bytes(12))), "octet 20: 15 octets are no Node ID length, Node ID, packets and throughput"),
    (omcp(1, tlv(12, b"\x00" + bytes(12))), "octet 21: a Node ID has 1 to 64 octets, not 0"),
    *((omcp(1, tlv(kind, b"")), f"octet 20: a value of 0 octets where there are {octets}")
      for kind, octets in ((6, 4), (7, 4), (9, 24), (10, 8), (11, 2), (13, 24))),
]  # fmt: skip


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    assert left_unsaid(tmp_path, "omcp", WRONG) == []


def test_a_connection_for_each_request(tmp_path: Path) -> None:
    request, confirm = omcp(JOIN_REQUEST, tlv(1, b"r" * 60)), omcp(JOIN_CONFIRM, flags=4)
    capture = Capture(tmp_path)
    capture.stream(0.0, NODE, MANAGER, [request[:10], request[10:40], request[40:]])
    capture.stream(0.1, MANAGER, NODE, [confirm])
    capture.stream(1.0, (NODE[0], 40001), MANAGER, [omcp(JOIN_REQUEST)])
    capture.stream(1.2, MANAGER, (NODE[0], 40001), [confirm])
    assert capture.links("omcp", "-2") == {
        1: Links(), 2: Links(), 3: Links(response_in=4), 4: Links(response_to=3, milliseconds=98),
        5: Links(response_in=6), 6: Links(response_to=5, milliseconds=200),
    }  # fmt: skip
    assert capture.info("omcp")[3] == "Join Request session 7, " + "r" * 60


def test_one_segment_may_hold_several_messages(tmp_path: Path) -> None:
    capture = Capture(tmp_path)
    capture.stream(0.0, NODE, MANAGER, [omcp(STATUS_REPORT) + omcp(STATUS_REPORT, flags=1)])
    assert capture.info("omcp") == {1: "Status Report session 7 | Status Report session 7 LEAVE"}
    assert len(layers(tmp_path, capture.write(), "omcp")) == 2
