"""From a capture's records to lines: control packets and steps one by one, data by windows, in order of time."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from captures.files.capture import Frame, Step
from captures.history.events import Event, History
from captures.history.lines import WINDOW_NS, DataLine, FrameLine, Line, LinkLine, StepLine
from captures.wire.internet import printed
from captures.wire.rtp import Streams

REORDER_NS = 1_000_000_000
"""How far records may be out of order of time and still be put right."""

_SWEEP_NS = 10 * WINDOW_NS  # how often windows are looked for in which nothing can come any more
_LINK = "link_"  # what the names of steps begin with that change a link


def capture_lines(
    records: Iterable[Frame | Step],
    history: History,
    reorder_ns: int = REORDER_NS,
) -> Iterator[FrameLine | DataLine | StepLine | LinkLine]:
    """Lines of a capture in order of time, while it is read; memory does not grow with its data packets.

    `history` knows the protocols, and afterwards what was passed over; its streams are not kept.
    """
    windows = history.streams = _DataWindows()
    tell = _Teller()
    waiting: list[tuple[int, int, int, FrameLine | DataLine | StepLine | LinkLine]] = []
    newest = swept = taken = 0
    for record in records:
        events = history.events(record)
        newest = max(newest, record.t_ns)
        for event in events:
            taken += 1
            heapq.heappush(waiting, (event.t_ns, event.number, taken, tell.of(event)))
        if not events and newest < swept + _SWEEP_NS:
            continue
        swept = newest
        for line in windows.closed(newest - 2 * WINDOW_NS):
            heapq.heappush(waiting, (line.t_ns, line.first, 0, line))
        while waiting and waiting[0][0] < newest - reorder_ns:
            yield heapq.heappop(waiting)[3]
    for line in windows.closed(newest + WINDOW_NS):
        heapq.heappush(waiting, (line.t_ns, line.first, 0, line))
    while waiting:
        yield heapq.heappop(waiting)[3]


class _Window:
    """The packets of one flow at one interface in one window so far."""

    __slots__ = ("first", "index", "last", "last_ns", "packets", "t_ns")

    def __init__(self, index: int, number: int, t_ns: int) -> None:
        self.index = index
        self.packets = 1
        self.first = self.last = number
        self.t_ns = self.last_ns = t_ns


class _DataWindows(Streams):
    """Takes data packets as `Streams` does, and keeps nothing of them but the windows that are not over yet."""

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[tuple[str, bytes], _Window] = {}
        self._closed: list[DataLine] = []

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

    def closed(self, until_ns: int) -> list[DataLine]:
        """What was closed since the last call; windows that begin before the time are closed now."""
        over = [key for key, window in self._open.items() if window.t_ns < until_ns]
        for key in over:
            self._close(*key, self._open.pop(key))
        closed, self._closed = self._closed, []
        return closed

    def _close(self, interface: str, flow: bytes, window: _Window) -> None:
        octets = (len(flow) - 4) // 2
        self._closed.append(
            DataLine(
                t_ns=window.t_ns,
                node=node_of(interface),
                interface=interface,
                source=printed(flow[:octets]),
                destination=printed(flow[octets:-4]),
                port=int.from_bytes(flow[-2:]),
                packets=window.packets,
                first=window.first,
                last=window.last,
                last_ns=window.last_ns,
            )
        )


class _Teller:
    """Makes lines of events; what a step does not say again it knows from earlier ones."""

    def __init__(self) -> None:
        self._mn_of_handover: dict[Any, str] = {}
        self._interface_of_mn: dict[str, str] = {}

    def of(self, event: Event) -> FrameLine | StepLine | LinkLine:
        if event.protocol == "step":
            return self._step(event)
        return FrameLine(
            event.t_ns,
            node_of(event.interface),
            event.interface,
            event.number,
            event.protocol,
            event.kind,
            event.source,
            event.destination,
            _plain(event.fields),
        )

    def _step(self, event: Event) -> StepLine | LinkLine:
        fields = {name: value for name, value in event.fields.items() if name not in ("t_ns", "step")}
        handover = fields.get("handover")
        if event.kind == "parameters":
            self._learn(fields)
        node = str(fields.get("mn") or fields.get("role") or self._mn_of_handover.get(_key(handover), ""))
        if event.kind == "handover_begin":
            self._mn_of_handover[_key(handover)] = node
        if not event.kind.startswith(_LINK):
            return StepLine(event.t_ns, node, event.number, event.kind, fields)
        interface = str(fields.get("interface") or self._interface_of_mn.get(node, ""))
        if node and interface and ":" not in interface:
            interface = f"{node}:{interface}"
        link = event.kind.removeprefix(_LINK)
        return LinkLine(event.t_ns, node, event.number, link, interface, fields)

    def _learn(self, parameters: Mapping[str, Any]) -> None:
        nodes = parameters.get("mns")
        for mn in nodes if isinstance(nodes, list) else ():
            if isinstance(mn, dict):
                self._interface_of_mn[str(mn.get("name"))] = str(mn.get("interface", ""))


def node_of(interface: str) -> str:
    """The node of an interface called ``node:interface``; of any other name the name itself."""
    return interface.partition(":")[0]


def _key(handover: Any) -> str:
    return str(handover)


def _plain(value: Any) -> Any:
    """Named tuples as objects, so that a reader of the JSON sees their names."""
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


__all__ = ["REORDER_NS", "Line", "capture_lines", "node_of"]
