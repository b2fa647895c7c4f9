"""What is exported makes the network that it says: its scripts, run as an emulator would, in namespaces instead of containers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.export import containerlab, kathara
from testbed.host.sandbox import PROJECT_ROOT
from testbed.mmcp.roaming import session_lab
from testbed.net.shapes import line

pytestmark = pytest.mark.timeout(60)

# Links as an emulator makes them, then each node's script; FRR is not in namespaces, unicast needs none.
BUILD = r"""
import json, subprocess, sys
def run(*argv): subprocess.run(argv, check=True)
plan = json.load(open(sys.argv[1]))
for name in plan["scripts"]: run("ip", "netns", "add", name)
for number, (one, other) in enumerate(plan["links"]):
    (node, interface), (peer, far) = one, other
    run("ip", "link", "add", f"a{number}", "type", "veth", "peer", "name", f"b{number}")
    run("ip", "link", "set", f"a{number}", "netns", node, "name", interface)
    run("ip", "link", "set", f"b{number}", "netns", peer, "name", far)
for name, script in plan["scripts"].items():
    lines = [line for line in script.splitlines() if "frrinit" not in line]
    run("ip", "netns", "exec", name, "sh", "-c", "\n".join(lines))
for source, target in plan["pings"]:
    run("ip", "netns", "exec", source, sys.executable, "-c", plan["probe"], target)
"""
# One datagram there, and one back.
PROBE = """
import socket, subprocess, sys
version = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
with socket.socket(version, socket.SOCK_DGRAM) as probe:
    probe.settimeout(3)
    probe.connect((sys.argv[1], 9))
    for _ in range(2):
        try:
            probe.send(b'x')
            probe.recv(1)
        except ConnectionRefusedError:
            sys.exit(0)  # nobody listens there: so it was there, and its answer came back
sys.exit('no answer')
"""


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("form", ["containerlab", "kathara"])
def test_every_node_reaches_the_mobile_node(tmp_path: Path, family: int, form: str) -> None:
    model = session_lab("row", line(6 if family == 6 else 4, 3), mobiles=1)
    named = {"containerlab": "{}/setup.sh", "kathara": "{}.startup"}[form]
    files = {"containerlab": containerlab, "kathara": kathara}[form].files(model, "any")
    names = [*(node.name for node in model.nodes), *(cell.name for cell in model.points_of_attachment)]
    joined = [
        ((link.first.node, link.first.interface), (link.second.node, link.second.interface)) for link in model.links
    ]
    joined += [
        ((each.end.node, each.end.interface), (each.point_of_attachment, each.bridge_port))
        for each in model.attachments
    ]
    joined += [((radio.node, radio.interface), (str(radio.initially), radio.bridge_port)) for radio in model.radios]
    if form == "kathara":
        taken = dict.fromkeys(names, 0)

        def numbered(node: str) -> tuple[str, str]:
            taken[node] += 1
            return node, f"eth{taken[node] - 1}"

        joined = [(numbered(one[0]), numbered(other[0])) for one, other in joined]
    target = model.address_of("mn1")
    plan = {
        "scripts": {name: files[named.format(name)] for name in names},
        "links": joined,
        "pings": [(node.name, target) for node in model.nodes if node.name != "mn1"],
        "probe": PROBE,
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    argv = [sys.executable, "-m", "tests.labs.outer", sys.executable, "-c", BUILD, str(tmp_path / "plan.json")]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, cwd=PROJECT_ROOT)
    assert done.returncode == 0, done.stderr
