"""One interface of a mobile node: at which point of attachment it is, where it goes next, and whether it can be used."""

from __future__ import annotations

from agents.core.agent import ConfigureAddress
from agents.mmcp.configuration import NodeInterface, PointOfAttachment, identifier


class Attachment:
    """An interface that attaches to points of attachment, one at a time."""

    __slots__ = (
        "_points",
        "attached_to",
        "awaits_address",
        "detected",
        "has_given_address",
        "has_route",
        "link_is_up",
        "name",
        "next_point",
    )

    def __init__(self, interface: NodeInterface, *, has_given_address: bool = False) -> None:
        self.name = interface.name
        self.has_given_address = has_given_address  # by the host, which takes it away with the link
        self._points = {identifier(point.name): point for point in interface.points_of_attachment}
        begins_at = interface.attached_to
        self.attached_to: bytes | None = None if begins_at is None else identifier(begins_at)
        self.next_point: bytes | None = None  # where a link trigger says it goes
        self.detected: bytes | None = None  # what has come into reach last
        self.link_is_up = self.attached_to is not None
        self.awaits_address = False  # on a link, and not yet given its address there
        self.has_route = self.link_is_up  # the node's default route is by it

    @property
    def is_usable(self) -> bool:
        """Whether the node can speak through it."""
        return self.link_is_up and not self.awaits_address and self.attached_to is not None

    @property
    def place(self) -> PointOfAttachment | None:
        """What is provisioned of the point of attachment it is at, or None where it is at none."""
        return None if self.attached_to is None else self._points.get(self.attached_to)

    def address_wanted(self) -> ConfigureAddress:
        """What must be done for its address at the place where it is; it is at one."""
        place = self.place
        assert place is not None  # only a known point of attachment is gone to
        return ConfigureAddress(self.name, place.address, place.gateway, self.has_given_address)

    def knows(self, point_of_attachment: bytes) -> bool:
        """Whether it may go there."""
        return point_of_attachment in self._points

    def came_up(self) -> bool:
        """It has a link: at the point that a trigger named, or where it was. Whether that is another place than before."""
        self.link_is_up = True
        moved = self.next_point is not None and self.next_point != self.attached_to
        if self.next_point is not None:
            self.attached_to, self.next_point = self.next_point, None
        return moved

    def describe(self) -> dict[str, object]:
        """Its state as plain values; points of attachment in hexadecimal."""
        return {
            "attached_to": None if self.attached_to is None else self.attached_to.hex(),
            "next_point_of_attachment": None if self.next_point is None else self.next_point.hex(),
            "link_is_up": self.link_is_up,
        }
