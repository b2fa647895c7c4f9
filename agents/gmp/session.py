"""What the server keeps of a session: its description, its members in three nested sets, and the tables of their states.

registered ⊇ enrolled ⊇ active [7]: a member has one state, and stands in every set up to it. All sums are kept as members move, so that no
message costs more in a large session than in a small one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from agents.core.agent import Endpoint
from agents.core.machine import Label, Machine, TransitionTable
from agents.core.record import record
from agents.gmp.constants import (
    DEFAULT_PERIOD,
    DEFAULT_TIMEOUT,
    ID_MAXIMUM,
    KAREQ,
    KEEP_ALIVE_UNIT,
    USER_ID_AT,
    MembershipPacket,
    MemberType,
    SessionPacket,
    StartCondition,
)
from agents.gmp.messages import MembershipMessage, encode_membership
from agents.gmp.options import NO_OPTIONS, KeepAlive, Options
from agents.gmp.role import Role
from agents.gmp.rounds import Rounds


class SessionState(Label):
    """States of a session at the server."""

    CREATED = "created"  # its ids are given, its description is waited for
    INACTIVE = "inactive"
    ACTIVE = "active"
    ENDED = "ended"


class SessionInput(Label):
    """What moves a session."""

    DESCRIBED = "send: SCCON"
    STARTED = "creator active"
    DELETED = "send: SDRES"
    TERMINATED = "send: TRIND"
    EXPIRED = "no SCINF in time"


SESSION_TABLE = TransitionTable(
    "GMP server session",
    SessionState.CREATED,
    {
        SessionState.CREATED: {
            SessionInput.DESCRIBED: SessionState.INACTIVE,
            SessionInput.DELETED: SessionState.ENDED,
            SessionInput.EXPIRED: SessionState.ENDED,
        },
        SessionState.INACTIVE: {
            SessionInput.STARTED: SessionState.ACTIVE,
            SessionInput.DELETED: SessionState.ENDED,
        },
        SessionState.ACTIVE: {SessionInput.TERMINATED: SessionState.ENDED},
        SessionState.ENDED: {},
    },
)


class MemberState(Label):
    """States of a member [Figure 12]."""

    NOT_REGISTERED = "not registered"
    REGISTERED = "registered"
    ENROLLED = "enrolled"
    ACTIVE = "active"


class MemberInput(Label):
    """What moves a member."""

    REGISTER = "send: SRACC"
    ENROL = "send: SJRES"
    KARES = "recv: KARES"
    EXPIRY = "timer expires"
    LEAVE_ACTIVE = "recv: LVREQ 0"
    LEAVE_ENROLLED = "recv: LVREQ 1"
    LEAVE_REGISTERED = "recv: LVREQ 2"


# KARES of a member that is not registered has no step: it is ignored and counted [7.2]. LVREQ names a level [G-14].
MEMBER_TABLE = TransitionTable(
    "GMP server member",
    MemberState.NOT_REGISTERED,
    {
        MemberState.NOT_REGISTERED: {MemberInput.REGISTER: MemberState.REGISTERED},
        MemberState.REGISTERED: {
            MemberInput.ENROL: MemberState.ENROLLED,
            MemberInput.KARES: MemberState.ENROLLED,
            MemberInput.LEAVE_REGISTERED: MemberState.NOT_REGISTERED,
        },
        MemberState.ENROLLED: {
            MemberInput.KARES: MemberState.ACTIVE,
            MemberInput.EXPIRY: MemberState.REGISTERED,
            MemberInput.LEAVE_ENROLLED: MemberState.REGISTERED,
            MemberInput.LEAVE_REGISTERED: MemberState.NOT_REGISTERED,
        },
        MemberState.ACTIVE: {
            MemberInput.KARES: MemberState.ACTIVE,
            MemberInput.EXPIRY: MemberState.ENROLLED,
            MemberInput.LEAVE_ACTIVE: MemberState.ENROLLED,
            MemberInput.LEAVE_ENROLLED: MemberState.REGISTERED,
            MemberInput.LEAVE_REGISTERED: MemberState.NOT_REGISTERED,
        },
    },
)

# Each by its own name: an attribute of an Enum class takes as long as a struct in Python 3.11.
NOT_REGISTERED, REGISTERED, ENROLLED, ACTIVE = MemberState


@record
class Description:
    """What a session's creator says of it [7.1.1, 9.1]; times in Unix seconds, keep-alive in 100 ms."""

    name: str
    media: str
    group: str
    port: int
    content: str | None = None
    owner: str | None = None
    start_time: int | None = None
    end_time: int | None = None
    core_members: tuple[str, ...] = ()
    invited_members: tuple[str, ...] = ()
    keep_alive: KeepAlive = KeepAlive(DEFAULT_PERIOD, DEFAULT_TIMEOUT)
    start_condition: int = StartCondition.CORE_REGISTERED


@dataclass(slots=True, eq=False)
class Member:
    """A member: who it is, where it speaks from [G-17], how far it is.

    ``sm`` and ``mm`` are where its messages come from and where it is sent to; port 0 stands for streams, ``mm`` is None until it is
    announced. ``was_asked``: its activation is granted and KARES is waited for. ``is_changing``: a change waits for the disk, and nothing else
    may change it. ``heard`` (s) is when its last KARES came, or it was enrolled. ``wrapping_key`` and ``wrapped``, of a session that has a
    key, are made when they are first needed.
    """

    user_id: int
    name: str | None
    type: MemberType
    sm: Endpoint
    mm: Endpoint | None = None
    state: MemberState = NOT_REGISTERED
    was_asked: bool = False
    is_changing: bool = False
    heard: float = 0.0
    mm_stream: Hashable = None
    slot: int = -1
    informed: float = float("-inf")
    wrapping_key: bytes | None = field(default=None, repr=False)
    wrapped: bytes = field(default=b"", repr=False)

    @property
    def is_indispensable(self) -> bool:
        """Whether the session ends without it: the creator and core members [7.2.3]."""
        return self.type is not MemberType.PARTICIPANT


class Session:
    """One session. ``description`` is None until its SCINF has come. ``generation`` counts its keys, 0: it has none."""

    __slots__ = (
        "active", "answers", "being_deleted", "by_name", "by_place", "creator", "description", "enrolled", "enrolled_count", "generation",
        "information", "information_is_old", "informed_at", "is_changing", "is_closed", "is_secure", "key", "machine", "members", "next_user_id",
        "pieces", "roll_over_counter", "rounds", "session_id", "token",
    )  # fmt: skip

    def __init__(self, owner: Role, session_id: int, creator: Member, *, is_secure: bool, is_closed: bool) -> None:
        self.session_id = session_id
        self.machine = Machine(SESSION_TABLE, owner, session=session_id)
        self.is_secure = is_secure
        self.is_closed = is_closed
        self.description: Description | None = None
        self.is_changing = False  # a change of its own waits for the disk
        self.being_deleted = False  # its deletion does: it takes nothing
        self.token = b""
        self.key = b""
        self.generation = 0
        self.roll_over_counter = 0  # of the creator's stream, as it said last [G-29]
        self.members: dict[int, Member] = {}
        self.by_name: dict[str, Member] = {}
        self.by_place: dict[Endpoint, Member] = {}  # of those that said no name
        self.enrolled: OrderedDict[int, Member] = OrderedDict()  # and not active, those first that are so longest
        self.active: OrderedDict[int, Member] = OrderedDict()  # those first that were heard longest ago
        self.rounds = Rounds(1.0)
        self.next_user_id = 1
        self.pieces: dict[object, tuple[bytes, bytes]] = {}  # of messages that many members get
        self.answers: dict[SessionPacket, tuple[bytes, int, bytes, bytes]] = {}  # likewise, with a part of the checksum
        self.information: list[bytes] = []  # what UIRES tells, as of ``informed_at`` (s)
        self.information_is_old = False
        self.informed_at = float("-inf")
        self.creator = creator

    @property
    def is_active(self) -> bool:
        """Whether it is, which is while its creator is [G-27]."""
        return self.machine.state is SessionState.ACTIVE

    @property
    def is_over(self) -> bool:
        """Whether it is there no more."""
        return self.machine.state is SessionState.ENDED

    @property
    def period_s(self) -> float:
        """Between two KAREQ to a member."""
        return self.described.keep_alive.period * KEEP_ALIVE_UNIT

    @property
    def timeout_s(self) -> float:
        """How long a member may be silent."""
        return self.described.keep_alive.timeout * KEEP_ALIVE_UNIT

    @property
    def described(self) -> Description:
        """Its description; a session that has none is asked for none."""
        assert self.description is not None
        return self.description

    def describe(self, description: Description) -> None:
        """Take its description, or another one."""
        before, self.description = self.description, description
        if before is None or before.keep_alive.period != description.keep_alive.period:
            self.rounds.pace(self.period_s)
        for member in self.members.values():
            if member is not self.creator:
                member.type = self.type_of(member.name)
        self.changed()

    def changed(self) -> None:
        """What members are told of it may have changed."""
        self.pieces.clear()
        self.answers.clear()
        self.information.clear()

    def type_of(self, name: str | None) -> MemberType:
        """What a member of that name is."""
        return MemberType.CORE if name in self.described.core_members else MemberType.PARTICIPANT

    def free_user_id(self) -> int:
        """A User ID that nobody has, the one after the last that was given if it may be; 0 if none is left."""
        if len(self.members) >= ID_MAXIMUM:
            return 0
        found = self.next_user_id
        while found in self.members or not found:
            found = (found + 1) & ID_MAXIMUM
        self.next_user_id = (found + 1) & ID_MAXIMUM
        return found

    def add(self, member: Member) -> None:
        """A member that is or will be registered has its User ID and name from now on."""
        self.members[member.user_id] = member
        if member.name is None:
            self.by_place[member.sm] = member
        else:
            self.by_name[member.name] = member

    def remove(self, member: Member) -> None:
        """A member is none any more."""
        del self.members[member.user_id]
        if member.name is None:
            del self.by_place[member.sm]
        else:
            del self.by_name[member.name]

    def move(self, member: Member, on: MemberInput, now: float) -> None:
        """Take the table's step, and keep all sums; raises IllegalTransitionError where there is none."""
        before = member.state
        after = MEMBER_TABLE.next(before, on)
        if after is before:
            return
        self.put(member, after, now)

    def put(self, member: Member, state: MemberState, now: float) -> None:
        """A member has another state."""
        if member.state is ACTIVE:
            del self.active[member.user_id]
            self.rounds.remove(member)
            self.information_is_old = True
        elif member.state is ENROLLED:
            del self.enrolled[member.user_id]
        member.state = state
        member.was_asked = False
        if state is ACTIVE:
            self.information_is_old = True
            member.heard = now
            self.active[member.user_id] = member
            self.rounds.add(member, now)
        elif state is ENROLLED:
            member.heard = now
            self.enrolled[member.user_id] = member
        elif state is NOT_REGISTERED:
            self.remove(member)
        else:
            member.wrapped = b""  # of a key that is not for it any more

    def heard(self, member: Member, now: float) -> None:
        """An active member is there."""
        member.heard = now
        self.active.move_to_end(member.user_id)

    @property
    def enrolled_and_active(self) -> Iterator[Member]:
        """All that hold the session's key, the creator last, so that everybody has a new key before the data does."""
        for members in (self.enrolled, self.active):
            for member in members.values():
                if member is not self.creator:
                    yield member
        if self.creator.state in {ENROLLED, ACTIVE}:
            yield self.creator

    def core_members_are(self, *states: MemberState) -> bool:
        """Whether each core member is in one of these states."""
        found = (self.by_name.get(name) for name in self.described.core_members)
        return all(member is not None and member.state in states for member in found)

    @property
    def may_start(self) -> bool:
        """Whether its start condition holds [G-25]."""
        match self.described.start_condition:
            case StartCondition.NONE:
                return True
            case StartCondition.CORE_ENROLLED:
                return self.core_members_are(ENROLLED, ACTIVE)
            case _:
                return self.core_members_are(REGISTERED, ENROLLED, ACTIVE)

    def message_to(self, member: Member, packet: MembershipPacket) -> bytes:
        """A KAREQ or TRIND; but for the User ID it is the same for all members of a type, so it is written once."""
        pieces = self.pieces.get((packet, member.type))
        if pieces is None:
            whole = encode_membership(self.membership_message(member, packet))
            pieces = self.pieces[packet, member.type] = whole[: USER_ID_AT.start], whole[USER_ID_AT.stop :]
        return pieces[0] + member.user_id.to_bytes(2) + pieces[1]

    def membership_message(
        self, member: Member, packet: MembershipPacket, *, options: Options = NO_OPTIONS, key_length: int = 0
    ) -> MembershipMessage:
        """A message of module MM to a member."""
        said = self.described
        return MembershipMessage(
            packet,
            self.session_id,
            member.user_id,
            self.is_closed,
            member.type,
            ending=packet is not KAREQ and self.is_over,
            group=said.group,
            port=said.port,
            period=said.keep_alive.period,
            timeout=said.keep_alive.timeout,
            key_length=key_length,
            reserved=self.generation & 0xFF if packet is KAREQ else 0,
            options=options,
        )
