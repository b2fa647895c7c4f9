"""Octets that are nearly messages, from a seed: the same ones in every run."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence


def with_checksum(data: bytes, offset: int) -> bytes:
    """The octets with the Internet checksum [RFC 1071] of all of them at `offset`, where there is room for it."""
    if len(data) < offset + 2:
        return data
    cleared = data[:offset] + bytes(2) + data[offset + 2 :]
    words = cleared + bytes(len(cleared) % 2)
    total = sum(words[at] << 8 | words[at + 1] for at in range(0, len(words), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return data[:offset] + (0xFFFF - total).to_bytes(2) + data[offset + 2 :]


def with_length(data: bytes, offset: int, octets: int, less: int = 0) -> bytes:
    """The octets with their number, less `less`, at `offset`, where there is room for it."""
    if len(data) < max(offset + octets, less):
        return data
    return data[:offset] + (len(data) - less).to_bytes(octets) + data[offset + octets :]


def length_before(octets: int) -> Callable[[bytes], bytes]:
    """What puts a message into a stream: its length in front of it."""
    return lambda message: len(message).to_bytes(octets) + message


def wrong_messages(
    messages: Sequence[bytes],
    seed: int,
    count: int,
    seal: Callable[[bytes], bytes] = bytes,
    arrives: Callable[[bytes], bool] = bool,
) -> list[bytes]:
    """`count` samples made of well-formed messages: cut, changed, with other lengths, spliced; and arbitrary octets.

    `seal` puts a right checksum into half of them, so that what is behind it is looked at too. Only those for which
    `arrives` is true are given; by default all but empty ones.
    """
    chance = random.Random(seed)
    samples: list[bytes] = []
    while len(samples) < count:
        message = bytearray(chance.choice(messages))
        match chance.randrange(5):
            case 0:
                del message[chance.randrange(len(message)) :]
            case 1:
                for _ in range(chance.randint(1, 3)):
                    message[chance.randrange(len(message))] = chance.choice((0, 1, 2, 255, chance.randrange(256)))
            case 2:
                at = chance.randrange(len(message))
                message[at] = (message[at] + chance.choice((-4, -1, 1, 4))) % 256
            case 3:
                at = chance.randrange(len(message))
                message[at:] = chance.choice(messages)[at:] + chance.randbytes(chance.randrange(5))
            case _:
                keep = chance.randrange(min(len(message), 12))
                message[keep:] = chance.randbytes(chance.randrange(40))
        sample = seal(bytes(message)) if chance.random() < 0.5 else bytes(message)
        if arrives(sample):
            samples.append(sample)
    return samples
