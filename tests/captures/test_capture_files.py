"""pcap and pcapng as raw records: every variant there and back, and every way a file can be broken."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captures.files.capture import CaptureError, Frame, Interface, PcapngWriter, Step
from captures.files.merge import merge
from captures.files.reading import CaptureReader, PcapReader
from tests.captures.scripted_lab import INTERFACES, T0, good_lab

A, B = Interface("mn:mn-radio", 1), Interface("sm:any", 12)


def pcap(records: list[tuple[int, bytes]], *, order: str = "<", nanoseconds: bool = True, link_type: int = 1) -> bytes:
    magic, unit = (0xA1B23C4D, 1) if nanoseconds else (0xA1B2C3D4, 1000)
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link_type)
    for t_ns, data in records:
        out += struct.pack(order + "IIII", t_ns // 10**9, t_ns % 10**9 // unit, len(data), len(data) + 4) + data
    return out


def pcapng(frames: list[tuple[int, int, bytes]], steps: list[dict[str, object]] | None = None) -> bytes:
    stream = io.BytesIO()
    writer = PcapngWriter(stream, [A, B])
    for step in steps or []:
        writer.step(step)
    for frame in frames:
        writer.frame(*frame)
    writer.flush()
    return stream.getvalue()


def blocks(order: str, *parts: tuple[int, bytes]) -> bytes:
    out = b""
    for kind, body in parts:
        total = len(body) + 12
        out += struct.pack(order + "II", kind, total) + body + struct.pack(order + "I", total)
    return out


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [True, False])
def test_pcap_of_every_kind_is_read(tmp_path: Path, order: str, nanoseconds: bool) -> None:
    records = [(T0 + 5_000, b"abc"), (T0 + 1_000_000, b""), (T0 + 2_000_000_000, bytes(1500))]
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap(records, order=order, nanoseconds=nanoseconds, link_type=276))
    reader = PcapReader(path)
    assert list(reader.records(7)) == [(t_ns, 7, data, len(data) + 4) for t_ns, data in records]
    assert (reader.link_type, reader.packets, reader.truncated) == (276, 3, None)


def test_pcap_larger_than_the_read_buffer_is_whole(tmp_path: Path) -> None:
    records = [(T0 + i, bytes([i % 256]) * 1361) for i in range(3000)]
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap(records))
    assert [(t_ns, data) for t_ns, _, data, _ in PcapReader(path).records()] == records


@pytest.mark.parametrize("cut", range(24 + 16 + 3, 24 + 2 * (16 + 3)))
def test_pcap_with_its_last_record_cut_gives_the_others(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap([(T0, b"abc"), (T0 + 1, b"def")])[:cut])
    reader = PcapReader(path)
    assert [data for _, _, data, _ in reader.records()] == [b"abc"]
    assert (reader.truncated is None) == (cut == 24 + 16 + 3)


@pytest.mark.parametrize("size", [0, 4, 23])
def test_pcap_cut_in_its_header_is_empty_and_truncated(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap([])[:size])
    reader = PcapReader(path)
    assert list(reader.records()) == []
    assert reader.truncated is not None


def test_damaged_record_length_stops_the_walk(tmp_path: Path) -> None:
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap([(T0, b"abc")]) + struct.pack("<IIII", 1, 1, 0xFFFFFFFF, 0) + bytes(64))
    reader = PcapReader(path)
    assert len(list(reader.records())) == 1
    assert reader.truncated is not None
    assert "octet 43" in reader.truncated


def test_what_is_no_capture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"hello, world: no capture")
    with pytest.raises(CaptureError, match="no pcap file"):
        PcapReader(path)
    with pytest.raises(CaptureError, match="no pcap or pcapng"):
        CaptureReader(path)
    path.write_bytes(b"\x1f\x8b\x08\0")
    with pytest.raises(CaptureError, match="gzip"):
        CaptureReader(path)
    path.write_bytes(b"")
    with pytest.raises(CaptureError, match="empty"):
        CaptureReader(path)
    with pytest.raises(CaptureError, match="No such file"):
        CaptureReader(tmp_path / "missing")


@given(st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 1), st.binary(max_size=70)), max_size=20))
def test_pcapng_gives_back_what_was_written(frames: list[tuple[int, int, bytes]]) -> None:
    step = {"t_ns": T0 + 1, "step": "link_up", "note": "ü\n=", "handover": 1}
    with NamedTemporaryFile(suffix=".pcapng") as file:
        file.write(pcapng(frames, [step]))
        file.flush()
        found = list(CaptureReader(Path(file.name)))
    assert found[0] == Step(1, T0 + 1, "link_up", step)
    assert found[1:] == [
        Frame(number, t_ns, (A, B)[index].name, (A, B)[index].link_type, data)
        for number, (t_ns, index, data) in enumerate(frames, 2)
    ]


def test_pcapng_cut_anywhere_never_raises_and_says_so(tmp_path: Path) -> None:
    whole = pcapng([(T0, 0, b"abc"), (T0 + 1, 1, b"defgh")], [{"t_ns": T0, "step": "x"}])
    path = tmp_path / "a.pcapng"
    ends = [len(pcapng([])), len(pcapng([], [{"t_ns": T0, "step": "x"}]))]
    ends += [ends[1] + 36, len(whole)]
    for size in range(ends[0], len(whole) + 1):
        path.write_bytes(whole[:size])
        reader = CaptureReader(path)
        assert len(list(reader)) == sum(size >= end for end in ends[1:])
        assert (reader.truncated is None) == (size in ends)


def test_foreign_pcapng_is_read(tmp_path: Path) -> None:
    """Big-endian, microseconds by default, milliseconds by option, an offset, blocks nobody knows, simple packets."""
    options = struct.pack(">HH", 9, 1) + b"\x03\0\0\0" + struct.pack(">HHq", 14, 8, 100) + bytes(4)
    file = blocks(
        ">",
        (0x0A0D0D0A, struct.pack(">IHHq", 0x1A2B3C4D, 1, 0, -1)),
        (1, struct.pack(">HHI", 1, 0, 0)),
        (1, struct.pack(">HHI", 113, 0, 0) + options),
        (6, struct.pack(">IIIII", 0, 0, 1_000_007, 3, 3) + b"abc\0"),
        (0x4242, b"what"),
        (6, struct.pack(">IIIII", 1, 0, 1_500, 1, 1) + b"z\0\0\0"),
        (3, struct.pack(">I", 4) + b"ssss"),
        (9, b"MESSAGE=not ours\n\n\0\0"),
        (2, struct.pack(">HHIIII", 0, 0, 0, 5, 2, 2) + b"ob\0\0"),
        (6, struct.pack(">IIIII", 9, 0, 0, 0, 0)),
    )
    path = tmp_path / "a.pcapng"
    path.write_bytes(file)
    reader = CaptureReader(path)
    assert list(reader) == [
        Frame(1, 1_000_007_000, "interface 0", 1, b"abc"),
        Frame(2, 101_500_000_000, "interface 1", 113, b"z"),
        Frame(5, 5_000, "interface 0", 1, b"ob"),
    ]
    assert len(reader.warnings) == 3
    assert reader.packets == {"interface 0": 2, "interface 1": 1}


class Dripping(io.RawIOBase):
    """A stream that cannot seek and hands out a few octets at a time, as a slow pipe does."""

    def __init__(self, data: bytes, octets: int) -> None:
        self.data, self.octets = data, octets

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        octets = min(self.octets, len(buffer))
        piece, self.data = self.data[:octets], self.data[octets:]
        buffer[: len(piece)] = piece
        return len(piece)


def dripping(data: bytes, octets: int) -> io.BufferedReader:
    return io.BufferedReader(Dripping(data, octets), 16)


@pytest.mark.parametrize("octets", [1, 7, 4096])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [True, False])
def test_pcap_is_read_like_pcapng_and_from_a_stream_too(
    tmp_path: Path, octets: int, order: str, nanoseconds: bool
) -> None:
    records = [(T0 + 5_000, b"abc"), (T0 + 1_000_000, b""), (T0, bytes(150))]
    data = pcap(records, order=order, nanoseconds=nanoseconds, link_type=113)
    path = tmp_path / "sm:any.pcap"
    path.write_bytes(data)
    reader = CaptureReader(path)
    frames = list(reader)
    assert frames == [Frame(n, t_ns, "sm:any", 113, octets_) for n, (t_ns, octets_) in enumerate(records, 1)]
    assert list(reader) == frames
    assert (reader.packets, reader.truncated, reader.octets) == ({"sm:any": 3}, None, len(data))
    stream = CaptureReader(dripping(data, octets))
    assert [(f.number, f.t_ns, f.interface) for f in stream if isinstance(f, Frame)] == [
        (f.number, f.t_ns, "stdin") for f in frames
    ]
    assert (stream.packets, stream.truncated, stream.octets) == ({"stdin": 3}, None, len(data))


def test_pcapng_from_a_stream_is_the_file() -> None:
    data = pcapng([(T0, 0, b"abc"), (T0 + 1, 1, b"defgh")], [{"t_ns": T0, "step": "x"}])
    found = list(CaptureReader(dripping(data, 5)))
    assert [record.number for record in found] == [1, 2, 3]
    cut = CaptureReader(dripping(data[:-1], 5))
    assert len(list(cut)) == 2
    assert cut.truncated is not None


def test_streams_that_are_no_capture_are_refused() -> None:
    for data, why in ((b"", "is empty"), (b"GET / HTTP", "no pcap or pcapng")):
        with pytest.raises(CaptureError, match=why):
            CaptureReader(dripping(data, 1))


def test_sections_of_different_byte_orders_follow_each_other(tmp_path: Path) -> None:
    def section(order: str, t: int) -> bytes:
        return blocks(
            order,
            (0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1)),
            (1, struct.pack(order + "HHI", 1, 0, 0)),
            (6, struct.pack(order + "IIIII", 0, 0, t, 2, 2) + b"ab\0\0"),
        )

    path = tmp_path / "a.pcapng"
    path.write_bytes(section("<", 5) + section(">", 6) + section("<", 7))
    reader = CaptureReader(path)
    assert [record.t_ns for record in reader] == [5000, 6000, 7000]
    # Nothing says that two sections are of one host.
    assert reader.packets == {"interface 0": 1, "interface 0 (2)": 1, "interface 0 (3)": 1}


@pytest.mark.parametrize(
    "text", ['{"t_ns": 1e999, "step": "x"}', '{"step": "x"}', "[]", "{", '{"t_ns": null, "step": "x"}']
)
def test_steps_that_cannot_be_read_are_counted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(pcapng([]) + blocks("<", (9, f"LAB_STEP={text}\n\n".encode().ljust(64, b"\0"))))
    reader = CaptureReader(path)
    assert list(reader) == []
    assert reader.passed_over == {"scenario steps that cannot be read": 1}


def test_what_is_passed_over_is_counted_and_not_listed(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    path.write_bytes(pcapng([]) + blocks("<", *[(3, struct.pack("<I", 4) + b"ssss")] * 1000, (1, b"")))
    reader = CaptureReader(path)
    assert list(reader) == []
    assert reader.warnings == [
        "1000 frames without a time (simple packet blocks), passed over",
        "1 damaged interface descriptions, passed over",
    ]


def test_merge_orders_everything_by_time(tmp_path: Path) -> None:
    lab = good_lab()
    lab.write_run_folder(tmp_path / "run")
    answer = merge(tmp_path / "run")
    found = list(CaptureReader(Path(answer["pcapng"])))
    assert [record.t_ns for record in found] == sorted(record.t_ns for record in found)
    assert len(found) == len(lab.frames) + len(lab.steps)
    assert answer["steps"] == len(lab.steps)
    assert answer["packets"] == {
        name: sum(frame.interface == name for frame in lab.frames) for name in INTERFACES.values()
    }
    assert (answer["truncated"], answer["warnings"]) == ({}, [])
    assert [path.name for path in (tmp_path / "run").iterdir() if path.name.startswith(".")] == []


def test_merge_says_what_was_cut(tmp_path: Path) -> None:
    run = good_lab().write_run_folder(tmp_path / "run")
    radio = run / "capture" / "mn:mn-radio.pcap"
    radio.write_bytes(radio.read_bytes()[:-1])
    (run / "capture" / "sm:sm-ar1.pcap").write_bytes(b"")
    with (run / "steps.jsonl").open("a") as steps:
        steps.write('{"t_ns": 17')
    answer = merge(run)
    assert set(answer["truncated"]) == {"mn:mn-radio", "sm:sm-ar1"}
    assert "cut off" in answer["truncated"]["mn:mn-radio"]
    assert len(answer["warnings"]) == 1
    assert answer["packets"]["sm:sm-ar1"] == 0


def test_merge_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    run = good_lab().write_run_folder(tmp_path / "run")
    merge(run)
    before = (run / "lab.pcapng").read_bytes()
    (run / "capture" / "zz:broken.pcap").write_bytes(b"this is no capture at all")
    with pytest.raises(CaptureError, match="zz:broken"):
        merge(run)
    assert (run / "lab.pcapng").read_bytes() == before
    with pytest.raises(CaptureError, match=r"no \.pcap file"):
        merge(tmp_path)


def test_steps_survive_as_json(tmp_path: Path) -> None:
    path = good_lab().write(tmp_path / "a.pcapng")
    steps = [record.fields for record in CaptureReader(path) if isinstance(record, Step)]
    assert json.loads(json.dumps(steps)) == sorted(good_lab().steps, key=lambda step: step["t_ns"])


SECTION = (0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))


def described(name: bytes | None, link_type: int = 1, resolution: int = 9, offset_s: int = 0) -> tuple[int, bytes]:
    """An interface description block's type and body."""
    named = b"" if name is None else struct.pack("<HH", 2, len(name)) + name + bytes(-len(name) % 4)
    options = struct.pack("<HHBxxxHHq", 9, 1, resolution, 14, 8, offset_s)
    return 1, struct.pack("<HHI", link_type, 0, 0) + named + options


def enhanced(interface: int, time: int, data: bytes) -> tuple[int, bytes]:
    """An enhanced packet block's type and body."""
    head = struct.pack("<IIIII", interface, time >> 32, time & 0xFFFFFFFF, len(data), len(data))
    return 6, head + data + bytes(-len(data) % 4)


def test_no_two_interfaces_have_one_name(tmp_path: Path) -> None:
    """As mergecap writes it of two hosts' captures, each of an eth0."""
    path = tmp_path / "a.pcapng"
    names = [b"eth0", b"eth0", b"", None, b"eth0 (2)", b"eth0", b" "]
    frames = [enhanced(index, T0 + index, b"x") for index in range(len(names))]
    path.write_bytes(blocks("<", SECTION, *map(described, names), *frames, SECTION, described(b"eth0"), frames[0]))
    reader = CaptureReader(path)
    told = [record.interface for record in reader if isinstance(record, Frame)]
    assert told[:4] == ["eth0", "eth0 (2)", "interface 2", "interface 3"]
    assert len(set(told)) == len(told) == len(names) + 1
    assert all(name.strip() for name in told)
    assert reader.packets == dict.fromkeys(told, 1)
    assert [record.interface for record in reader if isinstance(record, Frame)] == told


def sll2(index: int, payload: bytes = b"") -> bytes:
    return struct.pack("!HHIHBB8s", 0x0800, 0, index, 1, 0, 6, bytes(8)) + payload


@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
def test_the_interfaces_of_any_are_told_apart(tmp_path: Path, kind: str) -> None:
    frames = [sll2(2), sll2(3, b"x"), sll2(2), b"short"]
    path = tmp_path / "any.pcap"
    if kind == "pcap":
        path.write_bytes(pcap([(T0 + at, frame) for at, frame in enumerate(frames)], link_type=276))
    else:
        packets = [enhanced(0, T0 + at, frame) for at, frame in enumerate(frames)]
        path.write_bytes(blocks("<", SECTION, described(b"any", 276), *packets))
    reader = CaptureReader(path)
    assert [record.interface for record in reader if isinstance(record, Frame)] == ["any[2]", "any[3]", "any[2]", "any"]
    assert reader.packets == {"any[2]": 2, "any[3]": 1, "any": 1}
    assert not reader.warnings
    flood = [(T0, sll2(index)) for index in range(1000)]
    path.write_bytes(pcap(flood, link_type=276))
    reader = CaptureReader(path)
    assert len(list(reader)) == 1000
    assert len(reader.packets) < 300


@pytest.mark.parametrize(("link_type", "warned"), [(1, 0), (113, 1), (276, 0)])
def test_a_capture_that_mixes_interfaces_says_so(tmp_path: Path, link_type: int, warned: int) -> None:
    path = tmp_path / "any.pcap"
    path.write_bytes(pcap([(T0, sll2(2))], link_type=link_type))
    reader = CaptureReader(path)
    list(reader)
    assert sum("LINUX_SLL" in warning for warning in reader.warnings) == warned


@pytest.mark.parametrize(
    ("resolution", "offset_s", "time"), [(9, -1, 5), (9, 2**62, 5), (0, 0, 2**64 - 1), (6, 0, 2**63), (0x80, 0, 2**40)]
)
def test_a_time_that_cannot_be_is_passed_over(tmp_path: Path, resolution: int, offset_s: int, time: int) -> None:
    path = tmp_path / "a.pcapng"
    odd = described(b"odd", 1, resolution, offset_s)
    path.write_bytes(blocks("<", SECTION, odd, described(b"good"), enhanced(0, time, b"x"), enhanced(1, T0, b"y")))
    reader = CaptureReader(path)
    assert list(reader) == [Frame(2, T0, "good", 1, b"y")]
    assert reader.warnings == ["1 frames whose time cannot be, passed over"]
