"""A lab that never ran: frames and steps of a good run by the clock, to be spoiled one line at a time.

Every frame has a tag such as ``"h1.HCT@lmc1"``: what it is, and where it was captured. `drop`, `move` and `change`
take a pattern of such tags and insist that it names something.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from captures.files.capture import Interface, PcapngWriter
from captures.files.reading import CaptureReader
from captures.mmcp.dissector import build
from captures.mmcp.lab import Lab
from captures.rules.reading import Reading

TO_INCLUDE, TO_EXCLUDE, ALLOW = 3, 4, 5  # group record types [RFC 3376 4.2.12]
T0 = 1_700_000_000_000_000_000
MMCP_PORT, DATA_PORT = 24793, 5004
INTERFACES = {
    "mn": "mn:mn-radio",
    "lmc1": "lmc1:lmc1-poa1",
    "lmc2": "lmc2:lmc2-poa2",
    "ar1": "ar1:ar1-poa1",
    "sm": "sm:sm-ar1",
    "mcs": "mcs:mcs-ar1",
}
MN_ID = "6d6e31"
MACS = {
    "mn": "020000000001",
    "lmc1": "020000000011",
    "lmc2": "020000000012",
    "sm": "020000000021",
    "ar1": "0200000000aa",
}
ADDRESSES = {
    4: {
        "group": "239.1.1.1", "mcs": "10.0.10.2", "sm": "10.0.20.2", "lmc1": "10.0.1.2", "lmc2": "10.0.2.2",
        "mn1": "10.0.1.100", "mn2": "10.0.2.100",
    },
    6: {
        "group": "ff1e::1:1", "mcs": "2001:db8:10::2", "sm": "2001:db8:20::2", "lmc1": "2001:db8:1::2",
        "lmc2": "2001:db8:2::2", "mn1": "2001:db8:1::100", "mn2": "2001:db8:2::100",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Sent:
    """One captured frame, `at_ms` after the start."""

    at_ms: float
    interface: str
    data: bytes
    tag: str


def ip(
    source: str, destination: str, protocol: int, payload: bytes, *, hop_limit: int = 64, alert: bool = False
) -> bytes:
    """An IP packet with its checksums; `alert` adds the options IGMP and MLD carry."""
    from_, to = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    payload = _summed(protocol, payload, from_.packed + to.packed)
    if from_.version == 4:
        options = bytes.fromhex("94040000") if alert else b""
        size = 20 + len(options) + len(payload)
        first, words = 0x45 + len(options) // 4, (size, 0, 0x4000)
        head = struct.pack("!BBHHHBBH", first, 0, *words, hop_limit, protocol, 0) + from_.packed + to.packed + options
        return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + payload
    if alert:
        payload = bytes([protocol, 0]) + bytes.fromhex("050200000100") + payload
        protocol = 0
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, hop_limit) + from_.packed + to.packed + payload


def _summed(protocol: int, payload: bytes, addresses: bytes) -> bytes:
    """UDP, IGMP or ICMPv6 with its checksum, which all but IGMP compute over a pseudo header too."""
    at = {2: 2, 17: 6, 58: 2}.get(protocol)
    if at is None:
        return payload
    pseudo = b"" if protocol == 2 else addresses + struct.pack("!II", len(payload), protocol)
    return payload[:at] + checksum(pseudo + payload).to_bytes(2, "big") + payload[at + 2 :]


def checksum(octets: bytes) -> int:
    """The Internet checksum [RFC 1071]."""
    octets += b"\0" * (len(octets) % 2)
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF or 0xFFFF


def udp(source_port: int, destination_port: int, payload: bytes) -> bytes:
    return struct.pack("!HHHH", source_port, destination_port, 8 + len(payload), 0) + payload


def summed_anew(frame: bytes) -> bytes:
    """The frame with the checksum of what its IP packet carries, for its octets have changed."""
    four = frame[14] >> 4 == 4
    at = 14 + ((frame[14] & 15) * 4 if four else 40)
    protocol, addresses = (frame[23], frame[26:34]) if four else (frame[20], frame[22:54])
    if protocol == 0:  # hop-by-hop options
        protocol, at = frame[at], at + (frame[at + 1] + 1) * 8
    payload = frame[at:]
    where = {2: 2, 17: 6, 58: 2}[protocol]
    return frame[:at] + _summed(protocol, payload[:where] + bytes(2) + payload[where + 2 :], addresses)


def ethernet(mac: str, packet: bytes) -> bytes:
    ethertype = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
    return bytes.fromhex("01005e010101") + bytes.fromhex(mac) + ethertype + packet


def report(family: int, group: str, *, kind: int = 4, source: str | None = None) -> tuple[int, bytes]:
    """Protocol and octets of an IGMPv3 or MLDv2 report with one group record of the type `kind`."""
    sources = b"" if source is None else ipaddress.ip_address(source).packed
    record = struct.pack("!BBH", kind, 0, source is not None) + ipaddress.ip_address(group).packed + sources
    head = struct.pack("!BBHHH", 0x22 if family == 4 else 143, 0, 0, 0, 1)
    return (2 if family == 4 else 58), head + record


@dataclass
class ScriptedLab:
    """Frames and steps; times are ms after `T0`."""

    family: int = 4
    frames: list[Sent] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    sequence: int = 65_500  # so that every run passes the 16-bit wrap
    source_specific: bool = False

    def __post_init__(self) -> None:
        self.addresses = dict(ADDRESSES[self.family])
        if self.source_specific:
            self.addresses["group"] = "232.1.1.1" if self.family == 4 else "ff3e::1:1"
        self.cell = 1

    @property
    def mn(self) -> str:
        return self.addresses[f"mn{self.cell}"]

    # --- telling the story

    def step(self, at_ms: float, name: str, **fields: Any) -> None:
        self.steps.append({"t_ns": T0 + round(at_ms * 1e6), "step": name, **fields})

    def parameters(self, mmcp: Mapping[str, Any] | None = None, **changes: Any) -> None:
        """The step with other values in it, and others in MMCP's section."""
        a = self.addresses
        section = {
            "port": MMCP_PORT, "session_id": 1, "srt_s": 2.0,
            "sm": {"node": "sm", "address": a["sm"], "interface": INTERFACES["sm"]},
            "lmcs": [
                {
                    "name": f"lmc{i}", "node": f"lmc{i}", "address": a[f"lmc{i}"], "interface": INTERFACES[f"lmc{i}"],
                    "point_of_attachment": f"poa{i}",
                }
                for i in (1, 2)
            ],
            "mns": [
                {
                    "name": "mn", "node": "mn", "id": MN_ID, "interface": INTERFACES["mn"],
                    "addresses": {"poa1": a["mn1"], "poa2": a["mn2"]},
                }
            ],
            **(mmcp or {}),
        }  # fmt: skip
        fields = {
            "lab": "handover", "family": self.family, "expects": ["handover"], "group": a["group"], "port": DATA_PORT,
            "nominal_spacing_ns": 10_000_000, "mcs": {"node": "mcs", "address": a["mcs"]}, "mmcp": section,
        }  # fmt: skip
        self.step(0, "parameters", **{**fields, **changes})

    def mmcp(
        self,
        at_ms: float,
        name: str,
        source: str,
        destination: str,
        params: list[list[Any]] | None = None,
        *,
        f: int = 0,
        ports: tuple[int, int] = (MMCP_PORT, MMCP_PORT),
    ) -> ScriptedLab:
        """An MMCP message between two of "mn", "lmc1", "lmc2" and "sm", captured at both, 0.1 ms apart."""
        packet = name.rpartition(".")[2]
        message = build({"packet": packet, "session_id": 1, "f": f, "params": params or []})
        from_, to = (self.mn if node == "mn" else self.addresses[node] for node in (source, destination))
        frame = ethernet(MACS[source], ip(from_, to, 17, udp(*ports, message)))
        self.frames.append(Sent(at_ms, INTERFACES[source], frame, f"{name}@{source}"))
        self.frames.append(Sent(at_ms + 0.1, INTERFACES[destination], frame, f"{name}@{destination}"))
        return self

    def report(self, at_ms: float, name: str, node: str, *, kind: int | None = None, hop_limit: int = 1) -> None:
        """An IGMPv3 or MLDv2 report, captured at the node alone; MLD comes from its link-local address."""
        kind = (ALLOW if self.source_specific else TO_EXCLUDE) if kind is None else kind
        source = self.addresses["mcs"] if self.source_specific and kind in (ALLOW, TO_INCLUDE) else None
        protocol, octets = report(self.family, self.addresses["group"], kind=kind, source=source)
        if self.family == 4:
            source, to = self.mn if node == "mn" else self.addresses[node], "224.0.0.22"
        else:
            source, to = f"fe80::{int(MACS[node], 16) & 0xFFFF:x}", "ff02::16"
        packet = ip(source, to, protocol, octets, hop_limit=hop_limit, alert=True)
        self.frames.append(Sent(at_ms, INTERFACES[node], ethernet(MACS[node], packet), f"{name}@{node}"))

    def data(self, begin_ms: float, end_ms: float, cells: Callable[[float], set[str]]) -> None:
        """The stream, 100 packets/s, captured at the nodes that `cells` gives for each time."""
        a = self.addresses
        at_ms = begin_ms
        while at_ms < end_ms:
            header = struct.pack("!BBHII", 0x80, 33, self.sequence & 0xFFFF, self.sequence, 0xABCD)
            packet = ip(a["mcs"], a["group"], 17, udp(40000, DATA_PORT, header + bytes(20)), hop_limit=8)
            for node in sorted(cells(at_ms)):
                frame = ethernet(MACS["ar1"], packet)
                self.frames.append(Sent(at_ms, INTERFACES[node], frame, f"data.{at_ms:.0f}@{node}"))
            self.sequence += 1
            at_ms += 10

    # --- spoiling it

    def _matching(self, pattern: str) -> list[Sent]:
        found = [frame for frame in self.frames if fnmatch.fnmatchcase(frame.tag, pattern)]
        assert found, f"no frame is tagged {pattern}"
        return found

    def drop(self, pattern: str) -> ScriptedLab:
        gone = {id(frame) for frame in self._matching(pattern)}
        self.frames = [frame for frame in self.frames if id(frame) not in gone]
        return self

    def move(self, pattern: str, by_ms: float) -> ScriptedLab:
        return self.change(pattern, lambda frame: replace(frame, at_ms=frame.at_ms + by_ms))

    def change(self, pattern: str, how: Callable[[Sent], Sent]) -> ScriptedLab:
        chosen = {id(frame) for frame in self._matching(pattern)}
        self.frames = [how(frame) if id(frame) in chosen else frame for frame in self.frames]
        return self

    def patch(self, pattern: str, old: bytes, new: bytes) -> ScriptedLab:
        """Replace octets in the frames, with the checksum that goes with them; they must be there."""
        assert all(old in frame.data for frame in self._matching(pattern))
        return self.change(pattern, lambda frame: replace(frame, data=summed_anew(frame.data.replace(old, new))))

    def copy(self, pattern: str, by_ms: float) -> ScriptedLab:
        self.frames += [replace(f, at_ms=f.at_ms + by_ms, tag=f"copy.{f.tag}") for f in self._matching(pattern)]
        return self

    def drop_step(self, name: str, **fields: Any) -> ScriptedLab:
        kept = [s for s in self.steps if s["step"] != name or any(s.get(key) != value for key, value in fields.items())]
        assert len(kept) < len(self.steps), f"no step {name}"
        self.steps = kept
        return self

    # --- writing it

    def write(self, path: Path) -> Path:
        """Write everything in order of time as one pcapng."""
        names = [name for name in INTERFACES.values() if any(frame.interface == name for frame in self.frames)]
        things: list[tuple[int, int, Any]] = [(step["t_ns"], 0, step) for step in self.steps]
        things += [(T0 + round(frame.at_ms * 1e6), 1, frame) for frame in self.frames]
        with path.open("wb") as stream:
            writer = PcapngWriter(stream, [Interface(name, 1) for name in names])
            for t_ns, _, thing in sorted(things, key=lambda thing: thing[:2]):
                if isinstance(thing, Sent):
                    writer.frame(t_ns, names.index(thing.interface), thing.data)
                else:
                    writer.step(thing)
            writer.flush()
        return path

    def write_run_folder(self, folder: Path) -> Path:
        """Write it as it is before merging: one nanosecond pcap per interface, and steps.jsonl."""
        (folder / "capture").mkdir(parents=True)
        for name in INTERFACES.values():
            records = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1)]
            for frame in sorted((f for f in self.frames if f.interface == name), key=lambda f: f.at_ms):
                t_ns = T0 + round(frame.at_ms * 1e6)
                size = len(frame.data)
                records.append(struct.pack("<IIII", t_ns // 10**9, t_ns % 10**9, size, size) + frame.data)
            (folder / "capture" / f"{name}.pcap").write_bytes(b"".join(records))
        (folder / "steps.jsonl").write_text("".join(json.dumps(step) + "\n" for step in self.steps))
        return folder


def at_cell(lab: ScriptedLab, cell: int) -> ScriptedLab:
    """The lab with the MN in a cell, for the messages that follow."""
    lab.cell = cell
    return lab


def good_lab(family: int = 4, *, fallback: bool = False, source_specific: bool = False) -> ScriptedLab:
    """A proactive handover from cell 1 to cell 2 and a reactive one back; `fallback` loses the HTA of the first."""
    lab = ScriptedLab(family, source_specific=source_specific)
    lab.parameters(source=lab.addresses["mcs"] if source_specific else None)
    _announcements_and_aggregates(lab, fallback=fallback)
    _session_join(lab)
    _proactive_handover(lab, fallback=fallback)
    _reactive_handover(lab)
    lab.data(130, 13_500, lambda t: _cells(t, fallback=fallback))
    return lab


def _announcements_and_aggregates(lab: ScriptedLab, *, fallback: bool) -> None:
    a = lab.addresses
    # From LJC to HIC; the old LMC of a fall-back is told nothing and keeps the MN.
    stays = {"lmc1": (116, 99_999 if fallback else 3017), "lmc2": (3361, 99_999)}
    for at, lmc in ((10, "lmc1"), (14, "lmc2")):
        name = lmc.encode().hex()
        lab.mmcp(at, f"{lmc}.SJR", lmc, "sm", [["mn_id", name], ["lmc", a[lmc], MMCP_PORT]])
        lab.mmcp(at + 1, f"{lmc}.SJC", "sm", lmc, [["multicast", a["group"], DATA_PORT]], f=1)
        for i in range(1, 7):
            due = at + 1 + 2000 * i
            members = [["mn_id", MN_ID]] if stays[lmc][0] <= due < stays[lmc][1] else []
            lab.mmcp(due, f"{lmc}.{i}.ASR", lmc, "sm", [["membership", len(members)], *members])


def _session_join(lab: ScriptedLab) -> None:
    a = lab.addresses
    lab.step(100, "session_begin", mode="proactive", mn="mn")
    lab.mmcp(110, "join.SJR", "mn", "sm", [["mn_id", MN_ID], ["poa_id", b"poa1".hex()]])
    lab.mmcp(112, "join.SJC", "sm", "mn", [["multicast", a["group"], DATA_PORT], ["lmc", a["lmc1"], MMCP_PORT]], f=1)
    lab.mmcp(114, "join.LJR", "mn", "lmc1", [["mn_id", MN_ID]])
    lab.mmcp(116, "join.LJC", "lmc1", "mn", f=1)
    lab.report(118, "join.report", "mn")
    lab.mmcp(2116, "1.USR", "mn", "lmc1", [["mn_id", MN_ID], ["status", 198, 2]])


def _proactive_handover(lab: ScriptedLab, *, fallback: bool) -> None:
    a = lab.addresses
    lab.step(
        3000, "handover_begin", handover=1, mode="proactive", mn="mn", l2_gap_ms=50.0, overlap_ms=200.0,
        address_delay_ms=100.0, expected="prepared", because="", **{"from": "poa1", "to": "poa2"},
    )  # fmt: skip
    lab.step(3005, "link_trigger", handover=1)
    lab.mmcp(3006, "h1.HIR", "mn", "lmc1", [["mn_id", MN_ID], ["poa_id", b"poa2".hex()]])
    lab.mmcp(
        3007,
        "h1.HCT",
        "lmc1",
        "lmc2",
        [["mn_id", MN_ID], ["multicast", a["group"], DATA_PORT]],
        ports=(5151, MMCP_PORT),
    )
    if not fallback:
        lab.report(3015, "h1.report", "lmc2")
        lab.mmcp(3016, "h1.HTA", "lmc2", "lmc1", f=1, ports=(MMCP_PORT, 5151))
        lab.mmcp(3017, "h1.HIC", "lmc1", "mn", [["lmc", a["lmc2"], MMCP_PORT]], f=1)
    lab.step(3205, "link_down", handover=1)
    lab.step(3255, "link_up", handover=1)
    lab.cell = 2
    if fallback:
        lab.mmcp(3355, "h1.SJR", "mn", "sm", [["mn_id", MN_ID], ["poa_id", b"poa2".hex()]])
        lab.mmcp(3357, "h1.SJC", "sm", "mn", [["multicast", a["group"], DATA_PORT], ["lmc", a["lmc2"], MMCP_PORT]], f=1)
    lab.report(3359, "h1.mnreport", "mn")
    lab.mmcp(3360, "h1.LJR", "mn", "lmc2", [["mn_id", MN_ID]])
    lab.mmcp(3361, "h1.LJC", "lmc2", "mn", f=1)
    lab.step(4300, "handover_end", handover=1)
    lab.mmcp(5361, "2.USR", "mn", "lmc2", [["mn_id", MN_ID], ["status", 500, 5]])
    lab.mmcp(7361, "3.USR", "mn", "lmc2", [["mn_id", MN_ID], ["status", 700, 7]])
    if fallback:  # last heard 2116, SPT is 6 s; at the address it has left, the MN does not see the probe
        lab.cell = 1
        lab.mmcp(8116, "late.USP", "lmc1", "mn").drop("late.USP@mn")
        lab.cell = 2
    lab.step(9000, "session_end", mode="proactive", mn="mn")


def _reactive_handover(lab: ScriptedLab) -> None:
    lab.step(9100, "session_begin", mode="reactive", mn="mn")
    lab.report(9120, "reactive.report", "mn")
    lab.step(
        10_000, "handover_begin", handover=2, mode="reactive", mn="mn", l2_gap_ms=50.0, overlap_ms=200.0,
        address_delay_ms=100.0, **{"from": "poa2", "to": "poa1"},
    )  # fmt: skip
    lab.step(10_005, "link_trigger", handover=2)
    lab.step(10_205, "link_down", handover=2)
    lab.step(10_255, "link_up", handover=2)
    lab.cell = 1
    lab.report(10_360, "h2.mnreport", "mn")
    lab.step(11_300, "handover_end", handover=2)
    lab.step(13_000, "session_end", mode="reactive", mn="mn")


def _cells(t: float, *, fallback: bool) -> set[str]:
    """Where the stream is seen: the cell of an LMC while somebody there wants it, the MN while it is connected."""
    seen = set()
    if t < 3400 or t >= 10_372:
        seen.add("lmc1")
    if (3365 if fallback else 3018) <= t < 10_400:
        seen.add("lmc2")
    here = "lmc1" if t < 3205 or t >= 10_255 else "lmc2"
    connected = not (3205 <= t < 3255 or 10_205 <= t < 10_255)
    if connected and here in seen:
        seen.add("mn")
    return seen


def read_lab(path: Path) -> Lab:
    """What a lab's capture says of MMCP."""
    lab, reading = Lab(), Reading(CaptureReader(path), {})
    reading.gather(lab)
    reading.read()
    assert lab.known
    return lab
