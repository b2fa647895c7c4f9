"""Packets of good captures lost, held back, doubled, swapped and damaged, one at a time: the rule that owns it must notice.

`OWNERS` says for each packet and each mutation which rules must notice it, any of them. A mutation that is not in the table
breaks no rule that a wire can show: a report or hello too many is allowed, a message may be sent again, and of the last of
its kind nobody knows that there was to be another.
"""

from __future__ import annotations

import io
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from captures.capture import CaptureError, Frame, Interface, PcapngWriter, Step
from captures.control import PROTOCOLS
from captures.events import Event, History
from captures.reading import CaptureReader
from captures.rules.packs.pack import Settings
from captures.verify import verify
from tests.captures.scripted_link import SRT_S, good_link

DATA = Path(__file__).parent / "data"
AT_LEAST = 0.95
EACH_AT_MOST = 6  # packets of one kind that are mutated
EARLIEST_S, LATEST_S = 5.0, 29.0  # what comes before or after may have had a part that is not in the capture

ANSWERED = {
    "SJR": {"mmcp-session-confirm-asked"}, "SJC": {"mmcp-session-join-answered", "mmcp-report-after-join", "mmcp-join-order"},
    "LJR": {"mmcp-local-confirm-asked"}, "LJC": {"mmcp-local-join-answered", "mmcp-report-after-join", "mmcp-report-after-local-join"},
    "ULR": {"mmcp-leave-confirm-asked"}, "ULC": {"mmcp-leave-answered"},
    "HIR": {"mmcp-handover-confirm-asked"}, "HIC": {"mmcp-handover-answered"},
    "HCT": {"mmcp-transfer-ack-asked"}, "HTA": {"mmcp-transfer-answered", "mmcp-transfer-first"},
}  # fmt: skip
CONFIRM_ASKED = {
    "SJC": {"mmcp-session-confirm-asked"}, "LJC": {"mmcp-local-confirm-asked"}, "ULC": {"mmcp-leave-confirm-asked"},
    "HIC": {"mmcp-handover-confirm-asked"}, "HTA": {"mmcp-transfer-ack-asked"},
}  # fmt: skip
PAIRS = {("SJR", "SJC"), ("SJC", "LJR"), ("LJR", "LJC"), ("ULR", "ULC"), ("HCT", "HTA"), ("HTA", "HIC")}
"""Of which the second only ever follows the first."""
SEQUENCE = set().union(*ANSWERED.values(), *CONFIRM_ASKED.values())

OWNERS: dict[tuple[str, str, str], set[str]] = {
    **{("mmcp", kind, "lost"): owners for kind, owners in ANSWERED.items()},
    ("mmcp", "USR", "lost"): {"mmcp-usr-period"},
    ("mmcp", "ASR", "lost"): {"mmcp-asr-period"},
    **{("mmcp", kind, "damaged"): {"mmcp-checksum", "mmcp-well-formed"} for kind in (*ANSWERED, "USR", "ASR", "USP")},
    **{("mmcp", kind, "doubled"): owners for kind, owners in CONFIRM_ASKED.items()},
    ("mmcp", "SJR", "doubled"): {"mmcp-session-join-pace"},
    ("mmcp", "LJR", "doubled"): {"mmcp-local-join-pace"},
    ("mmcp", "HIR", "doubled"): {"mmcp-handover-pace"},
    ("mmcp", "HCT", "doubled"): {"mmcp-transfer-pace"},
    ("mmcp", "USP", "doubled"): {"mmcp-probe-pace"},
    **{("mmcp", kind, "held back"): {*ANSWERED[kind], *CONFIRM_ASKED.get(kind, ())} for kind in ANSWERED},
    ("mmcp", "USR", "held back"): {"mmcp-usr-period"},
    ("mmcp", "ASR", "held back"): {"mmcp-asr-period"},
    **{("mmcp", kind, "swapped"): SEQUENCE for kind, _ in PAIRS},
    **{
        (name, kind, "damaged"): {f"{name}-checksum", f"{name}-well-formed"}
        for name in ("igmp", "mld")
        for kind in ("query", "specific query", "change", "repeat", "answer")
    },
    **{(name, "query", how): {f"{name}-query-period"} for name in ("igmp", "mld") for how in ("lost", "held back")},
    **{(name, "repeat", how): {f"{name}-report-repeated"} for name in ("igmp", "mld") for how in ("lost", "held back")},
    **{(name, "change", "lost"): {f"{name}-report-repeated"} for name in ("igmp", "mld")},
    **{(name, "answer", how): {f"{name}-query-answered"} for name in ("igmp", "mld") for how in ("lost", "held back")},
    **{("pim", kind, "damaged"): {"pim-checksum", "pim-well-formed"} for kind in ("hello", "join-prune")},
    **{("pim", "hello", how): {"pim-hello-period"} for how in ("lost", "held back")},
    **{("pim", "join-prune", how): {"pim-join-refresh"} for how in ("lost", "held back")},
    ("rtp", "data", "lost"): {"rtp-loss"},
    ("rtp", "data", "doubled"): {"rtp-duplicates"},
    ("rtp", "data", "held back"): {"rtp-order"},
    ("rtp", "data", "swapped"): {"rtp-order"},
}  # fmt: skip


@dataclass(frozen=True)
class Packet:
    """A frame of a capture; what it is, and whether there is one of its sort before and after it."""

    at_s: float
    data: bytes
    protocol: str = ""
    kind: str = ""
    sort: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mutation:
    """One packet mutated in one way, and the capture that comes of it."""

    how: str
    packet: Packet
    packets: list[Packet]


def labelled() -> list[Packet]:
    """The good link's frames in order of time, with what each of them is."""
    frames = good_link().ordered()
    kinds = {frame.tag: kind_of(frame.tag) for frame in frames}
    return [
        Packet(frame.at_s, frame.data, *kinds[frame.tag][:2], kinds[frame.tag][2])
        for frame in frames
        if not frame.tag.startswith("data") or 1000 <= int(frame.tag.split(".")[1]) < 1100
    ]


def kind_of(tag: str) -> tuple[str, str, tuple[str, ...]]:
    """Protocol, kind and sort of a tag of the scripted link; packets of one sort repeat each other."""
    words = tag.split(".")
    name = words[0].rstrip("6")
    if name == "data":
        return "rtp", "data", ("data",)
    if name == "pim":
        return "pim", {"hello": "hello", "join": "join-prune"}.get(words[1], "other"), tuple(words[:-1])
    if name in ("igmp", "mld"):
        kinds = {
            "query": "query",
            "specific": "specific query",
            "join": "change",
            "leave": "change",
            "answer": "answer",
        }
        # Each answer and each change is one of its own.
        kind = kinds.get(words[1], "other")
        return (
            name,
            "repeat" if kind == "change" and words[-1] == "1" else kind,
            (*words[:2],) if kind == "query" else (tag,),
        )
    if "probed" in words or (words[0] == "h2" and words[-1] == "HIC" and words[1] == "0"):
        return "mmcp", "other", (tag,)  # not asked of anybody; lost in the story anyway
    return "mmcp", words[-1], (words[0], words[-1]) if words[-1] in ("USR", "ASR") else (tag,)


LATER_S = {
    "query": 4.0, "repeat": 1.4, "answer": 1.4, "hello": 1.0, "join-prune": 2.5, "USR": 1.0, "ASR": 1.0, "data": 0.015,
    "HTA": 1.4,
}  # fmt: skip


def mutations(packets: list[Packet]) -> Iterator[Mutation]:
    """One at a time, of the packets that have others of their sort on both sides."""
    places: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, packet in enumerate(packets):
        places[packet.sort].append(index)
    done: Counter[tuple[str, str, str]] = Counter()
    for index, packet in enumerate(packets):
        first, last = places[packet.sort][0], places[packet.sort][-1]
        repeats = first != last
        if not EARLIEST_S <= packet.at_s <= LATEST_S or (repeats and index in (first, last)):
            continue
        for how, mutate in MUTATORS.items():
            name = (packet.protocol, packet.kind, how)
            if name not in OWNERS or done[name] >= EACH_AT_MOST:
                continue
            mutated = mutate(packets, index)
            if mutated is not None:
                done[name] += 1
                yield Mutation(how, packet, sorted(mutated, key=lambda one: one.at_s))


def lost(packets: list[Packet], index: int) -> list[Packet]:
    return packets[:index] + packets[index + 1 :]


def held_back(packets: list[Packet], index: int) -> list[Packet]:
    packet = packets[index]
    later = replace(packet, at_s=packet.at_s + LATER_S.get(packet.kind, 3.0))
    return [*lost(packets, index), later]


def doubled(packets: list[Packet], index: int) -> list[Packet]:
    return [*packets, replace(packets[index], at_s=packets[index].at_s + 0.0002)]


def swapped(packets: list[Packet], index: int) -> list[Packet] | None:
    """With the next packet of its protocol, if that comes within 50 ms and is of another kind, or both are data."""
    packet = packets[index]
    following = next((n for n in range(index + 1, len(packets)) if packets[n].protocol == packet.protocol), None)
    if following is None:
        return None
    other = packets[following]
    if other.at_s - packet.at_s > 0.05 or (packet.kind, other.kind) not in {*PAIRS, ("data", "data")}:
        return None
    changed = list(packets)
    changed[index], changed[following] = replace(other, at_s=packet.at_s), replace(packet, at_s=other.at_s)
    return changed


def damaged(packets: list[Packet], index: int) -> list[Packet]:
    """A bit of its last octets flips."""
    data = bytearray(packets[index].data)
    data[-1 - index % 4] ^= 1 << index % 8
    return [*lost(packets, index), replace(packets[index], data=bytes(data))]


MUTATORS: dict[str, Callable[[list[Packet], int], list[Packet] | None]] = {
    "lost": lost, "held back": held_back, "doubled": doubled, "swapped": swapped, "damaged": damaged,
}  # fmt: skip


def write(packets: list[Packet], path: Path) -> Path:
    with path.open("wb") as stream:
        writer = PcapngWriter(stream, [Interface("eth0", 1)])
        for packet in packets:
            writer.frame(1_700_000_000_000_000_000 + round(packet.at_s * 1e9), 0, packet.data)
        writer.flush()
    return path


def failing(path: Path) -> set[str]:
    found = verify(CaptureReader(path), settings=Settings(srt_s=SRT_S))
    return {verdict.rule for verdict in found.verdicts if verdict.verdict == "failed"}


def test_mutations_of_a_scripted_link_are_caught_by_the_rules_that_own_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packets = labelled()
    path = tmp_path / "link.pcapng"
    assert failing(write(packets, path)) == set()
    caught: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    missed = []
    used: set[tuple[str, str, str]] = set()
    for mutation in mutations(packets):
        packet = mutation.packet
        name = (packet.protocol, packet.kind, mutation.how)
        used.add(name)
        tried[packet.protocol] += 1
        if failing(write(mutation.packets, path)) & OWNERS[name]:
            caught[packet.protocol] += 1
        else:
            missed.append((*name, round(packet.at_s, 3)))
    with capsys.disabled():
        shares = ", ".join(f"{name} {caught[name]} of {tried[name]}" for name in tried)
        print(f"\nmutations caught by their owners: {shares}; missed: {missed or 'none'}")
    assert set(OWNERS) == used
    assert caught.total() >= AT_LEAST * tried.total()


# --- a real capture: two handover runs of the lab with their data packets taken out, one over IPv4, one over IPv6


@pytest.mark.parametrize("name", ["handover-ipv4", "handover-ipv6"])
def test_real_captures_break_no_rule(name: str) -> None:
    found = verify(CaptureReader(DATA / f"{name}.pcapng"))
    assert [(v.rule, v.message) for v in found.verdicts if v.verdict == "failed"] == []
    passed = {verdict.rule for verdict in found.verdicts if verdict.verdict == "passed"}
    assert len(passed) >= 50
    assert found.warnings == []


def test_real_captures_damaged_anywhere_are_judged_or_refused() -> None:
    """Octets of whole files changed at random: a verdict or a refusal, and nothing else."""
    order = random.Random(5)
    whole = [(DATA / f"handover-ipv{family}.pcapng").read_bytes() for family in (4, 6)]
    ended: Counter[str] = Counter()
    for _ in range(150):
        octets = bytearray(order.choice(whole))
        for _ in range(order.choice((1, 5, 50, 500))):
            octets[order.randrange(len(octets))] = order.randrange(256)
        try:
            verify(CaptureReader(io.BytesIO(bytes(octets))))
            ended["judged"] += 1
        except CaptureError:
            ended["refused"] += 1
    assert ended["judged"] > 100


def copies(events: list[Event], records: dict[int, Frame]) -> Iterator[list[Event]]:
    """The events that are one packet on its way, as several interfaces saw it."""
    open_: dict[tuple[str, str, bytes], list[Event]] = {}
    for event in events:
        # Behind the link layer and the hop limit, which routers change.
        key = (event.protocol, event.kind, records[event.number].data[26:])
        group = open_.get(key)
        if group is None or event.t_ns - group[0].t_ns > 20_000_000:
            if group is not None:
                yield group
            group = open_[key] = []
        group.append(event)
    yield from open_.values()


def rewritten(records: list[Frame | Step], changed: dict[int, list[Frame]], path: Path) -> Path:
    frames = [one for record in records if isinstance(record, Frame) for one in changed.get(record.number, [record])]
    things: list[Frame | Step] = [*frames, *(record for record in records if isinstance(record, Step))]
    things.sort(key=lambda thing: thing.t_ns)
    names = sorted({frame.interface for frame in frames})
    with path.open("wb") as stream:
        writer = PcapngWriter(stream, [Interface(name, 1) for name in names])
        for thing in things:
            if isinstance(thing, Step):
                writer.step(thing.fields)
            else:
                writer.frame(thing.t_ns, names.index(thing.interface), thing.data)
        writer.flush()
    return path


def broken(frame: Frame, how: str) -> list[Frame]:
    if how == "lost":
        return []
    if how == "doubled":
        return [frame, frame._replace(t_ns=frame.t_ns + 100_000)]
    data = bytearray(frame.data)
    data[-1] ^= 1
    return [frame._replace(data=bytes(data))]


@pytest.mark.parametrize("name", ["handover-ipv4", "handover-ipv6"])
def test_mutations_of_a_real_handover_are_caught(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """MMCP messages of a real run, wherever they were captured: lost on all the way, doubled, damaged.

    Not all of the lost ones show: that of a membership renewed again and again an answer is missing may be bad luck, and
    while a handover runs a report may come late.
    """
    source = DATA / f"{name}.pcapng"
    records = list(CaptureReader(source))
    frames = {record.number: record for record in records if isinstance(record, Frame)}
    begin = min(frame.t_ns for frame in frames.values())
    events = [event for event in History(CaptureReader(source), PROTOCOLS) if event.protocol == "mmcp"]
    done: Counter[tuple[str, str]] = Counter()
    tried = caught = 0
    missed = []
    for group in copies(events, frames):
        kind = group[0].kind
        if group[0].t_ns - begin < 3_500_000_000:
            continue  # what asked for it may have come before the capture
        for how in ("lost", "doubled", "damaged"):
            owners = OWNERS.get(("mmcp", kind, how))
            if owners is None or done[kind, how] >= 3:
                continue
            done[kind, how] += 1
            tried += 1
            changed = {event.number: broken(frames[event.number], how) for event in group}
            if failing(rewritten(records, changed, tmp_path / "run.pcapng")) & owners:
                caught += 1
            else:
                missed.append((kind, how, round((group[0].t_ns - begin) / 1e9, 3)))
    with capsys.disabled():
        print(f"\nmutations of {name} caught by their owners: {caught} of {tried}; missed: {missed or 'none'}")
    assert tried >= 40
    assert caught >= 0.85 * tried
