"""Control protocols over UDP as events: one reader for each, on top of its dissector.

A further protocol is one more `UdpProtocol` in `PROTOCOLS`: its name, its ports, and a function that reads a datagram's
payload into a kind and fields.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from captures.dissectors import mmcp
from captures.events import Dissected, UdpProtocol


def read_mmcp(payload: bytes) -> Dissected:
    """An MMCP message; kind is the packet's name, or "malformed" with ``reason``.

    Fields: ``session``, ``f`` and ``reserved`` as they are on the wire, ``profile``, ``params`` in wire order, and of those
    that it holds ``mn_id``, ``poa_id``, ``multicast``, ``lmc``, ``status``, ``membership``; ``mns`` are all MN IDs.
    """
    kind, fields = _mmcp(payload)
    return kind, dict(fields)


@lru_cache(maxsize=1024)  # every link on its way shows the same message again
def _mmcp(payload: bytes) -> Dissected:
    try:
        message = mmcp.dissect(payload)
    except mmcp.MalformedMessageError as error:
        return "malformed", {"reason": str(error)}
    params = tuple(tuple(parameter) for parameter in message["params"])
    fields: dict[str, Any] = {
        "session": message["session_id"],
        "f": payload[1] & 1,
        "reserved": payload[1] >> 1,
        "profile": message["profile"],
        "params": params,
        "mns": tuple(values[0] for name, *values in params if name == "mn_id"),
    }
    for name, *values in params:
        # Of duplicates the first counts.
        fields.setdefault(name, values[0] if len(values) == 1 else tuple(values))
    return message["packet"], fields


PROTOCOLS = (UdpProtocol("mmcp", frozenset({mmcp.MMCP_PORT}), read_mmcp),)
