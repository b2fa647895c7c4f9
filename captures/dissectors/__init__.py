"""Message layouts as the judge reads them: one module per protocol, each with constants of its own.

`PROTOCOLS` finds them by name. A module is only loaded when it is asked for: scapy takes its time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from scapy.packet import Packet

    from captures.dissectors.message_layer import Transport


class Dissector(Protocol):
    """What the module of every protocol has."""

    def dissect(self, data: bytes, /) -> dict[str, Any]:
        """Read one message strictly. Raises `MalformedMessageError`."""

    def build(self, fields: Mapping[str, Any], /) -> bytes:
        """The reverse of `dissect`."""

    def problems(self, layer: Packet, /) -> list[str]:
        """What is wrong with a dissected layer, each with its octet; empty if nothing is."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """Where messages of a protocol are found.

    port: by default; None where there is none, because it is announced beforehand.
    module: which kind of messages it is, where only the port tells; `dissect` takes it as its second argument.
    """

    transport: Transport
    port: int | None
    module: str | None = None


@dataclass(frozen=True, slots=True)
class KnownProtocol:
    """A protocol that the judge can read; `captures.NAME.dissector` is its dissector."""

    name: str
    carriers: tuple[Carrier, ...]

    @property
    def modules(self) -> list[str]:
        """Its kinds of messages, where only the port tells them apart; the first is what `dissect` reads by default."""
        return list(dict.fromkeys(carrier.module for carrier in self.carriers if carrier.module))

    @property
    def dissector(self) -> Dissector:
        """Its dissector, loaded now if it was not before."""
        return cast("Dissector", import_module(f"captures.{self.name}.dissector"))

    def reader(self, module: str | None = None) -> Callable[[bytes], dict[str, Any]]:
        """The dissector's `dissect` for messages of one of its `modules`."""
        dissect: Callable[..., dict[str, Any]] = self.dissector.dissect
        return dissect if module is None else partial(dissect, module=module)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        KnownProtocol("mmcp", (Carrier("udp", 24793),)),
        KnownProtocol(
            "gmp",
            tuple(
                Carrier(way, port, module) for way in ("udp", "tcp") for port, module in ((16513, "SM"), (16514, "MM"))
            ),
        ),
        KnownProtocol("msmp", (Carrier("udp", 24792), Carrier("tcp", 24792))),
        KnownProtocol("omcp", (Carrier("tcp", 24794),)),
        KnownProtocol("ectp", (Carrier("udp", None),)),
    )
}
"""Every protocol by name."""
