"""Labs whose steps say something else than they should, and everything that reads them."""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from captures.files.capture import JOURNAL_EXPORT, STEP_FIELD, CaptureError, Interface, PcapngWriter
from captures.files.reading import CaptureReader
from captures.history.run import find_run, write_history
from captures.ladder.text import ladder_lines
from captures.report.comparison import compare, read_side
from captures.report.comparison_text import comparison_lines
from captures.report.material import find_material
from captures.report.page import write_report
from captures.rules.engine import judge, verify
from tests.captures.reported_run import model_of
from tests.captures.scripted_joins import good_join_lab
from tests.captures.scripted_lab import T0, ScriptedLab, good_lab
from tests.captures.scripted_leaves import good_leave_lab
from tests.captures.scripted_status import good_status_lab
from tests.captures.test_capture_files import blocks

Steps = list[Any]
Place = tuple[Any, ...]


def lab_with_model() -> ScriptedLab:
    """A handover's lab whose model is in the capture."""
    lab = good_lab()
    lab.step(1, "model", model=model_of(lab))
    return lab


LABS: Mapping[str, Callable[[], ScriptedLab]] = {
    "handover": lab_with_model,
    "join": good_join_lab,
    "leave": good_leave_lab,
    "status": good_status_lab,
}
_DATA_EACH = 20  # one data packet in so many is enough here


class Story:
    """A scripted lab, with all its control packets and few of its data packets, to be written with other steps."""

    def __init__(self, lab: ScriptedLab) -> None:
        self.steps = copy.deepcopy(lab.steps)
        data = [frame for frame in lab.frames if frame.tag.startswith("data")]
        control = [frame for frame in lab.frames if not frame.tag.startswith("data")]
        self._frames = sorted([*control, *data[::_DATA_EACH]], key=lambda frame: frame.at_ms)

    def write(self, path: Path, steps: Steps) -> Path:
        """Write it with these steps, which may be anything that Python's json can write."""
        interfaces = sorted({frame.interface for frame in self._frames})
        with path.open("wb") as stream:
            writer = PcapngWriter(stream, [Interface(name, 1) for name in interfaces])
            things: list[tuple[int, Any]] = [(T0 + round(frame.at_ms * 1e6), frame) for frame in self._frames]
            places = [step["t_ns"] for step in self.steps]
            things += [(at, step) for at, step in zip(places, steps, strict=True)]
            for at, thing in sorted(things, key=lambda each: each[0]):
                if hasattr(thing, "tag"):
                    writer.frame(at, interfaces.index(thing.interface), thing.data)
                    continue
                writer.flush()
                entry = f"{STEP_FIELD}={json.dumps(thing)}\n\n".encode()
                stream.write(blocks("<", (JOURNAL_EXPORT, entry + bytes(-len(entry) % 4))))
            writer.flush()
        return path


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Where there is something inside a value: keys and indexes, from the outside in."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*place, key)
        yield from places(one, (*place, key))


def changed(steps: Steps, place: Place, value: Any) -> Steps:
    """The steps with another value at a place."""
    steps = copy.deepcopy(steps)
    inside = steps
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    return steps


def _report(path: Path) -> None:
    target = path.with_suffix(".html")
    write_report(find_material(str(path)), target)
    assert target.stat().st_size < 8_000_000


def _diff(path: Path) -> None:
    side = read_side(find_run(str(path)))
    compared = compare(side, side)
    json.dumps(compared.as_dict(), ensure_ascii=False).encode()
    "".join(text for line in comparison_lines(compared) for text, _ in line).encode()
    "".join(text for line in ladder_lines(side.ladder, 120) for text, _ in line).encode()


READERS: Mapping[str, Callable[[Path], object]] = {
    "judge": lambda path: json.dumps(judge(path).of_run(), allow_nan=False, ensure_ascii=False).encode(),
    "verify": lambda path: json.dumps(
        verify(CaptureReader(path)).as_dict(), allow_nan=False, ensure_ascii=False
    ).encode(),
    "timeline": lambda path: write_history(find_run(str(path)), io.StringIO()),
    "diff": _diff,
    "report": _report,
}


def read_by_all(path: Path) -> dict[str, str]:
    """What each command makes of a capture: "" if it could do its work, else the one line it refuses with."""
    said = {}
    for name, read in READERS.items():
        try:
            read(path)
            said[name] = ""
        except CaptureError as error:
            said[name] = str(error)
            assert "\n" not in said[name]
    return said
