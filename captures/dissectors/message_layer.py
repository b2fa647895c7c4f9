"""What the message layers of every protocol share: octets cut short, refusal, and being found inside UDP or TCP.

A layer dissects as far as the octets go and never raises; what is wrong with them is a list of sentences, in wire order,
that name the octet. A message is malformed if it cannot be read, contradicts itself, or lacks what its packet cannot do
without. A number without a meaning in its table is no reason, except where the specification says so: it is shown as it is.
"""

# ruff: noqa: RUF012  scapy's way of declaring a layer is a mutable class attribute

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from scapy.fields import StrField
from scapy.packet import Packet, bind_layers, split_layers

from captures.wire.malformed import MalformedMessageError

Transport = Literal["udp", "tcp"]


class JudgedLayer(Packet):
    """A layer that knows what is wrong with it."""

    def title(self) -> str:
        """What it is, for summaries."""
        return str(self.name)

    def own_problems(self) -> list[str]:
        """What is wrong with it, if it was read from octets: see `problems`."""
        return []

    def mysummary(self) -> str:
        """One line for scapy's summaries, with the first problem."""
        found = problems(self)
        return f"{self.title()} malformed: {found[0]}" if found else self.title()


def problems(layer: Packet) -> list[str]:
    """Everything that makes a layer malformed, in wire order and with the octet; empty if nothing does.

    A layer that was built, or copied by scapy, is judged by the octets it makes.
    """
    if not layer.original:
        octets = bytes(layer)
        layer = type(layer)(octets[: len(octets) - len(layer.payload)])
    found: list[str] = layer.own_problems()
    return found


class CutShort(JudgedLayer):
    """Fewer octets than a header has; each protocol derives its own and fills in `protocol` and `header_octets`."""

    name = "message (cut short)"
    protocol = ""
    header_octets = 0
    fields_desc = [StrField("load", b"")]

    def title(self) -> str:
        """The protocol, for what it is cannot be known."""
        return self.protocol

    def own_problems(self) -> list[str]:
        """That it is short."""
        return [f"{len(self.original)} octets are shorter than the header of {self.header_octets}"]


class Undissected(Packet):
    """Octets from which nothing further can be read."""

    name = "octets that cannot be read"
    fields_desc = [StrField("load", b"")]


def whole_header_or(cut_short: type[CutShort]) -> Any:
    """A layer's ``dispatch_hook``: `cut_short` for octets that are no whole header, else the layer itself.

    Scapy only looks for the hook in the layer's own class body, so that it cannot be inherited.
    """

    def dispatch_hook(cls: type[Packet], _pkt: bytes | None = None, *_args: Any, **_kargs: Any) -> type[Packet]:
        return cut_short if _pkt is not None and len(_pkt) < cut_short.header_octets else cls

    return classmethod(dispatch_hook)


def strict(layer: Packet, found: Sequence[str], fields: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """The fields of a dissected layer. Raises `MalformedMessageError` if a problem was found, with the fields there are."""
    if isinstance(layer, CutShort):
        raise MalformedMessageError("; ".join(found))
    read = fields(layer)
    if found:
        raise MalformedMessageError("; ".join(found), read)
    return read


def name_of(names: Mapping[int, str], code: int) -> str:
    """The name of a packet type, or its number where it has none."""
    return names.get(code, f"type {code}")


def code_of(names: dict[int, str], name: str) -> int:
    """Number of a name in a table of numbers; KeyError if it has none."""
    return {name: number for number, name in names.items()}[name]


@contextmanager
def bound(layer: type[Packet], transport: Transport, port: int) -> Iterator[None]:
    """Let scapy dissect UDP or TCP to or from `port` as `layer` inside the ``with`` block, and only there."""
    from scapy.layers import inet  # noqa: PLC0415  slow to import, and only wanted here

    lower = {"udp": inet.UDP, "tcp": inet.TCP}[transport]
    bind_layers(lower, layer, sport=port)
    bind_layers(lower, layer, dport=port)
    try:
        yield
    finally:
        split_layers(lower, layer, sport=port)
        split_layers(lower, layer, dport=port)
