"""How fast a world is made, and what it takes: beside stock Mininet and munet, which build the same network in the same run.

What bounds the number of nodes is said with the figures that it follows from.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from testbed.host.sandbox import PROJECT_ROOT
from testbed.run.estimate import NODE_MIB
from testbed.setup import routing_root

pytestmark = pytest.mark.timeout(900)

HOSTS = 200
MUNET_HOSTS = 40  # it takes its time for each, however many there are
ROUNDS = 3
FASTER_THAN_MININET = 5.0
CONVERGED_S = 10.0
IN_A_SANDBOX = (
    "import sys; from pathlib import Path; from testbed.host.sandbox import run_inside;"
    "sys.exit(run_inside([sys.executable, *sys.argv[2:]], routing_root=Path(sys.argv[1])))"
)


def inside(script: str, *words: str) -> dict[str, Any]:
    """What a script of this folder says last, in a sandbox of its own."""
    argv = [sys.executable, "-c", IN_A_SANDBOX, str(routing_root()), str(Path(__file__).with_name(script)), *words]
    finished = subprocess.run(
        argv, cwd=PROJECT_ROOT, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert finished.returncode == 0, f"{finished.stdout}\n{finished.stderr}"
    said: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return said


def test_seconds_for_each_node() -> None:
    """In turns, so that a slow moment is everybody's."""
    took: dict[str, list[float]] = {"ours": [], "mininet": []}
    held: list[float] = []
    for _ in range(ROUNDS):
        for builder, seconds in took.items():
            said = inside("build_world.py", builder, str(HOSTS))
            seconds.append(said["seconds"])
            if builder == "ours":
                held.append(said["kib"] / HOSTS / 1024)
    munet_s = inside("build_world.py", "munet", str(MUNET_HOSTS))["seconds"] / MUNET_HOSTS
    ours_s, mininet_s = (statistics.median(took[builder]) / HOSTS for builder in ("ours", "mininet"))
    print(
        f"\n{HOSTS} hosts at ten bridges, of {ROUNDS} rounds in turns: {1000 * ours_s:.1f} ms a host, "
        f"stock Mininet {1000 * mininet_s:.1f} ms ({mininet_s / ours_s:.1f} times, target {FASTER_THAN_MININET:g}), "
        f"munet {1000 * munet_s:.0f} ms ({munet_s / ours_s:.0f} times, at {MUNET_HOSTS} hosts)"
    )
    node_mib = statistics.median(held)
    free_mib = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**20
    processes = int(Path("/proc/sys/kernel/pid_max").read_text())
    print(
        f"a host holds {node_mib:.2f} MiB (what the estimate reckons with: {NODE_MIB} MiB). Of {free_mib:.0f} MiB that are free "
        f"{free_mib / node_mib:.0f} hosts could be made, and {processes} processes may exist: memory is what bounds it"
    )
    assert node_mib < NODE_MIB
    assert mininet_s / ours_s >= FASTER_THAN_MININET


@pytest.mark.parametrize("unicast", ["static", "ospf"])
def test_ten_routers_until_they_have_converged(unicast: str) -> None:
    seconds = [inside("converge.py", unicast)["seconds"] for _ in range(ROUNDS)]
    print(f"\nten routers in a line, {unicast} routes: PIM has converged after {statistics.median(seconds):.1f} s")
    assert statistics.median(seconds) < CONVERGED_S
