"""Who stands where in each session, as one interface saw it: registered, enrolled, active [7.1, Figure 12].

Every message moves it on; what a rule asks is how things stood when a message came. What was not seen is not known: a member of
whom the capture shows no registration has no standing until its messages show one. Nothing here judges.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field
from enum import IntEnum

from captures.gmp.constants import (
    CLOSED,
    CORE,
    CREATOR,
    LEAVES_ACTIVE,
    LEAVES_ENROLLED,
    PERIOD_DS,
    SM_REQUESTS,
    TIMEOUT_DS,
)
from captures.gmp.messages import client_of, refuses, server_of
from captures.history.events import Event
from captures.rules.language import SECOND
from captures.wire.bounded import Bounded

_DECISECOND = SECOND // 10
_ENROLMENT_TIMEOUTS = (
    9  # of ten, after which an enrolled member that does not activate falls back, unless it is told another [G-21]
)
_HASTE_NS = 200_000_000  # what two messages that cross each other may differ


class Standing(IntEnum):
    """The innermost of the three nested sets in which a user is."""

    NOTHING = 0
    REGISTERED = 1
    ENROLLED = 2
    ACTIVE = 3


@dataclass(slots=True)
class Member:
    """A user of a session. `standing` is None while it is not known; `since` is the message that changed it.

    `where`: address and port of its SM module, of a user over TCP the port is 0. `mm_port`: the one it announced [D G-3, G-15].
    `last`: its last message, or the last to it. `asks`: its SAREQ, until that is granted or refused. `left`: its LVREQ.
    `silent`: it fell out of the active ones by its timer. `fetches`: the generation told by KAREQ that it does not hold.
    """

    user: int
    last: Event
    standing: Standing | None = None
    since: Event | None = None
    where: tuple[str, int] | None = None
    mm_port: int | None = None
    kind: int | None = None
    name: str | None = None
    asked: Event | None = None
    answered: Event | None = None
    asks: Event | None = None
    left: Event | None = None
    silent: bool = False
    generation: int | None = None

    @property
    def is_core(self) -> bool:
        """Whether the session cannot go on without it."""
        return self.kind in (CREATOR, CORE)

    def is_at(self, event: Event) -> bool:
        """Whether a message goes between the server and the place where it speaks from [D G-13, G-17]; unknown is no other."""
        address, port = client_of(event)
        if event.fields["module"] == "MM":
            known = (self.where or (address, 0))[0], self.mm_port or port
        else:
            known = self.where or (address, port)
        if event.fields["transport"] == "tcp" or not known[1]:
            return known[0] == address
        return known == (address, port)


@dataclass(slots=True)
class Session:
    """A session at a server. What its creation would have told is None where that was not seen.

    `created`: its SCACC. `description`: the SCINF that SCCON confirmed. `ended`: the message that ended it. `ending`: the one
    that must end it, or the last message of the member whose silence must.
    """

    server: str
    id: int
    created: Event | None = None
    closed: bool | None = None
    secure: bool | None = None
    creator: int | None = None
    description: Event | None = None
    token: str | None = None
    generation: int | None = None
    renewed: Event | None = None
    ended: Event | None = None
    ending: Event | None = None
    members: dict[int, Member] = field(default_factory=dict)

    @property
    def is_alive(self) -> bool:
        """Whether it was confirmed and has not ended; one that was never confirmed may be given up [D G-23]."""
        return self.description is not None and self.ended is None

    @property
    def keep_alive(self) -> tuple[int, int] | None:
        """Period and timeout in 100 ms; None if the description was not seen [D G-26]."""
        if self.description is None:
            return None
        period, timeout = self.description.fields.get("keep_alive", (PERIOD_DS, TIMEOUT_DS))
        return int(period), int(timeout)

    def names(self, what: str) -> tuple[str, ...]:
        """``core_members`` or ``invited`` of the description."""
        return () if self.description is None else self.description.fields.get(what, ())

    def standing_at_least(self, standing: Standing) -> list[Member]:
        """Members of whom it is known."""
        return [member for member in self.members.values() if (member.standing or 0) >= standing]

    def with_name(self, name: str | None) -> Iterable[Member]:
        """Members that registered by a name."""
        return [member for member in self.members.values() if name is not None and member.name == name]


@dataclass(frozen=True, slots=True)
class Scene:
    """How things stood when a message came. `member` is as it was then; `session` goes on to change.

    `request`: the last session management request of the conversation. `generation`: the key's, as far as it had been seen.
    `ended`: what had ended the session. `taken`: the session that had the ID until SCACC gave it anew.
    """

    session: Session
    member: Member | None
    request: Event | None
    generation: int | None
    ended: Event | None
    taken: Session | None = None


class Roster:
    """All sessions; one for all rules of a pack, of which the first that asks about an event moves it on."""

    def __init__(self) -> None:
        self._event: Event | None = None
        self._scene: Scene | None = None
        self._sessions: Bounded[tuple[str, str, int], Session] = Bounded()
        self._requests: Bounded[tuple[str, str, tuple[str, int]], Event] = Bounded()

    def take(self, event: Event) -> Scene | None:
        """How things stood when the event came; None for what is no message."""
        if event is not self._event:
            self._event = event
            self._scene = None if event.kind in ("malformed", "unreachable") else self._moved(event)
        return self._scene

    def _moved(self, event: Event) -> Scene | None:
        conversation = (event.interface, server_of(event), client_of(event))
        request = self._requests.get(conversation)
        if event.kind in SM_REQUESTS:
            self._requests.set(conversation, event)
        number, user = event.fields["session_id"], event.fields["user_id"]
        key = (event.interface, conversation[1], number)
        if not number:
            return Scene(Session(conversation[1], 0), None, request, None, None)
        before = self._sessions.get(key)
        session = before or Session(conversation[1], number)
        is_new = event.kind == "SCACC" and not _again(session, event)
        taken = before if is_new and session.is_alive else None
        if is_new and taken is None:
            session = _created(event, request)
        self._sessions.set(key, session)
        member = session.members.get(user)
        if member is not None:
            _grow_old(session, member, event)
        scene = Scene(session, copy(member), request, session.generation, session.ended, taken)
        if user and taken is None:
            member = session.members.setdefault(user, Member(user, event))
            _take(session, member, event, request)
            member.last = event
        return scene


def _again(session: Session, event: Event) -> bool:
    """Whether SCACC says again what it has said to the same creator [D G-23]."""
    creator = session.members.get(event.fields["user_id"])
    return session.created is not None and session.ended is None and creator is not None and creator.is_at(event)


def _created(event: Event, request: Event | None) -> Session:
    session = Session(server_of(event), event.fields["session_id"], created=event, creator=event.fields["user_id"])
    if request is not None and request.kind == "SCREQ":
        session.closed, session.secure = bool(request.fields["m"]), bool(request.fields["s"])
    return session


def _place(event: Event) -> tuple[str, int]:
    address, port = client_of(event)
    return address, 0 if event.fields["transport"] == "tcp" else port


def _stand(member: Member, standing: Standing, event: Event) -> None:
    if member.standing is not standing:
        member.standing, member.since = standing, event


def _grow_old(session: Session, member: Member, event: Event) -> None:
    """Timers have gone on: who was silent for its timeout and another period is no longer active [7.2, Figure 12]."""
    if session.ended is not None or member.since is None:
        return
    asked = member.asked
    since_ns = (member.answered or member.since).t_ns
    if member.standing is Standing.ACTIVE and asked is not None:
        timeout_ns = asked.fields["timeout"] * _DECISECOND
        if event.t_ns > since_ns + round(1.1 * timeout_ns) + asked.fields["period"] * _DECISECOND + _HASTE_NS:
            _stand(member, Standing.ENROLLED, event)
            member.silent = True
    elif member.standing is Standing.ENROLLED:
        timeout_ds = (session.keep_alive or (PERIOD_DS, TIMEOUT_DS))[1]
        if event.t_ns > member.since.t_ns + _ENROLMENT_TIMEOUTS * timeout_ds * _DECISECOND:
            member.standing = None


def _take(session: Session, member: Member, event: Event, request: Event | None) -> None:
    """What a message to or from a user changes."""
    kind, fields = event.kind, event.fields
    if fields["module"] == "MM" and session.closed is None:
        session.closed = fields["mode"] == CLOSED
    if kind in ("SCACC", "SRACC"):
        _registers(member, event, request, kind)
    elif kind == "SCCON":
        session.token = fields.get("token")
        session.description = request if request is not None and request.kind == "SCINF" else None
    elif kind == "SDRES" and not refuses(event):
        session.ended = session.ended or event
    elif kind in ("SJREQ", "SAREQ") and member.is_at(event):
        member.mm_port = fields.get("mm_port") or member.mm_port
        member.asks = event if kind == "SAREQ" else member.asks
    elif kind == "SJRES" and refuses(event):
        member.asks = None if request is not None and request.kind == "SAREQ" else member.asks
    elif kind in ("SJRES", "KDUPT"):
        _gets_key(session, member, event)
    elif fields["module"] == "MM":
        _take_membership(session, member, event)


def _registers(member: Member, event: Event, request: Event | None, kind: str) -> None:
    if member.standing and not member.is_at(event):
        return
    if not member.standing:
        _stand(member, Standing.REGISTERED, event)
    if kind == "SCACC":
        member.kind = CREATOR
    member.where = _place(event)
    if request is not None and request.kind in ("SCREQ", "SRREQ"):
        member.name = request.fields.get("name", member.name)


def _gets_key(session: Session, member: Member, event: Event) -> None:
    if event.kind == "SJRES" and (member.standing or Standing.NOTHING) < Standing.ENROLLED:
        _stand(member, Standing.ENROLLED, event)
    generation = event.fields.get("generation")
    if generation is not None:
        session.secure = True if session.secure is None else session.secure
        member.generation = max(generation, member.generation or 0)
        if generation > (session.generation or 0):
            session.generation, session.renewed = generation, event


def _take_membership(session: Session, member: Member, event: Event) -> None:
    kind, fields = event.kind, event.fields
    if kind == "TRIND":
        session.ended = session.ended or event
        return
    if kind == "KAREQ":
        member.asked, member.kind = event, member.kind or fields["member_type"]
        return
    if not member.is_at(event) or session.ended is not None:
        return
    ends = member.is_core and member.standing is Standing.ACTIVE
    if kind == "KARES" and member.asked is not None:
        _answers(session, member, event)
    elif kind == "LVREQ":
        session.ending = session.ending or (event if ends else None)
        _leaves(member, event)
    elif kind == "TRREQ" and ends and member.kind == CREATOR:
        session.ending = session.ending or event


def _answers(session: Session, member: Member, event: Event) -> None:
    member.answered = event
    member.asks, member.silent = None, False
    if member.standing is Standing.REGISTERED:
        if session.secure is False:  # [D G-20]
            _stand(member, Standing.ENROLLED, event)
    elif member.standing is not Standing.NOTHING:
        _stand(member, Standing.ACTIVE, event)


def _leaves(member: Member, event: Event) -> None:
    """Idempotent: who already stands below is not moved [D G-14]."""
    level = event.fields["reserved"]
    below = {LEAVES_ACTIVE: Standing.ENROLLED, LEAVES_ENROLLED: Standing.REGISTERED}.get(level, Standing.NOTHING)
    if member.standing is None or member.standing > below:
        known = member.standing is not None or below is Standing.NOTHING
        member.left = event
        if known:
            _stand(member, below, event)
    member.asks = None
