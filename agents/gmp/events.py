"""What a person or program asks of a GMP client, beyond what happens to any role."""

from __future__ import annotations

from agents.core.agent import Event
from agents.core.record import record
from agents.gmp.constants import Level


@record
class Register(Event):
    """Register; a creator that has no session creates it. ``session_id`` and ``token`` replace those of the configuration."""

    session_id: int | None = None
    token: bytes | None = None


@record
class Enrol(Event):
    """Register where that is needed, and enrol."""


@record
class Activate(Event):
    """Register and enrol where that is needed, and activate."""


@record
class Leave(Event):
    """Leave a level and those above it [G-10, G-14]."""

    level: Level


@record
class AskMembers(Event):
    """Ask who is active."""


@record
class EndSession(Event):
    """End the active session, which its creator may."""


@record
class DeleteSession(Event):
    """Delete the session while nobody is active, which its creator may."""


@record
class Describe(Event):
    """Describe the session anew: what is not None replaces what the description says."""

    name: str | None = None
    content: str | None = None
    owner: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    media: str | None = None
