"""One session of a mobile node that stays where it is: join, leave, status, renewal (clauses 7.2 to 7.4).

Theory of operation. SJR to the SM, LJR to the LMC that the SM assigns, then ESTABLISHED; only then does the MN join the
group with IGMP or MLD [7.1]. `agents.mmcp.node_handover` adds what happens when the MN moves.
"""

from __future__ import annotations

from agents.core.agent import Endpoint, GroupJoined, JoinGroup, LeaveGroup, Notify, RenewMembership
from agents.core.checks import is_source_specific
from agents.core.machine import Machine
from agents.mmcp import constants as c
from agents.mmcp.attachment import Attachment
from agents.mmcp.configuration import MobileNodeConfiguration, WantedSession, identifier
from agents.mmcp.constants import PacketType, Profile
from agents.mmcp.messages import (
    Message,
    MNIdentifier,
    MulticastAddress,
    Parameter,
    PoAIdentifier,
    data_channel_status,
)
from agents.mmcp.mobile_node_state import MOBILE_NODE_TABLE, Input, State
from agents.mmcp.role import Role

TIMERS = ("jwt", "hit", "srt", "promise", "linger", "group")


class NodeSession:
    """One session of an MN. Its timers are the role's: keys (what, this session)."""

    __slots__ = (
        "_asked_lmc", "_attachment", "_group", "_is_established_once", "_joined_at", "_joined_on", "_keys",
        "_machine", "_mn_id", "_packets_received", "_parent", "_profile", "_promised_lmc", "_renewals_unanswered",
        "_report_is_due", "_report_timer", "_reports_per_renewal", "_reports_until_renewal", "_resends_left", "_role",
        "_session_manager", "_source", "_times", "session_id",
    )  # fmt: skip

    def __init__(
        self, role: Role, configuration: MobileNodeConfiguration, wanted: WantedSession, attachment: Attachment
    ) -> None:
        self.session_id = wanted.session_id
        self._keys = {timer: (timer, self) for timer in TIMERS}
        self._report_timer = self._keys["srt"]  # set for every report
        self._role = role
        self._times = configuration.timers
        self._reports_per_renewal = self._times.reports_per_renewal
        self._profile = Profile[configuration.profile]
        self._mn_id = MNIdentifier(identifier(configuration.mn_id))
        self._session_manager = configuration.session_manager_endpoint
        self._source = wanted.source
        self._machine = Machine(MOBILE_NODE_TABLE, role, session_id=wanted.session_id)
        self._attachment = attachment  # the interface in use
        # The LMC (or SM) the MN reports to; the LMC that HIC named; the one that LJR was sent to.
        self._parent: Endpoint | None = None
        self._promised_lmc: Endpoint | None = None
        self._asked_lmc: Endpoint | None = None
        self._resends_left = 0
        self._group: MulticastAddress | None = None
        self._joined_on: list[
            Attachment
        ] = []  # where the MN is a member of the group: the interface in use is the last
        self._joined_at = 0.0
        self._report_is_due = False
        self._reports_until_renewal = 0
        self._renewals_unanswered = 0
        self._is_established_once = False
        self._packets_received: int | None = None

    @property
    def state(self) -> State:
        """The session's state [Annex B.3]."""
        return self._machine.state

    @property
    def group(self) -> str | None:
        """The group that SJC named."""
        return None if self._group is None else self._group.group

    def describe(self) -> dict[str, object]:
        """State, parent, interface and data, as plain values."""
        return {
            "state": self.state.value,
            "parent": None if self._parent is None else str(self._parent),
            "interface": self._attachment.name,
            "joined_on": [attachment.name for attachment in self._joined_on],
            "packets_received": self._packets_received,
        }

    # --- session join and local join [7.2] ------------------------------------------------------------------------

    def join(self, now: float) -> None:
        """Join the session (``mmcp_join``)."""
        self._joined_at = now
        self._is_established_once = False
        self._machine.move(Input.JOIN)
        self._request_session_join(now)

    def _request_session_join(self, now: float) -> None:
        self._parent = self._promised_lmc = self._asked_lmc = None
        self._resends_left = self._times.join_retries
        self._send_session_join_request(self._session_manager)
        self._set("jwt", now + self._times.jwt_s)

    def _send_session_join_request(self, session_manager: Endpoint) -> None:
        point = self._attachment.attached_to
        self._send(c.SJR, session_manager, () if point is None else (PoAIdentifier(point),))

    def session_join_confirm(self, message: Message, source: Endpoint, now: float) -> None:
        """SJC: go on to the LMC it names, or be established with the SM; F = 0 ends the session."""
        if source != self._session_manager:
            self._role.drop("unknown-peer", source, packet="SJC")
            return
        if self.state is not State.SJR_SENT:
            self._renewal_answered(message, source, now)
            return
        if not message.accepted:
            self._machine.move(Input.SJC_REFUSED)
            self._close("join-refused", by="sm")
            return
        if message.multicast != self._group:  # the SM may have begun again with another
            for attachment in list(self._joined_on):
                self._leave_group_on(attachment)
            self._group = message.multicast
        if self._source is None and is_source_specific(self._group.group):
            self._machine.move(Input.JOIN_FAILED)
            self._close("join-failed", reason=f"{self._group.group} is an SSM group and no source is provisioned [M-6]")
        elif message.lmc is None:
            self._cancel("jwt")
            self._machine.move(Input.SJC_DIRECT)
            self._established(self._session_manager, now)
        else:
            self._machine.move(Input.SJC_WITH_LMC)
            self._request_local_join(message.lmc, now)

    def _request_local_join(self, lmc: Endpoint, now: float) -> None:
        self._asked_lmc = lmc
        self._resends_left = self._times.join_retries
        self._send(c.LJR, lmc)
        self._set("jwt", now + self._times.jwt_s)

    def local_join_confirm(self, message: Message, source: Endpoint, now: float) -> None:
        """LJC: established, or refused."""
        if self.state is not State.LJR_SENT:
            self._renewal_answered(message, source, now)
            return
        if source != self._asked_lmc:
            self._role.drop("unknown-peer", source, packet="LJC")
            return
        if message.accepted:
            self._cancel("jwt")
            self._machine.move(Input.LJC_ACCEPTED)
            self._established(source, now)
        elif self._promised_lmc is not None:
            self._fall_back("LJC with F = 0", now)
        elif self._is_established_once:  # the SM assigned this LMC: ask it again when JWT has passed [M-27]
            self._role.counters.add("refused.local-join")
            self._resends_left = 0
            self._machine.move(Input.LJC_REFUSED_FOR_NOW)
        else:
            self._machine.move(Input.LJC_REFUSED)
            self._close("join-refused", by="lmc")

    def _established(self, parent: Endpoint, now: float) -> None:
        self._parent = parent
        self._promised_lmc = self._asked_lmc = None
        self._notify("established", parent=str(parent))
        if not self._joined_on:
            self._join_group_on(self._attachment)
        self._is_established_once = True
        self._renewals_unanswered = 0
        self._reports_until_renewal = self._reports_per_renewal
        if self._report_timer not in self._role.timers:
            self._set("srt", now + self._times.srt_s)
        self._report_if_due(now)

    def join_waiting_time_expired(self, now: float) -> None:
        """JWT: resend as often as is provisioned [M-7], then the join has failed, or is tried anew [M-22, M-27]."""
        if self._resends_left > 0:
            self._resends_left -= 1
            if self.state is State.LJR_SENT:
                assert self._asked_lmc is not None
                self._role.counters.add("resent.LJR")
                self._send(c.LJR, self._asked_lmc)
            else:
                self._role.counters.add("resent.SJR")
                self._send_session_join_request(self._session_manager)
            self._set("jwt", now + self._times.jwt_s)
        elif self._is_established_once:  # it has lost its parent, not its right to be there
            self._fall_back("not accepted within JWT", now)
        else:
            awaited = "SJC" if self.state is State.SJR_SENT else "LJC"
            self._machine.move(Input.JOIN_FAILED)
            self._close("join-failed", awaited=awaited)

    def _fall_back(self, reason: str, now: float) -> None:
        """Join the session again from where the MN is [M-14]; the group is kept."""
        self._role.counters.add("fallback")
        self._cancel("jwt")
        self._machine.move(Input.FALL_BACK)
        self._notify("fallback", reason=reason)
        self._request_session_join(now)

    def _close(self, event: str, **details: object) -> None:
        """Not (or no longer) a member: tell the application, leave the group, stop the session's timers.

        The wait for an address goes on: the link is there, and the next session will need one.
        """
        for timer in TIMERS:
            self._cancel(timer)
        self._parent = self._promised_lmc = self._asked_lmc = None
        self._report_is_due = False
        for attachment in list(self._joined_on):
            self._leave_group_on(attachment)
        self._notify(event, **details)

    def _renew(self, parent: Endpoint, now: float) -> None:
        """Tell the parent again that this MN is here, in case it has lost its memory; give up one that is gone [M-25]."""
        self._reports_until_renewal = self._reports_per_renewal
        if self._renewals_unanswered >= c.UNANSWERED_RENEWALS:
            self._fall_back("the parent answers no more", now)
            return
        self._renewals_unanswered += 1
        if parent == self._session_manager:
            self._send_session_join_request(parent)
        else:
            self._send(c.LJR, parent)

    def _renewal_answered(self, message: Message, source: Endpoint, now: float) -> None:
        if source != self._parent or not self._renewals_unanswered:
            self._role.counters.add(f"duplicate.{message.packet.name}")
            return
        self._renewals_unanswered = 0
        if self.state is not State.ESTABLISHED:
            return
        if not message.accepted:
            self._fall_back(f"renewal refused with {message.packet.name}", now)
        elif message.packet is c.SJC and message.lmc is not None:
            # There is an LMC for this place by now.
            self._fall_back("an LMC has come", now)
        elif message.packet is c.SJC and message.multicast != self._group:
            self._fall_back("the session has another group", now)

    # --- leave and status [7.3, 7.4] ------------------------------------------------------------------------------

    def leave(self) -> None:
        """Leave with notice; ULC is not waited for [7.3]."""
        if self.state is State.CLOSED:
            return
        # After HIC the new LMC waits for this MN and the old one has forgotten it; LJC may have been lost.
        has_it = self._promised_lmc or self._asked_lmc or self._parent
        if has_it is not None:
            self._send(c.ULR, has_it)
        self._machine.move(Input.LEAVE)
        self._close("left")

    def user_status_probe(self, message: Message, source: Endpoint, now: float) -> None:
        """Answer the parent at once with a USR; a stranger's probe is dropped. Only a parameter shows a profile [M-2]."""
        if self._parent is None or source != self._parent:
            self._role.drop("unknown-peer", source, packet="USP")
            return
        self._report(self._parent, now, message.profile if message.parameters else self._profile)

    def data_received(self, packets: int) -> None:
        """The receiver of the data has counted so many packets."""
        self._packets_received = packets

    def status_report_time(self, now: float) -> None:
        """SRT: a report is due."""
        self._role.timers.set(self._report_timer, now + self._times.srt_s)
        self._reports_until_renewal -= 1
        parent = self._parent
        if parent is None or not self._is_reachable():
            self._report_is_due = True  # for `_report_if_due`; a renewal goes with a later report
            return
        self._report_is_due = False
        self._report(parent, now, self._profile)
        if self._reports_until_renewal <= 0 and self.state is State.ESTABLISHED:
            self._renew(parent, now)

    def _is_reachable(self) -> bool:
        """Whether the MN is on its parent's link and not on its way to another; the same subnet's promise is none."""
        return self._attachment.is_usable and (self._promised_lmc is None or self._promised_lmc == self._parent)

    def _report_if_due(self, now: float) -> None:
        if self._report_is_due and self._parent is not None and self._is_reachable():  # [M-21]
            self._report_is_due = False
            self._report(self._parent, now, self._profile)

    def _report(self, parent: Endpoint, now: float, profile: Profile) -> None:
        received = self._packets_received
        status = () if received is None else (data_channel_status(received, now - self._joined_at),)
        self._role.send(c.USR, self.session_id, parent, (self._mn_id, *status), profile=profile)

    # --- the group, messages and timers ---------------------------------------------------------------------------

    def _join_group_on(self, attachment: Attachment, *, expects_report: bool = True) -> None:
        """Be a member on this interface: join, or show a membership that is there already."""
        assert self._group is not None  # SJC brought it
        if attachment in self._joined_on:
            self._renew_membership_on(attachment)
            self._joined_on.remove(attachment)
        else:
            group = self._group
            self._role.act(
                JoinGroup(group.group, attachment.name, self._source, group.port, expects_report, renews_itself=True)
            )
        self._joined_on.append(attachment)

    def group_not_joined(self, event: GroupJoined, now: float) -> None:
        """The driver could not join: tell the application that there is no data, and try again after JWT."""
        for attachment in [each for each in self._joined_on if each.name == event.interface]:
            if event.group == self.group:
                self._joined_on.remove(attachment)
                self._notify("group-join-failed", group=event.group, interface=event.interface, reason=event.reason)
                self._set("group", now + self._times.jwt_s)

    def group_join_time(self, now: float) -> None:
        """Join again where the driver could not, unless the MN has joined elsewhere; not before it is a member [7.1]."""
        if self._attachment in self._joined_on:
            return
        if self.state in (State.ESTABLISHED, State.HIR_SENT):
            self._join_group_on(self._attachment)
        else:
            self._set("group", now + self._times.jwt_s)

    def _renew_membership_on(self, attachment: Attachment) -> None:
        if attachment in self._joined_on and self._group is not None:
            self._role.act(RenewMembership(self._group.group, attachment.name, self._source, at_once=True))

    def _leave_group_on(self, attachment: Attachment) -> None:
        if attachment in self._joined_on and self._group is not None:
            self._joined_on.remove(attachment)
            self._role.act(LeaveGroup(self._group.group, attachment.name, self._source))

    def _send(
        self, packet: PacketType, to: Endpoint, more: tuple[Parameter, ...] = (), profile: Profile | None = None
    ) -> None:
        """Send one message about this MN, in the configured profile unless it is a reply [M-2]."""
        self._role.send(packet, self.session_id, to, (self._mn_id, *more), profile=profile or self._profile)

    def _notify(self, event: str, **details: object) -> None:
        """Tell the application what has happened to this session."""
        self._role.act(Notify(event, {"session_id": self.session_id, **details}))

    def _set(self, timer: str, deadline: float) -> None:
        self._role.timers.set(self._keys[timer], deadline)

    def _cancel(self, timer: str) -> None:
        self._role.timers.cancel(self._keys[timer])
