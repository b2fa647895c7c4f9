"""A role for tests of the runtime: asks for what it is given, and remembers what it is told."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from agents.core.agent import Action, Agent, Endpoint, Event


class Asking(Agent):
    """Asks for ``actions`` when it is started."""

    def __init__(self, *actions: Action) -> None:
        super().__init__()
        self.asked = actions
        self.told: list[Event] = []
        self.heard: list[tuple[str, bytes, Endpoint]] = []
        self.streamed: dict[Hashable, bytes] = {}
        self.restored: dict[str, bytes] = {}

    def restore(self, entries: Mapping[str, bytes]) -> None:
        self.restored.update(entries)

    def start(self, now: float) -> None:
        self.timers.set(("later",), now + 3600)
        for action in self.asked:
            self.act(action)

    def receive(self, data: bytes, source: Endpoint, now: float, port: str = "") -> None:
        self.heard.append((port, data, source))

    def received(self, stream: Hashable, data: bytes, now: float) -> None:
        self.streamed[stream] = self.streamed.get(stream, b"") + data

    def handle(self, event: Event, now: float) -> None:
        self.told.append(event)

    def timer_expired(self, key: object, now: float) -> None:
        pass

    def describe(self) -> Mapping[str, object]:
        return {}
