"""Ways to spoil a scripted link that any protocol's cases use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.captures.scripted_link import ScriptedLink

Spoil = Callable[[ScriptedLink], object]


def bigger(frame_data: bytes) -> bytes:
    """The IP packet of a frame with hop limit 2."""
    at = 22 if frame_data[12:14] == b"\x08\x00" else 21
    return frame_data[:at] + b"\x02" + frame_data[at + 1 :]


def hops(pattern: str) -> Spoil:
    return lambda link: link.change(pattern, lambda frame: replace(frame, data=bigger(frame.data)))


def flip_last(pattern: str) -> Spoil:
    """Damage the payload behind its checksum."""
    return lambda link: link.change(
        pattern, lambda frame: replace(frame, data=frame.data[:-1] + bytes([frame.data[-1] ^ 1]))
    )


def both(*spoils: Spoil) -> Spoil:
    return lambda link: [spoil(link) for spoil in spoils]
