"""Where messages on a TCP connection begin and end: several in one segment, one over several segments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from captures.wire.malformed import MalformedMessageError

Read = TypeVar("Read")
Dissected = tuple[str, dict[str, Any]]
"""A message's kind in its protocol, and its fields."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A stream cut into messages.

    messages: octet at which each begins in the stream, and its octets.
    rest: what follows the last whole message: the beginning of another one, if there is no problem.
    problem: why no message can be found in the rest, whatever comes, or None.
    """

    messages: list[tuple[int, bytes]]
    rest: bytes
    problem: str | None


@dataclass(frozen=True, slots=True)
class Framing:
    """Where a message's length stands and what it counts.

    length_at, length_octets: place and size of the length, in octets from where a message's frame begins.
    prefix_octets: octets in front of the message that its length does not count.
    smallest, largest: what the length may be; nothing behind another one can be trusted.
    """

    length_at: int
    length_octets: int
    prefix_octets: int
    smallest: int
    largest: int

    def cut(self, octets: bytes) -> Cut:
        """Cut a stream, which begins where a message does, into messages."""
        messages: list[tuple[int, bytes]] = []
        offset = 0
        problem = None
        while (at := offset + self.length_at) + self.length_octets <= len(octets):
            length = int.from_bytes(octets[at : at + self.length_octets])
            if not self.smallest <= length <= self.largest:
                problem = f"octet {at}: length {length} is not in {self.smallest} to {self.largest}"
                break
            begin = offset + self.prefix_octets
            if begin + length > len(octets):
                break
            messages.append((begin, octets[begin : begin + length]))
            offset = begin + length
        return Cut(messages, octets[offset:], problem)

    def join(self, messages: Iterable[bytes]) -> bytes:
        """Put messages on a stream."""
        return b"".join(self._prefix(message) + message for message in messages)

    def _prefix(self, message: bytes) -> bytes:
        return len(message).to_bytes(self.prefix_octets) if self.prefix_octets else b""

    def read(self, octets: bytes, dissect: Callable[[bytes], Read]) -> tuple[list[Read], bytes]:
        """Read a stream strictly: every whole message, and the octets of a message that has only begun.

        Raises `MalformedMessageError`, with the number and place of the message, for one that `dissect` refuses.
        """
        cut = self.cut(octets)
        found = []
        for number, (begin, message) in enumerate(cut.messages, 1):
            try:
                found.append(dissect(message))
            except MalformedMessageError as error:
                raise MalformedMessageError(f"message {number} at octet {begin}: {error}", error.read) from None
        if cut.problem:
            raise MalformedMessageError(cut.problem)
        return found, cut.rest
