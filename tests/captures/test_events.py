"""A capture as events: every odd frame is read or counted, and the order of time is put right."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.contrib.pim import (
    PIMv2GroupAddrs,
    PIMv2Hdr,
    PIMv2Hello,
    PIMv2HelloHoldtime,
    PIMv2JoinAddrs,
    PIMv2JoinPrune,
    PIMv2PruneAddrs,
)
from scapy.layers.inet import IP
from scapy.packet import Packet

from captures.dissectors import igmp_mld, pim
from captures.files.capture import Interface, PcapngWriter
from captures.files.reading import CaptureReader
from captures.history.control import every_protocol
from captures.history.events import Event
from captures.history.history import History
from captures.mmcp.dissector import build
from captures.protocols import protocol
from captures.wire.malformed import MalformedMessageError
from tests.captures.histories import RELAY, Frames, history, on_ethernet, tcp
from tests.captures.scripted_link import (
    GROUPS,
    PORT,
    T0,
    ScriptedLink,
    address,
    ethernet,
    good_link,
    hello,
    ip,
    join_prune,
    query,
    report,
    udp,
)

USP = build({"packet": "USP", "session_id": 1})


def usp(*, hops: int = 64) -> bytes:
    return udp(address("sm"), address("mn"), PORT, PORT, USP, hops=hops)


def tagged(*tags: tuple[int, int]) -> bytes:
    frame = ethernet("sm", usp())
    between = b"".join(struct.pack("!HH", ethertype, vlan) for ethertype, vlan in tags)
    return frame[:12] + between + frame[12:]


@pytest.mark.parametrize(
    ("frame", "interface"),
    [
        (tagged(), "eth0"),
        (tagged((0x8100, 5)), "eth0.5"),
        (tagged((0x8100, 0xA005)), "eth0.5"),  # the priority does not count
        (tagged((0x88A8, 100), (0x8100, 5)), "eth0.100.5"),
        (tagged((0x9100, 100), (0x8100, 5)), "eth0.100.5"),
    ],
)
def test_each_vlan_is_an_interface_of_its_own(frame: bytes, interface: str) -> None:
    (event,) = history([(0, "eth0", 1, frame)])
    assert (event.interface, event.kind, event.fields["hop_limit"]) == (interface, "USP", 64)


def test_fields_of_an_mmcp_event() -> None:
    message = {
        "packet": "SJC",
        "session_id": 7,
        "f": 1,
        "params": [["multicast", "239.1.1.1", 5004], ["lmc", "10.0.0.1", 9]],
    }
    packet = udp(address("sm"), address("mn"), PORT, 4444, build(message))
    (event,) = history(on_ethernet(packet))
    assert event[:2] == (1, T0)
    assert event[3:7] == ("mmcp", "SJC", address("sm"), address("mn"))
    fields = event.fields
    assert (fields["session"], fields["f"], fields["multicast"], fields["lmc"]) == (
        7,
        1,
        ("239.1.1.1", 5004),
        ("10.0.0.1", 9),
    )
    assert (fields["ports"], fields["checksum"], fields["mac"], fields["octets"]) == (
        (PORT, 4444),
        True,
        "020000000001",
        28,
    )


def test_reading_the_same_message_twice_gives_fields_of_their_own() -> None:
    _, first = protocol("mmcp").reader()(USP)
    first["mac"] = "changed"
    assert "mac" not in protocol("mmcp").reader()(USP)[1]


def fragments(packet: bytes, at: int) -> tuple[bytes, bytes]:
    """An IPv4 packet in two, the second from octet `at` of the payload on."""
    head, payload = packet[:20], packet[20:]

    def one(data: bytes, word: int) -> bytes:
        return head[:2] + struct.pack("!H", 20 + len(data)) + head[4:6] + struct.pack("!H", word) + head[8:] + data

    return one(payload[:at], 0x2000), one(payload[at:], at // 8)


NOT_READ: dict[str, tuple[Callable[[], Frames], dict[str, int]]] = {
    "fragments": (
        lambda: on_ethernet(*fragments(usp(), 8)),
        {"mmcp messages of which only the beginning is there": 1, "later fragments of IP datagrams": 1},
    ),
    "a message cut by the snapshot length": (
        lambda: [(0, "eth0", 1, ethernet("sm", usp())[:-2])], {"mmcp messages of which only the beginning is there": 1},
    ),
    "a report cut by the snapshot length": (
        lambda: [(0, "eth0", 1, good_link().matching("igmp.join.mn.0")[0].data[:-2])],
        {"igmp messages of which only the beginning is there": 1},
    ),
    "a hello cut by the snapshot length": (
        lambda: [(0, "eth0", 1, good_link().matching("pim.hello.a.0")[0].data[:-2])],
        {"pim messages of which only the beginning is there": 1},
    ),
    "UDP without its header": (
        lambda: on_ethernet(ip("10.0.0.1", "10.0.0.2", 17, b"abcd")), {"UDP datagrams cut off inside the header": 1},
    ),
    "a UDP Length of 6": (
        lambda: on_ethernet(usp()[:24] + b"\0\6" + usp()[26:]), {"UDP datagrams whose Length is shorter than their header": 1},
    ),
    "ARP": (lambda: [(0, "eth0", 1, bytes(12) + b"\x08\x06" + bytes(28))], {"frames of EtherType 0x0806": 1}),
    "another link type": (lambda: [(0, "eth0", 147, bytes(60))], {"frames of link type 147": 1}),
    "half a header": (lambda: [(0, "eth0", 1, ethernet("sm", usp())[:20])], {"frames cut off inside their headers": 1}),
    "nothing": (lambda: [(0, "eth0", 1, b"")], {"frames that hold no IP packet": 1}),
    "TCP": (lambda: on_ethernet(ip("10.0.0.1", "10.0.0.2", 6, bytes(20))), {"TCP segments of other protocols": 1}),
    "TCP cut off": (
        lambda: on_ethernet(ip("10.0.0.1", "10.0.0.2", 6, bytes(19))), {"TCP segments of which only the beginning is there": 1},
    ),
    "an acknowledgement": (
        lambda: on_ethernet(tcp(b"")), {"TCP segments that end no message": 1},
    ),
    "an echo": (lambda: on_ethernet(ip("::1", "::2", 58, b"\x80\0\0\0" + bytes(4))), {"ICMPv6 packets that are no MLD": 1}),
    "DVMRP": (lambda: on_ethernet(ip("10.0.0.1", "224.0.0.4", 2, b"\x13" + bytes(7))), {"IGMP messages of other types": 1}),
    "DNS": (
        lambda: on_ethernet(udp("10.0.0.1", "10.0.0.2", 53, 53, bytes(40))), {"UDP datagrams of other protocols": 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_READ)
def test_what_is_not_judged_is_counted_by_reason(case: str) -> None:
    frames, expected = NOT_READ[case]
    found = history(frames())
    assert list(found) == []
    assert found.passed_over == expected
    assert found.streams.found() == []


def test_kinds_of_noise_do_not_fill_memory() -> None:
    frames = ((0.0, "eth0", 1, bytes(12) + struct.pack("!H", 0x0900 + kind) + bytes(20)) for kind in range(500))
    found = history(frames)
    assert list(found) == []
    assert len(found.passed_over) == 65
    assert found.passed_over["frames of other kinds"] == 436


def test_malformed_messages_are_events() -> None:
    igmp = ip("10.0.0.1", "224.0.0.22", 2, bytes.fromhex("2200000000000005"))
    mld = ip("fe80::1", "ff02::16", 58, bytes.fromhex("8f00000000000005"))
    other = ip("10.0.0.1", "224.0.0.13", 103, bytes.fromhex("1000efff"))
    mmcp = udp("10.0.0.1", "10.0.0.2", PORT, PORT, b"\x01")
    events = list(history(on_ethernet(igmp, mld, other, mmcp)))
    assert [(event.protocol, event.kind) for event in events] == [
        (name, "malformed") for name in ("igmp", "mld", "pim", "mmcp")
    ]
    assert all(event.fields["reason"] for event in events)


@pytest.mark.parametrize("family", [4, 6])
def test_checksums_right_wrong_and_left_to_the_card(family: int) -> None:
    sm, mn = ("10.0.0.1", "10.0.0.2") if family == 4 else ("fe80::1", "fe80::2")
    right = udp(sm, mn, PORT, PORT, USP)
    at = 26 if family == 4 else 46
    wrong = right[:at] + bytes([right[at] ^ 1]) + right[at + 1 :]
    none = right[:at] + b"\0\0" + right[at + 2 :]
    # What Linux leaves in the field for a card to finish: the sum of the pseudo header.
    pseudo = right[-8 - len(USP) - (8 if family == 4 else 32) : -8 - len(USP)] + struct.pack("!HH", 17, 8 + len(USP))
    total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
    partial = right[:at] + struct.pack("!H", total % 0xFFFF) + right[at + 2 :]
    found = [event.fields["checksum"] for event in history(on_ethernet(right, wrong, none, partial))]
    assert found == [True, False, None if family == 4 else False, None]


@pytest.mark.parametrize("family", [4, 6])
def test_an_unreachable_port_is_an_event_of_its_protocol(family: int) -> None:
    """From the port that is not there to whom it refuses, whoever of the host's addresses said so."""
    mn, sm, router = ("10.0.0.1", "10.0.0.2", "10.0.0.9") if family == 4 else ("fe80::1", "fe80::2", "fe80::9")
    refused = udp(mn, sm, 4444, PORT, build({"packet": "SJR", "session_id": 5, "params": [["mn_id", "01"]]}))
    body = (b"\x03\x03" if family == 4 else b"\x01\x04") + bytes(6) + refused
    (event,) = history(on_ethernet(ip(router, mn, 1 if family == 4 else 58, body)))
    assert (event.protocol, event.kind, event.source, event.destination) == ("mmcp", "unreachable", sm, mn)
    assert (event.fields["session"], event.fields["ports"], event.fields["refused"]) == (5, (PORT, 4444), "SJR")
    short = history(on_ethernet(ip(router, mn, 1 if family == 4 else 58, body[: -len(refused) + 30])))
    assert list(short) == []
    assert short.passed_over.total() == 1


def test_packets_out_of_order_within_a_second_are_put_right() -> None:
    link = good_link()
    order = random.Random(1)
    late = sorted(
        (frame.at_s + order.random() * 0.9, frame) for frame in link.frames if not frame.tag.startswith("data")
    )
    found = history([(frame.at_s, "eth0", 1, frame.data) for _, frame in late])
    times = [event.t_ns for event in found]
    assert times == sorted(times)
    assert len(times) == len(late)
    assert found.late == 0


def test_packets_later_than_that_are_judged_where_they_stand() -> None:
    frames = [(at, "eth0", 1, ethernet("sm", usp())) for at in (10.0, 20.0, 30.0, 1.0, 31.0)]
    found = history(frames)
    assert sorted(event.t_ns for event in found) == [T0 + round(at * 1e9) for at in (1, 10, 20, 30, 31)]
    assert found.late == 1
    assert (found.begin_ns, found.end_ns) == (T0 + 1_000_000_000, T0 + 31_000_000_000)


def test_a_lab_tells_its_port(tmp_path: Path) -> None:
    path = tmp_path / "lab.pcapng"
    with path.open("wb") as stream:
        writer = PcapngWriter(stream, [Interface("mn:radio", 1)])
        writer.step({"t_ns": T0, "step": "parameters", "mmcp": {"port": 4711}})
        writer.frame(T0 + 1, 0, ethernet("sm", udp("10.0.0.1", "10.0.0.2", 4711, 4711, USP)))
        writer.flush()
    assert [event.kind for event in History(CaptureReader(path), every_protocol({}))] == ["parameters", "USP"]


def test_interfaces_and_numbers_are_the_files(tmp_path: Path) -> None:
    path = good_link().write(tmp_path / "a.pcapng")
    found = History(CaptureReader(path), every_protocol({}))
    numbers = {event.number for event in found}
    tags = [frame.tag for frame in good_link().ordered()]
    assert numbers == {number for number, tag in enumerate(tags, 1) if not tag.startswith("data")}
    assert found.frames == len(tags)
    assert [stream.packets for stream in found.streams.found()] == [2000]


def test_progress_is_told() -> None:
    seen: list[int] = []
    frame = ethernet("a", ip("10.0.0.1", "10.0.0.2", 6, bytes(20)))
    list(history(((0, "eth0", 1, frame) for _ in range(25_000)), progress=seen.append))
    assert seen == [10_000, 20_000]


# --- dissectors of this folder, against scapy's


def test_pim_hello_is_scapys() -> None:
    layer = PIMv2Hdr(type=0) / PIMv2Hello(option=[PIMv2HelloHoldtime(holdtime=105)])
    kind, fields = pim.dissect(bytes(IP(proto=103) / layer)[20:])
    assert (kind, fields["holdtime"], fields["generation"]) == ("hello", 105, None)
    assert pim.dissect(hello(3, 77))[1] == {"holdtime": 3, "generation": 77, "addresses": ()}


def jp(joins: list[Packet], prunes: list[Packet]) -> bytes:
    group = PIMv2GroupAddrs(
        gaddr="239.1.1.1", num_joins=len(joins), num_prunes=len(prunes), join_ips=joins, prune_ips=prunes
    )
    layer = PIMv2Hdr(type=3) / PIMv2JoinPrune(up_neighbor_ip="10.0.0.9", num_group=1, holdtime=210, jp_ips=[group])
    return bytes(IP(proto=103) / layer)[20:]


def test_pim_join_prune_is_scapys() -> None:
    shared = PIMv2JoinAddrs(wildcard=1, rpt=1, src_ip="10.9.9.9")
    octets = jp([shared], [PIMv2PruneAddrs(src_ip="10.0.0.5")])
    kind, fields = pim.dissect(octets)
    assert (kind, fields["upstream"], fields["holdtime"]) == ("join-prune", "10.0.0.9", 210)
    assert (fields["joins"], fields["prunes"]) == ([("*", "239.1.1.1")], [("10.0.0.5", "239.1.1.1")])


def test_pim_over_ipv6() -> None:
    kind, fields = pim.dissect(join_prune(6, "fe80::1", GROUPS[6], rendezvous="2001:db8::9"))
    assert (kind, fields["upstream"], fields["joins"]) == ("join-prune", "fe80::1", [("*", "ff1e::1:1")])
    secondary = struct.pack("!BBH", 0x20, 0, 0) + struct.pack("!HH", 24, 18) + b"\x02\0" + bytes(15) + b"\x05"
    assert pim.dissect(secondary)[1]["addresses"] == ("::5",)


@pytest.mark.parametrize(("octets", "seconds"), [(0, 0), (127, 127), (128, 128), (0x9F, 31 << 4), (0xFF, 31744)])
def test_exponential_codes(octets: int, seconds: int) -> None:
    message = igmp_mld.igmp(bytes([0x11, octets, 0, 0, 239, 1, 1, 1, 0x0A, octets, 0, 0]))
    assert isinstance(message, igmp_mld.Query)
    assert (message.max_response_s, message.interval_s) == (seconds / 10, seconds)
    assert (message.suppress, message.robustness, message.group) == (True, 2, "239.1.1.1")


def test_versions_of_queries() -> None:
    def version(octets: bytes) -> int:
        message = (igmp_mld.igmp if octets[0] == 0x11 else igmp_mld.mld)(octets)
        assert isinstance(message, igmp_mld.Query)
        return message.version

    assert [version(query(4, version=1)), version(query(4, version=2)), version(query(4))] == [1, 2, 3]
    assert [version(query(6, version=1)), version(query(6))] == [1, 2]


@given(
    st.sampled_from([igmp_mld.igmp, igmp_mld.mld, pim.dissect]),
    st.binary(max_size=60),
    st.integers(0, 59),
    st.data(),
)
def test_damaged_messages_raise_nothing_else(read: Any, noise: bytes, size: int, data: Any) -> None:
    whole = data.draw(
        st.sampled_from([noise, query(4), query(6), report(4, [(4, GROUPS[4])] * 3), report(6, [(3, GROUPS[6])]), hello(),
                         join_prune(4, "10.0.0.1", GROUPS[4], rendezvous="10.9.9.9")])
    )  # fmt: skip
    octets = bytearray(whole[: max(size, 1)] or b"\0")
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(octets))
    except MalformedMessageError as error:
        assert str(error)


@given(st.data())
def test_damaged_frames_never_stop_the_walk(data: Any) -> None:
    frames = []
    for sent in data.draw(st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=8)):
        octets = bytearray(sent)
        for _ in range(data.draw(st.integers(0, 4))):
            octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
        frames.append(
            (
                0.0,
                "eth0",
                data.draw(st.sampled_from([1, 1, 1, 101, 113, 276])),
                bytes(octets[: data.draw(st.integers(1, len(octets)))]),
            )
        )
    found = history(frames)
    events = list(found)
    counted = found.passed_over.total() + len({event.number for event in events})
    assert counted + sum(stream.packets for stream in found.streams._found.values()) == len(frames)
    assert all(isinstance(event, Event) for event in events)


SAMPLES = [
    ethernet("mn", tcp(RELAY * 2)),
    *(
        frame.data
        for pattern in ("igmp.join.mn.0", "mld.query.0", "pim.hello.a.0", "pim6.join.0", "h1.HCT", "data.5")
        for frame in ScriptedLink([replace(one) for one in good_link().frames]).matching(pattern)
    ),
]
