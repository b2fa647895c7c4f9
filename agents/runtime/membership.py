"""Group memberships: joins that the kernel makes with IGMP or MLD, one socket each, and the proof that a report went out.

One socket a group, because a socket takes 20 IPv4 memberships at most by default (igmp_max_memberships).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
from collections.abc import Callable
from ipaddress import ip_address
from typing import NamedTuple

from agents.core.agent import JoinGroup, LeaveGroup, RenewMembership
from agents.core.counters import Counters
from agents.runtime import reports

# <linux/in.h>, not in Python's socket module; the same for both families: (for any source, for one source).
_JOIN = (42, 46)  # MCAST_JOIN_GROUP, MCAST_JOIN_SOURCE_GROUP
_LEAVE = (45, 47)  # MCAST_LEAVE_GROUP, MCAST_LEAVE_SOURCE_GROUP
_SOCKADDR_STORAGE_SIZE = 128
_SIOCGIFADDR = 0x8915
_REPEAT_AFTER = 1.0  # s, of a report of ours that the kernel repeats no more [RFC 2236 3]


Membership = tuple[str, str, str | None]
"""A group, the interface, and the source if it is source-specific."""


class MembershipError(OSError):
    """A group could not be joined, or not be reported again; the message says which, where and why."""

    def __str__(self) -> str:
        return str(self.strerror)


class Loss(NamedTuple):
    """A membership that is no more, though it is wanted: the JoinGroup that asked for it, and the reason."""

    action: JoinGroup
    reason: str


class Memberships:
    """The groups that one agent wants, joined or lost, each by the JoinGroup that asked for it.

    The kernel forgets a membership with its interface, and reports none again when a link or an address comes, but IPv6
    ones for any source. Whoever watches the links says so, and what can be done at once is done.
    """

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._joined: dict[Membership, _Membership] = {}
        self._lost: dict[Membership, JoinGroup] = {}

    async def join(self, action: JoinGroup) -> bool:
        """Join and return when the report has been seen leaving; raises MembershipError.

        Without the right to see packets (CAP_NET_RAW) the join is taken as done at once, which is counted; so it is
        where no report is expected. False: it was left or lost meanwhile, so this is no news any more.
        """
        key = membership_of(action)
        held = self._joined.get(key)
        if held is not None:
            if not held.is_lost:
                return True
            self.lose(action)
        is_again = self._lost.pop(key, None) is not None
        joined: _Membership | None = None
        try:
            with contextlib.ExitStack() as stack:
                watcher = reports.ReportWatcher.open(action.group, action.interface) if action.expects_report else None
                if watcher is not None:
                    stack.callback(watcher.close)
                joined = self._joined[key] = _Membership(action)
                if watcher is None:
                    self._counters.add("joined.unobserved" if action.expects_report else "joined.without-report")
                elif not await watcher.seen():
                    raise MembershipError(0, f"no report for it left within {reports.DEADLINE} s")
        except OSError as error:  # the interface is not there, or has gone; no file is left; …
            if self._joined.get(key) is not joined:
                return False
            self.lose(action)
            raise MembershipError(
                error.errno, f"cannot join {action.group} on {action.interface}: {error.strerror or error}"
            ) from error
        if self._joined.get(key) is not joined:
            return False
        if is_again:
            self._counters.add("rejoined.membership")
        return True

    def leave(self, group: str, interface: str, source: str | None) -> None:
        """Leave; closing the socket makes the kernel do so."""
        key = (group, interface, source)
        self._lost.pop(key, None)
        membership = self._joined.pop(key, None)
        if membership is not None:
            membership.close()

    def renew(self, group: str, interface: str, source: str | None, *, at_once: bool = False) -> JoinGroup | None:
        """Have a membership reported on the link the interface is on now; or return what is to be joined anew.

        ``at_once``: by ourselves too, ahead of the kernel. Raises MembershipError when it is lost by that.
        """
        key = (group, interface, source)
        membership = self._joined.get(key)
        if membership is None:
            return self._lost.get(key)
        if membership.is_lost:
            return self.lose(membership.action)
        if at_once and not membership.kernel_is_mute:
            self._report(membership)
        if membership.needs_reports:
            self._counters.add("renewed.membership" if self._renew(membership) else "renewed.membership.interrupted")
        return None

    def link_changed(self, interface: str) -> list[Loss]:
        """A link or an interface has gone or come: what was joined there and the kernel has lost, with the interface."""
        there = [each.action for each in self._joined.values() if each.action.interface == interface and each.is_lost]
        return [Loss(self.lose(action), f"{interface} has gone, and {action.group} with it") for action in there]

    def link_came(self, interface: str) -> list[Loss]:
        """A link has come: report what is joined there, but for roles that do so themselves; what is lost by that."""
        return self._report_again(interface, "link-up", lambda _: True)

    def address_came(self, interface: str) -> list[Loss]:
        """An IPv4 address has come: the same with what was reported from another, or from none."""
        return self._report_again(interface, "address", lambda membership: membership.has_other_address)

    def to_join_on(self, interface: str) -> list[JoinGroup]:
        """What is lost there and to be joined anew, but for roles that do so themselves."""
        return [action for action in self._lost.values() if action.interface == interface and not action.renews_itself]

    def _report_again(self, interface: str, why: str, is_to: Callable[[_Membership], bool]) -> list[Loss]:
        losses = []
        for membership in list(self._joined.values()):
            action = membership.action
            if action.interface != interface or action.renews_itself or not membership.needs_reports:
                continue
            if not is_to(membership):
                continue
            try:
                self._renew(membership)
            except MembershipError as error:
                losses.append(Loss(action, str(error)))
            else:
                self._counters.add(f"renewed.membership.{why}")
        return losses

    def _renew(self, membership: _Membership) -> bool:
        """Renew it, and say whether all data was taken; raises MembershipError when it is lost by that."""
        if membership.kernel_is_mute and self._report(membership):
            asyncio.get_running_loop().call_later(_REPEAT_AFTER, self._repeat, membership)
            return True
        try:
            return membership.renew()
        except OSError as error:  # the interface has gone meanwhile; no file is left; …
            self._counters.add("failed.renew")
            action = self.lose(membership.action)
            raise MembershipError(
                error.errno, f"cannot renew {action.group} on {action.interface}: {error.strerror or error}"
            ) from error

    def _report(self, membership: _Membership) -> bool:
        """Report it ourselves; whether that could be done."""
        try:
            membership.report()
        except OSError:  # without the right to (CAP_NET_RAW), without a link-local address, …
            self._counters.add("unsent.report")
            return False
        self._counters.add("sent.report")
        return True

    def _repeat(self, membership: _Membership) -> None:
        if self._joined.get(membership_of(membership.action)) is membership and not membership.is_lost:
            self._report(membership)

    def lose(self, action: JoinGroup) -> JoinGroup:
        """It is joined no more, and wanted all the same."""
        key = membership_of(action)
        membership = self._joined.pop(key, None)
        if membership is not None:
            membership.close()
        self._lost[key] = action
        return action

    def close(self) -> None:
        """Leave all groups."""
        for membership in self._joined.values():
            membership.close()
        self._joined.clear()
        self._lost.clear()


class _Membership:
    """One group on one interface, and the source its data was last seen to come from."""

    def __init__(self, action: JoinGroup) -> None:
        self.action = action
        self._group = action.group
        self._source = action.source
        self._port = action.port
        self._index = socket.if_nametoindex(action.interface)
        self._reported_from = _ipv4_address(action.interface)
        self._data_source: str | None = None
        self._listener: socket.socket | None = None
        self._socket = socket.socket(_family(action.group), socket.SOCK_DGRAM)
        try:
            self._change(self._socket, _JOIN, action.source)
            self._learn_data_source()
        except OSError:
            self._socket.close()
            raise

    @property
    def is_lost(self) -> bool:
        """Whether the interface that it was joined on is no more."""
        try:
            return socket.if_nametoindex(self.action.interface) != self._index
        except OSError:
            return True

    @property
    def needs_reports(self) -> bool:
        """Whether the kernel does not report it by itself when the link has come."""
        return self._socket.family == socket.AF_INET or self._source is not None

    @property
    def has_other_address(self) -> bool:
        """Whether it is to be reported from another address than it was."""
        return self._socket.family == socket.AF_INET and _ipv4_address(self.action.interface) != self._reported_from

    @property
    def kernel_is_mute(self) -> bool:
        """Whether the kernel reports nothing while somebody stays a member: it is a host of IGMPv1 or v2 there."""
        return self._socket.family == socket.AF_INET and reports.igmp_version(self.action.interface) < reports.NEWEST[4]

    def report(self) -> None:
        """Report it now, beside the kernel; raises OSError where that cannot be done."""
        self._reported_from = _ipv4_address(self.action.interface)
        reports.send_report(self._group, self.action.interface, self._source)

    def renew(self) -> bool:
        """Drop and add; False if data that came in between, some microseconds, was not taken.

        A second socket is a member meanwhile, so that the kernel goes on taking the data: for the data's source alone
        where the first is for any source, and the other way round. Its own membership is never reported: the state
        counts that is there when the report is sent, and by then it is gone. In IGMPv1 and v2 there must be none, or nothing
        would be reported. Raises OSError: it may be a member no more.
        """
        self._reported_from = _ipv4_address(self.action.interface)
        is_kept = (self._source is not None or self._data_source is not None) and not self.kernel_is_mute
        with contextlib.ExitStack() as stack:
            if is_kept:
                keeper = stack.enter_context(socket.socket(self._socket.family, socket.SOCK_DGRAM))
                self._change(keeper, _JOIN, self._data_source if self._source is None else None)
            self._change(self._socket, _LEAVE, self._source)
            self._change(self._socket, _JOIN, self._source)
        self._learn_data_source()  # it may be another one by the next time
        return is_kept

    def close(self) -> None:
        """Leave the group."""
        self._stop_listening()
        self._socket.close()

    def _change(self, of: socket.socket, what: tuple[int, int], source: str | None) -> None:
        """One membership call of RFC 3678's protocol-independent API: struct group_req or group_source_req."""
        index = struct.pack("=I4x", self._index)
        level = socket.IPPROTO_IP if of.family == socket.AF_INET else socket.IPPROTO_IPV6
        if source is None:
            of.setsockopt(level, what[0], index + _storage(self._group))
        else:
            of.setsockopt(level, what[1], index + _storage(self._group) + _storage(source))

    def _learn_data_source(self) -> None:
        """Take one datagram of the data, beside whoever receives it, to see who sends it."""
        if self._port is None or self._listener is not None:
            return
        try:
            listener = socket.socket(self._socket.family, socket.SOCK_DGRAM)
        except OSError:  # no file is left; as below
            return
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        try:
            listener.bind((self._group, self._port))
        except OSError:  # somebody has the port for himself: a renewal is then counted as interrupted
            listener.close()
            return
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener, self._data_arrived)

    def _data_arrived(self) -> None:
        if self._listener is None:
            return
        with contextlib.suppress(OSError):
            _, sender = self._listener.recvfrom(1)
            self._data_source = sender[0].partition("%")[0]
            self._stop_listening()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None


def membership_of(action: JoinGroup | LeaveGroup | RenewMembership) -> Membership:
    """Which membership an action is about."""
    return (action.group, action.interface, action.source)


def _ipv4_address(interface: str) -> bytes:
    """The address that IGMP reports leave ``interface`` from; b"" where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("=16s24x", interface.encode())  # struct ifreq
        try:
            answer = fcntl.ioctl(any_socket, _SIOCGIFADDR, request)
        except OSError:
            return b""
    return answer[20:24]


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6


def _storage(address: str) -> bytes:
    """``address`` as a struct sockaddr_storage with port 0."""
    packed = ip_address(address).packed
    head = struct.pack("=HH4s", socket.AF_INET, 0, packed) if len(packed) == 4 else _ipv6_address(packed)
    return head.ljust(_SOCKADDR_STORAGE_SIZE, b"\0")


def _ipv6_address(packed: bytes) -> bytes:
    return struct.pack("=HHI16sI", socket.AF_INET6, 0, 0, packed, 0)
