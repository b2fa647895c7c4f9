"""The interfaces of a capture: since when and until when each was heard, and what the tunnels seen there are called."""

from __future__ import annotations

from typing import NamedTuple

_INTERFACES_MAX = 65_536  # nor one whose every frame is of another VLAN
_TUNNELS_MAX = 1024


class Span(NamedTuple):
    """Times of the first and the last frame in ns."""

    first_ns: int
    last_ns: int


class Interfaces:
    """When each interface was heard. `began`: when that was for the first time, in the order of the file."""

    def __init__(self) -> None:
        self.began: dict[str, int] = {}
        self._times: dict[str, list[int]] = {}

    def see(self, name: str, t_ns: int) -> None:
        """A frame was captured at the interface."""
        times = self._times.get(name)
        if times is None:
            if len(self.began) < _INTERFACES_MAX:
                self.began[name] = t_ns
                self._times[name] = [t_ns, t_ns]
        elif t_ns > times[1]:
            times[1] = t_ns
        elif t_ns < times[0]:
            times[0] = t_ns

    def spans(self) -> dict[str, Span]:
        """By interface, in the order in which they were first heard."""
        return {name: Span(*times) for name, times in self._times.items()}


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
