"""What a port sends while its own send buffer is full: through sockets of their own, one for each address.

A datagram stays in its socket's send buffer until it has left the machine. One to an on-link address where nobody is waits
there for ARP or neighbour discovery, 3 s by Linux's measure, and some 250 of them fill a buffer: whoever shares it waits as
long, however well he is. So what finds a port's buffer full takes a detour: a socket with the port's address and number, and
a send buffer of its own, which is closed again as soon as nothing waits in it. Only addresses that do not answer keep one,
each with what the kernel holds for it and no more; the healthy are sent to at once.

To bind a second socket to a port both must allow it (SO_REUSEADDR). The port's own does so for the microseconds that takes,
hence nobody else gets hold of it; and the second is then connected to a port from which nobody sends, so that it hears
nothing. What it heard before it was deaf is handed over.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import errno
import fcntl
import socket
import termios
from collections.abc import Callable, Sequence

from agents.core.agent import Endpoint
from agents.core.counters import Counters

BUFFER = 16 * 1024  # bytes asked for; the kernel gives twice that, and counts some 800 for a small datagram
FULL = (errno.EAGAIN, errno.ENOBUFS)  # what the kernel says of a buffer that is full, of UDP and of bare IP
DETOURS_MAXIMUM = 1024  # addresses; the kernel itself waits for no more neighbours (gc_thresh3)
_LOOK = 0.5  # s: how often detours that have carried all are closed
_DISCARD = 9  # the port of the discard service, which never answers
_MAXIMUM_DATAGRAM = 65535  # bytes

Marks = Sequence[tuple[int, int, bytes]]
"""Control messages that go with a datagram to the kernel, as ``sendmsg`` takes them."""

Heard = Callable[[bytes, tuple[str, int]], None]


class Detours:
    """The detours of a port beside which ``open_beside(interface)`` opens another; ``heard`` is told what they hear.

    In ``open`` are those in which something waited when last seen.
    """

    def __init__(self, open_beside: Callable[[str], socket.socket], counters: Counters, heard: Heard) -> None:
        self._open_beside = open_beside
        self._counters = counters
        self._heard = heard
        self.open: dict[str, socket.socket] = {}
        self._look: asyncio.TimerHandle | None = None

    def leads_to(self, address: str) -> bool:
        """Whether something still waits for ``address``: what follows has to queue up behind it."""
        detour = self.open.get(address)
        if detour is not None and not _waiting(detour):
            del self.open[address]
            detour.close()
            detour = None
        return detour is not None

    def send(self, data: bytes, destination: Endpoint, marks: Marks = (), interface: str = "") -> None:
        """Send by the detour to that address, or by a new one; raises OSError for what the kernel refuses.

        What has no room is lost and counted: ``unsent.queue-full``, or ``unsent.queues-full`` where too many addresses
        have one.
        """
        detour = self.open.get(destination.address)
        if detour is None and len(self.open) >= DETOURS_MAXIMUM:
            self._counters.add("unsent.queues-full")
            return
        if detour is None:
            detour = self._make(destination.address, interface)
        try:
            detour.sendmsg([data], marks, 0, destination)
        except OSError as error:
            if error.errno not in FULL or not _waiting(detour):
                raise
            self._counters.add("unsent.queue-full")
        finally:
            if _waiting(detour):
                self.open[destination.address] = detour
                if self._look is None:
                    self._look = asyncio.get_running_loop().call_later(_LOOK, self._close_idle)
            else:  # also if it was kept before, and has drained since its buffer was looked at
                self.open.pop(destination.address, None)
                detour.close()

    def close(self) -> None:
        """Close all; what waits in them still goes out if it can."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
        for detour in self.open.values():
            detour.close()
        self.open.clear()

    def _make(self, address: str, interface: str = "") -> socket.socket:
        detour = self._open_beside(interface)
        try:
            detour.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            try:
                detour.connect((address, _DISCARD))
            finally:
                self._hand_over(detour)
        except OSError:
            detour.close()
            raise
        return detour

    def _hand_over(self, detour: socket.socket) -> None:
        """Hand over, after this step, what has come to the detour instead of the port."""
        with contextlib.suppress(BlockingIOError):
            while True:
                data, source = detour.recvfrom(_MAXIMUM_DATAGRAM)
                asyncio.get_running_loop().call_soon(self._heard, data, source)

    def _close_idle(self) -> None:
        for address in list(self.open):
            self.leads_to(address)
        self._look = asyncio.get_running_loop().call_later(_LOOK, self._close_idle) if self.open else None


def _waiting(detour: socket.socket) -> int:
    """How many bytes of kernel memory hold what has not left yet."""
    amount = array.array("i", [0])
    fcntl.ioctl(detour.fileno(), termios.TIOCOUTQ, amount)
    return amount[0]
