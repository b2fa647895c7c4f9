"""From a history's events to the rows of a ladder, one after the other as the events come.

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

from captures.history.data import WINDOW_NS
from captures.history.events import DATA, LINK_STEP, LOG, STEP, TRACE, Event
from captures.history.participants import Participant, Participants
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
from captures.ladder.words import is_said_again, step_words, words

TRAVEL_NS = 500_000_000
"""The longest time between two sightings of one packet; so much later than its events a row is final."""
REPEATED_NS = 5_000_000_000
"""An equal packet from the same sender this soon after counts as another attempt."""
GAP_NS = 20_000_000
"""A data stream that is silent for longer has stopped; a slow one has four of its own spaces."""
_SLOW_GAP_NS = 1_000_000_000  # for a stream of which only one packet is known
_KEPT_ATTEMPTS = 10_000
GROUP = "group"
"""Who gets what was sent to a group where nobody knows whose interface it was seen at: a capture that is not a lab's."""

_ENVELOPE = ("mac", "hop_limit", "checksum", "tunnels")  # differ from link to link
_NOT_TOLD = frozenset({"sent", "counters"})  # trace events that the wire or nobody tells better


@dataclass(slots=True)
class _Packet:
    """A packet on its way."""

    event: Event
    sightings: list[Sighting]
    hop_limit: int
    attempt: int
    macs: list[str] = field(default_factory=list)

    def may_be(self, event: Event) -> bool:
        return (
            event.t_ns - self.sightings[-1].t_ns <= TRAVEL_NS
            and int(event.fields.get("hop_limit", 0)) <= self.hop_limit
            and all(sighting.interface != event.interface for sighting in self.sightings)
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
    """Takes events in order of time and gives rows in order of time, each once it is final.

    `participants` may know the participants already. `failed` rules are put to the rows that have their frames.
    """

    def __init__(self, participants: Participants | None = None, failed: Iterable[Failure] = ()) -> None:
        self.participants = participants or Participants()
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

    def take(self, event: Event) -> Iterator[Row]:
        """Take the next event; the rows that are final now."""
        return map(self.row, self.collect(event))

    def collect(self, event: Event) -> Iterator[_Happening]:
        """As `take`, but what is no row yet: to be given to `row` in the same order, once all names are known."""
        self.participants.learn(event)
        if event.protocol not in (TRACE, LOG):
            self.begin_ns = self.begin_ns or event.t_ns
            self.end_ns = max(self.end_ns, event.t_ns)
        self._look_for_silence(event.t_ns)
        if event.is_packet:
            self._packet(event)
        elif event.protocol == DATA:
            self._data(event)
        elif event.protocol == STEP:
            self._step(event)
        else:
            self._note(event)
        self._sweep(event.t_ns - TRAVEL_NS)
        return self._final(event.t_ns - TRAVEL_NS)

    def finish(self) -> Iterator[Row]:
        """The rows that were waiting for what might still come."""
        return map(self.row, self._final(None))

    # --- what events become

    def _wait(self, thing: _Happening) -> None:
        self._taken += 1
        t_ns = thing.event.t_ns if isinstance(thing, _Packet) else thing.t_ns
        heapq.heappush(self._waiting, (t_ns, self._taken, thing))

    def _packet(self, event: Event) -> None:
        content = {name: value for name, value in event.fields.items() if name not in _ENVELOPE}
        key = json.dumps([event.protocol, event.kind, event.source, event.destination, content], sort_keys=True)
        sighting = Sighting(event.interface, event.number, event.t_ns)
        candidates = self._open.setdefault(key, [])
        for packet in reversed(candidates):
            if packet.may_be(event):
                packet.sightings.append(sighting)
                packet.hop_limit = int(event.fields.get("hop_limit", 0))
                return
        packet = _Packet(event, [sighting], int(event.fields.get("hop_limit", 0)), self._attempt(key, event))
        candidates[:] = [one for one in candidates if event.t_ns - one.sightings[-1].t_ns <= TRAVEL_NS]
        candidates.append(packet)
        self._wait(packet)

    def _attempt(self, key: str, event: Event) -> int:
        if is_said_again(event.protocol, event.kind):
            return 1
        before, count = self._attempts.pop(key, (0, 0))
        count = count + 1 if event.t_ns - before <= REPEATED_NS else 1
        self._attempts[key] = event.t_ns, count
        if len(self._attempts) > _KEPT_ATTEMPTS:
            del self._attempts[next(iter(self._attempts))]
        return count

    def _data(self, event: Event) -> None:
        fields = event.fields
        key = (event.interface, event.source, event.destination, fields["port"])
        flow = self._flows.get(key)
        if flow is not None:
            flow.last_ns, flow.last = max(flow.last_ns, fields["last_ns"]), fields["last"]
            flow.packets += fields["packets"]
            return
        self._flows[key] = _Flow(event.t_ns, fields["last_ns"], fields["last"], fields["packets"])
        before = self._silent.pop(key, None)
        where = _where(event.interface, event.destination)
        if before is None:
            self._wait(self._stream(event, "begins", f"data begins at {where}"))
        else:
            silence = event.t_ns - before.last_ns
            text = f"data is back after {silence / 1e6:.1f} ms at {where}"
            self._wait(self._stream(event, "back", text, silence))

    def _look_for_silence(self, now_ns: int) -> None:
        if now_ns - self._looked_ns < WINDOW_NS:
            return
        self._looked_ns = now_ns
        for key, flow in list(self._flows.items()):
            if now_ns - flow.last_ns > flow.gap_ns(self.participants.spacing_ns):
                interface, _, destination, _ = key
                self._silent[key] = self._flows.pop(key)
                node = _place(interface, destination)
                quiet = self.participants.passes_on(node)
                text = f"data stops at {_where(interface, destination)}"
                self._wait(StreamRow(flow.last_ns, node, interface, "stops", text, flow.last, background=quiet))

    def _stream(self, event: Event, change: Any, text: str, silence_ns: int = 0) -> StreamRow:
        node = _place(event.interface, event.destination)
        quiet = self.participants.passes_on(node)
        return StreamRow(event.t_ns, node, event.interface, change, text, event.number, silence_ns, background=quiet)

    def _note(self, event: Event) -> None:
        fields = event.fields
        if event.protocol == LOG:
            self._wait(NoteRow(event.t_ns, event.node, event.kind, str(fields.get("text"))))
        elif event.kind == "state":
            change = f"{fields.get('from')} to {fields.get('to')} on {fields.get('on')}"
            self._wait(NoteRow(event.t_ns, event.node, "trace", change))
        elif event.kind not in _NOT_TOLD:
            said = " ".join(f"{name}={value}" for name, value in fields.items())
            self._wait(NoteRow(event.t_ns, event.node, "trace", f"{event.kind} {said}".strip()))

    def _step(self, event: Event) -> None:
        step, fields = event.kind, event.fields
        if step == "model":
            return
        if step.startswith(LINK_STEP):
            link = f"link {step.removeprefix(LINK_STEP)}"
            text = f"{link} at {event.interface}" if event.interface else link
            self._wait(StepRow(event.t_ns, event.node, link, text, event.number, fields, link=True))
            return
        quiet = step == "parameters"
        self._wait(
            StepRow(event.t_ns, event.node, step, step_words(step, fields), event.number, fields, background=quiet)
        )
        self._span(event)

    def _span(self, event: Event) -> None:
        fields = event.fields
        name = str(fields.get("handover"))
        self._attempts.clear()  # what is said again after a step is said for another reason
        if event.kind == "handover_begin":
            ends = (str(fields.get("from", "")), str(fields.get("to", "")))
            self.handovers.append(HandoverSpan(name, event.node, str(fields.get("mode", "")), *ends, event.t_ns, None))
        elif event.kind == "handover_end":
            for index, span in enumerate(self.handovers):
                if span.handover == name and span.end_ns is None:
                    self.handovers[index] = replace(span, end_ns=event.t_ns)

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
        event, participants = packet.event, self.participants
        sightings = tuple(sorted(packet.sightings, key=lambda sighting: (sighting.t_ns, sighting.frame)))
        sender = participants.sender(event)
        receivers, fate = self._receivers(event, sender, sightings)
        said = words(event, participants.name, participants.group)
        return MessageRow(
            t_ns=event.t_ns,
            sender=sender,
            receivers=receivers,
            protocol=event.protocol,
            packet=event.kind,
            label=said.label,
            text=said.text,
            sightings=sightings,
            fate=fate,
            attempt=packet.attempt,
            background=said.background,
        )

    def _receivers(self, event: Event, sender: str, sightings: tuple[Sighting, ...]) -> tuple[tuple[str, ...], Fate]:
        seen_at = dict.fromkeys(node for sighting in sightings if (node := _node(sighting.interface)))
        target = self.participants.name(event.destination)
        if not _is_group(event.destination):
            if target in seen_at:
                return (target,), "arrived"
            return (target,), "lost" if self.participants.captures(target) else "unknown"
        upstream = event.fields.get("upstream")
        if isinstance(upstream, str) and self.participants.name(upstream) != upstream:
            return (self.participants.name(upstream),), "unknown" if self.participants.name(
                upstream
            ) not in seen_at else "arrived"
        across = [self.participants.across(sighting.interface) for sighting in sightings]
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


def build(events: Iterable[Event], *, failed: Iterable[Failure] = (), model: Any = None) -> Ladder:
    """The ladder of a whole history.

    `failed`: rules that a judgement found broken. `model`: the lab's, where the history itself does not have it. Memory grows
    with the control packets, not with the data.
    """
    participants = Participants()
    participants.learn_model(model)
    builder = LadderBuilder(participants, failed)
    # No row is made before the last event was read, so that a node goes by its name from its first packet on.
    happenings = [happening for event in events for happening in builder.collect(event)]
    rows = [*map(builder.row, happenings), *builder.finish()]
    return Ladder(
        columns=columns(participants, rows),
        rows=tuple(rows),
        handovers=tuple(builder.handovers),
        begin_ns=builder.begin_ns,
        end_ns=builder.end_ns,
        unplaced=builder.unplaced,
    )


def columns(participants: Participants, rows: Iterable[Row]) -> tuple[Participant, ...]:
    """Those whom the history names in their order, then those that only go by an address, as they come."""
    known = participants.all()
    names = {column.name for column in known}
    strangers = dict.fromkeys(name for row in rows for name in row.nodes if name not in names)
    return (*known, *(Participant(name) for name in strangers))
