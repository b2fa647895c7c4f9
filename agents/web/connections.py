"""Connections of browsers and of what claims to be one: how many there may be, how much they may say, how long they may take.

One that brings no whole request in time is closed, one that does not read what it is sent too; a head that is too large is answered with
431. Each is counted by its reason.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections import Counter
from typing import Any

from aiohttp import web

from agents.core.counters import Counters

CONNECTIONS_MAXIMUM = 2048  # at once, where the process may open four times as many files
CONNECTIONS_OF_ADDRESS_MAXIMUM = 256  # of them, so that one cannot take all
HEAD_MAXIMUM = 16 * 1024  # bytes of a request without an answer
FIELDS_MAXIMUM = 64  # header fields of a request
REQUEST_TIMEOUT = 15.0  # s: for a request to be whole, from the connection or the last answer on
UNREAD_TIMEOUT = 20_000  # ms: so long may a peer leave unread what it is sent

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class _Counting(logging.Handler):
    """Counts what is no HTTP, which the library writes to its log."""

    def __init__(self, counters: Counters) -> None:
        super().__init__()
        self._counters = counters

    def emit(self, record: logging.LogRecord) -> None:
        """Count it."""
        self._counters.add("dropped.web.malformed")


class Door:
    """Lets connections in, while there is room."""

    def __init__(self, counters: Counters) -> None:
        self.counters = counters
        self.open = 0
        self._of_address = Counter[str]()
        self._maximum = min(CONNECTIONS_MAXIMUM, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
        log = logging.Logger("web")  # noqa: LOG001  no part of the tree of loggers: nobody else has its handler
        log.addHandler(_Counting(counters))
        self.limits: dict[str, Any] = {
            "logger": log,
            "access_log": None,
            "keepalive_timeout": REQUEST_TIMEOUT,
            "lingering_time": 0.0,  # nobody has anything to say in a body
            "max_line_size": HEAD_MAXIMUM,
            "max_field_size": HEAD_MAXIMUM,
            "max_headers": FIELDS_MAXIMUM,
        }

    def admits(self, address: str) -> bool:
        """Let one in from ``address``, or count why not."""
        if self.open >= self._maximum:
            self.counters.add("refused.web.too-many")
            return False
        if self._of_address[address] >= CONNECTIONS_OF_ADDRESS_MAXIMUM:
            self.counters.add("refused.web.too-many-of-address")
            return False
        self.open += 1
        self._of_address[address] += 1
        return True

    def left(self, address: str) -> None:
        """One that was let in has gone."""
        self.open -= 1
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]


class Connection(web.RequestHandler):
    """One connection; ``requested`` is called when a request of it is whole."""

    __slots__ = ("_address", "_count", "_door", "_unanswered")

    def __init__(self, door: Door, server: web.Server) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **door.limits)
        self._door = door
        self._address: str | None = None
        self._count = 0
        self._unanswered = 0  # bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take it, or close it at once."""
        address = str((transport.get_extra_info("peername") or ("",))[0])
        super().connection_made(transport)
        if not self._door.admits(address):
            self.force_close()
            return
        self._address = address
        opened: socket.socket = transport.get_extra_info("socket")
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_TIMEOUT)

    def data_received(self, data: bytes) -> None:
        """Take octets, while a request may still come of them."""
        self._unanswered += len(data)
        if self._unanswered <= HEAD_MAXIMUM:
            super().data_received(data)
        elif self.transport is not None and not self.transport.is_closing():
            self._door.counters.add("closed.web.too-large")
            self.transport.write(_TOO_LARGE)
            self.force_close()

    def requested(self) -> None:
        """A request is whole."""
        self._count += 1
        self._unanswered = 0

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count why, if it was not the peer's wish."""
        super().connection_lost(exc)
        if self._address is None:
            return
        self._door.left(self._address)
        self._address = None
        if isinstance(exc, TimeoutError):
            self._door.counters.add("closed.web.unread")
        elif not self._count and not exc:
            self._door.counters.add("closed.web.no-request")
