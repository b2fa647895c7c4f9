"""What a client has the session's data do: its membership of the group, and the orders to the program that sends or receives.

A creator sends; a participant joins the group and receives. The program may come and go: its reports tell what it does, and where
that is not what was ordered it is told again (`agents.core.media_control`).
"""

from __future__ import annotations

from ipaddress import ip_address

from agents.core.agent import DeliverData, Endpoint, GroupJoined, JoinGroup, LeaveGroup
from agents.core.checks import is_source_specific
from agents.core.errors import DecodeError
from agents.core.media_control import MediaOrder, decode_report, encode
from agents.gmp.constants import NO_GROUP, REQUEST_TIME
from agents.gmp.group_keys import GroupKeys
from agents.gmp.role import Role

_STOP = MediaOrder("stop")


class DataPlane:
    """The data of one client. Its timer's key is ("group",): the role calls ``join_time``."""

    __slots__ = ("_interface", "_is_joined", "_order", "_role", "_sends", "group", "port", "roll_over_counter")

    def __init__(self, role: Role, interface: str, *, sends: bool) -> None:
        self._role = role
        self._interface = interface
        self._sends = sends
        self._is_joined = False
        self._order = _STOP
        self.group = NO_GROUP
        self.port = 0
        self.roll_over_counter: int | None = None  # a sender's, as its last report says, for the server [GI-7]

    @property
    def is_on(self) -> bool:
        """Whether data is sent or received."""
        return self._order is not _STOP

    def is_at(self, group: str, port: int, keys: GroupKeys) -> None:
        """The session's group and port, as the server says them: data that flows goes on there [GI-26]. None changes nothing.

        What nobody can join without a source is dropped.
        """
        if group == NO_GROUP or not port or (group, port) == (self.group, self.port):
            return
        if not ip_address(group).is_multicast or is_source_specific(group):  # module MM has no checksum
            self._role.drop("no-group", Endpoint(group, port))
            return
        self._leave_group()
        self.group, self.port = group, port
        if self.is_on:
            self.begin(keys)

    def begin(self, keys: GroupKeys) -> None:
        """Send or receive from now on; the same when there is a new key."""
        if self.group == NO_GROUP:
            self._role.counters.add("ignored.session-without-group")
            return
        if not self._sends and not self._is_joined:
            self._is_joined = True
            self._role.act(JoinGroup(self.group, self._interface, port=self.port))
        self._deliver(
            MediaOrder(
                "send" if self._sends else "receive",
                self.group,
                self.port,
                self._interface,
                keys.generation,
                keys.key,
                keys.roll_over_counter,
            )
        )

    def stop(self) -> None:
        """Neither send nor receive."""
        self.roll_over_counter = None
        self._leave_group()
        if self.is_on:
            self._deliver(_STOP)

    def _leave_group(self) -> None:
        self._role.timers.cancel(("group",))
        if self._is_joined:
            self._is_joined = False
            self._role.act(LeaveGroup(self.group, self._interface))

    def _deliver(self, order: MediaOrder) -> None:
        self._order = order
        self._role.act(DeliverData(encode(order)))

    def reported(self, data: bytes) -> None:
        """Take a report; a program that does something else than it should is told again."""
        try:
            report = decode_report(data)
        except DecodeError as error:
            self._role.drop(error.reason, Endpoint("application", 0), detail=error.detail)
            return
        order = self._order
        if (report.action, report.generation) != (order.action, order.generation):
            self._role.counters.add("repeated.media-order")
            self._deliver(order)
        elif self._sends and report.action == "send":
            self.roll_over_counter = report.roll_over_counter

    def group_joined(self, event: GroupJoined, now: float) -> None:
        """The outcome of a join, or what became of the membership since; what could not be joined is tried again."""
        if event.group != self.group or not self._is_joined:
            self._role.ignore(event)
        elif event.succeeded:
            self._role.counters.add("joined.group")
        else:
            self._role.notify("group-join-failed", group=event.group, interface=event.interface, reason=event.reason)
            self._is_joined = False
            self._role.timers.set(("group",), now + REQUEST_TIME)

    def join_time(self, keys: GroupKeys) -> None:
        """Join again."""
        if self.is_on:
            self.begin(keys)
