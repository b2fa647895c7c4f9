"""What a lab does to its routers: members that come and go, joins and prunes, and for how many streams they have state at once.

Read from the wire alone. Reports, leaves and queries are those that passed a router's own interface; of two routers the joins and
prunes that one sent the other. State is what these leave behind: an entry for each source and group that a neighbour has joined and
not pruned, while its holdtime lasts, and one for each group that somebody on a link of the router has joined and not left.
Where the scenario tells of handovers, only what happened during one counts, and state at any time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from captures.history.participants import ROUTER, Participants

if TYPE_CHECKING:
    from captures.files.capture import Step
    from captures.history.events import Event
    from captures.history.history import History
    from captures.wire.rtp import Streams

COUNTED = ("reports", "leaves", "queries", "joins_sent", "prunes_sent", "joins_received", "prunes_received")

_SECOND = 1_000_000_000
_FOR_EVER = 0xFFFF  # a holdtime that does not run out [RFC 7761 4.9.5]


class _Entries:
    """The state of one router: by what it is owed to, when that runs out."""

    def __init__(self) -> None:
        self.peak = 0
        self._until: dict[tuple[str, ...], float] = {}
        self._entries: Counter[tuple[str, str]] = Counter()

    def add(self, source: str, group: str, owed_to: str, now_ns: int, until_ns: float) -> None:
        for key, ends_ns in list(self._until.items()):
            if ends_ns < now_ns:
                self._remove(key)
        key = (source, group, owed_to)
        if key not in self._until:
            self._entries[source, group] += 1
        self._until[key] = until_ns
        self.peak = max(self.peak, len(self._entries))

    def remove(self, source: str, group: str, owed_to: str) -> None:
        self._remove((source, group, owed_to))

    def _remove(self, key: tuple[str, ...]) -> None:
        if self._until.pop(key, None) is not None:
            entry = (key[0], key[1])
            self._entries[entry] -= 1
            if not self._entries[entry]:
                del self._entries[entry]


class RouterLoad:
    """Gathers it for every router that a lab's model names."""

    protocols = frozenset({"igmp", "mld", "pim", "step"})

    def __init__(self) -> None:
        self._participants = Participants()
        self._open: set[str] = set()
        self._tells_of_handovers = False
        self._always: Counter[tuple[str, str]] = Counter()
        self._during: Counter[tuple[str, str]] = Counter()
        self._entries: dict[str, _Entries] = {}

    def learn(self, step: Step, streams: Streams) -> None:
        """The ``parameters`` step tells nothing of routers."""

    def finish(self, history: History, interfaces: Mapping[str, int], truncated: str | None) -> None:
        """There is nothing to conclude at the end."""

    def event(self, event: Event) -> None:
        """Take the next event."""
        self._participants.learn(event)
        match event.protocol, event.kind:
            case "step", "handover_begin":
                self._tells_of_handovers = True
                self._open.add(str(event.fields.get("handover")))
            case "step", "handover_end":
                self._open.discard(str(event.fields.get("handover")))
            case "pim", "join-prune":
                self._join_prune(event)
            case (("igmp" | "mld"), ("report" | "leave" | "query")):
                if self._participants.participant(event.node).role == ROUTER:
                    self._membership(event)
            case _:
                pass

    def _count(self, router: str, what: str, number: int = 1) -> None:
        self._always[router, what] += number
        if self._open:
            self._during[router, what] += number

    def _membership(self, event: Event) -> None:
        router, message, sender = event.node, event.fields["message"], self._participants.sender(event)
        if event.kind == "query":
            if sender == router:
                self._count(router, "queries")
            return
        if self._participants.participant(sender).role == ROUTER:
            return  # what routers join for themselves is no lab's doing
        entries = self._entries.setdefault(router, _Entries())
        told = False
        for record in message.records:
            if _stays_on_link(record.group):
                continue
            told = True
            member = f"{event.interface} {event.source}"
            if record.joins():
                entries.add("*", record.group, member, event.t_ns, float("inf"))
            elif record.leaves():
                entries.remove("*", record.group, member)
        if told:
            self._count(router, "leaves" if event.kind == "leave" else "reports")

    def _join_prune(self, event: Event) -> None:
        """Each link between routers is captured once, so each message is seen once."""
        fields, sender = event.fields, self._participants.sender(event)
        here, there = event.node, self._participants.across(event.interface)
        receiver = here if sender == there else there
        joins, prunes = fields["joins"], fields["prunes"]
        self._count(sender, "joins_sent", len(joins))
        self._count(sender, "prunes_sent", len(prunes))
        if receiver is None:
            return
        self._count(receiver, "joins_received", len(joins))
        self._count(receiver, "prunes_received", len(prunes))
        entries, holdtime = self._entries.setdefault(receiver, _Entries()), fields["holdtime"]
        until_ns = float("inf") if holdtime == _FOR_EVER else event.t_ns + holdtime * _SECOND
        for source, group in joins:
            entries.add(source, group, sender, event.t_ns, until_ns)
        for source, group in prunes:
            entries.remove(source, group, sender)

    def records(self) -> list[dict[str, Any]]:
        """A record for each router: ``router``, what is `COUNTED`, and ``peak_entries``."""
        counted = self._during if self._tells_of_handovers else self._always
        return [
            {
                "router": each.name,
                **{what: counted[each.name, what] for what in COUNTED},
                "peak_entries": self._entries[each.name].peak if each.name in self._entries else 0,
            }
            for each in self._participants.all()
            if each.role == ROUTER
        ]


@lru_cache(maxsize=1024)
def _stays_on_link(group: str) -> bool:
    """Whether no router forwards the group."""
    address = ip_address(group)
    packed = address.packed
    return packed[:3] == b"\xe0\x00\x00" if address.version == 4 else packed[1] & 15 <= 2
