"""The local mobility controller (LMC): acts for the MNs of one subnet (clauses 7.2 to 7.5, 8.3 to 8.6).

Theory of operation. The LMC announces itself to the SM for each session it serves [M-11] and is then ESTABLISHED. MNs
attach with LJR and report with USR; every SRT it sends the SM an ASR about them. A handover away from it goes through
HIR-RCVD and HCT-SENT: it looks up which LMC serves the new point of attachment, hands the context over with HCT (resent
every CTT, from a port of its own so that its HTA is told apart [M-16]) and confirms to the MN with HIC, after which it
forgets the MN but remembers the confirm, since a resent HIR gets the same answer. A handover towards it begins with HCT:
it joins the group with IGMP or MLD, answers HTA once the report is on the wire, stays joined for ``hold`` until the MN
comes, and for ``linger`` after the MN's LJR [M-9, M-10].
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from agents.core.agent import (
    ApplicationLeave,
    CloseChannel,
    Endpoint,
    Event,
    GroupJoined,
    Notify,
)
from agents.mmcp import constants as c
from agents.mmcp.configuration import ControllerTable, LocalMobilityControllerConfiguration, identifier
from agents.mmcp.constants import PacketType, Profile
from agents.mmcp.controller_state import (
    HANDOVER_TABLE,
    SESSION_TABLE,
    Confirm,
    Handover,
    HandoverInput,
    Member,
    SessionInput,
    SessionRecord,
    SessionState,
)
from agents.mmcp.expected_nodes import ExpectedNodes
from agents.mmcp.messages import (
    Message,
    MNIdentifier,
    lmc_address,
)
from agents.mmcp.monitoring import Children, Watch
from agents.mmcp.reports import aggregates
from agents.mmcp.role import Machine, Role


class LocalMobilityController(Role):
    """One LMC, for any number of sessions. Timer keys: (what, session id[, MN ID])."""

    RECEIVES = frozenset(
        {
            PacketType.SJC,
            PacketType.LJR,
            PacketType.ULR,
            PacketType.USR,
            PacketType.USP,
            PacketType.HIR,
            PacketType.HCT,
            PacketType.HTA,
        }
    )

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
        self._channels: dict[int, tuple[SessionRecord, bytes]] = {}
        self._next_channel = 1
        self._expected = ExpectedNodes(self, configuration.interface, configuration.source_of, configuration.timers)

    def start(self, now: float) -> None:
        """Announce this LMC to the SM for every session (``mmcp_lmc_join``)."""
        for record in self._sessions.values():
            record.machine.move(SessionInput.JOIN)
            self._announce(record, now)

    def message_received(self, message: Message, source: Endpoint, now: float, channel: int) -> None:
        """Take one message; an unknown session is dropped and counted, but for LJR, which is refused."""
        record = self._sessions.get(message.session_id)
        if record is None:
            self._unknown_session(message, source)
            return
        match message.packet:  # the frequent ones first
            case PacketType.USR:
                self._user_status_report(record, message, source, now)
            case PacketType.LJR:
                self._local_join_request(record, message, source, now)
            case PacketType.SJC:
                self._session_join_confirm(record, message, source, now)
            case PacketType.ULR:
                self._user_leave_request(record, message, source, now)
            case PacketType.USP:
                self._user_status_probe(record, source, message.profile)
            case PacketType.HIR:
                self._handover_initiation_request(record, message, source, now)
            case PacketType.HCT:
                # Only the LMCs of the shared table may hand contexts over [M-24].
                if self._controllers.at(source) is None:
                    self.drop("unknown-lmc", source, packet="HCT")
                else:
                    self._expected.context_transferred(record, message, source, now)
            case PacketType.HTA:
                self._handover_transfer_acknowledgement(record, message, source, now, channel)

    def _unknown_session(self, message: Message, source: Endpoint) -> None:
        """Refuse a local join, since the MN waits for an answer [7.2]; drop all else."""
        if message.packet is PacketType.LJR:
            self.counters.add("refused.unknown-session")
            self.send(PacketType.LJC, message.session_id, source, profile=message.profile)
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
                        self._leave_session(record)
            case _:
                self.counters.add(f"ignored.{type(event).__name__}")

    def timer_expired(self, key: Hashable, now: float) -> None:
        """JWT, SRT, SPT, CTT, hold, linger, the next renewal, or the end of a remembered confirm."""
        assert isinstance(key, tuple)
        record = self._sessions[key[1]]
        match key[0]:
            case "jwt":
                # An LMC without a session serves nobody, so it goes on asking, once per JWT [M-20].
                record.machine.move(SessionInput.JOIN_WAITING_TIME)
                self.counters.add("resent.SJR")
                self._announce(record, now)
            case "srt":
                self._send_aggregate(record, self._profile)
                self.timers.set(key, now + self._timers.srt_s)
            case "spt":
                self._look_at_members(record, now)
            case "renew":
                self._renew(record, now)
            case "ctt":
                self._context_transfer_time_expired(record, key[2], now)
            case "hold":
                self.counters.add("expired.hold")
                self._expected.stop_expecting(record, key[2])
            case "linger":
                self._expected.stop_expecting(record, key[2])
            case "confirm":
                record.confirms.pop(key[2], None)

    def describe(self) -> Mapping[str, object]:
        """Sessions with their members, handovers and expected MNs."""
        return {
            "role": "lmc",
            "name": self._configuration.name,
            "groups": self._expected.groups,
            "sessions": {
                str(record.session_id): {
                    "state": record.machine.state.value,
                    "members": {mn_id.hex(): str(member.endpoint) for mn_id, member in record.members.items()},
                    "handovers": {mn_id.hex(): row.machine.state.value for mn_id, row in record.handovers.items()},
                    "expected": {mn_id.hex(): row.joined for mn_id, row in record.expected.items()},
                }
                for record in self._sessions.values()
            },
        }

    # --- the LMC's own join [M-11] --------------------------------------------------------------------------------

    def _announce(self, record: SessionRecord, now: float) -> None:
        self._send_announcement(record)
        self.timers.set(("jwt", record.session_id), now + self._timers.jwt_s)

    def _send_announcement(self, record: SessionRecord) -> None:
        self.send(
            PacketType.SJR,
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
            if not message.accepted and record.machine.allows(SessionInput.LEAVE):
                self._leave_session(record)
                self.act(Notify("join-refused", {"session_id": record.session_id}))
            return
        self.timers.cancel(("jwt", record.session_id))
        if not message.accepted:
            record.machine.move(SessionInput.SJC_REFUSED)
            self.act(Notify("join-refused", {"session_id": record.session_id}))
            return
        record.machine.move(SessionInput.SJC_ACCEPTED)
        record.group = message.multicast
        self.timers.set(("srt", record.session_id), now + self._timers.srt_s)
        self.timers.set(("renew", record.session_id), now + self._timers.probe_time)
        self.act(Notify("established", {"session_id": record.session_id, "group": record.group.group}))

    def _renew(self, record: SessionRecord, now: float) -> None:
        """Announce this LMC again, so that an SM that has lost its memory has it back [M-25]."""
        self._send_announcement(record)
        self.timers.set(("renew", record.session_id), now + self._timers.probe_time)

    def _leave_session(self, record: SessionRecord) -> None:
        for mn_id in list(record.expected):
            self._expected.stop_expecting(record, mn_id)
        for mn_id in list(record.handovers):
            self._end_handover(record, mn_id, HandoverInput.CONFIRM)
        record.members.clear()
        for mn_id in list(record.confirms):
            self._forget_confirm(record, mn_id)
        for what in ("jwt", "srt", "spt", "renew"):
            self.timers.cancel((what, record.session_id))
        if record.machine.allows(SessionInput.LEAVE):
            record.machine.move(SessionInput.LEAVE)

    # --- MNs here: local join, leave, status [7.2 to 7.4] ---------------------------------------------------------

    def _local_join_request(self, record: SessionRecord, message: Message, source: Endpoint, now: float) -> None:
        mn_id = message.mn_id
        known = record.members.get(mn_id)
        if record.machine.state is SessionState.SJR_SENT:
            self.counters.add("unanswered.LJR")  # neither yes nor no before the SM has spoken [M-20]
            return
        established = record.machine.state is SessionState.ESTABLISHED
        full = known is None and len(record.members) >= c.MEMBERS_MAXIMUM
        if not established or full:
            self.counters.add("refused.session-full" if established else "refused.session-not-established")
            self.send(PacketType.LJC, record.session_id, source, profile=message.profile)
            return
        if mn_id in record.handovers:  # it is back before it left
            self._end_handover(record, mn_id, HandoverInput.MN_GONE)
        self._forget_confirm(record, mn_id)
        self._expected.arrived(record, mn_id, now)
        if known is None:
            record.members[mn_id] = Member(
                now, identifier=MNIdentifier(mn_id), endpoint=source, profile=message.profile
            )
            if len(record.members) == 1:
                self.timers.set(("spt", record.session_id), now + self._timers.probe_time)
            self.act(Notify("mn-attached", {"session_id": record.session_id, "mn_id": mn_id.hex()}))
        else:
            known.heard(now)
            known.endpoint, known.profile = source, message.profile
        self.send(PacketType.LJC, record.session_id, source, accepted=True, profile=message.profile)

    def _user_leave_request(self, record: SessionRecord, message: Message, source: Endpoint, now: float) -> None:
        mn_id = message.mn_id
        if record.members.pop(mn_id, None) is None:
            self.counters.add("leave.unknown-mn")
        else:
            self.act(Notify("mn-left", {"session_id": record.session_id, "mn_id": mn_id.hex()}))
        if mn_id in record.handovers:
            self._end_handover(record, mn_id, HandoverInput.MN_GONE)
        if mn_id in record.expected:
            self._expected.stop_expecting(record, mn_id)
        self.send(PacketType.ULC, record.session_id, source, accepted=True, profile=message.profile)
        if self._configuration.asr_on_leave and record.machine.state is SessionState.ESTABLISHED:
            self._send_aggregate(record, self._profile)

    def _user_status_report(self, record: SessionRecord, message: Message, source: Endpoint, now: float) -> None:
        member = record.members.get(message.mn_id)
        if member is None:
            self.drop("unknown-mn", source, packet="USR")
            return
        # What heard() does, without the call: every report of every MN passes here.
        member.last_heard, member.probes = now, 0
        member.endpoint, member.profile = source, message.profile
        member.status = message.status

    def _look_at_members(self, record: SessionRecord, now: float) -> None:
        """Probe MNs that are silent; one that answers no probe has failed, as the next ASR will show [7.4, M-13]."""
        for mn_id, member, what in record.members.look(now):
            if what is Watch.FAILED:
                self.counters.add("failed.mn")
                if mn_id in record.handovers:
                    self._end_handover(record, mn_id, HandoverInput.MN_GONE)
                self.act(Notify("mn-failed", {"session_id": record.session_id, "mn_id": mn_id.hex()}))
            else:
                self.send(PacketType.USP, record.session_id, member.endpoint, profile=member.profile)
        if record.members:
            self.timers.set(("spt", record.session_id), record.members.next_look)

    def _user_status_probe(self, record: SessionRecord, source: Endpoint, profile: Profile) -> None:
        if source != self._session_manager:
            self.drop("unknown-peer", source, packet="USP")
            return
        self._send_aggregate(record, profile)

    def _send_aggregate(self, record: SessionRecord, profile: Profile) -> None:
        """Send the ASRs about all MNs here."""
        reports = [(member.identifier, member.status) for member in record.members.values()]
        for parameters in aggregates(len(record.members), reports):
            self.send(PacketType.ASR, record.session_id, self._session_manager, parameters, profile=profile)

    # --- handover away from here [7.5] ----------------------------------------------------------------------------

    def _handover_initiation_request(
        self, record: SessionRecord, message: Message, source: Endpoint, now: float
    ) -> None:
        mn_id, point = message.mn_id, message.point_of_attachment
        assert point is not None  # decode has checked
        running = record.handovers.get(mn_id)
        if running is not None and running.point_of_attachment == point:
            self.counters.add("duplicate.HIR")
            running.mn = source
            return  # HIC follows when the transfer ends
        confirm = record.confirms.get(mn_id)
        if confirm is not None and confirm.point_of_attachment == point and mn_id not in record.members:
            self.counters.add("duplicate.HIR")
            self._handover_initiation_confirm(record, confirm, source, message.profile)
            return
        member = record.members.get(mn_id)
        if member is None:
            self.counters.add("refused.handover-unknown-mn")  # [M-19]
            self._handover_initiation_confirm(record, Confirm(point, False, None), source, message.profile)
            return
        if running is not None:  # another point of attachment: the MN has changed its mind
            self._end_handover(record, mn_id, HandoverInput.MN_GONE)
        member.heard(now)
        member.endpoint = source
        self._begin_handover(record, message, point, source, now)

    def _begin_handover(
        self, record: SessionRecord, message: Message, point: bytes, source: Endpoint, now: float
    ) -> None:
        mn_id = message.mn_id
        machine = Machine(HANDOVER_TABLE, self, session_id=record.session_id, mn_id=mn_id.hex())
        machine.move(HandoverInput.HIR)
        serving = self._controllers.serving(point)
        full = len(self._channels) >= c.HANDOVERS_MAXIMUM
        if serving is None or full or record.group is None or serving.endpoint == self._own:
            # Unknown PoA: F=0. Same subnet: F=1 with this LMC's own address, and nothing else happens [7.5].
            same_subnet = serving is not None and serving.endpoint == self._own
            if not same_subnet:
                self.counters.add("refused.handover-unknown-poa" if serving is None else "refused.handover-full")
            machine.move(HandoverInput.CONFIRM)
            confirm = Confirm(point, same_subnet, self._own if same_subnet else None)
            self._handover_initiation_confirm(record, confirm, source, message.profile)
            return
        channel, self._next_channel = self._next_channel, self._next_channel + 1  # [M-16]
        handover = Handover(machine, mn_id, source, point, message.profile, serving.endpoint, channel)
        record.handovers[mn_id] = handover
        self._channels[channel] = (record, mn_id)
        machine.move(HandoverInput.HCT)
        self._transfer_context(record, handover, now)

    def _transfer_context(self, record: SessionRecord, handover: Handover, now: float) -> None:
        assert record.group is not None  # checked before the handover began
        handover.sends += 1
        self.send(
            PacketType.HCT,
            record.session_id,
            handover.new_lmc,
            (MNIdentifier(handover.mn_id), record.group),
            profile=self._profile,
            channel=handover.channel,
        )
        self.timers.set(("ctt", record.session_id, handover.mn_id), now + self._timers.ctt_s)

    def _context_transfer_time_expired(self, record: SessionRecord, mn_id: bytes, now: float) -> None:
        handover = record.handovers[mn_id]
        if handover.sends < c.CONTEXT_TRANSFER_SENDS:
            handover.machine.move(HandoverInput.CONTEXT_TRANSFER_TIME)
            self.counters.add("resent.HCT")
            self._transfer_context(record, handover, now)
            return
        self.counters.add("exhausted.HCT")
        self._finish_handover(record, handover, now, accepted=False)

    def _handover_transfer_acknowledgement(
        self, record: SessionRecord, message: Message, source: Endpoint, now: float, channel: int
    ) -> None:
        known = self._channels.get(channel)
        handover = None if known is None or known[0] is not record else record.handovers.get(known[1])
        if handover is None or source != handover.new_lmc:
            self.drop("unmatched-HTA", source, channel=channel)
            return
        self._finish_handover(record, handover, now, accepted=message.accepted)

    def _finish_handover(self, record: SessionRecord, handover: Handover, now: float, *, accepted: bool) -> None:
        """Confirm to the MN; when the context is over there, forget the MN."""
        mn_id = handover.mn_id
        self._end_handover(record, mn_id, HandoverInput.CONFIRM)
        confirm = Confirm(handover.point_of_attachment, accepted, handover.new_lmc if accepted else None)
        self._handover_initiation_confirm(record, confirm, handover.mn, handover.profile)
        if accepted:
            del record.members[mn_id]
            record.confirms[mn_id] = confirm
            self.timers.set(("confirm", record.session_id, mn_id), now + c.CONFIRM_MEMORY)
            self.act(Notify("mn-handed-over", {"session_id": record.session_id, "mn_id": mn_id.hex()}))

    def _handover_initiation_confirm(
        self, record: SessionRecord, confirm: Confirm, mn: Endpoint, profile: Profile
    ) -> None:
        parameters = () if confirm.lmc is None else (lmc_address(confirm.lmc),)
        self.send(PacketType.HIC, record.session_id, mn, parameters, accepted=confirm.accepted, profile=profile)

    def _end_handover(self, record: SessionRecord, mn_id: bytes, on: HandoverInput) -> None:
        handover = record.handovers.pop(mn_id)
        handover.machine.move(on)
        self.timers.cancel(("ctt", record.session_id, mn_id))
        del self._channels[handover.channel]
        self.act(CloseChannel(handover.channel))

    def _forget_confirm(self, record: SessionRecord, mn_id: bytes) -> None:
        if record.confirms.pop(mn_id, None) is not None:
            self.timers.cancel(("confirm", record.session_id, mn_id))
