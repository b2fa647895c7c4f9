"""Secure sessions' keys: made, wrapped for each member, sent to all when there is a new one [7.3, G-12, G-15, G-18, G-29].

Whoever is de-enrolled must not read on: a new key is made at once, put on disk, and sent by KDUPT to all that are enrolled or active, the
creator last, since the data has the new key as soon as its source has. Three times a second apart, some hundred members at a time, so that
the server does other things between. Who leaves while the first of these rounds is under way may have been sent the new key already: then
another one follows. Who leaves while it is not even on disk has not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from agents.core.record import record
from agents.gmp.constants import (
    GROUP_KEY_SIZE,
    HEADER_SIZE,
    KDUPT,
    KEY_SENDS,
    KEY_TIME,
    OPTION_HEADER_SIZE,
    USER_ID_AT,
    WRAPPED_KEY_SIZE,
    MemberType,
)
from agents.gmp.keys import wrap, wrapping_key
from agents.gmp.messages import encode_membership
from agents.gmp.options import Options
from agents.gmp.server_records import session_key, session_record
from agents.gmp.session import ACTIVE, ENROLLED, Member, Session

if TYPE_CHECKING:
    from agents.gmp.server import Server

AT_ONCE = 256  # members that are sent a key before other work
PAUSE = 0.001  # s, between

_KEY_AT = HEADER_SIZE + OPTION_HEADER_SIZE  # the wrapped key is the first option
_KEY_END = _KEY_AT + WRAPPED_KEY_SIZE


def _options(session: Session, wrapped: bytes) -> Options:
    return Options(group_key=wrapped, key_generation=session.generation, roll_over_counter=session.roll_over_counter)


class _Round:
    """One distribution of a session's key: who is to have it, how many of them have in this round, how many rounds were."""

    __slots__ = ("began", "is_stale", "members", "position", "rounds")

    def __init__(self, members: list[Member], now: float) -> None:
        self.members = members
        self.position = 0
        self.rounds = 0
        self.began = now
        self.is_stale = False  # somebody has left who was sent this key


@record
class _Coming:
    """A key that is on its way to the disk."""

    key: bytes
    generation: int


class KeyDistribution:
    """The keys of a server's sessions. Timer keys: ("keys", Session ID)."""

    __slots__ = ("_awaiting", "_coming", "_rounds", "_secrets", "_server")

    def __init__(self, server: Server, secrets: Mapping[str, bytes]) -> None:
        self._server = server
        self._secrets = secrets
        self._rounds: dict[int, _Round] = {}
        self._coming: dict[int, _Coming] = {}
        self._awaiting: dict[int, list[Callable[[], None]]] = {}

    def has_secret(self, name: str | None) -> bool:
        """Whether a client of that name can be sent a key [G-19]."""
        return name in self._secrets

    def make(self) -> bytes:
        """A new key: SRTP's master key and salt [G-18]."""
        return self._server.random_bytes(GROUP_KEY_SIZE)

    def options_for(self, session: Session, member: Member) -> Options:
        """The session's key as one member can read it, its generation, and the roll-over counter of now."""
        return _options(session, self._wrapped(session, member))

    def _wrapped(self, session: Session, member: Member) -> bytes:
        if not member.wrapped:
            member.wrapped = wrap(session.key, member.wrapping_key or self._wrapping_key(session, member))
        return member.wrapped

    def _wrapping_key(self, session: Session, member: Member) -> bytes:
        secret = self._secrets[member.name or ""]
        member.wrapping_key = wrapping_key(secret, session.session_id, member.user_id)
        return member.wrapping_key

    def renew(
        self,
        session: Session,
        changes: Mapping[str, bytes | None],
        now: float,
        then: Callable[[], None] | None = None,
    ) -> None:
        """Make another key, and put it on disk with ``changes``; when it is there it is the session's, and sent to all.

        ``then`` is called when it is the session's.
        """
        session_id = session.session_id
        if then is not None:
            self._awaiting.setdefault(session_id, []).append(then)
        if session_id in self._coming:  # nobody has it yet
            self._server.ledger.note(changes)
            return
        under_way = self._rounds.get(session_id)
        if under_way is not None and not under_way.rounds:
            under_way.is_stale = True
            self._server.ledger.note(changes)
            return
        coming = self._coming[session_id] = _Coming(self.make(), session.generation + 1)
        stored = session_record(session, key=coming.key, generation=coming.generation)
        self._server.ledger.insist(
            {**changes, session_key(session_id): stored}, lambda now: self._renewed(session, now), now
        )

    def _renewed(self, session: Session, now: float) -> None:
        coming = self._coming.pop(session.session_id)
        if session.is_over:
            return
        session.key, session.generation = coming.key, coming.generation
        session.changed()
        members = []
        for member in session.enrolled_and_active:
            member.wrapped = b""
            members.append(member)
        self._server.tell("rekeyed", session, generation=session.generation, members=len(members))
        for then in self._awaiting.pop(session.session_id, ()):
            then()
        self._rounds[session.session_id] = _Round(members, now)
        self.time(session, now)

    def time(self, session: Session, now: float) -> None:
        """Send to the next members; the round after the last, or the next key, begins in time."""
        under_way = self._rounds[session.session_id]
        begin = under_way.position
        under_way.position += AT_ONCE
        self._server.send_to_members(KDUPT, self._messages(session, under_way.members[begin : under_way.position]))
        if under_way.position < len(under_way.members):
            next_time = now + PAUSE
        else:
            under_way.rounds += 1
            under_way.position = 0
            if under_way.rounds == KEY_SENDS or under_way.is_stale:
                del self._rounds[session.session_id]
                if under_way.is_stale:
                    self.renew(session, {}, now)
                return
            under_way.began += KEY_TIME
            next_time = max(under_way.began, now + PAUSE)
        self._server.timers.set(("keys", session.session_id), next_time)

    def _messages(self, session: Session, members: Sequence[Member]) -> Iterator[tuple[Member, bytes]]:
        """KDUPT to those who are to have the key still: all the same but for User ID and key, so it is written once."""
        key = session.key
        written: dict[MemberType, tuple[bytes, bytes, bytes]] = {}
        for member in members:
            if member.state is not ACTIVE and member.state is not ENROLLED:
                continue
            wrapped = member.wrapped
            if not wrapped:  # as `_wrapped` does: the wrapping shall be what takes time
                under = member.wrapping_key
                if under is None:
                    if member.name not in self._secrets:
                        continue
                    under = self._wrapping_key(session, member)
                wrapped = member.wrapped = wrap(key, under)
            pieces = written.get(member.type)
            if pieces is None:
                options = _options(session, bytes(WRAPPED_KEY_SIZE))
                message = session.membership_message(member, KDUPT, options=options, key_length=GROUP_KEY_SIZE)
                whole = encode_membership(message)
                pieces = written[member.type] = (
                    whole[: USER_ID_AT.start],
                    whole[USER_ID_AT.stop : _KEY_AT],
                    whole[_KEY_END:],
                )
            before, between, behind = pieces
            yield member, b"".join((before, member.user_id.to_bytes(2), between, wrapped, behind))

    def forget(self, session: Session) -> None:
        """The session is over: what was to be sent is not."""
        self._rounds.pop(session.session_id, None)
        self._awaiting.pop(session.session_id, None)
        self._server.timers.cancel(("keys", session.session_id))
