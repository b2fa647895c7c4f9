"""The server's module SM, first part: sessions are created, described and deleted (clauses 7.1.1 and 8.2)."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from typing import TYPE_CHECKING

from agents.core.agent import Endpoint
from agents.gmp import constants as c
from agents.gmp.admission import HALF_OPEN_MAXIMUM, HALF_OPEN_OF_ADDRESS_MAXIMUM, HALF_OPEN_TIME, Shares
from agents.gmp.answers import Answers, Asked
from agents.gmp.constants import MemberType, RejectReason
from agents.gmp.descriptions import MalformedDescriptionError, description_of
from agents.gmp.messages import SessionMessage
from agents.gmp.options import NO_OPTIONS, Options
from agents.gmp.server_records import NEXT, member_key, member_record, session_key, session_record
from agents.gmp.session import REGISTERED, Description, Member, MemberInput, Session, SessionInput

if TYPE_CHECKING:
    from agents.gmp.server import Server

TOKEN_SIZE = 16  # bytes


class SessionManagement:
    """Module SM of ``server``. Timer keys: ("half-open", Session ID)."""

    __slots__ = ("_answers", "_half_open", "_half_open_shares", "_next", "_server")

    def __init__(self, server: Server, answers: Answers) -> None:
        self._server = server
        self._answers = answers
        self._next = 1
        self._half_open: dict[Endpoint, Session] = {}  # by where their SCREQ came from
        self._half_open_shares = Shares(HALF_OPEN_OF_ADDRESS_MAXIMUM)

    @property
    def half_open(self) -> int:
        """How many sessions wait for their description."""
        return len(self._half_open)

    def take_up(self, next_session_id: bytes) -> None:
        """Give no Session ID a second time that an earlier run has just given."""
        self._next = int(next_session_id)

    def message_received(self, message: SessionMessage, source: Endpoint, now: float, via: Hashable) -> None:
        """Take a request."""
        asked = Asked(message, source, via, by_stream=via in self._server.streams)
        session = self._server.sessions.get(message.session_id)
        if session is not None and session.being_deleted and message.packet not in {c.SCREQ, c.SDREQ}:
            self._server.drop("being-deleted", source, packet=message.packet.name)  # asked again, it is answered
            return
        match message.packet:
            case c.SRREQ:
                self._server.registration.register(asked, now)
            case c.SJREQ:
                self._server.registration.enrol(asked, now)
            case c.SAREQ:
                self._server.registration.activate(asked, now)
            case c.SCREQ:
                self._creation(asked, now)
            case c.SCINF:
                self._description(asked, now)
            case _:
                self._deletion(asked, now)

    # --- creation [7.1.1] -------------------------------------------------------------------------------------------

    def _creation(self, asked: Asked, now: float) -> None:
        session = self._half_open.get(asked.source)
        if session is not None:  # [G-23]
            self._answers.repeated(asked)
            if not session.is_changing:
                self._answers.answer(asked, c.SCACC, session, session.creator.user_id)
            return
        reason = self._creation_refusal(asked)
        session_id = self._free_session_id() if reason is None else 0
        if reason is not None or not session_id:
            self._answers.refuse(asked, RejectReason.RESOURCES if reason is None else reason)
            return
        message = asked.message
        creator = Member(1, message.options.client_name, MemberType.CREATOR, asked.place)
        session = Session(self._server, session_id, creator, is_secure=message.secure, is_closed=message.closed)
        session.next_user_id = 2
        session.is_changing = True
        session.add(creator)
        self._server.sessions[session_id] = session
        self._half_open[asked.source] = session
        self._half_open_shares.add(asked.source.address)
        changes = {
            NEXT: str(self._next).encode(),
            session_key(session_id): session_record(session),
            member_key(session_id, creator.user_id): member_record(creator, REGISTERED),
        }
        done = partial(self._created, asked, session)
        self._server.ledger.put(changes, done, partial(self._not_created, asked, session), now)

    def _creation_refusal(self, asked: Asked) -> RejectReason | None:
        server, message, options = self._server, asked.message, asked.message.options
        name = options.client_name
        if options.unreadable or name == "":  # [G-26]
            return RejectReason.DESCRIPTION_MALFORMED
        if message.qos:
            return RejectReason.QOS_UNSUPPORTED
        if message.secure and server.keys is None:
            return RejectReason.SECURE_MODE_UNSUPPORTED
        if name is None and server.configuration.require_names:  # [G-19]
            return RejectReason.NOT_AUTHORISED
        if message.secure and server.keys is not None and not server.keys.has_secret(name):
            return RejectReason.NOT_AUTHORISED
        is_full = len(self._half_open) >= HALF_OPEN_MAXIMUM or len(server.sessions) >= server.configuration.sessions
        if is_full or not self._half_open_shares.has_room(asked.source.address):
            return RejectReason.RESOURCES
        return None

    def _free_session_id(self) -> int:
        """A Session ID that no session has or had a minute ago; 0 if none is left."""
        taken = self._server.is_taken
        for _ in range(c.ID_MAXIMUM):
            session_id = self._next
            self._next = self._next % c.ID_MAXIMUM + 1
            if not taken(session_id):
                return session_id
        return 0

    def _created(self, asked: Asked, session: Session, now: float) -> None:
        session.is_changing = False
        self._server.step(session, session.creator, MemberInput.REGISTER, now)
        self._server.timers.set(("half-open", session.session_id), now + HALF_OPEN_TIME)
        self._server.tell("session-created", session, session.creator)
        self._answers.answer(asked, c.SCACC, session, session.creator.user_id)

    def _not_created(self, asked: Asked, session: Session, now: float) -> None:
        self._close_half(session)
        session.machine.move(SessionInput.EXPIRED)
        self._server.remove(session, now)
        self._answers.refuse_for_lack(asked, now)

    def half_open_time(self, session: Session, now: float) -> None:
        """A session whose description has not come is forgotten, unless that or its deletion is on its way to the disk."""
        if session.is_changing:
            self._server.timers.set(("half-open", session.session_id), now + HALF_OPEN_TIME)
            return
        self._server.counters.add("expired.half-open")
        self._close_half(session)
        session.machine.move(SessionInput.EXPIRED)
        self._server.remove(session, now)
        self._server.ledger.note(self._server.nothing_of(session))
        self._server.tell("session-expired", session)

    def _close_half(self, session: Session) -> None:
        """A session waits for its description no more."""
        self._server.timers.cancel(("half-open", session.session_id))
        for source, waiting in self._half_open.items():
            if waiting is session:
                del self._half_open[source]
                self._half_open_shares.remove(source.address)
                return

    # --- description [7.1.1, G-26] ----------------------------------------------------------------------------------

    def _description(self, asked: Asked, now: float) -> None:
        session = self._server.sessions.get(asked.message.session_id)
        if session is None:
            self._answers.refuse(asked, RejectReason.UNKNOWN_SESSION)
        elif not self._is_from_creator(asked, session):
            self._answers.refuse(asked, RejectReason.NOT_AUTHORISED)
        elif session.is_changing:
            self._answers.repeated(asked)
        else:
            try:
                description = description_of(asked.message, session)
            except MalformedDescriptionError as error:
                self._server.tell("description-refused", session, detail=str(error))
                self._answers.refuse(asked, RejectReason.DESCRIPTION_MALFORMED, str(error))
                return
            if description == session.description:
                self._answers.repeated(asked)
                self._confirm(asked, session)
            else:
                self._describe(asked, session, description, now)

    def _describe(self, asked: Asked, session: Session, description: Description, now: float) -> None:
        is_first = session.description is None
        token, key, generation = session.token, session.key, session.generation
        if is_first:
            session.is_closed = session.is_closed or asked.message.closed
            token = self._server.random_bytes(TOKEN_SIZE) if session.is_closed else b""
            if session.is_secure and self._server.keys is not None:
                key, generation = self._server.keys.make(), 1
        session.is_changing = True

        def described(now: float) -> None:
            session.is_changing = False
            if session.is_over:
                self._answers.refuse(asked, RejectReason.UNKNOWN_SESSION)
                return
            if is_first:
                self._close_half(session)
                session.machine.move(SessionInput.DESCRIBED)
                session.token, session.key, session.generation = token, key, generation
            session.describe(description)
            self._server.announcing.put(session, now)
            self._server.tell("session-described" if is_first else "session-changed", session)
            self._confirm(asked, session)

        def refused(now: float) -> None:
            session.is_changing = False
            self._answers.refuse_for_lack(asked, now)

        stored = session_record(session, description=description, token=token, key=key, generation=generation)
        self._server.ledger.put({session_key(session.session_id): stored}, described, refused, now)

    def _confirm(self, asked: Asked, session: Session) -> None:
        """SCCON, in closed mode with the token to hand out [G-9]."""
        options = Options(token=session.token) if session.is_closed else NO_OPTIONS
        self._answers.answer(asked, c.SCCON, session, session.creator.user_id, options)

    @staticmethod
    def _is_from_creator(asked: Asked, session: Session) -> bool:
        return asked.message.user_id == session.creator.user_id and asked.place == session.creator.sm  # [G-13]

    # --- deletion [7.1.6] -------------------------------------------------------------------------------------------

    def _deletion(self, asked: Asked, now: float) -> None:
        session = self._server.sessions.get(asked.message.session_id)
        if session is None:
            ended = self._server.ended.get(asked.message.session_id)
            if ended is None or ended.creator.sm != asked.place:
                self._answers.refuse(asked, RejectReason.UNKNOWN_SESSION)
            else:  # [G-24]
                self._answers.repeated(asked)
                self._answers.answer(asked, c.SDRES, ended, ended.creator.user_id)
        elif not self._is_from_creator(asked, session):
            self._answers.refuse(asked, RejectReason.NOT_AUTHORISED)
        elif session.active:  # [G-27]
            self._answers.refuse(asked, RejectReason.WRONG_STATE)
        elif session.is_changing:
            self._answers.repeated(asked)
        else:
            session.is_changing = session.being_deleted = True
            done, refused = partial(self._deleted, asked, session), partial(self._not_deleted, asked, session)
            self._server.ledger.put(self._server.nothing_of(session), done, refused, now)

    def _deleted(self, asked: Asked, session: Session, now: float) -> None:
        self._close_half(session)
        session.machine.move(SessionInput.DELETED)
        self._server.remove(session, now)
        self._server.remember(session, now)
        self._server.tell("session-deleted", session)
        self._answers.answer(asked, c.SDRES, session, session.creator.user_id)

    def _not_deleted(self, asked: Asked, session: Session, now: float) -> None:
        session.is_changing = session.being_deleted = False
        self._answers.refuse_for_lack(asked, now)
