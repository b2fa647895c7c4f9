"""Many changes to the links, addresses and routes of one namespace, given to its kernel all together.

A call for each takes a message, a wait and an event loop's turn; a network of some hundred nodes takes thousands of changes.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import ip_interface, ip_network
from typing import Any, Self

from pyroute2.netlink import NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NLMSG_ERROR
from pyroute2.netlink.rtnl import RTM_NEWADDR, RTM_NEWLINK, RTM_NEWROUTE, RTM_SETLINK
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from testbed.net.netlink import IFF_UP, NetlinkError, NetworkNamespace

_HEADER, _ERROR = struct.Struct("=IHHII"), struct.Struct("=i")
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
RT_TABLE_MAIN, RTPROT_STATIC, RTN_UNICAST = 254, 4, 1  # linux/rtnetlink.h
ACKNOWLEDGED_AT_ONCE = 64
"""Changes sent to the kernel before its answers are read: more answers would not fit into the socket's buffer."""


class Batch:
    """Changes to one namespace that its kernel is given all together: some hundred in the time of ten single ones.

    They are carried out in order when the context ends, unless by an error. Raises NetlinkError for the first one refused.
    """

    def __init__(self, namespace: NetworkNamespace) -> None:
        self._namespace = namespace
        self._doing: list[str] = []
        self._messages: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and self._messages:
            self._carry_out()

    def create_bridge(self, name: str, *, mcast_snooping: bool) -> None:
        """Makes a bridge without spanning tree, up."""
        settings = {"attrs": [("IFLA_BR_STP_STATE", 0), ("IFLA_BR_MCAST_SNOOPING", int(mcast_snooping))]}
        about = {"attrs": [("IFLA_INFO_KIND", "bridge"), ("IFLA_INFO_DATA", settings)]}
        self._link(f"create bridge {name}", RTM_NEWLINK, [("IFLA_IFNAME", name), ("IFLA_LINKINFO", about)], up=True)

    def create_veth(
        self, first: tuple[str, int | None], second: tuple[str, int | None], hardware_addresses: tuple[str, str]
    ) -> None:
        """Makes a veth pair, down: each end its name and a process in its network namespace (None: this namespace)."""
        own, peer = (
            [("IFLA_IFNAME", name), ("IFLA_ADDRESS", address), *([] if pid is None else [("IFLA_NET_NS_PID", pid)])]
            for (name, pid), address in zip((first, second), hardware_addresses, strict=True)
        )
        data = {"attrs": [("VETH_INFO_PEER", {"attrs": peer})]}
        about = {"attrs": [("IFLA_INFO_KIND", "veth"), ("IFLA_INFO_DATA", data)]}
        self._link(f"create the veth pair {first[0]} - {second[0]}", RTM_NEWLINK, [*own, ("IFLA_LINKINFO", about)])

    def set_up(self, interface: str, queue_packets: int | None = None) -> None:
        """Sets an interface up; `queue_packets`: how many packets wait for whoever takes them from it."""
        queue = [] if queue_packets is None else [("IFLA_TXQLEN", queue_packets)]
        self._link(f"set {interface} up", RTM_SETLINK, queue, interface, up=True)

    def attach(self, interface: str, bridge: str) -> None:
        """Makes an interface a port of a bridge, up."""
        master = [("IFLA_MASTER", self._namespace.index(bridge))]
        self._link(f"move {interface} to bridge {bridge}", RTM_SETLINK, master, interface, up=True)

    def add_address(self, interface: str, address: str) -> None:
        """Adds `ADDRESS/PREFIX_LENGTH`."""
        parsed = ip_interface(address)
        message = ifaddrmsg()
        message["family"] = _FAMILIES[parsed.version]
        message["index"], message["prefixlen"] = self._namespace.index(interface), parsed.network.prefixlen
        attributes = [("IFA_LOCAL", str(parsed.ip)), ("IFA_ADDRESS", str(parsed.ip))]
        if parsed.version == 4:
            attributes.append(("IFA_BROADCAST", str(parsed.network.broadcast_address)))
        self._add(f"add {address} to {interface}", message, RTM_NEWADDR, attributes)

    def add_route(self, destination: str, via: str, interface: str) -> None:
        """Adds a unicast route to a prefix (`0.0.0.0/0` or `::/0` for the default)."""
        prefix = ip_network(destination)
        message = rtmsg()
        message["family"], message["dst_len"] = _FAMILIES[prefix.version], prefix.prefixlen
        message["table"], message["proto"], message["type"] = RT_TABLE_MAIN, RTPROT_STATIC, RTN_UNICAST
        attributes = [("RTA_GATEWAY", via), ("RTA_OIF", self._namespace.index(interface))]
        if prefix.prefixlen:
            attributes.append(("RTA_DST", str(prefix.network_address)))
        self._add(f"add the route to {destination} via {via} on {interface}", message, RTM_NEWROUTE, attributes)

    def _link(
        self, doing: str, kind: int, attributes: list[tuple[str, Any]], interface: str = "", *, up: bool = False
    ) -> None:
        message = ifinfmsg()
        if interface:
            message["index"] = self._namespace.index(interface)
        if up:
            message["flags"] = message["change"] = IFF_UP
        self._add(doing, message, kind, attributes)

    def _add(self, doing: str, message: Any, kind: int, attributes: list[tuple[str, Any]]) -> None:
        message["attrs"] = attributes
        header = message["header"]
        header["type"], header["flags"] = kind, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL
        message.encode()
        self._doing.append(doing)
        self._messages.append(bytes(message.data))

    def _carry_out(self) -> None:
        messages = self._messages
        with self._namespace.netlink_socket() as kernel:
            for begin in range(0, len(messages), ACKNOWLEDGED_AT_ONCE):
                sent = messages[begin : begin + ACKNOWLEDGED_AT_ONCE]
                kernel.send(b"".join(sent))
                doing = iter(self._doing[begin : begin + ACKNOWLEDGED_AT_ONCE])
                answered = 0
                while answered < len(sent):
                    for answer in _messages(kernel.recv(65536)):
                        if _HEADER.unpack_from(answer)[1] != NLMSG_ERROR:
                            continue
                        answered += 1
                        (number,) = _ERROR.unpack_from(answer, _HEADER.size)
                        what = next(doing)
                        if number:
                            raise NetlinkError(f"{self._namespace.name}: cannot {what}: {os.strerror(-number)}")


def _messages(data: bytes) -> Iterator[bytes]:
    """The netlink messages in a row of them, each with what fills it up to a multiple of four octets."""
    begin = 0
    while begin < len(data):
        end = begin + (_HEADER.unpack_from(data, begin)[0] + 3 & ~3)
        yield data[begin:end]
        begin = end
