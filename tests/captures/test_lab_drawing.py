"""A lab by itself as a picture: also one with many cells and mobile nodes; what links do, and ways that are picked out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from captures.files.capture import CaptureError
from captures.report.lab_drawing import draw_lab
from testbed.mmcp.roaming import session_lab
from testbed.net.model import Quality
from testbed.net.shapes import campus, line

SVG = "{http://www.w3.org/2000/svg}"


def model(mobiles: int = 2, **link: float) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(session_lab("row", line(4, 3, Quality(**link)), mobiles).to_json())  # type: ignore[arg-type]
    return found


def boxes(svg: str, kind: str) -> dict[str, tuple[float, float, float, float]]:
    """What is written in each rectangle of a kind: its left, top, width, height."""
    found = {}
    for number, group in enumerate(ET.fromstring(svg).iter(f"{SVG}g")):  # noqa: S314  # our own
        if kind in group.attrib["class"].split():
            rectangle, text = group.find(f"{SVG}rect"), group.find(f"{SVG}text")
            assert rectangle is not None
            assert text is not None
            place = tuple(float(rectangle.attrib[name]) for name in ("x", "y", "width", "height"))
            found[f"{text.text} #{number}"] = place
    return found  # type: ignore[return-value]


def test_a_campus_with_fifty_mobile_nodes_is_drawn_without_two_things_in_one_place() -> None:
    svg = draw_lab(json.loads(session_lab("campus", campus(4, 8, 2), 50).to_json()))
    mobile = boxes(svg, "mobile")
    assert len(mobile) == len(boxes(svg, "head")) == 16
    assert sum(int(name.split()[0]) for name in mobile) == 50
    assert "mn50" in svg, "who they are is said when one points at them"
    everything = [
        *boxes(svg, "host").values(),
        *boxes(svg, "router").values(),
        *boxes(svg, "head").values(),
        *mobile.values(),
    ]
    assert len(everything) > 50
    for (x, y, width, height), (left, top, wide, high) in combinations(everything, 2):
        apart = x + width <= left + 0.2 or left + wide <= x + 0.2 or y + height <= top + 0.2 or top + high <= y + 0.2
        assert apart, ((x, y), (left, top))


def test_what_links_do_is_written_beside_them() -> None:
    svg = draw_lab(model(delay_s=0.02, loss=0.01))
    assert svg.count(">20 ms, 1 % lost</text>") == 2, "both links of the row"
    uneven = model()
    uneven["links"][0]["forward"]["rate_bps"] = 10_000_000
    assert ">10 Mbit/s there, perfect back</text>" in draw_lab(uneven)
    assert "quality" not in draw_lab(model()).partition("</style>")[2]


def test_what_sends_is_picked_out_with_an_arrow_away_from_it() -> None:
    way = model()["links"][0]
    ends = [(way["first"]["node"], f"{way['first']['node']}:{way['first']['interface']}")]
    ends.append((way["second"]["node"], f"{way['second']['node']}:{way['second']['interface']}"))
    lines = []
    for node, interface in ends:
        svg = draw_lab(model(), [interface])
        (found,) = re.findall(
            r'class="link path".*?<line x1="([\d.]+)" y1="([\d.]+)" x2="([\d.]+)" y2="([\d.]+)"/><polygon', svg
        )
        lines.append(found)
        assert f"{node} #" in "".join(boxes(svg, "on-path"))
    assert lines[0] == (*lines[1][2:], *lines[1][:2]), "from the other end it is the other way round"


@pytest.mark.parametrize("wrong", [{}, {"nodes": [], "radios": [{}]}, {"nodes": 7}])
def test_what_is_no_model_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(CaptureError, match="no model of a lab"):
        draw_lab(wrong)


def test_an_interface_that_is_not_there_is_refused() -> None:
    with pytest.raises(CaptureError, match="no such interface in the lab: r1:nowhere"):
        draw_lab(model(), ["r1:nowhere"])


def test_it_is_written_where_one_says_and_bad_input_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps(model()))

    def draw(*words: str, program: str = "captures") -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", program, "draw", *words]
        return subprocess.run(argv, check=False, capture_output=True, text=True)

    target = tmp_path / "lab.svg"
    assert draw(str(tmp_path / "model.json"), "-o", str(target)).stdout == f"{target}\n"
    assert boxes(target.read_text(), "head")
    (tmp_path / "bad.json").write_text("{")
    for name in ("bad.json", "none.json"):
        done = draw(str(tmp_path / name))
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    drawn = draw("handover", "--family", "6", program="testbed")
    assert (drawn.returncode, len(boxes(drawn.stdout, "router"))) == (0, 3), drawn.stderr
    assert "2001:db8:" in drawn.stdout
    assert draw("handover", "-o", str(tmp_path / "no/such/folder.svg"), program="testbed").returncode == 2
