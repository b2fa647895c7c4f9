"""Control protocols over UDP and TCP as events: one reader for each, on top of its dissector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from captures.dissectors import PROTOCOLS as DISSECTORS
from captures.dissectors import Carrier, KnownProtocol
from captures.dissectors.message_layer import MalformedMessageError
from captures.history.events import Dissected, PortProtocol
from captures.mmcp import dissector as mmcp

if TYPE_CHECKING:
    from captures.wire.framing import Framing


def read_mmcp(payload: bytes) -> Dissected:
    """An MMCP message; kind is the packet's name, or "malformed" with what `malformed` gives.

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
        return malformed(error)
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


def malformed(error: MalformedMessageError) -> Dissected:
    """What a malformed message is told by: ``reason``, and in ``read`` the fields that `dissect` could read, if any."""
    return "malformed", {"reason": str(error), **({"read": error.read} if error.read else {})}


def _plainly(protocol: KnownProtocol, carrier: Carrier) -> Callable[[bytes], Dissected]:
    """Reads a protocol of which nobody asks for more than what its dissector says."""

    @lru_cache(maxsize=1024)
    def dissected(payload: bytes) -> Dissected:
        try:
            fields = protocol.reader(carrier.module)(payload)
        except MalformedMessageError as error:
            return malformed(error)
        return str(fields.pop("packet")), fields

    def read(payload: bytes) -> Dissected:
        kind, fields = dissected(payload)
        return kind, dict(fields)

    return read


def _framing(protocol: KnownProtocol) -> Callable[[], Framing]:
    return lambda: cast("Framing", protocol.dissector.FRAMING)  # type: ignore[attr-defined]  # of every protocol over TCP


def _carried() -> dict[str, tuple[KnownProtocol, list[Carrier]]]:
    """By the name that a port is given by: ``mmcp``, ``gmp.sm``; the port may be that of several ways to carry it."""
    found: dict[str, tuple[KnownProtocol, list[Carrier]]] = {}
    for protocol in DISSECTORS.values():
        for carrier in protocol.carriers:
            name = protocol.name if carrier.module is None else f"{protocol.name}.{carrier.module.lower()}"
            found.setdefault(name, (protocol, []))[1].append(carrier)
    return found


PORT_NAMES = tuple(_carried())
"""What a port can be given to."""


def every_protocol(ports: Mapping[str, int]) -> tuple[PortProtocol, ...]:
    """Every protocol with a dissector and a port, its own or one that was given by `PORT_NAMES`, over UDP and over TCP.

    Where two have one port, the one that it was given to has it. Fields are those of `read_mmcp`, of the others `dissect`'s.
    """
    return tuple(
        PortProtocol(
            protocol.name,
            port,
            read_mmcp if protocol.name == "mmcp" else _plainly(protocol, carrier),
            _framing(protocol) if carrier.transport == "tcp" else None,
            name,
        )
        for name, (protocol, carriers) in sorted(_carried().items(), key=lambda item: item[0] in ports)
        for carrier in carriers
        if (port := ports.get(name, carrier.port)) is not None
    )


EVERY_PROTOCOL = every_protocol({})
"""Each on its own port."""
