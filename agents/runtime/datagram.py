"""UDP ports of an agent: non-blocking, drained at each wake-up, errors counted and never raised into the protocol."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
import struct
from collections.abc import Callable
from ipaddress import ip_address

from agents.core.agent import Endpoint
from agents.core.counters import Counters
from agents.runtime.detours import Detours

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

Receiver = Callable[[bytes, Endpoint], None]


def _nothing() -> None:
    """What is done after a wake-up where nobody wants to know of its end."""


class PortError(OSError):
    """A port that cannot be opened; the message says which, why and what to do."""

    def __init__(self, address: str, port: int, reason: OSError) -> None:
        remedy = {
            errno.EADDRINUSE: "stop what listens there (ss -lunp names it), or configure another port",
            errno.EADDRNOTAVAIL: "give the address to an interface of this node first, or configure another",
            errno.EACCES: "configure a port above 1023",
            errno.EMFILE: "raise this process's limit of open files (ulimit -n)",
        }.get(reason.errno or 0, "configure another address or port")
        where = f"UDP {Endpoint(address or 'any address', port)}"
        super().__init__(reason.errno, f"{where} cannot be opened: {reason.strerror}; {remedy}")

    def __str__(self) -> str:
        return str(self.strerror)


class DatagramPort:
    """One bound UDP socket whose datagrams go to ``receiver(data, source)``.

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
    ) -> None:
        """Bind to ``address`` ("" for all) and ``port`` (0 for any); family is 4 or 6. Raises PortError."""
        self._counters = counters
        self._receiver = receiver
        self._drained = drained
        self._is_open = True
        try:
            self._socket = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
        except OSError as error:
            raise PortError(address, port, error) from error
        try:
            if family == 6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._socket.setblocking(False)
            self._socket.bind((address, port))
        except OSError as error:
            self._socket.close()
            raise PortError(address, port, error) from error
        self._detours = Detours(self._socket, counters, self._heard_on_detour)
        self._detoured = self._detours.open  # a look at a dictionary is all that a send costs while it is empty
        asyncio.get_running_loop().add_reader(self._socket, self._drain)

    def send(self, data: bytes, destination: Endpoint) -> None:
        """Send one datagram; what the kernel refuses (no route, link down, full queue) is counted as lost here."""
        try:
            if self._detoured and self._detours.leads_to(destination.address):
                self._detours.send(data, destination)
                return
            try:
                self._socket.sendto(data, destination)
            except BlockingIOError:  # its buffer is full
                self._detours.send(data, destination)
        except OSError as error:
            self._counters.add(f"unsent.{error.__class__.__name__}.{error.errno}")

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

    @property
    def dropped(self) -> int:
        """How many datagrams the kernel has dropped here because its buffer was full."""
        return int(
            _MEMINFO.unpack(self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[_MEMINFO_DROPS]
        )

    def close(self) -> None:
        """Close the socket; a receiver may do so, and is given nothing more."""
        self._is_open = False
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
                receiver(data, Endpoint(address, source[1]))
                if not self._is_open:
                    return
        finally:
            self._drained()

    def _heard_on_detour(self, data: bytes, source: tuple[str, int]) -> None:
        if self._is_open:
            self._receiver(data, Endpoint(source[0].partition("%")[0], source[1]))
            self._drained()


def allow_open_files() -> None:
    """Let this process open as many files as its hard limit allows: a role may need a port for each peer."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # a limit of the kernel's is lower: what was allowed stays so
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def family_of(address: str) -> int:
    """4 or 6."""
    return ip_address(address).version
