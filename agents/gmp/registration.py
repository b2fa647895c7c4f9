"""The server's module SM, second part: clients are registered, enrolled and activated (clauses 7.1.3 to 7.1.5)."""

from __future__ import annotations

from functools import partial
from hmac import compare_digest
from typing import TYPE_CHECKING

from agents.core.agent import Endpoint
from agents.gmp import constants as c
from agents.gmp.admission import Guesses
from agents.gmp.answers import Answers, Asked
from agents.gmp.constants import KAREQ, RejectReason
from agents.gmp.options import NO_OPTIONS
from agents.gmp.server_records import STREAMS
from agents.gmp.session import ACTIVE, ENROLLED, REGISTERED, Member, MemberInput, Session

if TYPE_CHECKING:
    from agents.gmp.server import Server


class Registration:
    """Members of ``server``'s sessions come."""

    __slots__ = ("_answers", "_guesses", "_server")

    def __init__(self, server: Server, answers: Answers) -> None:
        self._server = server
        self._answers = answers
        self._guesses = Guesses()

    # --- registration [7.1.3] ---------------------------------------------------------------------------------------

    def register(self, asked: Asked, now: float) -> None:
        """SRREQ: its answer is SRACC or SRREJ; in closed mode SRRES comes before, at once."""
        message = asked.message
        session = self._server.sessions.get(message.session_id)
        if session is None:
            self._answers.refuse(asked, RejectReason.UNKNOWN_SESSION)
            return
        if session.description is None:
            self._answers.refuse(asked, RejectReason.WRONG_STATE)
            return
        if session.is_closed:
            self._answers.answer(asked, c.SRRES, session, 0)
        name = message.options.client_name
        reason = self._registration_refusal(asked, session, now)
        if reason is not None:
            self._answers.refuse(asked, reason)
            return
        known = self._known(asked, session)
        if known is None:
            self._register(asked, session, name, now)
        elif known.is_changing:
            self._answers.repeated(asked)
        elif known.sm == asked.place:
            self._answers.repeated(asked)
            self._registered(asked, session, known)
        elif known.sm.address == asked.place.address:
            self._found_again(asked, session, known, now)
        else:  # [G-23]
            self._answers.refuse(asked, RejectReason.NOT_AUTHORISED)

    def _registration_refusal(self, asked: Asked, session: Session, now: float) -> RejectReason | None:
        """Why a form or, in a closed session, a token or name does not do [G-23, G-26]."""
        options, name, token = asked.message.options, asked.message.options.client_name, asked.message.options.token
        if options.unreadable or name == "":
            return RejectReason.DESCRIPTION_MALFORMED
        if not session.is_closed:
            return None
        if name is None or token is None:
            return RejectReason.DESCRIPTION_MALFORMED
        address = asked.source.address
        if self._guesses.are_too_many(address, now):
            self._server.counters.add("refused.too-many-guesses")
            return RejectReason.BAD_TOKEN
        if not compare_digest(token, session.token):
            self._guesses.wrong(address, now)
            return RejectReason.BAD_TOKEN
        invited = session.described.invited_members
        if invited and name not in {*invited, *session.described.core_members, session.creator.name}:
            return RejectReason.NOT_AUTHORISED
        return None

    @staticmethod
    def _known(asked: Asked, session: Session) -> Member | None:
        """The member that asks again: by its name, else by its place [G-23]; the creator is one from the beginning [G-28]."""
        name = asked.message.options.client_name
        creator = session.creator
        if creator.sm == asked.place and (creator.name == name or asked.message.user_id == creator.user_id):
            return creator
        return session.by_place.get(asked.place) if name is None else session.by_name.get(name)

    def _register(self, asked: Asked, session: Session, name: str | None, now: float) -> None:
        server = self._server
        has_room = len(session.members) < server.configuration.members
        user_id = session.free_user_id() if has_room and server.shares.has_room(asked.source.address) else 0
        if not user_id:
            self._answers.refuse(asked, RejectReason.RESOURCES)
            return
        member = Member(user_id, name, session.type_of(name), asked.place)
        member.is_changing = True
        session.add(member)
        server.shares.add(member.sm.address)
        done, refused = partial(self._is_member, asked, session, member), partial(self._is_none, asked, session, member)
        server.ledger.put(server.record_of(session, member, REGISTERED), done, refused, now)

    def _is_member(self, asked: Asked, session: Session, member: Member, now: float) -> None:
        member.is_changing = False
        if session.is_over:
            self._answers.refuse(asked, RejectReason.UNKNOWN_SESSION)
            return
        self._server.step(session, member, MemberInput.REGISTER, now)
        self._server.tell("registered", session, member)
        self._registered(asked, session, member)

    def _is_none(self, asked: Asked, session: Session, member: Member, _now: float) -> None:
        if not session.is_over:
            session.remove(member)
            self._server.shares.remove(member.sm.address)
        self._answers.refuse(asked, RejectReason.RESOURCES)

    def _found_again(self, asked: Asked, session: Session, member: Member, now: float) -> None:
        """A member has begun again at its address, by another port or by streams."""

        def then(_now: float) -> None:
            if member.name is None:
                session.by_place.pop(member.sm, None)
                session.by_place[asked.place] = member
            member.sm = asked.place
            self._server.counters.add("moved.members")
            self._registered(asked, session, member)

        was_asked = member.was_asked
        self._answers.change(asked, session, member, member.state, then, now, sm=asked.place, was_asked=was_asked)

    def _registered(self, asked: Asked, session: Session, member: Member) -> None:
        self._server.streams.claim(asked.via)
        self._answers.answer(asked, c.SRACC, session, member.user_id)

    # --- enrolment and activation [7.1.4, 7.1.5] --------------------------------------------------------------------

    def _member(self, asked: Asked) -> tuple[Session, Member] | None:
        """The member that asks; who is none, or is somewhere else, is refused [G-13]."""
        message = asked.message
        session = self._server.sessions.get(message.session_id)
        if session is None:
            self._answers.refuse(asked, RejectReason.UNKNOWN_SESSION)
            return None
        member = session.members.get(message.user_id)
        if member is None or session.description is None:
            self._answers.refuse(asked, RejectReason.WRONG_STATE)
        elif member.sm != asked.place:
            self._answers.refuse(asked, RejectReason.NOT_AUTHORISED)
        elif member.is_changing:
            self._answers.repeated(asked)
        else:
            self._server.streams.claim(asked.via)
            return session, member
        return None

    def _place_of(self, asked: Asked, member: Member) -> Endpoint | None:
        """Where module MM reaches the member from now on: who speaks over streams is reached by those."""
        port = asked.message.options.client_mm_port
        if member.sm.port == STREAMS:
            return None
        return Endpoint(member.sm.address, port) if port else member.mm

    def enrol(self, asked: Asked, now: float) -> None:
        """SJREQ: its answer is SJRES, to a member that is enrolled already too, whose key may be old [G-15]."""
        found = self._member(asked)
        if found is None:
            return
        session, member = found
        mm = self._place_of(asked, member)
        keys = self._server.keys
        if session.is_secure and (keys is None or not keys.has_secret(member.name)):  # [G-12]
            self._answers.refuse(asked, RejectReason.NOT_AUTHORISED)
        elif session.is_secure and mm is None and member.sm.port != STREAMS:  # [G-15]
            self._answers.refuse(asked, RejectReason.DESCRIPTION_MALFORMED)
        elif member.state is not REGISTERED and member.mm == mm:
            self._answers.repeated(asked)
            self._enrolled(asked, session, member)
        else:
            self._enrol(asked, session, member, mm, now)

    def _enrol(self, asked: Asked, session: Session, member: Member, mm: Endpoint | None, now: float) -> None:
        is_new = member.state is REGISTERED
        state = ENROLLED if is_new else member.state
        then = partial(self._is_enrolled, asked, session, member, mm, is_new=is_new)
        self._answers.change(asked, session, member, state, then, now, was_asked=member.was_asked, mm=mm)

    def _is_enrolled(
        self,
        asked: Asked,
        session: Session,
        member: Member,
        mm: Endpoint | None,
        now: float,
        *,
        is_new: bool,
    ) -> None:
        server = self._server
        member.mm = mm
        if not is_new:
            self._enrolled(asked, session, member)
            return
        server.step(session, member, MemberInput.ENROL, now)
        server.tell("enrolled", session, member)
        if session.is_secure and server.keys is not None and server.configuration.rekey_on_join:
            server.keys.renew(session, {}, now, lambda: self._enrolled(asked, session, member))
        else:
            self._enrolled(asked, session, member)

    def _enrolled(self, asked: Asked, session: Session, member: Member) -> None:
        """SJRES, in a secure session with its key."""
        keys = self._server.keys
        options = keys.options_for(session, member) if session.is_secure and keys is not None else NO_OPTIONS
        self._answers.answer(asked, c.SJRES, session, member.user_id, options)

    def activate(self, asked: Asked, now: float) -> None:
        """SAREQ: its answer is KAREQ, or SJRES with a reason [G-16]."""
        found = self._member(asked)
        if found is None:
            return
        session, member = found
        mm = self._place_of(asked, member)
        if member.state is REGISTERED or (member is session.creator and not session.may_start):  # [G-25]
            self._answers.refuse(asked, RejectReason.WRONG_STATE)
        elif mm is None and member.sm.port != STREAMS:
            self._answers.refuse(asked, RejectReason.DESCRIPTION_MALFORMED)
        elif member.mm == mm and (member.state is ACTIVE or member.was_asked):
            self._answers.repeated(asked)
            self._ask(session, member)
        else:
            self._activate(asked, session, member, mm, now)

    def _activate(self, asked: Asked, session: Session, member: Member, mm: Endpoint | None, now: float) -> None:
        def then(_now: float) -> None:
            member.mm = mm
            member.was_asked = member.state is ENROLLED
            self._ask(session, member)

        was_asked = member.state is ENROLLED
        self._answers.change(asked, session, member, member.state, then, now, was_asked=was_asked, mm=mm)

    def _ask(self, session: Session, member: Member) -> None:
        """KAREQ: its KARES makes the member active [7.1.5]."""
        self._server.send_to_members(KAREQ, [(member, session.message_to(member, KAREQ))])
