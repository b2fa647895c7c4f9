"""How the server's module SM answers: what is asked, what is granted, what is refused and why (clause 8.2, G-16).

A request that changes something is looked at, put on disk, and answered when it is there; meanwhile its repetitions are counted and its
answer is theirs. One that changes nothing any more is answered as before [G-23].
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from agents.core.agent import Endpoint
from agents.gmp import constants as c
from agents.gmp.constants import RejectReason, SessionPacket
from agents.gmp.messages import SessionMessage, encode_session
from agents.gmp.options import NO_OPTIONS, Options
from agents.gmp.server_records import STREAMS
from agents.gmp.session import Member, MemberState, Session

if TYPE_CHECKING:
    from agents.gmp.server import Server

_CHECKSUM = slice(2, 4)  # in a message of module SM
_REFUSALS = {
    c.SCREQ: c.SCREJ,
    c.SCINF: c.SCREJ,
    c.SRREQ: c.SRREJ,
    c.SDREQ: c.SDRES,
    c.SJREQ: c.SJRES,
    c.SAREQ: c.SJRES,
}


class Asked:
    """A request with where it came from, and by which port or stream, to which its answer goes."""

    __slots__ = ("message", "place", "source", "via")

    def __init__(self, message: SessionMessage, source: Endpoint, via: Hashable, *, by_stream: bool) -> None:
        self.message = message
        self.source = source
        self.via = via
        # What a member is known by: address and port of datagrams, the address of streams [G-17].
        self.place = Endpoint(source.address, STREAMS) if by_stream else source


class Answers:
    """What both parts of module SM of ``server`` do with a request."""

    __slots__ = ("_server",)

    def __init__(self, server: Server) -> None:
        self._server = server

    def answer(
        self, asked: Asked, packet: SessionPacket, session: Session, user_id: int, options: Options = NO_OPTIONS
    ) -> None:
        """Grant what is asked, with what the session is and what ``options`` say."""
        if options is NO_OPTIONS and session.description is not None:
            self._server.answer_encoded(packet, self._usual_answer(session, packet, user_id), asked.source, asked.via)
        else:
            message = self._granted(packet, session, user_id, options)
            self._server.answer_encoded(packet, encode_session(message), asked.source, asked.via)

    def _usual_answer(self, session: Session, packet: SessionPacket, user_id: int) -> bytes:
        """An answer without options: but for User ID and checksum it is the same for all, so it is written once [G-5]."""
        pieces = session.answers.get(packet)
        if pieces is None:
            whole = encode_session(self._granted(packet, session, 0, NO_OPTIONS))
            total = 0xFFFF - int.from_bytes(whole[_CHECKSUM])
            pieces = session.answers[packet] = (
                whole[: _CHECKSUM.start], total, whole[_CHECKSUM.stop : c.USER_ID_AT.start], whole[c.USER_ID_AT.stop :]
            )  # fmt: skip
        before, total, between, behind = pieces
        checksum = 0xFFFF - ((total + user_id) % 0xFFFF or 0xFFFF)
        return b"".join((before, checksum.to_bytes(2), between, user_id.to_bytes(2), behind))

    @staticmethod
    def _granted(packet: SessionPacket, session: Session, user_id: int, options: Options) -> SessionMessage:
        said = session.description
        key_length = c.GROUP_KEY_SIZE if options.group_key is not None else 0
        group, port = (c.NO_GROUP, 0) if said is None else (said.group, said.port)
        is_secure, is_closed = session.is_secure, session.is_closed
        return SessionMessage(
            packet, session.session_id, user_id, is_secure, is_closed, False, key_length, group, port, options
        )

    def refuse(self, asked: Asked, reason: RejectReason, detail: str = "") -> None:
        """Refuse with the reason [G-16]; S says that secure mode is not to be had [7.1.1]."""
        request = asked.message
        packet = _REFUSALS[request.packet]
        self._server.counters.add(f"refused.{request.packet.name}.{reason.name.lower().replace('_', '-')}")
        is_secure = request.secure if packet is not c.SCREJ else reason is RejectReason.SECURE_MODE_UNSUPPORTED
        details = {"detail": detail} if detail else {}
        self._server.trace(
            "refused", packet=request.packet.name, reason=int(reason), source=str(asked.source), **details
        )
        options = Options(reject_reason=reason)
        answer = SessionMessage(packet, request.session_id, request.user_id, is_secure, request.closed, options=options)
        self._server.answer_encoded(packet, encode_session(answer), asked.source, asked.via)

    def refuse_for_lack(self, asked: Asked, _now: float) -> None:
        """The disk does not take it."""
        self.refuse(asked, RejectReason.RESOURCES)

    def repeated(self, asked: Asked) -> None:
        """The same is asked for already, and answered when it is on disk."""
        self._server.counters.add(f"repeated.{asked.message.packet.name}")

    def change(
        self,
        asked: Asked,
        session: Session,
        member: Member,
        state: MemberState,
        then: Callable[[float], None],
        now: float,
        **changes: Any,
    ) -> None:
        """Put a member on disk with ``state`` and ``changes``, and go on with ``then`` when it is there."""

        def done(now: float) -> None:
            member.is_changing = False
            if session.is_over:
                self.refuse(asked, RejectReason.UNKNOWN_SESSION)
            else:
                then(now)

        def refused(_now: float) -> None:
            member.is_changing = False
            self.refuse(asked, RejectReason.RESOURCES)

        member.is_changing = True
        self._server.ledger.put(self._server.record_of(session, member, state, **changes), done, refused, now)
