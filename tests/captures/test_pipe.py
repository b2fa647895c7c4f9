"""The packets of a running lab as a stream that other programs read, and Wireshark started on it."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from captures.files.capture import CaptureError, Frame, Step
from captures.files.merge import merge
from captures.files.reading import CaptureReader
from captures.live.viewer import Program, find_viewer, watch
from tests.captures.scripted_lab import INTERFACES, good_lab

DEADLINE_S = 20.0
PROJECT = Path(__file__).resolve().parents[2]

LAB = """
import sys, os
from pathlib import Path
from captures.files.merge import merge
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


def program(path: Path) -> Program:
    return Program((str(path), "-k", "-i", "-"))


def test_without_wireshark_or_display_tshark_is_taken_and_said_so(
    fake_wireshark: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fake_wireshark.parent
    assert find_viewer({"PATH": str(folder), "WAYLAND_DISPLAY": "wayland-0"}) == program(fake_wireshark)
    with pytest.raises(CaptureError, match=r"no display.*no tshark.*show --follow"):
        find_viewer({"PATH": str(folder)})
    with pytest.raises(CaptureError, match=r"not installed.*no tshark"):
        find_viewer({"PATH": str(tmp_path), "DISPLAY": ":0"})
    assert capsys.readouterr().err == ""
    tshark = folder / "tshark"
    fake_wireshark.rename(tshark)
    for environment, why in (({"DISPLAY": ":0"}, "not installed"), ({}, "not installed")):
        found = find_viewer({"PATH": str(folder), **environment})
        assert (found.argv[:4], found.in_terminal) == ((str(tshark), "-l", "-r", "-"), True)
        said = capsys.readouterr().err
        assert (said.count("\n"), why in said, "tshark" in said) == (1, True, True)


def test_tshark_is_only_given_what_it_does_not_know(tmp_path: Path) -> None:
    tshark = tmp_path / "tshark"
    tshark.write_text("#!/bin/sh\nprintf 'Mobile Multicast\\tMMCP\\tmmcp\\n'\n")
    tshark.chmod(0o755)
    scripts = [Path(word).name for word in find_viewer({"PATH": str(tmp_path)}).argv if word.startswith("lua_script:")]
    assert scripts == ["lab_ectp.lua", "lab_gmp.lua", "lab_msmp.lua", "lab_omcp.lua"]


def test_tshark_shows_what_is_not_the_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lab's own lines and tshark's share the terminal; the status is the lab's."""
    if shutil.which("tshark") is None:
        pytest.fail("tshark is not installed: apt-get install --no-install-recommends tshark")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    runs = tmp_path / "runs"
    runs.mkdir()
    argv = [sys.executable, "-m", "captures", "wireshark", "--runs", str(runs), "--"]
    argv += [sys.executable, "-c", LAB, str(runs), "1"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=PROJECT, timeout=3 * DEADLINE_S)
    assert done.returncode == 1
    assert "tshark shows the packets in this terminal" in done.stderr.splitlines()[0]
    assert "IGMP" in done.stdout
    assert "MMCP" in done.stdout  # though nobody has installed the plugin
    assert "lua" not in done.stderr.lower()
    assert "RTP" not in done.stdout
    assert "→ 5004" not in done.stdout


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
    assert watch(program(fake_wireshark), command, runs=runs) == status
    assert Path(f"{fake_wireshark}.arguments").read_text() == "-k -i -\n"
    fed = list(CaptureReader(Path(f"{fake_wireshark}.fed")))
    assert fed == list(CaptureReader(runs / "new" / "lab.pcapng"))


def test_a_lab_that_never_began_leaves_no_wireshark_behind(fake_wireshark: Path, tmp_path: Path) -> None:
    assert watch(program(fake_wireshark), ["false"], runs=tmp_path) == 1


def test_what_cannot_be_started_is_said_and_nothing_else_is_left(fake_wireshark: Path, tmp_path: Path) -> None:
    mark = tmp_path / "begun"
    with pytest.raises(CaptureError, match=r"cannot start nosuchcmd"):
        watch(program(fake_wireshark), ["nosuchcmd"], runs=tmp_path)
    with pytest.raises(CaptureError, match=r"cannot start .*nowhere"):
        watch(program(tmp_path / "nowhere"), ["touch", str(mark)], runs=tmp_path)
    assert not mark.exists()
    not_a_program = tmp_path / "text"
    not_a_program.write_text("no program")
    not_a_program.chmod(0o755)
    with pytest.raises(CaptureError, match=r"cannot start .*text: Exec format error"):
        watch(program(fake_wireshark), [str(not_a_program)], runs=tmp_path)


LASTING = """
import pathlib, signal, sys, time
path = pathlib.Path(sys.argv[1])
def end(*_):
    path.with_suffix(".ended").write_text("")
    sys.exit(3)
signal.signal(signal.SIGTERM, end)
path.with_suffix(".new").write_text("")
path.with_suffix(".new").rename(path)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_lab_ends_with_whoever_watches_it(fake_wireshark: Path, tmp_path: Path, number: int) -> None:
    lab = tmp_path / "lab"
    environment = {**os.environ, "PATH": f"{fake_wireshark.parent}:{os.environ['PATH']}", "DISPLAY": ":0"}
    argv = [sys.executable, "-m", "captures", "wireshark", "--runs", str(tmp_path), "--"]
    argv += [sys.executable, "-c", LASTING, str(lab)]
    with subprocess.Popen(argv, env=environment, cwd=PROJECT) as process:
        deadline = time.monotonic() + DEADLINE_S
        while not lab.exists() and time.monotonic() < deadline:
            assert process.poll() is None
            os.sched_yield()
        process.send_signal(number)
        assert process.wait(timeout=DEADLINE_S) == 128 + number
    assert lab.with_suffix(".ended").exists()


def test_a_make_variable_starts_it() -> None:
    argv = ["make", "--dry-run", "topo-handover", "WIRESHARK=1"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=PROJECT, timeout=DEADLINE_S)
    assert "-m captures wireshark -- .venv/bin/python -m testbed run handover" in done.stdout
