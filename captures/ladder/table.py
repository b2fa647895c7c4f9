"""The rows of a ladder as a table: who said what to whom, every field of it, and where it was seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from captures.history.events import Event
from captures.ladder.drawing import Evidence, Shown, frames_of, nodes_of
from captures.ladder.rows import MessageRow, StepRow

_MILLISECOND = 1_000_000
_ENVELOPE = frozenset({"transport", "ports", "octets", "checksum", "alert", "mac", "hop_limit", "tunnels"})
_FIELDS_MAX = 60  # of one packet; who makes one with more shall not fill the page


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line: `seen` are frame numbers with the interface of each, `fields` names and values as read from the packet."""

    id: int
    time: str
    who: str
    protocol: str
    label: str
    text: str
    fate: str
    seen: tuple[tuple[int, str], ...]
    fields: tuple[tuple[str, str], ...]


class Fields:
    """What the packets of a history say, by frame number, gathered while the history is read for something else."""

    def __init__(self) -> None:
        self._fields: dict[int, Mapping[str, Any]] = {}

    def watching(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events as they are."""
        for event in events:
            if event.is_packet:
                self._fields[event.number] = {"from": event.source, "to": event.destination, **event.fields}
            yield event

    def of(self, frame: int) -> tuple[tuple[str, str], ...]:
        """Names and values of a packet's fields, what the message says before what carried it; each value once."""
        told = dict.fromkeys(flat(self._fields.get(frame, {})))
        return tuple(sorted(told, key=lambda pair: pair[0] in _ENVELOPE))[:_FIELDS_MAX]


def flat(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Nested fields as pairs of a name and a text; a message's parameters are one pair each."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from ((f"{name} {inner}", text) for inner, text in flat(value))
        elif isinstance(value, list | tuple):
            yield from _listed(name, value)
        elif value is not None:
            yield name, _text(value)


def _listed(name: str, values: Sequence[Any]) -> Iterator[tuple[str, str]]:
    if values and not any(isinstance(value, Mapping | list | tuple) for value in values):
        yield name, _text(values)
        return
    for number, value in enumerate(values, 1):
        if isinstance(value, Mapping):
            yield from ((f"{name} {number} {inner}", text) for inner, text in flat(value))
        elif name == "params" and isinstance(value, list | tuple) and value:
            yield str(value[0]), _text(value[1:])
        else:
            yield name, _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " ".join(map(_text, value)) if isinstance(value, list | tuple) else str(value)


def table_of(rows: Sequence[Shown], fields: Fields, zero_ns: int) -> list[TableRow]:
    """The rows of a chapter; times in ms from `zero_ns` on."""
    return [_row(row, fields, zero_ns) for row in rows]


def _row(row: Shown, fields: Fields, zero_ns: int) -> TableRow:
    frames = frames_of(row)
    time = f"{(row.t_ns - zero_ns) / _MILLISECOND:.3f}".replace("-", "\N{MINUS SIGN}")
    who = ", ".join(nodes_of(row))
    if isinstance(row, MessageRow):
        to = ", ".join(row.receivers) or "\N{EN DASH}"
        seen = tuple((sighting.frame, sighting.interface) for sighting in row.sightings)
        label = row.label if row.attempt == 1 else f"{row.label}, attempt {row.attempt}"
        return TableRow(
            frames[0],
            time,
            f"{row.sender} → {to}",
            row.protocol.upper(),
            label,
            row.text,
            row.fate,
            seen,
            fields.of(frames[0]),
        )
    if isinstance(row, Evidence):
        return TableRow(frames[0], time, who, "RTP", "data packet", "", "", ((row.frame, row.interface),), ())
    if isinstance(row, StepRow):
        told = tuple(flat({name: value for name, value in row.fields.items() if name not in ("t_ns", "step")}))
        return TableRow(frames[0], time, who, "step", row.step, row.text, "", tuple((f, "") for f in frames), told)
    interface = getattr(row, "interface", "")
    return TableRow(frames[0], time, who, "RTP", "stream", row.text, "", tuple((f, interface) for f in frames), ())
