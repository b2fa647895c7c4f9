"""GMP's messages in a few words; tokens and keys are told of and never shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from captures.gmp.constants import CLOSED, CORE, CREATOR, PARTICIPANT
from captures.gmp.messages import told
from captures.protocol import Name

REASONS = {
    1: "no resources", 2: "not authorised", 3: "no secure mode here", 4: "unknown session", 5: "bad token", 6: "wrong state",
    7: "no quality-of-service management here", 8: "description malformed",
}  # fmt: skip
MEMBER_TYPES = {CREATOR: "creator", CORE: "core member", PARTICIPANT: "participant"}
LEVELS = ("active", "enrolled", "registered")
_CONDITIONS = {0: "at any time", 1: "when its core members are registered", 2: "when its core members are enrolled"}
_LONGEST = 60  # octets of text that nobody prepared


def words(kind: str, fields: Mapping[str, Any], _name: Name) -> str:
    """What a message says."""
    if "options" in fields:  # of one that is malformed, as far as it could be read
        fields = told(fields)
    return ", ".join([*_header(kind, fields), *_options(fields)])


def _header(kind: str, fields: Mapping[str, Any]) -> Iterator[str]:
    if session := fields.get("session_id"):
        yield f"session {session}"
    if user := fields.get("user_id"):
        yield f"user {user}"
    if kind == "SCREQ":
        yield "closed" if fields.get("m") else "open"
        yield from ("secure" for _ in range(fields.get("s", 0)))
    if kind in ("KARES", "LVREQ", "UIREQ", "TRREQ") and fields.get("member_type") in (CREATOR, CORE):
        yield MEMBER_TYPES[fields["member_type"]]
    if kind == "KAREQ":
        yield f"every {fields.get('period', 0) / 10:g} s, timeout {fields.get('timeout', 0) / 10:g} s"
        yield from ("closed" for _ in range(fields.get("mode") == CLOSED))
        yield from (f"key generation {generation}" for generation in (fields.get("reserved"),) if generation)
    if kind == "LVREQ":
        yield f"no longer {dict(enumerate(LEVELS)).get(level := fields.get('reserved', 0), f'at level {level}')}"
    if fields.get("ss"):
        yield "the session ends"
    if kind == "UIRES":
        yield _members(fields.get("members", ()), more=bool(fields.get("r")))


def _members(words: Any, *, more: bool) -> str:
    named = [str(word[0]) for word in words if word[0]]
    others = sum(word[2] for word in words if len(word) > 2)
    said = f"active: {' '.join(named) or 'nobody'}" + (f" and {others} others" if others else "")
    return f"{said}, more follows" if more else said


def _options(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, said in (("title", "{!r}"), ("name", "name {!r}"), ("owner", "of {!r}")):
        if name in fields:
            yield said.format(fields[name])[:_LONGEST]
    if "keep_alive" in fields:
        period, timeout = fields["keep_alive"]
        yield f"every {period / 10:g} s, timeout {timeout / 10:g} s"
    for name, said in (("core_members", "core members"), ("invited", "invited")):
        if fields.get(name):
            yield f"{said} {' '.join(fields[name])}"[:_LONGEST]
    if "condition" in fields:
        yield f"starts {_CONDITIONS.get(condition := fields['condition'], f'under condition {condition}')}"
    if "mm_port" in fields:
        yield f"MM port {fields['mm_port']}"
    yield from (f"a {secret}" for secret in ("token", "key") if secret in fields)
    if "generation" in fields:
        yield f"generation {fields['generation']}"
    if "counter" in fields:
        yield f"roll-over counter {fields['counter']}"
    if "media" in fields:
        yield f"SDP of {len(fields['media'])} characters"
    if "reason" in fields:
        yield f"refused: {REASONS.get(reason := fields['reason'], f'reason {reason}')}"
