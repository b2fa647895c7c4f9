"""Steps are JSON that anybody may have written: whatever they say, a command does its work or refuses in one line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from captures.__main__ import main
from captures.files.capture import CaptureError, step_of
from captures.mmcp.parameters import Parameters
from captures.rules.engine import judge
from captures.rules.packs.pack import Timers
from tests.captures.scripted_lab import T0, read_lab
from tests.captures.wrong_steps import LABS, READERS, Story, changed, places, read_by_all

STORIES = sorted(LABS)


@cache
def story(name: str) -> Story:
    return Story(LABS[name]())


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


ODD = (
    math.inf, -math.inf, math.nan, 1e300, 10**400, 2**64, -1, 0, "\ud800", "1e999", "", "mn", T0, 1, nested(40), nested(900),
)  # fmt: skip
JSON = st.recursive(
    st.sampled_from(ODD) | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("name", STORIES)
@given(data=st.data())
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_whatever_a_field_says_every_command_works_or_refuses(name: str, data: st.DataObject) -> None:
    steps = story(name).steps
    for place in data.draw(st.lists(st.sampled_from(list(places(steps))), min_size=1, max_size=3, unique=True)):
        if place in places(steps):  # still, after what was changed before
            steps = changed(steps, place, data.draw(JSON))
    with TemporaryDirectory() as folder:
        read_by_all(story(name).write(Path(folder) / "a.pcapng", steps))


@pytest.mark.parametrize("name", STORIES)
def test_what_is_right_is_read_by_all(tmp_path: Path, name: str) -> None:
    assert read_by_all(story(name).write(tmp_path / "a.pcapng", story(name).steps)) == dict.fromkeys(READERS, "")


def with_parameters(path: Path, fields: Mapping[str, Any]) -> Path:
    """With other values; the names of those in a protocol's section begin with the protocol."""
    steps = story("handover").steps
    for name, value in fields.items():
        steps = changed(steps, (0, *name.split(".")), value)
    return story("handover").write(path, steps)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mmcp.srt_s", 1e300), ("mmcp.srt_s", 0), ("mmcp.srt_s", -1), ("mmcp.spt_s", 1e7), ("mmcp.jwt_s", 2**63),
        ("mmcp.last_member_query_s", 1e300),
        ("port", 0), ("port", 65_536), ("mmcp.port", -1), ("mmcp.session_id", 2**32),
        ("mmcp.session_id", -1),
        ("nominal_spacing_ns", 0), ("nominal_spacing_ns", 2**63), ("mmcp.join_retries", -1),
    ],
)  # fmt: skip
def test_a_number_out_of_its_range_is_named(tmp_path: Path, name: str, value: float) -> None:
    path = with_parameters(tmp_path / "a.pcapng", {name: value})
    with pytest.raises(CaptureError, match=rf"parameters step .* wrong value: {name.removeprefix('mmcp.')} is "):
        judge(path)
    for command in ("judge", "report", "verify"):
        done = CliRunner().invoke(main, [command, str(path)])
        assert done.exception is None or isinstance(done.exception, SystemExit), command
        assert done.exit_code == 2 or command == "verify"


@pytest.mark.parametrize("value", [math.inf, math.nan, 10**400, "\ud800", nested(40), nested(900)])
def test_a_step_that_nobody_can_reckon_with_is_no_step(tmp_path: Path, value: object) -> None:
    path = with_parameters(tmp_path / "a.pcapng", {"mmcp.srt_s": value})
    with pytest.raises(CaptureError, match="no parameters step"):
        judge(path)
    path = with_parameters(tmp_path / "b.pcapng", {"note": value})
    assert CliRunner().invoke(main, ["verify", str(path)]).exit_code in (0, 1)


@pytest.mark.parametrize("t_ns", [-1, 2**64, "now", None, 1e300, []])
def test_a_step_has_a_time_that_can_be(t_ns: object) -> None:
    with pytest.raises(ValueError, match=r"step|invalid literal|64 bits"):
        step_of(1, json.dumps({"t_ns": t_ns, "step": "x"}))
    assert step_of(1, '{"t_ns": 18446744073709551615, "step": "x"}').t_ns == 2**64 - 1


@pytest.mark.parametrize("value", [1e300, math.inf, math.nan, 0, -1, "2", None, True])
def test_a_pack_learns_no_timer_that_cannot_be(value: object) -> None:
    learned = Timers({"srt": None, "jwt": 2.0}, {})
    learned.learn({"srt_s": value, "jwt_s": value})
    assert learned == {"srt": None, "jwt": 2.0}


@pytest.mark.parametrize("value", [[1], {"a": 1}, None, "one"])
def test_a_handover_may_be_called_anything(tmp_path: Path, value: object) -> None:
    steps = story("handover").steps
    for number, step in enumerate(steps):
        if step.get("handover") == 1:
            steps = changed(steps, (number, "handover"), value)
    path = story("handover").write(tmp_path / "a.pcapng", steps)
    assert set(read_by_all(path).values()) == {""}
    assert judge(path).records["handovers"][0]["handover"] == (value if isinstance(value, str) else str(value))


def test_parameters_that_are_right_stay_as_they_are(tmp_path: Path) -> None:
    found = Parameters.read(read_lab(with_parameters(tmp_path / "a.pcapng", {})).steps[0])
    assert (found.srt_s, found.spt_s, found.port, found.mmcp_port) == (2.0, 6.0, 5004, 24793)
