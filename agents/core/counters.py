"""Counters by name: what was sent, received, dropped (and why), resent or given up. They only grow."""

from __future__ import annotations

from collections.abc import Mapping


class Counters:
    """Named counters, each starting at 0 when first counted."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[str, int] = {}

    def add(self, name: str, amount: int = 1) -> None:
        """Add ``amount`` (0 or more) to the counter ``name``, such as ``dropped.too-short``."""
        if amount < 0:
            raise ValueError(f"counter {name}: {amount} is negative, counters only grow")
        try:
            self._values[name] += amount
        except KeyError:
            self._values[name] = amount

    def __getitem__(self, name: str) -> int:
        return self._values.get(name, 0)

    def snapshot(self) -> Mapping[str, int]:
        """A copy of all counters, sorted by name."""
        return dict(sorted(self._values.items()))
