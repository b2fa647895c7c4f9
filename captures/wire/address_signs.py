"""What a wire shows of a host that comes by an address: DHCP, router advertisements, probes for duplicates, ARP.

Read by octet offset, and only as far as that question goes; what is cut off or malformed is no sign.
"""

from __future__ import annotations

import struct
from enum import StrEnum
from typing import NamedTuple

from captures.wire.headers import LINKTYPE_ETHERNET, Packet
from captures.wire.internet import printed

SIGNS_MAX = 65_536
"""How many are kept; there are a handful whenever a host moves."""

_SERVER_PORT, _CLIENT_PORT = 67, 68  # RFC 2131 4.1
_BOOTREPLY, _COOKIE, _COOKIE_AT, _YIADDR_AT = 2, b"\x63\x82\x53\x63", 236, 16  # RFC 2131 2 and 3
_PAD, _END, _MESSAGE_TYPE, _ACK = 0, 255, 53, 5  # RFC 2132 3.1, 3.2, 9.6
_ADVERTISEMENT, _SOLICITATION = 134, 135  # RFC 4861 4.2, 4.3
_OPTIONS_AT, _TARGET_AT, _PREFIX_INFORMATION = 16, 8, 3  # RFC 4861 4.2, 4.3, 4.6.2
_ARP = b"\x08\x06\x00\x01\x08\x00\x06\x04"  # EtherType; Ethernet and IPv4, with their lengths [RFC 826]
_ARP_AT, _ARP_OCTETS = 12, 42
_UNSPECIFIED = bytes(16)


class Sign(StrEnum):
    """What was seen of an address, or of a prefix."""

    ACKNOWLEDGED = "acknowledged"  # a DHCP server has given the address
    ADVERTISED = "advertised"  # a router says which prefix hosts may make addresses of
    PROBED = "probed"  # a host asks whether anybody has the address already
    USED = "used"  # a host speaks of it as its own in ARP


class AddressSign(NamedTuple):
    """One of them, as one interface saw it. `address`: printed, of a prefix with its length."""

    t_ns: int
    number: int
    interface: str
    sign: Sign
    address: str


def of_datagram(data: bytes, begin: int, end: int) -> tuple[Sign, str] | None:
    """What a UDP datagram says: a DHCP server's acknowledgement, or nothing."""
    source, destination = struct.unpack_from("!HH", data, begin)
    message = data[begin + 8 : end]
    if (source, destination) != (_SERVER_PORT, _CLIENT_PORT) or message[:1] != bytes([_BOOTREPLY]):
        return None
    at = _COOKIE_AT + len(_COOKIE)
    if message[_COOKIE_AT:at] != _COOKIE:
        return None
    while at + 2 < len(message) and message[at] != _END:
        if message[at] == _PAD:
            at += 1
            continue
        if message[at] == _MESSAGE_TYPE:
            is_given = message[at + 2] == _ACK
            return (Sign.ACKNOWLEDGED, printed(message[_YIADDR_AT : _YIADDR_AT + 4])) if is_given else None
        at += 2 + message[at + 1]
    return None


def of_icmpv6(packet: Packet, data: bytes) -> list[tuple[Sign, str]]:
    """What an ICMPv6 message says: a router's prefixes, a host's probe, or nothing."""
    body = data[packet.begin : packet.end]
    if body[:1] == bytes([_SOLICITATION]) and packet.source == _UNSPECIFIED and len(body) >= _TARGET_AT + 16:
        return [(Sign.PROBED, printed(body[_TARGET_AT : _TARGET_AT + 16]))]
    found = []
    if body[:1] == bytes([_ADVERTISEMENT]):
        at = _OPTIONS_AT
        while at + 2 <= len(body) and body[at + 1]:
            option = body[at : at + 8 * body[at + 1]]
            if option[0] == _PREFIX_INFORMATION and len(option) == 32:
                found.append((Sign.ADVERTISED, f"{printed(option[16:32])}/{option[2]}"))
            at += len(option)
    return found


def of_arp(link_type: int, data: bytes) -> tuple[Sign, str] | None:
    """What a frame says if it is ARP: a sender's own address, or a probe, which has none yet [RFC 5227 1.1]."""
    if link_type != LINKTYPE_ETHERNET or data[_ARP_AT : _ARP_AT + len(_ARP)] != _ARP or len(data) < _ARP_OCTETS:
        return None
    sender, target = data[28:32], data[38:42]
    return (Sign.USED, printed(sender)) if any(sender) else (Sign.PROBED, printed(target))


class AddressSigns:
    """All signs of a capture, in the order in which they were read; the first `SIGNS_MAX` are kept."""

    def __init__(self) -> None:
        self.found: list[AddressSign] = []
        self.left_out = 0

    def add(self, t_ns: int, number: int, interface: str, sign: Sign, address: str) -> None:
        """Keep one, or count it."""
        if len(self.found) < SIGNS_MAX:
            self.found.append(AddressSign(t_ns, number, interface, sign, address))
        else:
            self.left_out += 1
