"""A run is followed while its files grow: nothing twice, nothing missing, in the order of the merged capture."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from captures.__main__ import main
from captures.files.capture import CaptureError, Frame
from captures.files.merge import merge
from captures.files.reading import CaptureReader
from captures.history.run import find_run, history_of
from captures.ladder.builder import build
from captures.ladder.rows import MessageRow, Selection
from captures.live.follow import HOLD_NS, SILENCE_S, Caught, LiveRun, await_running
from captures.live.screen import LiveLadder
from tests.captures.scripted_lab import INTERFACES, T0, good_lab

DEADLINE_S = 20.0


class Growing:
    """The folder of a run that a scripted lab writes bit by bit: `until` makes each file as it is at that time.

    A packet is in its file up to a second after its time, on each interface in its own way; a file may end inside a record.
    """

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self.folder = folder
        self._whole = good_lab().write_run_folder(folder.parent / "whole")
        self._random = random.Random(seed)
        self._pcaps = {path.name: path.read_bytes() for path in (self._whole / "capture").glob("*.pcap")}
        self._steps = (self._whole / "steps.jsonl").read_bytes()
        self.now_ns = T0
        folder.mkdir()

    def clock(self) -> int:
        return self.now_ns

    def until(self, now_ns: int) -> None:
        self.now_ns = now_ns
        (self.folder / "capture").mkdir(exist_ok=True)
        for name, octets in self._pcaps.items():
            path = self.folder / "capture" / name
            there = path.stat().st_size if path.exists() else 0
            end = self._octets_by(octets, now_ns - self._random.randrange(1_000_000_000))
            cut = min(len(octets), end + self._random.choice([0, 5, 17]))
            if cut > there:
                with path.open("ab") as stream:
                    stream.write(octets[there:cut])
        lines = self._steps.splitlines(keepends=True)
        whole = [line for line in lines if json.loads(line)["t_ns"] <= now_ns]
        begun = [line[:20] for line in lines[len(whole) : len(whole) + 1]]
        (self.folder / "steps.jsonl").write_bytes(b"".join(whole + begun))

    @staticmethod
    def _octets_by(octets: bytes, now_ns: int) -> int:
        at = 24
        while at + 16 <= len(octets):
            seconds, fraction, size = (int.from_bytes(octets[at + i : at + i + 4], "little") for i in (0, 4, 8))
            if seconds * 10**9 + fraction > now_ns:
                break
            at += 16 + size
        return at

    def end(self) -> None:
        """Write the rest, and merge it."""
        for name, octets in self._pcaps.items():
            (self.folder / "capture").mkdir(exist_ok=True)
            (self.folder / "capture" / name).write_bytes(octets)
        (self.folder / "steps.jsonl").write_bytes(self._steps)
        merge(self.folder)

    def play(self, live: LiveRun, step_ns: int = 130_000_000) -> Iterator[Any]:
        """Everything that a follower is given, from the beginning to the end."""
        while self.now_ns < T0 + 14_000_000_000:
            self.until(self.now_ns + step_ns)
            yield from live.poll()
        self.end()
        yield from live.poll()


@pytest.fixture
def growing(tmp_path: Path) -> Growing:
    return Growing(tmp_path / "run")


@pytest.mark.parametrize("seed", range(3))
def test_records_are_those_of_the_merged_capture_in_its_order(tmp_path: Path, seed: int) -> None:
    growing = Growing(tmp_path / "run", seed)
    live = LiveRun(growing.folder, clock=growing.clock)
    given = list(growing.play(live))
    merged = list(CaptureReader(growing.folder / "lab.pcapng"))
    assert live.ended
    assert live.late == 0
    assert [record.t_ns for record in given] == [record.t_ns for record in merged]
    for one, other in zip(given, merged, strict=True):
        if isinstance(one, Caught):
            assert isinstance(other, Frame)
            assert (one.interface.name, one.data) == (other.interface, other.data)


def test_nothing_is_given_before_it_is_old_enough_and_little_is_held_longer(growing: Growing) -> None:
    live = LiveRun(growing.folder, clock=growing.clock)
    given = 0
    while growing.now_ns < T0 + 5_000_000_000:
        growing.until(growing.now_ns + 100_000_000)
        for record in live.poll():
            assert growing.now_ns - HOLD_NS - 100_000_000 < record.t_ns <= growing.now_ns - HOLD_NS
            given += 1
    assert given > 300


def test_what_comes_too_late_is_given_all_the_same_and_counted(growing: Growing) -> None:
    live = LiveRun(growing.folder, hold_ns=0, clock=growing.clock)
    given = list(growing.play(live))
    assert live.late > 0
    assert len(given) == len(list(CaptureReader(growing.folder / "lab.pcapng")))


@pytest.mark.parametrize("only", ["lmc1", INTERFACES["lmc1"]])
def test_one_node_only(growing: Growing, only: str) -> None:
    live = LiveRun(growing.folder, only, clock=growing.clock)
    records = [record for record in growing.play(live) if isinstance(record, Caught)]
    assert {record.interface.name for record in records} == {INTERFACES["lmc1"]}


def test_a_node_that_is_not_there_is_said(growing: Growing) -> None:
    live = LiveRun(growing.folder, "lmc9", clock=growing.clock)
    with pytest.raises(CaptureError, match=r"lmc9: no such node .* there are .*lmc2:lmc2-poa2"):
        list(growing.play(live))


def test_a_run_that_falls_silent_has_been_killed(growing: Growing) -> None:
    growing.until(T0 + 5_000_000_000)
    live = LiveRun(growing.folder, clock=growing.clock)
    live.poll()
    growing.now_ns += round(SILENCE_S * 1e9) + 1
    with pytest.raises(CaptureError, match="has the lab been killed"):
        live.poll()


def test_a_file_that_is_no_capture_is_said(growing: Growing) -> None:
    growing.until(T0 + 5_000_000_000)
    (growing.folder / "capture" / "x:y.pcap").write_bytes(b"nothing of the kind, this")
    with pytest.raises(CaptureError, match="is no pcap file"):
        LiveRun(growing.folder, clock=growing.clock).poll()


def test_the_live_ladder_has_the_rows_of_the_whole_one(growing: Growing) -> None:
    live = LiveRun(growing.folder, clock=growing.clock)

    def grow(_seconds: float) -> None:
        if growing.now_ns < T0 + 14_000_000_000:
            growing.until(growing.now_ns + 250_000_000)
        else:
            growing.end()

    rows = list(LiveLadder(live, Selection(background=True), grow).rows())
    whole = build(history_of(find_run(str(growing.folder))))
    assert tuple(rows) == whole.rows
    assert any(isinstance(row, MessageRow) for row in rows)


# --- which run


def test_a_run_is_awaited(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    with pytest.raises(CaptureError, match="no lab is running, and none has run yet"):
        await_running(runs=runs)
    old = good_lab().write_run_folder(runs / "old")
    merge(old)
    (runs / "latest").symlink_to("old")
    with pytest.raises(CaptureError, match=r"no lab is running .*old has ended.*--wait"):
        await_running(runs=runs)

    def begin(_seconds: float) -> None:
        good_lab().write_run_folder(runs / "new")
        (runs / "latest").unlink()
        (runs / "latest").symlink_to("new")

    assert await_running(wait_s=60, runs=runs, sleep=begin) == (runs / "new").resolve()
    with pytest.raises(CaptureError, match="no lab is running"):
        await_running(runs=runs, before=[(runs / "new").resolve()])
    merge(runs / "new")
    assert await_running(runs=runs, before=[(runs / "old").resolve()]) == (runs / "new").resolve()


def test_following_what_has_ended_is_said(growing: Growing) -> None:
    growing.end()
    answer = CliRunner().invoke(main, ["show", str(growing.folder), "--follow"])
    assert (answer.exit_code, answer.stderr.count("\n")) == (2, 1)
    assert "has ended" in answer.stderr
    assert "without --follow" in answer.stderr


def test_show_follows_a_run_and_ends_with_it(growing: Growing) -> None:
    growing.until(T0 + 5_000_000_000)
    command = [sys.executable, "-m", "captures", "show", str(growing.folder), "--follow", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = []
        for text in process.stdout:
            seen.append(json.loads(text))
            if seen[-1].get("packet") == "HIC":
                break
        growing.end()
        seen += [json.loads(text) for text in process.stdout]
        assert process.wait(timeout=DEADLINE_S) == 0
    steps = [row["step"] for row in seen if row["kind"] == "step"]
    assert steps[-1] == "session_end"
    assert steps.count("handover_end") == 2


@pytest.mark.parametrize("command", [["show", "--follow"], ["pipe", "--run"]])
def test_ctrl_c_ends_it_without_a_word(growing: Growing, command: list[str]) -> None:
    growing.until(T0 + 5_000_000_000)
    argv = [sys.executable, "-m", "captures", *command, str(growing.folder)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1)
        process.send_signal(2)
        _, said = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, said) == (130, b"")


def test_following_does_not_busy_the_machine(growing: Growing) -> None:
    """While nothing comes it sleeps."""
    growing.until(T0 + 5_000_000_000)
    live = LiveRun(growing.folder)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            growing.end()

    began = time.monotonic()
    list(LiveLadder(live, Selection(), pause).rows())
    assert len(pauses) == 3
    assert all(seconds >= 0.05 for seconds in pauses)
    assert time.monotonic() - began < DEADLINE_S
