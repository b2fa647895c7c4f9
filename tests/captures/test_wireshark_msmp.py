"""What the Wireshark plugin makes of MSMP beyond the vectors: values, links, and messages in a TCP stream."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.captures.agreement import left_unsaid
from tests.captures.exchanges import Capture, Links
from tests.captures.tshark import Layer, layers
from tests.captures.wrong_messages import with_length

pytestmark = pytest.mark.lab

MEMBER, SERVER = ("10.0.0.9", 40000), ("10.0.0.1", 24792)
QRREQ, QRRES, QSREQ, QSRES, QVRES, QTREQ, QTIND, SNREQ, SNRES = 1, 2, 3, 4, 8, 9, 10, 32, 33


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BBH", kind, 0, 4 + len(value)) + value


def msmp(kind: int, transaction: int, *tlvs: bytes) -> bytes:
    return with_length(struct.pack("!BBHHHI", 0x10, kind, 0, 5, 2, transaction) + b"".join(tlvs), 2, 2)


def shown(folder: Path, message: bytes) -> Layer:
    capture = Capture(folder)
    capture.datagram(0.0, MEMBER, SERVER, message)
    (layer,) = layers(folder, capture.write(), "msmp")
    return layer


def test_every_value_has_its_fields(tmp_path: Path) -> None:
    target = struct.pack("!HHIIIHHHHHH", 0x0100, 1400, 3, 2, 1, 10, 20, 30, 40, 50, 60)
    value = struct.pack("!IHHHBB", 7, 8, 9, 10, 0b00_01_10_11, 0)
    tlvs = [
        tlv(1, target), tlv(2, value), tlv(3, struct.pack("!HBB", 10, 3, 15)), tlv(4, struct.pack("!H", 5)),
        tlv(5, struct.pack("!HBB", 6, 3, 0)), tlv(6, struct.pack("!IHHHH", 10, 1, 2, 3, 4) + value), tlv(77, b"?"),
    ]  # fmt: skip
    layer = shown(tmp_path, msmp(QVRES, 1, *tlvs))
    assert layer.problems == ()
    expected = {
        "qos.direction": ["1"], "qos.mss": ["1400"], "qos.throughput_chq": ["3"], "qos.throughput_ot": ["2"],
        "qos.throughput_lqa": ["1"], "qos.delay_ot": ["10"], "qos.delay_lqa": ["20"], "qos.jitter_ot": ["30"],
        "qos.jitter_lqa": ["40"], "qos.loss_ot": ["50"], "qos.loss_lqa": ["60"], "throughput": ["7"] * 2, "delay": ["8"] * 2,
        "jitter": ["9"] * 2, "loss": ["10"] * 2, "status.throughput": ["0"] * 2, "status.delay": ["1"] * 2,
        "status.jitter": ["2"] * 2, "status.loss": ["3"] * 2, "interval": ["10"], "mode": ["3"],
        "parameter_mask": ["0x0f"], "reason": ["5"], "member.user": ["6"], "member.state": ["3"], "members": ["10"],
        "members_normal": ["1"], "members_reasonable": ["2"], "members_possibly_abnormal": ["3"],
        "members_abnormal": ["4"], "tlv.unknown": ["4d:00:00:05:3f"],
    }  # fmt: skip
    assert {name: layer.all(f"msmp.{name}") for name in expected} == expected


WRONG = [
    (b"\x10" * 11, "11 octets are shorter than the header of 12"),
    (b"\x00" + msmp(QRREQ, 1)[1:], "octet 0: Version is 0, not 1"),
    (msmp(0, 1), "octet 1: Type 0 is unknown"),
    (msmp(11, 1), "octet 1: Type 11 is unknown"),
    (msmp(38, 1), "octet 1: Type 38 is unknown"),
    (msmp(QRREQ, 1) + b"\x00", "octet 2: Length is 12, the message has 13 octets"),
    (msmp(QRREQ, 1, b"\x04\x00\x00"), "octet 12: 3 octets left, the header of a TLV has 4"),
    (msmp(QRREQ, 1, tlv(4, b"\0\0"), b"\x04\x00\x00\x03"), "octet 18: TLV Length 3 is below its minimum of 4"),
    (msmp(QRREQ, 1, b"\x04\x00\x00\x08\x00\x00"), "octet 12: TLV of 8 octets overruns the message by 2"),
    *((msmp(QRREQ, 1, tlv(kind, b"")), f"octet 16: a value of 0 octets where there are {octets}")
      for kind, octets in ((1, 28), (2, 12), (3, 4), (4, 2), (5, 4), (6, 24))),
]  # fmt: skip


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    assert left_unsaid(tmp_path, "msmp", WRONG) == []


def test_answers_repeat_the_transaction(tmp_path: Path) -> None:
    capture = Capture(tmp_path)
    capture.datagram(0.0, MEMBER, SERVER, msmp(QSREQ, 1))
    capture.datagram(0.1, MEMBER, SERVER, msmp(QTREQ, 2))
    capture.datagram(0.2, SERVER, MEMBER, msmp(QTIND, 2))
    capture.datagram(0.3, SERVER, MEMBER, msmp(QSRES, 1))
    capture.datagram(0.4, SERVER, MEMBER, msmp(QRREQ, 1))
    capture.datagram(0.5, MEMBER, SERVER, msmp(QRRES, 1))
    capture.datagram(1.5, MEMBER, SERVER, msmp(QRRES, 1))
    capture.datagram(1.6, SERVER, MEMBER, msmp(QTIND, 3))
    assert capture.links("msmp", "-2") == {
        1: Links(response_in=4), 2: Links(response_in=3), 3: Links(response_to=2, milliseconds=100),
        4: Links(response_to=1, milliseconds=300), 5: Links(response_in=6), 6: Links(response_to=5, milliseconds=100),
        7: Links(response_to=5, milliseconds=1100), 8: Links(),
    }  # fmt: skip


def test_a_stream_is_cut_into_messages(tmp_path: Path) -> None:
    messages = [msmp(SNREQ, 1, tlv(77, bytes(3000))), msmp(SNREQ, 2)]
    octets = b"".join(len(message).to_bytes(4) + message for message in messages)
    answer = (msmp(SNRES, 1), msmp(SNRES, 2))
    capture = Capture(tmp_path)
    capture.stream(0.0, MEMBER, SERVER, [octets[:2], octets[2:1400], octets[1400:2800], octets[2800:]])
    capture.stream(1.0, SERVER, MEMBER, [b"".join(len(message).to_bytes(4) + message for message in answer)])
    found = layers(tmp_path, capture.write(), "msmp", "-2")
    seen = [(layer.frame, layer.all("msmp.transaction"), layer.problems) for layer in found]
    assert seen == [(4, ["1"], ()), (4, ["2"], ()), (5, ["1"], ()), (5, ["2"], ())]
    assert capture.info("msmp")[5] == "SNRES session 5 user 2 | SNRES session 5 user 2"
    assert [layer.all("msmp.response_in") + layer.all("msmp.response_to") for layer in found] == [["5"]] * 2 + [
        ["4"]
    ] * 2


def test_a_length_in_the_stream_that_none_can_have(tmp_path: Path) -> None:
    capture = Capture(tmp_path)
    capture.stream(0.0, MEMBER, SERVER, [b"\xff\xff\xff\xff" + msmp(SNREQ, 1)])
    (layer,) = layers(tmp_path, capture.write(), "msmp")
    assert layer.problems == ("the length in the stream, 4294967295, is larger than any message",)
