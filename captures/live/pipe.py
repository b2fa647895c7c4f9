"""The packets of a running lab as one stream, for Wireshark and the like: pcapng with an interface for each link end."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from typing import IO

from captures.files.capture import CaptureError, Interface, PcapngWriter
from captures.live.follow import POLL_S, Happened, LiveRun

_PCAP_HEADER = struct.Struct("<IHHiIII")
_PCAP_RECORD = struct.Struct("<IIII")
_PCAP_NANOSECONDS = 0xA1B23C4D
_SNAPSHOT_OCTETS = 262_144
_SECOND = 1_000_000_000


class PcapngPipe:
    """Writes packets and steps as pcapng; an interface is described when its first packet comes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._writer: PcapngWriter | None = None
        self._indexes: dict[Interface, int] = {}

    def packet(self, t_ns: int, interface: Interface, data: bytes, original: int) -> None:
        """Write one packet."""
        writer = self._begun()
        index = self._indexes.get(interface)
        if index is None:
            index = self._indexes[interface] = len(self._indexes)
            writer.interface(interface)
        writer.frame(t_ns, index, data, original)

    def step(self, happened: Happened) -> None:
        """Write a scenario step, which Wireshark shows as a journal entry."""
        self._begun().step(happened.fields)

    def flush(self) -> None:
        """Hand everything over."""
        if self._writer is not None:
            self._writer.flush()
        self._stream.flush()

    def _begun(self) -> PcapngWriter:
        if self._writer is None:
            self._writer = PcapngWriter(self._stream, [])
        return self._writer


class PcapPipe:
    """Writes packets as classic pcap with nanoseconds, which knows one link type, no interfaces and no steps."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._link_type: int | None = None

    def packet(self, t_ns: int, interface: Interface, data: bytes, original: int) -> None:
        """Write one packet. Raises `CaptureError` if it has another link type than those before."""
        if self._link_type is None:
            self._link_type = interface.link_type
            self._stream.write(_PCAP_HEADER.pack(_PCAP_NANOSECONDS, 2, 4, 0, 0, _SNAPSHOT_OCTETS, interface.link_type))
        elif interface.link_type != self._link_type:
            raise CaptureError(f"{interface.name} has another link type than the others: pcap cannot hold both")
        self._stream.write(_PCAP_RECORD.pack(t_ns // _SECOND, t_ns % _SECOND, len(data), original) + data)

    def step(self, happened: Happened) -> None:
        """Nothing: pcap has no place for it."""

    def flush(self) -> None:
        """Hand everything over."""
        self._stream.flush()


def pump(live: LiveRun, out: PcapngPipe | PcapPipe, sleep: Callable[[float], None] = time.sleep) -> int:
    """Write a run's packets as they come, until it ends; how many.

    Raises what `LiveRun.poll` raises, and BrokenPipeError when the reader is gone.
    """
    packets = 0
    while not live.ended:
        records = live.poll()
        for record in records:
            if isinstance(record, Happened):
                out.step(record)
            else:
                out.packet(*record)
                packets += 1
        out.flush()
        if not live.ended:
            sleep(POLL_S)
    return packets
