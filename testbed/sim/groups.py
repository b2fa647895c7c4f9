"""Groups in virtual time: what hosts do to be members, and who gets what is sent to a group."""

from __future__ import annotations

from agents.core.agent import Endpoint, GroupJoined, JoinGroup, LeaveGroup, RenewMembership
from testbed.sim.machine import Machines
from testbed.sim.node import Group, Interface, Node

ALL_SYSTEMS = ("224.0.0.1", "ff02::1")  # every host is a member of these
_LINK_LOCAL = ("224.0.0.", "ff02:")


class Member:
    """A port of a node that gets a group's datagrams by one interface.

    ``number`` is the UDP port, or of a port of kind "ip" the protocol's number (``is_raw``). ``shown_at`` is the site where
    a report of the membership was seen last: what is routed comes there, and nowhere else.
    """

    __slots__ = ("interface", "is_in", "is_raw", "node", "number", "port", "shown_at", "source")

    def __init__(
        self, node: Node, interface: Interface, port: str, number: int, *, is_raw: bool, source: str | None = None
    ):
        self.node = node
        self.interface = interface
        self.port = port
        self.number = number
        self.is_raw = is_raw
        self.source = source
        self.is_in = True
        self.shown_at: str | None = None

    def show(self) -> None:
        """A report leaves the interface, if it can."""
        if self.interface.is_reachable:
            self.shown_at = self.interface.site

    def takes(self, group: str, sender_site: str) -> bool:
        """Whether a datagram sent from that site comes to it now."""
        if not self.is_in or self.node.ended is not None or not self.interface.is_reachable:
            return False
        return self.interface.site == (sender_site if group.startswith(_LINK_LOCAL) else self.shown_at)


class Members(dict[str, list[Member]]):
    """The members of each group that has some whose role listens."""

    def __init__(self) -> None:
        super().__init__()
        self._of: dict[tuple[int, Group], list[Member]] = {}  # by the node's index

    def open_raw(self, node: Node) -> None:
        """A node's raw ports get what is sent to all systems."""
        if node.known.has_raw:
            for interface in node.interfaces:
                for group in ALL_SYSTEMS:
                    self._add(node, (group, interface.name, None), self._raw(node, interface, None))

    def join(self, node: Node, interface: Interface, action: JoinGroup) -> None:
        """A node is in the group from now on; ValueError where it would listen to no port, or by a name that is in use."""
        if not (action.listen or node.known.has_raw):
            return
        found = self._raw(node, interface, action.source)
        group = (action.group, action.interface, action.source)
        if action.listen:
            if action.port is None:
                raise ValueError(f"{node.name} listens as {action.listen!r} to {action.group}, but to which UDP port?")
            if self._is_in_use(action.listen, node, group):
                raise ValueError(f"{node.name} listens as {action.listen!r} to {action.group}, a name that is in use")
            found.append(Member(node, interface, action.listen, action.port, is_raw=False, source=action.source))
        self._add(node, group, found)

    def show(self, node: Node, group: Group) -> None:
        """A report of the membership leaves the node."""
        for member in self._of.get((node.index, group), ()):
            member.show()

    def remove(self, node: Node, group: Group) -> None:
        """A node is not in the group any more."""
        for member in self._of.pop((node.index, group), ()):
            member.is_in = False
            left = self[group[0]]
            left.remove(member)
            if not left:
                del self[group[0]]

    def receivers(self, destination: Endpoint, protocol: int | None, source: str) -> list[Member]:
        """To whom a datagram goes; the sender too, if it is a member: hosts loop back what they send."""
        number = destination.port if protocol is None else protocol
        return [
            member
            for member in self.get(destination.address, ())
            if (member.is_raw, member.number) == (protocol is not None, number) and member.source in (None, source)
        ]

    def _is_in_use(self, name: str, node: Node, group: Group) -> bool:
        """Whether a port of the node for datagrams has this name, beside the one that listens to this group."""
        known = node.known.by_name.get(name)
        if name in node.numbers if known is None else known.kind != "tcp":
            return True
        others = (self._of.get((node.index, other), ()) for other in node.groups if other != group)
        return any(member.port == name and not member.is_raw for found in others for member in found)

    @staticmethod
    def _raw(node: Node, interface: Interface, source: str | None) -> list[Member]:
        return [
            Member(node, interface, name, port.number, is_raw=True, source=source)
            for name, port in node.known.by_name.items()
            if port.kind == "ip"
        ]

    def _add(self, node: Node, group: Group, found: list[Member]) -> None:
        self.remove(node, group)
        if found:
            self._of[node.index, group] = found
            self.setdefault(group[0], []).extend(found)


class Memberships(Machines):
    """Machines whose roles are members of groups."""

    def __init__(self, seed: int, begin: float) -> None:
        super().__init__(seed, begin)
        self.members = Members()

    def left_group(self, node: Node, group: Group) -> None:
        """Called after a role has left a group."""

    def join_group(self, node: Node, action: JoinGroup) -> None:
        """Join, and say so when the report is on the wire."""
        group = (action.group, action.interface, action.source)
        if group in node.groups:
            self.break_invariant("one-effect", node, f"joined {action.group} a second time")
        self._record(6, node, action.group.encode())
        interface = node.interface(action.interface)
        if interface is None or not node.joins_succeed:
            failure = "no such interface" if interface is None else ""
            answer = GroupJoined(action.group, action.interface, succeeded=False, reason=failure)
            self._answer(node.join_time_s, node, answer)
            return
        node.groups[group] = action.renews_itself
        self.members.join(node, interface, action)
        self._show_membership(node, group)
        self.later(node.join_time_s, self._joined, node, node.life, group)

    def _joined(self, node: Node, life: int, group: Group) -> None:
        if node.life == life and group in node.groups:  # else it has left, or died, since
            self.tell(node, GroupJoined(group[0], group[1], succeeded=True))

    def leave_group(self, node: Node, action: LeaveGroup) -> None:
        """Leave."""
        group = (action.group, action.interface, action.source)
        if node.groups.pop(group, None) is None:
            self.break_invariant("one-effect", node, f"left {action.group} without being in it")
        self.members.remove(node, group)
        self._record(7, node, action.group.encode())
        self.left_group(node, group)

    def renew_membership(self, node: Node, action: RenewMembership) -> None:
        """Have it reported again."""
        group = (action.group, action.interface, action.source)
        if group not in node.groups:
            self.break_invariant("one-effect", node, f"renewed {action.group} without being in it")
        self._show_membership(node, group)
        self._record(8, node, action.group.encode())

    def _show_membership(self, node: Node, group: Group) -> None:
        """A report of a membership leaves a node; a router heeds one only from an address of its link's subnet."""
        if node.named(group[1]).is_reachable:
            node.shown_at = self.now
            self.members.show(node, group)

    def renew_memberships(self, node: Node, interface: Interface) -> None:
        """A link or an address has come: have reported again what the role does not renew itself."""
        for group, renews_itself in node.groups.items():
            if group[1] == interface.name and not renews_itself:
                self._show_membership(node, group)
