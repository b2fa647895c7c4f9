"""A client's one outstanding request: sent again until it is answered, given up after three sends, others wait for it [G-1]."""

from __future__ import annotations

from collections import deque

from agents.core.record import record
from agents.gmp.connection import Connection
from agents.gmp.constants import KAREQ, REQUEST_SENDS, REQUEST_TIME, MembershipPacket, SessionPacket
from agents.gmp.messages import Message
from agents.gmp.role import Role

WAITING_MAXIMUM = 16  # requests that wait for the outstanding one

Packet = SessionPacket | MembershipPacket


@record
class Request:
    """A message that wants one of ``answers``."""

    message: Message
    answers: frozenset[Packet]


class Requests:
    """The requests of ``role``. Its timer's key is ("request",): the role calls ``resend_time``."""

    __slots__ = ("_connection", "_role", "_sends", "_sent_on", "_waiting", "outstanding")

    def __init__(self, role: Role, connection: Connection) -> None:
        self._role = role
        self._connection = connection
        self._waiting: deque[Request] = deque()
        self._sends = 0
        self._sent_on = 0
        self.outstanding: Request | None = None

    @property
    def packet(self) -> Packet | None:
        """The type of the outstanding request, or None."""
        return None if self.outstanding is None else self.outstanding.message.packet

    def ask(self, message: Message, *answers: Packet, now: float) -> bool:
        """Send a request, now or after those that were asked before; False where too many wait."""
        request = Request(message, frozenset(answers))
        if self.outstanding is None:
            self._begin(request, now)
        elif len(self._waiting) < WAITING_MAXIMUM:
            self._waiting.append(request)
        else:
            self._role.counters.add("unsent.too-many-requests")
            return False
        return True

    def is_answered_by(self, packet: Packet) -> bool:
        """Whether the outstanding request wants such an answer."""
        return self.outstanding is not None and packet in self.outstanding.answers

    def under_way(self) -> None:
        """The outstanding request is being looked at: it is not sent again [G-23]."""
        self._role.timers.cancel(("request",))

    def done(self, now: float) -> None:
        """The outstanding request is answered, or not wanted any more: the next one's turn."""
        self._role.timers.cancel(("request",))
        self.outstanding = None
        if self._waiting:
            self._begin(self._waiting.popleft(), now)

    def clear(self) -> None:
        """Want no answers any more."""
        self._role.timers.cancel(("request",))
        self._waiting.clear()
        self.outstanding = None

    def resend_time(self, now: float) -> Message | None:
        """Send the outstanding request again; or give the message up that was sent often enough, and begin the next."""
        request = self.outstanding
        if request is None:
            return None
        if self._sends < REQUEST_SENDS:
            self._role.counters.add(f"resent.{request.message.packet.name}")
            if KAREQ in request.answers:  # which comes by another stream than SAREQ goes: one that is dead, perhaps
                self._connection.listen_anew()
            self._send(request, now)
            return None
        self._role.counters.add(f"unanswered.{request.message.packet.name}")
        self._connection.restart(request.message, now)
        self.done(now)
        return request.message

    def _begin(self, request: Request, now: float) -> None:
        self.outstanding = request
        self._sends = 0
        self._sent_on = 0
        self._send(request, now)

    def _send(self, request: Request, now: float) -> None:
        self._sends += 1
        self._sent_on = self._connection.send(request.message, self._sent_on)
        self._role.timers.set(("request",), now + REQUEST_TIME)
