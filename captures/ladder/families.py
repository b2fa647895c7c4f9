"""What has a colour of its own in a drawing: each protocol, and IGMP with MLD."""

from __future__ import annotations

from captures.protocols import names, protocol

OTHER = "other"
_COLOURS = 5  # of protocols, in the style sheet
_GENERAL = {"igmp": "membership", "mld": "membership", "pim": "pim"}


def family_of(name: str) -> str:
    """The style of a protocol."""
    if name in names():
        return f"protocol-{names().index(name) % _COLOURS}"
    return _GENERAL.get(name, OTHER)


def titles() -> dict[str, str]:
    """By family, what the protocols in it are called."""
    found: dict[str, list[str]] = {}
    for name in (*names(), *_GENERAL):
        found.setdefault(family_of(name), []).append(protocol(name).title if name in names() else name.upper())
    return {OTHER: "other protocols"} | {family: " or ".join(called) for family, called in found.items()}
