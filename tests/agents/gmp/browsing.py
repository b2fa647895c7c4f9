"""Walks GMP's pages in a browser: `browsing FOLDER`, in a network of its own; prints what it saw as JSON.

A server, a creator and a participant are processes of their own, as a person would start them. The participant comes while the browser looks
on, and goes again; pictures of what there was to see stay in the folder.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from agents.runtime.control import request
from tests.agents.gmp.clients_program import until
from tests.captures.browser import logged, media, picture, start

AT = "http://127.0.0.1:8080"
NAME = "Lecture <b>one</b> \u202eon X"
SDP = "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=x\nc=IN IP4 239.1.1.1/4\nt=0 0\nm=video 5004 RTP/AVP 33\n"
PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}

# Whatever has text: its contrast with what it stands on (WCAG 2.2, 1.4.3), and its size.
TEXTS = """
const light = (colour) => {
  const [r, g, b] = colour.match(/[\\d.]+/g).map((x) => x / 255).map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  const colour = getComputedStyle(element).backgroundColor;
  return colour.endsWith(", 0)") ? (element.parentElement ? ground(element.parentElement) : "rgb(255, 255, 255)") : colour;
};
return [...document.querySelectorAll("body *")].filter((each) =>
  [...each.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()) && each.getClientRects().length
).map((each) => {
  const style = getComputedStyle(each), [a, b] = [light(style.color), light(ground(each))].sort((x, y) => y - x);
  return { text: each.textContent.trim().slice(0, 30), contrast: (a + 0.05) / (b + 0.05), size: parseFloat(style.fontSize) };
});
"""
WIDTHS = "return [document.documentElement.scrollWidth, innerWidth]"


class Agents:
    """GMP's roles as processes."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack, self._folder = stack, folder

    def start(self, role: str, name: str, *lines: str, runtime: str = "", session: str = "") -> Path:
        """Start one and wait until it is ready; returns its control socket."""
        control, configuration, output = (self._folder / f"{name}.{kind}" for kind in ("control", "toml", "output"))
        runtime = f'[runtime]\nnode = "{name}"\ncontrol = "{control}"\n{runtime}'
        configuration.write_text("\n".join([*lines, runtime, session]))
        argv = [sys.executable, "-m", "agents", "gmp", role, "--config", str(configuration)]
        process = subprocess.Popen(argv, stdout=self._stack.enter_context(output.open("w")))
        self._stack.enter_context(process)
        self._stack.callback(process.terminate)
        until(lambda: "ready" in output.read_text(), f"{name} to be ready")
        return control

    def client(self, role: str, name: str, number: int, *lines: str, session: str = "") -> Path:
        where = ('server = "127.0.0.1"', f'address = "127.0.0.{number}"', 'interface = "lo"', 'until = "active"')
        return self.start(role, name, f'name = "{name}"', *where, *lines, session=session)


def text(driver: webdriver.Chrome, selector: str) -> str:
    return driver.find_element(By.CSS_SELECTOR, selector).text


def looks(driver: webdriver.Chrome, folder: Path, name: str) -> dict[str, Any]:
    """What there is to see of a page by day and by night, on a large screen and on a phone."""
    found: dict[str, Any] = {}
    for scheme in ("light", "dark"):
        media(driver, scheme)
        found[scheme] = driver.execute_script(TEXTS)
        picture(driver, folder / f"{name}-{scheme}.png")
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    found["phone"] = driver.execute_script(WIDTHS)
    picture(driver, folder / f"{name}-phone.png")
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    media(driver, "light")
    return found


def keys(driver: webdriver.Chrome) -> list[str]:
    """From the first page to the session's by the keyboard alone: what has the focus on the way."""
    driver.get(f"{AT}/")
    focused = []
    for _ in range(3):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        focused.append(driver.switch_to.active_element.text)
    driver.switch_to.active_element.send_keys(Keys.ENTER)
    until(lambda: driver.current_url == f"{AT}/sessions/1", "the session's page")
    return focused


def walk(driver: webdriver.Chrome, agents: Agents, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"keys": keys(driver), "session": looks(driver, folder, "session")}
    found["heading"] = text(driver, "h1")
    until(lambda: "Follows" in text(driver, "#live-state"), "the page to follow what happens")
    driver.execute_script("window.mark = 'not loaded again'")
    found["before"] = text(driver, "#live")
    alice = agents.client("participant", "alice", 3, "session_id = 1")
    until(lambda: "2 active" in text(driver, "#live"), "a member to arrive")
    found["arrived"] = text(driver, "#live")
    picture(driver, folder / "arrived.png")
    request(alice, {"command": "leave", "level": "registered"})
    until(lambda: "1 active" in text(driver, "#live") and "alice" not in text(driver, "#live"), "the member to leave")
    found["mark"] = driver.execute_script("return window.mark")
    driver.get(f"{AT}/")
    found["list"] = looks(driver, folder, "list")
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    driver.get(f"{AT}/sessions/1")
    found["without_script"] = text(driver, "main")
    driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    found["console"] = [entry["message"] for entry in logged(driver, "browser") if entry["level"] != "INFO"]
    # That a policy's breach would be seen there.
    driver.get(f"{AT}/")
    driver.execute_script("document.body.insertAdjacentHTML('beforeend', '<p onclick=\"1\" style=\"color: red\">')")
    found["breach"] = [entry["message"] for entry in logged(driver, "browser")]
    return found


def main(folder: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with ExitStack() as stack, tempfile.TemporaryDirectory() as profile:
        agents = Agents(stack, folder)
        store = f'store = "{folder / "store"}"\nweb = "{AT.removeprefix("http://")}"'
        agents.start("server", "server", 'address = "127.0.0.1"', runtime=store)
        described = {"name": NAME, "group": "239.1.1.1", "media": SDP, "content": "One.\nTwo.", "owner": "<i>O</i>"}
        session = "\n".join(
            ["[session]", "port = 5004", *(f"{key} = {json.dumps(value)}" for key, value in described.items())]
        )
        agents.client("creator", "host", 2, session=session)
        until(lambda: "\nactive " in (folder / "host.output").read_text(), "the creator to be active")
        driver = start(profile)
        try:
            print(json.dumps(walk(driver, agents, folder)))
        finally:
            driver.quit()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
