"""Link, IP and UDP headers by octet offset: cheap enough for every data packet of a stream."""

from __future__ import annotations

import struct
from typing import NamedTuple

# Link types, as captures number them
LINKTYPE_ETHERNET = 1
LINKTYPE_RAW = 101  # an IP packet without a link layer
LINKTYPE_LINUX_SLL = 113
LINKTYPE_LINUX_SLL2 = 276
_LINKTYPES_RAW = (12, 14, LINKTYPE_RAW, 228, 229)
_LINKTYPES_NULL = (0, 108)

_ETHERTYPE_IPV4, _ETHERTYPE_IPV6 = 0x0800, 0x86DD
_ETHERTYPES_VLAN = (0x8100, 0x88A8, 0x9100)
_COOKED_ALL = 3  # in a cooked frame's protocol field: no EtherType but ETH_P_ALL
_VLANS_MAX = 4  # around one packet; nobody's network has more than two

PROTOCOL_ICMP = 1
PROTOCOL_IGMP = 2
PROTOCOL_IPV4 = 4  # IPv4 in IP [RFC 2003, RFC 2473]
PROTOCOL_TCP = 6
PROTOCOL_UDP = 17
PROTOCOL_IPV6 = 41  # IPv6 in IP [RFC 2473, RFC 4213]
PROTOCOL_ICMPV6 = 58
PROTOCOL_PIM = 103
_EXTENSION_HEADERS = (0, 43, 60)  # hop-by-hop, routing, destination options: next header, length in 8 octets - 1
_FRAGMENT_HEADER = 44


class Packet(NamedTuple):
    """One IP packet inside a frame: payload is ``data[begin:end]``, addresses are packed, `protocol` the last header.

    `mac` is the link layer's source address, empty where the link type has none. `fragment` is true for all but the
    first fragment of a datagram, whose payload does not start with a transport header; `incomplete` for a first one and
    for a packet of which the capture kept only the beginning. The IP header starts at `ip`; `vlans` are the VLAN IDs
    around it, the outer one first.
    """

    source: bytes
    destination: bytes
    protocol: int
    hop_limit: int
    begin: int
    end: int
    mac: bytes
    fragment: bool
    incomplete: bool
    ip: int
    vlans: tuple[int, ...]


def known_link_type(link_type: int) -> bool:
    """Whether `ip_packet` can read frames of that LINKTYPE_."""
    return link_type in (LINKTYPE_ETHERNET, LINKTYPE_LINUX_SLL, LINKTYPE_LINUX_SLL2, *_LINKTYPES_RAW, *_LINKTYPES_NULL)


def ip_packet(link_type: int, data: bytes) -> Packet | None:
    """Find the IP packet in a frame; None for anything else and for frames cut inside the headers."""
    try:
        return _ip_packet(link_type, data)
    except (struct.error, IndexError):
        return None


def _ip_packet(link_type: int, data: bytes) -> Packet | None:
    mac = b""
    vlans: tuple[int, ...] = ()
    if link_type == LINKTYPE_ETHERNET:
        mac, ethertype, at, vlans = _ethernet(data, 0)
    elif link_type == LINKTYPE_LINUX_SLL:
        mac, at = data[6:12], 16
        ethertype = data[14] << 8 | data[15]
    elif link_type == LINKTYPE_LINUX_SLL2:
        mac, at = data[12:18], 20
        ethertype = data[0] << 8 | data[1]
    elif link_type in _LINKTYPES_RAW or link_type in _LINKTYPES_NULL:
        at = 4 if link_type in _LINKTYPES_NULL else 0
        ethertype = {4: _ETHERTYPE_IPV4, 6: _ETHERTYPE_IPV6}.get(data[at] >> 4, 0)
    else:
        return None
    if ethertype == _COOKED_ALL and link_type in (LINKTYPE_LINUX_SLL, LINKTYPE_LINUX_SLL2):
        # Sent by a socket that takes all protocols: what follows is a whole Ethernet frame, or only its packet.
        packet = _ipv4(data, at, mac, vlans) or _ipv6(data, at, mac, vlans)
        if packet is not None and packet.begin <= packet.end and not packet.incomplete:
            return packet
        mac, ethertype, at, vlans = _ethernet(data, at)
    if ethertype == _ETHERTYPE_IPV4:
        return _ipv4(data, at, mac, vlans)
    return _ipv6(data, at, mac, vlans) if ethertype == _ETHERTYPE_IPV6 else None


def _ethernet(data: bytes, at: int) -> tuple[bytes, int, int, tuple[int, ...]]:
    """Source address, EtherType, offset behind the header and VLAN IDs of an Ethernet frame that begins `at` an offset."""
    mac = data[at + 6 : at + 12]
    ethertype = data[at + 12] << 8 | data[at + 13]
    at += 14
    vlans: tuple[int, ...] = ()
    while ethertype in _ETHERTYPES_VLAN and len(vlans) < _VLANS_MAX:
        vlans = (*vlans, (data[at] & 15) << 8 | data[at + 1])
        ethertype = data[at + 2] << 8 | data[at + 3]
        at += 4
    return mac, ethertype, at, vlans


def _ipv4(data: bytes, at: int, mac: bytes, vlans: tuple[int, ...]) -> Packet | None:
    if data[at] >> 4 != 4 or len(data) < at + 20:
        return None
    begin = at + (data[at] & 15) * 4
    # Total Length leaves the link layer's padding out; what was not captured is not there.
    whole = at + (data[at + 2] << 8 | data[at + 3])
    if whole == at:
        whole = len(data)  # a capture at the sender may show what its network card was yet to cut into packets
    end = min(whole, len(data))
    fragment = bool((data[at + 6] & 0x1F) | data[at + 7])
    incomplete = whole > len(data) or bool(data[at + 6] & 0x20)
    source, destination = data[at + 12 : at + 16], data[at + 16 : at + 20]
    return Packet(
        source, destination, data[at + 9], data[at + 8], begin, end, mac, fragment, incomplete, ip=at, vlans=vlans
    )


def _ipv6(data: bytes, at: int, mac: bytes, vlans: tuple[int, ...]) -> Packet | None:
    if data[at] >> 4 != 6 or len(data) < at + 40:
        return None
    protocol, begin, fragment = data[at + 6], at + 40, False
    whole = begin + (data[at + 4] << 8 | data[at + 5])
    end, incomplete = min(whole, len(data)), whole > len(data)
    while protocol in _EXTENSION_HEADERS or protocol == _FRAGMENT_HEADER:
        if protocol == _FRAGMENT_HEADER:
            offset_and_more = struct.unpack_from("!H", data, begin + 2)[0]
            fragment, incomplete = bool(offset_and_more >> 3), incomplete or bool(offset_and_more & 1)
            size = 8
        else:
            size = (data[begin + 1] + 1) * 8
        protocol, begin = data[begin], begin + size
        if fragment:
            break
    source, destination = data[at + 8 : at + 24], data[at + 24 : at + 40]
    return Packet(
        source, destination, protocol, data[at + 7], begin, end, mac, fragment, incomplete, ip=at, vlans=vlans
    )


def router_alert(packet: Packet, data: bytes) -> bool:
    """Whether a packet has the Router Alert option [RFC 2113, RFC 2711]; only asked of a packet that `ip_packet` found."""
    ip = packet.ip
    if len(packet.source) == 4:
        return _has_option(data[ip + 20 : packet.begin], 148, padding=1, end=0, counted=0)
    if data[ip + 6] != 0:
        return False  # the hop-by-hop header comes first or not at all
    return _has_option(data[ip + 42 : ip + 40 + (data[ip + 41] + 1) * 8], 5, padding=0, end=None, counted=2)


def _has_option(options: bytes, wanted: int, *, padding: int, end: int | None, counted: int) -> bool:
    """Walk options of type, length and value; `counted` are the octets that the length leaves out."""
    offset = 0
    while offset + 1 < len(options):
        code = options[offset]
        if code == wanted:
            return True
        if code == end:
            return False
        offset += 1 if code == padding else max(options[offset + 1] + counted, 2)
    return False
