"""Plain values that nobody changes: actions, events, messages and their parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

Value = TypeVar("Value")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[Value]) -> type[Value]:
    """Make ``cls`` a dataclass with slots that compares and hashes by value, and that the type checker holds frozen.

    At run time nothing guards its fields: a frozen dataclass sets each field through ``object.__setattr__``, and takes four
    times as long to make. Every datagram makes several.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
