"""A member's group key: what it is sent, unwrapped, and which generation it holds [G-15, G-18, G-29]."""

from __future__ import annotations

from agents.gmp.keys import WrongKeyError, unwrap, wrapping_key
from agents.gmp.messages import Message

_OCTET = 256
_BEHIND_MAXIMUM = 128  # generations by which a low octet tells that another is newer


class KeyRefusedError(ValueError):
    """A message whose key is of no use; the text is a counter's name."""


class GroupKeys:
    """The key of one session that a member with ``secret`` holds; generation 0 and None: none."""

    __slots__ = ("_secret", "_under", "_under_of", "generation", "key", "roll_over_counter")

    def __init__(self, secret: bytes | None) -> None:
        self._secret = secret
        self._under_of = (0, 0)  # the session and user for whom ``_under`` was derived
        self._under = b""
        self.forget()

    @property
    def has_secret(self) -> bool:
        """Whether a key that comes can be unwrapped."""
        return self._secret is not None

    def forget(self) -> None:
        """Hold none: who has left has no use for it, and should not have one [7.3]."""
        self.generation = 0
        self.key: bytes | None = None
        self.roll_over_counter = 0

    def is_behind(self, low_octet: int) -> bool:
        """Whether KAREQ's octet tells of a newer generation than the one held; 0 tells of none [G-15]."""
        return low_octet != 0 and 0 < (low_octet - self.generation) % _OCTET < _BEHIND_MAXIMUM

    def take(self, message: Message, user_id: int) -> bool:
        """Take the key that a message has, if it is newer than the one held; whether it was.

        Raises KeyRefusedError: no-key, no-secret, wrong-key, old-generation.
        """
        options = message.options
        if options.group_key is None or not options.key_generation:
            raise KeyRefusedError("no-key")
        if self._secret is None:
            raise KeyRefusedError("no-secret")
        if options.key_generation < self.generation:
            raise KeyRefusedError("old-generation")
        try:
            key = unwrap(options.group_key, self._wrapping_key(self._secret, message.session_id, user_id))
        except WrongKeyError:
            raise KeyRefusedError("wrong-key") from None
        if options.key_generation == self.generation and key != self.key:
            raise KeyRefusedError("another-key-of-this-generation")
        is_new = options.key_generation > self.generation
        counter = self.roll_over_counter if options.roll_over_counter is None else options.roll_over_counter
        self.roll_over_counter = counter if is_new else max(counter, self.roll_over_counter)  # one may overtake another
        self.key, self.generation = key, options.key_generation
        return is_new

    def _wrapping_key(self, secret: bytes, *of: int) -> bytes:
        """Derived once for a session and user: whoever floods a member with keys that are none shall cost it little."""
        if of != self._under_of:
            self._under, self._under_of = wrapping_key(secret, *of), (of[0], of[1])
        return self._under
