"""The one error of everything here that reads messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class MalformedMessageError(Exception):
    """The octets are no message of the protocol; the text says what is wrong and at which octet.

    `read` is what could be read all the same, named as `dissect` names it; empty if not even a header could.
    """

    def __init__(self, text: str, read: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.read: dict[str, Any] = dict(read or {})

    def told(self) -> dict[str, Any]:
        """What a malformed message is told by: ``reason``, and ``read`` if anything could be read."""
        return {"reason": str(self), **({"read": self.read} if self.read else {})}
