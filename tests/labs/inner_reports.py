"""Reports that the runtime sends itself: `python -m tests.labs.inner_reports FAMILY VERSION [SOURCE]`, in a network namespace.

What comes out at the other end of the link is read by the judge's dissector.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import time
from pathlib import Path

from agents.core.agent import GroupJoined, JoinGroup, RenewMembership
from captures.dissectors.igmp_mld import Query, Report, igmp, mld
from testbed.net.netlink import run_in_network_namespace
from tests.labs.inner_runtime import GROUP, PORT, Link, Member, hosted, link

ROUTER_ALERT = {4: bytes.fromhex("94040000"), 6: bytes.fromhex("05020000")}
WAITING_S = 2.5  # longer than any repetition


def force(family: int, version: int) -> None:
    """Make the kernel a host of that version, which repeats its reports soon."""
    settings = Path("/proc/sys/net", f"ipv{family}", "conf", "here0")
    older, name = ("igmpv2", "igmp") if family == 4 else ("mldv1", "mld")
    (settings / f"force_{name}_version").write_text(str(version))
    (settings / f"{older}_unsolicited_report_interval").write_text("500")  # ms


class Wire:
    """What leaves here0, as it comes out at the other end."""

    def __init__(self, between: Link) -> None:
        self._family = between.family
        self._packets = run_in_network_namespace(
            between.pid, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.ntohs(0x0003))
        )
        self._packets.setblocking(False)

    def reports(self) -> list[tuple[str, Report]]:
        """Sources and contents of the reports for the group so far; asserts that each is as a router wants it."""
        found: list[tuple[str, Report]] = []
        while True:
            try:
                packet, address = self._packets.recvfrom(2048)
            except BlockingIOError:
                return found
            if address[2] == socket.PACKET_OUTGOING or packet[0] >> 4 != self._family:
                continue
            ends = 4 * (packet[0] & 15) if self._family == 4 else 40
            if (packet[9] != socket.IPPROTO_IGMP) if self._family == 4 else (packet[6] != 0):
                continue
            options = packet[20:ends] if self._family == 4 else packet[ends : ends + 8]
            body = packet[ends:] if self._family == 4 else packet[ends + 8 :]
            message = igmp(body) if self._family == 4 else mld(body)
            if not isinstance(message, Report) or GROUP[self._family] not in {each.group for each in message.records}:
                assert not isinstance(message, Query)
                continue
            assert ROUTER_ALERT[self._family] in options
            assert packet[8 if self._family == 4 else 7] == 1, "the hop limit"
            assert checksum_is_right(packet, body)
            where = packet[12:16] if self._family == 4 else packet[8:24]
            found.append((socket.inet_ntop(socket.AF_INET if self._family == 4 else socket.AF_INET6, where), message))


def checksum_is_right(packet: bytes, body: bytes) -> bool:
    pseudo = b"" if packet[0] >> 4 == 4 else packet[8:40] + struct.pack("!II", len(body), socket.IPPROTO_ICMPV6)
    total: int = sum(struct.unpack(f"!{(len(pseudo) + len(body)) // 2}H", pseudo + body))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF


async def play(family: int, version: int, source: str | None) -> None:
    """A membership is renewed at once, from an address that is none of the link's."""
    with link(family) as between:
        force(family, version)
        join = JoinGroup(GROUP[family], "here0", source, PORT, renews_itself=True)
        agent, wire = Member(join), Wire(between)
        async with hosted(agent) as host:
            assert (await agent.next(GroupJoined)).succeeded
            await asyncio.sleep(WAITING_S)  # the kernel's repetitions are over
            assert wire.reports()
            host.renew_membership(None, RenewMembership(join.group, join.interface, source, at_once=True))
            until = time.monotonic() + WAITING_S
            seen: list[tuple[str, Report]] = []
            while time.monotonic() < until:
                seen += wire.reports()
                await asyncio.sleep(0.0005)
        (sender, first), *_ = seen
        print(json.dumps([each for _, each in seen], default=str), flush=True)
        assert first.version == version
        assert all(report.version == version and not report.leave for _, report in seen)
        assert [(each.group, each.sources) for each in first.records] == [(GROUP[family], (source,) if source else ())]
        assert all(record.joins() for _, report in seen for record in report.records)
        assert sender == between.here if family == 4 else sender.startswith("fe80:")
        # Of IGMPv3, and of a source, ours and the kernel's two; of IGMPv2 ours, twice; of MLD for any source ours alone.
        counted = {(4, 3): 3, (4, 2): 2}.get((family, version), 3 if source else 1)
        # One that names the node's own groups too is the kernel's, which tells of all when an address of its link has settled.
        about = [report for _, report in seen if {each.group for each in report.records} == {GROUP[family]}]
        assert len(about) == counted, seen
        assert agent.counters["unsent.report"] == 0


if __name__ == "__main__":
    asyncio.run(play(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None))
