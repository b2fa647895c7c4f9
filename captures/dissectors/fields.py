"""Kinds of scapy fields that several protocols have, and the Internet checksum (RFC 1071) that two of them carry."""

from __future__ import annotations

import ipaddress

from scapy.fields import StrLenField
from scapy.packet import Packet
from scapy.utils import checksum

ADDRESS_OCTETS = (4, 16)  # IPv4 and IPv6

_CHECKSUM_AT = 2  # the third and fourth octet, in every protocol that has one


class AddressField(StrLenField):
    """An IPv4 or IPv6 address as long as its message leaves room for; other sizes are kept and shown as hex."""

    def any2i(self, _pkt: Packet | None, x: str | bytes) -> bytes:
        """A printed address, or octets as they are."""
        return ipaddress.ip_address(x).packed if isinstance(x, str) else bytes(x)

    def i2h(self, _pkt: Packet | None, x: bytes) -> str:
        """Printed canonically, or in hex where the size is no address's."""
        return str(ipaddress.ip_address(x)) if len(x) in ADDRESS_OCTETS else bytes(x).hex()

    def i2repr(self, pkt: Packet | None, x: bytes) -> str:
        """As `i2h`."""
        return self.i2h(pkt, x)


def utf8_problem(octets: bytes, offset: int) -> str | None:
    """Say at which octet a text that stands at `offset` stops being UTF-8, None if it is."""
    try:
        octets.decode()
    except UnicodeDecodeError as error:
        return f"octet {offset + error.start}: text is no UTF-8"
    return None


def with_checksum(message: bytes) -> bytes:
    """The message with its checksum filled in."""
    return message[:_CHECKSUM_AT] + _right_checksum(message).to_bytes(2) + message[_CHECKSUM_AT + 2 :]


def checksum_problem(message: bytes) -> str | None:
    """Say what is wrong with the checksum of a whole message, None if nothing is.

    It is right if the sum over everything is all ones, as RFC 1071 has it: 0xffff serves where 0 is computed.
    """
    if checksum(message) == 0:
        return None
    is_now = int.from_bytes(message[_CHECKSUM_AT : _CHECKSUM_AT + 2])
    return f"octet {_CHECKSUM_AT}: Checksum is {is_now:#06x}, the octets give {_right_checksum(message):#06x}"


def _right_checksum(message: bytes) -> int:
    return checksum(message[:_CHECKSUM_AT] + bytes(2) + message[_CHECKSUM_AT + 2 :])
