"""The server's changes on their way to the disk, in order and in groups: one group at a time, the next one gathers meanwhile.

What a peer is told must be on disk before. What waits for that is called when the group with its changes is there, or is refused if it
cannot be written; what nobody waits for, and what must be (``insist``), is written again until it is. A server that keeps nothing answers at
once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agents.core.agent import Agent, Commit, Committed, Notify
from agents.core.timers import TimerKey

Told = Callable[[float], None]
Changes = Mapping[str, bytes | None]

WAITING_MAXIMUM = 8192  # changes that wait for a group; more are refused
RETRY_TIME = 1.0  # s, until what could not be written is tried again
TIMER: TimerKey = ("ledger",)


class _Group:
    """Changes that go to the disk together, and who waits for them."""

    __slots__ = ("changes", "insisted", "waiting")

    def __init__(self) -> None:
        self.changes: dict[str, bytes | None] = {}
        self.insisted: dict[str, bytes | None] = {}  # of them, those that must be written
        self.waiting: list[tuple[Told, Told]] = []


class Ledger:
    """The changes of ``role``, which hands it Committed and its TIMER."""

    __slots__ = ("_gathering", "_number", "_on_its_way", "_role", "fault", "is_durable")

    def __init__(self, role: Agent, *, is_durable: bool) -> None:
        self._role = role
        self.is_durable = is_durable
        self._gathering = _Group()
        self._on_its_way: _Group | None = None
        self._number = 0
        self.fault = ""  # why the last group could not be written, "" for all is well

    def put(self, changes: Changes, done: Told, refused: Told, now: float) -> None:
        """Call ``done`` when the changes are on disk, after all that was put before, or ``refused``."""
        if not self.is_durable:
            done(now)
        elif len(self._gathering.waiting) >= WAITING_MAXIMUM:
            self._role.counters.add("refused.too-many-changes")
            refused(now)
        else:
            self._gathering.changes.update(changes)
            self._gathering.waiting.append((done, refused))
            self._write()

    def insist(self, changes: Changes, done: Told, now: float) -> None:
        """Call ``done`` when the changes are on disk or cannot be; they are written as soon as can be."""
        if self.is_durable:
            self._gathering.insisted.update(changes)
            self._gathering.changes.update(changes)
        self.put({}, done, done, now)

    def note(self, changes: Changes) -> None:
        """Write changes for which nobody waits."""
        if self.is_durable:
            self._gathering.insisted.update(changes)
            self._gathering.changes.update(changes)
            self._write()

    def committed(self, event: Committed, now: float) -> None:
        """A group is on disk, or is not."""
        group = self._on_its_way
        if group is None or event.key != self._number:
            self._role.counters.add("ignored.Committed")
            return
        self._tell(event)
        if not event.succeeded:
            again = self._gathering
            again.insisted = {**group.insisted, **again.insisted}
            again.changes = {**group.insisted, **again.changes}
        faults: list[Exception] = []
        for done, refused in group.waiting:
            try:
                (done if event.succeeded else refused)(now)
            except Exception as fault:  # noqa: BLE001  raised below: the others of the group are told all the same
                faults.append(fault)
        self._on_its_way = None
        self._begin_with_the_next(event, now)
        if faults:
            raise ExceptionGroup("some who waited for a commit could not take it", faults)

    def _begin_with_the_next(self, event: Committed, now: float) -> None:
        if self._gathering.waiting or (event.succeeded and self._gathering.changes):
            self._write()
        elif self._gathering.changes:
            self._role.timers.set(TIMER, now + RETRY_TIME)

    def _write(self) -> None:
        """Begin with the group that gathers, unless another is on its way or what failed waits for its time."""
        if self._on_its_way is not None or (TIMER in self._role.timers and not self._gathering.waiting):
            return
        self._role.timers.cancel(TIMER)
        group, self._gathering = self._gathering, _Group()
        self._on_its_way = group
        self._number += 1
        self._role.counters.add("commits")
        self._role.counters.add("commits.waited-for", len(group.waiting))
        self._role.act(Commit(self._number, group.changes))

    def try_again(self) -> None:
        """What could not be written is tried again."""
        if self._gathering.changes:
            self._write()

    def _tell(self, event: Committed) -> None:
        """Say when the disk begins to fail, and when it is well again."""
        before, self.fault = self.fault, "" if event.succeeded else event.reason or "unknown"
        if event.succeeded:
            if before:
                self._role.act(Notify("storage-healed", {}))
        else:
            self._role.counters.add("failed.commits")
            if before != self.fault:
                self._role.act(Notify("storage-failed", {"reason": self.fault}))
