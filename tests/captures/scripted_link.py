"""A link that never was: routers, hosts and MMCP roles on one segment, doing everything right, captured at one place.

Every frame has a tag such as ``"igmp.query.2"``. `drop`, `move`, `copy` and `patch` take a pattern of such tags and insist
that it names something. Checksums are scapy's, so that they are not the judge's own; `patch` leaves them as they were.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from scapy.utils import checksum

from captures.files.capture import Interface, PcapngWriter
from captures.mmcp.dissector import build

T0 = 1_700_000_000_000_000_000
INTERFACE = "eth0"
PORT = 24793
SRT_S = 2.0
GROUPS = {4: "239.1.1.1", 6: "ff1e::1:1"}
# Node to its number: the last octet of its addresses and of its link-layer address.
NODES = {
    "a": 1,
    "b": 2,
    "sm": 10,
    "lmc1": 11,
    "lmc2": 12,
    "lmc3": 13,
    "mn": 21,
    "quiet": 22,
    "rover": 23,
    "other": 31,
    "mcs": 40,
}


@dataclass(frozen=True)
class Sent:
    """One captured frame, `at_s` after the start."""

    at_s: float
    data: bytes
    tag: str


def address(node: str, family: int = 4) -> str:
    """Global for IPv4, link-local for IPv6; what is no node's name is an address already."""
    if node not in NODES:
        return node
    return f"10.0.0.{NODES[node]}" if family == 4 else f"fe80::{NODES[node]:x}"


def summed(data: bytes, at: int, pseudo: bytes = b"") -> bytes:
    """`data` with its checksum filled in at an offset."""
    return data[:at] + struct.pack("!H", checksum(pseudo + data) or 0xFFFF) + data[at + 2 :]


def ip(source: str, destination: str, protocol: int, payload: bytes, *, hops: int = 1, alert: bool = False) -> bytes:
    from_, to = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    if from_.version == 4:
        options = bytes.fromhex("94040000") if alert else b""
        size = 20 + len(options) + len(payload)
        head = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0xC0, size, 0, 0x4000, hops, protocol, 0)
        return summed(head + from_.packed + to.packed + options, 10) + payload
    if alert:
        payload, protocol = bytes([protocol, 0]) + bytes.fromhex("050200000100") + payload, 0
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops) + from_.packed + to.packed + payload


def pseudo(source: str, destination: str, protocol: int, size: int) -> bytes:
    from_, to = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    if from_.version == 4:
        return from_.packed + to.packed + struct.pack("!BBH", 0, protocol, size)
    return from_.packed + to.packed + struct.pack("!II", size, protocol)


def ethernet(node: str, packet: bytes) -> bytes:
    ethertype = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
    return bytes.fromhex("01005e010101") + bytes([2, 0, 0, 0, 0, NODES.get(node, 99)]) + ethertype + packet


def udp(source: str, destination: str, sport: int, dport: int, payload: bytes, *, hops: int = 64) -> bytes:
    size = 8 + len(payload)
    datagram = struct.pack("!HHHH", sport, dport, size, 0) + payload
    return ip(source, destination, 17, summed(datagram, 6, pseudo(source, destination, 17, size)), hops=hops)


def query(
    family: int,
    group: str = "",
    *,
    response_s: float = 1.0,
    interval_s: int = 10,
    version: int = 0,
    sources: Sequence[str] = (),
) -> bytes:
    """An IGMP or MLD query; version 0 is the newest."""
    octets = ipaddress.ip_address(group or ("0.0.0.0" if family == 4 else "::")).packed
    packed = b"".join(ipaddress.ip_address(one).packed for one in sources)
    newest = struct.pack("!BBH", 2, interval_s, len(sources)) + packed
    if family == 4:
        return (
            struct.pack("!BBH", 0x11, 0 if version == 1 else round(response_s * 10), 0)
            + octets
            + (b"" if version else newest)
        )
    return struct.pack("!BBHHH", 130, 0, 0, round(response_s * 1000), 0) + octets + (b"" if version else newest)


def report(family: int, records: Sequence[tuple[int, str]]) -> bytes:
    """An IGMPv3 or MLDv2 report of (record type, group), without sources."""
    body = b"".join(struct.pack("!BBH", kind, 0, 0) + ipaddress.ip_address(group).packed for kind, group in records)
    return struct.pack("!BBHHH", 0x22 if family == 4 else 143, 0, 0, 0, len(records)) + body


def older_report(family: int, group: str, *, leave: bool = False) -> bytes:
    """An IGMPv2 or MLDv1 report or leave."""
    octets = ipaddress.ip_address(group).packed
    if family == 4:
        return struct.pack("!BBH", 0x17 if leave else 0x16, 0, 0) + octets
    return struct.pack("!BBHHH", 132 if leave else 131, 0, 0, 0, 0) + octets


def hello(holdtime: int = 3, generation: int = 7) -> bytes:
    return (
        struct.pack("!BBH", 0x20, 0, 0) + struct.pack("!HHH", 1, 2, holdtime) + struct.pack("!HHI", 20, 4, generation)
    )


def join_prune(family: int, upstream: str, group: str, *, joins: int = 1, holdtime: int = 7, rendezvous: str) -> bytes:
    """A join (or with `joins` 0 a prune) of (*, group)."""
    code = 1 if family == 4 else 2
    mask = 32 if family == 4 else 128
    body = struct.pack("!BB", code, 0) + ipaddress.ip_address(upstream).packed + struct.pack("!BBH", 0, 1, holdtime)
    body += struct.pack("!BBBB", code, 0, 0, mask) + ipaddress.ip_address(group).packed
    body += struct.pack("!HH", joins, 1 - joins)
    body += struct.pack("!BBBB", code, 0, 7, mask) + ipaddress.ip_address(rendezvous).packed
    return struct.pack("!BBH", 0x23, 0, 0) + body


@dataclass
class ScriptedLink:
    """Frames, in no order; times are seconds after `T0`."""

    frames: list[Sent] = field(default_factory=list)

    def add(self, at_s: float, tag: str, node: str, packet: bytes) -> ScriptedLink:
        self.frames.append(Sent(at_s, ethernet(node, packet), tag))
        return self

    def membership(
        self,
        family: int,
        at_s: float,
        tag: str,
        node: str,
        body: bytes,
        to: str,
        *,
        hops: int = 1,
        alert: bool = True,
        source: str = "",
    ) -> ScriptedLink:
        """An IGMP or MLD message."""
        from_, protocol = source or address(node, family), 2 if family == 4 else 58
        over = b"" if family == 4 else pseudo(from_, to, 58, len(body))
        packet = ip(from_, to, protocol, summed(body, 2, over), hops=hops, alert=alert)
        return self.add(at_s, tag, node, packet)

    def pim(
        self,
        family: int,
        at_s: float,
        tag: str,
        node: str,
        body: bytes,
        *,
        to: str = "",
        hops: int = 1,
        source: str = "",
    ) -> ScriptedLink:
        """A PIM message, to all PIM routers unless told otherwise."""
        from_, to = source or address(node, family), to or ("224.0.0.13" if family == 4 else "ff02::d")
        over = b"" if family == 4 else pseudo(from_, to, 103, len(body))
        return self.add(at_s, tag, node, ip(from_, to, 103, summed(body, 2, over), hops=hops))

    def mmcp(
        self,
        at_s: float,
        tag: str,
        source: str,
        destination: str,
        params: Sequence[Sequence[Any]] = (),
        *,
        f: int = 0,
        ports: tuple[int, int] = (PORT, PORT),
        session: int = 1,
        profile: str = "L16",
    ) -> ScriptedLink:
        """An MMCP message; the last word of the tag is its kind."""
        fields = {"packet": tag.rpartition(".")[2], "session_id": session, "f": f, "params": params, "profile": profile}
        return self.add(at_s, tag, source, udp(address(source), address(destination), *ports, build(fields)))

    def rtp(
        self, at_s: float, tag: str, sequence: int, *, payload_type: int = 33, timestamp: int | None = None
    ) -> ScriptedLink:
        """A data packet with the timestamp that belongs to its time."""
        stamp = round(at_s * 90_000) if timestamp is None else timestamp
        header = struct.pack("!BBHII", 0x80, payload_type, sequence & 0xFFFF, stamp & 0xFFFFFFFF, 0xABCD)
        return self.add(at_s, tag, "mcs", udp(address("mcs"), GROUPS[4], 40000, 5004, header + bytes(20)))

    # --- spoiling it

    def matching(self, pattern: str) -> list[Sent]:
        found = [frame for frame in self.frames if fnmatch.fnmatchcase(frame.tag, pattern)]
        assert found, f"no frame is tagged {pattern}"
        return found

    def drop(self, pattern: str) -> ScriptedLink:
        gone = {id(frame) for frame in self.matching(pattern)}
        self.frames = [frame for frame in self.frames if id(frame) not in gone]
        return self

    def change(self, pattern: str, how: Callable[[Sent], Sent]) -> ScriptedLink:
        chosen = {id(frame) for frame in self.matching(pattern)}
        self.frames = [how(frame) if id(frame) in chosen else frame for frame in self.frames]
        return self

    def move(self, pattern: str, by_s: float) -> ScriptedLink:
        return self.change(pattern, lambda frame: replace(frame, at_s=frame.at_s + by_s))

    def copy(self, pattern: str, by_s: float) -> ScriptedLink:
        self.frames += [replace(f, at_s=f.at_s + by_s, tag=f"copy.{f.tag}") for f in self.matching(pattern)]
        return self

    def patch(self, pattern: str, old: bytes, new: bytes) -> ScriptedLink:
        """Replace octets in the frames; they must be there."""
        assert all(old in frame.data for frame in self.matching(pattern))
        return self.change(pattern, lambda frame: replace(frame, data=frame.data.replace(old, new)))

    # --- writing it

    def ordered(self) -> list[Sent]:
        return sorted(self.frames, key=lambda frame: frame.at_s)

    def write(self, path: Path) -> Path:
        """Write everything in order of time as a pcapng with one interface."""
        with path.open("wb") as stream:
            writer = PcapngWriter(stream, [Interface(INTERFACE, 1)])
            for frame in self.ordered():
                writer.frame(T0 + round(frame.at_s * 1e9), 0, frame.data)
            writer.flush()
        return path


@cache
def _good_frames() -> tuple[Sent, ...]:
    link = ScriptedLink()
    for family in (4, 6):
        _routers(link, family)
        _members(link, family)
    _announcements(link)
    _session(link)
    _handover_and_back(link)
    _probes(link)
    _refusals(link)
    for number in range(2000):
        link.rtp(7 + number / 100, f"data.{number}", 65_000 + number)
    return tuple(link.frames)


def good_link() -> ScriptedLink:
    """Thirty seconds without a fault, in which every rule finds something to look at."""
    return ScriptedLink(list(_good_frames()))


def _routers(link: ScriptedLink, family: int) -> None:
    name = "pim" if family == 4 else "pim6"
    for second in range(30):
        for node, offset in (("a", 0.1), ("b", 0.2)):
            link.pim(family, second + offset, f"{name}.hello.{node}.{second}", node, hello())
    rendezvous = "10.9.9.9" if family == 4 else "2001:db8::9"
    for index, at_s in enumerate(range(6, 26, 2)):
        join = join_prune(family, address("b", family), GROUPS[family], rendezvous=rendezvous)
        link.pim(family, at_s, f"{name}.join.{index}", "a", join)
    prune = join_prune(family, address("b", family), GROUPS[family], joins=0, rendezvous=rendezvous)
    link.pim(family, 26, f"{name}.prune", "a", prune)


def _members(link: ScriptedLink, family: int) -> None:
    name, group = ("igmp" if family == 4 else "mld"), GROUPS[family]
    everybody, reports_to = ("224.0.0.1", "224.0.0.22") if family == 4 else ("ff02::1", "ff02::16")
    for index, at_s in enumerate((1.0, 3.0, 13.0, 23.0)):
        link.membership(family, at_s, f"{name}.query.{index}", "a", query(family), everybody)
    changes = (("lmc1", 4, (6.1, 6.5)), ("mn", 4, (7.0, 7.6)), ("mn", 3, (20.0, 20.5)), ("lmc1", 3, (25.0, 25.6)))
    for node, kind, times in changes:
        what = "join" if kind == 4 else "leave"
        for index, at_s in enumerate(times):
            link.membership(
                family, at_s, f"{name}.{what}.{node}.{index}", node, report(family, [(kind, group)]), reports_to
            )
    for node, at_s in (("lmc1", 13.4), ("mn", 13.7), ("lmc1", 23.3)):
        link.membership(
            family, at_s, f"{name}.answer.{node}.{at_s:.0f}", node, report(family, [(2, group)]), reports_to
        )
    # Heard again, so that a report that is missing can be held against it.
    for node, at_s in (("lmc1", 28.0), ("mn", 28.2)):
        record = report(family, [(2, "239.9.9.9" if family == 4 else "ff1e::9")])
        link.membership(family, at_s, f"{name}.later.{node}", node, record, reports_to)
    for index, at_s in enumerate((25.01, 25.11)):
        asked = query(family, group, response_s=0.1)
        link.membership(family, at_s, f"{name}.specific.{index}", "a", asked, group)


MN_ID, OTHER_ID = ["mn_id", "6d6e"], ["mn_id", "7878"]
QUIET_ID, ROVER_ID = ["mn_id", "7171"], ["mn_id", "7272"]
DATA = ["multicast", GROUPS[4], 5004]


def lmc(node: str) -> list[Any]:
    return ["lmc", address(node), PORT]


def poa(number: int) -> list[Any]:
    return ["poa_id", f"poa{number}".encode().hex()]


def _announcements(link: ScriptedLink) -> None:
    """LMCs announce themselves, again every SPT, and report; the MN is with lmc1 but between 14 and 22.3 s."""
    for node, at_s in (("lmc1", 5.0), ("lmc2", 5.1)):
        link.mmcp(at_s, f"{node}.SJR", node, "sm", [["mn_id", node.encode().hex()], lmc(node)])
        link.mmcp(at_s + 0.001, f"{node}.SJC", "sm", node, [DATA], f=1)
        for index in range(1, 12):
            at = at_s + 2 * index
            if index % 3 == 0:
                link.mmcp(at - 0.003, f"{node}.{index}.SJR", node, "sm", [["mn_id", node.encode().hex()], lmc(node)])
                link.mmcp(at - 0.002, f"{node}.{index}.SJC", "sm", node, [DATA], f=1)
            here = (14.02 <= at < 22.3) if node == "lmc2" else (6.6 <= at < 14.02 or 22.3 <= at < 26)
            members: list[list[Any]] = [["membership", 1], MN_ID] if here else [["membership", 0]]
            link.mmcp(at, f"{node}.{index}.ASR", node, "sm", members)


def _session(link: ScriptedLink) -> None:
    link.mmcp(6.5, "join.SJR", "mn", "sm", [MN_ID, poa(1)])
    link.mmcp(6.501, "join.SJC", "sm", "mn", [DATA, lmc("lmc1")], f=1)
    link.mmcp(6.502, "join.LJR", "mn", "lmc1", [MN_ID])
    link.mmcp(6.503, "join.LJC", "lmc1", "mn", f=1)
    for index, at_s in enumerate((8.5, 10.5, 12.5)):
        link.mmcp(at_s, f"lmc1.{index}.USR", "mn", "lmc1", [MN_ID, ["status", index * 200, int(at_s - 6.5)]])
    link.mmcp(12.501, "renewal.LJR", "mn", "lmc1", [MN_ID])
    link.mmcp(12.502, "renewal.LJC", "lmc1", "mn", f=1)
    link.mmcp(22.502, "again.LJR", "mn", "lmc1", [MN_ID])
    link.mmcp(22.503, "again.LJC", "lmc1", "mn", f=1)
    link.mmcp(23.5, "late.0.USR", "mn", "lmc1", [MN_ID, ["status", 1500, 17]])
    link.mmcp(25.5, "late.1.USR", "mn", "lmc1", [MN_ID, ["status", 1700, 19]])
    link.mmcp(26.2, "leave.ULR", "mn", "lmc1", [MN_ID])
    link.mmcp(26.201, "leave.ULC", "lmc1", "mn", f=1)
    link.mmcp(27.5, "new.SJR", "mn", "sm", [MN_ID, poa(1)])
    link.mmcp(27.501, "new.SJC", "sm", "mn", [DATA, lmc("lmc1")], f=1)
    link.mmcp(27.502, "new.LJR", "mn", "lmc1", [MN_ID])
    link.mmcp(27.503, "new.LJC", "lmc1", "mn", f=1)
    link.mmcp(29.5, "new.USR", "mn", "lmc1", [MN_ID, ["status", 0, 2]])


def _handover_and_back(link: ScriptedLink) -> None:
    link.mmcp(14.0, "h1.HIR", "mn", "lmc1", [MN_ID, poa(2)])
    link.mmcp(14.001, "h1.HCT", "lmc1", "lmc2", [MN_ID, DATA], ports=(5151, PORT))
    link.mmcp(14.02, "h1.HTA", "lmc2", "lmc1", f=1, ports=(PORT, 5151))
    link.mmcp(14.021, "h1.HIC", "lmc1", "mn", [lmc("lmc2")], f=1)
    link.mmcp(14.3, "h1.LJR", "mn", "lmc2", [MN_ID])
    link.mmcp(14.301, "h1.LJC", "lmc2", "mn", f=1)
    for index, at_s in enumerate((16.3, 18.3, 20.3)):
        link.mmcp(at_s, f"lmc2.{index}.USR", "mn", "lmc2", [MN_ID, ["status", 700 + index * 200, int(at_s - 6.5)]])
    link.mmcp(20.301, "renewal2.LJR", "mn", "lmc2", [MN_ID])
    link.mmcp(20.302, "renewal2.LJC", "lmc2", "mn", f=1)
    # Back again; the first confirm is lost behind the capture.
    link.mmcp(21.0, "h2.0.HIR", "mn", "lmc2", [MN_ID, poa(1)])
    link.mmcp(21.001, "h2.HCT", "lmc2", "lmc1", [MN_ID, DATA], ports=(5152, PORT))
    link.mmcp(21.02, "h2.HTA", "lmc1", "lmc2", f=1, ports=(PORT, 5152))
    link.mmcp(21.021, "h2.0.HIC", "lmc2", "mn", [lmc("lmc1")], f=1)
    link.mmcp(22.0, "h2.1.HIR", "mn", "lmc2", [MN_ID, poa(1)])
    link.mmcp(22.001, "h2.1.HIC", "lmc2", "mn", [lmc("lmc1")], f=1)


def _probes(link: ScriptedLink) -> None:
    """Children of which only the probes' answers are heard: an MN of the SM's, an LMC, and an MN that turned back."""
    link.mmcp(8.0, "quiet.SJR", "quiet", "sm", [QUIET_ID])
    link.mmcp(8.001, "quiet.SJC", "sm", "quiet", [DATA], f=1)
    for index, at_s in enumerate((14.003, 20.005)):
        link.mmcp(at_s, f"quiet.{index}.USP", "sm", "quiet")
        link.mmcp(
            at_s + 0.001,
            f"quiet.{index}.probed.USR",
            "quiet",
            "sm",
            [QUIET_ID, ["status", index * 600, round(at_s) - 8]],
        )
    link.mmcp(8.2, "lmc3.SJR", "lmc3", "sm", [["mn_id", b"lmc3".hex()], lmc("lmc3")])
    link.mmcp(8.201, "lmc3.SJC", "sm", "lmc3", [DATA], f=1)
    link.mmcp(14.204, "lmc3.USP", "sm", "lmc3")
    link.mmcp(14.205, "lmc3.probed.ASR", "lmc3", "sm", [["membership", 0]])
    link.mmcp(10.2, "rover.HIR", "rover", "lmc1", [ROVER_ID, poa(2)])
    link.mmcp(10.201, "rover.HCT", "lmc1", "lmc2", [ROVER_ID, DATA], ports=(5154, PORT))
    link.mmcp(10.22, "rover.HTA", "lmc2", "lmc1", f=1, ports=(PORT, 5154))
    link.mmcp(10.221, "rover.HIC", "lmc1", "rover", [lmc("lmc2")], f=1)
    link.mmcp(11.4, "rover.LJR", "rover", "lmc1", [ROVER_ID])
    link.mmcp(11.401, "rover.LJC", "lmc1", "rover", f=1)
    link.mmcp(17.403, "rover.USP", "lmc1", "rover")
    link.mmcp(17.404, "rover.probed.USR", "rover", "lmc1", [ROVER_ID])


def _refusals(link: ScriptedLink) -> None:
    for at_s, tag in ((9.0, "refused"), (20.0, "refused2")):
        link.mmcp(at_s, f"{tag}.SJR", "other", "sm", [OTHER_ID])
        link.mmcp(at_s + 0.001, f"{tag}.SJC", "sm", "other", f=0)
