"""Typed wrappers over pyroute2, ethtool's ioctl and /proc/sys, in the sandbox's own namespace or in a node's.

A namespace is entered and left again by whoever asks, since setns(2) for networks concerns one thread alone: sockets opened
there keep their namespace for life, so no helper process is ever needed.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError as PyrouteError

CLONE_NEWNET = 0x40000000
SIOCETHTOOL = 0x8946
OFFLOADS = {
    "tx-checksumming": (0x16, 0x17),
    "tcp-segmentation": (0x1E, 0x1F),
    "generic-segmentation": (0x23, 0x24),
    "generic-receive": (0x2B, 0x2C),
}
"""ethtool's legacy get and set commands (linux/ethtool.h: ETHTOOL_GTXCSUM, …) of what must be off on a veth."""

IFF_UP, IFF_LOWER_UP = 0x1, 0x10000
IFA_F_OPTIMISTIC, IFA_F_TENTATIVE = 0x04, 0x40

T = TypeVar("T")

_libc = ctypes.CDLL(None, use_errno=True)
_entered = threading.local()  # pid: whose network namespace the thread is in, None in its own


class NetlinkError(RuntimeError):
    """The kernel refused a change, or there is no such interface. Names the operation, the interface and the reason."""


@dataclass(frozen=True, slots=True)
class LinkState:
    """An interface as the kernel reports it. `master` is the bridge's name, or None."""

    name: str
    index: int
    up: bool
    carrier: bool
    operstate: str
    master: str | None
    mtu: int
    hardware_address: str


def run_in_network_namespace(pid: int | None, function: Callable[[], T]) -> T:
    """Calls `function` in the network namespace of process `pid` (None: this process's own) and returns its result.

    What it calls may ask for the same namespace: it is there already.
    """
    before = getattr(_entered, "pid", None)
    if pid is None or before == pid:
        return function()
    back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        try:
            _set_namespace(descriptor, f"enter the network namespace of process {pid}")
        finally:
            os.close(descriptor)
        _entered.pid = pid
        try:
            return function()
        finally:
            _set_namespace(back, "leave a network namespace")
            _entered.pid = before
    finally:
        os.close(back)


def _set_namespace(descriptor: int, doing: str) -> None:
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"cannot {doing}")


class NetworkNamespace:
    """One namespace's links, addresses, routes and sysctls. A context manager; `close` frees its netlink sockets."""

    def __init__(self, pid: int | None = None, name: str = "sandbox") -> None:
        """`pid`: a process in the namespace, None for this process's own. `name` is for messages."""
        self.pid, self.name = pid, name
        self._routes: dict[int, Any] = {}
        self._indices: dict[str, int] = {"lo": 1}  # in every namespace of every Linux

    @property
    def _route(self) -> Any:
        """This thread's own: pyroute2's sockets serve the thread that made them. Made when it is first needed."""
        mine = threading.get_ident()
        if mine not in self._routes:
            self._routes[mine] = IPRoute(fileno=self.netlink_socket().detach())
        return self._routes[mine]

    def netlink_socket(self) -> socket.socket:
        """A new netlink socket there; whoever asks closes it."""
        return self.run(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the netlink sockets."""
        for route in self._routes.values():
            route.close()

    def run(self, function: Callable[[], T]) -> T:
        """Calls `function` in this namespace."""
        return run_in_network_namespace(self.pid, function)

    def _ask(self, doing: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except PyrouteError as error:
            reason = os.strerror(error.code) if error.code else str(error)
            raise NetlinkError(f"{self.name}: cannot {doing}: {reason}") from None

    def index(self, interface: str) -> int:
        """Interface number. Raises NetlinkError naming namespace and interface if there is none."""
        if interface not in self._indices:
            found = self._ask(f"look up {interface}", lambda: self._route.link_lookup(ifname=interface))
            if not found:
                raise NetlinkError(f"{self.name}: no interface {interface}; there are {', '.join(self.interfaces())}")
            self._indices[interface] = found[0]
        return self._indices[interface]

    def interfaces(self) -> tuple[str, ...]:
        """Names of all interfaces."""
        return tuple(link.get_attr("IFLA_IFNAME") for link in self._route.get_links())

    def mcast_snooping(self, bridge: str) -> bool:
        """Whether the bridge filters multicast by the reports it hears."""
        link = self._ask(f"read {bridge}", lambda: self._route.get_links(self.index(bridge)))[0]
        return bool(link.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_DATA").get_attr("IFLA_BR_MCAST_SNOOPING"))

    def set_up(self, interface: str, up: bool = True) -> None:  # noqa: FBT001, FBT002  # as `ip link set … up|down`
        """Sets an interface up, or down (its peer then loses carrier)."""
        index = self.index(interface)
        self._ask(
            f"set {interface} {'up' if up else 'down'}",
            lambda: self._route.link("set", index=index, state="up" if up else "down"),
        )

    def set_master(self, interface: str, bridge: str | None) -> None:
        """Moves an interface to a bridge, or off any bridge."""
        index, master = self.index(interface), self.index(bridge) if bridge else 0
        self._ask(f"move {interface} to bridge {bridge}", lambda: self._route.link("set", index=index, master=master))

    def state(self, interface: str) -> LinkState:
        """The interface's present state."""
        index = self.index(interface)
        link = self._ask(f"read {interface}", lambda: self._route.get_links(index))[0]
        master = link.get_attr("IFLA_MASTER")
        if master is not None:
            master = self._ask("read a bridge", lambda: self._route.get_links(master))[0].get_attr("IFLA_IFNAME")
        return LinkState(
            interface,
            index,
            bool(link["flags"] & IFF_UP),
            bool(link["flags"] & IFF_LOWER_UP),
            str(link.get_attr("IFLA_OPERSTATE")),
            master,
            int(link.get_attr("IFLA_MTU")),
            str(link.get_attr("IFLA_ADDRESS")),
        )

    def add_address(self, interface: str, address: str) -> None:
        """Adds `ADDRESS/PREFIX_LENGTH`."""
        host, _, length = address.partition("/")
        index = self.index(interface)
        self._ask(
            f"add {address} to {interface}",
            lambda: self._route.addr("add", index=index, address=host, prefixlen=int(length)),
        )

    def remove_address(self, interface: str, address: str) -> None:
        """Removes `ADDRESS/PREFIX_LENGTH`."""
        host, _, length = address.partition("/")
        index = self.index(interface)
        self._ask(
            f"remove {address} from {interface}",
            lambda: self._route.addr("del", index=index, address=host, prefixlen=int(length)),
        )

    def addresses(self, interface: str) -> tuple[str, ...]:
        """All addresses of an interface as `ADDRESS/PREFIX_LENGTH`, IPv6 link-local ones included."""
        index = self.index(interface)
        found = self._ask(f"read the addresses of {interface}", lambda: list(self._route.get_addr(index=index)))
        return tuple(f"{item.get_attr('IFA_ADDRESS')}/{item['prefixlen']}" for item in found)

    def usable_addresses(self, interface: str) -> tuple[str, ...]:
        """As `addresses`, those that may be used: not in doubt while duplicates are looked for, unless optimistically."""
        index = self.index(interface)
        found = self._ask(f"read the addresses of {interface}", lambda: list(self._route.get_addr(index=index)))
        flags = [(item, item.get_attr("IFA_FLAGS") or item["flags"]) for item in found]
        usable = [item for item, flag in flags if not flag & IFA_F_TENTATIVE or flag & IFA_F_OPTIMISTIC]
        return tuple(f"{item.get_attr('IFA_ADDRESS')}/{item['prefixlen']}" for item in usable)

    def add_route(self, destination: str, via: str, interface: str) -> None:
        """Adds a unicast route to a prefix (`0.0.0.0/0` or `::/0` for the default)."""
        index = self.index(interface)
        self._ask(
            f"add the route to {destination} via {via} on {interface}",
            lambda: self._route.route("add", dst=destination, gateway=via, oif=index),
        )

    def read_sysctl(self, name: str) -> str | None:
        """Value of `net/…` (a path under /proc/sys) in this namespace; None where the kernel has no such setting."""

        def read() -> str | None:
            try:
                return Path("/proc/sys", name).read_text().strip()
            except FileNotFoundError:
                return None

        return self.run(read)

    def write_sysctls(self, values: dict[str, str]) -> None:
        """Sets several `net/…` settings. Raises NetlinkError naming the one the kernel refuses or does not have."""

        def write() -> None:
            for name, value in values.items():
                try:
                    Path("/proc/sys", name).write_text(value)
                except OSError as error:
                    raise NetlinkError(f"{self.name}: cannot set {name} to {value}: {error.strerror}") from None

        self.run(write)

    def read_each(self, name: str) -> dict[str, str]:
        """A setting of net/ipv4/conf for `all`, `default` and every interface, those made by daemons included."""

        def read() -> dict[str, str]:
            found = sorted(Path("/proc/sys/net/ipv4/conf").iterdir())
            return {path.name: (path / name).read_text().strip() for path in found}

        return self.run(read)

    def offloads(self, interfaces: Sequence[str]) -> dict[str, dict[str, bool]]:
        """Which of OFFLOADS are on, by interface."""

        def read() -> dict[str, dict[str, bool]]:
            return {
                interface: {name: bool(_ethtool(interface, get, 0)) for name, (get, _) in OFFLOADS.items()}
                for interface in interfaces
            }

        return self.run(read)

    def take_over(self, interfaces: Sequence[str]) -> None:
        """Learns the numbers of new interfaces, and turns all of OFFLOADS off. Raises NetlinkError naming what cannot be."""

        def take() -> None:
            for interface in interfaces:
                try:
                    self._indices[interface] = socket.if_nametoindex(interface)
                except OSError as error:
                    raise NetlinkError(f"{self.name}: no interface {interface}: {error.strerror}") from None
                for name, (_, set_command) in OFFLOADS.items():
                    try:
                        _ethtool(interface, set_command, 0)
                    except OSError as error:
                        if error.errno != errno.EOPNOTSUPP:  # not supported is as good as off; reading back decides
                            raise NetlinkError(
                                f"{self.name}:{interface}: cannot turn {name} offload off: {error}"
                            ) from None

        self.run(take)


def _ethtool(interface: str, command: int, value: int) -> int:
    """SIOCETHTOOL with a struct ethtool_value; returns the value as the kernel left it."""
    data = ctypes.create_string_buffer(struct.pack("II", command, value))
    request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(data))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL, request)
    return int(struct.unpack("II", data.raw[:8])[1])
