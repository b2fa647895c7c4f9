"""The session manager (SM): admits MNs and LMCs to sessions, assigns LMCs and gathers status reports (clauses 7.2 to 7.5).

Theory of operation. A session is ESTABLISHED from ``start`` on (``mmcp_create``). Each SJR takes it through SJR-RCVD,
where the SM decides, and back (Annex B.1): the answer is immediate because an operator's provisioning is at hand. An SJR
whose MN ID is the name of a provisioned LMC and which holds an LMC Address is that LMC announcing itself [M-11]. An MN is
assigned the LMC that serves its point of attachment if that LMC has announced itself for the session [M-18], else none.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import Enum

from agents.core.agent import ApplicationLeave, Endpoint, Event, Notify
from agents.core.machine import TransitionTable
from agents.mmcp.configuration import ControllerTable, Session, SessionManagerConfiguration, identifier
from agents.mmcp.constants import MEMBERS_MAXIMUM, PacketType
from agents.mmcp.messages import (
    DataChannelStatus,
    Message,
    lmc_address,
    multicast_address,
)
from agents.mmcp.reports import reports_in
from agents.mmcp.role import Machine, Role


class SessionState(Enum):
    """States of a session at the SM [Annex B.1]."""

    CLOSED = "CLOSED"
    ESTABLISHED = "ESTABLISHED"
    SJR_RECEIVED = "SJR-RCVD"


class SessionInput(Enum):
    """What moves a session at the SM."""

    CREATE = "app: mmcp_create()"
    SJR = "recv: SJR"
    SJC = "send: SJC"
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
        SessionState.SJR_RECEIVED: {SessionInput.SJC: SessionState.ESTABLISHED},
    },
)


@dataclass(slots=True)
class Member:
    """An MN as the SM knows it: where it spoke from, its LMC's name (b"": none), and what it last reported."""

    endpoint: Endpoint
    lmc: bytes
    last_heard: float
    status: DataChannelStatus | None = None


@dataclass(slots=True)
class AnnouncedController:
    """An LMC that has joined the session: where it is, and how many MNs it last reported."""

    endpoint: Endpoint
    last_heard: float
    members: int = 0


class _SessionRecord:
    """One session: its provisioning, its state, and who is in it."""

    def __init__(self, session: Session, owner: SessionManager) -> None:
        self.provisioned = session
        self.machine = Machine(SESSION_TABLE, owner, session_id=session.session_id)
        self.members: dict[bytes, Member] = {}
        self.controllers: dict[bytes, AnnouncedController] = {}
        allowed = session.allowed_mn_ids
        self.allowed = None if allowed is None else frozenset(identifier(name) for name in allowed)


class SessionManager(Role):
    """One SM, for any number of sessions."""

    RECEIVES = frozenset({PacketType.SJR, PacketType.ULR, PacketType.USR, PacketType.ASR, PacketType.HIR})

    def __init__(self, configuration: SessionManagerConfiguration) -> None:
        super().__init__()
        configuration.check()
        self._controllers = ControllerTable(configuration.controllers)
        self._sessions = {session.session_id: _SessionRecord(session, self) for session in configuration.sessions}

    def start(self, now: float) -> None:
        """Create every provisioned session (``mmcp_create``)."""
        for record in self._sessions.values():
            record.machine.move(SessionInput.CREATE)

    def message_received(self, message: Message, source: Endpoint, now: float, channel: int) -> None:
        """Take one message; an unknown session is dropped and counted."""
        record = self._sessions.get(message.session_id)
        if record is None or record.machine.state is SessionState.CLOSED:
            self.drop("unknown-session", source, packet=message.packet.name, session_id=message.session_id)
            return
        match message.packet:
            case PacketType.SJR:
                self._session_join_request(record, message, source, now)
            case PacketType.ULR:
                self._user_leave_request(record, message, source)
            case PacketType.USR:
                self._user_status_report(record, message, source, now)
            case PacketType.ASR:
                self._aggregation_status_report(record, message, source, now)
            case PacketType.HIR:
                self._handover_initiation_request(record, message, source)

    def handle(self, event: Event, now: float) -> None:
        """The SM has no interest in links and groups; the application may end it."""
        if isinstance(event, ApplicationLeave):
            for record in self._sessions.values():
                if record.machine.allows(SessionInput.TERMINATE):
                    record.machine.move(SessionInput.TERMINATE)
        else:
            self.counters.add(f"ignored.{type(event).__name__}")

    def timer_expired(self, key: Hashable, now: float) -> None:
        """The SM arms no timers."""

    def describe(self) -> Mapping[str, object]:
        """Sessions with their members and LMCs."""
        return {
            "role": "sm",
            "sessions": {
                str(session_id): {
                    "state": record.machine.state.value,
                    "members": {
                        mn_id.hex(): {"endpoint": str(member.endpoint), "lmc": member.lmc.hex() or None}
                        for mn_id, member in record.members.items()
                    },
                    "lmcs": {
                        name.hex(): {"endpoint": str(row.endpoint), "members": row.members}
                        for name, row in record.controllers.items()
                    },
                }
                for session_id, record in self._sessions.items()
            },
        }

    # --- session join [7.2] ---------------------------------------------------------------------------------------

    def _session_join_request(self, record: _SessionRecord, message: Message, source: Endpoint, now: float) -> None:
        record.machine.move(SessionInput.SJR)
        lmc = message.lmc
        if lmc is not None and self._controllers.named(message.mn_id) is not None:
            self._admit_controller(record, message, lmc, source, now)
        else:
            self._admit_member(record, message, source, now)
        record.machine.move(SessionInput.SJC)

    def _admit_controller(
        self, record: _SessionRecord, message: Message, lmc: Endpoint, source: Endpoint, now: float
    ) -> None:
        provisioned = self._controllers.named(message.mn_id)
        if provisioned is None or provisioned.endpoint != lmc:
            self.counters.add("refused.lmc-address")
            self._session_join_confirm(record, message, source, accepted=False)
            return
        record.controllers[message.mn_id] = AnnouncedController(lmc, now)
        self.act(Notify("lmc-joined", {"session_id": message.session_id, "lmc": message.mn_id.hex()}))
        self._session_join_confirm(record, message, source, accepted=True)

    def _admit_member(self, record: _SessionRecord, message: Message, source: Endpoint, now: float) -> None:
        mn_id = message.mn_id
        if record.allowed is not None and mn_id not in record.allowed:
            self.counters.add("refused.mn-not-allowed")
            self._session_join_confirm(record, message, source, accepted=False)
            return
        if mn_id not in record.members and len(record.members) >= MEMBERS_MAXIMUM:
            self.counters.add("refused.session-full")
            self._session_join_confirm(record, message, source, accepted=False)
            return
        serving = self._controllers.serving(message.point_of_attachment)
        name = b"" if serving is None else identifier(serving.name)
        announced = record.controllers.get(name)
        assigned = name if announced is not None else b""
        record.members[mn_id] = Member(source, assigned, now)
        self.act(Notify("mn-joined", {"session_id": message.session_id, "mn_id": mn_id.hex(), "lmc": assigned.hex()}))
        self._session_join_confirm(
            record, message, source, accepted=True, lmc=None if announced is None else announced.endpoint
        )

    def _session_join_confirm(
        self, record: _SessionRecord, request: Message, source: Endpoint, *, accepted: bool, lmc: Endpoint | None = None
    ) -> None:
        """SJC: with F=1 the group and, where one is assigned, the LMC; with F=0 nothing [M-4]."""
        session = record.provisioned
        parameters = (multicast_address(session.group, session.port),) if accepted else ()
        assigned = (lmc_address(lmc),) if lmc is not None else ()
        self.send(
            PacketType.SJC,
            session.session_id,
            source,
            *parameters,
            *assigned,
            accepted=accepted,
            profile=request.profile,
        )

    # --- leave and status [7.3, 7.4] ------------------------------------------------------------------------------

    def _user_leave_request(self, record: _SessionRecord, message: Message, source: Endpoint) -> None:
        """ULC is always answered; a leave of somebody unknown is confirmed too, he is not here."""
        if record.members.pop(message.mn_id, None) is None:
            self.counters.add("leave.unknown-mn")
        else:
            self.act(Notify("mn-left", {"session_id": message.session_id, "mn_id": message.mn_id.hex()}))
        self.send(PacketType.ULC, message.session_id, source, accepted=True, profile=message.profile)

    def _user_status_report(self, record: _SessionRecord, message: Message, source: Endpoint, now: float) -> None:
        member = record.members.get(message.mn_id)
        if member is None:
            self.drop("unknown-mn", source, packet="USR")
            return
        member.last_heard, member.status = now, message.status

    def _aggregation_status_report(
        self, record: _SessionRecord, message: Message, source: Endpoint, now: float
    ) -> None:
        name = next((key for key, row in record.controllers.items() if row.endpoint.address == source.address), None)
        if name is None:
            self.drop("unknown-lmc", source, packet="ASR")
            return
        controller = record.controllers[name]
        controller.last_heard, controller.members = now, message.members
        for mn_id, status in reports_in(message):
            member = record.members.get(mn_id)
            if member is None:
                self.counters.add("report.unknown-mn")
                continue
            member.last_heard, member.lmc = now, name
            member.status = member.status if status is None else status

    # --- handover without an LMC [M-15] ---------------------------------------------------------------------------

    def _handover_initiation_request(self, record: _SessionRecord, message: Message, source: Endpoint) -> None:
        """Answer with the LMC that serves the new point of attachment, or F=0; a stranger is told F=0 [M-19]."""
        serving = self._controllers.serving(message.point_of_attachment)
        announced = None if serving is None else record.controllers.get(identifier(serving.name))
        member = record.members.get(message.mn_id)
        if member is None or serving is None or announced is None:
            self.counters.add("refused.handover")
            self.send(PacketType.HIC, message.session_id, source, profile=message.profile)
            return
        member.lmc = identifier(serving.name)
        self.send(
            PacketType.HIC,
            message.session_id,
            source,
            lmc_address(announced.endpoint),
            accepted=True,
            profile=message.profile,
        )
