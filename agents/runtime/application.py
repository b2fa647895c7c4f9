"""The application that a role works for: a Unix socket of whole packets, in which data goes both ways.

Each packet that a connected program sends is data for the role; what the role delivers goes to every program connected. One
that does not read loses what finds no room, which is counted, and delays nobody. An empty packet ends a connection.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

from agents.core.counters import Counters
from agents.core.errors import ConfigurationError

CONNECTED_MAXIMUM = 16  # programs
PACKET_MAXIMUM = 65536  # bytes
PACKETS_PER_WAKE_UP = 64
ACCEPT_RETRY = 1.0  # s: when a program is accepted that could not be, as where no open file is left


class Application:
    """The socket at ``path``; ``received`` takes each packet."""

    def __init__(self, path: Path, counters: Counters, received: Callable[[bytes], None]) -> None:
        """Listen; a socket that a dead agent left is replaced. Raises ConfigurationError."""
        self._path = path
        self._counters = counters
        self._received = received
        self._connected: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._listener.setblocking(False)
            path.unlink(missing_ok=True)
            self._listener.bind(str(path))
            path.chmod(0o600)
            self._listener.listen()
        except OSError as error:
            self._listener.close()
            remedy = "give a path of at most 107 bytes in a folder to write in"
            raise ConfigurationError("runtime.application", f"{path}: {error.strerror or error}", remedy) from error
        self._retry: asyncio.TimerHandle | None = None
        self._listen()

    def deliver(self, data: bytes) -> None:
        """Hand ``data`` to every program connected; whoever has no room for it loses it."""
        if not self._connected:
            self._counters.add("undelivered.no-application")
        for connection in list(self._connected):
            try:
                connection.send(data)
            except BlockingIOError:
                self._counters.add("undelivered.queue-full")
            except OSError as error:  # it has gone, which the next wake-up finds too; or the packet is too large
                self._counters.add(f"undelivered.{error.errno}")

    def close(self) -> None:
        """Close all, and remove the socket."""
        if self._retry is not None:
            self._retry.cancel()
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self._path.unlink(missing_ok=True)
        for connection in list(self._connected):
            self._drop(connection)

    def _listen(self) -> None:
        self._retry = None
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):  # it has gone again
            return
        except OSError as error:  # the program still waits: whoever looked at once would do nothing else
            self._counters.add(f"failed.accept.{error.errno}")
            loop.remove_reader(self._listener)
            self._retry = loop.call_later(ACCEPT_RETRY, self._listen)
            return
        if len(self._connected) >= CONNECTED_MAXIMUM:
            self._counters.add("refused.too-many-applications")
            connection.close()
            return
        connection.setblocking(False)
        self._connected.append(connection)
        loop.add_reader(connection, self._read, connection)

    def _read(self, connection: socket.socket) -> None:
        for _ in range(PACKETS_PER_WAKE_UP):
            try:
                data, _, flags, _ = connection.recvmsg(PACKET_MAXIMUM)
            except BlockingIOError:
                return
            except OSError:
                data, flags = b"", 0
            if not data:
                self._drop(connection)
                return
            if flags & socket.MSG_TRUNC:
                self._counters.add("dropped.application-data-too-long")
            else:
                self._received(data)
            if connection not in self._connected:  # what was received has closed everything
                return

    def _drop(self, connection: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(connection)
        self._connected.remove(connection)
        connection.close()
