"""The example of GMP by hand, as the README has it: three programs on one machine, in a network of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from testbed.host.sandbox import PROJECT_ROOT
from tests.agents.hosts import DEADLINE_S

pytestmark = pytest.mark.lab

EXAMPLE = PROJECT_ROOT / "agents" / "gmp" / "example"
COURSE = r"""
set -e
await() { timeout DEADLINE sh -c 'until grep -q "$0" "$1"; do sleep 0.05; done' "$1" "$2" || { echo "no $1 in $2:"; cat "$2"; exit 1; }; }
fetch() {
    python3 -c 'import sys, urllib.request as web
print(web.urlopen(web.Request(sys.argv[1], headers={"Accept": sys.argv[2]})).read().decode())' "$@"
}
ip link set dev lo up
agents gmp server --config server.toml >server.out 2>&1 &
await ready server.out
agents gmp creator --config bob.toml >bob.out 2>&1 &
await "^active" bob.out
agents gmp participant --config alice.toml >alice.out 2>&1 &
await "^active" alice.out
fetch http://127.0.0.1:8080/sessions/1.sdp application/sdp >seen.sdp
fetch http://127.0.0.1:8080/ application/json >seen.json
agents ctl ./alice.ctl leave
await "^left" alice.out
agents ctl ./bob.ctl end
await "^ended" bob.out
kill -TERM %1 %2 %3
wait
"""


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("example") / "lecture"
    shutil.copytree(EXAMPLE, folder)
    alone = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"]), "--"]
    program = COURSE.replace("DEADLINE", str(round(DEADLINE_S)))
    found = os.environ | {"PATH": f"{PROJECT_ROOT}/.venv/bin:{os.environ['PATH']}"}
    done = subprocess.run(
        [*alone, "bash", "-c", program], cwd=folder, env=found, capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_everybody_is_told_what_the_readme_says(course: Path) -> None:
    readme = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
    told = (course / "bob.out").read_text(encoding="utf-8").splitlines()
    assert told[0] == "ready"
    assert "\n".join(told[1:5]) in readme
    assert (course / "alice.out").read_text(encoding="utf-8").splitlines()[-1].startswith("left")


def test_the_page_has_the_session_and_its_sdp(course: Path) -> None:
    [session] = json.loads((course / "seen.json").read_text(encoding="utf-8"))["sessions"]
    assert (session["name"], session["state"], session["active"]) == ("Lecture", "active", 2)
    assert "c=IN IP4 239.1.2.3/16" in (course / "seen.sdp").read_text(encoding="utf-8")
