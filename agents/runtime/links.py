"""The carriers of all interfaces of this node, and new IPv4 addresses, followed through rtnetlink, whatever happens to the messages.

The kernel tells every change on a socket that takes only so much: more than it holds is lost, and the next read fails with
ENOBUFS. It also tells several changes at once. So each message is compared with what is known of its interface, of which
the kernel counts the carrier's changes: one that is up as before, after others than were told, was down in between. After
a loss the kernel is asked for all interfaces, and its answer goes the same way.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from typing import NamedTuple

from agents.core.counters import Counters

# <linux/netlink.h>, <linux/rtnetlink.h>, <linux/if.h>, <linux/if_link.h>; not in Python's socket module.
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_INTERFACE = struct.Struct("=BxHiII")  # struct ifinfomsg: family, hardware type, index, flags, change
_ADDRESS = struct.Struct("=4xI")  # struct ifaddrmsg: family, prefix length, flags and scope, index
_ATTRIBUTE = struct.Struct("=HH")  # struct rtattr: length, type
_NLMSG_ERROR, _NLMSG_DONE, _RTM_NEWLINK, _RTM_DELLINK, _RTM_GETLINK, _RTM_NEWADDR = 2, 3, 16, 17, 18, 20
_REQUEST_ALL = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_RTMGRP_LINK, _RTMGRP_IPV4_ADDRESS = 0x01, 0x10
_IFLA_IFNAME, _IFLA_CARRIER_CHANGES = 3, 35
_IFF_UP = 0x10040  # IFF_LOWER_UP | IFF_RUNNING: it has a carrier, and the kernel has taken note of it
_SO_RCVBUFFORCE = 33

RECEIVE_BUFFER = 4 * 1024 * 1024  # bytes: some 1,000 messages
READS_PER_WAKE_UP = 64  # before datagrams and timers have their turn
_READ_MAXIMUM = 65536  # bytes of one read
_START_DEADLINE = 5.0  # s in which the kernel tells of all interfaces; it does so at once

LinkListener = Callable[[str, bool], None]
InterfaceListener = Callable[[str], None]


class _Link(NamedTuple):
    """An interface as it was last told of."""

    name: str
    is_up: bool
    changes: int


class Links:
    """Tells ``listener(interface, is_up)`` when a carrier goes or comes, an interface with it or not.

    An interface that was away, or down, for a moment is told of as down and up. ``resynchronised.links`` counts losses. Where
    rtnetlink fails otherwise, ``failed`` is told, and nothing more comes.

    ``addressed(interface)`` is told when an interface has been given an IPv4 address, or may have been, as after a loss;
    ``gone(interface)`` when one is no more, or has another name: after its carrier, if it had one.
    """

    def __init__(
        self,
        listener: LinkListener,
        addressed: InterfaceListener,
        gone: InterfaceListener,
        failed: Callable[[OSError], None],
        counters: Counters,
    ) -> None:
        self._listener = listener
        self._addressed = addressed
        self._told_gone = gone
        self._failed = failed
        self._counters = counters
        self._links: dict[int, _Link] = {}  # by index, since a name can be given anew
        self._missing: set[int] | None = None  # while all are asked for: those of which nothing was said yet
        self._ask_again = False
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Begin to watch; what is up or down already is no event. Raises OSError where there is no rtnetlink."""
        self._socket = watch = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        try:
            watch.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER)
        except OSError:  # without CAP_NET_ADMIN no more than net.core.rmem_max
            watch.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        watch.setblocking(False)
        watch.bind((0, _RTMGRP_LINK | _RTMGRP_IPV4_ADDRESS))
        listener, self._listener = self._listener, lambda *_: None
        addressed, self._addressed = self._addressed, lambda _: None
        self._ask_for_all()
        while self._missing is not None:
            if not select.select([watch], [], [], _START_DEADLINE)[0]:
                raise TimeoutError(errno.ETIMEDOUT, "rtnetlink does not tell of the interfaces")
            self._read()
        self._listener, self._addressed = listener, addressed
        asyncio.get_running_loop().add_reader(watch, self._follow)

    def is_up(self, interface: str) -> bool:
        """Whether ``interface`` had a carrier when last heard of."""
        return any(link.is_up for link in self._links.values() if link.name == interface)

    def close(self) -> None:
        """Stop watching."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _ask_for_all(self) -> None:
        """Ask, or have it asked again after the answer that is on its way."""
        if self._missing is not None:
            self._ask_again = True
            return
        assert self._socket is not None
        self._missing = set(self._links)
        body = _INTERFACE.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        self._socket.send(_HEADER.pack(_HEADER.size + len(body), _RTM_GETLINK, _REQUEST_ALL, 0, 0) + body)

    def _follow(self) -> None:
        try:
            self._read()
        except OSError as error:
            self.close()
            self._failed(error)

    def _read(self) -> None:
        for _ in range(READS_PER_WAKE_UP):
            if self._socket is None:  # closed by the listener
                return
            try:
                data = self._socket.recv(_READ_MAXIMUM)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._counters.add("resynchronised.links")
                self._ask_for_all()
                continue
            for kind, body in _messages(data):
                self._take(kind, body)

    def _take(self, kind: int, body: memoryview) -> None:
        if kind == _NLMSG_DONE:
            self._all_told()
        elif kind == _NLMSG_ERROR:
            number = -int.from_bytes(body[:4], sys.byteorder, signed=True)
            raise OSError(number, f"rtnetlink does not tell of the interfaces: {os.strerror(number)}")
        elif kind == _RTM_NEWADDR:
            link = self._links.get(_ADDRESS.unpack_from(body)[0])
            if link is not None:
                self._addressed(link.name)
        elif kind in (_RTM_NEWLINK, _RTM_DELLINK):
            family, _, index, flags, _ = _INTERFACE.unpack_from(body)
            if family != socket.AF_UNSPEC:  # of a bridge's port, or of one address family alone
                return
            if self._missing is not None:
                self._missing.discard(index)
            if kind == _RTM_DELLINK:
                self._gone(index)
                return
            attributes = dict(_attributes(body[_INTERFACE.size :]))
            name = bytes(attributes[_IFLA_IFNAME]).rstrip(b"\0").decode(errors="replace")
            changes = int.from_bytes(attributes.get(_IFLA_CARRIER_CHANGES, b""), sys.byteorder)
            self._seen(index, _Link(name, flags & _IFF_UP == _IFF_UP, changes))

    def _all_told(self) -> None:
        missing, self._missing = self._missing, None
        if self._ask_again:
            self._ask_again = False
            self._ask_for_all()
            return
        for index in missing or ():
            self._gone(index)
        for link in list(self._links.values()):
            self._addressed(link.name)

    def _seen(self, index: int, link: _Link) -> None:
        known = self._links.get(index)
        if known is not None and known.name != link.name:
            self._gone(index)
            known = None
        self._links[index] = link
        was_up = known is not None and known.is_up
        if known is not None and known.is_up and link != known:
            self._listener(known.name, False)
            was_up = False
        if link.is_up and not was_up:
            self._listener(link.name, True)

    def _gone(self, index: int) -> None:
        known = self._links.pop(index, None)
        if known is None:
            return
        if known.is_up:
            self._listener(known.name, False)
        self._told_gone(known.name)


def _messages(data: bytes) -> Iterator[tuple[int, memoryview]]:
    """The type and body of each message in one read."""
    view, offset = memoryview(data), 0
    while offset + _HEADER.size <= len(data):
        length, kind, *_ = _HEADER.unpack_from(data, offset)
        yield kind, view[offset + _HEADER.size : offset + length]
        offset += max(_HEADER.size, length + 3 & ~3)


def _attributes(body: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The type and value of each attribute."""
    offset = 0
    while offset + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, offset)
        yield kind, body[offset + _ATTRIBUTE.size : offset + length]
        offset += max(_ATTRIBUTE.size, length + 3 & ~3)
