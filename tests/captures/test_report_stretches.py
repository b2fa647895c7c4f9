"""Pages of labs without handovers: each join, leave and silence has its drawings and its packets around the moment."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from captures.mmcp.chapters import additions
from tests.captures.reported_run import Page, read_page, report_of, run_folder
from tests.captures.scripted_joins import good_join_lab
from tests.captures.scripted_lab import INTERFACES, ScriptedLab, read_lab
from tests.captures.scripted_leaves import good_leave_lab
from tests.captures.scripted_status import good_status_lab

LABS = {"join": (good_join_lab, 5), "leave": (good_leave_lab, 4), "status": (good_status_lab, 5)}


def page_of(lab: ScriptedLab, folder: Path) -> Page:
    """The page, of a lab whose data passes a router in either cell on its way to the node."""
    data = [frame for frame in lab.frames if frame.tag.startswith("data.") and frame.interface == INTERFACES["mn"]]
    for router in ("ar1:ar1-poa1", "ar2:ar2-poa2"):
        lab.frames += [
            replace(frame, interface=router, at_ms=frame.at_ms - 0.01, tag=f"passing.{frame.tag}") for frame in data
        ]
    return read_page(report_of(run_folder(lab, folder, handovers=[])))


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("name", LABS)
def test_every_part_is_drawn(tmp_path: Path, name: str, family: int) -> None:
    make, parts = LABS[name]
    page = page_of(make(family), tmp_path / "run")
    assert len(page.all("figure", "packets")) == parts
    assert len(page.all("figure", "scene")) == 2 * parts
    assert "handover" not in page.texts("p", "lead")[0]
    assert len(page.ids()) == len(set(page.ids()))
    assert any(re.match("mcs → .* → mn", way) for way in page.texts("p", "way"))


def test_time_zero_is_what_the_part_is_about(tmp_path: Path) -> None:
    said = {name: page_of(make(), tmp_path / name).texts("output", "readout") for name, (make, _) in LABS.items()}
    assert set(said["join"]) == {"Time zero is the first SJR."}
    assert said["leave"] == ["Time zero is the ULR."] * 3 + ["Time zero is the leave."]
    assert said["status"] == [
        "Time zero is the first SJR.",
        *(f"Time zero is the silence of {role}." for role in ("mn", "mn", "lmc1", "mn")),
    ]


def test_the_stream_comes_with_a_join_and_goes_with_a_leave(tmp_path: Path) -> None:
    ways = page_of(good_join_lab(), tmp_path / "join").texts("p", "way")
    assert [way.startswith("no stream") for way in ways] == [
        True,
        False,
        True,
        True,
        True,
        True,
        True,
        False,
        True,
        True,
    ]
    ways = page_of(good_leave_lab(), tmp_path / "leave").texts("p", "way")
    assert [way.startswith("no stream") for way in ways] == [False, True] * 4


def test_counts_around_a_leave_fall_to_nothing(tmp_path: Path) -> None:
    page = page_of(good_leave_lab(), tmp_path / "run")
    svg = page.html[page.html.index('<figure class="packets"') :]
    counts = re.findall(r'data-name="mn" data-counts="([\d ]+)"', svg)
    for row in counts:
        numbers = [int(number) for number in row.split()]
        assert sum(numbers[:50]) > 10
        assert sum(numbers[-20:]) == 0


@pytest.mark.parametrize("spoil", [lambda lab: lab.drop_step("session_begin"), lambda lab: lab.drop_step("leave")])
def test_steps_that_do_not_fit_cost_the_drawings_and_not_the_page(
    tmp_path: Path, spoil: Callable[[ScriptedLab], ScriptedLab]
) -> None:
    page = page_of(spoil(good_leave_lab()), tmp_path / "run")
    assert page.texts("h1")


def test_a_part_in_which_nothing_begins_has_none(tmp_path: Path) -> None:
    lab = good_leave_lab()
    lab.step(20_000, "session_begin", mn="stranger", mode="proactive")
    parts = additions(read_lab(lab.write(tmp_path / "lab.pcapng")), {}, ()).parts
    assert [part.stretch is None for part in parts] == [False] * (len(parts) - 1) + [True]
