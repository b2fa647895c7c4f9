"""Control packets in a few words, for people: what a packet is called, what it says, whether it is mere background.

A protocol without words of its own is told by the names and values of its parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from captures.dissectors.membership import ALLOW, BLOCK, MODE_IS_EXCLUDE, MODE_IS_INCLUDE, TO_EXCLUDE, TO_INCLUDE
from captures.history.events import Event

PERIODIC = {"mmcp": frozenset({"USR", "ASR", "USP"}), "pim": frozenset({"hello"})}
"""Packets that come again and again as time passes, so that none of them is a repetition of the one before."""

REFRESHED = {"pim": frozenset({"join-prune"})}
"""Packets that say again and again what still holds [RFC 7761 4.5.1]: the first of them is news, none is a repetition."""

Name = Callable[[str], str]
"""Gives the name of the node that has an address, or the address itself."""

_ENVELOPE = frozenset({"mac", "hop_limit", "alert", "checksum", "octets", "ports", "tunnels", "version"})
_F_HAS_MEANING = frozenset({"SJC", "LJC", "ULC", "HIC", "HTA"})  # as in X.604.1 8.1
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
    if tell is None:
        return Words(event.kind, _parameters(event.fields, name))
    return tell(event, name, group)


def _malformed(event: Event, name: Name) -> str:
    """What could be read of it, then what is wrong."""
    reason, read = str(event.fields.get("reason", "")), event.fields.get("read")
    if not isinstance(read, Mapping):
        return reason
    said = [str(read.get("packet", ""))]
    said += [f"{key.removesuffix('_id')} {read[key]}" for key in ("session_id", "connection_id") if key in read]
    if event.protocol == "mmcp":
        said += [_mmcp_parameter(str(parameter), values, name) for parameter, *values in read.get("params", ())]
    return f"{', '.join(said)}: {reason}"


def _mmcp(event: Event, name: Name, _group: str | None) -> Words:
    fields = event.fields
    said = [f"F={fields.get('f', 0)}"] if event.kind in _F_HAS_MEANING else []
    for parameter, *values in fields.get("params", ()):
        said.append(_mmcp_parameter(str(parameter), values, name))
    return Words(event.kind, ", ".join(said))


def _mmcp_parameter(parameter: str, values: list[Any], name: Name) -> str:
    if parameter == "mn_id":
        return f"MN {readable(values[0])}"
    if parameter == "poa_id":
        return f"PoA {readable(values[0])}"
    if parameter == "multicast":
        return f"group {values[0]} port {values[1]}"
    if parameter == "lmc":
        return f"LMC {name(values[0])}"
    if parameter == "status":
        return f"{values[0]} packets in {values[1]} s"
    if parameter == "membership":
        return f"{values[0]} members"
    return f"{parameter} {' '.join(map(str, values))}"[:_LONGEST]


def readable(identifier: str) -> str:
    """An identifier given in hex as the text it is, if it is one."""
    try:
        text = bytes.fromhex(identifier).decode("ascii")
    except ValueError:
        return identifier
    return text if text.isprintable() and text else identifier


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


_WORDS: dict[str, Callable[[Event, Name, str | None], Words]] = {
    "mmcp": _mmcp,
    "igmp": _membership,
    "mld": _membership,
    "pim": _pim,
}


def known_protocols() -> set[str]:
    """Protocols that have words of their own here."""
    return set(_WORDS)


def _parameters(fields: Mapping[str, Any], name: Name) -> str:
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
