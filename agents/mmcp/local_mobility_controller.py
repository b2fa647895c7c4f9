"""The local mobility controller (LMC): acts for the MNs of one subnet (clauses 7.2 to 7.5, 8.3 to 8.6).

Theory of operation. The LMC announces itself to the SM for each session it serves [M-11] and is then ESTABLISHED. MNs
attach with LJR and report with USR; every SRT it sends the SM ASRs about them (`agents.mmcp.status_rounds`). A handover
away from it goes through HIR-RCVD and HCT-SENT (`agents.mmcp.departing_nodes`); one towards it begins with HCT
(`agents.mmcp.expected_nodes`). When it leaves a session it says so to the SM with ULR, which holds its name.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping

from agents.core.agent import Endpoint, Event, GroupJoined, Notify
from agents.core.machine import Machine
from agents.core.timers import TimerKey
from agents.mmcp import constants as c
from agents.mmcp.configuration import ControllerTable, LocalMobilityControllerConfiguration, identifier
from agents.mmcp.constants import Profile
from agents.mmcp.controller_state import (
    SESSION_TABLE,
    HandoverInput,
    Member,
    SessionInput,
    SessionRecord,
    SessionState,
)
from agents.mmcp.departing_nodes import DepartingNodes
from agents.mmcp.events import ApplicationLeave
from agents.mmcp.expected_nodes import ExpectedNodes
from agents.mmcp.messages import (
    Message,
    MNIdentifier,
    lmc_address,
)
from agents.mmcp.monitoring import Children, Watch
from agents.mmcp.reports import report_in
from agents.mmcp.role import Role
from agents.mmcp.status_rounds import StatusRounds

_ESTABLISHED = SessionState.ESTABLISHED  # looked up once, as the packets' names in `constants`


class LocalMobilityController(Role):
    """One LMC, for any number of sessions. Timer keys: (what, session id[, MN ID])."""

    RECEIVES = frozenset(
        {
            c.SJC,
            c.LJR,
            c.ULR,
            c.ULC,
            c.USR,
            c.USP,
            c.HIR,
            c.HCT,
            c.HTA,
        }
    )
    LISTS = ("members", "handovers", "expected")

    def __init__(self, configuration: LocalMobilityControllerConfiguration) -> None:
        super().__init__()
        configuration.check()
        self._configuration = configuration
        self._timers = configuration.timers
        self._profile = Profile[configuration.profile]
        self._name = identifier(configuration.name)
        self._own = configuration.own.endpoint
        self._controllers = ControllerTable(configuration.controllers)
        self._session_manager = configuration.session_manager_endpoint
        self._sessions = {
            session_id: SessionRecord(
                session_id,
                Machine(SESSION_TABLE, self, session_id=session_id),
                Children(configuration.timers.probe_time),
            )
            for session_id in configuration.sessions
        }
        self._rounds = StatusRounds(self, self._session_manager)
        self._departing = DepartingNodes(self, configuration, self._controllers)
        self._expected = ExpectedNodes(self, configuration.interface, configuration.source_of, configuration.timers)

    def start(self, now: float) -> None:
        """Announce this LMC to the SM for every session (``mmcp_lmc_join``)."""
        for record in self._sessions.values():
            record.machine.move(SessionInput.JOIN)
            record.said_leave_at = None
            self._announce(record, now)

    def message_received(self, message: Message, source: Endpoint, now: float, port: Hashable) -> None:
        """Take one message; an unknown session is dropped and counted, but for LJR, which is refused."""
        record = self._sessions.get(message.session_id)
        if record is None:
            self._unknown_session(message, source)
            return
        match message.packet:  # the frequent ones first
            case c.USR:
                self._user_status_report(record, message, source, now)
            case c.LJR:
                self._local_join_request(record, message, source, now)
            case c.SJC:
                self._session_join_confirm(record, message, source, now)
            case c.ULR:
                self._user_leave_request(record, message, source, now)
            case c.USP:
                self._user_status_probe(record, message, source, now)
            case c.HIR:
                self._departing.requested(record, message, source, now)
            case c.HCT:
                # Only the LMCs of the shared table may hand contexts over [M-24].
                if self._controllers.at(source) is None:
                    self.drop("unknown-lmc", source, packet="HCT")
                else:
                    self._expected.context_transferred(record, message, source, now)
            case c.HTA:
                self._departing.acknowledged(record, message, source, now, port)
            case c.ULC:
                self.counters.add("confirmed.leave")

    def _unknown_session(self, message: Message, source: Endpoint) -> None:
        """Refuse a local join, since the MN waits for an answer [7.2]; drop all else."""
        if message.packet is c.LJR:
            self.counters.add("refused.unknown-session")
            self.send(c.LJC, message.session_id, source, profile=message.profile)
        else:
            self.drop("unknown-session", source, packet=message.packet.name, session_id=message.session_id)

    def handle(self, event: Event, now: float) -> None:
        """Take the outcome of a group join, or the application's wish to end."""
        match event:
            case GroupJoined():
                self._expected.group_joined(event, self._sessions.values())
            case ApplicationLeave():
                for record in self._sessions.values():
                    if event.session_id in (None, record.session_id):
                        self._leave(record, now)
            case _:
                self.counters.add(f"ignored.{type(event).__name__}")

    def timer_expired(self, key: TimerKey, now: float) -> None:
        """JWT, SRT, SPT, CTT, hold, linger, the next renewal, or the end of a remembered confirm."""
        record = self._sessions[key[1]]
        match key[0]:  # the frequent ones first
            case "linger":
                self._expected.stop_expecting(record, key[2])
            case "confirm":
                record.confirms.pop(key[2], None)
            case "srt":
                if record.round is None:
                    self._rounds.begin(record, self._profile, now)
                self.timers.set(key, now + self._timers.srt_s)
            case "asr":
                self._rounds.go_on(record, now)
            case "spt":
                self._look_at_members(record, now)
            case "renew":
                self._renew(record, now)
            case "ctt":
                self._departing.context_transfer_time_expired(record, key[2], now)
            case "hold":
                self.counters.add("expired.hold")
                self._expected.stop_expecting(record, key[2])
            case "jwt":
                # An LMC without a session serves nobody, so it goes on asking, once per JWT [M-20].
                record.machine.move(SessionInput.JOIN_WAITING_TIME)
                self.counters.add("resent.SJR")
                self._announce(record, now)

    def describe(self) -> Mapping[str, object]:
        """Sessions with the numbers of their members, handovers and expected MNs."""
        return {
            "role": "lmc",
            "name": self._configuration.name,
            "groups": self._expected.groups,
            "sessions": {
                str(record.session_id): {
                    "state": record.machine.state.value,
                    "members": len(record.members),
                    "handovers": len(record.handovers),
                    "expected": len(record.expected),
                }
                for record in self._sessions.values()
            },
        }

    def rows(self, of: str) -> Iterator[Mapping[str, object]]:
        """The members, the handovers away from here, or the expected MNs, of all sessions."""
        for record in self._sessions.values():
            found: Iterable[tuple[bytes, Mapping[str, object]]]
            match of:
                case "members":
                    found = ((mn_id, {"endpoint": str(row.endpoint)}) for mn_id, row in record.members.items())
                case "handovers":
                    found = ((mn_id, {"state": row.machine.state.value}) for mn_id, row in record.handovers.items())
                case "expected":
                    found = ((mn_id, {"joined": row.joined}) for mn_id, row in record.expected.items())
                case _:
                    raise KeyError(of)
            for mn_id, said in found:
                yield {"session_id": record.session_id, "mn_id": mn_id.hex(), **said}

    # --- the LMC's own join [M-11] --------------------------------------------------------------------------------

    def _announce(self, record: SessionRecord, now: float) -> None:
        self._send_announcement(record)
        self.timers.set(("jwt", record.session_id), now + self._timers.jwt_s)

    def _send_announcement(self, record: SessionRecord) -> None:
        self.send(
            c.SJR,
            record.session_id,
            self._session_manager,
            (MNIdentifier(self._name), lmc_address(self._own)),
            profile=self._profile,
        )

    def _session_join_confirm(self, record: SessionRecord, message: Message, source: Endpoint, now: float) -> None:
        if source != self._session_manager:
            self.drop("unknown-peer", source, packet="SJC")
            return
        if record.machine.state is not SessionState.SJR_SENT:
            # The answer to a renewal; an SM that has changed its mind ends what it had granted.
            self.counters.add("renewed.session" if message.accepted else "ended.session")
            if record.machine.state is not SessionState.ESTABLISHED:
                return
            if not message.accepted:
                self._end_session(record)
                self.act(Notify("join-refused", {"session_id": record.session_id}))
            elif message.multicast != record.group:
                self._take_group(record, message, "group-changed")
            return
        self.timers.cancel(("jwt", record.session_id))
        if not message.accepted:
            record.machine.move(SessionInput.SJC_REFUSED)
            self.act(Notify("join-refused", {"session_id": record.session_id}))
            return
        record.machine.move(SessionInput.SJC_ACCEPTED)
        self.timers.set(("srt", record.session_id), now + self._timers.srt_s)
        self.timers.set(("renew", record.session_id), now + self._timers.probe_time)
        self._take_group(record, message, "established")

    def _take_group(self, record: SessionRecord, message: Message, event: str) -> None:
        """The group is the one that the SM named last: it may be another one after the SM has restarted [M-25]."""
        record.group = message.multicast
        record.sent_to_sm.clear()
        self._expected.group_changed(record)
        self.act(Notify(event, {"session_id": record.session_id, "group": record.group.group}))

    def _renew(self, record: SessionRecord, now: float) -> None:
        """Announce this LMC again, so that an SM that has lost its memory has it back [M-25]."""
        self._send_announcement(record)
        self.timers.set(("renew", record.session_id), now + self._timers.probe_time)

    def _leave(self, record: SessionRecord, now: float) -> None:
        """Leave with notice: the SM is to assign this LMC to nobody any more [M-11]."""
        if record.machine.state is not SessionState.CLOSED:
            self._say_leave(record, now)
        self._end_session(record)

    def _say_leave(self, record: SessionRecord, now: float) -> None:
        record.said_leave_at = now
        self.send(c.ULR, record.session_id, self._session_manager, (MNIdentifier(self._name),), profile=self._profile)

    def _say_leave_again(self, record: SessionRecord, now: float) -> None:
        """Whoever asks for what this LMC does no more shows that the SM may not have heard so: once in JWT [M-11]."""
        if record.said_leave_at is not None and now - record.said_leave_at >= self._timers.jwt_s:
            self.counters.add("resent.ULR")
            self._say_leave(record, now)

    def _end_session(self, record: SessionRecord) -> None:
        self._rounds.stop(record)
        for mn_id in list(record.expected):
            self._expected.stop_expecting(record, mn_id)
        for mn_id in list(record.handovers):
            self._departing.end(record, mn_id, HandoverInput.CONFIRM)
        record.members.clear()
        for mn_id in list(record.confirms):
            self._departing.forget_confirm(record, mn_id)
        for what in ("jwt", "srt", "spt", "renew"):
            self.timers.cancel((what, record.session_id))
        if record.machine.allows(SessionInput.LEAVE):
            record.machine.move(SessionInput.LEAVE)

    # --- MNs here: local join, leave, status [7.2 to 7.4] ---------------------------------------------------------

    def _local_join_request(self, record: SessionRecord, message: Message, source: Endpoint, now: float) -> None:
        mn_id = message.mn_id
        known = record.members.get(mn_id)
        established = record.machine.state is _ESTABLISHED
        if not established and record.machine.state is SessionState.SJR_SENT:
            self.counters.add("unanswered.LJR")  # neither yes nor no before the SM has spoken [M-20]
            return
        full = known is None and len(record.members) >= c.MEMBERS_MAXIMUM
        if not established or full:
            self.counters.add("refused.session-full" if established else "refused.session-not-established")
            self.send(c.LJC, record.session_id, source, profile=message.profile)
            self._say_leave_again(record, now)
            return
        if mn_id in record.handovers:  # it is back before it left
            self._departing.end(record, mn_id, HandoverInput.MN_GONE)
        if self._is_to_ask_the_sm(record, mn_id, known, now):
            self.counters.add("refused.old-group")
            self.send(c.LJC, record.session_id, source, profile=message.profile)
            return
        self._departing.forget_confirm(record, mn_id)
        self._expected.arrived(record, mn_id, now)
        if known is None:
            record.members[mn_id] = Member(
                now, identifier=MNIdentifier(mn_id), group=record.group, endpoint=source, profile=message.profile
            )
            if len(record.members) == 1:
                self.timers.set(("spt", record.session_id), now + self._timers.probe_time)
            self.act(Notify("mn-attached", {"session_id": record.session_id, "mn_id": mn_id.hex()}))
        else:
            known.heard(now)
            known.endpoint, known.profile, known.group = source, message.profile, record.group
        self.send(c.LJC, record.session_id, source, accepted=True, profile=message.profile)

    def _is_to_ask_the_sm(self, record: SessionRecord, mn_id: bytes, known: Member | None, now: float) -> bool:
        """Whether an MN holds a group that the session has no more: refused, it asks the SM, which names today's [M-25].

        One that comes back before it could have renewed again has done so; one that comes later has not heard the refusal.
        """
        if known is None:
            return self._expected.is_of_old_group(record, mn_id)
        if known.group is record.group:
            return False
        sent_at = record.sent_to_sm.pop(mn_id, None)
        if sent_at is not None and now - sent_at < self._timers.srt_s:
            return False
        record.sent_to_sm[mn_id] = now
        return True

    def _user_leave_request(self, record: SessionRecord, message: Message, source: Endpoint, now: float) -> None:
        mn_id = message.mn_id
        is_known = record.members.pop(mn_id, None) is not None
        if is_known:
            self.act(Notify("mn-left", {"session_id": record.session_id, "mn_id": mn_id.hex()}))
        else:
            self.counters.add("leave.unknown-mn")
        if mn_id in record.handovers:
            self._departing.end(record, mn_id, HandoverInput.MN_GONE)
        if mn_id in record.expected:
            self._expected.stop_expecting(record, mn_id)
        self.send(c.ULC, record.session_id, source, accepted=True, profile=message.profile)
        if is_known and self._configuration.asr_on_leave:
            self._rounds.begin(record, self._profile, now)

    def _user_status_report(self, record: SessionRecord, message: Message, source: Endpoint, now: float) -> None:
        mn_id, status = report_in(message)
        member = record.members.get(mn_id)
        if member is None:
            self.drop("unknown-mn", source, packet="USR")
            return
        # What heard() does, without the call: every report of every MN passes here.
        member.last_heard, member.probes = now, 0
        member.endpoint, member.profile = source, message.profile
        member.status = status

    def _look_at_members(self, record: SessionRecord, now: float) -> None:
        """Probe MNs that are silent; one that answers no probe has failed, as the next ASR will show [7.4, M-13]."""
        for mn_id, member, what in record.members.look(now):
            if what is Watch.FAILED:
                self.counters.add("failed.mn")
                if mn_id in record.handovers:
                    self._departing.end(record, mn_id, HandoverInput.MN_GONE)
                self.act(Notify("mn-failed", {"session_id": record.session_id, "mn_id": mn_id.hex()}))
            else:
                self.send(c.USP, record.session_id, member.endpoint, profile=member.profile)
        if record.members:
            self.timers.set(("spt", record.session_id), record.members.next_look)

    def _user_status_probe(self, record: SessionRecord, message: Message, source: Endpoint, now: float) -> None:
        """Answer the SM at once; where this LMC has not joined, or was sent away, the SM finds out by its silence."""
        if source != self._session_manager:
            self.drop("unknown-peer", source, packet="USP")
        elif record.machine.state is not SessionState.ESTABLISHED:
            self.drop("session-not-established", source, packet="USP")
            self._say_leave_again(record, now)
        else:
            # A probe without parameters does not show in which profile it is [M-2].
            self._rounds.begin(record, message.profile if message.parameters else self._profile, now)
