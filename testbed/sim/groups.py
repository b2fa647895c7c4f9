"""Who gets the datagrams of a multicast group on a network in virtual time."""

from __future__ import annotations

from agents.core.agent import Endpoint, JoinGroup
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
        """A node is in the group from now on; ValueError where it would listen to no port."""
        found = self._raw(node, interface, action.source)
        if action.listen:
            if action.port is None:
                raise ValueError(f"{node.name} listens as {action.listen!r} to {action.group}, but to which UDP port?")
            found.append(Member(node, interface, action.listen, action.port, is_raw=False, source=action.source))
        self._add(node, (action.group, action.interface, action.source), found)

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
