"""A program for the inside of a sandbox: `python -m tests.labs.inner_links RUN_FOLDER ACTION`; says what it found as JSON.

measure    builds a small lab with links of all kinds, looks at them by other means than the lab's own, changes some
adjust     changes links that were perfect
spoil      makes links other than they were asked to be, and tells what building them then says
netem      links that only netem can make
no-taps    links of somebody who may not make taps
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from testbed.host.processes import ProcessDied
from testbed.host.sandbox import require_inside
from testbed.net import link_verification, links
from testbed.net.link_verification import LinkError
from testbed.net.mininet_net import EmulatedNetwork
from testbed.net.model import Attachment, End, Lab, Link, ModelError, Node, PointOfAttachment, Quality, Radio
from testbed.net.tools import ToolError
from testbed.net.wires import with_qualities

PORT = 5001

SMALL = Lab(
    name="small",
    family=4,
    nodes=(Node("a"), Node("b"), Node("c"), Node("mn"), Node("r", "router")),
    points_of_attachment=(PointOfAttachment("poa1"), PointOfAttachment("poa2")),
    links=(
        Link(End("a", "a-r", "10.0.1.2/24"), End("r", "r-a", "10.0.1.1/24")),
        Link(End("b", "b-r", "10.0.2.2/24"), End("r", "r-b", "10.0.2.1/24")),
        Link(End("c", "c-r", "10.0.3.2/24"), End("r", "r-c", "10.0.3.1/24")),
    ),
    attachments=(
        Attachment(End("r", "r-poa1", "10.0.11.1/24"), "poa1"),
        Attachment(End("r", "r-poa2", "10.0.12.1/24"), "poa2"),
    ),
    radios=(
        Radio("mn", "mn-near", (("poa1", "10.0.11.2/24"), ("poa2", "10.0.12.2/24")), "poa1"),
        Radio("mn", "mn-far", (("poa1", "10.0.11.3/24"), ("poa2", "10.0.12.3/24")), None),
    ),
)
A, B, C, MN = "10.0.1.2", "10.0.2.2", "10.0.3.2", "10.0.11.2"


def small(*asked: str) -> Lab:
    """The small lab with these links."""
    return with_qualities(SMALL, asked)


def round_trips(network: EmulatedNetwork, node: str, address: str, *words: str) -> tuple[float, int]:
    """Median in ms and number of the answers that ping gets, as ping tells them."""
    argv = ["chroot", str(network.routing_root), "ping", "-n", *words, address]
    process = network.popen(node, argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, _ = process.communicate(timeout=30)
    times = sorted(float(found) for found in re.findall(r"time=([\d.]+) ms", said.decode()))
    return (times[len(times) // 2] if times else float("nan")), len(times)


def transfer_bps(network: EmulatedNetwork, sender: str, receiver: str, address: str, octets: int) -> float:
    """Bits of payload that TCP carries from one node to another, per second."""

    def listening() -> socket.socket:
        return socket.create_server((address, PORT))

    def connected() -> socket.socket:
        return socket.create_connection((address, PORT), timeout=10)

    with (
        closing(network.namespace(receiver).run(listening)) as server,
        closing(network.namespace(sender).run(connected)) as source,
    ):
        accepted, _ = server.accept()
        with closing(accepted):
            accepted.settimeout(20)
            source.setblocking(False)
            to_send, got, begun = octets, 0, 0.0
            while got < octets:
                if to_send:
                    with suppress(BlockingIOError):
                        to_send -= source.send(bytes(min(to_send, 16384)))
                got += len(accepted.recv(65536))
                begun = begun or time.monotonic()
            return got * 8 / (time.monotonic() - begun)


def refusal(call: Callable[[], object]) -> str:
    """What a call says that is refused."""
    with pytest.raises((LinkError, ModelError, ProcessDied, ToolError)) as caught:
        call()
    return str(caught.value)


def carrier(network: EmulatedNetwork, interface: str) -> bool:
    """Whether the mobile node's interface has a link, as the node sees it."""
    return network.namespace("mn").state(interface).carrier


def move(network: EmulatedNetwork) -> list[bool]:
    """Take the mobile node's link away, move it to the other cell and back; whether it had a link each time."""
    radio, seen = network.model.radios[0], [carrier(network, "mn-near")]
    for cell in ("poa2", "poa1"):
        network.set_carrier(radio, False)
        seen.append(carrier(network, "mn-near"))
        network.sandbox_namespace.set_master(radio.bridge_port, cell)
        network.set_carrier(radio, True)
        seen.append(carrier(network, "mn-near"))
    return seen


def measure(run_folder: Path) -> dict[str, Any]:
    lab = small(
        "a-r:delay=20ms", "b>r:rate=10mbit", "r>b:delay=7ms", "mn-mn-near:loss=10%,rate=20mbit",
        "mn-mn-far:loss=1%", "r>poa1:delay=5ms",
    )  # fmt: skip
    with EmulatedNetwork(lab, run_folder) as network:
        found: dict[str, Any] = {"links": network.links.report()}
        found["unattached"] = carrier(network, "mn-far")
        found["sandbox"] = [name for name in network.sandbox_namespace.interfaces() if name.startswith("_")]
        found["there_and_back_ms"], _ = round_trips(network, "a", "10.0.1.1", "-c20", "-i0.05")
        found["one_way_ms"], _ = round_trips(network, "b", "10.0.2.1", "-c20", "-i0.05")
        found["cell_ms"], found["cell_answers"] = round_trips(network, "mn", "10.0.11.1", "-c400", "-i0.002", "-W1")
        found["perfect_ms"], _ = round_trips(network, "c", "10.0.3.1", "-c20", "-i0.01")
        found["tcp_bps"] = transfer_bps(network, "b", "r", "10.0.2.1", 600_000)
        found["moved"] = move(network)
        network.links.change("a", "r", Quality(delay_s=0.005))
        found["shorter_ms"], _ = round_trips(network, "a", "10.0.1.1", "-c20", "-i0.05")
        network.links.change("r", "a", Quality(delay_s=0.03, loss=0.0), Quality())
        found["other_ms"], _ = round_trips(network, "a", "10.0.1.1", "-c20", "-i0.05")
        network.links.change("mn", "mn-near", Quality(delay_s=0.01))
        found["delayed_later_ms"], found["lossless_answers"] = round_trips(
            network, "mn", "10.0.11.1", "-c200", "-i0.002"
        )
        found["perfect_change"] = refusal(lambda: network.links.change("c", "r", Quality(loss=0.1)))
        found["impossible_change"] = refusal(lambda: network.links.change("a", "r", Quality(queue_packets=5)))
        found["kept_ms"], _ = round_trips(network, "a", "10.0.1.1", "-c20", "-i0.05")
        # tc counts octets in 32 bits, and has taken the old rate away when it finds that out.
        too_long = Quality(rate_bps=10**7, queue_packets=10**9)
        found["failed_change"] = refusal(lambda: network.links.change("b", "r", too_long, Quality()))
        found["restored_bps"] = transfer_bps(network, "b", "r", "10.0.2.1", 600_000)
        network.links.change("b", "r", Quality(rate_bps=4 * 10**6), Quality())
        found["slower_bps"] = transfer_bps(network, "b", "r", "10.0.2.1", 300_000)
        found["after"] = network.links.report()
    return found


def adjust(run_folder: Path) -> dict[str, Any]:
    with EmulatedNetwork(SMALL, run_folder, adjustable_links=True) as network:
        found: dict[str, Any] = {"links": network.links.report()}
        network.links.change("c", "r", Quality(loss=1.0), Quality())
        _, found["cut_answers"] = round_trips(network, "c", "10.0.3.1", "-c3", "-i0.01", "-W0.1")
        network.links.change("c", "r", Quality())
        _, found["mended_answers"] = round_trips(network, "c", "10.0.3.1", "-c3", "-i0.01", "-W1")
        network.links.change("a", "r", Quality(delay_s=0.005), Quality())
        filters = [each.filter for joined in network.links.joined.values() for each in joined.directions if each.filter]
        found["filters"] = len(filters)
        for each in filters:
            os.kill(each.popen.pid, signal.SIGKILL)
            each.popen.wait()
            found["died"] = refusal(network.processes.check_alive)
            each.stopping = True  # so that the end of the lab finds nothing wrong
    return found


def spoil(run_folder: Path) -> dict[str, Any]:
    """Links that do something else than they were asked; what measuring them says."""
    asked = small("a>r:delay=20ms", "b>r:loss=2%", "c>r:duplicate=2%", "r>c:rate=10mbit")
    wrong = {
        "delay": ("a", Quality(delay_s=0.023), Quality()),
        "loss": ("b", Quality(loss=0.06), Quality()),
        "duplicate": ("c", Quality(), Quality(rate_bps=10_000_000)),
        "rate": ("c", Quality(duplicate=0.02), Quality(rate_bps=12_000_000)),
    }
    found = {}
    with EmulatedNetwork(asked, run_folder) as network, pytest.MonkeyPatch.context() as patch:
        patch.setattr(link_verification, "ATTEMPTS", 1)  # what is as wrong as this is wrong at once
        for name, (node, there, back) in wrong.items():
            joined = next(each for each in network.links.joined.values() if each.wire.first == node)
            plans = [direction.plan for direction in joined.directions]
            network.links.change(node, "r", there, back)
            for direction, plan in zip(joined.directions, plans, strict=True):
                direction.plan = plan
            found[name] = refusal(network.links.verify)
            network.links.change(node, "r", *(plan.quality for plan in plans))
        patch.undo()  # a right link may seem wrong once
        network.links.verify()
    return found


def netem(run_folder: Path) -> dict[str, Any]:
    lab = small(
        "a>r:delay=2.5ms,jitter=500us", "b>r:delay=20ms,reorder=5%,loss=1%,duplicate=2%", "c-r:delay=5ms,rate=10mbit"
    )
    with EmulatedNetwork(lab, run_folder) as network:
        network.links.change("c", "r", Quality(delay_s=0.01))
        later_ms, _ = round_trips(network, "c", "10.0.3.1", "-c20", "-i0.05")
        return {"links": network.links.report(), "later_ms": later_ms}


def without_taps(run_folder: Path) -> dict[str, Any]:
    """What an ordinary user gets who may not make taps."""
    with EmulatedNetwork(small("a-r:loss=10%,rate=1mbit"), run_folder) as network:
        found: dict[str, Any] = {"links": network.links.report()}
    has = links.available(require_inside().routing_root)
    found |= {"netem": has.netem, "taps": has.taps, "delay": ""}
    if not (has.netem or has.taps):
        found["delay"] = refusal(lambda: EmulatedNetwork(small("a-r:delay=20ms"), run_folder))
    return found


def main() -> None:
    run_folder, action = Path(sys.argv[1]), sys.argv[2]
    actions = {"measure": measure, "adjust": adjust, "spoil": spoil, "netem": netem, "no-taps": without_taps}
    json.dump(actions[action](run_folder), sys.stdout)


if __name__ == "__main__":
    main()
