"""From a history's lines to the rows of a ladder, one after the other as the lines come.

Which sightings are one packet: equal content between equal addresses, each interface once, the hop limit never growing, and
no more than `TRAVEL_NS` between one sighting and the next. Of several packets that a sighting could belong to it is taken
for the one sent last, for a packet that was lost is not seen again.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from captures.history.lines import WINDOW_NS, DataLine, FrameLine, Line, LinkLine, LogLine, StepLine, TraceLine
from captures.history.participants import Cast, Column
from captures.ladder.rows import (
    Failure,
    Fate,
    HandoverSpan,
    Ladder,
    MessageRow,
    NoteRow,
    Row,
    Sighting,
    StepRow,
    StreamRow,
)
from captures.ladder.words import PERIODIC, REFRESHED, step_words, words

TRAVEL_NS = 500_000_000
"""The longest time between two sightings of one packet; so much later than its lines a row is final."""
REPEATED_NS = 5_000_000_000
"""An equal packet from the same sender this soon after counts as another attempt."""
GAP_NS = 20_000_000
"""A data stream that is silent for longer has stopped; a slow one has four of its own spaces."""
_SLOW_GAP_NS = 1_000_000_000  # for a stream of which only one packet is known
_KEPT_ATTEMPTS = 10_000
GROUP = "group"
"""Who gets what was sent to a group where nobody knows whose interface it was seen at: a capture that is not a lab's."""

_ENVELOPE = ("mac", "hop_limit", "checksum")  # differ from link to link
_NOT_TOLD = frozenset({"sent", "counters"})  # trace events that the wire or nobody tells better


@dataclass(slots=True)
class _Packet:
    """A packet on its way."""

    line: FrameLine
    sightings: list[Sighting]
    hop_limit: int
    attempt: int
    macs: list[str] = field(default_factory=list)

    def may_be(self, line: FrameLine) -> bool:
        return (
            line.t_ns - self.sightings[-1].t_ns <= TRAVEL_NS
            and int(line.fields.get("hop_limit", 0)) <= self.hop_limit
            and all(sighting.interface != line.interface for sighting in self.sightings)
        )


@dataclass(slots=True)
class _Flow:
    """A data flow at one interface."""

    first_ns: int
    last_ns: int
    last: int
    packets: int

    def gap_ns(self, spacing_ns: int | None) -> int:
        if spacing_ns is None and self.packets < 2:
            return _SLOW_GAP_NS
        spacing = spacing_ns or (self.last_ns - self.first_ns) // (self.packets - 1)
        return max(GAP_NS, 4 * spacing)


_Happening = Row | _Packet


class LadderBuilder:
    """Takes lines in order of time and gives rows in order of time, each once it is final.

    `cast` may know the participants already. `failed` rules are put to the rows that have their frames.
    """

    def __init__(self, cast: Cast | None = None, failed: Iterable[Failure] = ()) -> None:
        self.cast = cast or Cast()
        self.handovers: list[HandoverSpan] = []
        self.begin_ns = self.end_ns = 0
        self._failures: dict[int, list[Failure]] = {}
        self._unplaced: dict[Failure, None] = dict.fromkeys(failed)
        for failure in self._unplaced:
            for frame in failure.frames:
                self._failures.setdefault(frame, []).append(failure)
        self._open: dict[str, list[_Packet]] = {}
        self._swept_ns = 0
        self._attempts: dict[str, tuple[int, int]] = {}
        self._flows: dict[tuple[str, str, str, int], _Flow] = {}
        self._silent: dict[tuple[str, str, str, int], _Flow] = {}
        self._waiting: list[tuple[int, int, _Happening]] = []
        self._taken = 0
        self._under_way: dict[str, None] = {}
        self._looked_ns = 0

    @property
    def unplaced(self) -> tuple[Failure, ...]:
        """Failures that no row had so far."""
        return tuple(self._unplaced)

    def take(self, line: Line) -> Iterator[Row]:
        """Take the next line; the rows that are final now."""
        return map(self.row, self.collect(line))

    def collect(self, line: Line) -> Iterator[_Happening]:
        """As `take`, but what is no row yet: to be given to `row` in the same order, once all names are known."""
        self.cast.learn(line)
        if not isinstance(line, TraceLine | LogLine):
            self.begin_ns = self.begin_ns or line.t_ns
            self.end_ns = max(self.end_ns, line.t_ns)
        self._look_for_silence(line.t_ns)
        match line:
            case FrameLine():
                self._frame(line)
            case DataLine():
                self._data(line)
            case StepLine(step="model"):
                pass
            case StepLine(t_ns=t_ns, node=node, step=step, frame=frame, fields=fields):
                quiet = step == "parameters"
                self._wait(StepRow(t_ns, node, step, step_words(step, fields), frame, fields, background=quiet))
                self._span(line)
            case LinkLine(t_ns=t_ns, node=node, link=link, frame=frame, interface=interface, fields=fields):
                text = f"link {link} at {interface or node}" if interface or node else f"link {link}"
                self._wait(StepRow(t_ns, node, f"link {link}", text, frame, fields, link=True))
            case TraceLine() | LogLine():
                self._note(line)
        self._sweep(line.t_ns - TRAVEL_NS)
        return self._final(line.t_ns - TRAVEL_NS)

    def finish(self) -> Iterator[Row]:
        """The rows that were waiting for what might still come."""
        return map(self.row, self._final(None))

    # --- what lines become

    def _wait(self, thing: _Happening) -> None:
        self._taken += 1
        t_ns = thing.line.t_ns if isinstance(thing, _Packet) else thing.t_ns
        heapq.heappush(self._waiting, (t_ns, self._taken, thing))

    def _frame(self, line: FrameLine) -> None:
        content = {name: value for name, value in line.fields.items() if name not in _ENVELOPE}
        key = json.dumps([line.protocol, line.packet, line.source, line.destination, content], sort_keys=True)
        sighting = Sighting(line.interface, line.frame, line.t_ns)
        candidates = self._open.setdefault(key, [])
        for packet in reversed(candidates):
            if packet.may_be(line):
                packet.sightings.append(sighting)
                packet.hop_limit = int(line.fields.get("hop_limit", 0))
                return
        packet = _Packet(line, [sighting], int(line.fields.get("hop_limit", 0)), self._attempt(key, line))
        candidates[:] = [one for one in candidates if line.t_ns - one.sightings[-1].t_ns <= TRAVEL_NS]
        candidates.append(packet)
        self._wait(packet)

    def _attempt(self, key: str, line: FrameLine) -> int:
        if any(line.packet in again.get(line.protocol, ()) for again in (PERIODIC, REFRESHED)):
            return 1
        before, count = self._attempts.pop(key, (0, 0))
        count = count + 1 if line.t_ns - before <= REPEATED_NS else 1
        self._attempts[key] = line.t_ns, count
        if len(self._attempts) > _KEPT_ATTEMPTS:
            del self._attempts[next(iter(self._attempts))]
        return count

    def _data(self, line: DataLine) -> None:
        key = (line.interface, line.source, line.destination, line.port)
        flow = self._flows.get(key)
        if flow is not None:
            flow.last_ns, flow.last = max(flow.last_ns, line.last_ns), line.last
            flow.packets += line.packets
            return
        self._flows[key] = _Flow(line.t_ns, line.last_ns, line.last, line.packets)
        before = self._silent.pop(key, None)
        where = _where(line.interface, line.destination)
        if before is None:
            self._wait(self._stream(line, "begins", f"data begins at {where}"))
        else:
            silence = line.t_ns - before.last_ns
            text = f"data is back after {silence / 1e6:.1f} ms at {where}"
            self._wait(self._stream(line, "back", text, silence))

    def _look_for_silence(self, now_ns: int) -> None:
        if now_ns - self._looked_ns < WINDOW_NS:
            return
        self._looked_ns = now_ns
        for key, flow in list(self._flows.items()):
            if now_ns - flow.last_ns > flow.gap_ns(self.cast.spacing_ns):
                interface, _, destination, _ = key
                self._silent[key] = self._flows.pop(key)
                node = _place(interface, destination)
                quiet = self._is_background(node)
                text = f"data stops at {_where(interface, destination)}"
                self._wait(StreamRow(flow.last_ns, node, interface, "stops", text, flow.last, background=quiet))

    def _stream(self, line: DataLine, change: Any, text: str, silence_ns: int = 0) -> StreamRow:
        node = _place(line.interface, line.destination)
        quiet = self._is_background(node)
        return StreamRow(line.t_ns, node, line.interface, change, text, line.first, silence_ns, background=quiet)

    def _is_background(self, node: str) -> bool:
        """Where the stream is seen on its way to the MNs is a matter for those who look closer."""
        role = self.cast.column(node).role
        return role not in ("", "mn")

    def _note(self, line: TraceLine | LogLine) -> None:
        if isinstance(line, LogLine):
            self._wait(NoteRow(line.t_ns, line.node, line.daemon, line.text))
        elif line.event == "state":
            fields = line.fields
            change = f"{fields.get('from')} to {fields.get('to')} on {fields.get('on')}"
            self._wait(NoteRow(line.t_ns, line.node, "trace", change))
        elif line.event not in _NOT_TOLD:
            said = " ".join(f"{name}={value}" for name, value in line.fields.items())
            self._wait(NoteRow(line.t_ns, line.node, "trace", f"{line.event} {said}".strip()))

    def _span(self, line: StepLine) -> None:
        fields = line.fields
        name = str(fields.get("handover"))
        self._attempts.clear()  # what is said again after a step is said for another reason
        if line.step == "handover_begin":
            ends = (str(fields.get("from", "")), str(fields.get("to", "")))
            self.handovers.append(HandoverSpan(name, line.node, str(fields.get("mode", "")), *ends, line.t_ns, None))
        elif line.step == "handover_end":
            for index, span in enumerate(self.handovers):
                if span.handover == name and span.end_ns is None:
                    self.handovers[index] = replace(span, end_ns=line.t_ns)

    # --- what becomes final

    def _sweep(self, until_ns: int) -> None:
        """Forget packets that nobody can see any more: a message with counts in it never comes again."""
        if until_ns - self._swept_ns < TRAVEL_NS:
            return
        self._swept_ns = until_ns
        over = [key for key, packets in self._open.items() if packets[-1].sightings[-1].t_ns < until_ns]
        for key in over:
            del self._open[key]

    def _final(self, until_ns: int | None) -> Iterator[_Happening]:
        while self._waiting and (until_ns is None or self._ready(self._waiting[0][2], until_ns)):
            yield heapq.heappop(self._waiting)[2]

    def row(self, happening: _Happening) -> Row:
        """The row of what `collect` gave, with the handovers under way and the rules that failed on it."""
        row = self._message(happening) if isinstance(happening, _Packet) else happening
        step = row.step if isinstance(row, StepRow) else ""
        if isinstance(row, StepRow) and step == "handover_begin":
            self._under_way[str(row.fields.get("handover"))] = None
        failed = tuple(dict.fromkeys(failure for frame in row.frames for failure in self._failures.get(frame, ())))
        for failure in failed:
            self._unplaced.pop(failure, None)
        if self._under_way or failed:
            row = replace(row, handovers=tuple(self._under_way), failures=failed)
        if isinstance(row, StepRow) and step == "handover_end":
            self._under_way.pop(str(row.fields.get("handover")), None)
        return row

    @staticmethod
    def _ready(thing: _Happening, until_ns: int) -> bool:
        return (thing.sightings[-1].t_ns if isinstance(thing, _Packet) else thing.t_ns) < until_ns

    def _message(self, packet: _Packet) -> MessageRow:
        line, cast = packet.line, self.cast
        sightings = tuple(sorted(packet.sightings, key=lambda sighting: (sighting.t_ns, sighting.frame)))
        sender = cast.sender(line)
        receivers, fate = self._receivers(line, sender, sightings)
        said = words(line, cast.name, cast.group)
        return MessageRow(
            t_ns=line.t_ns,
            sender=sender,
            receivers=receivers,
            protocol=line.protocol,
            packet=line.packet,
            label=said.label,
            text=said.text,
            sightings=sightings,
            fate=fate,
            attempt=packet.attempt,
            background=said.background,
        )

    def _receivers(self, line: FrameLine, sender: str, sightings: tuple[Sighting, ...]) -> tuple[tuple[str, ...], Fate]:
        seen_at = dict.fromkeys(node for sighting in sightings if (node := _node(sighting.interface)))
        target = self.cast.name(line.destination)
        if not _is_group(line.destination):
            if target in seen_at:
                return (target,), "arrived"
            return (target,), "lost" if self.cast.captures(target) else "unknown"
        upstream = line.fields.get("upstream")
        if isinstance(upstream, str) and self.cast.name(upstream) != upstream:
            return (self.cast.name(upstream),), "unknown" if self.cast.name(upstream) not in seen_at else "arrived"
        across = [self.cast.across(sighting.interface) for sighting in sightings]
        nodes = dict.fromkeys([*seen_at, *(node for node in across if node is not None)])
        nodes.pop(sender, None)
        if not seen_at:
            return (GROUP,), "unknown"
        return tuple(nodes), "arrived" if any(node in seen_at for node in nodes) else "unknown"


def _node(interface: str) -> str:
    """The node of an interface called ``node:interface``; no other name tells of one."""
    node, colon, _ = interface.partition(":")
    return node if colon else ""


def _place(interface: str, destination: str) -> str:
    """The participant at whose lifeline data is shown: where it was seen, or if no node is known there, who gets it."""
    return _node(interface) or (GROUP if _is_group(destination) else destination)


def _where(interface: str, destination: str) -> str:
    return f"{interface.rpartition(':')[2]} ({destination})"


def _is_group(address: str) -> bool:
    if ":" in address:
        return address.startswith("ff")
    first = address.partition(".")[0]
    return address == "255.255.255.255" or (first.isdecimal() and 224 <= int(first) <= 239)


def build(lines: Iterable[Line], *, failed: Iterable[Failure] = (), model: Any = None) -> Ladder:
    """The ladder of a whole history.

    `failed`: rules that a judgement found broken. `model`: the lab's, where the history itself does not have it. Memory grows
    with the control packets, not with the data.
    """
    cast = Cast()
    cast.learn_model(model)
    builder = LadderBuilder(cast, failed)
    # No row is made before the last line was read, so that a node goes by its name from its first packet on.
    happenings = [happening for line in lines for happening in builder.collect(line)]
    rows = [*map(builder.row, happenings), *builder.finish()]
    return Ladder(
        columns=participants(cast, rows),
        rows=tuple(rows),
        handovers=tuple(builder.handovers),
        begin_ns=builder.begin_ns,
        end_ns=builder.end_ns,
        unplaced=builder.unplaced,
    )


def participants(cast: Cast, rows: Iterable[Row]) -> tuple[Column, ...]:
    """Those whom the history names in their order, then those that only go by an address, as they come."""
    known = cast.columns()
    names = {column.name for column in known}
    strangers = dict.fromkeys(name for row in rows for name in row.nodes if name not in names)
    return (*known, *(Column(name) for name in strangers))
