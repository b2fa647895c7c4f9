"""The walk over type-length-value parameters that most of the protocols share."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from struct import error as struct_error

from agents.core.errors import DecodeError


def walk(data: bytes, start: int, header: Struct, kind: str) -> Iterator[tuple[int, int, int]]:
    """Yield ``(type, first value byte, end)`` offsets of each parameter of ``data`` from ``start`` to its end.

    ``header`` unpacks to (type, length); the length counts header and value together, in bytes, and there is no
    padding. Raises DecodeError ``parameter-overrun`` where a parameter leaves the datagram and ``parameter-size``
    where its length is smaller than its own header. ``kind`` names the protocol in the error's detail.
    """
    end_of_data = len(data)
    position = start
    size = header.size
    unpack_from = header.unpack_from
    while position < end_of_data:
        try:
            code, length = unpack_from(data, position)
        except struct_error:
            raise DecodeError(
                "parameter-overrun", f"{kind} parameter at byte {position}: no room for its header"
            ) from None
        end = position + length
        if length < size:
            raise DecodeError("parameter-size", f"{kind} parameter {code} at byte {position}: length {length} < {size}")
        if end > end_of_data:
            raise DecodeError(
                "parameter-overrun", f"{kind} parameter {code} at byte {position} ends at {end} of {end_of_data}"
            )
        yield code, position + size, end
        position = end
