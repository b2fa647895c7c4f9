"""The lines of ``timeline.jsonl``: one JSON object for each event of a history, in order of time.

Every line has ``t_ns`` (CLOCK_REALTIME, nanoseconds since the epoch), ``kind`` and ``node`` (empty where none is meant).
``frame``, ``first`` and ``last`` are frame numbers as Wireshark shows them for the run's ``lab.pcapng``. What else a line
has depends on its kind:

- ``frame``: a control packet as one interface saw it; a packet has one line for every interface on its way. ``interface``
  (``node:interface``), ``frame``, ``protocol`` ("igmp", "mld", "pim", "sap", and whatever has a port),
  ``packet`` (its name in the protocol, or "malformed"), ``source``, ``destination``, ``fields`` (as the protocol's reader
  gives them, and ``mac``, ``hop_limit``, ``alert``, ``checksum``, ``octets``, ``tunnels``);
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
from dataclasses import dataclass
from typing import Any

from captures.history.events import DATA, LINK_STEP, LOG, STEP, TRACE, Event

_NO_EVENT = Event(0, 0, "", "", "", "", "", {})


@dataclass(frozen=True)
class _Line:
    """How a line of one kind has an event's attributes, by their names in the line.

    `fields`: those of the event's fields that stand in the line by themselves. `always`: what all of its events have in common.
    """

    attributes: Mapping[str, str]
    fields: tuple[str, ...] = ()
    always: Mapping[str, Any] | None = None


_OF_STEP = {"frame": "number", "fields": "fields"}
_LINES = {
    "frame": _Line(
        {
            "interface": "interface",
            "frame": "number",
            "protocol": "protocol",
            "packet": "kind",
            "source": "source",
            "destination": "destination",
            "fields": "fields",
        }
    ),
    "data": _Line(
        {"interface": "interface", "source": "source", "destination": "destination", "first": "number"},
        ("port", "packets", "last", "last_ns"),
        {"protocol": DATA, "kind": "rtp"},
    ),
    "step": _Line({"step": "kind", **_OF_STEP}, always={"protocol": STEP}),
    "link": _Line({"link": "kind", "interface": "interface", **_OF_STEP}, always={"protocol": STEP}),
    "trace": _Line({"event": "kind", "fields": "fields"}, always={"protocol": TRACE}),
    "log": _Line({"daemon": "kind"}, ("text", "resolution_ns"), {"protocol": LOG}),
}


def line_kind(event: Event) -> str:
    """The ``kind`` of an event's line."""
    if event.protocol == STEP:
        return "link" if event.kind.startswith(LINK_STEP) else "step"
    return "frame" if event.is_packet else event.protocol


def as_dict(event: Event) -> dict[str, Any]:
    """The event as JSON, if its fields are `plain`."""
    kind = line_kind(event)
    line = _LINES[kind]
    told = {name: getattr(event, attribute) for name, attribute in line.attributes.items()}
    if kind == "link":
        told["link"] = event.kind.removeprefix(LINK_STEP)
        told["interface"] = event.interface if ":" in event.interface else ""
    told |= {name: event.fields[name] for name in line.fields}
    return {"t_ns": event.t_ns, "kind": kind, "node": event.node, **told}


def from_dict(written: Mapping[str, Any]) -> Event:
    """The reverse of `as_dict`; names that are not known are passed over. Raises ValueError if it is no line."""
    try:
        line = _LINES[written["kind"]]
        told = {attribute: written[name] for name, attribute in line.attributes.items()}
        if written["kind"] == "link":
            told["kind"] = LINK_STEP + told["kind"]
        told["interface"] = told.get("interface") or written["node"]
        if line.fields:
            told["fields"] = {name: written[name] for name in line.fields}
        return _NO_EVENT._replace(t_ns=written["t_ns"], **told, **(line.always or {}))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no line of a timeline: {error!r}") from None


def plain(event: Event) -> Event:
    """The event with fields as JSON has them: as it would be read from its line."""
    return event._replace(fields=_plain(event.fields))


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
