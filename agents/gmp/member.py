"""A GMP client as a member: what it owes the server while it is active, the keys it is sent, who is with it, and how it leaves.

The server asks each active member with KAREQ every period, and one that answers stays active [7.2]. What comes unasked, the session's end
and new keys, comes to the same port or stream. A member leaves level by level: LVREQ has no answer, so it is said more than once [G-14].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agents.core.agent import Endpoint, Event
from agents.core.machine import TransitionTable
from agents.core.timers import TimerKey
from agents.gmp import constants as c
from agents.gmp.client import RETRY_FIRST, Client
from agents.gmp.client_state import Goal, Input, State
from agents.gmp.configuration import ClientConfiguration
from agents.gmp.constants import Level, MemberType
from agents.gmp.events import AskMembers, Leave
from agents.gmp.messages import ActiveMember, MembershipMessage
from agents.gmp.options import NO_OPTIONS, Options

# Periods without KAREQ, after which a stream is replaced; the server still waits for the member then [GI-9].
QUIET_PERIODS = 1.5

_LEAVING = {Level.ACTIVE: Input.LEAVE, Level.ENROLLED: Input.DE_ENROL, Level.REGISTERED: Input.DE_REGISTER}
_BELOW = {Level.ACTIVE: Goal.ENROLLED, Level.ENROLLED: Goal.REGISTERED, Level.REGISTERED: Goal.NOTHING}


class Member(Client):
    """A client that may be a member. Timer keys, beside a client's: ("leave",), ("silence",), and over streams ("quiet",)."""

    __slots__ = ("_active", "_leaves_sent", "_leaving", "_left_at")

    LISTS = ("members",)

    def __init__(
        self,
        configuration: ClientConfiguration,
        secret: bytes | None,
        table: TransitionTable[State, Input],
        member_type: MemberType,
    ) -> None:
        super().__init__(configuration, secret, table, member_type)
        self._leaving: MembershipMessage | None = None
        self._leaves_sent = 0
        self._left_at = 0.0
        self._active: dict[int, ActiveMember] = {}

    def handle(self, event: Event, now: float) -> None:
        """Take what a person asks of a member, or of any client."""
        match event:
            case Leave():
                self._leave(event.level, now)
            case AskMembers():
                self._ask_members(now)
            case _:
                super().handle(event, now)

    def timer_expired(self, key: TimerKey, now: float) -> None:
        """LVREQ is to be sent again, no KAREQ has come for too long, or a client's timer."""
        match key[0]:
            case "leave":
                self._send_leave(now)
            case "silence":
                self._server_silent(now)
            case "quiet" if self.state is State.ACTIVE:
                self.counters.add("reopened.stream")
                self._connection.listen_anew()
            case "quiet":
                pass
            case _:
                super().timer_expired(key, now)

    def want(self, goal: Goal, now: float, not_before: float = 0.0) -> None:
        """Go as far as ``goal`` at least; who was leaving says so first, and gives its LVREQ time to arrive [GI-13]."""
        if self._leaving is not None:
            level = Level(self._leaving.reserved)
            if goal > _BELOW[level]:
                left_to_send = c.LEAVE_SENDS - self._leaves_sent if level else 0
                not_before = self._left_at + (1 + left_to_send) * c.REQUEST_TIME
        super().want(goal, now, not_before)

    def advance(self, now: float) -> None:
        """Take the next step to the goal; one that is taken ends the leaving that was before it."""
        if (
            ("retry",) not in self.timers
            and self._leaving is not None
            and self._goal > _BELOW[Level(self._leaving.reserved)]
        ):
            self._stop_leaving()
        super().advance(now)

    def gone(self, why: str) -> None:
        """There is no such session any more."""
        self._stop_leaving()
        super().gone(why)

    def membership_message_received(self, message: MembershipMessage, source: Endpoint, now: float) -> None:
        """Take one message of module MM; of another user, session or mode it is dropped."""
        packet = message.packet
        if not self._user_id or (message.session_id, message.user_id) != (self._session_id, self._user_id):
            self.drop("of-another", source, packet=packet.name)
        elif message.closed is not self._is_closed:
            self.drop("wrong-mode", source, packet=packet.name)  # [G-26]
        elif packet is c.KAREQ:
            self._keep_alive_request(message, source, now)
        elif packet is c.KDUPT:
            self._key_update(message, source, now)
        elif packet is c.TRIND:
            self._termination(message, source)
        elif self._requests.is_answered_by(packet):
            self._user_information(message, now)
        else:
            self.drop("unasked", source, packet=packet.name)

    # --- an enrolled and an active member ---------------------------------------------------------------------------

    def _keep_alive_request(self, message: MembershipMessage, source: Endpoint, now: float) -> None:
        state = self.state
        if self._leaving is not None and state is not State.ACTIVE:
            self._still_asked(now)
            return
        if state is not State.ACTIVE and not (self._goal is Goal.ACTIVE and self._machine.allows(Input.ASKED)):
            self.drop("unexpected-keep-alive", source, state=state.value)
            return
        self._member_type = message.member_type
        self._data.is_at(message.group, message.port, self._keys)
        counter = self._data.roll_over_counter
        options = NO_OPTIONS if counter is None else Options(roll_over_counter=counter)
        self._connection.send(self.membership_message(c.KARES, options=options))
        period, timeout = message.period or c.DEFAULT_PERIOD, message.timeout or c.DEFAULT_TIMEOUT
        self.timers.set(("silence",), now + (period + timeout) * c.KEEP_ALIVE_UNIT)
        if self._connection.has_streams:
            self.timers.set(("quiet",), now + QUIET_PERIODS * period * c.KEEP_ALIVE_UNIT)
        if state is not State.ACTIVE:
            self._activated()
        if self._requests.is_answered_by(c.KAREQ):
            self._requests.done(now)
        if self._is_secure and self._keys.is_behind(message.reserved) and self._requests.packet is not c.SJREQ:
            self._ask_to_join(now)
        self.advance(now)

    def _activated(self) -> None:
        self._machine.move(Input.ASKED)
        self._retry_after = RETRY_FIRST
        self.timers.cancel(("retry",))
        if not self._data.is_on:
            self._data.begin(self._keys)
        self.notify("active", group=self._data.group, port=self._data.port)

    def _server_silent(self, now: float) -> None:
        """No KAREQ came for a period and the timeout: is there still a session [GI-4]?"""
        if self._requests.outstanding is not None:  # its turn comes, and says enough where there is no server
            self.timers.set(("silence",), now + c.REQUEST_TIME)
        elif self.state is State.ACTIVE:
            self.notify("silent")
            self._machine.move(Input.SILENT)
            self._ask_to_be_active(now)

    def _key_update(self, message: MembershipMessage, source: Endpoint, now: float) -> None:
        if not self.state.is_enrolled:
            self.drop("not-enrolled", source, packet=message.packet.name)
        else:
            self.take_key(message, source, now)

    def _termination(self, message: MembershipMessage, source: Endpoint) -> None:
        if self.state is State.ENDED:
            self.counters.add("ignored.repeated-TRIND")
        elif not message.ending:
            self.drop("not-ending", source, packet=message.packet.name)
        else:
            self.gone("ended")

    # --- who is active ----------------------------------------------------------------------------------------------

    def _ask_members(self, now: float) -> None:
        if self.state is not State.ACTIVE:
            self.notify("refused", request=c.UIREQ.name, reason="not-active")
            return
        if self._requests.ask(self.membership_message(c.UIREQ), c.UIRES, now=now):
            self._active.clear()

    def _user_information(self, message: MembershipMessage, now: float) -> None:
        """One of a row of UIRES; they have no numbers, so the last one ends the row, whatever was lost before [GI-6]."""
        self._active.update((member.user_id, member) for member in message.members)
        if not message.more:
            others = self._active.get(0)
            named = len(self._active) - (others is not None)
            self.notify("members", active=named, others=0 if others is None else others.others)
            self._requests.done(now)
            self.advance(now)

    def rows(self, of: str) -> Iterable[Mapping[str, object]]:
        """``members``: who was active when it was asked for last; User ID 0 stands for others, who are not named."""
        if of != "members":
            raise KeyError(of)
        for member in self._active.values():
            named = {"user": member.user_id, "member_type": member.member_type.name.lower()}
            yield named if member.user_id else {**named, "others": member.others}

    # --- leaving ----------------------------------------------------------------------------------------------------

    def _leave(self, level: Level, now: float) -> None:
        """Leave a level and those above it. Nothing answers an LVREQ [G-14]."""
        self._goal = min(self._goal, _BELOW[level])
        self.timers.cancel(("retry",))
        step = _LEAVING[level]
        can_move = self._machine.allows(step)
        if not can_move and not (level is Level.ACTIVE and self._data.is_on):  # it is where it will be
            self.counters.add("ignored.leave")
            self.advance(now)
            return
        self._stop_leaving()
        self._requests.clear()
        for key in ("registration", "silence", "quiet"):
            self.timers.cancel((key,))
        if self._user_id:
            self._leaving = self.membership_message(c.LVREQ, reserved=level)
            self._leaves_sent = 0
            self._send_leave(now)
        if can_move:
            self._machine.move(step)
        self._data.stop()
        if level is not Level.ACTIVE:
            self._keys.forget()
        self.notify("left", level=level.name.lower())

    def _send_leave(self, now: float) -> None:
        """Send LVREQ: of levels 1 and 2 three times, of level 0 when a KAREQ shows that it was not heard [G-14]."""
        leaving = self._leaving
        if leaving is None:
            return
        self._leaves_sent += 1
        self._left_at = now
        self._connection.send(leaving)  # over streams too as often: the first may be dead
        if leaving.reserved and self._leaves_sent < c.LEAVE_SENDS:
            self.timers.set(("leave",), now + c.REQUEST_TIME)

    def _still_asked(self, now: float) -> None:
        """A KAREQ although the member has left."""
        self.counters.add("received.keep-alive-after-leave")
        is_due = now >= self._left_at + c.REQUEST_TIME and self._leaves_sent < c.LEAVE_SENDS
        if self._leaving is not None and not self._leaving.reserved and is_due:
            self._send_leave(now)

    def _stop_leaving(self) -> None:
        self._leaving = None
        self.timers.cancel(("leave",))
