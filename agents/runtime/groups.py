"""The groups that a role on a real host wants: joined, heard where it listens, renewed; what becomes of them is told.

`agents.runtime.membership` has what the kernel must be asked for. Here is when: as the role wants, and as links, addresses and
interfaces come and go.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from ipaddress import ip_address

from agents.core.agent import Endpoint, Event, GroupJoined, JoinGroup, LeaveGroup, RenewMembership
from agents.core.counters import Counters
from agents.runtime.datagram import DatagramPort, PortError, family_of
from agents.runtime.membership import Loss, Membership, MembershipError, Memberships, membership_of
from agents.runtime.tasks import Tasks


class Groups:
    """The groups of one role.

    ``ports`` are the role's open ports by name, among which are those that listen to groups. ``received`` is handed what they hear, with the
    port's name, and ``settle`` called after all of a wake-up; ``happened`` tells the role, ``tell_application`` its application.
    """

    def __init__(
        self,
        memberships: Memberships,
        ports: dict[str, DatagramPort],
        tasks: Tasks,
        counters: Counters,
        *,
        received: Callable[[str, bytes, Endpoint], None],
        settle: Callable[[], None],
        happened: Callable[[Event], None],
        tell_application: Callable[[str, Mapping[str, object]], None],
    ) -> None:
        self._memberships = memberships
        self._ports = ports
        self._tasks = tasks
        self._counters = counters
        self._received = received
        self._settle = settle
        self._happened = happened
        self._tell_application = tell_application
        self._wanted: dict[Membership, str] = {}  # with the names of the ports that listen to them

    # --- as the role wants ------------------------------------------------------------------------------------------

    def join(self, action: JoinGroup) -> None:
        """Begin to join, and listen first where the datagrams are wanted."""
        membership = membership_of(action)
        try:
            if action.listen and membership not in self._wanted:
                self._listen(action)
        except PortError as error:
            self._memberships.lose(action)
            self._tell_failed(action, str(error))
        else:
            self._wanted[membership] = action.listen
            self._tasks.begin(self._join(action))

    def leave(self, action: LeaveGroup) -> None:
        """Leave, and listen no more."""
        self._memberships.leave(action.group, action.interface, action.source)
        self._stop_listening(membership_of(action))

    def renew(self, action: RenewMembership) -> None:
        """Have the kernel report it again; a failure is told to the application, and to the role as a loss."""
        membership = membership_of(action)
        try:
            lost = self._memberships.renew(*membership, at_once=action.at_once)
        except MembershipError as error:
            reason = str(error)
            self._stop_listening(membership)
            self._tell_application(
                "renew-failed", {"group": action.group, "interface": action.interface, "reason": reason}
            )
            self._tell_failed(action, reason)
        else:
            if lost is not None:
                self._stop_listening(membership)  # at a port of the interface that has gone
                self.join(lost)

    # --- as the host changes ----------------------------------------------------------------------------------------

    def link_came(self, interface: str) -> None:
        """An interface has a link again."""
        self._tell_losses(self._memberships.link_came(interface))
        self._join_again(interface)

    def interface_gone(self, interface: str) -> None:
        """An interface is there no more, or may have been made anew."""
        self._tell_losses(self._memberships.link_changed(interface))

    def address_came(self, interface: str) -> None:
        """An interface has another address."""
        losses = self._memberships.address_came(interface)
        self._tell_losses(losses)
        if losses:
            self._join_again(interface)

    def _tell_losses(self, losses: Sequence[Loss]) -> None:
        for action, reason in losses:
            self._stop_listening(membership_of(action))
            self._happened(GroupJoined(action.group, action.interface, succeeded=False, reason=reason))

    def _join_again(self, interface: str) -> None:
        for action in self._memberships.to_join_on(interface):
            self.join(action)

    # --- how it is done ---------------------------------------------------------------------------------------------

    def _tell_failed(self, action: JoinGroup | RenewMembership, reason: str) -> None:
        """Tell the role after this step that it is no member."""
        failed = GroupJoined(action.group, action.interface, succeeded=False, reason=reason)
        asyncio.get_running_loop().call_soon(self._happened, failed)

    async def _join(self, action: JoinGroup) -> None:
        membership = membership_of(action)
        if membership not in self._wanted:  # it was left before it began
            return
        reason = ""
        try:
            if not await self._memberships.join(action):
                return
        except MembershipError as error:
            reason = str(error)
        if membership not in self._wanted:  # or meanwhile
            return
        if reason:
            self._stop_listening(membership)
        self._happened(GroupJoined(action.group, action.interface, succeeded=not reason, reason=reason))

    def _listen(self, action: JoinGroup) -> None:
        """Open the port at which a group's datagrams are heard; ValueError for a name in use. Raises PortError."""
        if action.port is None or action.listen in self._ports:
            raise ValueError(f"{action}: listens at no port number, or by a name that is in use")
        family = family_of(action.group)
        receiver = (
            partial(self._received, action.listen)
            if action.source is None
            else partial(self._received_from, action.listen, str(ip_address(action.source)))
        )
        with contextlib.ExitStack() as stack:
            for port in self._ports.values():
                stack.enter_context(port.shared())
            opened = DatagramPort(
                family,
                str(ip_address(action.group)),
                action.port,
                self._counters,
                receiver,
                self._settle,
                group_on=action.interface,
            )
        opened.enlarge_buffers()
        self._ports[action.listen] = opened

    def _received_from(self, port: str, wanted: str, data: bytes, source: Endpoint) -> None:
        """Take one datagram of a source-specific group: others of the host may be members for other sources."""
        if source.address == wanted:
            self._received(port, data, source)
        else:
            self._counters.add("ignored.other-source")

    def _stop_listening(self, membership: Membership) -> None:
        name = self._wanted.pop(membership, "")
        if name and name in self._ports:  # the empty one is the role's own
            self._ports.pop(name).close()
