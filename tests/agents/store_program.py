"""Run by the tests of the store, in a process of its own that can be killed: ``python -m tests.agents.store_program FILE WORD``.

``count``: commits 1, 2, 3 and so on under one key, and prints each number once the role is told that it is on disk.
``full``: commits while its files may not grow, and again when they may, and prints what it is told.
"""

from __future__ import annotations

import asyncio
import resource
import sys

from agents.core.agent import Commit, Committed, End, Event
from agents.runtime.configuration import RuntimeConfiguration
from agents.runtime.host import AgentHost
from tests.agents.roles import Asking


class Counting(Asking):
    """Counts on disk."""

    def start(self, now: float) -> None:
        self.act(Commit(1, {"count": b"1"}))

    def handle(self, event: Event, now: float) -> None:
        assert isinstance(event, Committed)
        assert event.succeeded
        print("on disk", event.key, flush=True)
        number = int(str(event.key)) + 1
        self.act(Commit(number, {"count": b"%d" % number, f"row {number}": b"x" * 100}))


class Filling(Asking):
    """Commits three times: before, while and after there is no room."""

    def start(self, now: float) -> None:
        self.act(Commit("before", {"a": b"1"}))

    def handle(self, event: Event, now: float) -> None:
        assert isinstance(event, Committed)
        print(event.key, event.succeeded, event.reason, flush=True)
        match event.key:
            case "before":
                resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
                self.act(Commit("full", {"a": b"2", "b": b"x" * 1_000_000}))
                self.act(Commit("small", {"c": b"3"}))
            case "small":
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                self.act(Commit("after", {"b": b"y" * 1_000_000}))
            case "after":
                self.act(End())


if __name__ == "__main__":
    role = {"count": Counting, "full": Filling}[sys.argv[2]]()
    sys.exit(asyncio.run(AgentHost(role, RuntimeConfiguration(store=sys.argv[1])).run()))
