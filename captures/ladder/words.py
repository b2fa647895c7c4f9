"""Control packets in a few words, for people: what a packet is called, what it says, whether it is mere background.

A protocol without words of its own is told by the names and values of its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from captures.dissectors.igmp_mld import ALLOW, BLOCK, MODE_IS_EXCLUDE, MODE_IS_INCLUDE, TO_EXCLUDE, TO_INCLUDE
from captures.history.events import Event
from captures.protocol import Name
from captures.protocols import names, protocol

_PERIODIC = {"pim": frozenset({"hello"}), "sap": frozenset({"announcement"})}
_REFRESHED = {"pim": frozenset({"join-prune"})}  # [RFC 7761 4.5.1]
_ENVELOPE = frozenset({"mac", "hop_limit", "alert", "checksum", "octets", "ports", "transport", "tunnels", "version"})
_LONGEST = 60  # octets of text that nobody prepared


class Words(NamedTuple):
    """`label` is short, `text` says the rest; `background` is what goes on whatever the lab does."""

    label: str
    text: str
    background: bool = False


def words(event: Event, name: Name = str, group: str | None = None) -> Words:
    """Words for a control packet; `group` is the lab's: who joins another one is background."""
    if event.kind == "malformed":
        return Words(f"{event.protocol.upper()} malformed", _malformed(event, name))
    tell = _WORDS.get(event.protocol)
    if tell is not None:
        return tell(event, name, group)
    known = protocol(event.protocol) if event.protocol in names() else None
    told = known.words if known is not None and known.words is not None else _parameters
    background = known is not None and event.kind in known.background
    return Words(event.kind, told(event.kind, event.fields, name), background=background)


def _malformed(event: Event, name: Name) -> str:
    """What could be read of it, then what is wrong."""
    reason, read = str(event.fields.get("reason", "")), event.fields.get("read")
    if not isinstance(read, Mapping):
        return reason
    said = [str(read.get("packet", ""))]
    said += [f"{key.removesuffix('_id')} {read[key]}" for key in ("session_id", "connection_id") if key in read]
    known = protocol(event.protocol) if event.protocol in names() else None
    if known is not None and known.words is not None:
        said.append(known.words(str(read.get("packet", "")), read, name))
    return f"{', '.join(filter(None, said))}: {reason}"


_REPORTED = {
    MODE_IS_INCLUDE: "has", MODE_IS_EXCLUDE: "has", TO_EXCLUDE: "joins", ALLOW: "joins", TO_INCLUDE: "leaves",
    BLOCK: "leaves",
}  # fmt: skip


def _membership(event: Event, name: Name, group: str | None) -> Words:
    protocol, message = event.protocol.upper(), event.fields.get("message", {})
    if event.kind == "query":
        asked = str(message.get("group", ""))
        return Words(f"{protocol} query", f"for {asked}" if asked else "general", background=not _matters(asked, group))
    records = message.get("records", ())
    told: dict[str, list[str]] = {}
    known = [record for record in records if _matters(record["group"], group)]
    for record in known or records:
        kind, sources = record["kind"], record["sources"]
        verb = "joins" if kind == TO_INCLUDE and sources else _REPORTED.get(kind, "reports")
        told.setdefault(verb, []).append(_channel(record["group"], sources, name, but=kind in _EXCLUDING))
    verbs = sorted(told, key=_IMPORTANCE.index)
    label = {"joins": "join", "leaves": "leave"}.get(verbs[0] if verbs else "", "report")
    said = ", ".join(f"{verb} {', '.join(told[verb])}" for verb in verbs)
    if known and len(known) < len(records):
        said += f" and {len(records) - len(known)} more"
    return Words(f"{protocol} {label}", said, background=not known)


_EXCLUDING = (MODE_IS_EXCLUDE, TO_EXCLUDE)
_IMPORTANCE = ["joins", "leaves", "has", "reports"]


def _channel(group: str, sources: Iterable[str], name: Name, *, but: bool) -> str:
    named = ", ".join(name(source) for source in sources)
    if not named:
        return group
    return f"{group} but from {named}" if but else f"{group} from {named}"


def _matters(group: str, labs: str | None) -> bool:
    return group == labs if labs is not None else bool(group) and not group.startswith(("224.0.0.", "ff02:"))


def _pim(event: Event, name: Name, group: str | None) -> Words:
    fields = event.fields
    if event.kind != "join-prune":
        return Words(f"PIM {event.kind}", "", background=event.kind == "hello")
    joins, prunes = fields.get("joins", ()), fields.get("prunes", ())
    said = [f"joins ({name(source)}, {to})" for source, to in joins]
    said += [f"prunes ({name(source)}, {to})" for source, to in prunes]
    label = "PIM join" if joins else "PIM prune"
    return Words(label, ", ".join(said), background=not any(_matters(to, group) for _, to in (*joins, *prunes)))


def _sap(event: Event, name: Name, group: str | None) -> Words:
    fields = event.fields
    said = [f"{fields['title']!r}"[:_LONGEST]] if fields.get("title") else []
    if fields.get("group"):
        said.append(f"group {fields['group']} port {fields.get('port', '?')}")
    background = event.kind == "announcement" and not _matters(str(fields.get("group", "")), group)
    return Words(
        f"SAP {event.kind}", ", ".join([*said, f"of {name(str(fields.get('origin', '')))}"]), background=background
    )


_WORDS: dict[str, Callable[[Event, Name, str | None], Words]] = {
    "igmp": _membership,
    "mld": _membership,
    "pim": _pim,
    "sap": _sap,
}


def known_protocols() -> set[str]:
    """Protocols whose messages there may be."""
    return {*_WORDS, *names()}


def is_periodic(name: str, kind: str) -> bool:
    """Whether a protocol's packets of a kind come again and again as time passes."""
    return kind in (protocol(name).periodic if name in names() else _PERIODIC.get(name, ()))


def is_said_again(name: str, kind: str) -> bool:
    """Whether none of them is a repetition of the one before: what comes by the clock, or says what still holds."""
    return is_periodic(name, kind) or kind in (
        protocol(name).refreshed if name in names() else _REFRESHED.get(name, ())
    )


def _parameters(_kind: str, fields: Mapping[str, Any], name: Name) -> str:
    params = fields.get("params")
    if isinstance(params, list | tuple):
        pairs = [(str(one[0]), list(one[1:])) for one in params if isinstance(one, list | tuple) and one]
        return ", ".join(
            f"{key} {' '.join(name(str(value)) for value in values)}".strip()[:_LONGEST] for key, values in pairs
        )
    said = []
    for key, value in fields.items():
        if key in _ENVELOPE or value is None:
            continue
        said.append(
            f"{len(value)} {key}" if isinstance(value, list | tuple) else f"{key} {name(str(value))}"[:_LONGEST]
        )
    return ", ".join(said)


def step_words(step: str, fields: Mapping[str, Any]) -> str:
    """A scenario step in words."""
    if step == "handover_begin":
        where = f"{fields.get('mn', '')} from {fields.get('from', '?')} to {fields.get('to', '?')}"
        return f"handover {fields.get('handover')}, {fields.get('mode', '')}: {where}"
    if step == "handover_end":
        return f"end of handover {fields.get('handover')}"
    if step == "parameters":
        return f"lab {fields.get('lab', '')}, IPv{fields.get('family', '?')}, group {fields.get('group', '?')}"
    plain = {key: value for key, value in fields.items() if isinstance(value, str | int | float)}
    return " ".join([step.replace("_", " "), *(f"{key}={value}" for key, value in plain.items())])
