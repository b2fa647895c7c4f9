"""A run while it goes on: its captures and steps as they grow, in order of time.

What a recorder hands over comes up to a second late, and each interface has a recorder of its own. So a record is given out
once it is `HOLD_NS` old: by then nothing earlier is to come. What comes later all the same is given out at once, and counted.
"""

from __future__ import annotations

import heapq
import json
import struct
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from captures.files.capture import (
    PCAP_HEADER_OCTETS,
    PCAP_MAGIC,
    PCAP_RECORD_OCTETS,
    RECORD_MAX_OCTETS,
    CaptureError,
    Interface,
    step_of,
)
from captures.files.merge import CAPTURE_FOLDER, MERGED_FILE, STEPS_FILE
from captures.history.run import LATEST, MODEL_FILE, RESULT_FILE, RUNS, run_folder

HOLD_NS = 1_500_000_000
SILENCE_S = 30.0
"""A run of which nothing has come for so long has ended without a word."""
POLL_S = 0.1
_ALL_RECORD_NS = 2_000_000_000  # a run's recorders start one after the other


class Caught(NamedTuple):
    """A frame as it was captured: `interface` is ``node:interface``, `original` its octets on the wire."""

    t_ns: int
    interface: Interface
    data: bytes
    original: int


class Happened(NamedTuple):
    """A scenario step, its fields with ``t_ns`` and ``step``."""

    t_ns: int
    fields: dict[str, Any]


def has_ended(folder: Path) -> bool:
    """Whether a run is over: its captures have been merged, or it has a result."""
    return (folder / MERGED_FILE).exists() or (folder / RESULT_FILE).exists()


def is_running(folder: Path, now_s: float) -> bool:
    """Whether a run goes on: it has not ended, and something of it was written not long ago."""
    if has_ended(folder) or not folder.is_dir():
        return False
    written = [folder, folder / STEPS_FILE, *(folder / CAPTURE_FOLDER).glob("*.pcap")]
    newest = 0.0
    for path in written:
        with suppress(OSError):
            newest = max(newest, path.stat().st_mtime)
    return now_s - newest < SILENCE_S


def await_running(
    named: str = LATEST,
    wait_s: float = 0.0,
    *,
    runs: Path = RUNS,
    before: Collection[Path] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """The folder of a run that goes on; "latest" waits for one to begin if there is none.

    `before`: folders that there were before a lab was started, whose run is meant: any other folder will do then, even if its
    run has ended already. Raises `CaptureError` if there is none after `wait_s`.
    """
    deadline = time.monotonic() + wait_s
    while True:
        folder = None
        with suppress(CaptureError):
            folder = run_folder(named, runs)
        if folder is not None and folder not in (before or ()):
            begun = is_running(folder, time.time())
            if begun or (before is not None and has_ended(folder)):
                return folder
        if named != LATEST or time.monotonic() >= deadline:
            raise CaptureError(_why_not(named, folder))
        sleep(POLL_S)


def _why_not(named: str, folder: Path | None) -> str:
    if folder is None:
        return (
            f"there is no run {named!r}"
            if named != LATEST
            else "no lab is running, and none has run yet: start one first"
        )
    what = f"{folder.name} has ended" if has_ended(folder) else f"{folder.name} has written nothing for {SILENCE_S:g} s"
    if named == LATEST:
        return f"no lab is running ({what}): start one first, or say how long to wait for it with --wait"
    return f"{what}: without --follow `python -m captures show {named}` shows it"


class _GrowingPcap:
    """The records of a pcap file that is being written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._buffer = b""
        self._offset = 0
        self._order = ""
        self._unit = 1
        self.interface = Interface(path.stem, 1)

    def more(self) -> Iterator[Caught]:
        """What has come since the last time. Raises `CaptureError` for what is no pcap."""
        with self._path.open("rb") as stream:
            stream.seek(self._offset)
            new = stream.read()
        self._offset += len(new)
        self._buffer += new
        if not self._order and not self._header():
            return
        unpack = struct.Struct(self._order + "IIII").unpack_from
        at, available = 0, len(self._buffer)
        while at + PCAP_RECORD_OCTETS <= available:
            seconds, fraction, captured, original = unpack(self._buffer, at)
            if captured > RECORD_MAX_OCTETS:
                raise CaptureError(f"{self._path} is damaged: a record of {captured} octets")
            end = at + PCAP_RECORD_OCTETS + captured
            if end > available:
                break
            t_ns = seconds * 1_000_000_000 + fraction * self._unit
            yield Caught(t_ns, self.interface, self._buffer[at + PCAP_RECORD_OCTETS : end], original)
            at = end
        self._buffer = self._buffer[at:]

    def _header(self) -> bool:
        header = self._buffer[:PCAP_HEADER_OCTETS]
        if header[:4] not in PCAP_MAGIC and len(header) >= 4:
            raise CaptureError(f"{self._path} is no pcap file: it starts with {header[:4].hex()}")
        if len(header) < PCAP_HEADER_OCTETS:
            return False
        self._order, self._unit = PCAP_MAGIC[header[:4]]
        link_type = struct.unpack(self._order + "I", header[20:24])[0] & 0xFFFF
        self.interface = Interface(self._path.stem, link_type)
        self._buffer = self._buffer[PCAP_HEADER_OCTETS:]
        return True


class _GrowingSteps:
    """The steps of a file that is being written, line by line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def more(self) -> Iterator[Happened]:
        """The whole lines that have come since the last time; lines that are no step are passed over."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                new = stream.read()
        except FileNotFoundError:
            return
        whole, _, _ = new.rpartition(b"\n")
        if not whole:
            return
        self._offset += len(whole) + 1
        for line in whole.splitlines():
            with suppress(ValueError):
                step = step_of(0, line)
                yield Happened(step.t_ns, {**step.fields, "t_ns": step.t_ns, "step": step.name})


class LiveRun:
    """A run that goes on; `poll` gives what is new. `only`: a node or an interface, else all of them.

    `late` counts records that came out of order. `clock` tells the time in ns, as the records have it.
    """

    def __init__(
        self, folder: Path, only: str | None = None, hold_ns: int = HOLD_NS, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self.folder = folder
        self.only = only
        self.late = 0
        self.ended = False
        self._hold_ns = hold_ns
        self._clock = clock
        self._files: dict[Path, _GrowingPcap] = {}
        self._steps = _GrowingSteps(folder / STEPS_FILE)
        self._waiting: list[tuple[int, int, int, Caught | Happened]] = []
        self._taken = 0
        self._given_ns = 0
        self._recording_ns = 0
        self._heard_ns = clock()

    @property
    def interfaces(self) -> list[Interface]:
        """Those that are followed so far."""
        return [file.interface for file in self._files.values()]

    @property
    def model(self) -> Any:
        """The lab's model, None as long as it is not there."""
        try:
            return json.loads((self.folder / MODEL_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def poll(self) -> list[Caught | Happened]:
        """What is new and old enough, in order of time; everything that is left once the run has `ended`.

        Raises `CaptureError` if nothing has come for `SILENCE_S`, if what it is to follow is not captured, or if a file is no
        pcap.
        """
        now = self._clock()
        over = has_ended(self.folder)  # looked at first: what is written before it must be read
        before = self._taken
        self._look_for_files(now, over=over)
        for index, file in enumerate(self._files.values()):
            for caught in file.more():
                self._wait(index, caught)
        for happened in self._steps.more():
            self._wait(-1, happened)  # a step at the very time of a frame comes first, as in the merged capture
        if self._taken > before:
            self._heard_ns = now
        elif not over and now - self._heard_ns > SILENCE_S * 1e9:
            raise CaptureError(f"nothing has come of {self.folder.name} for {SILENCE_S:g} s: has the lab been killed?")
        self.ended = over
        if not self._files and not over:
            return []
        return list(self._due(None if over else now - self._hold_ns))

    def _look_for_files(self, now_ns: int, *, over: bool) -> None:
        found = sorted((self.folder / CAPTURE_FOLDER).glob("*.pcap"))
        for path in found:
            if path not in self._files and self._wanted(path.stem):
                self._files[path] = _GrowingPcap(path)
        self._recording_ns = self._recording_ns or (now_ns if found else 0)
        if found and not self._files and (over or now_ns - self._recording_ns > _ALL_RECORD_NS):
            there = ", ".join(path.stem for path in found)
            raise CaptureError(f"{self.only}: no such node or interface is captured; there are {there}")

    def _wanted(self, interface: str) -> bool:
        return self.only is None or self.only in (interface, interface.partition(":")[0])

    def _wait(self, tag: int, record: Caught | Happened) -> None:
        self._taken += 1
        heapq.heappush(self._waiting, (record.t_ns, tag, self._taken, record))

    def _due(self, until_ns: int | None) -> Iterator[Caught | Happened]:
        while self._waiting and (until_ns is None or self._waiting[0][0] <= until_ns):
            t_ns, _, _, record = heapq.heappop(self._waiting)
            if t_ns < self._given_ns:
                self.late += 1
            self._given_ns = max(self._given_ns, t_ns)
            yield record
