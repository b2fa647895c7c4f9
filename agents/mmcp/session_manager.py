"""The session manager (SM): admits MNs and LMCs to sessions, assigns LMCs and gathers status reports (clauses 7.2 to 7.5).

Theory of operation. A session is ESTABLISHED from ``start`` on (``mmcp_create``). Each SJR takes it through SJR-RCVD,
where the SM decides, and back (Annex B.1): the answer is immediate where the operator's provisioning says it all. An SJR
whose MN ID is the name of a provisioned LMC and which holds an LMC Address is that LMC announcing itself [M-11]. An MN is
assigned the LMC that serves its point of attachment if that LMC has announced itself for the session [M-18], else none.
Where the operator's AAA is asked the session stays SJR-RCVD until the last question is answered [M-30].
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import cast

from agents.core.agent import AskOperator, Endpoint, Event, Notify, OperatorAnswered
from agents.core.timers import TimerKey
from agents.mmcp import constants as c
from agents.mmcp.configuration import ControllerTable, ProvisionedController, SessionManagerConfiguration
from agents.mmcp.constants import (
    AUTHORISATION_TIME,
    AUTHORISATIONS_MAXIMUM,
    MEMBERS_MAXIMUM,
    Profile,
)
from agents.mmcp.events import ApplicationLeave
from agents.mmcp.messages import (
    Message,
    encode,
    lmc_address,
    multicast_address,
)
from agents.mmcp.monitoring import Watch
from agents.mmcp.reports import report_in, reports_in
from agents.mmcp.role import FLAG, Role
from agents.mmcp.session_state import AnnouncedController, Member, SessionInput, SessionRecord, SessionState, Waiting


class SessionManager(Role):
    """One SM, for any number of sessions."""

    RECEIVES = frozenset({c.SJR, c.ULR, c.USR, c.ASR, c.HIR})
    LISTS = ("members", "lmcs")

    def __init__(self, configuration: SessionManagerConfiguration) -> None:
        super().__init__()
        configuration.check()
        self._timers = configuration.timers
        self._profile = Profile[configuration.profile]
        self._controllers = ControllerTable(configuration.controllers)
        self._sessions = {
            session.session_id: SessionRecord(session, self, configuration.timers.probe_time)
            for session in configuration.sessions
        }

    def start(self, now: float) -> None:
        """Create every provisioned session (``mmcp_create``)."""
        for record in self._sessions.values():
            record.machine.move(SessionInput.CREATE)

    def message_received(self, message: Message, source: Endpoint, now: float, port: Hashable) -> None:
        """Take one message; an unknown session is dropped and counted."""
        record = self._sessions.get(message.session_id)
        if record is None or record.machine.state is SessionState.CLOSED:
            self.drop("unknown-session", source, packet=message.packet.name, session_id=message.session_id)
            return
        match message.packet:  # the frequent ones first
            case c.SJR:
                self._session_join_request(record, message, source, now)
            case c.ULR:
                self._user_leave_request(record, message, source)
            case c.USR:
                self._user_status_report(record, message, source, now)
            case c.ASR:
                self._aggregation_status_report(record, message, source, now)
            case c.HIR:
                self._handover_initiation_request(record, message, source)

    def handle(self, event: Event, now: float) -> None:
        """The AAA has answered, or the application ends a session; the SM has no interest in links and groups."""
        match event:
            case OperatorAnswered():
                self._authorised(event, now)
            case ApplicationLeave():
                for record in self._sessions.values():
                    if event.session_id in (None, record.provisioned.session_id):
                        self._terminate(record)
            case _:
                self.counters.add(f"ignored.{type(event).__name__}")

    def _terminate(self, record: SessionRecord) -> None:
        session_id = record.provisioned.session_id
        self.timers.cancel(("mn", session_id))
        self.timers.cancel(("lmc", session_id))
        for mn_id in record.waiting:
            self.timers.cancel(("authorisation", session_id, mn_id))
        record.members.clear()
        record.members_of.clear()
        record.controllers.clear()
        record.waiting.clear()
        if record.machine.allows(SessionInput.TERMINATE):
            record.machine.move(SessionInput.TERMINATE)

    def timer_expired(self, key: TimerKey, now: float) -> None:
        """SPT of an LMC or of an MN, or the AAA has not answered: keys are (what, session id[, MN ID])."""
        record = self._sessions[key[1]]
        match key[0]:
            case "mn":
                self._look_at_members(record, now)
            case "lmc":
                self._look_at_controllers(record, now)
            case "authorisation":
                self.counters.add("expired.authorisation")
                self._authorised(
                    OperatorAnswered((key[1], key[2]), granted=False, reason="the AAA has not answered"), now
                )

    def describe(self) -> Mapping[str, object]:
        """Sessions with the numbers of their members and LMCs."""
        return {
            "role": "sm",
            "sessions": {
                str(session_id): {
                    "state": record.machine.state.value,
                    "members": len(record.members),
                    "lmcs": len(record.controllers),
                }
                for session_id, record in self._sessions.items()
            },
        }

    def rows(self, of: str) -> Iterator[Mapping[str, object]]:
        """The members, or the LMCs, of all sessions."""
        for session_id, record in self._sessions.items():
            if of == "members":
                for mn_id, member in record.members.items():
                    where = {"endpoint": str(member.endpoint), "lmc": member.lmc.hex() or None}
                    yield {"session_id": session_id, "mn_id": mn_id.hex(), **where}
            elif of == "lmcs":
                for name, row in record.controllers.items():
                    said = {"endpoint": str(row.endpoint), "members": row.members}
                    yield {"session_id": session_id, "lmc": name.hex(), **said}
            else:
                raise KeyError(of)

    # --- session join [7.2] ---------------------------------------------------------------------------------------

    def _session_join_request(self, record: SessionRecord, message: Message, source: Endpoint, now: float) -> None:
        record.machine.move(SessionInput.SJR)
        mn_id = message.mn_id
        controller = self._controllers.named(mn_id)
        if controller is not None and message.lmc is not None:  # [M-11]
            self._admit_controller(record, message, controller, source, now)
        elif mn_id in record.members:
            self._admit_member(record, message, mn_id, source, now)
        else:
            self._decide_on_stranger(record, message, mn_id, source, now)

    def _admit_controller(
        self, record: SessionRecord, message: Message, controller: ProvisionedController, source: Endpoint, now: float
    ) -> None:
        if controller.endpoint != message.lmc:
            self.counters.add("refused.lmc-address")
            self._session_join_confirm(record, message, source, accepted=False)
            return
        known = record.controllers.get(controller.name)
        if known is None:
            record.controllers[controller.name] = AnnouncedController(now, endpoint=controller.endpoint)
            if len(record.controllers) == 1:
                self.timers.set(("lmc", message.session_id), now + self._timers.probe_time)
            self.act(Notify("lmc-joined", {"session_id": message.session_id, "lmc": controller.name.hex()}))
        else:  # a renewal, or an LMC that has lost its memory [M-25]
            known.heard(now)
        self._session_join_confirm(record, message, source, accepted=True)

    def _decide_on_stranger(
        self, record: SessionRecord, message: Message, mn_id: bytes, source: Endpoint, now: float
    ) -> None:
        refusal = self._refusal(record, mn_id)
        if refusal is not None:
            self.counters.add(f"refused.{refusal}")
            self._session_join_confirm(record, message, source, accepted=False)
        elif record.provisioned.ask_authorisation:
            self._ask(record, mn_id, Waiting(message, source, b""), now)
        else:
            self._admit_member(record, message, mn_id, source, now)

    def _refusal(self, record: SessionRecord, mn_id: bytes) -> str | None:
        """Why provisioning or a bound keeps this new MN out, as the end of a counter's name, or None."""
        if record.allowed is not None and mn_id not in record.allowed:
            return "mn-not-allowed"
        if len(record.members) >= MEMBERS_MAXIMUM:
            return "session-full"
        return "authorisation-busy" if len(record.waiting) >= AUTHORISATIONS_MAXIMUM else None

    def _ask(self, record: SessionRecord, mn_id: bytes, waiting: Waiting, now: float) -> None:
        """Ask the AAA, once; a later SJR of the same MN is the one that is answered [M-30]."""
        is_asked = mn_id in record.waiting
        if not is_asked or waiting.request is not None:
            record.waiting[mn_id] = waiting
        if is_asked:
            self.counters.add("duplicate.authorisation")
            return
        session_id = record.provisioned.session_id
        self.timers.set(("authorisation", session_id, mn_id), now + AUTHORISATION_TIME)
        self.act(AskOperator((session_id, mn_id), (str(session_id), mn_id.hex()), AUTHORISATION_TIME))

    def _authorised(self, event: OperatorAnswered, now: float) -> None:
        """Go on with the SJR or the report that waited; a late answer is counted."""
        session_id, mn_id = cast("tuple[int, bytes]", event.key)
        record = self._sessions.get(session_id)
        waiting = None if record is None else record.waiting.pop(mn_id, None)
        if record is None or waiting is None:
            self.counters.add("late.authorisation")
            return
        self.timers.cancel(("authorisation", session_id, mn_id))
        self.counters.add("authorised.mn" if event.granted else "refused.not-authorised")
        if not event.granted:
            self.act(Notify("mn-refused", {"session_id": session_id, "mn_id": mn_id.hex(), "reason": event.reason}))
        if waiting.request is not None and waiting.source is not None:
            if event.granted:
                self._admit_member(record, waiting.request, mn_id, waiting.source, now)
            else:
                self._session_join_confirm(record, waiting.request, waiting.source, accepted=False)
        elif event.granted and waiting.lmc in record.controllers:
            self._remember_reported(record, mn_id, waiting.lmc, now)

    def _admit_member(
        self, record: SessionRecord, message: Message, mn_id: bytes, source: Endpoint, now: float
    ) -> None:
        """Assign an LMC; the application is told of an MN that is new, or has another LMC than before."""
        known = record.members.get(mn_id)
        serving = self._controllers.serving(message.point_of_attachment)
        announced = None if serving is None else record.controllers.get(serving.name)  # [M-18]
        assigned = b"" if serving is None or announced is None else serving.name
        if known is None or known.lmc != assigned:
            details = {"session_id": message.session_id, "mn_id": mn_id.hex(), "lmc": assigned.hex()}
            self.act(Notify("mn-joined", details))
        if known is None:
            self._remember(record, mn_id, Member(now, endpoint=source, lmc=assigned, profile=message.profile))
        else:
            known.heard(now)
            known.endpoint, known.profile, known.status = source, message.profile, None
            if known.lmc != assigned:
                record.place(mn_id, known, assigned)
        self._session_join_confirm(
            record, message, source, accepted=True, lmc=None if announced is None else announced.endpoint
        )

    def _session_join_confirm(
        self, record: SessionRecord, request: Message, source: Endpoint, *, accepted: bool, lmc: Endpoint | None = None
    ) -> None:
        """SJC: with F=1 the group and, where one is assigned, the LMC; with F=0 nothing [M-4]."""
        what = (accepted, lmc, request.profile)
        confirm = record.confirms.get(what)
        if confirm is None:
            session = record.provisioned
            group = (multicast_address(session.group, session.port),) if accepted else ()
            assigned = () if lmc is None else (lmc_address(lmc),)
            confirm = encode(Message(c.SJC, session.session_id, (*group, *assigned), accepted, request.profile))
            record.confirms[what] = confirm
        self.send_encoded(c.SJC, confirm, source, details=FLAG[accepted])
        others_wait = record.waiting and record.has_waiting_requests
        record.machine.move(SessionInput.SJC_OTHERS_WAIT if others_wait else SessionInput.SJC)

    # --- leave and status [7.3, 7.4] ------------------------------------------------------------------------------

    def _user_leave_request(self, record: SessionRecord, message: Message, source: Endpoint) -> None:
        """ULC is always answered; a leave of somebody unknown is confirmed too, he is not here.

        An LMC that leaves is assigned to nobody any more [M-11]; what becomes of its MNs, they say themselves.
        """
        mn_id = message.mn_id
        controller = self._controllers.at(source)
        if controller is not None and controller.name == mn_id:
            if record.controllers.pop(mn_id, None) is None:
                self.counters.add("leave.unknown-lmc")
            else:
                self.act(Notify("lmc-left", {"session_id": message.session_id, "lmc": mn_id.hex()}))
        elif record.forget(mn_id) is None:
            self.counters.add("leave.unknown-mn")
        else:
            self.act(Notify("mn-left", {"session_id": message.session_id, "mn_id": mn_id.hex()}))
        self.send(c.ULC, message.session_id, source, accepted=True, profile=message.profile)

    def _user_status_report(self, record: SessionRecord, message: Message, source: Endpoint, now: float) -> None:
        mn_id, status = report_in(message)
        member = record.members.get(mn_id)
        if member is None:
            self.drop("unknown-mn", source, packet="USR")
            return
        member.heard(now)
        # The MN itself says who its parent is, by reporting here.
        member.endpoint, member.profile, member.status = source, message.profile, status
        if member.lmc:
            record.place(mn_id, member, b"")

    def _aggregation_status_report(self, record: SessionRecord, message: Message, source: Endpoint, now: float) -> None:
        sender = self._controllers.at(source)
        controller = None if sender is None else record.controllers.get(sender.name)
        if sender is None or controller is None:
            self.drop("unknown-lmc", source, packet="ASR")
            return
        controller.heard(now)
        if message.members != controller.members or now - controller.round_heard > self._timers.srt_s / 2:
            controller.round_began, controller.round_named = now, 0
        controller.members, controller.round_heard = message.members, now
        known, name, began, named = record.members.get, sender.name, controller.round_began, 0
        for mn_id, status in reports_in(message):
            member = known(mn_id) or self._adopt(record, mn_id, name, now)
            if member is None:
                continue
            if member.last_heard < began:
                named += 1
            # What heard() does, without the call: every LMC reports all of its MNs.
            member.last_heard, member.probes = now, 0
            if member.lmc != name:
                record.place(mn_id, member, name)
            if status is not None:
                member.status = status
        controller.round_named += named
        # Once for each round that comes in time, since all of the LMC's members are gone through.
        is_due = now - controller.compared >= self._timers.srt_s / 2
        if is_due and controller.round_named >= message.members < len(record.members_of.get(name, ())):
            controller.compared = now
            self._forget_unreported(record, name, now)

    def _forget_unreported(self, record: SessionRecord, lmc: bytes, now: float) -> None:
        """Forget members of an LMC that it has no more: it has just named all that it counts [M-26].

        One that went to another LMC is still to be reported by that, which can take ``hold`` and SPT.
        """
        latest = now - self._timers.hold_time - self._timers.probe_time
        for mn_id in [mn_id for mn_id in record.members_of[lmc] if record.members[mn_id].last_heard < latest]:
            record.forget(mn_id)
            self._unreported(record, mn_id)

    def _unreported(self, record: SessionRecord, mn_id: bytes) -> None:
        """Whether it has left, or failed, only its LMC knows."""
        self.counters.add("unreported.mn")
        self.act(Notify("mn-unreported", {"session_id": record.provisioned.session_id, "mn_id": mn_id.hex()}))

    def _adopt(self, record: SessionRecord, mn_id: bytes, lmc: bytes, now: float) -> Member | None:
        """Take an MN that an announced LMC reports: an SM that has lost its memory has it back so [M-26]."""
        if self._refusal(record, mn_id) is not None:
            self.counters.add("report.refused-mn")
            return None
        if record.provisioned.ask_authorisation:
            self._ask(record, mn_id, Waiting(None, None, lmc), now)
            return None
        return self._remember_reported(record, mn_id, lmc, now)

    def _remember_reported(self, record: SessionRecord, mn_id: bytes, lmc: bytes, now: float) -> Member:
        self.counters.add("report.adopted-mn")
        return self._remember(record, mn_id, Member(now, endpoint=None, lmc=lmc))

    def _remember(self, record: SessionRecord, mn_id: bytes, member: Member) -> Member:
        record.members[mn_id] = member
        record.place(mn_id, member, member.lmc)
        if len(record.members) == 1:
            look = member.deadline(self._timers.probe_time)
            self.timers.set(("mn", record.provisioned.session_id), look)
        return member

    def _look_at_members(self, record: SessionRecord, now: float) -> None:
        """Probe direct MNs that are silent. One of an LMC is that LMC's to probe; unreported for as long, it is gone."""
        session_id = record.provisioned.session_id
        for mn_id, member, what in record.members.look(now):
            if what is Watch.FAILED and member.lmc:
                record.place(mn_id, member, b"")  # among its LMC's no more
                self._unreported(record, mn_id)
            elif what is Watch.FAILED:
                self.counters.add("failed.mn")
                self.act(Notify("mn-failed", {"session_id": session_id, "mn_id": mn_id.hex()}))
            elif member.lmc == b"" and member.endpoint is not None:
                self.send(c.USP, session_id, member.endpoint, profile=member.profile)
        if record.members:
            self.timers.set(("mn", session_id), record.members.next_look)

    def _look_at_controllers(self, record: SessionRecord, now: float) -> None:
        """Probe LMCs that are silent; one that answers no probe is assigned to nobody any more [7.4, M-13]."""
        session_id = record.provisioned.session_id
        for name, controller, what in record.controllers.look(now):
            if what is Watch.FAILED:
                self.counters.add("failed.lmc")
                self.act(Notify("lmc-failed", {"session_id": session_id, "lmc": name.hex()}))
            else:
                self.send(c.USP, session_id, controller.endpoint, profile=self._profile)
        if record.controllers:
            self.timers.set(("lmc", session_id), record.controllers.next_look)

    # --- handover without an LMC [M-15] ---------------------------------------------------------------------------

    def _handover_initiation_request(self, record: SessionRecord, message: Message, source: Endpoint) -> None:
        """Answer with the LMC that serves the new point of attachment, or F=0 [M-15]; a stranger is told F=0 [M-19]."""
        serving = self._controllers.serving(message.point_of_attachment)
        announced = None if serving is None else record.controllers.get(serving.name)
        member = record.members.get(message.mn_id)
        if member is None or serving is None or announced is None:
            self.counters.add("refused.handover")
            self.send(c.HIC, message.session_id, source, profile=message.profile)
            return
        record.place(message.mn_id, member, serving.name)
        self.send(
            c.HIC,
            message.session_id,
            source,
            (lmc_address(announced.endpoint),),
            accepted=True,
            profile=message.profile,
        )
