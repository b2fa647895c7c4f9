"""A mapping of bounded size: what reads or judges a capture of any length keeps state in nothing else."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

STATE_MAX = 4096

_K = TypeVar("_K")
_V = TypeVar("_V")


class Bounded(Generic[_K, _V]):
    """A mapping that forgets what was not used for longest once it is full; `evicted` counts that."""

    def __init__(self, limit: int = STATE_MAX) -> None:
        self._limit = limit
        self._found: OrderedDict[_K, _V] = OrderedDict()
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: _K) -> _V | None:
        """Look up, and count as used."""
        value = self._found.get(key)
        if value is not None:
            self._found.move_to_end(key)
        return value

    def set(self, key: _K, value: _V) -> None:
        """Keep, and forget the oldest if there is no room."""
        self._found[key] = value
        self._found.move_to_end(key)
        if len(self._found) > self._limit:
            self._found.popitem(last=False)
            self.evicted += 1

    def obtain(self, key: _K, make: Callable[[], _V]) -> _V:
        """Look up, or make and keep."""
        value = self.get(key)
        if value is None:
            value = make()
            self.set(key, value)
        return value

    def pop(self, key: _K) -> _V | None:
        """Take out."""
        return self._found.pop(key, None)

    def keys(self) -> list[_K]:
        """Keys of all of them, in the order of `values`."""
        return list(self._found)

    def values(self) -> list[_V]:
        """All of them, as they are now."""
        return list(self._found.values())
