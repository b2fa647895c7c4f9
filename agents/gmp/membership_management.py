"""The server's module MM: who is active is asked, who is silent falls back, who leaves leaves, and sessions end (clauses 7.2 and 8.4).

Theory of operation. Figure 12 is the table of `agents.gmp.session`. Each active member is asked once in a period, in its turn
(`agents.gmp.rounds`); those heard longest ago stand first in the session's row, and one timer is set for the first of them. What comes from
somewhere else than a member's announced port, or for another mode, is dropped [G-17, G-26]: requests of this module are refused by silence [G-16].
Nothing here is confirmed to a peer, but for the end: so changes go to the disk by themselves, and only the end waits for it.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import islice
from math import inf
from typing import TYPE_CHECKING

from agents.core.agent import Endpoint
from agents.gmp import constants as c
from agents.gmp.constants import KAREQ, TRIND, UIRES, USER_INFORMATION_MAXIMUM, Level, MemberType
from agents.gmp.messages import ActiveMember, MembershipMessage, encode_membership
from agents.gmp.server_records import STREAMS, session_key, session_record
from agents.gmp.session import (
    ACTIVE,
    ENROLLED,
    MEMBER_TABLE,
    NOT_REGISTERED,
    REGISTERED,
    Member,
    MemberInput,
    Session,
    SessionInput,
)

if TYPE_CHECKING:
    from agents.gmp.server import Server

ENROLMENT_FACTOR = 10  # timeouts, after which an enrolled member that is not active falls to registered [G-21]
INFORMED_TIME = 0.5  # s, in which one member is told only once who is active
INFORMATION_TIME = 1e-5  # s for each active member, before who is active is put together anew
AT_ONCE = 256  # members that are told of the end before other work
PAUSE = 0.001  # s, between
_WORDS = (USER_INFORMATION_MAXIMUM - c.HEADER_SIZE) // 4  # members that one UIRES tells of

_LEAVES = {
    Level.ACTIVE: MemberInput.LEAVE_ACTIVE,
    Level.ENROLLED: MemberInput.LEAVE_ENROLLED,
    Level.REGISTERED: MemberInput.LEAVE_REGISTERED,
}
_LEVELS = {int(level): level for level in Level}


class MembershipManagement:
    """Module MM of ``server``. Timer keys, each with a Session ID: ("round",), ("silence",), ("enrolment",), ("ending",)."""

    __slots__ = ("_ending", "_server")

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ending: dict[int, tuple[Session, list[Member]]] = {}  # those that are to be told of it still

    def message_received(self, message: MembershipMessage, source: Endpoint, now: float, via: Hashable) -> None:
        """Take a message of a member."""
        server = self._server
        session = server.sessions.get(message.session_id)
        if session is None:
            self._about_what_is_gone(message, source, via)
            return
        if session.being_deleted:
            server.drop("being-deleted", source, packet=message.packet.name)
            return
        member = session.members.get(message.user_id)
        if member is None or member.state is NOT_REGISTERED:
            server.drop("not-registered", source, packet=message.packet.name)
        elif not self._is_from(member, source, via):
            server.drop("foreign-source", source, packet=message.packet.name)  # [G-13, G-17]
        elif message.closed is not session.is_closed:
            server.drop("wrong-mode", source, packet=message.packet.name)  # [G-26]
        elif message.packet is c.KARES:
            self._keep_alive_response(session, member, message, now)
        elif member.is_changing:
            server.drop("changing", source, packet=message.packet.name)
        elif message.packet is c.LVREQ:
            self._leave(session, member, message, source, now)
        elif message.packet is c.UIREQ:
            self._user_information(session, member, source, via, now)
        else:
            self._termination_request(session, member, source, now)

    def _is_from(self, member: Member, source: Endpoint, via: Hashable) -> bool:
        """Whether a message is from where module MM knows the member to be; over streams that one is its stream."""
        if member.sm.port != STREAMS:
            return source == member.mm
        if source.address != member.sm.address or via not in self._server.streams:
            return False
        if member.mm_stream != via:
            member.mm_stream = via
            self._server.streams.claim(via)
        return True

    def _about_what_is_gone(self, message: MembershipMessage, source: Endpoint, via: Hashable) -> None:
        """TRREQ is answered alike for a while after the end [G-24]."""
        server = self._server
        ended = server.ended.get(message.session_id)
        if message.packet is c.TRREQ and ended is not None and message.user_id == ended.creator.user_id:
            creator = ended.creator
            if source == creator.mm or (creator.sm.port == STREAMS and self._is_from(creator, source, via)):
                server.counters.add("repeated.TRREQ")
                server.send_to_members(TRIND, [(creator, ended.message_to(creator, TRIND))])
                return
        server.drop("unknown-session", source, packet=message.packet.name)

    # --- keep-alive [7.2, Figure 12] --------------------------------------------------------------------------------

    def _keep_alive_response(self, session: Session, member: Member, message: MembershipMessage, now: float) -> None:
        counters = self._server.counters
        state = member.state
        if member is session.creator and message.options.roll_over_counter is not None:  # [G-29]
            session.roll_over_counter = message.options.roll_over_counter
        if state is ACTIVE:
            session.heard(member, now)
        elif member.is_changing:
            counters.add("ignored.KARES.changing")
        elif state is REGISTERED and session.is_secure:  # [G-20]
            counters.add("ignored.KARES.secure")
        elif (
            member is session.creator and not member.was_asked
        ):  # it starts the session, which SAREQ alone is asked for [G-25]
            counters.add("ignored.KARES.not-asked")
        elif state is REGISTERED:
            self._server.step(session, member, MemberInput.KARES, now)
            self._server.ledger.note(self._server.record_of(session, member, ENROLLED))
            self._server.tell("enrolled", session, member)
        else:
            self._activated(session, member, now)

    def _activated(self, session: Session, member: Member, now: float) -> None:
        server = self._server
        server.step(session, member, MemberInput.KARES, now)
        server.ledger.note(server.record_of(session, member, ACTIVE))
        server.tell("active", session, member)
        if member is session.creator and not session.is_active:
            session.machine.move(SessionInput.STARTED)
            server.tell("session-started", session)

    def watch(self, session: Session) -> None:
        """Members have moved: have the timers that they need."""
        if session.description is None:
            return
        timers, session_id = self._server.timers, session.session_id
        if session.active:
            if ("round", session_id) not in timers:
                self.next_round(session)
            if ("silence", session_id) not in timers:
                timers.set(("silence", session_id), next(iter(session.active.values())).heard + session.timeout_s)
        enrolment = self._enrolment_timeout(session)
        if session.enrolled and enrolment and ("enrolment", session_id) not in timers:
            timers.set(("enrolment", session_id), next(iter(session.enrolled.values())).heard + enrolment)

    def next_round(self, session: Session) -> None:
        """Have the timer of whoever is asked next."""
        deadline = session.rounds.next_time
        session.rounds.awaited, session.rounds.is_early = inf if deadline is None else deadline, False
        if deadline is not None:
            self._server.timers.set(("round", session.session_id), deadline)

    def round_time(self, session: Session, now: float) -> None:
        """Ask those whose turn it is."""
        due = session.rounds.due(now)
        self._server.send_to_members(KAREQ, ((member, session.message_to(member, KAREQ)) for member in due))
        self.next_round(session)

    def silence_time(self, session: Session, now: float) -> None:
        """Members that were not heard within the timeout fall back to enrolled; of some the session ends [7.2.1.1, 7.2.3]."""
        server = self._server
        while session.active:
            member = next(iter(session.active.values()))
            if member.heard + session.timeout_s > now:  # as its timer was set: not a rounding less
                break
            if member.is_changing:  # it has just asked for something
                session.heard(member, now)
                continue
            server.counters.add("silent.members")
            server.step(session, member, MemberInput.EXPIRY, now)
            server.tell("dropped", session, member, state=member.state.value)
            if self._ends_with(session, member):
                self.end(session, "creator-silent" if member is session.creator else "core-silent", now)
                return
            server.ledger.note(server.record_of(session, member, member.state))
        self.watch(session)

    def enrolment_time(self, session: Session, now: float) -> None:
        """Enrolled members that did not activate in time fall to registered [G-21]."""
        timeout = self._enrolment_timeout(session)
        if not timeout:
            return
        server = self._server
        if session.being_deleted:
            server.timers.set(("enrolment", session.session_id), now + timeout)
            return
        for member in list(islice(session.enrolled.values(), AT_ONCE)):
            if member.heard + timeout > now:
                break
            if member.is_changing:
                session.enrolled.move_to_end(member.user_id)
                member.heard = now
                continue
            server.counters.add("expired.enrolment")
            self._step_down(session, member, MemberInput.EXPIRY, now)
            server.tell("dropped", session, member, state=member.state.value)
        if session.enrolled:
            first = next(iter(session.enrolled.values()))
            server.timers.set(("enrolment", session.session_id), max(first.heard + timeout, now + PAUSE))

    def _enrolment_timeout(self, session: Session) -> float:
        configured = self._server.configuration.enrolment_timeout_s
        return ENROLMENT_FACTOR * session.timeout_s if configured is None else configured

    # --- leave [G-10, G-14] -----------------------------------------------------------------------------------------

    def _leave(
        self, session: Session, member: Member, message: MembershipMessage, source: Endpoint, now: float
    ) -> None:
        server = self._server
        level = _LEVELS.get(message.reserved)
        if level is None:
            server.drop("wrong-level", source, packet=message.packet.name)
            return
        if (
            member is session.creator and level is Level.REGISTERED
        ):  # it is registered as long as there is a session [GI-11]
            level = Level.ENROLLED
        on = _LEAVES[level]
        if not MEMBER_TABLE.allows(member.state, on):
            if member.was_asked:
                member.was_asked = False
                server.ledger.note(server.record_of(session, member, member.state))
            server.counters.add("ignored.LVREQ")
            return
        ends = self._ends_with(session, member)
        self._step_down(session, member, on, now, is_ending=ends)
        server.tell("left", session, member, level=level.name.lower())
        if ends:
            self.end(session, "creator-left" if member is session.creator else "core-left", now)

    @staticmethod
    def _ends_with(session: Session, member: Member) -> bool:
        """Whether an active session ends because this member goes [7.2.3, 7.2.4]."""
        return session.is_active and member.is_indispensable

    def _step_down(
        self, session: Session, member: Member, on: MemberInput, now: float, *, is_ending: bool = False
    ) -> None:
        """Move a member down; who was enrolled and is no more is not to read on [7.3]."""
        server = self._server
        held_key = member.state is not REGISTERED
        server.step(session, member, on, now)
        changes = server.record_of(session, member, member.state)
        if (
            not is_ending
            and session.is_secure
            and server.keys is not None
            and held_key
            and member.state is not ENROLLED
        ):
            server.keys.renew(session, changes, now)
        else:
            server.ledger.note(changes)

    # --- user information [G-22] ------------------------------------------------------------------------------------

    def _user_information(self, session: Session, member: Member, source: Endpoint, via: Hashable, now: float) -> None:
        server = self._server
        if member.state is not ACTIVE:
            server.drop("not-active", source, packet=c.UIREQ.name)
            return
        if now - member.informed < INFORMED_TIME:
            server.drop("too-often", source, packet=c.UIREQ.name)
            return
        member.informed = now
        is_due = now - session.informed_at >= INFORMATION_TIME * len(session.active)
        if not session.information or (session.information_is_old and is_due):
            session.information = self._information(session)
            session.informed_at, session.information_is_old = now, False
        whole = (data[:6] + member.user_id.to_bytes(2) + data[8:] for data in session.information)
        server.send_to_members(UIRES, ((member, data) for data in whole))

    @staticmethod
    def _information(session: Session) -> list[bytes]:
        """Who is active, as UIRES without a User ID: in an open session the others are only counted [7.2]."""
        told = [member for member in session.active.values() if session.is_closed or member.is_indispensable]
        words = [ActiveMember(member.user_id, member.type) for member in told]
        if not session.is_closed:
            others = min(len(session.active) - len(told), c.OTHERS_MAXIMUM)
            words.append(ActiveMember(0, MemberType.PARTICIPANT, others))
        rows = [words[begin : begin + _WORDS] for begin in range(0, len(words), _WORDS)]
        messages = []
        for number, row in enumerate(rows, 1):
            message = session.membership_message(session.creator, UIRES)
            messages.append(MembershipMessage(
                UIRES, message.session_id, 0, message.closed, MemberType.PARTICIPANT, number < len(rows), False,
                message.group, message.port, message.period, message.timeout, members=tuple(row),
            ))  # fmt: skip
        return [encode_membership(message) for message in messages]

    # --- the end [7.2.1.1, 7.2.3, 7.2.4, G-11] ----------------------------------------------------------------------

    def _termination_request(self, session: Session, member: Member, source: Endpoint, now: float) -> None:
        if member is not session.creator:
            self._server.drop("not-the-creator", source, packet=c.TRREQ.name)
        elif not session.is_active:
            self._server.drop("not-active", source, packet=c.TRREQ.name)
        else:
            self.end(session, "creator", now)

    def end(self, session: Session, reason: str, now: float) -> None:
        """End an active session for all: every active member and the creator are told once that is on disk, whatever happens then."""
        server = self._server
        ending = {session_key(session.session_id): session_record(session, is_ending=True)}
        session.machine.move(SessionInput.TERMINATED)
        server.remove(session, now)
        server.remember(session, now)

        def is_on_disk(now: float) -> None:
            server.tell("session-ended", session, reason=reason)
            self.tell_of_the_end(session, now)

        server.ledger.insist(ending, is_on_disk, now)

    def tell_of_the_end(self, session: Session, now: float) -> None:
        """Tell all of a session that is over, and keep nothing of it."""
        members = [member for member in session.active.values() if member is not session.creator]
        session.changed()
        self._ending[session.session_id] = (session, [*members, session.creator])
        self.ending_time(session.session_id, now)

    def ending_time(self, session_id: int, now: float) -> None:
        """Tell the next members that the session has ended."""
        session, members = self._ending[session_id]
        next_ones = ((member, session.message_to(member, TRIND)) for member in members[:AT_ONCE])
        self._server.send_to_members(TRIND, next_ones)
        del members[:AT_ONCE]
        if members:
            self._server.timers.set(("ending", session_id), now + PAUSE)
        else:
            del self._ending[session_id]
            self._server.ledger.note(self._server.nothing_of(session))
