"""Internet addresses as they are printed, and the Internet checksum [RFC 1071] as it is seen on a wire."""

from __future__ import annotations

import ipaddress
import struct
from functools import lru_cache


@lru_cache(maxsize=4096)
def printed(address: bytes) -> str:
    """Print a packed IPv4 or IPv6 address the canonical way."""
    return str(ipaddress.ip_address(address))


def ones_complement_sum(data: bytes) -> int:
    """Sum of the 16-bit words, an odd last octet padded with zero; 0xFFFF where a checksum inside is right."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    # Carries come back in at the low end, which is what counting modulo 0xFFFF does; 0 only stays 0.
    return (total - 1) % 0xFFFF + 1 if total else 0


def pseudo_header(source: bytes, destination: bytes, protocol: int, size: int) -> bytes:
    """What UDP, ICMPv6 and PIM over IPv6 sum in front of their own octets [RFC 768, RFC 8200 8.1]."""
    if len(source) == 4:
        return source + destination + struct.pack("!BBH", 0, protocol, size)
    return source + destination + struct.pack("!II", size, protocol)


def checksum_right(data: bytes, pseudo: bytes = b"", *, at: int) -> bool | None:
    """Whether the checksum that `data` holds `at` an offset, over `pseudo` and `data`, is right.

    None where the wire cannot tell: the sender's kernel left the sum to its network card, which it shows by writing the
    sum of the pseudo header alone.
    """
    if ones_complement_sum(pseudo + data) == 0xFFFF:
        return True
    if pseudo and struct.unpack_from("!H", data, at)[0] == ones_complement_sum(pseudo):
        return None
    return False


@lru_cache(maxsize=4096)
def packed(address: str) -> bytes:
    """The octets of a printed address. Raises ValueError if it is none."""
    return ipaddress.ip_address(address).packed
