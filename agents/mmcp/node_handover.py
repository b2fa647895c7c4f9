"""One session of a mobile node that moves: handover on one interface, or from one to another (clause 7.5).

Theory of operation. A link trigger names the next point of attachment: HIR to the parent, resent every HIT, until HIC says
which LMC serves the new subnet, which by then receives the group. Once the MN has a link and an address there it makes its
own membership visible and sends LJR to the new LMC, without a new SJR [M-14]. Where no HIC with F=1 has come when the link
goes, or LJC refuses, it falls back to SJR from the new point of attachment. It stays a member of the group throughout: what
it must not lose is the stream, and the kernel takes its data as it arrives.

Horizontal handover: the new point of attachment is in reach of the interface in use, whose link goes and comes again.
Vertical: it is in reach of another interface, on which the MN joins before it leaves the first; it stays a member on the
first for ``linger`` or until its link goes [M-29]. It moves when the other interface has its address and HIC has come or
cannot come any more. An interface that loses its link is replaced by any other that has one.

From HIC to LJC the MN belongs to nobody, so a status report that falls due in between is sent right after LJC [M-21].
"""

from __future__ import annotations

from collections.abc import Sequence

from agents.core.agent import Endpoint
from agents.mmcp import constants as c
from agents.mmcp.attachment import Attachment
from agents.mmcp.configuration import MobileNodeConfiguration, WantedSession
from agents.mmcp.messages import Message, PoAIdentifier
from agents.mmcp.mobile_node_state import Input, State
from agents.mmcp.node_session import NodeSession
from agents.mmcp.role import Role


class MovingSession(NodeSession):
    """One session of an MN with its handovers. ``attachments`` are the MN's interfaces, the preferred ones first."""

    __slots__ = ("_asked", "_attachments", "_doubt_until", "_is_between_places", "_left_lmc", "_target")

    def __init__(
        self,
        role: Role,
        configuration: MobileNodeConfiguration,
        wanted: WantedSession,
        attachments: Sequence[Attachment],
    ) -> None:
        super().__init__(role, configuration, wanted, next(each for each in attachments if each.link_is_up))
        self._attachments = attachments
        self._target: tuple[Attachment, bytes] | None = None  # where a link trigger says the MN goes
        self._asked: tuple[Endpoint, bytes, float] | None = None  # whom HIR went to last, about which place, when
        self._doubt_until = 0.0  # HIC names no place: until then one may be about another than was asked for last
        self._is_between_places = False  # on a new link of the interface in use, and not yet given its address there
        self._left_lmc: Endpoint | None = None  # one that was left without a handover, and can still be told

    # --- link trigger and HIR -------------------------------------------------------------------------------------

    def uses(self, attachment: Attachment) -> bool:
        """Whether the session speaks through this interface."""
        return attachment is self._attachment

    def link_detected(self, attachment: Attachment, point: bytes, now: float) -> None:
        """A link trigger: ask the parent to prepare the move."""
        if attachment is self._attachment and point == attachment.attached_to and attachment.link_is_up:
            self._role.counters.add("ignored.already-attached")
            return
        if self._target == (attachment, point) and (self._promised_lmc is not None or self.state is State.HIR_SENT):
            self._role.counters.add("duplicate.link-trigger")
            return
        if self._target is not None and self._target[0] in self._joined_on:
            self._set_linger(now)  # undoes an early join there
        self._target, self._promised_lmc = (attachment, point), None  # a promise for another point is void
        self._cancel("promise")
        parent = self._parent if self._attachment.is_usable else None
        if parent is None or not self._machine.allows(Input.LINK_TRIGGER):
            return  # too late or too early for a handover: the fall-back at the new place takes care
        self._machine.move(Input.LINK_TRIGGER)
        self._resends_left = c.HANDOVER_INITIATION_SENDS - 1
        self._send_handover_initiation_request(parent, point, now)

    def _send_handover_initiation_request(self, parent: Endpoint, point: bytes, now: float) -> None:
        if self._asked is not None:
            asked_parent, asked_point, asked_at = self._asked
            if asked_parent != parent:
                self._doubt_until = 0.0  # its HIC would be a stranger's now
            elif asked_point != point:
                self._doubt_until = asked_at + c.HANDOVER_INITIATION_SENDS * self._times.hit_s
        self._asked = (parent, point, now)
        self._send(c.HIR, parent, (PoAIdentifier(point),))
        self._set("hit", now + self._times.hit_s)

    def handover_initiation_time_expired(self, now: float) -> None:
        """HIT: resend HIR, three sends at most [M-8]."""
        if self._resends_left > 0 and self._parent is not None and self._target is not None:
            self._resends_left -= 1
            self._role.counters.add("resent.HIR")
            self._send_handover_initiation_request(self._parent, self._target[1], now)
            return
        self._role.counters.add("exhausted.HIR")
        self._not_prepared(Input.HANDOVER_INITIATION_FAILED, "no HIC")

    def handover_initiation_confirm(self, message: Message, source: Endpoint, now: float) -> None:
        """HIC: which LMC serves the new place, or F = 0."""
        if self.state is not State.HIR_SENT:
            self._role.counters.add("late.HIC")
            return
        if source != self._parent:
            self._role.drop("unknown-peer", source, packet="HIC")
            return
        self._cancel("hit")
        if not message.accepted:
            self._role.counters.add("refused.handover")
            self._not_prepared(Input.HIC, "HIC with F = 0")
            return
        if now < self._doubt_until:  # [M-8]
            self._role.counters.add("doubted.HIC")
            self._not_prepared(Input.HIC, "HIC may be about another place")
            return
        self._machine.move(Input.HIC)
        self._promised_lmc = message.lmc
        if message.lmc != self._parent:
            self._set("promise", now + self._times.hold_time)
        self._notify("handover-prepared", lmc=str(message.lmc))
        self._join_early()
        self._move_if_ready()

    def _not_prepared(self, on: Input, reason: str) -> None:
        self._machine.move(on)
        self._notify("handover-not-prepared", reason=reason)
        self._move_if_ready()

    def promise_expired(self, now: float) -> None:
        """The old LMC has forgotten this MN and the new one waits no longer, but the link never went [M-28]."""
        if self.state is State.ESTABLISHED and self._promised_lmc is not None and self._attachment.link_is_up:
            if self._target is not None:
                self._target[0].next_point = None
            self._target = None
            self._fall_back("the move did not happen", now)

    # --- links and places -----------------------------------------------------------------------------------------

    def link_down(self, attachment: Attachment) -> None:
        """The link of an interface has gone; where it was the one in use, another takes its place if there is one."""
        if attachment is not self._attachment:
            self._leave_group_on(attachment)
            self.take_route_back()
            return
        self._cancel("promise")
        if self.state is State.HIR_SENT:
            self._cancel("hit")
            self._role.counters.add("interrupted.HIR")
            self._not_prepared(Input.HANDOVER_INITIATION_FAILED, "link down before HIC")
        spare = next((each for each in self._attachments if each is not attachment and each.is_usable), None)
        if spare is not None:
            self._configure(spare)

    def take_route_back(self) -> None:
        """Speak through the interface in use again, where the default route is by one that has no link any more."""
        if self._attachment.is_usable and not any(each.has_route and each.link_is_up for each in self._attachments):
            self._configure(self._attachment)

    def link_came_first(self, attachment: Attachment, *, moved: bool) -> None:
        """An interface has a link and no address yet, at another place (``moved``) or where it lost the link before that came.

        The membership is shown at once: a cell that filters by reports (snooping) sends a node nothing before. Routers heed
        a report from an address of their subnet only; for them it is shown again when that is there [M-31].
        """
        self._renew_membership_on(attachment)
        if moved and attachment is self._attachment:
            self._is_between_places = True
        elif moved:
            self._join_early()

    def _join_early(self) -> None:
        """Be a member on the other interface as soon as it has its link: its LMC has the data there already [M-29].

        The membership is shown to the routers when the address is there.
        """
        if self._target is None or self._promised_lmc is None or not self._joined_on:
            return
        attachment, point = self._target
        at_target = attachment.link_is_up and attachment.attached_to == point
        if at_target and attachment is not self._attachment and attachment not in self._joined_on:
            self._join_group_on(attachment, expects_report=False)

    def link_came_back(self, attachment: Attachment, now: float) -> None:
        """An interface has its link again, where it was before and has its address."""
        if attachment is self._attachment:
            self._renew_membership_on(attachment)
            self.take_route_back()
            self._report_if_due(now)
        elif not self._attachment.is_usable:
            self._configure(attachment)
        else:
            self._move_if_ready()

    def arrived(self, attachment: Attachment, now: float) -> None:
        """Link and address are there."""
        if self.state is State.CLOSED:
            self._is_between_places = False
            if not self._attachment.is_usable:
                self._attachment = attachment
        elif attachment is self._attachment:
            if self._is_between_places:
                self._is_between_places = False
                self._renew_membership_on(attachment)
                self._arrived_at(attachment, now)
            else:
                if attachment.has_given_address:
                    self._renew_membership_on(attachment)  # its address was taken away with its link, and is back
                self._report_if_due(now)
        elif not self._attachment.is_usable or (self._is_target(attachment) and self.state is State.ESTABLISHED):
            self._move_to(attachment, now)

    def _is_target(self, attachment: Attachment) -> bool:
        return self._target is not None and self._target[0] is attachment

    def _move_if_ready(self) -> None:
        """Go on with a move to another interface that has its link and address already."""
        if self.state is not State.ESTABLISHED or self._target is None:
            return
        attachment, point = self._target
        if attachment is not self._attachment and attachment.is_usable and attachment.attached_to == point:
            self._configure(attachment)

    def _configure(self, attachment: Attachment) -> None:
        """Make the node speak through this interface from now on: its address, and the default route by it."""
        if attachment.place is not None:
            attachment.awaits_address = True
            self._role.act(attachment.address_wanted())

    def _move_to(self, attachment: Attachment, now: float) -> None:
        """Use another interface, joined before the one in use is left [M-29]."""
        before, self._attachment = self._attachment, attachment
        self._is_between_places = False
        if self._joined_on:
            self._join_group_on(attachment)
        if before.is_usable:
            if self._promised_lmc is None and self._parent not in (None, self._session_manager):
                self._left_lmc = self._parent
        else:
            self._leave_group_on(before)
            if not self._is_target(attachment):
                self._promised_lmc = None  # it was for another place
        self._arrived_at(attachment, now)

    def _arrived_at(self, attachment: Attachment, now: float) -> None:
        """Join the new LMC or, without one, the session again."""
        reason = "no HIC with F = 1 before the link went"
        if self._target is not None and self._target[0] is attachment:
            if self._target[1] != attachment.attached_to and self._promised_lmc is not None:
                self._promised_lmc, reason = None, "another place was prepared"  # [M-32]
            self._target = None
        lmc = self._promised_lmc
        if self.state is not State.ESTABLISHED or lmc is None:
            self._fall_back(reason, now)
        elif lmc == self._parent:  # same subnet: nothing to tell anybody
            self._promised_lmc = None
            self._set_linger(now)
            self._report_if_due(now)
        else:
            self._machine.move(Input.ARRIVED)
            self._request_local_join(lmc, now)  # without a new SJR [M-14]

    def _established(self, parent: Endpoint, now: float) -> None:
        super()._established(parent, now)
        left, self._left_lmc = self._left_lmc, None
        if left not in (None, parent):
            assert left is not None
            self._send(c.ULR, left)  # it was not asked for a handover, so it still counts this MN [M-29]
        self._set_linger(now)
        self._move_if_ready()

    def leave(self) -> None:
        """Leave with notice, to an LMC that was left without a handover too."""
        left, self._left_lmc = self._left_lmc, None
        if left is not None and self.state is not State.CLOSED:
            self._send(c.ULR, left)
        super().leave()

    def _set_linger(self, now: float) -> None:
        if len(self._joined_on) > 1:
            self._set("linger", now + self._times.linger_s)

    def linger_expired(self) -> None:
        """The interface in use receives the data: leave the group on all others [M-29]."""
        for attachment in [each for each in self._joined_on if each is not self._attachment]:
            self._leave_group_on(attachment)
