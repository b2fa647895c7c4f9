"""The MNs that an LMC hands over to other LMCs: HIR, the transfer of the context, and HIC (7.5).

The old LMC looks up which LMC serves the new point of attachment, hands the context over with HCT (resent every CTT, from a
port of its own so that its HTA is told apart [M-16]) and confirms to the MN with HIC, after which it forgets the MN but
remembers the confirm, since a resent HIR gets the same answer [M-23].
"""

from __future__ import annotations

from collections.abc import Hashable

from agents.core.agent import ClosePort, Endpoint, Notify
from agents.core.machine import Machine
from agents.mmcp import constants as c
from agents.mmcp.configuration import ControllerTable, LocalMobilityControllerConfiguration
from agents.mmcp.constants import Profile
from agents.mmcp.controller_state import HANDOVER_TABLE, Confirm, Handover, HandoverInput, SessionRecord
from agents.mmcp.messages import Message, MNIdentifier, lmc_address
from agents.mmcp.role import Role


class DepartingNodes:
    """What an LMC does for MNs that go elsewhere. Its timers and actions are the role's: keys (what, session, MN ID)."""

    def __init__(
        self, role: Role, configuration: LocalMobilityControllerConfiguration, controllers: ControllerTable
    ) -> None:
        self._role = role
        self._timers = configuration.timers
        self._profile = Profile[configuration.profile]
        self._own = configuration.own.endpoint
        self._controllers = controllers
        self._transfers: dict[Hashable, tuple[SessionRecord, bytes]] = {}  # by the name of its port
        self._transfer_number = 0
        # All sends of a HIR, and one more [M-23].
        self._confirm_memory = max(c.CONFIRM_MEMORY, (c.HANDOVER_INITIATION_SENDS + 1) * self._timers.hit_s)

    def requested(self, record: SessionRecord, message: Message, source: Endpoint, now: float) -> None:
        """HIR: begin the handover, or answer it at once; a duplicate gets the same answer and has no second effect."""
        mn_id, point = message.mn_id, message.point_of_attachment
        assert point is not None  # decode has checked
        running = record.handovers.get(mn_id)
        if running is not None and running.point_of_attachment == point:
            self._role.counters.add("duplicate.HIR")
            running.mn = source
            return  # HIC follows when the transfer ends
        confirm = record.confirms.get(mn_id)
        if confirm is not None and confirm.point_of_attachment == point and mn_id not in record.members:
            self._role.counters.add("duplicate.HIR")
            self._confirm(record, confirm, source, message.profile)
            return
        member = record.members.get(mn_id)
        if member is None:
            self._role.counters.add("refused.handover-unknown-mn")  # [M-19]
            self._confirm(record, Confirm(point, False, None), source, message.profile)
            return
        if member.group is not record.group:  # refused, it asks the SM at its new place for today's group [M-25]
            self._role.counters.add("refused.handover-old-group")
            self._confirm(record, Confirm(point, False, None), source, message.profile)
            return
        if running is not None:  # another point of attachment: the MN has changed its mind
            self.end(record, mn_id, HandoverInput.MN_GONE)
        member.heard(now)
        member.endpoint = source
        self._begin(record, message, point, source, now)

    def _begin(self, record: SessionRecord, message: Message, point: bytes, source: Endpoint, now: float) -> None:
        mn_id = message.mn_id
        machine = Machine(HANDOVER_TABLE, self._role, session_id=record.session_id, mn_id=mn_id.hex())
        machine.move(HandoverInput.HIR)
        serving = self._controllers.serving(point)
        full = len(self._transfers) >= c.HANDOVERS_MAXIMUM
        if serving is None or full or record.group is None or serving.endpoint == self._own:
            # Unknown PoA: F=0. Same subnet: F=1 with this LMC's own address, and nothing else happens [7.5].
            same_subnet = serving is not None and serving.endpoint == self._own
            if not same_subnet:
                self._role.counters.add("refused.handover-unknown-poa" if serving is None else "refused.handover-full")
            machine.move(HandoverInput.CONFIRM)
            confirm = Confirm(point, same_subnet, self._own if same_subnet else None)
            self._confirm(record, confirm, source, message.profile)
            return
        self._transfer_number += 1
        port = f"transfer-{self._transfer_number}"  # [M-16]
        handover = Handover(machine, mn_id, source, point, message.profile, serving.endpoint, port)
        record.handovers[mn_id] = handover
        self._transfers[port] = (record, mn_id)
        machine.move(HandoverInput.HCT)
        self._transfer_context(record, handover, now)

    def _transfer_context(self, record: SessionRecord, handover: Handover, now: float) -> None:
        assert record.group is not None  # checked before the handover began
        handover.sends += 1
        self._role.send(
            c.HCT,
            record.session_id,
            handover.new_lmc,
            (MNIdentifier(handover.mn_id), record.group),
            profile=self._profile,
            port=handover.port,
        )
        self._role.timers.set(("ctt", record.session_id, handover.mn_id), now + self._timers.ctt_s)

    def context_transfer_time_expired(self, record: SessionRecord, mn_id: bytes, now: float) -> None:
        """CTT: send HCT again, or give up [M-8]."""
        handover = record.handovers[mn_id]
        if handover.sends < c.CONTEXT_TRANSFER_SENDS:
            handover.machine.move(HandoverInput.CONTEXT_TRANSFER_TIME)
            self._role.counters.add("resent.HCT")
            self._transfer_context(record, handover, now)
            return
        self._role.counters.add("exhausted.HCT")
        self._finish(record, handover, now, accepted=False)

    def acknowledged(
        self, record: SessionRecord, message: Message, source: Endpoint, now: float, port: Hashable
    ) -> None:
        """HTA: the handover that is meant is the one whose port it came to [M-16]."""
        known = self._transfers.get(port)
        handover = None if known is None or known[0] is not record else record.handovers.get(known[1])
        if handover is None or source != handover.new_lmc:
            self._role.drop("unmatched-HTA", source, port=port)
            return
        self._finish(record, handover, now, accepted=message.accepted)

    def _finish(self, record: SessionRecord, handover: Handover, now: float, *, accepted: bool) -> None:
        """Confirm to the MN; when the context is over there, forget the MN."""
        mn_id = handover.mn_id
        self.end(record, mn_id, HandoverInput.CONFIRM)
        confirm = Confirm(handover.point_of_attachment, accepted, handover.new_lmc if accepted else None)
        self._confirm(record, confirm, handover.mn, handover.profile)
        if accepted:
            del record.members[mn_id]
            record.confirms[mn_id] = confirm
            self._role.timers.set(("confirm", record.session_id, mn_id), now + self._confirm_memory)
            self._role.act(Notify("mn-handed-over", {"session_id": record.session_id, "mn_id": mn_id.hex()}))

    def _confirm(self, record: SessionRecord, confirm: Confirm, mn: Endpoint, profile: Profile) -> None:
        parameters = () if confirm.lmc is None else (lmc_address(confirm.lmc),)
        self._role.send(c.HIC, record.session_id, mn, parameters, accepted=confirm.accepted, profile=profile)

    def end(self, record: SessionRecord, mn_id: bytes, on: HandoverInput) -> None:
        """End a handover without a word."""
        handover = record.handovers.pop(mn_id)
        handover.machine.move(on)
        self._role.timers.cancel(("ctt", record.session_id, mn_id))
        del self._transfers[handover.port]
        self._role.act(ClosePort(handover.port))

    def forget_confirm(self, record: SessionRecord, mn_id: bytes) -> None:
        """The MN is here again, or the session ends: another HIR is a new one."""
        if record.confirms.pop(mn_id, None) is not None:
            self._role.timers.cancel(("confirm", record.session_id, mn_id))
