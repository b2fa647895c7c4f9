"""Who may ask the server for what, and how often: bounds for each source and for all, so that no flood takes everything."""

from __future__ import annotations

from collections import Counter, OrderedDict

HALF_OPEN_MAXIMUM = 1024  # sessions whose description has not come [GI-15]
HALF_OPEN_OF_ADDRESS_MAXIMUM = 16
HALF_OPEN_TIME = 30.0  # s, in which it must
GUESSES_MAXIMUM = 8  # wrong tokens of one address in GUESSES_TIME; its further ones are not looked at [GI-19]
GUESSES_TIME = 60.0  # s
GUESSERS_MAXIMUM = 4096  # addresses whose guesses are counted; of more, those that guessed longest ago are forgotten


class Guesses:
    """Wrong tokens by address, so that none can try them all."""

    __slots__ = ("_by_address",)

    def __init__(self) -> None:
        self._by_address: OrderedDict[str, tuple[float, int]] = OrderedDict()  # since when (s), how many

    def __len__(self) -> int:
        return len(self._by_address)

    def are_too_many(self, address: str, now: float) -> bool:
        """Whether an address has guessed too often."""
        since, count = self._by_address.get(address, (now, 0))
        return now - since < GUESSES_TIME and count >= GUESSES_MAXIMUM

    def wrong(self, address: str, now: float) -> None:
        """An address has sent a wrong token."""
        since, count = self._by_address.pop(address, (now, 0))
        if now - since >= GUESSES_TIME:
            since, count = now, 0
        self._by_address[address] = (since, count + 1)
        if len(self._by_address) > GUESSERS_MAXIMUM:
            self._by_address.popitem(last=False)


class Shares:
    """How many of something each address has, none more than its share."""

    __slots__ = ("_counts", "_maximum")

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._counts: Counter[str] = Counter()

    def has_room(self, address: str) -> bool:
        """Whether an address may have one more."""
        return self._counts[address] < self._maximum

    def add(self, address: str) -> None:
        """It has one more."""
        self._counts[address] += 1

    def remove(self, address: str) -> None:
        """It has one less."""
        self._counts[address] -= 1
        if not self._counts[address]:
            del self._counts[address]
