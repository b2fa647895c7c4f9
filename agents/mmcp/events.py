"""What happens to MMCP's roles beyond what happens to any role: the data channel's counts, an application's leave."""

from __future__ import annotations

from agents.core.agent import Event
from agents.core.record import record


@record
class DataChannelReport(Event):
    """What a receiver of data has counted so far, for status reports: packets since it began, of ``group`` (None: any)."""

    packets_received: int
    group: str | None = None


@record
class ApplicationLeave(Event):
    """The application wants to leave a session, with notice; None: all its sessions."""

    session_id: int | None = None
