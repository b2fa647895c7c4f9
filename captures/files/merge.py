"""One pcapng of a run's folder: every captured link end and the scenario's steps, in order of time."""

from __future__ import annotations

import heapq
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from captures.files.capture import CaptureError, Interface, PcapngWriter, step_of
from captures.files.reading import PcapReader

CAPTURE_FOLDER = "capture"
STEPS_FILE = "steps.jsonl"
MERGED_FILE = "lab.pcapng"


def merge(run_folder: Path) -> dict[str, Any]:
    """Merge ``capture/NODE:INTERFACE.pcap`` and ``steps.jsonl`` into ``lab.pcapng``, which appears whole or not at all.

    Returns ``{"pcapng": path, "packets": {interface: count}, "steps": count, "truncated": {interface: why},
    "warnings": [text]}``. Raises `CaptureError` if there is nothing to merge or a file is no pcap.
    """
    paths = sorted((run_folder / CAPTURE_FOLDER).glob("*.pcap"))
    if not paths:
        raise CaptureError(f"{run_folder / CAPTURE_FOLDER} holds no .pcap file: was anything captured?")
    readers = [PcapReader(path) for path in paths]
    names = [path.stem for path in paths]
    steps, warnings = _read_steps(run_folder / STEPS_FILE)
    target = run_folder / MERGED_FILE
    handle, temporary = tempfile.mkstemp(prefix=f".{MERGED_FILE}.", dir=run_folder)
    try:
        with os.fdopen(handle, "wb") as stream:
            interfaces = [Interface(name, reader.link_type) for name, reader in zip(names, readers, strict=True)]
            _write(PcapngWriter(stream, interfaces), readers, steps)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return {
        "pcapng": str(target),
        "packets": {name: reader.packets for name, reader in zip(names, readers, strict=True)},
        "steps": len(steps),
        "truncated": {name: r.truncated for name, r in zip(names, readers, strict=True) if r.truncated},
        "warnings": warnings,
    }


def _write(writer: PcapngWriter, readers: list[PcapReader], steps: list[dict[str, Any]]) -> None:
    # A step at the very time of a frame comes first: its tag, -1, sorts before every interface's index.
    streams: list[Iterator[tuple[int, int, Any, int]]] = [reader.records(tag) for tag, reader in enumerate(readers)]
    streams.append((int(step["t_ns"]), -1, step, 0) for step in steps)
    frame = writer.frame
    for t_ns, tag, data, original_octets in heapq.merge(*streams):
        if tag >= 0:
            frame(t_ns, tag, data, original_octets)
        else:
            writer.step(data)
    writer.flush()


def _read_steps(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Read the steps in order of time; lines that are no step, such as a last one cut off, become warnings."""
    steps: list[dict[str, Any]] = []
    warnings: list[str] = []
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return [], [f"{path} is missing: the capture says nothing of the scenario and cannot be judged"]
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            step = step_of(number, line)
            steps.append({**step.fields, "t_ns": step.t_ns, "step": step.name})
        except ValueError:
            warnings.append(f"{path} line {number} is no scenario step: {line[:60]!r}")
    # Equal times keep the order in which they were written.
    steps.sort(key=lambda step: step["t_ns"])
    return steps, warnings
