"""The packets of a running lab as a stream that other programs read, and Wireshark started on it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from captures.capture import CaptureError, Frame, Step
from captures.merge import merge
from captures.reading import CaptureReader
from captures.viewer import find_wireshark, watch
from tests.captures.scripted_lab import INTERFACES, good_lab

DEADLINE_S = 20.0
PROJECT = Path(__file__).resolve().parents[2]

LAB = """
import sys, os
from pathlib import Path
from captures.merge import merge
from tests.captures.scripted_lab import good_lab
runs = Path(sys.argv[1])
folder = good_lab().write_run_folder(runs / "new")
os.symlink("new", runs / "latest.new"), os.replace(runs / "latest.new", runs / "latest")
merge(folder)
sys.exit(int(sys.argv[2]))
"""


@pytest.fixture
def running(tmp_path: Path) -> Path:
    """A run's folder before it is merged, which is what a lab that goes on looks like."""
    return good_lab().write_run_folder(tmp_path / "run")


def piped(running: Path, *arguments: str) -> Path:
    """What the pipe gives of a run, as a file; the run ends once the first packet has come."""
    target = running.parent / "piped"
    argv = [sys.executable, "-m", "captures", "pipe", "--run", str(running), *arguments]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with target.open("wb") as stream:
            stream.write(process.stdout.read(1))
            merge(running)
            stream.write(process.stdout.read())
        assert process.wait(timeout=DEADLINE_S) == 0
    return target


def test_the_stream_is_the_merged_capture(running: Path) -> None:
    reader = CaptureReader(piped(running))
    records = list(reader)
    merged = list(CaptureReader(running / "lab.pcapng"))
    assert reader.truncated is None
    assert records == merged
    assert {type(record) for record in records} == {Frame, Step}


def test_one_interface_as_pcap(running: Path) -> None:
    reader = CaptureReader(piped(running, INTERFACES["mn"], "--format", "pcap"))
    merged = [
        r for r in CaptureReader(running / "lab.pcapng") if isinstance(r, Frame) and r.interface == INTERFACES["mn"]
    ]
    assert reader.format == "pcap"
    assert [(r.t_ns, r.data) for r in reader if isinstance(r, Frame)] == [(r.t_ns, r.data) for r in merged]


def test_a_node_that_is_not_captured_is_one_line(running: Path) -> None:
    argv = [sys.executable, "-m", "captures", "pipe", "nobody", "--run", str(running)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "no such node or interface" in done.stderr


def test_a_reader_that_goes_away_is_no_error(running: Path) -> None:
    argv = [sys.executable, "-m", "captures", "pipe", "--run", str(running)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(100)
        process.stdout.close()
        merge(running)
        said = process.stderr.read()
        assert (process.wait(timeout=DEADLINE_S), said) == (0, b"")


def test_packets_are_not_written_to_a_terminal(running: Path) -> None:
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "captures", "pipe", "--run", str(running)]
    with subprocess.Popen(argv, stdout=theirs, stderr=subprocess.PIPE, text=True) as process:
        os.close(theirs)
        _, said = process.communicate(timeout=DEADLINE_S)
        os.close(ours)
    assert process.returncode == 2
    assert "wireshark -k -i -" in said


# --- Wireshark


@pytest.fixture
def fake_wireshark(tmp_path: Path) -> Path:
    """A program that keeps what it is fed, beside itself, and is closed when that ends."""
    path = tmp_path / "bin" / "wireshark"
    path.parent.mkdir()
    path.write_text('#!/bin/sh\necho "$@" > "$0.arguments"\nexec cat > "$0.fed"\n')
    path.chmod(0o755)
    return path


def test_without_wireshark_or_display_it_says_what_to_do(fake_wireshark: Path, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"not installed.*tshark -r -"):
        find_wireshark({"PATH": str(tmp_path), "DISPLAY": ":0"})
    with pytest.raises(CaptureError, match=r"no display.*ssh"):
        find_wireshark({"PATH": str(fake_wireshark.parent)})
    assert find_wireshark({"PATH": str(fake_wireshark.parent), "WAYLAND_DISPLAY": "wayland-0"}) == str(fake_wireshark)


@pytest.mark.parametrize("status", [0, 1])
def test_wireshark_gets_the_packets_of_the_lab_it_was_started_with(
    fake_wireshark: Path, tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    runs = tmp_path / "runs"
    runs.mkdir()
    # Another lab is running already, and `latest` points to it.
    good_lab().write_run_folder(runs / "other")
    (runs / "latest").symlink_to("other")
    command = [sys.executable, "-c", LAB, str(runs), str(status)]
    assert watch(str(fake_wireshark), command, runs=runs) == status
    assert Path(f"{fake_wireshark}.arguments").read_text() == "-k -i -\n"
    fed = list(CaptureReader(Path(f"{fake_wireshark}.fed")))
    assert fed == list(CaptureReader(runs / "new" / "lab.pcapng"))


def test_a_lab_that_never_began_leaves_no_wireshark_behind(fake_wireshark: Path, tmp_path: Path) -> None:
    assert watch(str(fake_wireshark), ["false"], runs=tmp_path) == 1


def test_a_make_variable_starts_it() -> None:
    argv = ["make", "--dry-run", "topo-handover", "WIRESHARK=1"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=PROJECT, timeout=DEADLINE_S)
    assert "-m captures wireshark -- .venv/bin/python -m testbed run handover" in done.stdout
