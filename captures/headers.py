"""Link, IP and UDP headers by octet offset: cheap enough for every data packet of a stream.

Also the IGMP and MLD messages [RFC 3376, RFC 3810 and their older versions], which are few and small.
"""

from __future__ import annotations

import ipaddress
import struct
from functools import lru_cache
from typing import NamedTuple

LINKTYPE_ETHERNET = 1
_LINKTYPE_RAW = (12, 14, 101, 228, 229)
_LINKTYPE_LINUX_SLL = 113
_LINKTYPE_LINUX_SLL2 = 276
_LINKTYPE_NULL = (0, 108)

_ETHERTYPE_IPV4, _ETHERTYPE_IPV6 = 0x0800, 0x86DD
_ETHERTYPES_VLAN = (0x8100, 0x88A8)

PROTOCOL_IGMP = 2
PROTOCOL_UDP = 17
PROTOCOL_ICMPV6 = 58
_EXTENSION_HEADERS = (0, 43, 60)  # hop-by-hop, routing, destination options: next header, length in 8 octets - 1
_FRAGMENT_HEADER = 44

_IGMP_QUERY, _IGMPV1_REPORT, _IGMPV2_REPORT, _IGMPV2_LEAVE, _IGMPV3_REPORT = 0x11, 0x12, 0x16, 0x17, 0x22
_MLD_QUERY, _MLDV1_REPORT, _MLDV1_DONE, _MLDV2_REPORT = 130, 131, 132, 143
# Group record types, the same in IGMPv3 and MLDv2 [RFC 3376 4.2.12, RFC 3810 5.2.12].
_MODE_IS_INCLUDE, _MODE_IS_EXCLUDE, _TO_INCLUDE, _TO_EXCLUDE, _ALLOW, _BLOCK = range(1, 7)


class Packet(NamedTuple):
    """One IP packet inside a frame: payload is ``data[begin:end]``, addresses are packed, `protocol` the last header.

    `mac` is the link layer's source address, empty where the link type has none. `fragment` is true for all but the
    first fragment of a datagram, whose payload does not start with a transport header.
    """

    source: bytes
    destination: bytes
    protocol: int
    hop_limit: int
    begin: int
    end: int
    mac: bytes
    fragment: bool


class MembershipMessage(NamedTuple):
    """An IGMP or MLD message: `kind` is "query", "report" or "leave", the groups are printed addresses.

    `sources`: for each of `joins` the sources it is joined from, empty for any source.
    """

    version: str
    kind: str
    joins: tuple[str, ...]
    leaves: tuple[str, ...]
    sources: tuple[tuple[str, ...], ...] = ()


def known_link_type(link_type: int) -> bool:
    """Whether `ip_packet` can read frames of that LINKTYPE_."""
    return link_type in (LINKTYPE_ETHERNET, _LINKTYPE_LINUX_SLL, _LINKTYPE_LINUX_SLL2, *_LINKTYPE_RAW, *_LINKTYPE_NULL)


@lru_cache(maxsize=4096)
def printed(address: bytes) -> str:
    """Print a packed IPv4 or IPv6 address the canonical way."""
    return str(ipaddress.ip_address(address))


def ip_packet(link_type: int, data: bytes) -> Packet | None:
    """Find the IP packet in a frame; None for anything else and for frames cut inside the headers."""
    try:
        return _ip_packet(link_type, data)
    except (struct.error, IndexError):
        return None


def _ip_packet(link_type: int, data: bytes) -> Packet | None:
    mac = b""
    if link_type == LINKTYPE_ETHERNET:
        mac, at = data[6:12], 14
        ethertype = data[12] << 8 | data[13]
        while ethertype in _ETHERTYPES_VLAN:
            ethertype = data[at + 2] << 8 | data[at + 3]
            at += 4
    elif link_type == _LINKTYPE_LINUX_SLL:
        mac, at = data[6:12], 16
        ethertype = data[14] << 8 | data[15]
    elif link_type == _LINKTYPE_LINUX_SLL2:
        mac, at = data[12:18], 20
        ethertype = data[0] << 8 | data[1]
    elif link_type in _LINKTYPE_RAW or link_type in _LINKTYPE_NULL:
        at = 4 if link_type in _LINKTYPE_NULL else 0
        ethertype = {4: _ETHERTYPE_IPV4, 6: _ETHERTYPE_IPV6}.get(data[at] >> 4, 0)
    else:
        return None
    if ethertype == _ETHERTYPE_IPV4:
        return _ipv4(data, at, mac)
    return _ipv6(data, at, mac) if ethertype == _ETHERTYPE_IPV6 else None


def _ipv4(data: bytes, at: int, mac: bytes) -> Packet | None:
    if data[at] >> 4 != 4 or len(data) < at + 20:
        return None
    begin = at + (data[at] & 15) * 4
    # Total Length leaves the link layer's padding out; what was not captured is not there.
    end = min(at + (data[at + 2] << 8 | data[at + 3]), len(data))
    fragment = bool((data[at + 6] & 0x1F) | data[at + 7])
    return Packet(
        data[at + 12 : at + 16], data[at + 16 : at + 20], data[at + 9], data[at + 8], begin, end, mac, fragment
    )


def _ipv6(data: bytes, at: int, mac: bytes) -> Packet | None:
    if data[at] >> 4 != 6 or len(data) < at + 40:
        return None
    protocol, begin, fragment = data[at + 6], at + 40, False
    end = min(begin + (data[at + 4] << 8 | data[at + 5]), len(data))
    while protocol in _EXTENSION_HEADERS or protocol == _FRAGMENT_HEADER:
        if protocol == _FRAGMENT_HEADER:
            fragment = bool(struct.unpack_from("!H", data, begin + 2)[0] >> 3)
            size = 8
        else:
            size = (data[begin + 1] + 1) * 8
        protocol, begin = data[begin], begin + size
        if fragment:
            break
    return Packet(data[at + 8 : at + 24], data[at + 24 : at + 40], protocol, data[at + 7], begin, end, mac, fragment)


def membership_message(packet: Packet, data: bytes) -> MembershipMessage | None:
    """Read an IGMP or MLD message; None for other protocols, other ICMPv6 and messages cut short."""
    if packet.fragment:
        return None
    body = data[packet.begin : packet.end]
    try:
        if packet.protocol == PROTOCOL_IGMP:
            return _igmp(body)
        return _mld(body) if packet.protocol == PROTOCOL_ICMPV6 else None
    except (struct.error, IndexError, ValueError):
        return None


def _igmp(body: bytes) -> MembershipMessage | None:
    kind = body[0]
    if kind == _IGMPV3_REPORT:
        return MembershipMessage("IGMPv3", "report", *_records(body, 4))
    group = printed(body[4:8])
    if kind in (_IGMPV1_REPORT, _IGMPV2_REPORT):
        return MembershipMessage("IGMPv1" if kind == _IGMPV1_REPORT else "IGMPv2", "report", (group,), ())
    if kind == _IGMPV2_LEAVE:
        return MembershipMessage("IGMPv2", "leave", (), (group,))
    return MembershipMessage("IGMP", "query", (), ()) if kind == _IGMP_QUERY else None


def _mld(body: bytes) -> MembershipMessage | None:
    kind = body[0]
    if kind == _MLDV2_REPORT:
        return MembershipMessage("MLDv2", "report", *_records(body, 16))
    if kind == _MLD_QUERY:
        return MembershipMessage("MLD", "query", (), ())
    if kind == _MLDV1_REPORT:
        return MembershipMessage("MLDv1", "report", (printed(body[8:24]),), ())
    return MembershipMessage("MLDv1", "leave", (), (printed(body[8:24]),)) if kind == _MLDV1_DONE else None


def _records(body: bytes, address_octets: int) -> tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Groups joined, groups left, and for each joined its sources, by the records of an IGMPv3 or MLDv2 report."""
    joins: list[str] = []
    joined_from: list[tuple[str, ...]] = []
    leaves: list[str] = []
    offset = 8
    for _ in range(struct.unpack_from("!H", body, 6)[0]):
        kind, auxiliary, sources = struct.unpack_from("!BBH", body, offset)
        group = printed(body[offset + 4 : offset + 4 + address_octets])
        if kind in (_MODE_IS_EXCLUDE, _TO_EXCLUDE) or (kind in (_MODE_IS_INCLUDE, _TO_INCLUDE, _ALLOW) and sources):
            joins.append(group)
            first = offset + 4 + address_octets
            ends = range(first, first + address_octets * sources, address_octets)
            named = tuple(printed(body[at : at + address_octets]) for at in ends)
            joined_from.append(() if kind in (_MODE_IS_EXCLUDE, _TO_EXCLUDE) else named)
        elif kind in (_TO_INCLUDE, _BLOCK):
            # BLOCK of some sources is no full leave of an any-source membership, but it asks for nothing either.
            leaves.append(group)
        offset += 4 + address_octets * (1 + sources) + auxiliary * 4
    return tuple(joins), tuple(leaves), tuple(joined_from)
