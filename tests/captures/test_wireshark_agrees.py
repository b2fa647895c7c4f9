"""Wireshark reads what is written here, and numbers the frames as the judge does."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from captures.capture import Frame
from captures.reading import CaptureReader
from tests.captures.scripted_lab import good_lab

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.lab


def wireshark(tool: str, *arguments: str) -> str:
    path = shutil.which(tool)
    if path is None:
        pytest.fail(f"{tool} is not installed: apt-get install --no-install-recommends tshark")
    done = subprocess.run([path, *arguments], check=False, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_frame_numbers_times_and_interfaces_are_wiresharks(tmp_path: Path) -> None:
    path = good_lab(6).write(tmp_path / "lab.pcapng")
    fields = ["frame.number", "frame.time_epoch", "frame.interface_name"]
    options = [word for field in fields for word in ("-e", field)]
    shown = [line.split("\t") for line in wireshark("tshark", "-r", str(path), "-T", "fields", *options).splitlines()]
    records = list(CaptureReader(path))
    assert len(shown) == len(records)
    for (number, time, interface), record in zip(shown, records, strict=True):
        assert int(number) == record.number
        seconds, _, fraction = time.partition(".")
        t_ns = int(seconds) * 10**9 + int(fraction.ljust(9, "0"))
        if isinstance(record, Frame):
            assert (t_ns, interface) == (record.t_ns, record.interface)
        else:
            assert t_ns == record.t_ns // 1000 * 1000  # a journal entry's time has microseconds


def test_steps_are_journal_entries(tmp_path: Path) -> None:
    path = good_lab().write(tmp_path / "lab.pcapng")
    shown = wireshark(
        "tshark", "-r", str(path), "-Y", "systemd_journal.message", "-T", "fields", "-e", "systemd_journal.message"
    )
    assert len(shown.splitlines()) == len(good_lab().steps)
    assert '"step":"handover_begin"' in shown


def test_capinfos_finds_nothing_wrong(tmp_path: Path) -> None:
    shown = wireshark("capinfos", str(good_lab().write(tmp_path / "lab.pcapng")))
    assert "Wireshark/... - pcapng" in shown
    assert "Strict time order:   True" in shown
    assert "nanoseconds (9)" in shown
