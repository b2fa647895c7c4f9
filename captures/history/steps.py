"""Scenario steps as events: what a step does not say again is known from earlier ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from captures.files.capture import Step
from captures.history.events import LINK_STEP, STEP, Event
from captures.history.parameters import Named, named_in
from captures.wire.bounded import Bounded


class StepReader:
    """Makes events of steps, and learns from them whom later ones are about."""

    def __init__(self) -> None:
        self._node_of_handover: Bounded[str, str] = Bounded()
        self._named: Bounded[str, Named] = Bounded()

    @property
    def evicted(self) -> int:
        """Handovers and names that were forgotten for lack of room."""
        return self._node_of_handover.evicted + self._named.evicted

    def event(self, step: Step) -> Event:
        """The step as an event, with the node or the interface of a node that it is about."""
        fields = {name: value for name, value in step.fields.items() if name not in ("t_ns", "step")}
        if step.name == "parameters":
            self._learn(fields)
        handover = str(fields.get("handover"))
        said = (fields.get(word) for word in ("node", "mn", "role"))
        where = str(next(filter(None, said), None) or self._node_of_handover.get(handover) or "")
        named = self._named.get(where)
        if named is not None:
            where = named.name
        if step.name == "handover_begin":
            self._node_of_handover.set(handover, where)
        if step.name.startswith(LINK_STEP):
            interface = str(fields.get("interface") or (named.interface if named is not None else ""))
            if interface:
                where = f"{where}:{interface}" if where and ":" not in interface else interface
        return Event(step.number, step.t_ns, where, STEP, step.name, "", "", fields)

    def _learn(self, parameters: Mapping[str, Any]) -> None:
        for named in named_in(parameters):
            self._named.set(named.name, named)
            self._named.set(named.called, named)
