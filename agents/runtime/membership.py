"""Group memberships: joins that the kernel makes with IGMP or MLD, one socket each, and the proof that a report went out.

One socket a group, because a socket takes 20 IPv4 memberships at most by default (igmp_max_memberships).
"""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
from ipaddress import ip_address

from agents.core.counters import Counters

_MCAST_JOIN_GROUP = 42  # <linux/in.h>, not in Python's socket module; the same for both families
_MCAST_LEAVE_GROUP = 45
_MCAST_JOIN_SOURCE_GROUP = 46
_MCAST_LEAVE_SOURCE_GROUP = 47
_SOCKADDR_STORAGE_SIZE = 128
_SO_ATTACH_FILTER = 26
_ETH_P_ALL = 0x0003
_REPORT_DEADLINE = 0.5  # s; a kernel sends its first report within two timer ticks, 20 ms at most


class MembershipError(OSError):
    """A group could not be joined; the message says which, where and why."""


class Memberships:
    """The groups that one agent has joined."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._sockets: dict[tuple[str, str, str | None], socket.socket] = {}

    async def join(self, group: str, interface: str, source: str | None) -> None:
        """Join and return when the report has been seen leaving; raises MembershipError.

        Without the right to see packets (CAP_NET_RAW) the join is taken as done at once, which is counted.
        """
        key = (group, interface, source)
        if key in self._sockets:
            return
        watcher = _ReportWatcher.open(group, interface)
        try:
            joining = socket.socket(_family(group), socket.SOCK_DGRAM)
            try:
                _change(joining, _MCAST_JOIN_GROUP, _MCAST_JOIN_SOURCE_GROUP, group, interface, source)
            except OSError as error:
                joining.close()
                raise MembershipError(error.errno, f"cannot join {group} on {interface}: {error.strerror}") from error
            self._sockets[key] = joining
            if watcher is None:
                self._counters.add("joined.unobserved")
            elif not await watcher.seen():
                raise MembershipError(0, f"no report for {group} left {interface} within {_REPORT_DEADLINE} s")
        finally:
            if watcher is not None:
                watcher.close()

    def leave(self, group: str, interface: str, source: str | None) -> None:
        """Leave; closing the socket makes the kernel do so."""
        joined = self._sockets.pop((group, interface, source), None)
        if joined is not None:
            joined.close()

    def renew(self, group: str, interface: str, source: str | None) -> None:
        """Drop and add an IPv4 membership, so that the kernel reports it on the link the interface is on now.

        For IPv6 the kernel reports by itself when the carrier comes back; for IPv4 it does not.
        """
        joined = self._sockets.get((group, interface, source))
        if joined is None or joined.family == socket.AF_INET6:
            return
        _change(joined, _MCAST_LEAVE_GROUP, _MCAST_LEAVE_SOURCE_GROUP, group, interface, source)
        _change(joined, _MCAST_JOIN_GROUP, _MCAST_JOIN_SOURCE_GROUP, group, interface, source)
        self._counters.add("renewed.membership")

    def close(self) -> None:
        """Leave all groups."""
        for joined in self._sockets.values():
            joined.close()
        self._sockets.clear()


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6


def _storage(address: str) -> bytes:
    """``address`` as a struct sockaddr_storage with port 0."""
    packed = ip_address(address).packed
    head = struct.pack("=HH4s", socket.AF_INET, 0, packed) if len(packed) == 4 else _ipv6_address(packed)
    return head.ljust(_SOCKADDR_STORAGE_SIZE, b"\0")


def _ipv6_address(packed: bytes) -> bytes:
    return struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, packed, 0)


def _change(of: socket.socket, plain: int, specific: int, group: str, interface: str, source: str | None) -> None:
    """One membership call of RFC 3678's protocol-independent API: struct group_req or group_source_req."""
    index = struct.pack("=I4x", socket.if_nametoindex(interface))
    level = socket.IPPROTO_IP if of.family == socket.AF_INET else socket.IPPROTO_IPV6
    if source is None:
        of.setsockopt(level, plain, index + _storage(group))
    else:
        of.setsockopt(level, specific, index + _storage(group) + _storage(source))


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


class _ReportWatcher:
    """Sees the host's own IGMP or MLD reports for one group leave one interface."""

    def __init__(self, group: str, packets: socket.socket) -> None:
        self._group = ip_address(group).packed
        self._packets = packets

    @classmethod
    def open(cls, group: str, interface: str) -> _ReportWatcher | None:
        """A watcher, or None without CAP_NET_RAW."""
        try:
            packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError:
            return None
        instructions = _report_filter(ip_address(group).version)
        array = (_Instruction * len(instructions))(*(_Instruction(*row) for row in instructions))
        packets.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(_Program(len(instructions), array)))
        packets.setblocking(False)
        packets.bind((interface, _ETH_P_ALL))
        return cls(group, packets)

    async def seen(self) -> bool:
        """Wait until a report for the group has left; False when the deadline comes first."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_REPORT_DEADLINE):
                while True:
                    frame, address = await loop.sock_recvfrom(self._packets, 2048)
                    if address[2] == socket.PACKET_OUTGOING and self._group in frame[34:]:
                        return True
        except TimeoutError:
            return False

    def close(self) -> None:
        """Stop watching, in a thread: the kernel takes 16 ms to take a packet socket away, and a handover waits."""
        asyncio.get_running_loop().run_in_executor(None, self._packets.close)
