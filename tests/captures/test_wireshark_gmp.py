"""What the Wireshark plugin makes of GMP beyond the vectors: options, links, and messages in a TCP stream."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tests.captures.agreement import left_unsaid
from tests.captures.exchanges import Capture, Links
from tests.captures.tshark import Layer, layers
from tests.captures.wrong_messages import with_checksum

pytestmark = pytest.mark.lab

CLIENT, SERVER = "10.0.0.9", "10.0.0.1"
SM, MM = 16513, 16514
SCREQ, SCACC, SCINF, SRREQ, SRRES, SRACC, SRREJ = 1, 2, 6, 8, 9, 10, 11
KAREQ, KARES, UIRES, LVREQ, KDUPT = 1, 2, 4, 5, 8


def option(kind: int, value: bytes) -> bytes:
    return struct.pack("!BBH", kind, 0, 4 + len(value)) + value + bytes(-len(value) % 4)


def sm(kind: int, session: int, user: int, *options: bytes) -> bytes:
    first = 0x11 if kind == SCINF and options else 0x10
    header = struct.pack("!BBHHHBBH4s", first, kind, 0, session, user, 0, 0, 5004, bytes([239, 1, 1, 1]))
    return with_checksum(header + b"".join(options), 2)


def mm(kind: int, session: int, user: int, *options: bytes, flags: int = 0b01_001_000) -> bytes:
    header = struct.pack("!BBHHH4sBBBB", 0x10 | kind, flags, 5004, session, user, bytes([239, 1, 1, 1]), 10, 30, 0, 0)
    return header + b"".join(options)


def shown(folder: Path, *messages: bytes, port: int = SM) -> list[Layer]:
    capture = Capture(folder)
    for number, message in enumerate(messages):
        capture.datagram(number, (CLIENT, 40000), (SERVER, port), message)
    return layers(folder, capture.write(), "gmp")


def test_every_option_has_a_field(tmp_path: Path) -> None:
    long_ago, too_late = struct.pack("!Q", 1_000_000_000), struct.pack("!Q", 2**64 - 1)
    values = [
        (1, "leçon".encode()), (2, b"content"), (3, b"owner"), (4, long_ago), (5, too_late), (6, b"v=0"), (7, b"alice"),
        (7, b""), (8, bytes([10, 30, 0, 0])), (9, b"bob"), (16, b"carol"), (17, b"\x01\x02"), (18, b"\x03"),
        (19, struct.pack("!I", 7)), (20, struct.pack("!H", 5)), (21, struct.pack("!H", 40001)), (22, b"\x02"),
        (23, struct.pack("!I", 3)), (99, b"unknown"),
    ]  # fmt: skip
    (layer,) = shown(tmp_path, sm(SCINF, 5, 1, *(option(*value) for value in values)))
    assert layer.problems == ()
    expected = {
        "name": ["leçon"], "content": ["content"], "owner": ["owner"], "start_time": ["1000000000"],
        "end_time": ["18446744073709551615"], "media": ["v=0"], "core_member": ["alice", ""], "option.period": ["10"],
        "option.timeout": ["30"], "invited_member": ["bob"], "client_name": ["carol"], "token": ["01:02"], "key": ["03"],
        "key_generation": ["7"], "reason": ["5"],
        "client_mm_port": ["40001"], "start_condition": ["2"], "roll_over_counter": ["3"], "option.unknown": ["63:00:00:0b:75:6e:6b:6e:6f:77:6e"],
    }  # fmt: skip
    assert {name: layer.all(f"gmp.{name}") for name in expected} == expected


WRONG_SM = [
    (b"\x10" * 15, "15 octets are shorter than the header of 16"),
    (with_checksum(b"\x20" + sm(SCREQ, 0, 0)[1:], 2), "octet 0: Version is 2, not 1"),
    (sm(0, 0, 0), "octet 1: Type 0 is not one of 1 to 14"),
    (sm(15, 0, 0), "octet 1: Type 15 is not one of 1 to 14"),
    (sm(SCREQ, 0, 0)[:-1] + b"\x02", "octet 2: checksum is 0xec6f, not 0xec6e"),
    (sm(14, 5, 1), "octet 16: the option of SAREQ has 4 octets, not 0"),
    (sm(SCINF, 5, 1, b"\x01\x00\x00\x03"), "octet 16: option Length 3 is below its minimum of 4"),
    (sm(SCINF, 5, 1, b"\x01\x00\x00\x09abcd"), "octet 16: option of 9 octets overruns the message by 1"),
    (sm(SCINF, 5, 1, option(4, b"1234")), "octet 20: a value of 4 octets where there are 8"),
    (sm(SRREJ, 5, 1, option(20, b"1")), "octet 20: a value of 1 octets where there are 2"),
    (sm(SCINF, 5, 1, option(22, b"12")), "octet 20: a value of 2 octets where there are 1"),
    (sm(SCINF, 5, 1, b"\x01\x00\x00\x05a"), "octet 16: an option of 5 octets is no multiple of 4"),
    (sm(SCINF, 5, 1, option(1, b"a\xff")), "octet 20: text that is no UTF-8"),
    (with_checksum(b"\x11" + sm(SCINF, 5, 1)[1:], 2), "octet 0: I is 1 in SCINF, its option has 0 octets"),
    (with_checksum(b"\x10" + sm(SCINF, 5, 1, bytes([99, 0, 0, 4]))[1:], 2), "octet 0: I is 0 in SCINF, its option has 4 octets"),
]  # fmt: skip
WRONG_MM = [
    (mm(UIRES, 5, 2), "octet 1: UI is 0 in UIRES"),
    (mm(0, 5, 2), "octet 0: Type 0 is not one of 1 to 8"),
    (mm(KAREQ, 5, 2, flags=0b11_001_000), "octet 1: Mode 3 is neither open (1) nor closed (2)"),
    (mm(KAREQ, 5, 2, flags=0b01_011_000), "octet 1: member type 3 is not 1, 2 or 4"),
    (mm(UIRES, 5, 2, b"\x00\x01\x00\x00", flags=0b01_001_001), "octet 18: no member type"),
    (mm(KDUPT, 5, 2, b"\x12\x00\x00\x09abcd"), "octet 16: option of 9 octets overruns the message by 1"),
]  # fmt: skip


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    assert left_unsaid(tmp_path, "gmp_sm", WRONG_SM) == []
    assert left_unsaid(tmp_path, "gmp_mm", WRONG_MM) == []


def test_active_members(tmp_path: Path) -> None:
    members = struct.pack("!HHHHHH", 1, 0b100 << 13, 2, 0b010 << 13, 3, 0b001 << 13)
    (layer,) = shown(tmp_path, mm(UIRES, 5, 2, members, flags=0b01_001_001), port=MM)
    assert layer.problems == ()
    assert layer.all("gmp.member.user") == ["1", "2", "3"]
    assert layer.all("gmp.member.type") == ["4", "2", "1"]


def test_what_is_said_of_the_others_of_levels_and_of_keys(tmp_path: Path) -> None:  # G-22, G-14, G-15
    members = struct.pack("!HHHH", 1, 0b100 << 13, 0, 0b001 << 13 | 1234)
    messages = (
        mm(UIRES, 5, 2, members, flags=0b01_001_101), mm(LVREQ, 5, 2)[:-1] + b"\x01", mm(KAREQ, 5, 2)[:-1] + b"\x07",
    )  # fmt: skip
    told, leave, asked = shown(tmp_path, *messages, port=MM)
    assert (told.all("gmp.others"), told.all("gmp.member.user"), told.all("gmp.r")) == (["1234"], ["1", "0"], ["1"])
    assert leave.all("gmp.level") == ["1"]
    assert asked.all("gmp.generation") == ["7"]
    assert not told.problems + leave.problems + asked.problems


def test_requests_lead_to_their_answers(tmp_path: Path) -> None:
    client, server, client_mm, server_mm = (CLIENT, 40000), (SERVER, SM), (CLIENT, 40001), (SERVER, MM)
    capture = Capture(tmp_path)
    capture.datagram(0.0, client, server, sm(SCREQ, 0, 0))
    capture.datagram(0.1, server, client, sm(SCACC, 5, 1))
    capture.datagram(1.0, client, server, sm(SRREQ, 5, 0))
    capture.datagram(1.1, server, client, sm(SRRES, 5, 0))
    capture.datagram(1.4, server, client, sm(SRACC, 5, 2))
    capture.datagram(2.0, server_mm, client_mm, mm(KAREQ, 5, 2))
    capture.datagram(2.0, server_mm, client_mm, mm(KAREQ, 6, 2))
    capture.datagram(2.2, client_mm, server_mm, mm(KARES, 5, 2))
    assert capture.links("gmp", "-2") == {
        1: Links(response_in=2), 2: Links(response_to=1, milliseconds=100),
        3: Links(response_in=4), 4: Links(response_to=3, milliseconds=100), 5: Links(response_to=3, milliseconds=400),
        6: Links(response_in=8), 7: Links(), 8: Links(response_to=6, milliseconds=200),
    }  # fmt: skip


def test_a_stream_is_cut_into_messages(tmp_path: Path) -> None:
    messages = [sm(SCINF, 5, 1, option(1, b"x" * 2000)), sm(SRREQ, 5, 0), sm(SRREJ, 5, 0, option(20, b"\x00\x02"))]
    octets = b"".join(len(message).to_bytes(2) + message for message in messages)
    capture = Capture(tmp_path)
    capture.stream(0.0, (CLIENT, 40000), (SERVER, SM), [octets[:1], octets[1:700], octets[700:1500], octets[1500:]])
    found = layers(tmp_path, capture.write(), "gmp")
    assert [(layer.frame, layer.all("gmp.sm_type"), layer.problems) for layer in found] == [
        (4, ["6"], ()), (4, ["8"], ()), (4, ["11"], ()),
    ]  # fmt: skip
    assert len(found[0].all("gmp.name")[0]) == 2000
    info = capture.info("gmp")[4]
    assert info.endswith(" | SRREQ session 5 user 0 | SRREJ session 5 user 0, not authorised")
    assert info.startswith("SCINF session 5 user 1, xxx")
