"""What a driver must do: one method for each action, carried out on a real host, in virtual time, and in tests.

Whoever drives roles is a `Driver` and gets the method for an action from its ``ways``; a test holds the table against the
actions there are. ``place`` is where the role is, for drivers that have many of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from agents.core.agent import (
    Action,
    AskOperator,
    ClosePort,
    CloseStream,
    Commit,
    ConfigureAddress,
    Connect,
    DeliverData,
    End,
    JoinGroup,
    LeaveGroup,
    Notify,
    RenewMembership,
    SendDatagram,
    SendStream,
    Trace,
)

Place = TypeVar("Place")


class Driver(ABC, Generic[Place]):
    """Carries out what roles ask for; `agents.core.agent` says of each action what that means, and what answers it.

    A driver calls its roles one at a time: nothing a role asks for calls it back before the action's method has returned.
    """

    @property
    def ways(self) -> Mapping[type[Action], Callable[[Place, Any], None]]:
        """The method for each action."""
        return {
            SendDatagram: self.send_datagram,
            ClosePort: self.close_port,
            Connect: self.connect,
            SendStream: self.send_stream,
            CloseStream: self.close_stream,
            JoinGroup: self.join_group,
            LeaveGroup: self.leave_group,
            RenewMembership: self.renew_membership,
            ConfigureAddress: self.configure_address,
            Commit: self.commit,
            AskOperator: self.ask_operator,
            DeliverData: self.deliver_data,
            Notify: self.notify,
            Trace: self.write_trace,
            End: self.end,
        }

    @abstractmethod
    def send_datagram(self, place: Place, action: SendDatagram) -> None:
        """Send it; whatever keeps it from leaving is counted as ``unsent.…``."""

    @abstractmethod
    def close_port(self, place: Place, action: ClosePort) -> None:
        """Close it; nothing happens where it is not open."""

    @abstractmethod
    def connect(self, place: Place, action: Connect) -> None:
        """Begin to connect; StreamOpened or StreamClosed follows."""

    @abstractmethod
    def send_stream(self, place: Place, action: SendStream) -> None:
        """Queue the data; a queue that would hold more than its bound closes the stream with "overflow"."""

    @abstractmethod
    def close_stream(self, place: Place, action: CloseStream) -> None:
        """Close it; nothing happens where it is not open."""

    @abstractmethod
    def join_group(self, place: Place, action: JoinGroup) -> None:
        """Join; GroupJoined follows, and more of them if the membership is lost and comes back."""

    @abstractmethod
    def leave_group(self, place: Place, action: LeaveGroup) -> None:
        """Leave; nothing happens where it was not joined."""

    @abstractmethod
    def renew_membership(self, place: Place, action: RenewMembership) -> None:
        """Have the membership reported again."""

    @abstractmethod
    def configure_address(self, place: Place, action: ConfigureAddress) -> None:
        """Give the interface its address, or wait until it is given; AddressConfigured follows."""

    @abstractmethod
    def commit(self, place: Place, action: Commit) -> None:
        """Make it durable; Committed follows."""

    @abstractmethod
    def ask_operator(self, place: Place, action: AskOperator) -> None:
        """Ask; OperatorAnswered follows."""

    @abstractmethod
    def deliver_data(self, place: Place, action: DeliverData) -> None:
        """Hand it over; without an application it is counted as ``undelivered.no-application``."""

    @abstractmethod
    def notify(self, place: Place, action: Notify) -> None:
        """Tell the application."""

    @abstractmethod
    def write_trace(self, place: Place, action: Trace) -> None:
        """Write it down with the time."""

    @abstractmethod
    def end(self, place: Place, action: End) -> None:
        """End the role."""
