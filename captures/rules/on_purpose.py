"""What a lab's links do to packets on purpose, as its ``model`` step says: nobody is blamed for that.

A link that a person changes while the lab runs, a ``link`` step, is excused for whatever the words of that step name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from captures.history.events import Event

LOSES = ("loss", "rate_bps")
"""What makes packets go missing: a link that carries less than what comes drops the rest."""
REORDERS = ("reorder", "jitter_s")
"""What makes packets overtake each other."""
_DELAY_LEAST_S = 0.05
"""Below it a delay is within what every rule allows."""
_MOST = 1e15  # a capture may be damaged, and its model with it

_TELL: Mapping[str, Callable[[float], str]] = {
    "delay_s": lambda value: f"takes {value * 1e3:g} ms",
    "jitter_s": lambda value: f"is up to {value * 1e3:g} ms early or late",
    "loss": lambda value: f"loses {value * 100:g} %",
    "duplicate": lambda value: f"doubles {value * 100:g} %",
    "reorder": lambda value: f"reorders {value * 100:g} %",
    "rate_bps": lambda value: f"carries {value / 1e6:g} Mbit/s at most",
}


@dataclass(slots=True)
class _Link:
    """A link by its two ends and all that they are called, the interfaces that its packets are seen at, and what it does.

    `does`: a text by the name of each quality.
    """

    ends: tuple[str, str]
    called: frozenset[str]
    interfaces: frozenset[str]
    does: dict[str, str] = field(default_factory=dict)


class OnPurpose:
    """The links of a lab that are not perfect, learned from its steps; what is no model tells nothing."""

    def __init__(self) -> None:
        self._links: list[_Link] = []
        self._interfaces: frozenset[str] = frozenset()

    def learn(self, step: Event) -> None:
        """Take a ``model`` step, or a ``link`` step."""
        if step.kind == "link":
            self._changed(step.fields)
        elif isinstance(model := step.fields.get("model"), Mapping):
            self._links = list(_links_of(model))
            self._interfaces = frozenset().union(*(link.interfaces for link in self._links))

    def _changed(self, fields: Mapping[str, Any]) -> None:
        ends, asked = {str(fields.get("first")), str(fields.get("second"))}, str(fields.get("asked"))
        words = {"loss" if word == "down" else word for word in re.split(r"[\s,=]+", asked)}
        named = [name for name in _TELL if name.partition("_")[0] in words]
        for link in self._links:
            if ends <= link.called:
                link.does |= dict.fromkeys(named, f"was given {asked}")

    def why(self, subject: str, qualities: tuple[str, ...]) -> str:
        """What excuses something of these qualities; empty if nothing does.

        Of an interface only what is at its own link; of anything else, such as a stream, whatever link it may have crossed.
        """
        for link in self._links:
            told = [link.does[name] for name in qualities if name in link.does]
            if told and (subject in link.interfaces or subject not in self._interfaces):
                return f"the lab's link {'-'.join(link.ends)} {' and '.join(dict.fromkeys(told))} on purpose"
        return ""


def _links_of(model: Mapping[str, Any]) -> Iterator[_Link]:
    """All links of a model; what is sent in a cell is seen at every interface that may be in it."""
    cells: dict[str, set[str]] = {}
    for attachment in _objects(model.get("attachments")):
        cells.setdefault(str(attachment.get("point_of_attachment")), set()).add(_interface(attachment.get("end")))
    radios = [(radio, _cells_of(radio)) for radio in _objects(model.get("radios"))]
    for radio, there in radios:
        for cell in there:
            cells.setdefault(cell, set()).add(_interface(radio))
    for link in _objects(model.get("links")):
        first, second = link.get("first"), link.get("second")
        yield _link(link, (_node(first), _node(second)), {_interface(first), _interface(second)})
    for attachment in _objects(model.get("attachments")):
        end, cell = attachment.get("end"), str(attachment.get("point_of_attachment"))
        yield _link(attachment, (_node(end), cell), cells[cell])
    for radio, there in radios:
        others = {str(radio.get("interface")), *there}
        yield _link(radio, (_node(radio), "air"), set().union(*(cells[cell] for cell in there)), others)


def _link(part: Mapping[str, Any], ends: tuple[str, str], interfaces: set[str], others: Collection[str] = ()) -> _Link:
    does: dict[str, list[str]] = {}
    for way in ("forward", "backward"):
        quality = part.get(way)
        for name, tell in _TELL.items():
            value = quality.get(name) if isinstance(quality, Mapping) else None
            least = _DELAY_LEAST_S if name == "delay_s" else 0
            if isinstance(value, int | float) and least < value < _MOST:
                does.setdefault(name, []).append(tell(value))
    return _Link(
        ends,
        frozenset((*ends, *others)),
        frozenset(interfaces),
        {name: " or ".join(dict.fromkeys(told)) for name, told in does.items()},
    )


def _cells_of(radio: Mapping[str, Any]) -> list[str]:
    addresses = radio.get("addresses")
    pairs = addresses if isinstance(addresses, list) else []
    return [str(pair[0]) for pair in pairs if isinstance(pair, list) and pair]


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def _node(end: Any) -> str:
    return str(end.get("node")) if isinstance(end, Mapping) else ""


def _interface(end: Any) -> str:
    return f"{end.get('node')}:{end.get('interface')}" if isinstance(end, Mapping) else ""
