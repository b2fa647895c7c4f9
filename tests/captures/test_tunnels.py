"""IP in IP: what is in a tunnel is an event or a stream of its own, on a link of its own."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captures.history.data import DataWindows
from captures.history.history import History
from captures.history.packets import TUNNELS_MAX
from captures.mmcp.dissector import build
from captures.wire.headers import PROTOCOL_IPV4, PROTOCOL_IPV6
from tests.captures.histories import RELAY, history, on_ethernet, tcp
from tests.captures.scripted_link import GROUPS, PORT, ip, query, report, summed, udp

FOUR, SIX = ("198.51.100.1", "198.51.100.2"), ("2001:db8::1", "2001:db8::2")
USP = udp("10.0.0.10", "10.0.0.21", PORT, PORT, build({"packet": "USP", "session_id": 1}), hops=9)
SIX_USP = udp("fe80::10", "fe80::21", PORT, PORT, build({"packet": "USP", "session_id": 1}), hops=9)


def tunnelled(packet: bytes, ends: tuple[str, str] = FOUR) -> bytes:
    protocol = PROTOCOL_IPV4 if packet[0] >> 4 == 4 else PROTOCOL_IPV6
    return ip(*ends, protocol, packet, hops=64)


def rtp(sequence: int) -> bytes:
    return udp(
        "10.9.9.9", GROUPS[4], 5004, 5004, struct.pack("!BBHII", 0x80, 33, sequence, sequence * 90, 7) + bytes(20)
    )


@pytest.mark.parametrize("ends", [FOUR, SIX], ids=["in IPv4", "in IPv6"])
@pytest.mark.parametrize("inner", [USP, SIX_USP], ids=["IPv4", "IPv6"])
def test_a_message_in_a_tunnel_is_an_event_with_the_tunnels_ends(inner: bytes, ends: tuple[str, str]) -> None:
    (event,) = history(on_ethernet(tunnelled(inner, ends)))
    assert (event.protocol, event.kind, event.interface) == ("mmcp", "USP", "eth0.tunnel1")
    assert event.fields["tunnels"] == (ends,)
    assert (event.fields["hop_limit"], event.fields["mac"], event.fields["checksum"]) == (9, "", True)
    assert event.node == "eth0.tunnel1"


def test_everything_is_found_in_a_tunnel() -> None:
    sum4 = summed(report(4, [(4, GROUPS[4])]), 2)
    inner = [
        ip("10.0.0.21", "224.0.0.22", 2, sum4, alert=True),
        ip("10.0.0.1", "224.0.0.1", 2, summed(query(4), 2)),
        tcp(RELAY),
    ]
    found = list(history(on_ethernet(*map(tunnelled, inner))))
    assert [(event.protocol, event.kind) for event in found] == [
        ("igmp", "report"), ("igmp", "query"), ("omcp", "Relay Request"),
    ]  # fmt: skip
    assert found[0].fields["alert"] is True


def test_a_stream_in_a_tunnel_is_counted_apart_from_the_one_outside() -> None:
    packets = [packet for n in range(20) for packet in (tunnelled(rtp(n)), rtp(n))]
    found = history(on_ethernet(*packets))
    assert list(found) == []
    assert {stream.key.interface: (stream.packets, stream.duplicates) for stream in found.streams.found()} == {
        "eth0.tunnel1": (20, 0), "eth0": (20, 0),
    }  # fmt: skip


def test_data_windows_tell_of_it_too() -> None:
    events = list(history(on_ethernet(*(tunnelled(rtp(n)) for n in range(5))), data=DataWindows()))
    assert {(event.interface, event.destination) for event in events} == {("eth0.tunnel1", GROUPS[4])}
    assert sum(event.fields["packets"] for event in events) == 5


def test_a_tunnel_is_one_link_in_both_directions_and_another_pair_is_another() -> None:
    back, other = (FOUR[1], FOUR[0]), (FOUR[0], "198.51.100.9")
    found = history(on_ethernet(*(tunnelled(USP, ends) for ends in (FOUR, back, other, SIX))))
    assert [event.interface for event in found] == ["eth0.tunnel1", "eth0.tunnel1", "eth0.tunnel2", "eth0.tunnel3"]
    assert found.tunnels.named()["tunnel1"] == FOUR
    assert "tunnel1 is the tunnel between 198.51.100.1 and 198.51.100.2" in found.warnings()
    assert set(found.began) == {"eth0", "eth0.tunnel1", "eth0.tunnel2", "eth0.tunnel3"}


def nested(depth: int) -> bytes:
    packet = USP
    for number in range(depth):
        packet = tunnelled(packet, (f"10.1.0.{number}", f"10.2.0.{number}"))
    return packet


def test_tunnels_in_tunnels_are_looked_into_so_deep_and_no_deeper() -> None:
    (event,) = history(on_ethernet(nested(TUNNELS_MAX)))
    outer_first = tuple((f"10.1.0.{n}", f"10.2.0.{n}") for n in reversed(range(TUNNELS_MAX)))
    assert event.fields["tunnels"] == outer_first
    deeper = history(on_ethernet(nested(TUNNELS_MAX + 1)))
    assert list(deeper) == []
    assert deeper.passed_over == {f"packets in more than {TUNNELS_MAX} tunnels": 1}


NO_PACKET = "packets in tunnels that are no IP packet or cut off"
CUT_OFF = "mmcp messages of which only the beginning is there"


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (ip(*FOUR, PROTOCOL_IPV4, b""), NO_PACKET),
        (ip(*FOUR, PROTOCOL_IPV4, USP[:19]), NO_PACKET),
        (ip(*FOUR, PROTOCOL_IPV4, b"\xff" * 40), NO_PACKET),
        (ip(*FOUR, PROTOCOL_IPV6, USP), NO_PACKET),
        (ip(*FOUR, PROTOCOL_IPV4, SIX_USP), NO_PACKET),
        (ip(*FOUR, PROTOCOL_IPV4, USP[:-1]), CUT_OFF),
        (tunnelled(USP)[:-1], CUT_OFF),
        (tunnelled(USP[:6] + b"\x20\x00" + USP[8:]), CUT_OFF),  # more fragments follow, inside
        (tunnelled(USP[:6] + b"\x00\x02" + USP[8:]), "later fragments of IP datagrams"),
    ],
)  # fmt: skip
def test_what_is_no_packet_in_a_tunnel_is_counted(packet: bytes, reason: str) -> None:
    found = history(on_ethernet(packet))
    assert list(found) == []
    assert found.passed_over == {reason: 1}


def test_a_flood_of_tunnels_is_bounded() -> None:
    packets = (tunnelled(USP, (f"10.{n >> 8}.{n & 255}.1", "198.51.100.2")) for n in range(1500))
    found = history(on_ethernet(*packets))
    names = {event.interface for event in found}
    assert len(names) == 1025
    assert "eth0.tunnels" in names


@given(st.data())
def test_damaged_tunnels_never_stop_the_walk(data: Any) -> None:
    octets = bytearray(
        data.draw(st.sampled_from([nested(1), nested(2), nested(3), tunnelled(SIX_USP, SIX), tunnelled(rtp(1))]))
    )
    for _ in range(data.draw(st.integers(0, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    found: History = history(on_ethernet(bytes(octets[: data.draw(st.integers(1, len(octets)))])))
    events = list(found)
    counted = found.passed_over.total() + sum(stream.packets for stream in found.streams._found.values())
    assert len({event.number for event in events}) + counted == 1
