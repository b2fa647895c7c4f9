"""What a message holds, whatever was said before it [8.2, 8.4, D G-5 to G-8, G-14 to G-26]."""

from __future__ import annotations

from captures.gmp.constants import (
    KEY_OCTETS,
    LEAVES_REGISTERED,
    NOT_SECURE,
    OPEN,
    UIRES_OCTETS,
    WRAPPED_OCTETS,
)
from captures.history.events import Event
from captures.rules.packs.pim import checksum_problem, malformed_problem

_CHECKSUM = "octet 2: Checksum"
_KNOWN_TYPES = frozenset({*range(1, 10), *range(16, 24)})
_BELONGS = {
    "SCREQ": {16},  # [G-19]
    "SCINF": {*range(1, 10), 22},
    "SCCON": {17},
    "SRREQ": {16, 17},
    "SJREQ": {21},
    "SJRES": {18, 19, 23},
    "KDUPT": {18, 19, 23},
    "KARES": {23},  # by which the creator tells where its stream stands, what TLV 23 of others is made from [G-29]
}
"""Options by message, without the reason, which may stand in any SM message of the server [D G-8, G-16]."""
_REASONS = {
    "SCREJ": {1, 2, 3, 4, 6, 7, 8},
    "SRREJ": {1, 2, 4, 5, 6, 8},
    "SDRES": {1, 2, 4, 6},
    "SJRES": {1, 2, 3, 4, 6, 8},
}
"""What can be the reason that a message refuses for [D G-8, G-16]."""
_SM_OF_SERVER = frozenset({"SCACC", "SCREJ", "SDRES", "SCCON", "SRRES", "SRACC", "SRREJ", "SJRES"})


def well_formed(event: Event) -> str | None:
    """What else is malformed than the checksum."""
    problem = malformed_problem(event)
    others = [part for part in (problem or "").split("; ") if part and not part.startswith(_CHECKSUM)]
    return "; ".join(others) or None


def checksum(event: Event) -> str | None:
    """UDP's, and that which messages of module SM have of their own."""
    wrong = [part for part in (malformed_problem(event) or "").split("; ") if part.startswith(_CHECKSUM)]
    if wrong:
        return wrong[0]
    return None if event.fields["transport"] == "tcp" else checksum_problem(event)


def options(event: Event) -> str | None:
    """Options that have no meaning there; unknown ones are skipped [G-26]."""
    allowed = _BELONGS.get(event.kind, set()) | ({20} if event.kind in _SM_OF_SERVER else set())
    wrong = sorted({code for code in event.fields["types"] if code in _KNOWN_TYPES} - allowed)
    return f"holds option {', '.join(map(str, wrong))}" if wrong else None


def refusal(event: Event) -> str | None:
    """A refusal says why, and SCREJ has S=1 if that is secure mode."""
    reason = event.fields.get("reason")
    if reason is None:
        return "refuses, and does not say why" if event.kind in ("SCREJ", "SRREJ") else None
    if reason not in _REASONS.get(event.kind, ()):
        return f"reason {reason} is none that it can refuse for"
    if event.kind == "SCREJ" and bool(event.fields["s"]) is not (reason == NOT_SECURE):
        return f"S is {event.fields['s']}, its reason {reason}"
    return None


def ending(event: Event) -> str | None:
    """SS says that the session is ending, which TRIND alone tells."""
    ends = event.fields["ss"]
    if event.kind == "TRIND":
        return None if ends else "SS is 0, as if the session went on"
    return "SS is 1, as if the session ended" if ends else None


def identifiers(event: Event) -> str | None:
    """Who has no identifier yet says 0; everybody else has both."""
    session, user, kind = event.fields["session_id"], event.fields["user_id"], event.kind
    if kind == "SCREQ":
        return f"asks for a session as user {user} of session {session}" if session or user else None
    if kind in ("SCREJ", "SRREQ", "SRRES", "SRREJ"):
        return None if session or kind == "SCREJ" else "names no session"
    return None if session and user else f"is of user {user} of session {session}"


def level(event: Event) -> str | None:
    """Of LVREQ the level that is left [G-14]."""
    left = event.fields["reserved"]
    return None if left <= LEAVES_REGISTERED else f"leaves level {left}, which there is not"


def wrapped_key(event: Event) -> str | None:
    """Never in the clear [G-12, G-18]."""
    octets = len(event.fields["key"]) // 2
    if octets != WRAPPED_OCTETS:
        clear = ", as long as a key in the clear" if octets == KEY_OCTETS else ""
        return f"its group key has {octets} octets, not {WRAPPED_OCTETS}{clear}"
    if event.fields["key_length"] != KEY_OCTETS:
        return f"Key Length is {event.fields['key_length']}, not {KEY_OCTETS}"
    lacking = {19: "generation", 23: "roll-over counter"}.items()
    lacks = [name for code, name in lacking if code not in event.fields["types"]]
    return f"a key without its {' and '.join(lacks)}" if lacks else None


def members_size(event: Event) -> str | None:
    """Above 1400 octets several follow each other [G-22]."""
    octets = event.fields["octets"]
    return None if octets <= UIRES_OCTETS else f"{octets} octets, more than {UIRES_OCTETS}"


def members_words(event: Event) -> str | None:
    """In an open session the last word counts the others, in a closed one none does; everybody once [G-22]."""
    words, fields = event.fields["members"], event.fields
    users = [word[0] for word in words]
    if len(set(users)) < len(users):
        return "names somebody twice"
    counts = [place for place, user in enumerate(users) if user == 0]
    if counts and fields["mode"] != OPEN:
        return "counts others in a closed session"
    if counts and (fields["r"] or counts != [len(words) - 1]):
        return "counts the others before it has named everybody"
    return None


def description_problem(event: Event) -> str | None:
    """What must make the server refuse a description for reason 8, None if nothing does [G-25, G-26]."""
    fields = event.fields
    if not fields.get("title"):
        return "no name"
    if 6 not in fields["types"]:
        return "no media"
    if any(not name for what in ("core_members", "invited") for name in fields.get(what, ())):
        return "an empty name"
    period, timeout = fields.get("keep_alive", (1, 2))
    if not 0 < period < timeout:
        return f"a period of {period / 10:g} s and a timeout of {timeout / 10:g} s"
    return None
