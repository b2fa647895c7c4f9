"""IGMP and MLD reports as they leave an interface: the kernel's, which are watched, and our own, ahead of those.

The kernel reports a change of a membership some timer ticks after it, up to 12 ms at 250 Hz, and a cell that filters by
reports lets nothing through meanwhile. As a host of IGMPv1 or v2 it reports nothing at all while somebody stays a member.
"""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
from ipaddress import ip_address
from pathlib import Path

# <linux/in.h> and <linux/in6.h>, not in Python's socket module.
_IP_MULTICAST_IF = 32
_ALLOW_NEW_SOURCES, _MODE_IS_EXCLUDE = 5, 2  # RFC 3376 4.2.12, RFC 3810 5.2.12
_IGMP_REPORT = {1: 0x12, 2: 0x16, 3: 0x22}  # by version: RFC 1112, RFC 2236 2.1, RFC 3376 4
_MLD_REPORT = {1: 131, 2: 143}  # RFC 2710 3.1, RFC 3810 5.2
_ALL_ROUTERS = {4: "224.0.0.22", 6: "ff02::16"}  # where reports of the newest version go
NEWEST = {4: 3, 6: 2}
_IGMP_ROUTER_ALERT = bytes.fromhex("94040000")  # RFC 2113
_MLD_ROUTER_ALERT = bytes.fromhex("0000050200000100")  # a hop-by-hop header: RFC 2711, and padding
_INTERNETWORK_CONTROL = 0xC0  # precedence of IGMP, as Linux sends it
_LINK_LOCAL = "20"  # scope in /proc/net/if_inet6
_SO_ATTACH_FILTER = 26
_ETH_P_ALL = 0x0003
DEADLINE = 0.5  # s; a kernel sends its first report within two timer ticks, 20 ms at most


def igmp_version(interface: str) -> int:
    """The version in which the kernel is an IGMP host on an interface: as it is told to be, or as it has heard a querier."""
    for line in Path("/proc/thread-self/net/igmp").read_text().splitlines():
        words = line.split()
        if len(words) > 4 and words[1] == interface:
            return int(words[-1].removeprefix("V"))
    return NEWEST[4]


def mld_version(interface: str) -> int:
    """The version in which the kernel is told to be an MLD host. That it has heard an older querier, it shows nobody."""
    told = (Path("/proc/sys/net/ipv6/conf", of, "force_mld_version").read_text() for of in ("all", interface))
    return next((int(version) for version in told if int(version)), NEWEST[6])


def send_report(group: str, interface: str, source: str | None) -> None:
    """Report now that this host is a member, from whatever address it has. Raises OSError, without CAP_NET_RAW for one."""
    if ip_address(group).version == 4:
        _send_igmp(group, interface, source, igmp_version(interface))
    else:
        _send_mld(group, interface, source, mld_version(interface))


def _send_igmp(group: str, interface: str, source: str | None, version: int) -> None:
    """A host without an address reports from 0.0.0.0 [RFC 3376 4.2.13]."""
    if version == NEWEST[4]:
        body, to = struct.pack("!BxHHH", _IGMP_REPORT[3], 0, 0, 1) + _record(group, source), _ALL_ROUTERS[4]
    else:
        body, to = struct.pack("!BxH", _IGMP_REPORT[version], 0) + ip_address(group).packed, group
    body = body[:2] + struct.pack("!H", _checksum(body)) + body[4:]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as igmp:
        igmp.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, _IGMP_ROUTER_ALERT)
        igmp.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _INTERNETWORK_CONTROL)
        igmp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        igmp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        index = struct.pack("=8xi", socket.if_nametoindex(interface))  # struct ip_mreqn
        igmp.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_IF, index)
        igmp.sendto(body, (to, 0))


def _send_mld(group: str, interface: str, source: str | None, version: int) -> None:
    """The kernel puts in the checksum. From a link-local address [RFC 3810 5.2.13], which the group's scope may not suggest."""
    if version == NEWEST[6]:
        body, to = struct.pack("!BxHHH", _MLD_REPORT[2], 0, 0, 1) + _record(group, source), _ALL_ROUTERS[6]
    else:
        body, to = struct.pack("!BxHHH", _MLD_REPORT[1], 0, 0, 0) + ip_address(group).packed, group
    index = socket.if_nametoindex(interface)
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as icmp:
        icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, _MLD_ROUTER_ALERT)
        icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
        icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        icmp.bind((_link_local_address(interface), 0, 0, index))
        icmp.sendto(body, (to, 0, 0, index))


def _record(group: str, source: str | None) -> bytes:
    """A group record: of a membership for any source, which has not changed by being told, or one that adds the source.

    By a change to EXCLUDE, as the kernel tells it, FRR 10.3's pimd renews the group's timer and not that of its source: the cell loses
    the data for which the group is known, and a router with two such cells may crash.
    """
    if source is None:
        return struct.pack("!BBH", _MODE_IS_EXCLUDE, 0, 0) + ip_address(group).packed
    return struct.pack("!BBH", _ALLOW_NEW_SOURCES, 0, 1) + ip_address(group).packed + ip_address(source).packed


def _link_local_address(interface: str) -> str:
    """Raises OSError where the interface has none."""
    for line in Path("/proc/thread-self/net/if_inet6").read_text().splitlines():
        address, _, _, scope, _, name = line.split()
        if (name, scope) == (interface, _LINK_LOCAL):
            return str(ip_address(bytes.fromhex(address)))
    raise OSError(f"{interface} has no link-local address")


def _checksum(data: bytes) -> int:
    """The Internet checksum [RFC 1071] of an even number of octets."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class _Instruction(ctypes.Structure):
    """struct sock_filter."""

    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_uint16), ("filter", ctypes.POINTER(_Instruction)))


def _report_filter(version: int) -> list[tuple[int, int, int, int]]:
    """Classic BPF on an Ethernet frame: IPv4 with protocol IGMP, or IPv6 with a hop-by-hop header first (MLD has one)."""
    load_half, load_byte, jump_equal, give = 0x28, 0x30, 0x15, 0x06
    ethertype, offset, protocol = (0x0800, 23, 2) if version == 4 else (0x86DD, 20, 0)
    return [
        (load_half, 0, 0, 12),
        (jump_equal, 0, 3, ethertype),
        (load_byte, 0, 0, offset),
        (jump_equal, 0, 1, protocol),
        (give, 0, 0, 0xFFFF),
        (give, 0, 0, 0),
    ]


class ReportWatcher:
    """Sees the host's own IGMP or MLD reports for one group leave one interface."""

    def __init__(self, group: str, packets: socket.socket) -> None:
        self._group = ip_address(group).packed
        self._packets = packets

    @classmethod
    def open(cls, group: str, interface: str) -> ReportWatcher | None:
        """A watcher, or None without CAP_NET_RAW."""
        try:
            packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError:
            return None
        instructions = _report_filter(ip_address(group).version)
        array = (_Instruction * len(instructions))(*(_Instruction(*row) for row in instructions))
        try:
            packets.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(_Program(len(instructions), array)))
            packets.setblocking(False)
            packets.bind((interface, _ETH_P_ALL))
        except OSError:
            packets.close()
            raise
        return cls(group, packets)

    async def seen(self) -> bool:
        """Wait until a report for the group has left; False when the deadline comes first."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(DEADLINE):
                while True:
                    frame, address = await loop.sock_recvfrom(self._packets, 2048)
                    if address[2] == socket.PACKET_OUTGOING and self._group in frame[34:]:
                        return True
        except TimeoutError:
            return False

    def close(self) -> None:
        """Stop watching, in a thread: the kernel takes 16 ms to take a packet socket away, and a handover waits."""
        asyncio.get_running_loop().run_in_executor(None, self._packets.close)
