"""The report in a browser without a network: readable in light and dark, complete without script and on paper."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.captures.browser import BROWSERS, HEIGHT, WIDTH
from tests.captures.reported_run import report_of, run_folder
from tests.captures.scripted_lab import good_lab
from tests.captures.test_report import failing_lab, hostile_run

pytestmark = [pytest.mark.lab, pytest.mark.timeout(180), pytest.mark.xdist_group("browser")]

PROJECT = Path(__file__).resolve().parents[2]
CONTRAST_MIN = 4.5  # WCAG 2.2, 1.4.3, for text of any size
BODY_TEXT_MIN, DRAWN_TEXT_MIN = 14.0, 12.5  # px
PAGES = ("good.html", "failing.html", "hostile.html")


def require_browser() -> None:
    if shutil.which("chromedriver") and any(map(shutil.which, BROWSERS)):
        return
    if platform.freedesktop_os_release()["ID"] != "debian":
        pytest.skip("no Chromium and chromedriver on PATH, and this distribution has no package of them")
    pytest.fail("Chromium is not installed: apt-get install --no-install-recommends chromium chromium-driver")


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the browser saw of a good, a failed and a hostile run; the pictures stay in the test's folder."""
    require_browser()
    folder = tmp_path_factory.mktemp("pages")
    report_of(run_folder(good_lab(6), folder / "good"), folder / "good.html")
    report_of(run_folder(failing_lab(), folder / "failing"), folder / "failing.html")
    report_of(hostile_run(folder / "hostile"), folder / "hostile.html")
    # A network of its own, in which only lo is up, for the browser's driver to be reached.
    alone = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    inner = [sys.executable, "-m", "tests.captures.browser", str(folder), *(str(folder / page) for page in PAGES)]
    done = subprocess.run(
        [*alone, "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *inner],
        cwd=PROJECT,
        check=False,
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return {**found, "folder": folder}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", PAGES)
def test_text_is_large_and_clear_enough(seen: dict[str, Any], page: str, scheme: str) -> None:
    chapters = seen[page][scheme]
    assert [view["chapters"] for view in chapters] == [["beginning"], ["handover-1"], ["handover-2"]]
    for view in chapters:
        assert len(view["texts"]) > 100
        assert len([text for text in view["texts"] if text["drawn"]]) > 30
        small = [t for t in view["texts"] if t["size"] < (DRAWN_TEXT_MIN if t["drawn"] else BODY_TEXT_MIN)]
        assert small == []
        assert [text for text in view["texts"] if text["contrast"] < CONTRAST_MIN] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_laptop_shows_the_whole_width(seen: dict[str, Any], page: str) -> None:
    for view in seen[page]["light"] + seen[page]["dark"]:
        assert (view["window"], view["width"]) == (WIDTH, WIDTH)


@pytest.mark.parametrize("page", ["good.html", "failing.html"])
def test_nothing_drawn_lies_on_anything_else(seen: dict[str, Any], page: str) -> None:
    for view in seen[page]["light"]:
        assert view["collisions"] == []


@pytest.mark.parametrize("page", PAGES)
def test_it_loads_nothing_and_complains_of_nothing(seen: dict[str, Any], page: str) -> None:
    assert seen[page]["console"] == []
    assert seen["folder"] / page in [
        Path(url.removeprefix("file://").partition("#")[0]) for url in seen[page]["loaded"]
    ]
    others = [url for url in seen[page]["loaded"] if not url.startswith(f"file://{seen['folder']}/{page}")]
    assert [url for url in others if not url.startswith(("about:", "chrome:", "data:"))] == []


def test_a_capture_runs_no_script(seen: dict[str, Any]) -> None:
    views = seen["hostile.html"]["light"] + seen["hostile.html"]["dark"]
    assert [view["hacked"] for view in views] == [False] * len(views)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("how", ["without_script", "print"])
def test_nothing_is_hidden_without_script_or_on_paper(seen: dict[str, Any], page: str, how: str) -> None:
    assert seen[page][how]["chapters"] == ["beginning", "handover-1", "handover-2"]
    assert [text for text in seen[page][how]["texts"] if text["contrast"] < CONTRAST_MIN] == []


def test_a_verdict_leads_to_its_frames(seen: dict[str, Any]) -> None:
    for page in ("good.html", "failing.html"):
        journey = seen[page]["journeys"]
        assert journey["links"] > 3
        assert journey["arrived"] == [True] * journey["links"]


def test_keys_walk_down_the_ladder_and_into_the_table(seen: dict[str, Any]) -> None:
    journey = seen["good.html"]["journeys"]
    hint, *packets = journey["panel"]
    assert "arrow keys" in hint
    assert len({*packets, hint}) == len(journey["panel"])
    assert any("HIR" in packet and "706f6132" in packet for packet in packets)
    assert journey["row"] == "TR"


def test_pictures_of_a_laptops_window(seen: dict[str, Any]) -> None:
    pictures = {}
    for scheme in ("light", "dark"):
        octets = (seen["folder"] / f"good-{scheme}.png").read_bytes()
        assert (int.from_bytes(octets[16:20]), int.from_bytes(octets[20:24])) == (WIDTH, HEIGHT)
        pictures[scheme] = octets
    assert pictures["light"] != pictures["dark"]
