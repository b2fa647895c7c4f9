"""What an SM keeps: the table of its sessions (Annex B.1), and its records of MNs and LMCs."""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.core.agent import Endpoint
from agents.core.machine import Label, Machine, TransitionTable
from agents.mmcp.configuration import Session, identifier
from agents.mmcp.constants import Profile
from agents.mmcp.messages import DataChannelStatus, Message
from agents.mmcp.monitoring import Child, Children
from agents.mmcp.role import Role


class SessionState(Label):
    """States of a session at the SM [Annex B.1]."""

    CLOSED = "CLOSED"
    ESTABLISHED = "ESTABLISHED"
    SJR_RECEIVED = "SJR-RCVD"


class SessionInput(Label):
    """What moves a session at the SM."""

    CREATE = "app: mmcp_create()"
    SJR = "recv: SJR"
    SJC = "send: SJC"
    SJC_OTHERS_WAIT = "send: SJC, others wait for authorisation"
    TERMINATE = "app: terminate"


SESSION_TABLE = TransitionTable(
    "MMCP SM session",
    SessionState.CLOSED,
    {
        SessionState.CLOSED: {SessionInput.CREATE: SessionState.ESTABLISHED},
        SessionState.ESTABLISHED: {
            SessionInput.SJR: SessionState.SJR_RECEIVED,
            SessionInput.TERMINATE: SessionState.CLOSED,
        },
        SessionState.SJR_RECEIVED: {
            SessionInput.SJR: SessionState.SJR_RECEIVED,
            SessionInput.SJC: SessionState.ESTABLISHED,
            SessionInput.SJC_OTHERS_WAIT: SessionState.SJR_RECEIVED,
            SessionInput.TERMINATE: SessionState.CLOSED,
        },
    },
)


@dataclass(slots=True)
class Member(Child):
    """An MN as the SM knows it: where it spoke from, its LMC's name (b"": the SM is its parent), its last report.

    ``endpoint`` is None of an MN that this SM knows from an LMC's reports only [M-26].
    """

    endpoint: Endpoint | None = field(kw_only=True)
    lmc: bytes = field(kw_only=True)
    profile: Profile = field(default=Profile.L16, kw_only=True)
    status: DataChannelStatus | None = field(default=None, kw_only=True)


@dataclass(slots=True)
class AnnouncedController(Child):
    """An LMC that has joined the session: where it is, and how many MNs it last reported.

    ``round_began``, ``round_heard`` (seconds) and ``round_named`` are of its last ASRs in a row [M-12]: when the first and
    the last of them came, and how many of the MNs counted they have named so far. ``compared`` (seconds) is when the MNs
    that the SM knows of it were last held against them.
    """

    endpoint: Endpoint = field(kw_only=True)
    members: int = field(default=0, kw_only=True)
    round_began: float = field(default=0.0, kw_only=True)
    round_heard: float = field(default=0.0, kw_only=True)
    round_named: int = field(default=0, kw_only=True)
    compared: float = field(default=float("-inf"), kw_only=True)


@dataclass(frozen=True, slots=True)
class Waiting:
    """An MN about which the AAA has been asked: its SJR and where that came from, or the LMC that reports it."""

    request: Message | None
    source: Endpoint | None
    lmc: bytes


class SessionRecord:
    """One session: its provisioning, its state, and who is in it."""

    def __init__(self, session: Session, owner: Role, probe_time: float) -> None:
        self.provisioned = session
        self.machine = Machine(SESSION_TABLE, owner, session_id=session.session_id)
        self.members: Children[Member] = Children(probe_time)
        self.controllers: Children[AnnouncedController] = Children(probe_time)
        # Every SJC that there can be, by F, LMC and profile: the same for all MNs, so encoded once.
        self.confirms: dict[tuple[bool, Endpoint | None, Profile], bytes] = {}
        self.waiting: dict[bytes, Waiting] = {}
        self.members_of: dict[bytes, set[bytes]] = {}  # the MN IDs of the members of each LMC, by its name
        allowed = session.allowed_mn_ids
        self.allowed = None if allowed is None else frozenset(identifier(name) for name in allowed)

    def place(self, mn_id: bytes, member: Member, lmc: bytes) -> None:
        """This member belongs to that LMC now (b"": to the SM)."""
        if member.lmc != lmc:
            self.members_of.get(member.lmc, set()).discard(mn_id)
        member.lmc = lmc
        if lmc:
            self.members_of.setdefault(lmc, set()).add(mn_id)

    def forget(self, mn_id: bytes) -> Member | None:
        """Remove a member; None where there is none."""
        member = self.members.pop(mn_id, None)
        if member is not None:
            self.place(mn_id, member, b"")
        return member

    @property
    def has_waiting_requests(self) -> bool:
        """Whether an SJR is still to be answered."""
        return any(waiting.request is not None for waiting in self.waiting.values())
