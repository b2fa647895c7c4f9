"""What was said in an MMCP lab, as each interface saw it, in an order in which it is found again without looking at all of it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from captures.dissectors.igmp_mld import MODE_IS_EXCLUDE, TO_EXCLUDE

if TYPE_CHECKING:
    from captures.history.events import Event


@dataclass(frozen=True, slots=True)
class Message:
    """One well-formed MMCP message as one interface saw it; `params` as `dissect` gives them."""

    number: int
    t_ns: int
    interface: str
    source: str
    destination: str
    source_port: int
    destination_port: int
    packet: str
    session_id: int
    f: int
    params: tuple[tuple[Any, ...], ...]

    def parameter(self, name: str) -> tuple[Any, ...] | None:
        """Values of the first parameter of that name; of duplicates the first counts."""
        return next((tuple(values) for kind, *values in self.params if kind == name), None)

    @property
    def mn_id(self) -> str | None:
        """MN Identifier in hex."""
        found = self.parameter("mn_id")
        return None if found is None else str(found[0])


@dataclass(frozen=True, slots=True)
class Membership:
    """One IGMP or MLD report or leave as one interface saw it; `mac` is the link layer's source in hex, or empty.

    `sources`: for each of the groups of `joins` the sources it is joined from, empty for any source.
    """

    number: int
    t_ns: int
    interface: str
    source: str
    mac: str
    version: str
    joins: tuple[str, ...]
    leaves: tuple[str, ...]
    sources: tuple[tuple[str, ...], ...]


def message_of(event: Event, interface: str) -> Message:
    """What an event of MMCP tells."""
    number, t_ns, _, _, kind, source, destination, fields = event
    source_port, port = fields["ports"]
    told = (kind, fields["session"], fields["f"], fields["params"])
    return Message(number, t_ns, interface, source, destination, source_port, port, *told)


def membership_of(event: Event, interface: str) -> Membership:
    """What a report or leave of IGMP or MLD tells."""
    message = event.fields["message"]
    joined = [record for record in message.records if record.joins()]
    return Membership(
        event.number,
        event.t_ns,
        interface,
        event.source,
        event.fields["mac"],
        f"{event.protocol.upper()}v{message.version}",
        joins=tuple(record.group for record in joined),
        leaves=tuple(record.group for record in message.records if record.leaves()),
        sources=tuple(() if record.kind in (MODE_IS_EXCLUDE, TO_EXCLUDE) else record.sources for record in joined),
    )


class _Timed(Protocol):
    """Whatever has a time."""

    @property
    def t_ns(self) -> int:
        """Its time."""
        ...


_Thing = TypeVar("_Thing", bound=_Timed)


class ByTime(Generic[_Thing]):
    """Things by a key, each key's in order of time, in which they are added."""

    def __init__(self) -> None:
        self._times: dict[Hashable, list[int]] = {}
        self._things: dict[Hashable, list[_Thing]] = {}

    def add(self, key: Hashable, thing: _Thing) -> None:
        """Take the next thing of a key."""
        self._times.setdefault(key, []).append(thing.t_ns)
        self._things.setdefault(key, []).append(thing)

    def of(self, key: Hashable) -> list[_Thing]:
        """All of a key."""
        return self._things.get(key, [])

    def between(self, key: Hashable, begin_ns: int, end_ns: int) -> Iterator[_Thing]:
        """Those of a key in a window, both ends included."""
        times = self._times.get(key, [])
        found = self._things.get(key, [])
        return iter(found[bisect_left(times, begin_ns) : bisect_right(times, end_ns)])
