"""Scripted exchanges for the Wireshark plugin: datagrams and streams with times, and the links that Wireshark shows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from captures.files.capture import Interface, PcapngWriter
from tests.captures.tshark import scripts, tshark


class Links(NamedTuple):
    """Frame numbers, 0 where there is no link; the time from request to response in milliseconds."""

    response_in: int = 0
    response_to: int = 0
    repeat_of: int = 0
    milliseconds: float = 0.0


def mac(address: str) -> str:
    """A link-layer address for a node by its IPv4 address."""
    return "02:00:" + ":".join(f"{int(octet):02x}" for octet in address.split("."))


class Capture:
    """Frames in the order they are added, written as one pcapng in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.frames: list[tuple[float, int, bytes]] = []

    def frame(self, time: float, packet: Packet, *, interface: int = 0, macs: tuple[str, str] | None = None) -> None:
        """Add one IP packet; `time` in seconds."""
        near, far = macs or (mac(packet[IP].src), mac(packet[IP].dst))
        self.frames.append((time, interface, bytes(Ether(src=near, dst=far) / packet)))

    def datagram(
        self, time: float, source: tuple[str, int], destination: tuple[str, int], octets: bytes,
        *, interface: int = 0, macs: tuple[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Add one UDP datagram."""
        udp = UDP(sport=source[1], dport=destination[1]) / Raw(octets)
        self.frame(time, IP(src=source[0], dst=destination[0]) / udp, interface=interface, macs=macs)

    def stream(
        self, time: float, source: tuple[str, int], destination: tuple[str, int], pieces: Iterable[bytes]
    ) -> None:
        """Add TCP segments of one direction of a connection, a millisecond apart."""
        sequence = 1
        for number, piece in enumerate(pieces):
            tcp = TCP(sport=source[1], dport=destination[1], flags="PA", seq=sequence, ack=1) / Raw(piece)
            self.frame(time + number / 1000, IP(src=source[0], dst=destination[0]) / tcp)
            sequence += len(piece)

    def write(self) -> Path:
        """The capture as a file."""
        path = self.folder / "exchanges.pcapng"
        with path.open("wb") as stream:
            writer = PcapngWriter(stream, [Interface(f"node:interface{number}", 1) for number in range(3)])
            for time, interface, data in self.frames:
                writer.frame(1_800_000_000_000_000_000 + round(time * 1e9), interface, data)
            writer.flush()
        return path

    def links(self, protocol: str, *options: str) -> dict[int, Links]:
        """What the plugin links, by frame number."""
        of_protocol = ("response_in", "response_to", "repeat_of", "response_time")
        names = ["frame.number", *(f"{protocol}.{name}" for name in of_protocol)]
        fields = [word for name in names for word in ("-e", name)]
        arguments = [*scripts([protocol]), *options, "-r", str(self.write()), "-T", "fields", *fields]
        rows = (line.split("\t") for line in tshark(self.folder, *arguments).splitlines())
        return {
            int(number): Links(int(answer or 0), int(request or 0), int(first or 0), round(float(time or 0) * 1e3, 6))
            for number, answer, request, first, time in rows
        }

    def info(self, protocol: str) -> dict[int, str]:
        """The info column, by frame number."""
        fields = ["-T", "fields", "-e", "frame.number", "-e", "_ws.col.Info"]
        shown = tshark(self.folder, *scripts([protocol]), "-r", str(self.write()), *fields)
        return {int(number): text for number, _, text in (line.partition("\t") for line in shown.splitlines())}
