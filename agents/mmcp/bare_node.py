"""A mobile node without MMCP: the comparison for every figure of the handover labs.

It joins its group, and after a move either joins again once it has its new address (``rejoin``: what a careful host
does, called *reactive*), or does nothing and waits for the router's next query (*silent*). It speaks no MMCP.

It does not show its membership before it has its address, as MMCP's node does [M-31]: nobody has brought the data to its cell
before it came, and the router that must bring them does not heed a report from an address of another subnet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from agents.core.agent import (
    AddressConfigured,
    Agent,
    ConfigureAddress,
    Endpoint,
    Event,
    JoinGroup,
    LeaveGroup,
    RenewMembership,
)
from agents.core.checks import check_group
from agents.core.links import LinkDetected, LinkDown, LinkGoingDown, LinkUp
from agents.core.timers import TimerKey
from agents.mmcp.configuration import (
    HOST_ADDRESSES,
    OWN_ADDRESSES,
    PointOfAttachment,
    check_addresses,
    check_points_of_attachment,
    identifier,
)
from agents.mmcp.events import ApplicationLeave


@dataclass(frozen=True, slots=True)
class BareNodeConfiguration:
    """What the node is given: its group, where it may go, and whether it joins again after a move.

    ``addresses`` and ``address_delay_s`` are as an MN's.
    """

    interface: str
    group: str
    points_of_attachment: list[PointOfAttachment]
    attached_to: str
    port: int
    rejoin: bool = True
    source: str | None = None
    addresses: str = OWN_ADDRESSES
    address_delay_s: float = 0.0

    def check(self) -> None:
        """Raise ConfigurationError for the first thing wrong."""
        check_group(self.group, self.source)
        check_points_of_attachment(self.points_of_attachment, self.attached_to, ip_address(self.group).version)
        check_addresses(self.addresses, self.address_delay_s)


class BareNode(Agent):
    """One node on one interface."""

    def __init__(self, configuration: BareNodeConfiguration) -> None:
        super().__init__()
        configuration.check()
        self._configuration = configuration
        self._points = {identifier(point.name): point for point in configuration.points_of_attachment}
        self._attached_to = identifier(configuration.attached_to)
        self._next_point: bytes | None = None
        self._link_is_up = True

    def start(self, now: float) -> None:
        """Join the group."""
        configuration = self._configuration
        self.act(
            JoinGroup(
                configuration.group,
                configuration.interface,
                configuration.source,
                configuration.port,
                renews_itself=True,  # or waits for a query, which is then what is measured
            )
        )

    def receive(self, data: bytes, source: Endpoint, now: float, port: str = "") -> None:
        """Nothing is expected; whatever comes is counted."""
        self.drop("unexpected-datagram", source)

    def handle(self, event: Event, now: float) -> None:
        """Take a link event, a new address, or the application's wish to leave."""
        configuration = self._configuration
        match event:
            case LinkDetected() if (point := identifier(event.point_of_attachment)) in self._points:
                self._next_point = point
            case LinkGoingDown() if (point := identifier(event.next_point_of_attachment)) in self._points:
                self._next_point = point
            case LinkDown() if event.interface == configuration.interface:
                self._link_is_up = False
                self.timers.cancel(("address",))
            case LinkUp() if event.interface == configuration.interface:
                self._came_up(identifier(event.point_of_attachment), now)
            case AddressConfigured():
                if self._next_point is not None:
                    self._attached_to, self._next_point = self._next_point, None
                if configuration.rejoin:
                    self.act(RenewMembership(configuration.group, configuration.interface, configuration.source))
            case ApplicationLeave():
                self.act(LeaveGroup(configuration.group, configuration.interface, configuration.source))
            case _:
                self.counters.add(f"ignored.{type(event).__name__}")

    def _came_up(self, point: bytes, now: float) -> None:
        """There is a link; ``point`` says where, unless it is empty or unknown."""
        is_news = point in self._points and point != (self._next_point or self._attached_to)
        if is_news:
            self._next_point = point
        if is_news or not self._link_is_up:
            self._link_is_up = True
            self.timers.set(("address",), now + self._configuration.address_delay_s)

    def timer_expired(self, key: TimerKey, now: float) -> None:
        """The address delay is over."""
        point = self._points.get(self._attached_to if self._next_point is None else self._next_point)
        if point is not None:
            configuration = self._configuration
            is_given = configuration.addresses == HOST_ADDRESSES
            self.act(ConfigureAddress(configuration.interface, point.address, point.gateway, is_given))

    def describe(self) -> Mapping[str, object]:
        """Where the node is."""
        return {"role": "bare", "attached_to": self._attached_to.hex(), "link_is_up": self._link_is_up}
