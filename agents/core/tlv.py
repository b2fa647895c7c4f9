"""The type-length-value parameters that most of the protocols share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from struct import Struct
from struct import error as struct_error
from typing import TypeVar

from agents.core.errors import DecodeError

Value = TypeVar("Value")
Reader = tuple[int, Callable[[bytes, int, int], Value]]
"""A bit of its own, and what reads a value from the data between two offsets."""


def read_parameters(
    data: bytes, start: int, header: Struct, readers: Mapping[int, Reader[Value]], kind: str, alignment: int = 1
) -> tuple[list[Value], int]:
    """The parameters of ``data`` from ``start`` to its end, in order, and the bits of all their readers together.

    ``header`` unpacks to (type, length); the length counts header and value together, in bytes, and not the padding, which
    fills each parameter up to a multiple of ``alignment`` bytes, a power of two, and whose content is ignored.
    ``readers`` has one for every type that the header can hold. Raises DecodeError ``parameter-overrun`` where a parameter
    leaves the datagram and ``parameter-size`` where its length is smaller than its own header. ``kind`` names the protocol
    in the error's detail.
    """
    found: list[Value] = []
    bits = 0
    end_of_data = len(data)
    position = start
    size = header.size
    while position < end_of_data:
        try:
            code, length = header.unpack_from(data, position)
        except struct_error:
            detail = f"{kind} parameter at byte {position}: no room for its header"
            raise DecodeError("parameter-overrun", detail) from None
        end = position + length
        if length < size:
            raise DecodeError("parameter-size", f"{kind} parameter {code} at byte {position}: length {length} < {size}")
        if end > end_of_data:
            detail = f"{kind} parameter {code} at byte {position} ends at {end} of {end_of_data}"
            raise DecodeError("parameter-overrun", detail)
        bit, read = readers[code]
        bits |= bit
        found.append(read(data, position + size, end))
        position = end
        if alignment > 1:
            position += (start - end) & (alignment - 1)
            if position > end_of_data:
                detail = f"{kind} parameter {code} is padded to byte {position} of {end_of_data}"
                raise DecodeError("parameter-overrun", detail)
    return found, bits
