"""The durable store of a role in virtual time: what survives when its machine is lost at any moment."""

from __future__ import annotations

from collections.abc import Callable

from agents.core.agent import Commit


class Store:
    """``entries`` are on disk; commits under way become durable one after the other, each wholly or not at all.

    ``failure`` is why nothing can be written, such as "no space left on device"; "" while all is well.
    """

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}
        self.under_way: list[Commit] = []
        self.failure = ""

    def finish(self) -> Commit:
        """The oldest commit under way has come to its end: it is on disk, unless the store fails."""
        commit = self.under_way.pop(0)
        if not self.failure:
            self._write(commit)
        return commit

    def lose_power(self, chance: Callable[[], float]) -> None:
        """The machine is lost: of the commits under way some, the oldest first, have come to the disk; nobody was told."""
        arrived = int(chance() * (len(self.under_way) + 1)) if self.under_way and not self.failure else 0
        for commit in self.under_way[:arrived]:
            self._write(commit)
        self.under_way.clear()

    def _write(self, commit: Commit) -> None:
        for key, value in commit.changes.items():
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value
