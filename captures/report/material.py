"""What a report is made from: a run's folder, or a capture alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from captures.files.merge import MERGED_FILE
from captures.history.run import MODEL_FILE, Run, find_run

REPORT_FILE = "report.html"
CONFIGURATION_OCTETS_MAX = 20_000  # of one file, shown in the page; what is longer is only linked
_SHOWN_FOLDER = "config/"


@dataclass(frozen=True, slots=True)
class File:
    """A file of the run: `name` relative to its folder, its size, and its text where it is worth showing in the page."""

    name: str
    octets: int
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Material:
    """A run with its result and its files; `result` is empty for a capture that lies in no run's folder."""

    run: Run
    result: Mapping[str, Any]
    files: tuple[File, ...]

    @property
    def name(self) -> str:
        """What to call it: the folder's name, else the capture's."""
        return (self.run.folder or self.run.capture).name

    def default_report(self) -> Path:
        """Where the report goes unless told otherwise."""
        if self.run.folder is not None:
            return self.run.folder / REPORT_FILE
        return self.run.capture.with_suffix(".html")

    def link(self, name: str, report: Path) -> str:
        """The way from the report to one of the files, percent-encoded for a link."""
        base = self.run.folder or self.run.capture.parent
        return quote(os.path.relpath(base.resolve() / name, report.resolve().parent))


def find_material(named: str) -> Material:
    """The run that "latest", a run's name, or the path of a folder or of a capture means; with all that lies around it.

    Raises `CaptureError` if there is none, or if its captures have not been merged.
    """
    run = find_run(named)
    folder = run.folder
    if folder is None and run.capture.name == MERGED_FILE and (run.capture.parent / MODEL_FILE).is_file():
        folder = run.capture.parent
        run = Run(run.capture, folder)
    if folder is None:
        return Material(run, {}, (File(run.capture.name, run.capture.stat().st_size),))
    return Material(run, run.result(), tuple(_files(folder)))


def _files(folder: Path) -> list[File]:
    """The files of a run, the merged capture first; hidden ones are being written, and a report is no part of a run."""
    found = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not path.is_file() or path.name.startswith(".") or name == REPORT_FILE:
            continue
        octets = path.stat().st_size
        text = None
        if name.startswith(_SHOWN_FOLDER) and octets <= CONFIGURATION_OCTETS_MAX:
            text = path.read_text(encoding="utf-8", errors="replace")
        found.append(File(name, octets, text))
    return sorted(found, key=lambda file: (file.name != MERGED_FILE, "/" in file.name, file.name))
