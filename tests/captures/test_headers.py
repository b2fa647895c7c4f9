"""Headers found by offset against the same packets as scapy builds them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.igmp import IGMP, IGMPv3_MR, IGMPv3_MR_Group
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import (
    ICMPv6MLDMultAddrRec,
    ICMPv6MLDone,
    ICMPv6MLQuery2,
    ICMPv6MLReport,
    ICMPv6MLReport2,
    IPv6,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    RouterAlert,
)
from scapy.layers.l2 import CookedLinux, CookedLinuxV2, Dot1Q, Ether, Loopback
from scapy.packet import Packet

from captures.dissectors import igmp_mld
from captures.wire import headers
from captures.wire.headers import PROTOCOL_ICMPV6, PROTOCOL_IGMP, ip_packet
from captures.wire.internet import printed
from captures.wire.malformed import MalformedMessageError

UDP4 = IP(src="10.0.1.2", dst="239.1.1.1", ttl=7) / UDP(sport=1, dport=5004) / b"payload"
UDP6 = IPv6(src="2001:db8::1", dst="ff1e::1:1", hlim=7) / UDP(sport=1, dport=5004) / b"payload"
MAC = "02:00:00:00:00:01"
GROUP4, GROUP6 = "239.1.1.1", "ff1e::1:1"


@pytest.mark.parametrize("inner", [UDP4, UDP6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(
    ("link_type", "outer"),
    [
        (1, Ether(src=MAC, dst="01:00:5e:01:01:01")),
        (1, Ether(src=MAC, dst="01:00:5e:01:01:01") / Dot1Q(vlan=5)),
        (1, Ether(src=MAC, dst="01:00:5e:01:01:01", type=0x88A8) / Dot1Q(vlan=5) / Dot1Q(vlan=6)),
        (113, CookedLinux(src=bytes.fromhex("020000000001") + b"\0\0", lladdrlen=6)),
        (276, CookedLinuxV2(src=bytes.fromhex("020000000001") + b"\0\0", lladdrlen=6)),
        (101, None),
        (0, Loopback()),
    ],
)
def test_ip_and_udp_are_found(link_type: int, outer: Packet | None, inner: Packet) -> None:
    data = bytes(inner if outer is None else outer / inner)
    packet = ip_packet(link_type, data + b"link padding")
    assert packet is not None
    assert printed(packet.destination) in (GROUP4, GROUP6)
    assert (packet.protocol, packet.hop_limit, packet.fragment) == (17, 7, False)
    assert data[packet.begin + 8 : packet.end] == b"payload"
    assert packet.mac == (b"" if link_type in (101, 0) else bytes.fromhex("020000000001"))


def test_later_fragments_are_known_as_such() -> None:
    first = ip_packet(101, bytes(IP(src="10.0.0.1", dst=GROUP4, flags="MF") / UDP()))
    later = ip_packet(101, bytes(IP(src="10.0.0.1", dst=GROUP4, frag=3, proto=17) / b"rest"))
    later6 = ip_packet(101, bytes(IPv6(src="::1", dst=GROUP6) / IPv6ExtHdrFragment(offset=4, nh=17) / b"rest"))
    assert [found is not None and found.fragment for found in (first, later, later6)] == [False, True, True]


def record4(kind: int, sources: list[str]) -> IGMPv3_MR_Group:
    return IGMPv3_MR_Group(rtype=kind, maddr=GROUP4, numsrc=len(sources), srcaddrs=sources)


def igmp(layer: Packet) -> Packet:
    return IP(src="10.0.1.100", dst="224.0.0.22", ttl=1, options=[], proto=2) / layer


def report3(*records: IGMPv3_MR_Group) -> Packet:
    return igmp(IGMPv3_MR(numgrp=len(records), records=list(records)))


def mld(layer: Packet) -> Packet:
    return IPv6(src="fe80::1", dst="ff02::16", hlim=1) / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / layer


def report2(kind: int, sources: list[str]) -> Packet:
    record = ICMPv6MLDMultAddrRec(rtype=kind, dst=GROUP6, sources=sources, sources_number=len(sources))
    return mld(ICMPv6MLReport2(records=[record], records_number=1))


def read(packet: headers.Packet, data: bytes) -> igmp_mld.Query | igmp_mld.Report | None:
    """The membership message of an IP packet, None if it holds none. Raises `MalformedMessageError`."""
    body = data[packet.begin : packet.end]
    if packet.fragment or not body or packet.protocol not in (PROTOCOL_IGMP, PROTOCOL_ICMPV6):
        return None
    return igmp_mld.igmp(body) if packet.protocol == PROTOCOL_IGMP else igmp_mld.mld(body)


JOIN, LEAVE, NOTHING = "join", "leave", "nothing"


@pytest.mark.parametrize(
    ("packet", "version", "kind", "meaning"),
    [
        (igmp(IGMP(type=0x12, gaddr=GROUP4)), "IGMPv1", "report", JOIN),
        (igmp(IGMP(type=0x16, gaddr=GROUP4)), "IGMPv2", "report", JOIN),
        (igmp(IGMP(type=0x17, gaddr=GROUP4)), "IGMPv2", "leave", LEAVE),
        (igmp(IGMP(type=0x11, gaddr="0.0.0.0")), "IGMP", "query", NOTHING),
        (report3(record4(2, [])), "IGMPv3", "report", JOIN),
        (report3(record4(4, [])), "IGMPv3", "report", JOIN),
        (report3(record4(4, ["10.0.0.1"])), "IGMPv3", "report", JOIN),
        (report3(record4(1, ["10.0.0.1", "10.0.0.2"])), "IGMPv3", "report", JOIN),
        (report3(record4(5, ["10.0.0.1"])), "IGMPv3", "report", JOIN),
        (report3(record4(3, ["10.0.0.1"])), "IGMPv3", "report", JOIN),
        (report3(record4(3, [])), "IGMPv3", "report", LEAVE),
        (report3(record4(6, ["10.0.0.1"])), "IGMPv3", "report", LEAVE),
        (report3(record4(1, [])), "IGMPv3", "report", NOTHING),
        (mld(ICMPv6MLReport(mladdr=GROUP6)), "MLDv1", "report", JOIN),
        (mld(ICMPv6MLDone(mladdr=GROUP6)), "MLDv1", "leave", LEAVE),
        (mld(ICMPv6MLQuery2()), "MLD", "query", NOTHING),
        (report2(4, []), "MLDv2", "report", JOIN),
        (report2(2, []), "MLDv2", "report", JOIN),
        (report2(3, []), "MLDv2", "report", LEAVE),
        (report2(5, ["2001:db8::1"]), "MLDv2", "report", JOIN),
    ],
)
def test_membership_messages_mean_what_scapy_meant(packet: Packet, version: str, kind: str, meaning: str) -> None:
    data = bytes(Ether(src=MAC, dst="01:00:5e:00:00:16") / packet)
    found = ip_packet(1, data)
    assert found is not None
    assert found.hop_limit == 1
    message = read(found, data)
    family = "IGMP" if packet.haslayer(IP) else "MLD"
    if kind == "query":
        assert isinstance(message, igmp_mld.Query)
        assert (family, meaning) == (version, NOTHING)
        return
    assert isinstance(message, igmp_mld.Report)
    assert (f"{family}v{message.version}", "leave" if message.leave else "report") == (version, kind)
    group = GROUP4 if family == "IGMP" else GROUP6
    assert [record.group for record in message.records if record.joins()] == ([group] if meaning == JOIN else [])
    assert [record.group for record in message.records if record.leaves()] == ([group] if meaning == LEAVE else [])


def test_second_record_is_found_behind_the_sources_of_the_first() -> None:
    other = IGMPv3_MR_Group(rtype=4, maddr="239.9.9.9")
    data = bytes(report3(record4(5, ["10.0.0.1", "10.0.0.2"]), other))
    found = ip_packet(101, data)
    assert found is not None
    message = read(found, data)
    assert isinstance(message, igmp_mld.Report)
    assert [record.group for record in message.records if record.joins()] == [GROUP4, "239.9.9.9"]


FRAMES: list[bytes] = [bytes(Ether() / packet) for packet in (UDP4, UDP6, report3(record4(4, [])), report2(4, []))]


@given(st.sampled_from([0, 1, 101, 113, 276, 999]), st.data())
def test_damaged_frames_raise_nothing_else_than_that_they_are_malformed(link_type: int, data: Any) -> None:
    frame = bytearray(data.draw(st.one_of(st.sampled_from(FRAMES), st.binary(max_size=90))))
    for _ in range(data.draw(st.integers(0, 3)) if frame else 0):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    octets = bytes(frame[: data.draw(st.integers(0, len(frame)))])
    packet = ip_packet(link_type, octets)
    if packet is not None:
        with suppress(MalformedMessageError):
            read(packet, octets)
