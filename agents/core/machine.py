"""State machines as tables: the table is enforced at every step, and documentation is drawn from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Generic, TypeVar

from agents.core.agent import Agent
from agents.core.errors import IllegalTransitionError

State = TypeVar("State", bound=Enum)
Input = TypeVar("Input", bound=Enum)


class Label(Enum):
    """What states and inputs are made of: each is itself, and is looked up as that.

    An Enum's own hash is a Python function, which takes longer than the rest of a step.
    """

    __hash__ = object.__hash__


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
        names = [f'    state "{_text(state.value)}" as {_name(state)}' for state in self.steps]
        lines = ["stateDiagram-v2", *names, f"    [*] --> {_name(self.initial)}"]
        for state, row in self.steps.items():
            for on, following in row.items():
                lines.append(f"    {_name(state)} --> {_name(following)}: {_text(on.value)}")
        return "\n".join(lines)


class Machine(Generic[State, Input]):
    """The state of one thing of a role, such as a session, changed by its table alone and traced each time."""

    __slots__ = ("_owner", "_subject", "_table", "state")

    def __init__(self, table: TransitionTable[State, Input], owner: Agent, **subject: object) -> None:
        self._table = table
        self._owner = owner
        self._subject = subject
        self.state: State = table.initial

    def move(self, on: Input) -> State:
        """Take the table's step for ``on``; raises IllegalTransitionError where there is none."""
        before = self.state
        self.state = self._table.next(before, on)
        if self._owner.keeps_history:
            self._owner.trace(
                "state",
                machine=self._table.name,
                **{"from": str(before.value), "to": str(self.state.value), "on": str(on.value)},
                **self._subject,
            )
        return self.state

    def allows(self, on: Input) -> bool:
        """Whether the table has a step for ``on`` now."""
        return self._table.allows(self.state, on)


_NOT_IN_A_NAME = re.compile(r"\W", re.ASCII)
# What ends a Mermaid label or text (colon, semicolon, quotes, newline), begins a comment or an entity (percent sign,
# number sign), or would be taken for HTML.
_NOT_IN_A_TEXT = re.compile(r"[:;\"\n%#&<>]")


def _name(state: Enum) -> str:
    """A Mermaid identifier for ``state``: hyphens and the like would be arrows there, and a bare word a keyword."""
    return "s_" + _NOT_IN_A_NAME.sub("_", str(state.value))


def _text(value: object) -> str:
    """``value`` as Mermaid text: what its grammar gives a meaning is written as a numeric entity."""
    return _NOT_IN_A_TEXT.sub(lambda found: f"#{ord(found.group())};", str(value))
