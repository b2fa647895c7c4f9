"""Data packets of a history: who wants to know of each, and events that tell of those of one window of time together."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from captures.history.events import DATA, Event
from captures.wire.internet import printed

WINDOW_NS = 10_000_000
"""Data packets are told of by windows of 10 ms, which begin at multiples of it."""


WINDOWS_MAX = 65_536
"""No more are open at once."""
_SWEEP_WINDOWS = 10


class DataTap(Protocol):
    """Is told of every RTP packet of a capture, in the order of the file."""

    def add(
        self,
        interface: str,
        flow: bytes,
        ssrc: int,
        number: int,
        t_ns: int,
        payload_type: int,
        sequence: int,
        timestamp: int,
    ) -> None:
        """Take one packet; `flow` are the packed addresses and ports, source first."""

    def changed(self, interface: str, t_ns: int) -> None:
        """Somebody at the interface joined or left, or lost the link."""


class _Window:
    """The packets of one flow at one interface in one window so far."""

    __slots__ = ("first", "index", "last", "last_ns", "packets", "t_ns")

    def __init__(self, index: int, number: int, t_ns: int) -> None:
        self.index = index
        self.packets = 1
        self.first = self.last = number
        self.t_ns = self.last_ns = t_ns


class DataWindows:
    """Makes one event of each flow's packets at one interface in one window, and keeps nothing else of them.

    `over` are those of windows that are over, for whoever takes them away. `cut` counts windows that were told of early, so
    that no more than `WINDOWS_MAX` are open: the rest of such a flow is a window of its own.
    """

    def __init__(self) -> None:
        self.over: list[Event] = []
        self.cut = 0
        self._open: OrderedDict[tuple[str, bytes], _Window] = OrderedDict()
        self._swept = 0

    def add(
        self,
        interface: str,
        flow: bytes,
        _ssrc: int,
        number: int,
        t_ns: int,
        _payload_type: int,
        _sequence: int,
        _timestamp: int,
    ) -> None:
        """Count one packet."""
        index = t_ns // WINDOW_NS
        window = self._open.get((interface, flow))
        if window is not None and window.index == index:
            window.packets += 1
            window.last, window.last_ns = number, t_ns
            return
        if window is not None:
            self._close(interface, flow, window)
        self._open[interface, flow] = _Window(index, number, t_ns)
        if len(self._open) > WINDOWS_MAX:
            self.cut += 1
            (first_interface, first_flow), first = self._open.popitem(last=False)
            self._close(first_interface, first_flow, first)
        if index > self._swept + _SWEEP_WINDOWS:
            # Flows that have fallen silent do not stay, however many there were.
            self._swept = index
            self.close(t_ns - 2 * WINDOW_NS)

    def changed(self, interface: str, t_ns: int) -> None:
        """Makes no difference to windows."""

    def close(self, until_ns: int | None) -> None:
        """Windows that begin before the time are over; without a time all of them."""
        over = [key for key, window in self._open.items() if until_ns is None or window.t_ns < until_ns]
        for key in over:
            self._close(*key, self._open.pop(key))

    def _close(self, interface: str, flow: bytes, window: _Window) -> None:
        octets = (len(flow) - 4) // 2
        source, destination, port = printed(flow[:octets]), printed(flow[octets:-4]), int.from_bytes(flow[-2:])
        fields = {"port": port, "packets": window.packets, "last": window.last, "last_ns": window.last_ns}
        self.over.append(Event(window.first, window.t_ns, interface, DATA, "rtp", source, destination, fields))
