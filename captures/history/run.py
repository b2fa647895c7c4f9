"""A run as a person names it, and its whole history: written to ``timeline.jsonl``, read from there or from the capture."""

from __future__ import annotations

import heapq
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from captures.files.capture import CaptureError
from captures.files.merge import CAPTURE_FOLDER, MERGED_FILE
from captures.files.reading import CaptureReader
from captures.history.control import every_protocol
from captures.history.data import DataWindows
from captures.history.events import Event
from captures.history.history import History
from captures.history.lines import as_dict, from_dict, line_kind, plain
from captures.history.texts import log_events, trace_events

RUNS = Path(__file__).resolve().parents[1] / "runs"
LATEST = "latest"
TIMELINE_FILE = "timeline.jsonl"
RESULT_FILE = "result.json"
MODEL_FILE = "model.json"

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Run:
    """A run's folder, or a capture by itself; `folder` is None for the latter.

    `ports`: where protocols are found that are not on their own port, by `captures.protocols.port_names`.
    """

    capture: Path
    folder: Path | None
    ports: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What to call it."""
        return str(self.capture) if self.folder is None else self.folder.name

    def result(self) -> dict[str, Any]:
        """The run's ``result.json``, empty if there is none that can be read."""
        return self._object(RESULT_FILE)

    def model(self) -> dict[str, Any]:
        """The lab's ``model.json``, empty if there is none that can be read."""
        return self._object(MODEL_FILE)

    def _object(self, name: str) -> dict[str, Any]:
        if self.folder is None:
            return {}
        try:
            found = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def run_folder(named: str, runs: Path = RUNS) -> Path:
    """The folder that "latest", a run's name or a path means. Raises `CaptureError` if there is none."""
    folder = runs / named if os.sep not in named and (runs / named).is_dir() else Path(named)
    if folder.is_dir():
        return folder.resolve()
    if named == LATEST:
        raise CaptureError(f"{runs} holds no run yet: run a lab first, such as `make topo-handover`")
    raise CaptureError(f"there is no run {named!r}, neither a path nor a folder in {runs}")


def find_run(named: str, runs: Path = RUNS) -> Run:
    """The run that "latest", a run's name, or the path of a folder or of a capture means.

    Raises `CaptureError` if there is none, or if its captures have not been merged.
    """
    if Path(named).is_file():
        return Run(Path(named), None)
    folder = run_folder(named, runs)
    if (folder / MERGED_FILE).exists():
        return Run(folder / MERGED_FILE, folder)
    if (folder / CAPTURE_FOLDER).is_dir():
        raise CaptureError(
            f"{folder} has no {MERGED_FILE} yet: while its lab runs, `show --follow` reads it; "
            f"if it does not, `python -m captures merge {folder}` makes one"
        )
    raise CaptureError(f"{folder} has no {MERGED_FILE}: is it a run's folder?")


@dataclass(slots=True)
class Counts:
    """What became of everything: events by the kind of their lines, and what could not be put in order, by file or reason."""

    lines: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    passed_over: Counter[str] = field(default_factory=Counter)
    truncated: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON, the output of ``python -m captures timeline``: the four fields, counts by name."""
        return {
            "lines": dict(self.lines),
            "left_out": dict(self.left_out),
            "passed_over": dict(self.passed_over.most_common()),
            "truncated": self.truncated,
        }


def history_of(run: Run, counts: Counts | None = None, progress: Progress | None = None) -> Iterator[Event]:
    """Every event of a run in order of time, from its capture and from what its nodes wrote down, with fields as in JSON.

    Data packets are told of by windows. `progress` is called with the frames read now and then. Raises `CaptureError` if the
    capture cannot be read.
    """
    counts = counts or Counts()
    reader = CaptureReader(run.capture)
    history = History(reader, every_protocol(run.ports), progress, data=DataWindows())
    sources: list[Iterator[Event]] = [map(plain, history)]
    if run.folder is not None:
        sources += [iter(trace_events(run.folder, counts.left_out)), iter(log_events(run.folder, counts.left_out))]
    for event in heapq.merge(*sources, key=lambda event: event.t_ns):
        counts.lines[line_kind(event)] += 1
        yield event
    counts.passed_over.update(history.passed_over)
    counts.passed_over.update(reader.passed_over)
    counts.truncated = reader.truncated


def write_history(run: Run, stream: TextIO, progress: Progress | None = None) -> Counts:
    """Write a run's history to a stream, one JSON object for each event."""
    counts = Counts()
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    stream.writelines(encode(as_dict(event)) + "\n" for event in history_of(run, counts, progress))
    return counts


def write_timeline(run: Run, target: Path, progress: Progress | None = None) -> Counts:
    """Write a run's history to a file, which appears whole or not at all. Raises `CaptureError` if it cannot be written.

    What is no plain file, such as a named pipe, is written into as it is.
    """
    if target.is_dir():
        raise CaptureError(f"cannot write {target}: it is a directory")
    try:
        if target.exists() and not target.is_file():
            with target.open("w", encoding="utf-8") as stream:
                return write_history(run, stream, progress)
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise CaptureError(f"cannot write {target}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            counts = write_history(run, stream, progress)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise CaptureError(f"cannot write {target}: {error.strerror}") from error
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return counts


def read_timeline_file(path: Path) -> Iterator[Event]:
    """The events of a ``timeline.jsonl``. Raises `CaptureError` at a line that is none."""
    try:
        with path.open(encoding="utf-8") as stream:
            for number, text in enumerate(stream, 1):
                try:
                    yield from_dict(json.loads(text))
                except ValueError as error:
                    raise CaptureError(f"{path} line {number}: {error}") from None
    except OSError as error:
        raise CaptureError(f"cannot read {path}: {error.strerror}") from error


def events_of(run: Run, counts: Counts | None = None, progress: Progress | None = None) -> Iterator[Event]:
    """A run's history, from its ``timeline.jsonl`` if that was written after its capture, else from the capture itself.

    `counts` and `progress` only hear of a capture that is read.
    """
    if run.folder is not None and not run.ports:
        written = run.folder / TIMELINE_FILE
        with suppress(OSError):
            if written.stat().st_mtime_ns >= run.capture.stat().st_mtime_ns:
                return read_timeline_file(written)
    return history_of(run, counts, progress)
