"""Two readers of the same octets, written apart from the same page: the judge's scapy layers and the Wireshark plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from captures.capture import Frame, Interface, PcapngWriter
from captures.dissectors import mmcp
from captures.headers import LINKTYPE_ETHERNET, PROTOCOL_UDP, ip_packet
from captures.reading import CaptureReader
from tests.captures import plugin_readings
from tests.captures.plugin_readings import settled
from tests.captures.tshark import Layer, layers
from tests.captures.wrong_messages import length_before, with_checksum, with_length


@dataclass(frozen=True)
class Protocol:
    """How to find a protocol's messages and how each of the two reads them.

    layer: the name of the layer, of the plugin's file and of the vectors' files, of which those rows count that have
        all items of `rows`.
    port: of UDP, or of TCP if `stream` says what stands in front of a message there.
    seal: puts right what a change to a message spoils: its checksum, its length.
    dissect: gives the fields or raises `refusal`; without it only the vectors are compared.
    """

    layer: str
    port: int
    reading: Callable[[Layer], dict[str, Any]]
    dissect: Callable[[bytes], dict[str, Any]] | None = None
    refusal: type[Exception] = ValueError
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


PROTOCOLS = {
    "mmcp": Protocol("mmcp", mmcp.MMCP_PORT, plugin_readings.mmcp, mmcp.dissect, mmcp.MalformedMessageError),
    "gmp_sm": Protocol("gmp", 16513, plugin_readings.gmp, rows={"module": "SM"}, seal=_gmp_sm_checksum),
    "gmp_mm": Protocol("gmp", 16514, plugin_readings.gmp, rows={"module": "MM"}),
    "gmp_sm over TCP": Protocol(
        "gmp", 16513, plugin_readings.gmp, rows={"module": "SM"}, seal=_gmp_sm_checksum, stream=length_before(2)
    ),
    "gmp_mm over TCP": Protocol("gmp", 16514, plugin_readings.gmp, rows={"module": "MM"}, stream=length_before(2)),
    "msmp": Protocol("msmp", 24792, plugin_readings.msmp, seal=_msmp_length),
    "msmp over TCP": Protocol("msmp", 24792, plugin_readings.msmp, seal=_msmp_length, stream=length_before(4)),
    "omcp": Protocol(
        "omcp", 24794, plugin_readings.omcp, seal=_omcp_length, stream=bytes, arrives=_omcp_is_cut_out_whole
    ),
    "ectp": Protocol("ectp", 41000, plugin_readings.ectp, seal=_ectp_seal, options=("-o", "ectp.udp_ports:41000")),
}


def write_messages(path: Path, payloads: Iterable[bytes], protocol: Protocol, snapshot: int | None = None) -> Path:
    """A capture with a frame for each message, in order, each from another source port.

    `snapshot`: octets captured of a frame, all by default.
    """
    below = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.0.0.1", dst="10.0.0.2")
    with path.open("wb") as stream:
        writer = PcapngWriter(stream, [Interface("node:interface", LINKTYPE_ETHERNET)])
        for number, payload in enumerate(payloads):
            sport, dport = 30000 + number, protocol.port
            if protocol.stream:
                segment = TCP(sport=sport, dport=dport, flags="PA", seq=1, ack=1) / Raw(protocol.stream(payload))
                frame = bytes(below / segment)
            else:
                frame = bytes(below / UDP(sport=sport, dport=dport) / Raw(payload))
            writer.frame(1_800_000_000_000_000_000 + number * 1_000_000_000, 0, frame[:snapshot], len(frame))
        writer.flush()
    return path


def datagrams(path: Path, port: int) -> Iterator[tuple[int, bytes]]:
    """(frame number, payload) of the UDP datagrams to or from the port, empty ones left out."""
    wanted = port.to_bytes(2, "big")
    for record in CaptureReader(path):
        if not isinstance(record, Frame):
            continue
        packet, data = ip_packet(record.link_type, record.data), record.data
        if packet is None or packet.protocol != PROTOCOL_UDP or packet.fragment:
            continue
        udp = packet.begin
        if wanted in (data[udp : udp + 2], data[udp + 2 : udp + 4]):
            payload = data[udp + 8 : min(udp + int.from_bytes(data[udp + 4 : udp + 6]), packet.end)]
            if payload:  # Wireshark hands no empty datagram to any dissector
                yield record.number, payload


def disagreements(home: Path, path: Path, name: str, *options: str) -> tuple[int, list[str]]:
    """Compare both readers over a capture: the number of datagrams, and a line for each that they read differently."""
    protocol = PROTOCOLS[name]
    shown = {layer.frame: layer for layer in protocol.layers(home, path, *options)}
    found = []
    count = 0
    for frame, payload in datagrams(path, protocol.port):
        count += 1
        layer = shown.pop(frame, None)
        if layer is None:
            found.append(f"frame {frame}: the plugin shows nothing of {payload.hex()}")
        elif complaint := disagreement(protocol, payload, layer):
            found.append(f"frame {frame}: {payload.hex()}: {complaint}")
    found += [f"frame {frame}: only the plugin sees a message" for frame in shown]
    return count, found


def disagreement(protocol: Protocol, payload: bytes, layer: Layer) -> str:
    """How the two readings of one message differ, empty if they do not."""
    assert protocol.dissect is not None
    try:
        fields = protocol.dissect(payload)
    except protocol.refusal as error:
        return "" if layer.problems else f"only scapy refuses it: {error}"
    if layer.problems:
        return f"only the plugin refuses it: {layer.problems}"
    reading = protocol.reading(layer)
    return "" if settled(reading) == settled(fields) else f"{reading} is not {fields}"
