"""How fast any capture is judged, and in how much memory: a million packets by all packs, beside scapy and tshark.

Rates are per second of processor time, since others may run on the machine. The capture is written as it goes: streams of 1000 packets/s over IPv4 and IPv6 at two interfaces, and among them one control
packet in eighty, as in a lab's handover runs: MMCP, IGMP, MLD and PIM from a scripted link, told again and again.
"""

from __future__ import annotations

import json
import resource
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.utils import PcapReader

from captures.files.capture import Interface, PcapngWriter
from tests.captures.scripted_link import T0, good_link, ip

WHOLE, TENTH = 1_000_000, 100_000
TIMES_TSHARK_AT_LEAST = 1.3  # which only reads and counts streams
TIMES_SCAPY_AT_LEAST = 10
MORE_MEMORY_AT_MOST = 1.10  # of ten times the packets
CONTROL_EACH = 80  # one packet in so many
PEER_PACKETS = 20_000  # scapy's rate needs no more

JUDGE = """
import json, resource, sys, time
from pathlib import Path
from captures.files.reading import CaptureReader
from captures.rules.packs.pack import Settings
from captures.rules.engine import verify
from captures.rules.packs import all_packs
import captures.mmcp.dissector
all_packs(Settings())  # what rooms import when they are first needed is start-up, which is nobody's here
began = time.process_time()
found = verify(CaptureReader(Path(sys.argv[1])), settings=Settings(timers={"srt": 2.0}))
seconds = time.process_time() - began
print(json.dumps({
    "frames": found.frames, "seconds": seconds, "rss_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    "packs": {pack.name: len(pack.verdicts) for pack in found.packs}, "streams": len(found.streams),
    "failed": [verdict.rule for verdict in found.verdicts if verdict.verdict == "failed"],
}))
"""


def stream_frames() -> tuple[bytes, bytes]:
    """An RTP packet of 188 octets in IPv4 and in IPv6, without its sequence number and timestamp."""
    payload = struct.pack("!HHHH", 40000, 5004, 8 + 12 + 188, 0) + struct.pack("!BBHII", 0x80, 33, 0, 0, 7) + bytes(188)
    link = bytes.fromhex("01005e010101020000000028")
    four = link + b"\x08\x00" + ip("10.0.0.40", "239.1.1.1", 17, payload, hops=8)
    return four, link + b"\x86\xdd" + ip("2001:db8::40", "ff1e::1:1", 17, payload, hops=8)


def write(path: Path, packets: int) -> None:
    """Write so many packets, a thousand stream packets a second of each family and interface."""
    story = [frame for frame in good_link().ordered() if not frame.tag.startswith("data")]
    four, six = stream_frames()
    with path.open("wb") as stream:
        writer = PcapngWriter(stream, [Interface("eth0", 1), Interface("eth1", 1)])
        told, begin_ns, number, sequence = 0, T0, 0, 0
        while number < packets:
            t_ns = T0 + sequence * 1_000_000
            for frame, at in ((four, 42), (six, 62)):
                header = struct.pack("!BBHI", 0x80, 33, sequence & 0xFFFF, sequence * 90 & 0xFFFFFFFF)
                data = frame[:at] + header + frame[at + 8 :]
                for interface in (0, 1):
                    writer.frame(t_ns, interface, data)
            sequence += 1
            number += 4
            while number >= (told + 1) * CONTROL_EACH:
                # Told anew, the story begins where it ended: it repeats itself, and the clock goes on.
                begin_ns = T0 + told // len(story) * 40_000_000_000
                sent = story[told % len(story)]
                writer.frame(begin_ns + round(sent.at_s * 1e9), 0, sent.data)
                told += 1
                number += 1
        writer.flush()


def judged(path: Path) -> dict[str, Any]:
    """Judge in a process of its own, whose peak of memory is the judge's."""
    done = subprocess.run(
        [sys.executable, "-c", JUDGE, str(path)], check=True, capture_output=True, text=True, timeout=120
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def seconds(work: Callable[[], object]) -> float:
    """Processor time of some work, here and in the processes it started."""
    before = _processor_time()
    work()
    return _processor_time() - before


def _processor_time() -> float:
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def read_with_scapy(path: Path) -> None:
    with PcapReader(str(path)) as reader:
        assert sum(IP in packet or IPv6 in packet for packet in reader) >= PEER_PACKETS


def tshark_rate(paths: dict[int, Path]) -> float:
    """Packets a second that tshark's stream statistics read; without start-up, which is in neither: what more took more."""
    tshark = shutil.which("tshark")
    assert tshark is not None, "tshark is not installed: make setup-test"

    def read(packets: int) -> float:
        command = [tshark, "-r", str(paths[packets]), "-d", "udp.port==5004,rtp", "-q", "-z", "rtp,streams"]
        return min(
            seconds(lambda: subprocess.run(command, check=True, capture_output=True, timeout=120)) for _ in range(2)
        )

    return (TENTH - PEER_PACKETS) / (read(TENTH) - read(PEER_PACKETS))


@pytest.mark.timeout(300)
def test_a_million_packets(tmp_path: Path) -> None:
    paths = {count: tmp_path / f"{count}.pcapng" for count in (PEER_PACKETS, TENTH, WHOLE)}
    for count, path in paths.items():
        write(path, count)
    tenth, whole, again = judged(paths[TENTH]), judged(paths[WHOLE]), judged(paths[WHOLE])
    rate = whole["frames"] / min(whole["seconds"], again["seconds"])
    scapy = PEER_PACKETS / seconds(lambda: read_with_scapy(paths[PEER_PACKETS]))
    print(
        f"\n{whole['frames']:,} packets, {paths[WHOLE].stat().st_size / 1e6:.0f} MB, judged by all packs: {rate:,.0f} packets/s"
    )
    print(
        f"scapy, only reading and dissecting: {scapy:,.0f} packets/s, ratio {rate / scapy:.0f} (target {TIMES_SCAPY_AT_LEAST})"
    )
    tshark = tshark_rate(paths)
    print(
        f"tshark, only its stream statistics: {tshark:,.0f} packets/s, ratio {rate / tshark:.2f} (target {TIMES_TSHARK_AT_LEAST})"
    )
    growth = whole["rss_kib"] / tenth["rss_kib"]
    print(
        f"peak memory: {tenth['rss_kib'] / 1024:.0f} MiB for {TENTH:,}, {whole['rss_kib'] / 1024:.0f} MiB for {WHOLE:,} packets"
    )
    assert whole["frames"] >= WHOLE
    assert set(whole["packs"]) == {"mmcp", "igmp", "mld", "pim", "rtp"}
    assert whole["streams"] == 4
    assert rate >= TIMES_TSHARK_AT_LEAST * tshark
    assert rate >= TIMES_SCAPY_AT_LEAST * scapy
    assert growth <= MORE_MEMORY_AT_MOST
