"""Two readers of the same octets, written apart from the same page: the judge's scapy layers and the Wireshark plugin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captures.capture import Frame, Interface, PcapngReader, PcapngWriter
from captures.dissectors import mmcp
from captures.headers import LINKTYPE_ETHERNET, PROTOCOL_UDP, ip_packet
from tests.captures import plugin_readings
from tests.captures.plugin_readings import settled
from tests.captures.tshark import Layer, layers


@dataclass(frozen=True)
class Protocol:
    """How to find a protocol's datagrams and how each of the two reads them.

    `dissect` gives the fields or raises `refusal`; without it only the vectors are compared.
    """

    port: int
    reading: Callable[[Layer], dict[str, Any]]
    dissect: Callable[[bytes], dict[str, Any]] | None = None
    refusal: type[Exception] = ValueError


PROTOCOLS = {
    "mmcp": Protocol(mmcp.MMCP_PORT, plugin_readings.mmcp, mmcp.dissect, mmcp.MalformedMessageError),
}


def write_datagrams(path: Path, payloads: Iterable[bytes], port: int, snapshot: int | None = None) -> Path:
    """A capture with one UDP datagram to the port for each payload, in order, each from another source port.

    `snapshot`: octets captured of a frame, all by default.
    """
    from scapy.layers.inet import IP, UDP  # noqa: PLC0415  slow to import
    from scapy.layers.l2 import Ether  # noqa: PLC0415
    from scapy.packet import Raw  # noqa: PLC0415

    below = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.0.0.1", dst="10.0.0.2")
    with path.open("wb") as stream:
        writer = PcapngWriter(stream, [Interface("node:interface", LINKTYPE_ETHERNET)])
        for number, payload in enumerate(payloads):
            frame = bytes(below / UDP(sport=30000 + number, dport=port) / Raw(payload))
            writer.frame(1_800_000_000_000_000_000 + number * 1_000_000_000, 0, frame[:snapshot], len(frame))
        writer.flush()
    return path


def datagrams(path: Path, port: int) -> Iterator[tuple[int, bytes]]:
    """(frame number, payload) of the UDP datagrams to or from the port, empty ones left out."""
    wanted = port.to_bytes(2, "big")
    for record in PcapngReader(path):
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
    """Compare both readers over a capture: the number of messages, and a line for each that they read differently."""
    protocol = PROTOCOLS[name]
    assert protocol.dissect is not None
    shown = {layer.frame: layer for layer in layers(home, path, name, "-Y", name, *options)}
    found = []
    count = 0
    for frame, payload in datagrams(path, protocol.port):
        count += 1
        layer = shown.pop(frame, None)
        if layer is None:
            found.append(f"frame {frame}: the plugin shows nothing of {payload.hex()}")
            continue
        try:
            fields = protocol.dissect(payload)
        except protocol.refusal as error:
            if not layer.problems:
                found.append(f"frame {frame}: only scapy refuses {payload.hex()}: {error}")
        else:
            if layer.problems:
                found.append(f"frame {frame}: only the plugin refuses {payload.hex()}: {layer.problems}")
            elif settled(protocol.reading(layer)) != settled(fields):
                found.append(f"frame {frame}: {payload.hex()}: {protocol.reading(layer)} is not {fields}")
    found += [f"frame {frame}: only the plugin sees a message" for frame in shown]
    return count, found
