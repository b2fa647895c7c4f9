"""pcap and pcapng as raw records: every variant there and back, and every way a file can be broken."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from tempfile import NamedTemporaryFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captures.capture import CaptureError, Frame, Interface, PcapngReader, PcapngWriter, PcapReader, Step
from captures.merge import merge
from tests.captures.scripted_lab import INTERFACES, T0, good_lab

A, B = Interface("mn:mn-radio", 1), Interface("sm:any", 276)


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
    with pytest.raises(CaptureError, match="no pcapng"):
        PcapngReader(path)
    path.write_bytes(b"")
    with pytest.raises(CaptureError, match="empty"):
        PcapngReader(path)
    path.write_bytes(pcap([]))
    with pytest.raises(CaptureError, match="classic pcap"):
        PcapngReader(path)
    with pytest.raises(CaptureError, match="No such file"):
        PcapngReader(tmp_path / "missing")


@given(st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 1), st.binary(max_size=70)), max_size=20))
def test_pcapng_gives_back_what_was_written(frames: list[tuple[int, int, bytes]]) -> None:
    step = {"t_ns": T0 + 1, "step": "link_up", "note": "ü\n=", "handover": 1}
    with NamedTemporaryFile(suffix=".pcapng") as file:
        file.write(pcapng(frames, [step]))
        file.flush()
        found = list(PcapngReader(Path(file.name)))
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
        reader = PcapngReader(path)
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
    reader = PcapngReader(path)
    assert list(reader) == [
        Frame(1, 1_000_007_000, "interface 0", 1, b"abc"),
        Frame(2, 101_500_000_000, "interface 1", 113, b"z"),
        Frame(5, 5_000, "interface 0", 1, b"ob"),
    ]
    assert len(reader.warnings) == 2
    assert reader.packets == {"interface 0": 2, "interface 1": 1}


def test_merge_orders_everything_by_time(tmp_path: Path) -> None:
    lab = good_lab()
    lab.write_run_folder(tmp_path / "run")
    answer = merge(tmp_path / "run")
    found = list(PcapngReader(Path(answer["pcapng"])))
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
    steps = [record.fields for record in PcapngReader(path) if isinstance(record, Step)]
    assert json.loads(json.dumps(steps)) == sorted(good_lab().steps, key=lambda step: step["t_ns"])
