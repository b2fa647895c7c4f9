"""What an LMC keeps: the tables of its sessions and handovers (Annex B.2), and its records of MNs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from agents.core.agent import Endpoint
from agents.core.machine import Label, Machine, TransitionTable
from agents.mmcp.constants import Profile
from agents.mmcp.messages import DataChannelStatus, MNIdentifier, MulticastAddress, Parameter
from agents.mmcp.monitoring import Child, Children


class SessionState(Label):
    """States of a session at an LMC [Annex B.2]."""

    CLOSED = "CLOSED"
    SJR_SENT = "SJR-SENT"
    ESTABLISHED = "ESTABLISHED"


class SessionInput(Label):
    """What moves a session at an LMC."""

    JOIN = "app: mmcp_lmc_join()"
    SJC_ACCEPTED = "recv: SJC with F = 1"
    SJC_REFUSED = "recv: SJC with F = 0"
    JOIN_WAITING_TIME = "JWT expired"
    LEAVE = "app: mmcp_leave()"


SESSION_TABLE = TransitionTable(
    "MMCP LMC session",
    SessionState.CLOSED,
    {
        SessionState.CLOSED: {SessionInput.JOIN: SessionState.SJR_SENT},
        SessionState.SJR_SENT: {
            SessionInput.SJC_ACCEPTED: SessionState.ESTABLISHED,
            SessionInput.SJC_REFUSED: SessionState.CLOSED,
            SessionInput.JOIN_WAITING_TIME: SessionState.SJR_SENT,
            SessionInput.LEAVE: SessionState.CLOSED,
        },
        SessionState.ESTABLISHED: {SessionInput.LEAVE: SessionState.CLOSED},
    },
)


class HandoverState(Label):
    """States of one MN's handover at its old LMC [Annex B.2]."""

    ESTABLISHED = "ESTABLISHED"
    HIR_RECEIVED = "HIR-RCVD"
    HCT_SENT = "HCT-SENT"


class HandoverInput(Label):
    """What moves a handover at the old LMC."""

    HIR = "recv: HIR"
    HCT = "send: HCT"
    CONFIRM = "send: HIC"
    CONTEXT_TRANSFER_TIME = "CTT expired/send: HCT"
    MN_GONE = "recv: ULR or LJR"


HANDOVER_TABLE = TransitionTable(
    "MMCP LMC handover",
    HandoverState.ESTABLISHED,
    {
        HandoverState.ESTABLISHED: {HandoverInput.HIR: HandoverState.HIR_RECEIVED},
        HandoverState.HIR_RECEIVED: {
            HandoverInput.HCT: HandoverState.HCT_SENT,
            HandoverInput.CONFIRM: HandoverState.ESTABLISHED,
        },
        HandoverState.HCT_SENT: {
            HandoverInput.CONTEXT_TRANSFER_TIME: HandoverState.HCT_SENT,
            HandoverInput.CONFIRM: HandoverState.ESTABLISHED,
            HandoverInput.MN_GONE: HandoverState.ESTABLISHED,
        },
    },
)


@dataclass(slots=True)
class Member(Child):
    """An MN attached here: its ID, where it spoke from, what it last reported, and in which profile it speaks.

    ``group`` is the session's at that time: of another one it has not heard, since LJC names none.
    """

    identifier: MNIdentifier = field(kw_only=True)
    group: MulticastAddress | None = field(kw_only=True)
    endpoint: Endpoint = field(kw_only=True)
    profile: Profile = field(default=Profile.L16, kw_only=True)
    status: DataChannelStatus | None = field(default=None, kw_only=True)


@dataclass(slots=True)
class Handover:
    """A handover away from here, until HIC is sent."""

    machine: Machine[HandoverState, HandoverInput]
    mn_id: bytes
    mn: Endpoint
    point_of_attachment: bytes
    profile: Profile
    new_lmc: Endpoint
    port: str
    sends: int = 0


@dataclass(frozen=True, slots=True)
class Confirm:
    """The HIC that ended a handover, for a resent HIR with the same point of attachment."""

    point_of_attachment: bytes
    accepted: bool
    lmc: Endpoint | None


@dataclass(slots=True)
class Expectation:
    """An MN that is to come: whom to acknowledge, and whether the group is joined (None: not known yet)."""

    group: str
    joined: bool | None = None
    waiting: list[tuple[Endpoint, Profile]] = field(default_factory=list)
    has_old_group: bool = False  # its context named a group that the session has no more


@dataclass(slots=True)
class GroupUse:
    """A group joined for MNs that are to come: for how many, and whether the report is on the wire (None: asked for)."""

    users: int = 0
    joined: bool | None = False


@dataclass(slots=True)
class Round:
    """The ASRs about all MNs of a session that are still to be sent; the profile of a round asked for after this one."""

    rest: Iterator[tuple[Parameter, ...]]
    profile: Profile
    next_profile: Profile | None = None
    turns: int = 0
    has_ended: bool = False


@dataclass(slots=True)
class SessionRecord:
    """One session at this LMC."""

    session_id: int
    machine: Machine[SessionState, SessionInput]
    members: Children[Member]
    group: MulticastAddress | None = None
    handovers: dict[bytes, Handover] = field(default_factory=dict)
    confirms: dict[bytes, Confirm] = field(default_factory=dict)
    expected: dict[bytes, Expectation] = field(default_factory=dict)
    round: Round | None = None
    sent_to_sm: dict[bytes, float] = field(default_factory=dict)  # MNs refused for their old group, and when
    said_leave_at: float | None = None  # when this LMC sent ULR last, since it left
