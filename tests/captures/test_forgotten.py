"""Whom steps are about, as checks learn it; and what is forgotten for lack of room, which is counted and told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from captures.files.capture import Step
from captures.history import clocks, data
from captures.history.data import DataWindows
from captures.history.events import Event
from captures.history.history import History
from captures.history.steps import StepReader
from captures.mmcp.lab import Lab
from captures.rules import coverage, reading
from captures.rules.coverage import Coverage
from captures.rules.engine import judge
from captures.wire.bounded import STATE_MAX
from captures.wire.rtp import Streams
from tests.captures.scripted_lab import good_lab

ECHO = {"echo": {"clients": [
    {"name": "walker", "node": "n1", "address": "10.0.0.5", "interface": "n1:eth0"},
    {"name": "n2", "address": "10.0.0.6", "interface": "n2:eth0"},
]}}  # fmt: skip


def told(*steps: tuple[str, dict[str, Any]]) -> Coverage:
    """What steps of a lab of a protocol that nobody knows tell, one each second."""
    found, reader = Coverage(), StepReader()
    for at_s, (name, fields) in enumerate((("parameters", ECHO), *steps)):
        found.note(reader.event(Step(at_s + 1, at_s * 1_000_000_000, name, fields)))
    return found


@pytest.mark.parametrize("word", ["node", "mn", "role"])
@pytest.mark.parametrize("called", ["walker", "n1"])
@pytest.mark.parametrize("step", ["link_down", "link_up", "session_begin", "session_end"])
def test_only_the_link_of_the_node_that_a_step_names_has_changed(step: str, called: str, word: str) -> None:
    found = told((step, {word: called}))
    assert found.link_changed("n1:eth0") == found.link_changed() == 1_000_000_000
    assert found.link_changed("n2:eth0") == -1


def test_the_link_of_a_handover_is_its_nodes_and_one_of_nobody_may_be_anybodys() -> None:
    found = told(("handover_begin", {"handover": 1, "mn": "walker"}), ("link_down", {"handover": 1}))
    assert (found.link_changed("n1:eth0"), found.link_changed("n2:eth0")) == (2_000_000_000, -1)
    assert told(("link_down", {})).link_changed("n2:eth0") == 1_000_000_000


def test_a_node_is_silent_by_whatever_name_it_is_called() -> None:
    for word, called in (("role", "walker"), ("node", "n1")):
        found = told(("silence_begin", {word: called}))
        assert found.silenced("10.0.0.5", 2_000_000_000)
        assert not found.silenced("10.0.0.6", 0)
        found = told(("silence_begin", {word: called}), ("silence_end", {word: called}))
        assert not found.silenced("10.0.0.5", 2_000_000_001)


# --- what is forgotten is told


def test_handovers_and_names_in_steps_are_bounded() -> None:
    steps = [Step(n, n, "handover_begin", {"handover": n, "mn": "mn"}) for n in range(1, STATE_MAX + 11)]
    history = History(steps)
    assert len(list(history)) == STATE_MAX + 10
    assert [warning for warning in history.warnings() if warning.startswith("10 names in steps were forgotten")]


def test_nodes_of_which_steps_tell_are_bounded() -> None:
    found = Coverage()
    for number in range(STATE_MAX + 10):
        for kind in ("link_down", "silence_begin"):
            found.note(Event(number, number, f"n{number}", "step", kind, "", "", {}))
    assert found.evicted == 20
    assert found.link_changed() == STATE_MAX + 9


def test_no_more_windows_of_data_are_open_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "WINDOWS_MAX", 100)
    windows = DataWindows()
    for number in range(250):
        windows.add("eth0", number.to_bytes(12), 1, number, 5, 33, 1, 1)
    assert windows.cut == len(windows.over) == 150
    windows.close(None)
    assert sorted(event.number for event in windows.over) == list(range(250))
    history = History((), data=windows)
    assert [warning for warning in history.warnings() if warning.startswith("150 windows of data")]


def test_what_came_before_late_parameters_is_told_if_it_is_lost() -> None:
    lab = Lab()
    for number in range(4096 + 7):
        lab.event(Event(number, number, "mn", "mmcp", "USR", "", "", {}))
    fields = {name: value for name, value in good_lab().steps[0].items() if name not in ("t_ns", "step")}
    lab.learn(Step(5000, 5000, "parameters", fields), Streams())
    assert lab.warnings == ["7 events before the parameters step were forgotten for lack of room"]
    lab.event(Event(5001, 5001, "mn", "mmcp", "USR", "", "", {}))
    assert len(lab.warnings) == 1


@pytest.mark.parametrize(
    ("module", "name", "told_of"),
    [
        (coverage, "STATE_MAX", "directions, ports and nodes were forgotten"),
        (reading, "_SENT_MAX", "events were forgotten for lack of room"),
        (clocks, "_PACKETS_MAX", "control packets came too late for the clocks"),
    ],
)
def test_a_judgement_tells_what_was_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, told_of: str
) -> None:
    path = good_lab().write(tmp_path / "lab.pcapng")
    assert judge(path).warnings == []
    monkeypatch.setattr(module, name, 1 if name == "STATE_MAX" else 8)
    assert any(told_of in warning for warning in judge(path).warnings)
