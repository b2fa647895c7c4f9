"""Messages in a stream: where each begins and ends, since a stream may split and stall at any octet."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agents.core.errors import DecodeError


class Framer:
    """Cuts what one stream brings into whole messages, header included.

    Of the first ``header_size`` octets ``length_in`` says how long the message is, header included; it may raise DecodeError
    for a header that cannot be. None may be longer than ``maximum``, so that a peer can make nobody keep more than that.
    """

    __slots__ = ("_buffer", "_header_size", "_is_broken", "_length_in", "_maximum", "_wanted")

    def __init__(self, header_size: int, length_in: Callable[[bytes], int], maximum: int) -> None:
        self._header_size = header_size
        self._length_in = length_in
        self._maximum = maximum
        self._buffer = bytearray()
        self._wanted = 0  # the length of the message that has begun, 0 while its header is not whole
        self._is_broken = False

    @property
    def pending(self) -> int:
        """How many octets of a message that is not whole have come: a role gives its rest a time of its own."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the stream's next octets, and give the messages that are whole, those before an error first.

        Raises DecodeError ``frame-length``, once, where a length cannot be: where the next message would begin is then not
        known, so nothing more comes of this stream, which is best closed. What is not taken from the iterator comes next time.
        """
        if not self._is_broken:
            self._buffer += data
        return self._messages()

    def _messages(self) -> Iterator[bytes]:
        buffer = self._buffer
        while len(buffer) >= (self._wanted or self._header_size):
            if not self._wanted:
                self._wanted = self._checked_length()
                continue
            message = bytes(buffer[: self._wanted])
            del buffer[: self._wanted]
            self._wanted = 0
            yield message

    def _checked_length(self) -> int:
        try:
            length = self._length_in(bytes(self._buffer[: self._header_size]))
            if not self._header_size <= length <= self._maximum:
                detail = f"a message of {length} octets; {self._header_size} to {self._maximum} may be"
                raise DecodeError("frame-length", detail)
        except DecodeError:
            self._is_broken = True
            self._buffer.clear()
            raise
        return length
