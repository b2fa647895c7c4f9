"""Counters by name: what was sent, received, dropped (and why), resent or given up. They only grow."""

from __future__ import annotations

from collections.abc import Mapping


class Counters(dict[str, int]):
    """Named counters, each starting at 0 when first counted."""

    __slots__ = ()

    def add(self, name: str, amount: int = 1) -> None:
        """Add ``amount`` (0 or more) to the counter ``name``, such as ``dropped.too-short``."""
        if amount < 0:
            raise ValueError(f"counter {name}: {amount} is negative, counters only grow")
        self[name] = self.get(name, 0) + amount  # not +=: subscripting a subclass of dict is slow

    def __missing__(self, name: str) -> int:
        return 0

    def snapshot(self) -> Mapping[str, int]:
        """A copy of all counters, sorted by name."""
        return dict(sorted(self.items()))
