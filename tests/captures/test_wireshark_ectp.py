"""What the Wireshark plugin makes of ECTP beyond the vectors: elements, how packets are found, and links."""

from __future__ import annotations

import ipaddress
import struct
from pathlib import Path

import pytest

from tests.captures.agreement import PROTOCOLS, left_unsaid
from tests.captures.exchanges import Capture, Links
from tests.captures.tshark import Layer, layers, scripts, tshark
from tests.captures.wrong_messages import with_checksum

pytestmark = pytest.mark.lab

OWNER, USER, OTHER, GROUP = ("10.0.0.1", 5006), ("10.0.0.8", 5006), ("10.0.0.9", 5006), ("239.1.1.1", 5006)
CR, CC, TJ, TC, DT, ND, RD, ACK, HB, HBACK, JR, JC, UL, CT, TGR, TGC, TRR, TRC = range(1, 19)
CONNECTION, ACKNOWLEDGEMENT, MEMBERSHIP, TIMESTAMP, QOS, ADDRESS = range(1, 7)
CONNECTION_BODY, MEMBERSHIP_BODY = b"\x06\x08\x05\x78", b"\x00\x01\x00\x02"
V4 = b"\x00\x00\x13\x8e" + ipaddress.ip_address("10.0.1.2").packed
V6 = b"\x00\x00\x13\x8e" + ipaddress.ip_address("2001:db8:1::2").packed


def timestamp(nanoseconds: int) -> bytes:
    return bytes(4) + struct.pack("!Q", nanoseconds)


def ectp(
    kind: int, *elements: tuple[int, bytes], data: bytes = b"", flags: int = 0, psn: int = 7, first: int = 0x02,
    connection: int = 99,
) -> bytes:  # fmt: skip
    """A packet with a right length and checksum; elements as (code, octets with their first half octet 0)."""
    codes = [code for code, _ in elements] + [0]
    body = (
        b"".join(bytes([codes[n + 1] << 4 | octets[0]]) + octets[1:] for n, (_, octets) in enumerate(elements)) + data
    )
    header = struct.pack("!BBHIIHBB", codes[0] << 4 | first, kind, 0, connection, psn, len(body), flags, 0)
    return with_checksum(header + body, 2)


def shown(folder: Path, message: bytes) -> Layer:
    capture = Capture(folder)
    capture.datagram(0.0, ("10.0.0.1", 40000), ("10.0.0.2", 41000), message)
    (layer,) = PROTOCOLS["ectp"].layers(folder, capture.write())
    return layer


CONNECTED, MEMBER, STAMP = (CONNECTION, CONNECTION_BODY), (MEMBERSHIP, MEMBERSHIP_BODY), (TIMESTAMP, timestamp(5))


WRONG = [
    (b"\x02" * 15, "15 octets are shorter than the header of 16"),
    (ectp(TJ, first=0x06), "octet 0: Version is 1, not 0"),
    (ectp(TJ, first=0x01), "octet 0: CT is 1, not 2 (duplex)"),
    (ectp(0), "octet 1: Packet type 0 is not one of 1 to 18"),
    (ectp(19), "octet 1: Packet type 19 is not one of 1 to 18"),
    (ectp(TJ)[:-1] + b"\x01", "octet 2: checksum is 0xfd92, not 0xfd91"),
    (with_checksum(ectp(DT, data=b"abc") + b"d", 2), "octet 12: Payload length is 3, 4 octets follow the header"),
    (ectp(DT, CONNECTED), "octet 0: DT carries data, Next element is 1"),
    (ectp(TJ, data=b"abc"), "octet 16: 3 octets after the last element"),
    (ectp(CR, (7, bytes(4))), "octet 16: Element 7 is unknown"),
    (ectp(CR, CONNECTED, (QOS, bytes(27))), "octet 20: 27 octets left, too few for the element QoS"),
    (ectp(ACK, (ACKNOWLEDGEMENT, bytes(3))), "octet 16: 3 octets left, too few for the element Acknowledgement"),
    (ectp(ACK, (ACKNOWLEDGEMENT, b"\x00\x00\x00\x21" + bytes(12))),
     "octet 16: 16 octets left, too few for the element Acknowledgement"),
    (ectp(TC, MEMBER, (ADDRESS, V4[:-1]), flags=0x80), "octet 20: 7 octets left, too few for the element Address"),
    (ectp(TC, MEMBER, (ADDRESS, V6[:-1]), flags=0x80), "octet 28: 11 octets after the last element"),
    (ectp(CR), "CR lacks its element Connection"),
    (ectp(HB, MEMBER), "HB lacks its element Timestamp"),
    (ectp(TC, flags=0x80), "TC lacks its element Membership"),
]  # fmt: skip


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    assert left_unsaid(tmp_path, "ectp", WRONG) == []


def test_elements_in_a_chain(tmp_path: Path) -> None:
    acknowledgement = b"\x00\x1b\x00\x21" + struct.pack("!II", 3, 15) + b"\xff\xff\xff\xff\x80\x00\x00\x00"
    layer = shown(tmp_path, ectp(HBACK, MEMBER, (TIMESTAMP, timestamp(2**63)), (ACKNOWLEDGEMENT, acknowledgement)))
    assert layer.problems == ()
    expected = {
        "tree_level": ["1"], "child": ["2"], "timestamp": ["9223372036854775808"], "status.throughput": ["0"],
        "status.delay": ["1"], "status.jitter": ["2"], "status.loss": ["3"], "bitmap_length": ["33"], "adn": ["3"],
        "lsn": ["15"], "bitmap": ["ff:ff:ff:ff:80:00:00:00"],
    }  # fmt: skip
    assert {name: layer.all(f"ectp.{name}") for name in expected} == expected


@pytest.mark.parametrize("body", [V4, V6])
@pytest.mark.parametrize("targets", [0, 1, 2])
def test_an_address_of_either_version_before_other_elements(tmp_path: Path, body: bytes, targets: int) -> None:
    target = (QOS, struct.pack("!HHIIIHHHHHH", 0, 1400, 3, 2, 1, 10, 20, 30, 40, 50, 60))
    layer = shown(tmp_path, ectp(JC, CONNECTED, (ADDRESS, body), *[target] * targets, flags=0x80))
    assert layer.problems == ()
    expected = {V4: "10.0.1.2", V6: "2001:db8:1::2"}[body]
    assert layer.all("ectp.address") + layer.all("ectp.address_ipv6") == [expected]
    assert layer.all("ectp.qos.loss_lqa") == ["60"] * targets


@pytest.mark.parametrize("kind", [TC, JC])
def test_a_refusal_needs_no_elements(tmp_path: Path, kind: int) -> None:
    assert shown(tmp_path, ectp(kind)).problems == ()


def test_packets_are_known_by_their_form_and_then_by_their_conversation(tmp_path: Path) -> None:
    capture = Capture(tmp_path)
    capture.datagram(0.0, OWNER, GROUP, b"\x02\x05 something else")
    capture.datagram(1.0, OWNER, GROUP, ectp(DT, data=b"first"))
    capture.datagram(2.0, OWNER, GROUP, ectp(DT, data=b"second")[:-1] + b"?")
    capture.datagram(3.0, USER, OWNER, ectp(TJ)[:-1] + b"\x01")
    path = capture.write()
    found = layers(tmp_path, path, "ectp")
    assert [(layer.frame, bool(layer.problems)) for layer in found] == [(2, False), (3, True)]
    assert [layer.all("ectp.data") for layer in found] == [["66:69:72:73:74"], ["73:65:63:6f:6e:3f"]]
    everything = [layer.frame for layer in layers(tmp_path, path, "ectp", "-o", "ectp.udp_ports:5006")]
    assert everything == [1, 2, 3, 4]


def test_requests_lead_to_their_answers(tmp_path: Path) -> None:
    capture = Capture(tmp_path)
    capture.datagram(0.0, OWNER, GROUP, ectp(CR, CONNECTED))
    capture.datagram(0.1, USER, OWNER, ectp(TJ))
    capture.datagram(0.2, OWNER, USER, ectp(TC, MEMBER, flags=0x80))
    capture.datagram(0.3, USER, OWNER, ectp(CC))
    capture.datagram(0.5, OTHER, OWNER, ectp(CC))
    capture.datagram(0.6, OTHER, OWNER, ectp(CC, connection=98))
    capture.datagram(3.0, OWNER, GROUP, ectp(HB, MEMBER, (TIMESTAMP, timestamp(1))))
    capture.datagram(6.0, OWNER, GROUP, ectp(HB, MEMBER, (TIMESTAMP, timestamp(2))))
    capture.datagram(6.5, USER, OWNER, ectp(HBACK, MEMBER, (TIMESTAMP, timestamp(1))))
    capture.datagram(6.6, OTHER, OWNER, ectp(HBACK, MEMBER, (TIMESTAMP, timestamp(2))))
    capture.datagram(7.0, USER, OWNER, ectp(TGR, CONNECTED))
    capture.datagram(7.1, OWNER, USER, ectp(TGC, flags=0x80))
    assert capture.links("ectp", "-2") == {
        1: Links(response_in=4), 2: Links(response_in=3), 3: Links(response_to=2, milliseconds=100),
        4: Links(response_to=1, milliseconds=300), 5: Links(response_to=1, milliseconds=500), 6: Links(),
        7: Links(response_in=9), 8: Links(response_in=10), 9: Links(response_to=7, milliseconds=3500),
        10: Links(response_to=8, milliseconds=600), 11: Links(response_in=12), 12: Links(response_to=11, milliseconds=100),
    }  # fmt: skip


def test_the_info_column(tmp_path: Path) -> None:
    capture = Capture(tmp_path)
    capture.datagram(0.0, OWNER, GROUP, ectp(CR, CONNECTED))
    capture.datagram(1.0, OWNER, GROUP, ectp(DT, data=b"hello"))
    capture.datagram(2.0, OWNER, USER, ectp(UL))
    assert list(capture.info("ectp").values()) == [
        "CR connection 99 PSN 7, reliable, AGN 8, MSS 1400", "DT connection 99 PSN 7, 5 octets",
        "UL connection 99 PSN 7 ejected",
    ]  # fmt: skip
    assert tshark(tmp_path, *scripts(["ectp"]), "-r", str(capture.write()), "-Y", "ectp.type == UL").count("\n") == 1
