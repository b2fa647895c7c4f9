"""What the Wireshark plugin says of MMCP in words: what is wrong with a message, and the info column."""

from __future__ import annotations

from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from captures.files.capture import Interface, PcapngWriter
from tests.captures.agreement import disagreements, left_unsaid
from tests.captures.exchanges import Capture

pytestmark = pytest.mark.lab

MN, SM = ("10.0.1.100", 24793), ("10.0.20.2", 24793)


def capture_of(folder: Path, *messages: str) -> Capture:
    capture = Capture(folder)
    for number, message in enumerate(messages):
        capture.datagram(number, MN, SM, bytes.fromhex(message))
    return capture


WRONG = [
    ("09000008000000", "7 octets are shorter than the header of 8"),
    ("09000007 00000001", "octet 2: Payload Length is 7, the datagram has 8 octets"),
    ("0e000008 00000001", "octet 0: Packet Type 14 is not one of 1 to 13"),
    ("09000009 00000001 01", "octet 8: 1 octet is no parameter"),
    ("0900000a 00000001 0101", "octet 9: 1 fits neither parameter profile"),
    ("0900000b 00000001 010000", "octet 8: 3 octets left, the header of a parameter has 4"),
    ("0900000c 00000001 01000003", "octet 8: parameter Length 3 is below its minimum of 4"),
    ("0900000c 00000001 01000004", "octet 12: an identifier has 1 to 253 octets, not 0"),
    ("0900010a 00000001 01000102" + "00" * 254, "octet 12: an identifier has 1 to 253 octets, not 254"),
    ("0900000d 00000001 0300000501", "octet 12: port and address have 6 or 18 octets, not 1"),
    ("0900000c 00000001 06000004", "octet 12: a value of 0 octets where there are 4"),
    ("0900000c 00000001 01ff6d6e", "octet 8: parameter of 255 octets overruns the message by 251"),
    ("02010008 00000001", "SJC lacks its mandatory Multicast Address"),
    ("0a000008 00000001", "HIR lacks its mandatory MN Identifier"),
    ("0a000008 00000001", "HIR lacks its mandatory PoA Identifier"),
]


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    table = [(bytes.fromhex(message), reason) for message, reason in WRONG]
    assert left_unsaid(tmp_path, "mmcp", table) == []


def test_the_info_column(tmp_path: Path) -> None:
    lines = {
        "01000019 00000001 01000007 6d6e31 0200000a 020000000a01": "SJR session 1 mn1 at PoA 02:00:00:00:0a:01",
        "0201001c 00000001 0300000a 138c ef010101 0400000a 60d9 0a000102":
            "SJC session 1 accepted, group 239.1.1.1:5004, LMC 10.0.1.2:24793",
        "02000008 00000001": "SJC session 1 refused",
        "0300000f 00000001 01000007 6d6e31": "LJR session 1 mn1",
        "0300000d 00000002 01000005 00": "LJR session 2 00",
        "07000019 00000001 0105 6d6e31 050c 0000 0001e240 0000003d": "USR session 1 mn1, 123456 packets in 61 s",
        "08000023 00000001 06000008 00000001 01000007 6d6e31 0500000c 0000000a 00000002": "ASR session 1, 1 MNs",
        "09000008 00000001": "USP session 1",
        "0a000017 00000001 01000007 6d6e31 02000008 706f6132": "HIR session 1 mn1 → PoA poa2",
        "0b000025 00000001 01000007 6d6e31 03000016 138c ff1e0000000000000000000000010001":
            "HCT session 1 mn1, group [ff1e::1:1]:5004",
        "0c010008 00000001": "HTA session 1 accepted",
        "0d010008 00000001": "HIC session 1 accepted malformed: HIC lacks its mandatory LMC Address",
    }  # fmt: skip
    assert list(capture_of(tmp_path, *lines).info("mmcp").values()) == list(lines.values())


@pytest.mark.parametrize("family", [4, 6])
def test_a_message_that_icmp_quotes_is_read_and_marked_as_quoted(tmp_path: Path, family: int) -> None:
    sent = UDP(sport=24793, dport=24793) / Raw(bytes.fromhex("0300000f 00000001 01000007 6d6e31"))
    datagram: Packet
    error: Packet
    if family == 4:
        datagram = IP(src="10.0.1.2", dst="10.0.2.2") / sent
        error = IP(src="10.0.2.2", dst="10.0.1.2") / ICMP(type=3, code=3) / datagram
    else:
        datagram = IPv6(src="2001:db8:1::2", dst="2001:db8:2::2") / sent
        error = IPv6(src="2001:db8:2::2", dst="2001:db8:1::2") / ICMPv6DestUnreach(code=4) / datagram
    path = tmp_path / "quoted.pcapng"
    with path.open("wb") as stream:
        writer = PcapngWriter(stream, [Interface("node:interface", 1)])
        for number, packet in enumerate((datagram, error)):
            writer.frame(number, 0, bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet))
        writer.flush()
    assert disagreements(tmp_path, path, "mmcp") == (1, [])
