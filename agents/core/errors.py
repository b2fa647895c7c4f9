"""Two kinds of error, never mixed: the peer's (counted and survived) and ours (raised, with what to do)."""

from __future__ import annotations


class DecodeError(ValueError):
    """A datagram that is no message of the protocol: the peer's error. It is counted by ``reason`` and never answered.

    ``reason`` is a short, stable word used as a counter name; ``detail`` says where in the datagram and what was seen.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class EncodeError(ValueError):
    """A message that cannot be put on the wire: our own error, or bad input of the ``encode`` command."""


class ConfigurationError(ValueError):
    """A configuration that no agent should start with; says which key, what was found and the remedy."""

    def __init__(self, key: str, found: str, remedy: str) -> None:
        super().__init__(f"{key}: {found}; {remedy}")
        self.key = key
        self.found = found
        self.remedy = remedy

    def in_file(self, path: object) -> ConfigurationError:
        """The same fault, naming the file that it stands in."""
        return ConfigurationError(f"{path}: {self.key}", self.found, self.remedy)


class IllegalTransitionError(RuntimeError):
    """A role asked its state machine for a step that its table does not have: a bug of the role."""
