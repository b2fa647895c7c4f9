"""The lab's stream as it was seen at one interface."""

from __future__ import annotations

from array import array
from typing import Protocol


class Flow(Protocol):
    """The data packets at one interface, in order of time: frame numbers and times."""

    @property
    def number(self) -> array[int]:
        """Frame numbers."""

    @property
    def t_ns(self) -> array[int]:
        """Times."""

    def span(self, begin_ns: int, end_ns: int, /) -> range:
        """Indexes of the packets with ``begin_ns <= time <= end_ns``."""
