"""The media process's end of its role's application socket: orders come, reports go (`agents.core.media_control`).

Nothing here waits. The role may come later, and may go and come again: whoever uses this calls ``attend`` now and then.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

from agents.core.checks import check_address, check_port
from agents.core.counters import Counters
from agents.core.errors import ConfigurationError, DecodeError
from agents.core.media_control import MediaOrder, MediaReport, decode_order, encode

REPORT_PERIOD = 1.0  # s: between two reports, and two attempts to connect
_PACKET_MAXIMUM = 4096  # bytes
_ORDERS_AT_ONCE = 64


class Orders:
    """A connection to the socket at ``path``, when there is one; ``connection`` is for who waits for what can be read."""

    def __init__(self, path: str, counters: Counters) -> None:
        self._path = path
        self._counters = counters
        self.connection: socket.socket | None = None

    def attend(self, report: MediaReport) -> None:
        """Connect where there is no connection, and report. What a role does not take, or nobody, is counted."""
        if self.connection is None:
            self._connect()
        if self.connection is None:
            return
        try:
            self.connection.send(encode(report))
        except BlockingIOError:
            self._counters.add("unsent.report")
        except OSError:
            self.close()

    def taken(self) -> Iterator[MediaOrder]:
        """The orders that have come; the connection is gone where its other end is."""
        for _ in range(_ORDERS_AT_ONCE):
            if self.connection is None:
                return
            try:
                data, _, flags, _ = self.connection.recvmsg(_PACKET_MAXIMUM)
            except BlockingIOError:
                return
            except OSError:
                data, flags = b"", 0
            if not data:
                self.close()
            elif flags & socket.MSG_TRUNC:
                self._counters.add("dropped.order-too-long")
            else:
                try:
                    yield decode_order(data)
                except DecodeError as error:  # what the role has to say to other programs too
                    self._counters.add(f"dropped.{error.reason}")

    def close(self) -> None:
        """End the connection."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.setblocking(False)
        try:
            connection.connect(self._path)
        except OSError as error:
            connection.close()
            self._counters.add(f"unconnected.{error.errno}")
        else:
            self.connection = connection


def check_destination(orders: str | None, group: str, port: int, **others: str) -> None:
    """Check that a stream's group and port, and what else belongs to it, are given, or left to ``orders``."""
    for key, value in {"group": group, "port": port, **others}.items():
        if orders is None and value == "":
            raise ConfigurationError(key, "missing", "add it, or the socket that orders come from")
        if orders is not None and value:
            raise ConfigurationError(key, f"{value}, and orders", "leave it out: the role that orders says it")
    if orders is None:
        check_address("group", group, multicast=True)
        check_port("port", port)
