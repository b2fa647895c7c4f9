"""The lines of ``timeline.jsonl``: one JSON object for each thing that happened, in order of time.

Every line has ``t_ns`` (CLOCK_REALTIME, nanoseconds since the epoch), ``kind`` and ``node`` (empty where none is meant).
``frame``, ``first`` and ``last`` are frame numbers as Wireshark shows them for the run's ``lab.pcapng``. What else a line
has depends on its kind:

- ``frame``: a control packet as one interface saw it; a packet has one line for every interface on its way. ``interface``
  (``node:interface``), ``frame``, ``protocol`` ("mmcp", "igmp", "mld", "pim", and whatever else `captures.history.control` reads),
  ``packet`` (its name in the protocol, or "malformed"), ``source``, ``destination``, ``fields`` (as the protocol's reader
  gives them, and ``mac``, ``hop_limit``, ``alert``, ``checksum``, ``octets``);
- ``data``: packets of one RTP flow at one interface, those of one window of 10 ms: ``interface``, ``source``,
  ``destination``, ``port``, ``packets``, ``first``, ``last``, ``last_ns`` (time of the last; ``t_ns`` is that of the first);
- ``step``: what the scenario did: ``frame``, ``step`` (its name), ``fields``;
- ``link``: what the scenario did to a link: ``frame``, ``link`` ("trigger", "down" or "up"), ``interface``, ``fields``;
- ``trace``: what an agent says it did: ``event``, ``fields``;
- ``log``: a line of a daemon: ``daemon``, ``text``, ``resolution_ns`` (how exact its time is; ``t_ns`` is the earliest it can
  have been).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

WINDOW_NS = 10_000_000
"""Data packets are told of by windows of 10 ms, which begin at multiples of it."""


@dataclass(frozen=True, slots=True)
class FrameLine:
    """A control packet at one interface."""

    kind: ClassVar[str] = "frame"
    t_ns: int
    node: str
    interface: str
    frame: int
    protocol: str
    packet: str
    source: str
    destination: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DataLine:
    """Data packets of one flow at one interface in one window."""

    kind: ClassVar[str] = "data"
    t_ns: int
    node: str
    interface: str
    source: str
    destination: str
    port: int
    packets: int
    first: int
    last: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class StepLine:
    """A scenario step."""

    kind: ClassVar[str] = "step"
    t_ns: int
    node: str
    frame: int
    step: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LinkLine:
    """A change of a link."""

    kind: ClassVar[str] = "link"
    t_ns: int
    node: str
    frame: int
    link: str
    interface: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TraceLine:
    """A trace record of an agent."""

    kind: ClassVar[str] = "trace"
    t_ns: int
    node: str
    event: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a daemon's log."""

    kind: ClassVar[str] = "log"
    t_ns: int
    node: str
    daemon: str
    text: str
    resolution_ns: int


Line = FrameLine | DataLine | StepLine | LinkLine | TraceLine | LogLine

_KINDS: dict[str, type[Line]] = {
    kind.kind: kind for kind in (FrameLine, DataLine, StepLine, LinkLine, TraceLine, LogLine)
}
_NAMES = {kind: tuple(field.name for field in fields(cls) if field.name != "t_ns") for kind, cls in _KINDS.items()}


def as_dict(line: Line) -> dict[str, Any]:
    """The line as JSON."""
    return {
        "t_ns": line.t_ns,
        "kind": line.kind,
        **{name: getattr(line, name) for name in _NAMES[line.kind]},
    }


def from_dict(written: Mapping[str, Any]) -> Line:
    """The reverse of `as_dict`; names that are not known are passed over. Raises ValueError if it is no line."""
    try:
        line = _KINDS[written["kind"]]
        return line(written["t_ns"], *(written[name] for name in _NAMES[line.kind]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no line of a timeline: {error!r}") from None
