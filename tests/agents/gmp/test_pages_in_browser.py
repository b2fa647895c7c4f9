"""GMP's pages in a browser: a member is seen to arrive, without a script all is there, and nothing breaks the policy."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.captures.test_report_in_browser import CONTRAST_MIN, PROJECT, require_browser

pytestmark = [pytest.mark.lab, pytest.mark.timeout(120), pytest.mark.xdist_group("browser")]

TEXT_MIN = 14.0  # px
SHOWN_NAME = "Lecture <b>one</b> [U+202E]on X"


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the browser saw; its pictures stay in the test's folder."""
    require_browser()
    folder = tmp_path_factory.mktemp("pages")
    argv = ["unshare", "--user", "--map-root-user", "--net", "--kill-child", "--pid", "--fork", "--mount-proc"]
    program = [sys.executable, "-m", "tests.agents.gmp.browsing", str(folder)]
    done = subprocess.run([*argv, *program], cwd=PROJECT, capture_output=True, check=False, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_member_arrives_and_leaves_while_one_looks_on(seen: dict[str, Any]) -> None:
    assert seen["heading"] == SHOWN_NAME
    assert "1 registered, 1 of them enrolled, 1 active." in seen["before"]
    assert "alice" not in seen["before"]
    assert "2 registered, 2 of them enrolled, 2 active." in seen["arrived"]
    assert "alice" in seen["arrived"]
    assert seen["mark"] == "not loaded again"


def test_the_keyboard_is_enough(seen: dict[str, Any]) -> None:
    assert seen["keys"] == ["To the content", "Sessions", SHOWN_NAME]


def test_without_a_script_all_is_there(seen: dict[str, Any]) -> None:
    for wanted in (
        SHOWN_NAME,
        "One.\nTwo.",
        "<i>O</i>",
        "239.1.1.1, UDP port 5004",
        "1 active",
        "host",
        "m=video 5004 RTP/AVP 33",
        "SDP, for a player",
    ):
        assert wanted in seen["without_script"]


def test_nothing_breaks_the_policy_and_a_breach_would_be_seen(seen: dict[str, Any]) -> None:
    assert seen["console"] == []
    assert any("Content Security Policy" in message for message in seen["breach"])


@pytest.mark.parametrize("page", ["list", "session"])
def test_it_can_be_read_by_day_by_night_and_on_a_phone(seen: dict[str, Any], page: str) -> None:
    for scheme in ("light", "dark"):
        texts = seen[page][scheme]
        assert len(texts) > 10
        assert [each for each in texts if each["contrast"] < CONTRAST_MIN or each["size"] < TEXT_MIN] == []
    width, window = seen[page]["phone"]
    assert width == window == 360
