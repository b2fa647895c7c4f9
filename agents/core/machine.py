"""State machines as tables: the table is enforced at every step, and documentation is drawn from it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Generic, TypeVar

from agents.core.errors import IllegalTransitionError

State = TypeVar("State", bound=Enum)
Input = TypeVar("Input", bound=Enum)


class TransitionTable(Generic[State, Input]):
    """``{state: {input: next state}}``: every step a machine may take; what is not in it is a bug."""

    def __init__(self, name: str, initial: State, steps: Mapping[State, Mapping[Input, State]]) -> None:
        missing = [state.value for state in type(initial) if state not in steps]
        if missing:
            raise ValueError(f"table {name} has no row for: {', '.join(missing)}")
        self.name = name
        self.initial = initial
        self.steps = steps

    def next(self, state: State, on: Input) -> State:
        """The state after ``on`` in ``state``; raises IllegalTransitionError where the table has none."""
        try:
            return self.steps[state][on]
        except KeyError:
            raise IllegalTransitionError(f"{self.name}: no step for {on.value} in {state.value}") from None

    def allows(self, state: State, on: Input) -> bool:
        """Whether the table has a step for ``on`` in ``state``."""
        return on in self.steps[state]

    def mermaid(self) -> str:
        """The table as a Mermaid state diagram, for the documentation."""
        lines = ["stateDiagram-v2", f"    [*] --> {_label(self.initial)}"]
        for state, row in self.steps.items():
            for on, following in row.items():
                lines.append(f"    {_label(state)} --> {_label(following)}: {on.value}")
        return "\n".join(lines)


def _label(state: Enum) -> str:
    return str(state.value).replace("-", "_")
