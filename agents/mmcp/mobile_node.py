"""The mobile node (MN): joins sessions, reports its status and takes its reception along when it moves (clause 7).

Theory of operation. An MN has interfaces (`agents.mmcp.attachment`) and sessions (`agents.mmcp.node_session`, with
`agents.mmcp.node_handover` for what happens when it moves). This role hands each message to its session, and each event of
an interface first to that interface and then to every session. After link up at a new place the interface is given the
address that is provisioned for it there, ``address_delay_s`` later, or the host gives it one; then the MN has arrived. Its
memberships are shown at once, by whatever address it has, and again from the new one [M-31].

A link trigger is what says where an interface goes next [M-32]. Where it does go is said by link up, or taken to be there.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from agents.core.agent import AddressConfigured, Endpoint, Event, GroupJoined
from agents.core.links import LinkDetected, LinkDown, LinkGoingDown, LinkUp
from agents.core.timers import TimerKey
from agents.mmcp import constants as c
from agents.mmcp.attachment import Attachment
from agents.mmcp.configuration import HOST_ADDRESSES, LinkTrigger, MobileNodeConfiguration, identifier
from agents.mmcp.events import ApplicationLeave, DataChannelReport
from agents.mmcp.messages import Message
from agents.mmcp.mobile_node_state import State
from agents.mmcp.node_handover import MovingSession
from agents.mmcp.role import Role


class MobileNode(Role):
    """One MN. Timer keys: (what, session), and ("address", interface)."""

    __slots__ = ("_address_delay_s", "_attachments", "_link_trigger", "_sessions")

    RECEIVES = frozenset({c.SJC, c.LJC, c.ULC, c.USP, c.HIC})

    def __init__(self, configuration: MobileNodeConfiguration) -> None:
        super().__init__()
        configuration.check()
        self._address_delay_s = configuration.address_delay_s
        self._link_trigger = configuration.link_trigger
        given = configuration.addresses == HOST_ADDRESSES
        attachments = [Attachment(interface, has_given_address=given) for interface in configuration.interfaces]
        self._attachments = {attachment.name: attachment for attachment in attachments}
        self._sessions = {
            wanted.session_id: MovingSession(self, configuration, wanted, attachments)
            for wanted in configuration.sessions
        }

    @property
    def state(self) -> State:
        """The state of the first session [Annex B.3]."""
        return next(iter(self._sessions.values())).state

    def start(self, now: float) -> None:
        """Join every session that is closed (``mmcp_join``)."""
        for session in self._sessions.values():
            if session.state is State.CLOSED:
                session.join(now)

    def message_received(self, message: Message, source: Endpoint, now: float, port: Hashable) -> None:
        """Take one message; another session's is dropped and counted."""
        session = self._sessions.get(message.session_id)
        if session is None:
            self.drop("unknown-session", source, packet=message.packet.name, session_id=message.session_id)
            return
        match message.packet:
            case c.SJC:
                session.session_join_confirm(message, source, now)
            case c.LJC:
                session.local_join_confirm(message, source, now)
            case c.ULC:
                self.counters.add("confirmed.leave")
            case c.USP:
                session.user_status_probe(message, source, now)
            case c.HIC:
                session.handover_initiation_confirm(message, source, now)

    def handle(self, event: Event, now: float) -> None:
        """Take a link event, the outcome of an action, or the application's wish."""
        match event:
            case LinkDetected() | LinkGoingDown() | LinkDown() | LinkUp():
                self._link_event(event, now)
            case AddressConfigured() if event.interface in self._attachments:
                self._address_configured(self._attachments[event.interface], event.address, now)
            case GroupJoined():
                self._group_joined(event, now)
            case DataChannelReport():
                for session in self._sessions.values():
                    if event.group in (None, session.group):
                        session.data_received(event.packets_received)
            case ApplicationLeave():
                for session in self._sessions.values():
                    if event.session_id in (None, session.session_id):
                        session.leave()
            case _:
                self.counters.add(f"ignored.{type(event).__name__}")

    def timer_expired(self, key: TimerKey, now: float) -> None:
        """JWT, HIT, SRT, the end of a promise or of lingering, a group join anew; the end of an address delay."""
        what, of = key
        match what:  # the frequent ones first
            case "srt":
                of.status_report_time(now)
            case "jwt":
                of.join_waiting_time_expired(now)
            case "hit":
                of.handover_initiation_time_expired(now)
            case "promise":
                of.promise_expired(now)
            case "linger":
                of.linger_expired()
            case "group":
                of.group_join_time(now)
            case "address":
                self._ask_for_address(self._attachments[of])

    def describe(self) -> Mapping[str, object]:
        """Sessions with their states and parents, interfaces with their points of attachment."""
        return {
            "role": "mn",
            "sessions": {str(number): session.describe() for number, session in self._sessions.items()},
            "interfaces": {name: attachment.describe() for name, attachment in self._attachments.items()},
        }

    def _group_joined(self, event: GroupJoined, now: float) -> None:
        if event.succeeded:
            self.counters.add("joined.group")
            return
        self.counters.add("failed.join")
        for session in self._sessions.values():
            session.group_not_joined(event, now)

    # --- interfaces -----------------------------------------------------------------------------------------------

    def _link_event(self, event: LinkDetected | LinkGoingDown | LinkDown | LinkUp, now: float) -> None:
        attachment = self._attachments.get(event.interface)
        match event:
            case _ if attachment is None:
                self.ignore(event)
            case LinkDetected():
                self._link_detected(attachment, event.point_of_attachment, now)
            case LinkGoingDown():
                self._link_going_down(attachment, event, now)
            case LinkDown():
                self._link_down(attachment, event.point_of_attachment)
            case LinkUp():
                self._link_up(attachment, event.point_of_attachment, now)

    def _link_detected(self, attachment: Attachment, name: str, now: float) -> None:
        point = self._known(attachment, name)
        if point is None:
            return
        attachment.detected = point
        if self._link_trigger == LinkTrigger.DETECTED:
            self._goes_to(attachment, point, now)
        if attachment.link_is_up and attachment.attached_to is None:
            attachment.next_point = point
            self._came_up(attachment, now)  # the link was there before anybody said where it leads

    def _link_going_down(self, leaving: Attachment, event: LinkGoingDown, now: float) -> None:
        attachment = self._attachments.get(event.next_interface or event.interface)
        if not event.next_point_of_attachment:
            point = leaving.detected
        else:
            point = self._known(attachment, event.next_point_of_attachment)
        if attachment is None or point is None or point == leaving.attached_to:
            self.counters.add("ignored.link-going-nowhere")
            return
        self._goes_to(attachment, point, now, leaving)

    def _known(self, attachment: Attachment | None, name: str) -> bytes | None:
        """The point of attachment of that name; one that is not provisioned for the interface is counted, and None."""
        point = identifier(name)
        if attachment is not None and attachment.knows(point):
            return point
        self.counters.add("ignored.unknown-point-of-attachment")
        self.trace("ignored", reason="unknown-point-of-attachment", point_of_attachment=point.hex())
        return None

    def _goes_to(self, attachment: Attachment, point: bytes, now: float, leaving: Attachment | None = None) -> None:
        """A link trigger; ``leaving`` is the interface whose link will go, if that is known."""
        if point != attachment.attached_to or not attachment.link_is_up:
            attachment.next_point = point
        for session in self._sessions.values():
            if leaving is None or session.uses(leaving):
                session.link_detected(attachment, point, now)

    def _link_down(self, attachment: Attachment, name: str = "") -> None:
        if not attachment.link_is_up:
            return
        if name and attachment.attached_to not in (None, identifier(name)):
            self.counters.add("ignored.another-link-down")  # of a link that has been replaced since
            return
        attachment.link_is_up = False
        self.timers.cancel(("address", attachment.name))
        for session in self._sessions.values():
            session.link_down(attachment)

    def _link_up(self, attachment: Attachment, name: str, now: float) -> None:
        point = self._known(attachment, name) if name else None
        is_elsewhere = point is not None and point != attachment.attached_to
        if attachment.link_is_up and not is_elsewhere:
            return
        self._link_down(attachment)  # it went without a word, or was taken to lead to another place
        if point is not None:
            attachment.next_point = point
        self._came_up(attachment, now)

    def _came_up(self, attachment: Attachment, now: float) -> None:
        moved = attachment.came_up()
        if moved or attachment.awaits_address or attachment.has_given_address:
            attachment.awaits_address = True
            self.timers.set(("address", attachment.name), now + self._address_delay_s)
            self.trace("awaiting-address", interface=attachment.name, delay_s=self._address_delay_s)
            for session in self._sessions.values():
                session.link_came_first(attachment, moved=moved)
        elif attachment.is_usable:
            for session in self._sessions.values():
                session.link_came_back(attachment, now)

    def _ask_for_address(self, attachment: Attachment) -> None:
        self.act(attachment.address_wanted())

    def _address_configured(self, attachment: Attachment, address: str, now: float) -> None:
        for each in self._attachments.values():
            each.has_route = each is attachment
        place = attachment.place
        if not attachment.awaits_address or not attachment.link_is_up or place is None or address != place.address:
            self.counters.add("ignored.AddressConfigured")  # of a link that has gone since
            for session in self._sessions.values():
                session.take_route_back()
            return
        attachment.awaits_address = False
        for session in self._sessions.values():
            session.arrived(attachment, now)
