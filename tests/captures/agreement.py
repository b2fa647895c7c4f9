"""Two readers of the same octets, written apart from the same page: the judge's scapy layers and the Wireshark plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from captures.files.capture import Frame, Interface, PcapngWriter
from captures.files.reading import CaptureReader
from captures.protocols import protocol
from captures.wire.headers import (
    LINKTYPE_ETHERNET,
    LINKTYPE_RAW,
    PROTOCOL_ICMP,
    PROTOCOL_ICMPV6,
    PROTOCOL_UDP,
    ip_packet,
)
from captures.wire.malformed import MalformedMessageError
from tests.captures import plugin_readings
from tests.captures.plugin_readings import settled
from tests.captures.tshark import Layer, layers
from tests.captures.wrong_messages import length_before, with_checksum, with_length

_TCP = 6
_ERRORS = {PROTOCOL_ICMP: (3, 4, 5, 11, 12), PROTOCOL_ICMPV6: (1, 2, 3, 4)}
"""ICMP messages that quote a datagram behind their first 8 octets [RFC 792, RFC 4443 2.1]."""


@dataclass(frozen=True)
class Protocol:
    """How to find a protocol's messages and how each of the two reads them.

    layer: the name of the layer, of the plugin's file and of the vectors' files, of which those rows count that have
        all items of `rows`.
    port: of UDP, or of TCP if `stream` says what stands in front of a message there.
    seal: puts right what a change to a message spoils: its checksum, its length.
    dissect: the judge's, which gives the fields or raises `MalformedMessageError`.
    """

    layer: str
    port: int
    reading: Callable[[Layer], dict[str, Any]]
    dissect: Callable[[bytes], dict[str, Any]]
    rows: Mapping[str, str] = field(default_factory=dict)
    seal: Callable[[bytes], bytes] = bytes
    stream: Callable[[bytes], bytes] | None = None
    arrives: Callable[[bytes], bool] = bool
    """Whether octets come out of the stream as one message; without a stream all do that are any."""
    options: tuple[str, ...] = ()
    """What tshark has to be told."""

    def layers(self, home: Path, path: Path, *options: str) -> list[Layer]:
        """Every message that the plugin sees in a capture."""
        return layers(home, path, self.layer, *self.options, *options)


def _gmp_sm_checksum(data: bytes) -> bytes:
    return with_checksum(data, 2)


def _msmp_length(data: bytes) -> bytes:
    return with_length(data, 2, 2)


def _omcp_length(data: bytes) -> bytes:
    return with_length(data, 4, 4)


def _ectp_seal(data: bytes) -> bytes:
    return with_checksum(with_length(data, 12, 2, less=16), 2)


def _omcp_is_cut_out_whole(data: bytes) -> bool:
    length = int.from_bytes(data[4:8])
    return len(data) >= 16 and (length == len(data) or not 16 <= length <= 65536)


def _reader(name: str, module: str | None = None) -> Callable[[bytes], dict[str, Any]]:
    return protocol(name).dissector(module)


PROTOCOLS = {
    "mmcp": Protocol("mmcp", 24793, plugin_readings.mmcp, _reader("mmcp")),
    "gmp_sm": Protocol("gmp", 16513, plugin_readings.gmp, _reader("gmp", "SM"), {"module": "SM"}, _gmp_sm_checksum),
    "gmp_mm": Protocol("gmp", 16514, plugin_readings.gmp, _reader("gmp", "MM"), {"module": "MM"}),
    "msmp": Protocol("msmp", 24792, plugin_readings.msmp, _reader("msmp"), seal=_msmp_length),
    "omcp": Protocol(
        "omcp", 24794, plugin_readings.omcp, _reader("omcp"),
        seal=_omcp_length, stream=bytes, arrives=_omcp_is_cut_out_whole,
    ),
    "ectp": Protocol(
        "ectp", 41000, plugin_readings.ectp, _reader("ectp"),
        seal=_ectp_seal, options=("-o", "ectp.udp_ports:41000"),
    ),
}  # fmt: skip
PROTOCOLS |= {
    "gmp_sm over TCP": replace(PROTOCOLS["gmp_sm"], stream=length_before(2)),
    "gmp_mm over TCP": replace(PROTOCOLS["gmp_mm"], stream=length_before(2)),
    "msmp over TCP": replace(PROTOCOLS["msmp"], stream=length_before(4)),
}


def write_messages(path: Path, payloads: Iterable[bytes], protocol: Protocol, snapshot: int | None = None) -> Path:
    """A capture with a frame for each message, in order, each from an address of its own.

    Of many source ports some are another protocol's. `snapshot`: octets captured of a frame, all by default.
    """
    ethernet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    with path.open("wb") as stream:
        writer = PcapngWriter(stream, [Interface("node:interface", LINKTYPE_ETHERNET)])
        for number, payload in enumerate(payloads):
            below = ethernet / IP(src=f"10.1.{number >> 8}.{number & 255}", dst="10.0.0.2")
            sport, dport = 40000, protocol.port
            if protocol.stream:
                segment = TCP(sport=sport, dport=dport, flags="PA", seq=1, ack=1) / Raw(protocol.stream(payload))
                frame = bytes(below / segment)
            else:
                frame = bytes(below / UDP(sport=sport, dport=dport) / Raw(payload))
            writer.frame(1_800_000_000_000_000_000 + number * 1_000_000_000, 0, frame[:snapshot], len(frame))
        writer.flush()
    return path


def payloads(path: Path, protocol: Protocol) -> Iterator[tuple[int, bytes]]:
    """(frame number, message) of everything to or from the protocol's port, empty datagrams left out.

    In a stream each segment has to hold one whole message, as `write_messages` makes them.
    """
    wanted = protocol.port.to_bytes(2, "big")
    for record in CaptureReader(path):
        if not isinstance(record, Frame):
            continue
        packet, data = ip_packet(record.link_type, record.data), record.data
        if packet is None or packet.fragment or packet.protocol != (_TCP if protocol.stream else PROTOCOL_UDP):
            continue
        begin, end = packet.begin, packet.end
        if wanted not in (data[begin : begin + 2], data[begin + 2 : begin + 4]):
            continue
        if protocol.stream:
            before = (data[begin + 12] >> 4) * 4 + len(protocol.stream(b""))
        else:
            before, end = 8, min(begin + int.from_bytes(data[begin + 4 : begin + 6]), end)
        if begin + before < end:  # Wireshark hands no empty datagram to any dissector
            yield record.number, data[begin + before : end]


def quotations(path: Path, protocol: Protocol) -> Iterator[tuple[int, bytes]]:
    """(frame number, message) of everything to or from the protocol's port that an ICMP error quotes whole."""
    wanted = protocol.port.to_bytes(2, "big")
    for record in CaptureReader(path):
        if not isinstance(record, Frame):
            continue
        packet = ip_packet(record.link_type, record.data)
        if packet is None or packet.fragment or record.data[packet.begin] not in _ERRORS.get(packet.protocol, ()):
            continue
        quoted = record.data[packet.begin + 8 : packet.end]
        inner = ip_packet(LINKTYPE_RAW, quoted)
        if inner is None or inner.fragment or inner.incomplete or inner.protocol != PROTOCOL_UDP:
            continue
        ports, message = quoted[inner.begin : inner.begin + 4], quoted[inner.begin + 8 : inner.end]
        if wanted in (ports[:2], ports[2:]) and message:
            yield record.number, message


def disagreements(home: Path, path: Path, name: str, *options: str) -> tuple[int, list[str]]:
    """Compare both readers over a capture: the number of messages, and a line for each that they read differently.

    A message that an ICMP error quotes is read like any other and has to be marked as quoted; it is not counted.
    """
    protocol = PROTOCOLS[name]
    shown = {layer.frame: layer for layer in protocol.layers(home, path, *options)}
    sent = dict(payloads(path, protocol))
    quoted = {} if protocol.stream else dict(quotations(path, protocol))
    found = []
    for frame, payload in (sent | quoted).items():
        layer = shown.pop(frame, None)
        if layer is None:
            found.append(f"frame {frame}: the plugin shows nothing of {payload.hex()}")
        elif layer.quoted != (frame in quoted):
            found.append(f"frame {frame}: {'not ' * (frame in quoted)}marked as quoted")
        elif complaint := disagreement(protocol, payload, layer):
            found.append(f"frame {frame}: {payload.hex()}: {complaint}")
    found += [f"frame {frame}: only the plugin sees a message" for frame in shown]
    return len(sent), found


def disagreement(protocol: Protocol, payload: bytes, layer: Layer) -> str:
    """How the two readings of one message differ, empty if they do not."""
    try:
        fields = protocol.dissect(payload)
    except MalformedMessageError as error:
        return "" if layer.problems else f"only scapy refuses it: {error}"
    if layer.problems:
        return f"only the plugin refuses it: {layer.problems}"
    reading = protocol.reading(layer)
    return "" if settled(reading) == settled(fields) else f"{reading} is not {fields}"


def left_unsaid(home: Path, name: str, table: Iterable[tuple[bytes, str]]) -> list[str]:
    """Those reasons of a table of malformed messages that the plugin does not give for their message."""
    rows = list(table)
    path = write_messages(home / f"{name}.pcapng", [message for message, _ in rows], PROTOCOLS[name])
    shown = PROTOCOLS[name].layers(home, path)
    assert len(shown) == len(rows)
    return [
        f"{message.hex()}: {reason}; said is {layer.problems}"
        for (message, reason), layer in zip(rows, shown, strict=True)
        if reason not in layer.problems
    ]
