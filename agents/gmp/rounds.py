"""When each active member of a session is asked whether it is there: once in a period, and not all at one instant.

A period has slots, and a member stands in one. It comes first at the end of the period in which it was added, never later, and then once in
a period. A slot that is much fuller than others takes nobody more: who would have come there comes earlier.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agents.gmp.session import Member

_SLOTS_MAXIMUM = 64  # of a period
_SLOT_MINIMUM = 0.05  # s
_ROOM = 32  # members that a slot has room for, whatever the others hold


class Rounds:
    """The rounds of a session with a ``period`` (s).

    ``awaited`` is for when their timer is set (s), infinity for never; ``is_early``: somebody comes before that.
    """

    __slots__ = ("_begin", "_count", "_slots", "_turn", "_width", "awaited", "is_early")

    def __init__(self, period: float) -> None:
        self._slots: list[dict[int, Member]] = []
        self._count = 0
        self._begin = 0.0  # s, when turn 0 is due
        self._turn = 0  # the next turn, whose slot is the remainder by the number of slots
        self._width = 0.0
        self.awaited = inf
        self.is_early = False
        self.pace(period)

    def __len__(self) -> int:
        return self._count

    def pace(self, period: float) -> None:
        """Another period: who is there is spread over it."""
        members = [member for slot in self._slots for member in slot.values()]
        number = max(1, min(_SLOTS_MAXIMUM, int(period / _SLOT_MINIMUM)))
        self._begin = self.next_time or 0.0
        self._turn = 0
        self._width = period / number
        self._slots = [{} for _ in range(number)]
        for position, member in enumerate(members):
            self._place(member, position % number)

    def add(self, member: Member, now: float) -> None:
        """A member was asked now, and is asked again within a period."""
        if not self._count:
            self._begin, self._turn = now, 1
        number = len(self._slots)
        full = _ROOM + self._count // number
        latest = self._turn - 1  # it comes again as the last
        by_now = min(int((now - self._begin) / self._width), latest + number)
        if not any(self._slots[turn % number] for turn in range(self._turn, by_now + 1)):
            latest = max(latest, by_now)  # nobody stands in the slots that have gone by since
            self._turn = latest + 1
        turn = latest + number
        for earlier in range(number):
            if len(self._slots[(turn - earlier) % number]) <= full:
                turn -= earlier
                break
        self._count += 1
        self._place(member, turn % number)
        if self._begin + turn * self._width < self.awaited:
            self.is_early = True

    def spread(self, member: Member, now: float) -> None:
        """A member of which it is not known when it was asked: it comes somewhen within a period."""
        if not self._count:
            self._begin, self._turn = now, 0
        self._place(member, self._count % len(self._slots))
        self._count += 1

    def _place(self, member: Member, index: int) -> None:
        member.slot = index
        self._slots[index][member.user_id] = member

    def remove(self, member: Member) -> None:
        """A member is asked no more."""
        del self._slots[member.slot][member.user_id]
        self._count -= 1

    @property
    def next_time(self) -> float | None:
        """When members are to be asked next (s), or None where there are none."""
        number = len(self._slots)
        for turn in range(self._turn, self._turn + number if self._count else self._turn):
            if self._slots[turn % number]:
                return self._begin + turn * self._width
        return None

    def due(self, now: float) -> list[Member]:
        """Those whose turn has come, in order."""
        found: list[Member] = []
        number = len(self._slots)
        missed = int((now - self._begin) / self._width) - self._turn
        if missed > number:  # the machine has slept: nobody is asked twice for that
            self._turn += missed // number * number
        while (time := self.next_time) is not None and time <= now:
            self._turn = round((time - self._begin) / self._width)
            found += self._slots[self._turn % number].values()
            self._turn += 1
        return found
