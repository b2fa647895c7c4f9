"""The GMP server: sessions that clients create, find, register for, join and leave (X.602 clauses 7 to 9).

Theory of operation. Module SM (`agents.gmp.session_management`, `agents.gmp.registration`) takes sessions and members up, module MM
(`agents.gmp.membership_management`) watches who is there and lets sessions end, `agents.gmp.key_distribution` has the keys of secure ones.
They share the sessions, the streams, and the ledger, by which all that is promised is on disk first. What a server has promised it takes up
again when it begins anew: who was active is asked, and has a timeout's time to answer.

What is told to the application has ``session`` and ``user``, and nothing that is secret.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from agents.core.agent import Committed, Endpoint, Event, Notify, SendDatagram, StreamClosed, StreamOpened
from agents.core.timers import TimerKey
from agents.gmp import constants as c
from agents.gmp.admission import HALF_OPEN_TIME, Shares
from agents.gmp.announcing import Announcing
from agents.gmp.answers import Answers
from agents.gmp.constants import ENDED_MEMORY, MembershipPacket, SessionPacket
from agents.gmp.key_distribution import KeyDistribution
from agents.gmp.ledger import Ledger
from agents.gmp.membership_management import MembershipManagement
from agents.gmp.messages import MembershipMessage, Message, SessionMessage
from agents.gmp.registration import Registration
from agents.gmp.role import MM, Role, framed
from agents.gmp.server_configuration import ServerConfiguration
from agents.gmp.server_records import (
    NEXT,
    STREAMS,
    member_key,
    member_record,
    read_member,
    read_session,
    session_key,
)
from agents.gmp.server_streams import ServerStreams
from agents.gmp.session import (
    ACTIVE,
    NOT_REGISTERED,
    Member,
    MemberInput,
    MemberState,
    Session,
    SessionInput,
)
from agents.gmp.session_management import SessionManagement


class Server(Role):
    """A server. Its clients' ``secrets`` are those that the configuration names, unless others are given.

    Timer keys: see what it is made of, and ("ended",).
    """

    RECEIVES = frozenset({c.SCREQ, c.SCINF, c.SDREQ, c.SRREQ, c.SJREQ, c.SAREQ, c.KARES, c.UIREQ, c.LVREQ, c.TRREQ})
    LISTS = ("sessions", "members")

    def __init__(self, configuration: ServerConfiguration, secrets: Mapping[str, bytes] | None = None) -> None:
        super().__init__()
        configuration.check()
        self.configuration = configuration
        secrets = configuration.read_secrets() if secrets is None else secrets
        self.sessions: dict[int, Session] = {}
        self.ended: dict[int, Session] = {}  # that are gone since less than ENDED_MEMORY [G-24], the oldest first
        self._ended_at: dict[int, float] = {}
        self.shares = Shares(configuration.members_of_address)
        self.ledger = Ledger(self, is_durable=configuration.durable)
        self.streams = ServerStreams(self)
        self.keys = None if secrets is None else KeyDistribution(self, secrets)
        self.announcing = Announcing(self)
        answers = Answers(self)
        self.registration = Registration(self, answers)
        self.management = SessionManagement(self, answers)
        self.membership = MembershipManagement(self)
        self._entries: Mapping[str, bytes] = {}
        self._ending: list[Session] = []  # that an earlier run had not told all of

    # --- what it is told ------------------------------------------------------------------------------------------

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Keep what earlier runs have promised until the start."""
        self._entries = entries

    def start(self, now: float) -> None:
        """Take up what earlier runs have promised."""
        entries, self._entries = self._entries, {}
        for key in sorted(entries):
            if key.startswith("s/"):
                self._take_up(key, entries, now)
        members = 0
        for key, value in entries.items():
            if key.startswith("m/"):
                members += self._take_up_member(key, value, now)
        self.management.take_up(entries.get(NEXT, b"1"))
        for session in self._ending:
            self._end_again(session, now)
        self._ending.clear()
        for session in self.sessions.values():
            self._go_on(session, now)
        if self.sessions:
            self.act(Notify("restored", {"sessions": len(self.sessions), "members": members}))

    def message_received(self, message: Message, source: Endpoint, now: float, port: Hashable) -> None:
        """Take one message, which the port says the module of."""
        if isinstance(message, SessionMessage):
            self.management.message_received(message, source, now, port)
        elif isinstance(message, MembershipMessage):
            self.membership.message_received(message, source, now, port)

    def received(self, stream: Hashable, data: bytes, now: float) -> None:
        """Take the next octets of a stream."""
        self.streams.received(stream, data, now)

    def handle(self, event: Event, now: float) -> None:
        """Take what happens to the disk and to streams."""
        match event:
            case Committed():
                self.ledger.committed(event, now)
            case StreamOpened():
                self.streams.opened(event, now)
            case StreamClosed():
                self.streams.closed(event)
            case _:
                self.ignore(event)

    def timer_expired(self, key: TimerKey, now: float) -> None:
        """A timer of one of its parts is due."""
        match key:
            case ("ledger",):
                self.ledger.try_again()
            case ("announcements",):
                self.announcing.time(now)
            case ("round", session_id):
                self.membership.round_time(self.sessions[session_id], now)
            case ("silence", session_id):
                self.membership.silence_time(self.sessions[session_id], now)
            case ("enrolment", session_id):
                self.membership.enrolment_time(self.sessions[session_id], now)
            case ("ending", session_id):
                self.membership.ending_time(session_id, now)
            case ("keys", session_id) if self.keys is not None:
                self.keys.time(self.sessions[session_id], now)
            case ("half-open", session_id):
                self.management.half_open_time(self.sessions[session_id], now)
            case ("ended",):
                self._forget_ended(now)
            case (what, stream):
                self.streams.time(what, stream)

    def describe(self) -> Mapping[str, object]:
        """How many there are of what, and whether the disk takes what is to be promised."""
        sessions = self.sessions.values()
        return {
            "role": "server",
            "sessions": len(sessions),
            "half_open": self.management.half_open,
            "active_sessions": sum(session.is_active for session in sessions),
            "registered": sum(len(session.members) for session in sessions),
            "enrolled": sum(len(session.enrolled) + len(session.active) for session in sessions),
            "active": sum(len(session.active) for session in sessions),
            "streams": len(self.streams),
            "store": ("none" if not self.configuration.durable else self.ledger.fault or "ok"),
        }

    def rows(self, of: str) -> Iterator[Mapping[str, object]]:
        """All sessions, or the members of all; nothing that is secret."""
        if of == "sessions":
            yield from map(session_row, self.sessions.values())
        elif of == "members":
            for session in self.sessions.values():
                for member in session.members.values():
                    if member.state is not NOT_REGISTERED:
                        yield member_row(session, member)
        else:
            raise KeyError(of)

    # --- what its parts share -------------------------------------------------------------------------------------

    def answer_encoded(self, packet: SessionPacket, data: bytes, source: Endpoint, via: Hashable) -> None:
        """Send an answer the way that its request came."""
        said = _ids_in(data) if self.keeps_history else None
        if isinstance(via, str):
            self.send_encoded(packet, data, source, via, said)
        elif via in self.streams:
            self.send_on_stream(packet, framed(data), via, said)
        else:
            self.counters.add("unsent.no-stream")

    def send_to_members(self, packet: MembershipPacket, messages: Iterable[tuple[Member, bytes]]) -> None:
        """Send messages of module MM, by streams or to the announced ports.

        What `send_encoded` does is written out: thousands go at one time.
        """
        actions, keeps_history, sent = self._actions, self.keeps_history, 0
        for member, data in messages:
            mm = member.mm
            if mm is not None:
                sent += 1
                if keeps_history:
                    self.trace("sent", packet=packet.name, to=str(mm), **_ids_in(data))
                actions.append(SendDatagram(data, mm, MM))
            elif member.sm.port == STREAMS:
                self._send_by_streams(member, packet, data)
            else:
                self.counters.add("unsent.no-mm-port")
        if sent:
            self.counters.add(self._sent_names[packet], sent)

    def _send_by_streams(self, member: Member, packet: MembershipPacket, data: bytes) -> None:
        streams = self.streams.to(member)
        if not streams:
            self.counters.add("unsent.no-stream")
        for stream in streams:
            self.send_on_stream(packet, framed(data), stream, _ids_in(data))

    def tell(self, event: str, session: Session, member: Member | None = None, **details: object) -> None:
        """Tell the application."""
        who = {"session": session.session_id}
        if member is not None:
            who["user"] = member.user_id
        self._actions.append(Notify(event, {**who, **details} if details else who))

    def step(self, session: Session, member: Member, on: MemberInput, now: float) -> None:
        """Move a member as the table says, and watch it."""
        before = member.state
        session.move(member, on, now)
        if member.state is NOT_REGISTERED:
            self.shares.remove(member.sm.address)
        if self.keeps_history:
            self.trace(
                "state",
                machine="GMP server member",
                **{"from": before.value, "to": member.state.value, "on": on.value},
                session=session.session_id,
                user=member.user_id,
            )
        if len(session.active) == 1 or len(session.enrolled) == 1:  # else its timers run already
            self.membership.watch(session)
        if session.rounds.is_early:
            self.membership.next_round(session)

    def record_of(
        self, session: Session, member: Member, state: MemberState, **changes: Any
    ) -> dict[str, bytes | None]:
        """The change that puts a member on disk in ``state``; nothing where nothing is kept."""
        if not self.ledger.is_durable:
            return {}
        key = member_key(session.session_id, member.user_id)
        return {key: None if state is NOT_REGISTERED else member_record(member, state, **changes)}

    def nothing_of(self, session: Session) -> dict[str, bytes | None]:
        """The changes that take a session from the disk."""
        if not self.ledger.is_durable:
            return {}
        session_id = session.session_id
        return {session_key(session_id): None, **{member_key(session_id, each): None for each in session.members}}

    def remove(self, session: Session, now: float) -> None:
        """A session is over: its timers are, and its members are nobody's."""
        session_id = session.session_id
        del self.sessions[session_id]
        for what in ("round", "silence", "enrolment"):
            self.timers.cancel((what, session_id))
        self.announcing.remove(session, now)
        if self.keys is not None:
            self.keys.forget(session)
        for member in session.members.values():
            if member is not session.creator:
                self.shares.remove(member.sm.address)

    def remember(self, session: Session, now: float) -> None:
        """What comes about a session that is gone is answered alike for a while [G-24]."""
        self.ended[session.session_id] = session
        self._ended_at[session.session_id] = now
        if ("ended",) not in self.timers:
            self.timers.set(("ended",), now + ENDED_MEMORY)

    def is_taken(self, session_id: int) -> bool:
        """Whether a Session ID is somebody's, or was a moment ago."""
        return session_id in self.sessions or session_id in self.ended

    def _forget_ended(self, now: float) -> None:
        for session_id, since in list(self._ended_at.items()):
            if since + ENDED_MEMORY > now:
                self.timers.set(("ended",), since + ENDED_MEMORY)
                return
            del self.ended[session_id], self._ended_at[session_id]

    # --- beginning anew -------------------------------------------------------------------------------------------

    def _take_up(self, key: str, entries: Mapping[str, bytes], now: float) -> None:
        """A session and its creator."""
        try:
            stored = read_session(key, entries[key])
            creator_key = member_key(stored.session_id, stored.creator)
            _, creator, _, _ = read_member(creator_key, entries.get(creator_key, b""))
        except ValueError as error:
            self._unreadable(str(error))
            return
        session = Session(self, stored.session_id, creator, is_secure=stored.is_secure, is_closed=stored.is_closed)
        session.token, session.key, session.generation = stored.token, stored.key, stored.generation
        session.next_user_id = stored.next_user_id
        self.sessions[stored.session_id] = session
        if stored.description is not None:
            session.machine.move(SessionInput.DESCRIBED)
            session.describe(stored.description)
        if stored.is_ending:
            self._ending.append(session)

    def _take_up_member(self, key: str, value: bytes, now: float) -> bool:
        try:
            session_id, member, state, was_asked = read_member(key, value)
        except ValueError as error:
            self._unreadable(str(error))
            return False
        session = self.sessions.get(session_id)
        if session is None:
            self._unreadable(f"{key}: a member of no session")
            return False
        if member.user_id == session.creator.user_id:
            member = session.creator
        else:
            self.shares.add(member.sm.address)
        session.add(member)
        session.next_user_id = max(session.next_user_id, member.user_id % c.ID_MAXIMUM + 1)
        session.put(member, state, now)
        member.was_asked = was_asked
        return True

    def _go_on(self, session: Session, now: float) -> None:
        """Who was active is asked again, in turn; who is waited for, at once."""
        if session.description is None:
            self.timers.set(("half-open", session.session_id), now + HALF_OPEN_TIME)
            return
        self.announcing.put(session, now, is_known=True)
        if session.creator.state is ACTIVE:
            session.machine.move(SessionInput.STARTED)
        for member in session.active.values():
            session.rounds.remove(member)
        for member in session.active.values():
            session.rounds.spread(member, now)
        for member in session.enrolled.values():
            if member.was_asked:
                self.send_to_members(c.KAREQ, [(member, session.message_to(member, c.KAREQ))])
        self.membership.watch(session)

    def _end_again(self, session: Session, now: float) -> None:
        """The end of a session was on disk, and somebody may not have been told."""
        session.machine.move(SessionInput.STARTED)
        session.machine.move(SessionInput.TERMINATED)
        self.remove(session, now)
        self.remember(session, now)
        self.membership.tell_of_the_end(session, now)

    def _unreadable(self, what: str) -> None:
        self.counters.add("unreadable.entries")
        self.act(Notify("unreadable", {"entry": what}))


def _ids_in(data: bytes) -> dict[str, object]:
    """What the history has of a message: the ids that stand in both modules' headers."""
    return {"session_id": int.from_bytes(data[4:6]), "user_id": int.from_bytes(data[6:8])}


def session_row(session: Session) -> Mapping[str, object]:
    """A session as plain values."""
    said = session.description
    return {
        "session": session.session_id,
        "name": "" if said is None else said.name,
        "state": session.machine.state.value,
        "closed": session.is_closed,
        "secure": session.is_secure,
        "group": c.NO_GROUP if said is None else said.group,
        "port": 0 if said is None else said.port,
        "creator": session.creator.user_id,
        "start_time": None if said is None else said.start_time,
        "end_time": None if said is None else said.end_time,
        "generation": session.generation,
        "registered": len(session.members),
        "enrolled": len(session.enrolled) + len(session.active),
        "active": len(session.active),
    }


def member_row(session: Session, member: Member) -> Mapping[str, object]:
    """A member as plain values."""
    return {
        "session": session.session_id,
        "user": member.user_id,
        "name": member.name or "",
        "type": member.type.name.lower(),
        "state": member.state.value,
        "from": f"{member.sm.address} by streams" if member.sm.port == STREAMS else str(member.sm),
        "asked_at": None if member.mm is None else str(member.mm),
    }
