"""The interfaces of a capture: when each was heard, what it saw twice, and what the tunnels seen there are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from captures.wire.headers import LINKTYPE_LINUX_SLL

INTERFACES_MAX = 65_536  # nor one whose every frame is of another VLAN
_TUNNELS_MAX = 1024

COPY_NS = 10_000
"""Equal frames one behind the other at an interface are one packet captured twice, as bridges and mirrors show it.

A process takes longer to send the same again, as one does that is asked several times while it is stopped: 24 µs were seen.
"""


class Heard:
    """What an interface heard: times of its first and last frame in ns, and the last one's octets."""

    __slots__ = ("first_ns", "last_ns", "octets")

    def __init__(self, t_ns: int) -> None:
        self.first_ns = self.last_ns = t_ns
        self.octets: bytes | None = None

    def at(self, t_ns: int) -> None:
        """A frame was captured."""
        if t_ns > self.last_ns:
            self.last_ns = t_ns
        elif t_ns < self.first_ns:
            self.first_ns = t_ns


class Interfaces:
    """What each interface heard.

    `began`: when each was heard for the first time, in the order of the file. `copies`: by interface, frames that came right
    behind one that is the same.
    """

    def __init__(self) -> None:
        self.began: dict[str, int] = {}
        self.heard: dict[str, Heard] = {}
        self.copies: Counter[str] = Counter()

    def see(self, name: str, t_ns: int) -> Heard | None:
        """A frame was captured at the interface; what it heard is None where there is no room for one more."""
        heard = self.heard.get(name)
        if heard is not None:
            heard.at(t_ns)
        elif len(self.heard) < INTERFACES_MAX:
            self.began[name] = t_ns
            heard = self.heard[name] = Heard(t_ns)
        return heard

    def is_copy(self, name: str, t_ns: int, link_type: int, octets: bytes) -> bool:
        """A frame was captured at the interface; whether it is the one before, captured once more."""
        before = self.heard.get(name)
        at_once = before is not None and -COPY_NS < t_ns - before.last_ns < COPY_NS
        heard = self.see(name, t_ns)
        if heard is None:
            return False
        if link_type == LINKTYPE_LINUX_SLL:
            octets = octets[2:]  # without where the packet goes to, in which copies differ
        if at_once and octets == heard.octets:
            self.copies[name] += 1
            return True
        heard.octets = octets
        return False

    def silent(self, named: Iterable[str]) -> list[str]:
        """Those of the interfaces named that heard nothing."""
        return [name for name in dict.fromkeys(named) if name not in self.heard]


class Tunnels:
    """Names for the tunnels between two addresses, the same in both directions: ``tunnel1``, beyond so many ``tunnels``."""

    def __init__(self) -> None:
        self._names: dict[frozenset[str], str] = {}

    def name(self, ends: tuple[str, str]) -> str:
        """The name of the tunnel with these ends."""
        key = frozenset(ends)
        name = self._names.get(key)
        if name is None:
            if len(self._names) >= _TUNNELS_MAX:
                return "tunnels"
            name = self._names[key] = f"tunnel{len(self._names) + 1}"
        return name

    def named(self) -> dict[str, tuple[str, ...]]:
        """The ends of each tunnel by its name."""
        return {name: tuple(sorted(ends)) for ends, name in self._names.items()}
