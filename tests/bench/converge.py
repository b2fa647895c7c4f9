"""Starts ten FRR routers in a line, within a sandbox, and says when they are adjacent and have a way to the rendezvous point, as JSON."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path

from testbed.net.mininet_net import EmulatedNetwork
from testbed.net.model import Stream
from testbed.net.shapes import line
from testbed.routing import families

ROUTERS = 10


def main() -> None:
    shape = line(4, ROUTERS)
    shape.host("source", shape.root)
    lab = shape.lab("converge", [Stream("239.1.1.1", "source")], unicast=sys.argv[1])
    with EmulatedNetwork(lab, Path(tempfile.mkdtemp())) as network:
        began = time.monotonic()
        families.start_routers(network)
        print(json.dumps({"seconds": time.monotonic() - began, "routers": len(lab.routers())}), flush=True)
        os._exit(0)


if __name__ == "__main__":
    main()
