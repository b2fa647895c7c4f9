"""The mobile node (MN): joins a session, reports its status and takes its reception along when it moves (clause 7).

Theory of operation. SJR to the SM, LJR to the LMC that the SM assigns, then ESTABLISHED; only then does the MN join the
group with IGMP or MLD [7.1]. A link trigger names the next point of attachment: HIR to the parent, resent every HIT, until
HIC says which LMC serves the new subnet, which by then receives the group. After link up on the new link the MN is given
a new address, makes its own membership visible there and sends LJR to the new LMC, without a new SJR [M-14]. Where no
HIC with F=1 has come when the link goes, or LJC refuses, it falls back to SJR from the new point of attachment. It stays
a member of the group throughout: what it must not lose is the stream, and the kernel takes its data as it arrives.

From HIC to LJC the MN belongs to nobody, so a status report that falls due in between is sent right after LJC [M-21].
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from agents.core.agent import (
    AddressConfigured,
    ApplicationLeave,
    ConfigureAddress,
    DataChannelReport,
    Endpoint,
    Event,
    GroupJoined,
    JoinGroup,
    LeaveGroup,
    LinkDetected,
    LinkDown,
    LinkUp,
    Notify,
    RenewMembership,
)
from agents.mmcp import constants as c
from agents.mmcp.configuration import MobileNodeConfiguration, identifier
from agents.mmcp.constants import PacketType, Profile
from agents.mmcp.messages import Message, MNIdentifier, MulticastAddress, PoAIdentifier, data_channel_status
from agents.mmcp.mobile_node_state import MOBILE_NODE_TABLE, Input, State
from agents.mmcp.role import Machine, Role


class MobileNode(Role):
    """One MN in one session on one interface. Timer keys: ("jwt",), ("hit",), ("srt",), ("address",)."""

    RECEIVES = frozenset({PacketType.SJC, PacketType.LJC, PacketType.ULC, PacketType.USP, PacketType.HIC})

    def __init__(self, configuration: MobileNodeConfiguration) -> None:
        super().__init__()
        configuration.check()
        self._configuration = configuration
        self._timers = configuration.timers
        self._mn_id = MNIdentifier(identifier(configuration.mn_id))
        self._session_id = configuration.session_id
        self._session_manager = configuration.session_manager_endpoint
        self._machine = Machine(MOBILE_NODE_TABLE, self, session_id=configuration.session_id)
        self._attached_to = identifier(configuration.attached_to)
        self._next_point: bytes | None = None  # where a link trigger says the MN goes
        self._link_is_up = True
        self._awaits_address = False  # on a new link, and not yet given its address there
        # The LMC (or SM) the MN reports to; the LMC that HIC named; the one that LJR was sent to.
        self._parent: Endpoint | None = None
        self._promised_lmc: Endpoint | None = None
        self._asked_lmc: Endpoint | None = None
        self._resends_left = 0
        self._group: MulticastAddress | None = None
        self._group_joined = False
        self._joined_at = 0.0
        self._report_is_due = False
        self._renewals_unanswered = 0
        self._is_established_once = False
        self._packets_received: int | None = None

    @property
    def state(self) -> State:
        """The MN's state [Annex B.3]."""
        return self._machine.state

    def start(self, now: float) -> None:
        """Join the session (``mmcp_join``)."""
        self._joined_at = now
        self._machine.move(Input.JOIN)
        self._request_session_join(now)

    def message_received(self, message: Message, source: Endpoint, now: float, channel: int) -> None:
        """Take one message; another session's is dropped and counted."""
        if message.session_id != self._session_id:
            self.drop("unknown-session", source, packet=message.packet.name, session_id=message.session_id)
            return
        match message.packet:
            case PacketType.SJC:
                self._session_join_confirm(message, source, now)
            case PacketType.LJC:
                self._local_join_confirm(message, source, now)
            case PacketType.ULC:
                self.counters.add("confirmed.leave")
            case PacketType.USP:
                self._user_status_probe(message, source, now)
            case PacketType.HIC:
                self._handover_initiation_confirm(message, source, now)

    def handle(self, event: Event, now: float) -> None:
        """Take a link event, the outcome of an action, or the application's wish."""
        match event:
            case LinkDetected():
                self._link_detected(event, now)
            case LinkDown() if event.interface == self._configuration.interface:
                self._link_down(now)
            case LinkUp() if event.interface == self._configuration.interface:
                self._link_up(now)
            case AddressConfigured() if event.interface == self._configuration.interface:
                self._address_configured(event, now)
            case GroupJoined():
                self.counters.add("joined.group" if event.succeeded else "failed.join")
            case DataChannelReport():
                self._packets_received = event.packets_received
            case ApplicationLeave():
                self._leave()
            case _:
                self.counters.add(f"ignored.{type(event).__name__}")

    def timer_expired(self, key: Hashable, now: float) -> None:
        """JWT, HIT, SRT, the next renewal, the end of a promise or of the address delay."""
        match key:
            case "jwt":
                self._join_waiting_time_expired(now)
            case "hit":
                self._handover_initiation_time_expired(now)
            case "srt":
                self.timers.set("srt", now + self._timers.srt_s)
                self._report_is_due = True
                self._report_if_due(now)
            case "renew":
                self._renew(now)
            case "promise":
                # The old LMC has forgotten this MN and the new one waits no longer, but the link never went [M-28].
                if self.state is State.ESTABLISHED and self._promised_lmc is not None and self._link_is_up:
                    self._next_point = None
                    self._fall_back("the move did not happen", now)
            case "address":
                self._ask_for_address()

    def describe(self) -> Mapping[str, object]:
        """State, parent and points of attachment."""
        return {
            "role": "mn",
            "state": self.state.value,
            "parent": None if self._parent is None else str(self._parent),
            "attached_to": self._attached_to.hex(),
            "next_point_of_attachment": None if self._next_point is None else self._next_point.hex(),
            "link_is_up": self._link_is_up,
            "group_joined": self._group_joined,
            "packets_received": self._packets_received,
        }

    # --- session join and local join [7.2] ------------------------------------------------------------------------

    def _request_session_join(self, now: float) -> None:
        self._parent = self._promised_lmc = self._asked_lmc = None
        self._resends_left = self._timers.join_retries
        self._send_session_join_request(now)

    def _send_session_join_request(self, now: float) -> None:
        point = PoAIdentifier(self._attached_to)
        self.send(PacketType.SJR, self._session_id, self._session_manager, self._mn_id, point)
        self.timers.set("jwt", now + self._timers.jwt_s)

    def _session_join_confirm(self, message: Message, source: Endpoint, now: float) -> None:
        if source != self._session_manager:
            self.drop("unknown-peer", source, packet="SJC")
            return
        if self.state is not State.SJR_SENT:
            self._renewal_answered(message, source, now)
            return
        if not message.accepted:
            self._machine.move(Input.SJC_REFUSED)
            self._close("join-refused", by="sm")
            return
        self._group = message.multicast
        if message.lmc is None:
            self.timers.cancel("jwt")
            self._machine.move(Input.SJC_DIRECT)
            self._established(self._session_manager, now)
        else:
            self._machine.move(Input.SJC_WITH_LMC)
            self._request_local_join(message.lmc, now)

    def _request_local_join(self, lmc: Endpoint, now: float) -> None:
        self._asked_lmc = lmc
        self._resends_left = self._timers.join_retries
        self._send_local_join_request(lmc, now)

    def _send_local_join_request(self, lmc: Endpoint, now: float) -> None:
        self.send(PacketType.LJR, self._session_id, lmc, self._mn_id)
        self.timers.set("jwt", now + self._timers.jwt_s)

    def _local_join_confirm(self, message: Message, source: Endpoint, now: float) -> None:
        if self.state is not State.LJR_SENT:
            self._renewal_answered(message, source, now)
            return
        if source != self._asked_lmc:
            self.drop("unknown-peer", source, packet="LJC")
            return
        self.timers.cancel("jwt")
        if message.accepted:
            self._machine.move(Input.LJC_ACCEPTED)
            self._established(source, now)
        elif self._promised_lmc is not None:
            self._fall_back("LJC with F = 0", now)
        else:
            self._machine.move(Input.LJC_REFUSED)
            self._close("join-refused", by="lmc")

    def _established(self, parent: Endpoint, now: float) -> None:
        self._parent = parent
        self._promised_lmc = self._asked_lmc = None
        self.act(Notify("established", {"session_id": self._session_id, "parent": str(parent)}))
        if not self._group_joined:
            assert self._group is not None  # SJC brought it
            self._group_joined = True
            configuration = self._configuration
            self.act(JoinGroup(self._group.group, configuration.interface, configuration.source, self._group.port))
        self._is_established_once = True
        self._renewals_unanswered = 0
        self.timers.set("renew", now + self._timers.probe_time)
        if "srt" not in self.timers:
            self.timers.set("srt", now + self._timers.srt_s)
        self._report_if_due(now)

    def _join_waiting_time_expired(self, now: float) -> None:
        if self._resends_left > 0:  # [M-7]
            self._resends_left -= 1
            if self.state is State.LJR_SENT:
                assert self._asked_lmc is not None
                self.counters.add("resent.LJR")
                self._send_local_join_request(self._asked_lmc, now)
            else:
                self.counters.add("resent.SJR")
                self._send_session_join_request(now)
        elif self._is_established_once:  # it has lost its parent, not its right to be there [M-22, M-27]
            self._fall_back("no answer within JWT", now)
        else:
            awaited = "SJC" if self.state is State.SJR_SENT else "LJC"
            self._machine.move(Input.JOIN_FAILED)
            self._close("join-failed", awaited=awaited)

    def _close(self, event: str, **details: object) -> None:
        """Not (or no longer) a member: tell the application, leave the group, stop the session's timers.

        The wait for an address goes on: the link is there, and the next session will need one.
        """
        for timer in ("jwt", "hit", "srt", "renew", "promise"):
            self.timers.cancel(timer)
        self._parent = self._promised_lmc = self._asked_lmc = None
        self._report_is_due = False
        if self._group_joined and self._group is not None:
            self._group_joined = False
            self.act(LeaveGroup(self._group.group, self._configuration.interface, self._configuration.source))
        self.act(Notify(event, {"session_id": self._session_id, **details}))

    def _renew(self, now: float) -> None:
        """Tell the parent again that this MN is here, in case it has lost its memory; give up one that is gone [M-25]."""
        self.timers.set("renew", now + self._timers.probe_time)
        parent = self._parent
        if self.state is not State.ESTABLISHED or parent is None or not self._is_reachable():
            return
        if self._renewals_unanswered >= c.UNANSWERED_RENEWALS:
            self._fall_back("the parent answers no more", now)
            return
        self._renewals_unanswered += 1
        if parent == self._session_manager:
            point = PoAIdentifier(self._attached_to)
            self.send(PacketType.SJR, self._session_id, parent, self._mn_id, point)
        else:
            self.send(PacketType.LJR, self._session_id, parent, self._mn_id)

    def _renewal_answered(self, message: Message, source: Endpoint, now: float) -> None:
        if source != self._parent or not self._renewals_unanswered:
            self.counters.add(f"duplicate.{message.packet.name}")
            return
        self._renewals_unanswered = 0
        if self.state is not State.ESTABLISHED:
            return
        if not message.accepted:
            self._fall_back(f"renewal refused with {message.packet.name}", now)
        elif message.packet is PacketType.SJC and message.lmc is not None:
            # There is an LMC for this place by now.
            self._fall_back("an LMC has come", now)

    # --- leave and status [7.3, 7.4] ------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Leave with notice; ULC is not waited for [7.3]."""
        if self.state is State.CLOSED:
            return
        if self._parent is not None:
            self.send(PacketType.ULR, self._session_id, self._parent, self._mn_id)
        self._machine.move(Input.LEAVE)
        self._close("left")

    def _user_status_probe(self, message: Message, source: Endpoint, now: float) -> None:
        """Answer the parent at once with a USR; a stranger's probe is dropped."""
        if self._parent is None or source != self._parent:
            self.drop("unknown-peer", source, packet="USP")
            return
        self._report(self._parent, now, message.profile)

    def _is_reachable(self) -> bool:
        """Whether the MN is on its parent's link and not on its way to another; the same subnet's promise is none."""
        return self._link_is_up and not self._awaits_address and self._promised_lmc in (None, self._parent)

    def _report_if_due(self, now: float) -> None:
        if self._report_is_due and self._parent is not None and self._is_reachable():  # [M-21]
            self._report_is_due = False
            self._report(self._parent, now, Profile.L16)

    def _report(self, parent: Endpoint, now: float, profile: Profile) -> None:
        received = self._packets_received
        status = () if received is None else (data_channel_status(received, now - self._joined_at),)
        self.send(PacketType.USR, self._session_id, parent, self._mn_id, *status, profile=profile)

    # --- handover [7.5] -------------------------------------------------------------------------------------------

    def _link_detected(self, event: LinkDetected, now: float) -> None:
        point = event.point_of_attachment
        if event.interface != self._configuration.interface or self._configuration.find(point) is None:
            self.counters.add("ignored.unknown-point-of-attachment")
            self.trace("ignored", reason="unknown-point-of-attachment", point_of_attachment=point.hex())
            return
        if point == self._attached_to and self._link_is_up:
            self.counters.add("ignored.already-attached")
            return
        if point == self._next_point and (self._promised_lmc is not None or self.state is State.HIR_SENT):
            self.counters.add("duplicate.link-trigger")
            return
        self._next_point, self._promised_lmc = point, None  # a promise for another point is void
        self.timers.cancel("promise")
        parent = self._parent if self._link_is_up and not self._awaits_address else None
        if parent is None or not self._machine.allows(Input.LINK_TRIGGER):
            return  # too late or too early for a handover: the fall-back at link up takes care
        self._machine.move(Input.LINK_TRIGGER)
        self._resends_left = c.HANDOVER_INITIATION_SENDS - 1
        self._send_handover_initiation_request(parent, point, now)

    def _send_handover_initiation_request(self, parent: Endpoint, point: bytes, now: float) -> None:
        self.send(PacketType.HIR, self._session_id, parent, self._mn_id, PoAIdentifier(point))
        self.timers.set("hit", now + self._timers.hit_s)

    def _handover_initiation_time_expired(self, now: float) -> None:
        if self._resends_left > 0 and self._parent is not None and self._next_point is not None:
            self._resends_left -= 1
            self.counters.add("resent.HIR")
            self._send_handover_initiation_request(self._parent, self._next_point, now)
            return
        self.counters.add("exhausted.HIR")
        self._machine.move(Input.HANDOVER_INITIATION_FAILED)
        self.act(Notify("handover-not-prepared", {"reason": "no HIC"}))

    def _handover_initiation_confirm(self, message: Message, source: Endpoint, now: float) -> None:
        if self.state is not State.HIR_SENT:
            self.counters.add("late.HIC")
            return
        if source != self._parent:
            self.drop("unknown-peer", source, packet="HIC")
            return
        self.timers.cancel("hit")
        self._machine.move(Input.HIC)
        if message.accepted:
            self._promised_lmc = message.lmc
            if message.lmc != self._parent:
                self.timers.set("promise", now + self._timers.hold_time)
            self.act(Notify("handover-prepared", {"lmc": str(message.lmc)}))
        else:
            self.counters.add("refused.handover")
            self.act(Notify("handover-not-prepared", {"reason": "HIC with F = 0"}))

    def _link_down(self, now: float) -> None:
        if not self._link_is_up:
            return
        self._link_is_up = False
        self.timers.cancel("address")
        self.timers.cancel("promise")
        if self.state is State.HIR_SENT:
            self.timers.cancel("hit")
            self.counters.add("interrupted.HIR")
            self._machine.move(Input.HANDOVER_INITIATION_FAILED)
            self.act(Notify("handover-not-prepared", {"reason": "link down before HIC"}))

    def _link_up(self, now: float) -> None:
        if self._link_is_up:
            return
        self._link_is_up = True
        if self._next_point is not None and self._next_point != self._attached_to:
            self._attached_to, self._awaits_address = self._next_point, True
        self._next_point = None
        if not self._awaits_address:
            self._renew_membership()
            self._report_if_due(now)
            return
        self.timers.set("address", now + self._configuration.address_delay_s)
        self.trace("awaiting-address", delay_s=self._configuration.address_delay_s)

    def _ask_for_address(self) -> None:
        point = self._configuration.find(self._attached_to)
        assert point is not None  # only a known point of attachment is gone to
        self.act(ConfigureAddress(self._configuration.interface, point.address, point.gateway))

    def _address_configured(self, event: AddressConfigured, now: float) -> None:
        point = self._configuration.find(self._attached_to)
        if not self._awaits_address or not self._link_is_up or point is None or event.address != point.address:
            self.counters.add("ignored.AddressConfigured")  # of a link that has gone since
            return
        self._awaits_address = False
        if self.state is not State.CLOSED:
            self._arrived(now)

    def _arrived(self, now: float) -> None:
        """Link and address are there: show the membership, then join the new LMC or, without one, the session again."""
        self._renew_membership()
        lmc = self._promised_lmc
        if self.state is State.ESTABLISHED and lmc is not None:
            if lmc == self._parent:  # same subnet: nothing to tell anybody
                self._promised_lmc = None
                self._report_if_due(now)
                return
            self._machine.move(Input.ARRIVED)
            self._request_local_join(lmc, now)  # without a new SJR [M-14]
        else:
            self._fall_back("no HIC with F = 1 before the link went", now)

    def _fall_back(self, reason: str, now: float) -> None:
        """Join the session again from the new point of attachment [M-14]; the group is kept."""
        self.counters.add("fallback")
        self.timers.cancel("jwt")
        self._machine.move(Input.FALL_BACK)
        self.act(Notify("fallback", {"reason": reason}))
        self._request_session_join(now)

    def _renew_membership(self) -> None:
        if self._group_joined and self._group is not None:
            self.act(RenewMembership(self._group.group, self._configuration.interface, self._configuration.source))
