"""Ports of an agent for UDP and for bare IP: drained at each wake-up, errors counted and never raised into the protocol."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
import struct
from collections.abc import Callable, Iterator
from ipaddress import ip_address

from agents.core.agent import Endpoint
from agents.core.counters import Counters
from agents.runtime.detours import FULL, Detours, Marks

MAXIMUM_DATAGRAM = 65535  # bytes
# How many datagrams one wake-up takes before timers and other sockets have their turn.
DATAGRAMS_PER_WAKE_UP = 256

# What the kernel keeps for a role that is busy: it takes some 2.3 KiB a datagram, so its own 208 KiB hold 90.
RECEIVE_BUFFER = 4 * 1024 * 1024  # bytes
# What may wait to leave, for all together; what finds it full takes a detour (agents.runtime.detours).
SEND_BUFFER = 1024 * 1024  # bytes
_SO_SNDBUFFORCE = 32  # <asm-generic/socket.h>, not in Python's socket module; so with the next
_SO_RCVBUFFORCE = 33
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("=9I")
_MEMINFO_DROPS = 8  # datagrams that found no room
_INTEGER = struct.Struct("=i")
_MULTICAST_INTERFACE = struct.Struct("=8xI")  # struct ip_mreqn: the interface's index at its end

DROPPED = "dropped.by-kernel"  # the counter of what found no room, at ports that are closed

MULTICAST_HOPS = 255  # its scope bounds a group [RFC 2974 3]; the kernel's own 1 keeps a datagram on its link
_IP_PKTINFO = 8  # <linux/in.h>, <linux/in6.h>, not in Python's socket module; so with the next
_MULTICAST_ALL = {4: (socket.IPPROTO_IP, 49), 6: (socket.IPPROTO_IPV6, 29)}

Receiver = Callable[[bytes, Endpoint], None]


def _nothing() -> None:
    """What is done after a wake-up where nobody wants to know of its end."""


class PortError(OSError):
    """A port that cannot be opened; the message says which, why and what to do."""

    def __init__(self, address: str, port: int, reason: OSError, kind: str = "UDP") -> None:
        remedy = {
            errno.EPERM: "run it as root, in a lab, or with the capability CAP_NET_RAW",
            errno.EADDRINUSE: "stop what listens there (ss -lntup names it), or configure another port",
            errno.EADDRNOTAVAIL: "give the address to an interface of this node first, or configure another",
            errno.EACCES: "configure a port above 1023",
            errno.EMFILE: "raise this process's limit of open files (ulimit -n)",
        }.get(reason.errno or 0, "configure another address or port")
        where = f"{kind} {Endpoint(address or 'any address', port)}"
        super().__init__(reason.errno, f"{where} cannot be opened: {reason.strerror}; {remedy}")

    def __str__(self) -> str:
        return str(self.strerror)


class DatagramPort:
    """One bound socket whose datagrams go to ``receiver(data, source)``.

    It is one for UDP, or with ``protocol``, an IP protocol's number, one for bare IP. With ``group_on`` the address is a
    group's, whose datagrams are taken from that interface while this host is a member there.
    ``drained`` is called once after all datagrams of a wake-up, for what need not be done after each.
    """

    def __init__(
        self,
        family: int,
        address: str,
        port: int,
        counters: Counters,
        receiver: Receiver,
        drained: Callable[[], None] = _nothing,
        *,
        protocol: int | None = None,
        group_on: str = "",
    ) -> None:
        """Bind to ``address`` ("" for all) and ``port`` (0 for any); family is 4 or 6. Raises PortError."""
        self._counters = counters
        self._receiver = receiver
        self._drained = drained
        self._is_open = True
        self._family = family
        self._protocol = protocol
        self._is_raw = protocol is not None
        self._has_header = self._is_raw and family == 4  # before what is received
        kind = "UDP" if protocol is None else f"IP protocol {protocol} at"
        try:
            self._socket = self._make_socket(group_on)
        except OSError as error:
            raise PortError(address, port, error, kind) from error
        try:
            scope = (0, socket.if_nametoindex(group_on)) if group_on and family == 6 else ()
            self._socket.bind((address, port, *scope))
        except OSError as error:
            self._socket.close()
            raise PortError(address, port, error, kind) from error
        self._detours = Detours(self._open_beside, counters, self._heard_on_detour)
        self._detoured = self._detours.open  # a look at a dictionary is all that a send costs while it is empty
        asyncio.get_running_loop().add_reader(self._socket, self._drain)

    def _make_socket(self, group_on: str = "") -> socket.socket:
        """A socket of this port's kind that is not bound yet."""
        family, kind = socket_family(self._family), socket.SOCK_RAW if self._is_raw else socket.SOCK_DGRAM
        made = socket.socket(family, kind, self._protocol or 0)
        try:
            made.setblocking(False)
            if self._family == 6:
                if not self._is_raw:
                    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, MULTICAST_HOPS)
            else:
                made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, MULTICAST_HOPS)
            if group_on:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # others on this host may take it too
                made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, group_on.encode() + b"\0")
            elif not self._is_raw:  # a group's datagrams go to whoever listens to the group, and not here too
                made.setsockopt(*_MULTICAST_ALL[self._family], 0)
        except OSError:
            made.close()
            raise
        return made

    def _open_beside(self, interface: str) -> socket.socket:
        """Another socket with this one's address and number; what it sends to a group goes by ``interface``, if given."""
        other = self._make_socket()
        try:
            if interface:
                index = socket.if_nametoindex(interface)
                if self._family == 4:
                    other.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _MULTICAST_INTERFACE.pack(index))
                else:
                    other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with self.shared():
                other.bind(self._socket.getsockname())
        except OSError:
            other.close()
            raise
        return other

    def send(self, data: bytes, destination: Endpoint, dscp: int = 0, interface: str = "") -> None:
        """Send one datagram; what the kernel refuses (no route, link down, full queue) is counted as lost here."""
        marks: Marks = ()
        try:
            if dscp or interface or self._detoured:
                if dscp or interface:
                    marks = self._marks(destination, dscp, interface)
                if self._detoured and self._detours.leads_to(destination.address):
                    self._detours.send(data, destination, marks, interface)
                    return
                if marks:
                    self._socket.sendmsg([data], marks, 0, destination)
                    return
            self._socket.sendto(data, destination)
        except OSError as error:
            self._not_sent(error, data, destination, marks, interface)

    def _not_sent(self, error: OSError, data: bytes, destination: Endpoint, marks: Marks, interface: str) -> None:
        """Send by a detour what has found the port's buffer full; count what has failed otherwise."""
        try:
            if error.errno not in FULL:
                raise error
            self._detours.send(data, destination, marks, interface)
        except OSError as failure:
            self._counters.add(f"unsent.{failure.__class__.__name__}.{failure.errno}")

    def _marks(self, destination: Endpoint, dscp: int, interface: str) -> Marks:
        """What tells the kernel a packet's DSCP and, to a group, its interface; OSError where there is no such interface."""
        is_4 = self._socket.family == socket.AF_INET
        level = socket.IPPROTO_IP if is_4 else socket.IPPROTO_IPV6
        found = [(level, socket.IP_TOS if is_4 else socket.IPV6_TCLASS, _INTEGER.pack(dscp << 2))] if dscp else []
        if interface and ip_address(destination.address).is_multicast:
            try:
                index = socket.if_nametoindex(interface)
            except OSError:
                raise OSError(errno.ENODEV, f"there is no interface {interface}") from None
            if is_4:  # what an IPv4 packet is sent from would be the interface's first address, if it were not said
                own = socket.inet_aton(self._socket.getsockname()[0])
                found.append((level, _IP_PKTINFO, _INTEGER.pack(index) + own + bytes(4)))
            else:
                found.append((level, socket.IPV6_PKTINFO, bytes(16) + _INTEGER.pack(index)))
        return found

    def enlarge_buffers(self, receive: int = RECEIVE_BUFFER, send: int = SEND_BUFFER) -> None:
        """Let so many bytes wait here; without CAP_NET_ADMIN no more than net.core.rmem_max and wmem_max allow."""
        for forced, allowed, size in (
            (_SO_RCVBUFFORCE, socket.SO_RCVBUF, receive),
            (_SO_SNDBUFFORCE, socket.SO_SNDBUF, send),
        ):
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, forced, size)
            except OSError:
                self._socket.setsockopt(socket.SOL_SOCKET, allowed, size)

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """While this lasts another port of the same number can be opened beside this one."""
        before = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            yield
        finally:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, before)

    @property
    def dropped(self) -> int:
        """How many datagrams the kernel has dropped here because its buffer was full."""
        return int(
            _MEMINFO.unpack(self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[_MEMINFO_DROPS]
        )

    def close(self) -> None:
        """Close the socket; a receiver may do so, and is given nothing more. What was dropped is counted from now on."""
        self._is_open = False
        dropped = self.dropped
        if dropped:
            self._counters.add(DROPPED, dropped)
        asyncio.get_running_loop().remove_reader(self._socket)
        self._detours.close()
        self._socket.close()

    def _drain(self) -> None:
        recvfrom, receiver = self._socket.recvfrom, self._receiver
        try:
            for _ in range(DATAGRAMS_PER_WAKE_UP):
                try:
                    data, source = recvfrom(MAXIMUM_DATAGRAM)
                except BlockingIOError:
                    return
                except OSError as error:  # an ICMP error about an earlier datagram
                    self._counters.add(f"socket-error.{error.errno}")
                    continue
                address = source[0]
                if "%" in address:  # a link-local address with its interface
                    address = address.partition("%")[0]
                if self._is_raw:
                    if self._has_header:
                        data = data[4 * (data[0] & 0x0F) :]
                    receiver(data, Endpoint(address, 0))
                else:
                    receiver(data, Endpoint(address, source[1]))
                if not self._is_open:
                    return
        finally:
            self._drained()

    def _heard_on_detour(self, data: bytes, source: tuple[str, int]) -> None:
        if self._is_open and not self._is_raw:  # a raw packet comes to every socket
            self._receiver(data, Endpoint(source[0].partition("%")[0], source[1]))
            self._drained()


def allow_open_files() -> None:
    """Let this process open as many files as its hard limit allows: a role may need a port for each peer."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # a limit of the kernel's is lower: what was allowed stays so
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def socket_family(family: int) -> socket.AddressFamily:
    """The kernel's name of IP version 4 or 6."""
    return socket.AF_INET if family == 4 else socket.AF_INET6


def family_of(address: str) -> int:
    """4 or 6."""
    return ip_address(address).version
