"""A run's folder as a lab leaves it, made of a lab that never ran; and the parts of a page that a test looks at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from captures.files.capture import CaptureError
from captures.files.merge import merge
from captures.report.material import find_material
from captures.report.page import write_report
from captures.rules.engine import judge
from testbed.mmcp.two_cells import two_cells
from tests.captures.scripted_lab import INTERFACES, ScriptedLab


def model_of(lab: ScriptedLab) -> dict[str, Any]:
    """The two-cell labs' own model."""
    content: dict[str, Any] = json.loads(two_cells("handover", 4 if lab.family == 4 else 6).to_json())
    return content


def run_folder(lab: ScriptedLab, folder: Path, *, model: Mapping[str, Any] | None = None, **changes: Any) -> Path:
    """Write everything; `changes` are made to ``result.json``. What an LMC of cell 1 sees of the stream passes its router."""
    passing = [
        replace(frame, interface=INTERFACES["ar1"], tag=frame.tag.replace("@lmc1", "@ar1"))
        for frame in lab.frames
        if frame.tag.startswith("data.") and frame.interface == INTERFACES["lmc1"]
    ]
    lab.frames += passing
    lab.write_run_folder(folder)
    pcapng = Path(merge(folder)["pcapng"])
    (folder / "model.json").write_text(json.dumps(model_of(lab) if model is None else model))
    (folder / "config").mkdir()
    (folder / "config" / "mn.toml").write_text('name = "mn"\n')
    (folder / "logs").mkdir()
    (folder / "logs" / "ar1-pimd.log").write_text("started\n")
    (folder / "result.json").write_text(json.dumps({**result_of(pcapng), **changes}))
    return folder


def result_of(pcapng: Path) -> dict[str, Any]:
    """What a lab would write of the judgement."""
    result: dict[str, Any] = {
        "lab": "handover",
        "failures": [],
        "warnings": [],
        "pcap": "lab.pcapng",
        "started": "2026-11-22T17:53:06.000+00:00",
        "duration_s": 15.4,
        "start_to_first_data_s": 2.25,
        "versions": {"frr": "10.3"},
        "parameters": {"family": "4", "repeat": "1"},
        "counters": {"mn": {"sent.HIR": 1}},
    }
    try:
        judgement = judge(pcapng).of_run()
    except CaptureError as error:
        empty: dict[str, Any] = {"checked": 0, "passed": 0, "unseen": [], "failed": []}
        return {**result, "verdict": "could-not-run", "error": str(error), "handovers": [], "rules": empty}
    handovers = [{**record, "problems": []} for record in judgement["handovers"]]
    verdict = "fail" if judgement["rules"]["failed"] else "pass"
    return {
        **result,
        "verdict": verdict,
        "handovers": handovers,
        "rules": judgement["rules"],
        "packs": judgement["packs"],
    }


def report_of(named: Path, target: Path | None = None) -> Path:
    """Write the report and return its path."""
    material = find_material(str(named))
    target = target or material.default_report()
    write_report(material, target)
    return target


@dataclass
class Element:
    """One element with its attributes and the text within it."""

    tag: str
    attributes: dict[str, str | None]
    text: str = ""

    @property
    def classes(self) -> set[str]:
        return set((self.attributes.get("class") or "").split())


@dataclass
class Page(HTMLParser):
    """A parsed page: its elements in order."""

    html: str
    elements: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[Element] = []
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.elements.append(element)
        if tag in {"td", "th", "dt", "dd", "div", "li", "p"}:
            self.handle_data(" ")
        if tag not in {"meta", "br"}:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        closed = self._open.pop()
        assert closed.tag == tag, f"<{closed.tag}> is closed by </{tag}>"

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, tag: str, css_class: str | None = None) -> list[Element]:
        return [e for e in self.elements if e.tag == tag and (css_class is None or css_class in e.classes)]

    def texts(self, tag: str, css_class: str | None = None) -> list[str]:
        return [" ".join(element.text.split()) for element in self.all(tag, css_class)]

    def links(self) -> list[str]:
        return [href for element in self.elements if (href := element.attributes.get("href")) is not None]

    def text_of_body(self) -> str:
        return self.all("body")[0].text

    def ids(self) -> list[str]:
        return [name for element in self.elements if (name := element.attributes.get("id")) is not None]


def read_page(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))
