"""Looks at pages in a headless Chromium and prints what it saw as JSON; to be run where there is no network.

Arguments: a folder for pictures, then pages. For each page: ``light`` and ``dark`` (what `seen_in_page.js` returns, once
for every chapter), ``print``, ``without_script``, ``journeys`` (where links and keys lead), ``console`` and ``loaded``.
"""

from __future__ import annotations

import base64
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.wait import WebDriverWait

WIDTH, HEIGHT = 1280, 800
DEADLINE_S = 10.0
LOOK = Path(__file__).with_name("seen_in_page.js").read_text(encoding="utf-8")
BROWSERS = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser")


def start(profile: str) -> webdriver.Chrome:
    """A browser with a profile of its own, which asks nobody for a driver."""
    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, BROWSERS)))
    # As root there is no sandbox for it, and a container's shared memory is too small for it.
    plain = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
    for argument in (*plain, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    # Pixels are pixels on every screen.
    size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    return driver


def media(driver: webdriver.Chrome, scheme: str, kind: str = "") -> None:
    """Prefer light or dark; look as printed."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": kind, "features": features})


def picture(driver: webdriver.Chrome, path: Path) -> None:
    """The window as it is now."""
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    path.write_bytes(base64.b64decode(shot["data"]))


def look(driver: webdriver.Chrome) -> dict[str, Any]:
    """What there is to see now."""
    found: dict[str, Any] = driver.execute_script(LOOK)
    return found


def logged(driver: webdriver.Chrome, kind: str) -> list[dict[str, Any]]:
    """What the browser has logged since the last call."""
    found: list[dict[str, Any]] = driver.get_log(kind)  # type: ignore[no-untyped-call]  # selenium has no types here
    return found


def every_chapter(driver: webdriver.Chrome) -> list[dict[str, Any]]:
    """What there is to see in each chapter, one after the other."""
    found = []
    for tab in driver.find_elements(By.CSS_SELECTOR, "nav.chapters a[data-chapter]"):
        target = tab.get_dom_attribute("href")
        tab.click()
        shown = expected_conditions.element_attribute_to_include
        WebDriverWait(driver, DEADLINE_S).until(
            shown((By.CSS_SELECTOR, f"#chapters a[href='{target}']"), "aria-current")
        )
        found.append(look(driver))
    return found


def journeys(driver: webdriver.Chrome, url: str) -> dict[str, Any]:
    """Where one comes to from a verdict, and from a row of the ladder by keys."""
    links = driver.execute_script(
        "return [...document.querySelectorAll('.rules a[href^=\"#frame-\"]')].map((link) => link.hash)"
    )
    links = list(dict.fromkeys(links))  # to load a page again from where it is scrolled to is another journey
    arrived = []
    for link in links:
        driver.get(url + link)
        arrived.append(
            driver.execute_script(
                "const dot = document.querySelector(location.hash); const box = dot.getBoundingClientRect();"
                "return dot.closest('.chapter').classList.contains('shown') && box.top > 0 && box.bottom < innerHeight"
                " && document.activeElement === dot.closest('.event')"
            )
        )
    driver.get(url)
    events = [event for event in driver.find_elements(By.CSS_SELECTOR, ".shown .event") if event.is_displayed()]
    panel = driver.find_element(By.CSS_SELECTOR, ".shown aside.packet")
    shown = [panel.text]
    driver.execute_script("arguments[0].focus()", events[0])
    for _ in range(3):
        shown.append(panel.text)
        driver.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    row = driver.execute_script(
        "const row = document.querySelector(location.hash); return row.closest('details').open && row.tagName"
    )
    return {"links": len(links), "arrived": arrived, "panel": shown, "row": row}


def visit(driver: webdriver.Chrome, page: Path, pictures: Path) -> dict[str, Any]:
    """Everything about one page."""
    url = page.resolve().as_uri()
    logged(driver, "browser"), logged(driver, "performance")
    found: dict[str, Any] = {}
    for scheme in ("light", "dark"):
        media(driver, scheme)
        driver.get("about:blank")
        driver.get(url)
        picture(driver, pictures / f"{page.stem}-{scheme}.png")
        found[scheme] = every_chapter(driver)
        picture(driver, pictures / f"{page.stem}-{scheme}-chapter.png")
    found["journeys"] = journeys(driver, url)
    media(driver, "dark", "print")
    found["print"] = look(driver)
    media(driver, "light")
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    driver.get("about:blank")
    driver.get(url)
    found["without_script"] = look(driver)
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    found["console"] = [entry["message"] for entry in logged(driver, "browser") if entry["level"] != "INFO"]
    sent = (json.loads(entry["message"])["message"] for entry in logged(driver, "performance"))
    requests = [event["params"]["request"]["url"] for event in sent if event["method"] == "Network.requestWillBeSent"]
    found["loaded"] = sorted(set(requests))
    return found


def main(pictures: Path, pages: list[Path]) -> None:
    """Visit all pages in one browser."""
    with tempfile.TemporaryDirectory() as profile:
        driver = start(profile)
        try:
            print(json.dumps({page.name: visit(driver, page, pictures) for page in pages}))
        finally:
            driver.quit()


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(argument) for argument in sys.argv[2:]])
