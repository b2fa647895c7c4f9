"""Builds one network of many hosts and says how long that took and what memory it holds, as JSON: build_world.py BUILDER HOSTS.

Ten bridges, the hosts shared out among them, each with an address: by this testbed, by stock Mininet with Linux bridges, or by munet. It must
run in a sandbox: what it makes is never taken down.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mininet.net import Mininet
from mininet.nodelib import LinuxBridge
from munet.parser import async_build_topology

from testbed.host.sandbox import require_inside
from testbed.net.mininet_net import EmulatedNetwork
from testbed.net.model import Attachment, End, Lab, Node, PointOfAttachment

BRIDGES = 10


def address(number: int) -> str:
    return f"10.{number % BRIDGES}.{1 + number // BRIDGES // 250}.{1 + number // BRIDGES % 250}/16"


@contextmanager
def ours(hosts: int) -> Iterator[None]:
    router = (Attachment(End("r", f"r-c{cell}", f"10.{cell}.0.1/16"), f"c{cell}") for cell in range(BRIDGES))
    lab = Lab(
        "many",
        4,
        (*(Node(f"h{number}") for number in range(hosts)), Node("r", "router")),
        tuple(PointOfAttachment(f"c{cell}") for cell in range(BRIDGES)),
        attachments=(
            *(
                Attachment(End(f"h{number}", "eth0", address(number)), f"c{number % BRIDGES}")
                for number in range(hosts)
            ),
            *router,
        ),
    )
    with EmulatedNetwork(lab, Path(tempfile.mkdtemp())):
        yield


@contextmanager
def mininet(hosts: int) -> Iterator[None]:
    Mininet.inited = True  # it would raise limits of the whole machine
    network = Mininet(controller=None, switch=LinuxBridge)
    bridges = [network.addSwitch(f"c{cell}") for cell in range(BRIDGES)]
    for number in range(hosts):
        network.addLink(network.addHost(f"h{number}", ip=address(number)), bridges[number % BRIDGES])
    network.start()
    yield


@contextmanager
def munet(hosts: int) -> Iterator[None]:
    config: dict[str, Any] = {
        "config_pathname": str(Path(tempfile.mkdtemp()) / "munet.yaml"),
        "topology": {
            "networks": [{"name": f"c{cell}"} for cell in range(BRIDGES)],
            "nodes": [
                {
                    "name": f"h{number}",
                    "connections": [{"to": f"c{number % BRIDGES}", "name": "eth0", "ip": address(number)}],
                }
                for number in range(hosts)
            ],
        },
    }
    asyncio.run(async_build_topology(config, top_level_pidns=False))
    yield


BUILDERS: dict[str, Callable[[int], Any]] = {"ours": ours, "mininet": mininet, "munet": munet}


def available_kib() -> int:
    """What the kernel could still give to programs."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


def main() -> None:
    require_inside()
    before = available_kib()
    began = time.monotonic()
    with BUILDERS[sys.argv[1]](int(sys.argv[2])):
        seconds = time.monotonic() - began
        print(json.dumps({"seconds": seconds, "kib": before - available_kib()}), flush=True)
        os._exit(0)  # the sandbox's end is the quickest end of all this


if __name__ == "__main__":
    main()
