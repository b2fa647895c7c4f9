"""The announcer: sessions told to everybody in range by SAP (RFC 2974), and told to be gone.

Theory of operation. Each session has an advertisement, its description behind SAP's header, which goes to the well-known group of the
session's scope again and again. How often follows from the bandwidth that all of a scope may take together [3.1], plus or minus a third by
chance. One that has changed is deleted by its old hash and announced anew; one that is gone is deleted, and that is said three times.

It does nothing by itself: ``put`` and ``remove`` say what there is, ``due`` gives the datagrams that a moment wants, ``next_deadline``
says when it wants to be asked next.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from struct import Struct
from zlib import crc32

from agents.core.agent import Endpoint
from agents.gmp.session_announcements import MEDIA_TYPE, Announcement, sdp

PORT = 9875  # UDP [RFC 2974 3]
BANDWIDTH = 4000  # bit/s that all advertisements of a scope may take together [3.1]
INTERVAL_MINIMUM = 300.0  # s between two of one session [3.1]
SIZE_MAXIMUM = 1400  # bytes of a packet: in one frame wherever it goes [GI-43]
DELETIONS = 3  # how often it is said that a session is gone [GI-43]
DELETION_SPACING = 1.0  # s
CHANGE_SPACING = 1.0  # s after which a changed description may follow another at the earliest [GI-43]

_VERSION = 1
_HEADER = Struct("!BBH")
_IS_IPV6, _IS_DELETION = 0x10, 0x04
_TYPE = f"{MEDIA_TYPE}\0".encode()
_HASH_MAXIMUM = 0xFFFF

# Where a group's scope is announced [RFC 2974 3, RFC 2365 6]: the highest address of the scope's zone. What is reserved for a zone to grow
# is announced as the zone is. The last number is the same scope in IPv6 [RFC 2365 8, GI-24].
_SCOPES = (
    (ip_network("224.0.0.0/24"), "224.0.0.255", 0x2),
    (ip_network("239.255.0.0/16"), "239.255.255.255", 0x3),
    (ip_network("239.254.0.0/16"), "239.255.255.255", 0x3),
    (ip_network("239.253.0.0/16"), "239.255.255.255", 0x3),
    (ip_network("239.0.0.0/8"), "239.195.255.255", 0x8),
    (ip_network("224.0.0.0/4"), "224.2.127.254", 0xE),
)


def announced_at(group: str) -> tuple[str, str]:
    """The groups of IPv4 and IPv6 at which a session is announced whose data goes to ``group``."""
    address = ip_address(group)
    at, scope = next((at, scope) for network, at, scope in _SCOPES if address in network)
    return at, f"ff0{scope:x}::2:7ffe"


def packet(source: str, hash_: int, payload: bytes, *, is_deletion: bool = False) -> bytes:
    """A SAP packet without authentication, encryption or compression [6]."""
    address = ip_address(source)
    flags = _VERSION << 5 | (_IS_IPV6 if address.version == 6 else 0) | (_IS_DELETION if is_deletion else 0)
    return _HEADER.pack(flags, 0, hash_) + address.packed + _TYPE + payload


def origin(description: str) -> bytes:
    """What a deletion says of a description: its o= line [6]."""
    line = next((line for line in description.split("\r\n") if line.startswith("o=")), "o=")
    return f"{line}\r\n".encode()


Datagram = tuple[bytes, Endpoint]


@dataclass(slots=True)
class _Advertisement:
    """What is told of a session. ``replaced`` goes ahead of it, which deletes what was told before.

    ``deletions`` are left once the session is gone; ``sent`` and ``due`` are s.
    """

    description: str
    hash: int
    group: str
    size: int
    replaced: tuple[Datagram, ...] = ()
    deletions: int = 0
    sent: float = float("-inf")
    due: float = 0.0


class Announcer:
    """Announces sessions from ``sources``, an address of each IP version in which it shall be.

    ``random_bytes`` as a role has them. ``too_large`` are the sessions that no packet can hold: they are not announced.
    """

    def __init__(
        self,
        sources: tuple[str, ...],
        random_bytes: Callable[[int], bytes],
        *,
        interval_s: float = INTERVAL_MINIMUM,
        bandwidth: int = BANDWIDTH,
    ) -> None:
        self._sources = sources
        self._random_bytes = random_bytes
        self._interval_s = interval_s
        self._bandwidth = bandwidth
        self._advertisements: dict[int, _Advertisement] = {}
        self._hashes: set[int] = set()
        self._sizes: dict[str, int] = {}  # bytes of all advertisements of a scope
        self._due: list[tuple[float, int]] = []  # a heap; what is no advertisement's ``due`` any more is passed over
        self.too_large: set[int] = set()

    def __len__(self) -> int:
        """How many sessions are announced."""
        return sum(not each.deletions for each in self._advertisements.values())

    def put(self, session: Announcement, now: float, *, is_known: bool = False) -> None:
        """There is a session, or it has changed. One that ``is_known``, from before a restart, waits for its turn."""
        session_id, description = session.session_id, sdp(session)
        before = self._advertisements.get(session_id)
        if before is not None and not before.deletions and before.description == description:
            return
        size = len(packet("::", 0, description.encode()))
        if size > SIZE_MAXIMUM:
            self.remove(session_id, now)
            self.too_large.add(session_id)
            return
        self.too_large.discard(session_id)
        replaced: tuple[Datagram, ...] = ()
        sent = float("-inf")
        if before is not None:
            sent = before.sent
            replaced = before.replaced or tuple(self._packets(before, is_deletion=True))
            self._forget(session_id)
        found = _Advertisement(description, self._free_hash(description), session.group, size, replaced, sent=sent)
        self._advertisements[session_id] = found
        scope, _ = announced_at(session.group)
        self._sizes[scope] = self._sizes.get(scope, 0) + size
        wait = self._chance() * self._interval_of(found) if is_known else 0.0
        self._set(session_id, found, max(now + wait, sent + CHANGE_SPACING))

    def remove(self, session_id: int, now: float) -> None:
        """A session is gone."""
        self.too_large.discard(session_id)
        found = self._advertisements.get(session_id)
        if found is not None and not found.deletions:
            found.deletions = DELETIONS
            self._set(session_id, found, now)

    def next_deadline(self) -> float | None:
        """When ``due`` wants to be asked next, or None."""
        while self._due and not self._is_awaited(*self._due[0]):
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def due(self, now: float) -> list[Datagram]:
        """The datagrams that go now, each with the group that it goes to."""
        going: list[Datagram] = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            _, session_id = heapq.heappop(self._due)
            found = self._advertisements[session_id]
            going += found.replaced
            going += self._packets(found, is_deletion=bool(found.deletions))
            found.replaced = ()
            found.sent = now
            if not found.deletions:
                self._set(session_id, found, now + self._interval_of(found) * (2 / 3 + 2 / 3 * self._chance()))
                continue
            found.deletions -= 1
            if found.deletions:
                self._set(session_id, found, now + DELETION_SPACING)
            else:
                self._forget(session_id)
        return going

    def _packets(self, of: _Advertisement, *, is_deletion: bool) -> Iterator[Datagram]:
        payload = origin(of.description) if is_deletion else of.description.encode()
        groups = announced_at(of.group)
        for source in self._sources:
            group = groups[":" in source]
            yield packet(source, of.hash, payload, is_deletion=is_deletion), Endpoint(group, PORT)

    def _interval_of(self, found: _Advertisement) -> float:
        """Between two advertisements of a session, in s, but for chance [3.1]."""
        scope, _ = announced_at(found.group)
        return max(self._interval_s, 8 * self._sizes[scope] / self._bandwidth)

    def _chance(self) -> float:
        """A number from 0 to 1."""
        return int.from_bytes(self._random_bytes(2)) / 0xFFFF

    def _set(self, session_id: int, found: _Advertisement, due: float) -> None:
        found.due = due
        heapq.heappush(self._due, (due, session_id))

    def _is_awaited(self, due: float, session_id: int) -> bool:
        found = self._advertisements.get(session_id)
        return found is not None and found.due == due

    def _free_hash(self, description: str) -> int:
        """A hash that no other session of ours has, the same after a restart but for collisions; never 0 [6]."""
        whole = crc32(description.encode())
        found = (whole ^ whole >> 16) & _HASH_MAXIMUM
        while not found or found in self._hashes:
            found = (found + 1) & _HASH_MAXIMUM
        self._hashes.add(found)
        return found

    def _forget(self, session_id: int) -> None:
        gone = self._advertisements.pop(session_id)
        self._hashes.discard(gone.hash)
        scope, _ = announced_at(gone.group)
        self._sizes[scope] -= gone.size
