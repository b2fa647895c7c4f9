"""The history of a run: every kind of line, one clock, frame numbers as Wireshark has them."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from captures.__main__ import main
from captures.files.capture import Frame
from captures.files.merge import merge
from captures.files.reading import CaptureReader
from captures.history.data import DataWindows
from captures.history.events import DATA, LOG, Event
from captures.history.history import History
from captures.history.lines import as_dict, from_dict, line_kind
from captures.history.run import events_of, find_run, history_of, read_timeline_file
from tests.captures.scripted_lab import INTERFACES, T0, good_lab

FRR_LOG = """2023/11/14 22:13:21 PIM: [JBNZN-EVZ5D] VRF Created: default(0)
a line of no time
2023/11/14 22:13:23.250000 PIM: [AAAAA-BBBBB] joined
2023/13/45 22:13:23 PIM: no such day
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder of a scripted lab, merged, with what its nodes wrote down."""
    path = good_lab().write_run_folder(tmp_path / "run")
    (path / "traces").mkdir()
    records = [
        {"t_ns": T0 + 3_006_000_000, "node": "mn", "event": "sent", "packet": "HIR", "to": "10.0.1.2:24793"},
        {"t_ns": T0 + 110_000_000, "node": "mn", "event": "state", "from": "CLOSED", "to": "SJR-SENT", "on": "app"},
    ]
    (path / "traces" / "mn.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records) + '{"t_ns": 17, "no')
    (path / "logs").mkdir()
    (path / "logs" / "ar1-pimd.log").write_text(FRR_LOG)
    (path / "logs" / "mn.log").write_text("ready\n")
    merge(path)
    return path


def written(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text().splitlines()]


def test_every_kind_of_line_is_there_in_order_of_time(folder: Path) -> None:
    answer = run("timeline", folder)
    assert answer.exit_code == 0
    said = json.loads(answer.stdout)
    lines = written(Path(said["timeline"]))
    assert Path(said["timeline"]) == folder / "timeline.jsonl"
    assert Counter(line["kind"] for line in lines) == said["lines"]
    assert set(said["lines"]) == {"frame", "data", "step", "link", "trace", "log"}
    assert said["left_out"] == {"traces/mn.jsonl": 1, "logs/ar1-pimd.log": 2, "logs/mn.log": 1}
    assert all(earlier["t_ns"] <= later["t_ns"] for earlier, later in pairwise(lines))


def test_a_line_is_read_as_it_was_written(folder: Path) -> None:
    assert run("timeline", folder).exit_code == 0
    lines = list(read_timeline_file(folder / "timeline.jsonl"))
    assert lines == [from_dict(json.loads(json.dumps(as_dict(line)))) for line in history_of(find_run(str(folder)))]
    assert {line_kind(line) for line in lines} == {"frame", "data", "step", "link", "trace", "log"}


def test_frames_have_the_numbers_of_the_merged_capture(folder: Path) -> None:
    numbers = {record.number: record for record in CaptureReader(folder / "lab.pcapng")}
    packets = [event for event in history_of(find_run(str(folder))) if event.is_packet]
    transfer = [event for event in packets if event.kind == "HCT"]
    assert [event.interface for event in transfer] == [INTERFACES["lmc1"], INTERFACES["lmc2"]]
    for event in packets:
        record = numbers[event.number]
        assert isinstance(record, Frame)
        assert (record.t_ns, record.interface) == (event.t_ns, event.interface)


def test_data_lines_count_every_packet_once_and_name_their_first_and_last_frames(folder: Path) -> None:
    records = [record for record in CaptureReader(folder / "lab.pcapng") if isinstance(record, Frame)]
    of_mn = [record.number for record in records if record.interface == INTERFACES["mn"]]
    events = [event for event in history_of(find_run(str(folder))) if event.interface == INTERFACES["mn"]]
    at_mn = [as_dict(event) for event in events if event.protocol == DATA]
    control = [event for event in events if event.is_packet]
    assert sum(line["packets"] for line in at_mn) == len(of_mn) - len(control)
    for line in at_mn:
        assert line["last_ns"] - line["t_ns"] < 10_000_000
        assert line["t_ns"] // 10_000_000 == line["last_ns"] // 10_000_000
        assert (line["first"] in of_mn, line["last"] in of_mn, line["port"]) == (True, True, 5004)
    assert all(earlier["last"] < later["first"] for earlier, later in pairwise(at_mn))


def test_a_link_event_says_which_link(folder: Path) -> None:
    links = [as_dict(event) for event in history_of(find_run(str(folder))) if line_kind(event) == "link"]
    assert [(line["link"], line["node"], line["interface"]) for line in links[:3]] == [
        (link, "mn", INTERFACES["mn"]) for link in ("trigger", "down", "up")
    ]


def test_log_lines_are_as_exact_as_their_time(folder: Path) -> None:
    logs = [event for event in history_of(find_run(str(folder))) if event.protocol == LOG]
    assert [(event.node, event.kind, event.t_ns, event.fields["resolution_ns"]) for event in logs] == [
        ("ar1", "pimd", T0 + 1_000_000_000, 10**9),
        ("ar1", "pimd", T0 + 3_250_000_000, 1000),
    ]


def test_a_capture_alone_goes_to_standard_output(folder: Path) -> None:
    answer = run("timeline", folder / "lab.pcapng")
    assert answer.exit_code == 0
    kinds = {json.loads(text)["kind"] for text in answer.stdout.splitlines()}
    assert kinds == {"frame", "data", "step", "link"}
    assert not (folder / "timeline.jsonl").exists()


def test_a_written_timeline_is_used_until_the_capture_is_newer(folder: Path) -> None:
    assert run("timeline", folder).exit_code == 0
    target = folder / "timeline.jsonl"
    whole = len(written(target))
    target.write_text("".join(target.read_text().splitlines(keepends=True)[:7]))
    assert len(list(events_of(find_run(str(folder))))) == 7
    merge(folder)
    assert len(list(events_of(find_run(str(folder))))) == whole


def test_what_cannot_be_done_is_one_line(folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    unmerged = good_lab().write_run_folder(tmp_path / "unmerged")
    text = tmp_path / "text"
    text.write_text("no capture\n")
    for named, reason in (
        (tmp_path / "nowhere", "there is no run"),
        (bare, "is it a run's folder?"),
        (unmerged, "python -m captures merge"),
        (text, "no pcap or pcapng capture"),
    ):
        answer = run("timeline", named)
        assert (answer.exit_code, answer.stderr.count("\n")) == (2, 1)
        assert reason in answer.stderr
    answer = run("timeline", folder, "-o", tmp_path / "no" / "such" / "folder.jsonl")
    assert (answer.exit_code, answer.stderr.count("\n")) == (2, 1)


def test_a_capture_that_breaks_off_is_told_as_far_as_it_goes(folder: Path) -> None:
    capture = folder / "lab.pcapng"
    capture.write_bytes(capture.read_bytes()[:-5])
    answer = run("timeline", folder)
    assert answer.exit_code == 2
    assert "breaks off" in answer.stderr
    assert len(written(folder / "timeline.jsonl")) > 100


def test_nothing_is_left_behind_when_writing_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(_line: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("captures.history.run.as_dict", breaks)
    before = sorted(folder.iterdir())
    assert run("timeline", folder).exit_code == 130
    assert sorted(folder.iterdir()) == before


def flood(count: int) -> Iterator[Frame]:
    """Data packets 0.1 ms apart, at one interface."""
    packet = next(frame.data for frame in good_lab().frames if frame.tag.startswith("data."))
    return (Frame(n, T0 + n * 100_000, INTERFACES["mn"], 1, packet) for n in range(1, count + 1))


def in_windows(frames: Iterator[Frame]) -> Iterator[Event]:
    return iter(History(frames, data=DataWindows()))


def test_the_windows_of_a_fast_stream_follow_each_other() -> None:
    lines = [as_dict(event) for event in in_windows(flood(5000))]
    assert (lines[0]["first"], lines[-1]["last"]) == (1, 5000)
    for line in lines:
        assert line["last"] - line["first"] + 1 == line["packets"] <= 100
        assert (line["t_ns"], line["last_ns"]) == (T0 + line["first"] * 100_000, T0 + line["last"] * 100_000)
    assert all(earlier["last"] + 1 == later["first"] for earlier, later in pairwise(lines))


def test_memory_does_not_grow_with_the_data_packets() -> None:
    peaks = []
    for count in (30_000, 120_000):
        packets = flood(count)
        tracemalloc.start()
        told = sum(event.fields["packets"] for event in in_windows(packets))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert told == count
    assert peaks[1] < 1.5 * peaks[0]


def test_flows_of_one_packet_each_do_not_gather() -> None:
    """As a scan makes them; nothing else happens that would close their windows."""
    windows = DataWindows()
    most = told = 0
    for number in range(20_000):
        flow = number.to_bytes(4) + bytes(4) + number.to_bytes(4)
        windows.add("a:b", flow, 1, number, T0 + number * 1_000_000, 33, 1, 1)
        most = max(most, len(windows._open))
        told += len(windows.over)
        windows.over.clear()
    windows.close(None)
    assert told + len(windows.over) == 20_000
    assert most < 200
