"""The server announces its sessions by SAP: what `agents.gmp.announcer` wants said is said when it is due [7.1.2]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agents.core.agent import SendDatagram
from agents.core.timers import TimerKey
from agents.gmp.announcer import Announcer
from agents.gmp.session import Session
from agents.gmp.session_announcements import announcement_of

if TYPE_CHECKING:
    from agents.gmp.server import Server

TIMER: TimerKey = ("announcements",)
_PORTS = ("sap", "sap6")  # extra ports, one for each IP version


class Announcing:
    """The announcements of ``server``: none where its configuration says no address to announce from."""

    __slots__ = ("_announcer", "_server")

    def __init__(self, server: Server) -> None:
        self._server = server
        given = server.configuration
        self._announcer = Announcer(
            tuple(given.announce_from),
            self._random_bytes,
            interval_s=given.announce_interval_s,
        )

    def _random_bytes(self, count: int) -> bytes:
        """The role's, which it is given after it was made."""
        return self._server.random_bytes(count)

    def put(self, session: Session, now: float, *, is_known: bool = False) -> None:
        """A session is there, or says something else of itself."""
        announcement = announcement_of(session)
        if announcement is None or not self._server.configuration.announce_from:
            return
        self._announcer.put(announcement, now, is_known=is_known)
        if session.session_id in self._announcer.too_large:
            self._server.counters.add("unannounced.too-large")
            self._server.tell("not-announced", session, reason="its description is too large for SAP")
        self.time(now)

    def remove(self, session: Session, now: float) -> None:
        """A session is gone."""
        self._announcer.remove(session.session_id, now)
        self.time(now)

    def time(self, now: float) -> None:
        """Say what is due."""
        server = self._server
        for data, group in self._announcer.due(now):
            server.counters.add("sent.SAP")
            server.act(
                SendDatagram(data, group, _PORTS[":" in group.address], interface=server.configuration.announce_on)
            )
        deadline = self._announcer.next_deadline()
        if deadline is None:
            server.timers.cancel(TIMER)
        else:
            server.timers.set(TIMER, deadline)
