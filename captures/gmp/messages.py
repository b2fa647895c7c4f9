"""What GMP's messages say, as rules, words and chapters ask for it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

from captures.gmp.constants import FROM_SERVER

if TYPE_CHECKING:
    from captures.history.events import Event

_TEXTS = {1: "title", 2: "content", 3: "owner", 6: "media", 16: "name"}
_NUMBERS = {
    4: "start_time",
    5: "end_time",
    19: "generation",
    20: "reason",
    21: "mm_port",
    22: "condition",
    23: "counter",
}
_OCTETS = {17: "token", 18: "key"}
_LISTS = {7: "core_members", 9: "invited"}


def told(message: Mapping[str, Any]) -> dict[str, Any]:
    """The header as `dissect` has it, `types` of its options in wire order, and what they say by names; the first of each counts.

    ``title``, ``content``, ``owner``, ``media``, ``name``: text. ``start_time``, ``end_time``, ``generation``, ``reason``,
    ``mm_port``, ``condition``, ``counter``: numbers. ``token``, ``key``: hex. ``core_members``, ``invited``: all their names.
    ``keep_alive``: period and timeout in 100 ms.
    """
    fields = {name: value for name, value in message.items() if name not in ("packet", "options")}
    options = [(code, bytes.fromhex(value)) for code, value in message.get("options", ())]
    fields["types"] = tuple(code for code, _ in options)
    for code, value in options:
        if code in _TEXTS:
            fields.setdefault(_TEXTS[code], value.decode(errors="replace"))
        elif code in _NUMBERS:
            fields.setdefault(_NUMBERS[code], int.from_bytes(value))
        elif code in _OCTETS:
            fields.setdefault(_OCTETS[code], value.hex())
        elif code in _LISTS:
            fields[_LISTS[code]] = (*fields.get(_LISTS[code], ()), value.decode(errors="replace"))
        elif code == 8:
            fields.setdefault("keep_alive", (value[0], value[1]))
    return fields


def server_of(event: Event) -> str:
    """The server's address: from it or to it every message goes."""
    return event.source if event.kind in FROM_SERVER else event.destination


def client_of(event: Event) -> tuple[str, int]:
    """The client's address and the port that it speaks from or is spoken to at."""
    sport, dport = event.fields["ports"]
    return (event.destination, dport) if event.kind in FROM_SERVER else (event.source, sport)


def member_of(event: Event) -> Hashable | None:
    """A word for the rule language: a user of a session at its server."""
    fields = event.fields
    return (server_of(event), fields["session_id"], fields["user_id"]) if "session_id" in fields else None


def period_s(event: Event) -> float:
    """Keep-alive period of an MM message in seconds."""
    return float(event.fields["period"]) / 10


def timeout_s(event: Event) -> float:
    """Timeout of an MM message in seconds."""
    return float(event.fields["timeout"]) / 10


def refuses(event: Event) -> bool:
    """Whether an answer says that the request is refused [D G-16]."""
    return event.kind in ("SCREJ", "SRREJ") or "reason" in event.fields
