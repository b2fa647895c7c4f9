"""A program for the inside of a sandbox: `python -m tests.labs.inner_lab FAMILY RUN_FOLDER [ACTION]`.

Builds the handover model, starts its routers, tells one JSON line about itself, then does ACTION:

    stay     until a signal (exit status 7) or the death of something (2, with the reason)
    leave    at once (0)
    forget   joins and leaves a group and checks the cold start (0)
    spoil    undoes each setting that multicast needs and checks that this is noticed (0)
"""

import json
import re
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from types import FrameType

import pytest

from testbed.host.checks import NotObserved
from testbed.host.processes import ProcessError
from testbed.host.progress import Progress
from testbed.host.sandbox import SandboxError
from testbed.host.sandbox_init import namespaces
from testbed.net.mininet_net import EmulatedNetwork, EmulationError
from testbed.net.model import ModelError
from testbed.net.netlink import run_in_network_namespace
from testbed.routing.families import make_cold, start_routers
from testbed.routing.frr import FrrRouter
from testbed.routing.router import RoutingError
from tests.testbed.handover_model import handover_model

SIGNALLED = 7
SOL_IPV4, IP_ADD_MEMBERSHIP, SOL_IPV6, IPV6_ADD_MEMBERSHIP = 0, 35, 41, 20


def interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def join(network: EmulatedNetwork, node: str, interface: str, group: str) -> socket.socket:
    """A socket in the node that is a member of the group on that interface; closing it leaves."""

    def opened() -> socket.socket:
        index = socket.if_nametoindex(interface)
        if network.model.family == 6:
            member = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            request = socket.inet_pton(socket.AF_INET6, group) + struct.pack("I", index)
            member.setsockopt(SOL_IPV6, IPV6_ADD_MEMBERSHIP, request)
        else:
            member = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            request = socket.inet_aton(group) + bytes(4) + struct.pack("i", index)
            member.setsockopt(SOL_IPV4, IP_ADD_MEMBERSHIP, request)
        return member

    return run_in_network_namespace(network.pid(node), opened)


def forget(network: EmulatedNetwork, routers: dict[str, FrrRouter]) -> None:
    group = network.model.group
    for _ in range(3):
        member = join(network, "mn", "mn-radio", group)

        def known() -> tuple[bool, str]:
            state, above = routers["ar1"].group_state(group), routers["rr"].group_state(group)
            fed = any("rr-ar1" in interfaces for interfaces in above.forwarding.values())
            return bool(state.members and state.upstream and state.kernel and fed), f"ar1: {state}, rr: {above}"

        network.eventually("ar1 to have joined", known, 10)
        # The node vanishes without a word, as in a handover.
        network.sandbox_namespace.set_up("air-mn-radio", False)
        member.close()
        make_cold(network, routers, "ar1", group)
        assert routers["ar1"].group_state(group).cold
        assert len(routers["ar1"].neighbours()) == 1
        network.sandbox_namespace.set_up("air-mn-radio")


def spoil(network: EmulatedNetwork) -> None:
    """Undoes one setting after the other; each must be found, by name, and nothing else."""
    ar1, bridges = network.namespace("ar1"), network.sandbox_namespace
    network.verify_multicast_settings()
    ar1.write_sysctls({"net/ipv4/conf/ar1-rr/rp_filter": "1"})
    refused(network, "node ar1, interface ar1-rr: rp_filter is 1")
    ar1.write_sysctls({"net/ipv4/conf/ar1-rr/rp_filter": "0", "net/ipv4/conf/all/rp_filter": "2"})
    refused(network, "node ar1, interface all: rp_filter is 2")
    ar1.write_sysctls({"net/ipv4/conf/all/rp_filter": "0"})
    for namespace, node, interface in ((ar1, "ar1", "ar1-poa1"), (bridges, "sandbox", "air-mn-radio")):
        run_in_network_namespace(namespace.pid, lambda name=interface: set_offload(name, "tx", on=True))  # type: ignore[misc]
        refused(network, f"node {node}, interface {interface}: tx-checksumming")
        namespace.take_over([interface])
    if (name := "net/bridge/bridge-nf-call-iptables") and bridges.read_sysctl(name) is not None:
        bridges.write_sysctls({name: "1"})
        refused(network, f"{name} is 1")
        bridges.write_sysctls({name: "0"})
    subprocess.run(["ip", "link", "set", "poa2", "type", "bridge", "mcast_snooping", "1"], check=True)
    refused(network, "bridge poa2: multicast snooping is on, the model says off")
    subprocess.run(["ip", "link", "set", "poa2", "type", "bridge", "mcast_snooping", "0"], check=True)
    network.verify_multicast_settings()


def set_offload(interface: str, feature: str, *, on: bool) -> None:
    subprocess.run(["ethtool", "-K", interface, feature, "on" if on else "off"], check=True, stdout=subprocess.DEVNULL)


def refused(network: EmulatedNetwork, words: str) -> None:
    with pytest.raises(EmulationError, match=re.escape(words)):
        network.verify_multicast_settings()


def main() -> int:
    family, run_folder, action = int(sys.argv[1]), Path(sys.argv[2]), [*sys.argv, "leave"][3]
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGHUP, interrupt)
    try:
        lab = handover_model(6 if family == 6 else 4)
        with EmulatedNetwork(lab, run_folder, Progress()) as network:
            started = start_routers(network)
            routers = {node: router for node, router in started.items() if isinstance(router, FrrRouter)}
            told = {
                "namespaces": namespaces(),
                "neighbours": {name: router.neighbours() for name, router in routers.items()},
                "interfaces": sorted(network.sandbox_namespace.interfaces()),
            }
            print(json.dumps(told), flush=True)
            if action == "stay":
                network.eventually("a signal", lambda: (False, "none"), 120)
            elif action == "forget":
                forget(network, routers)
            elif action == "spoil":
                spoil(network)
            network.processes.check_alive()
    except KeyboardInterrupt:
        return SIGNALLED
    except (ModelError, EmulationError, SandboxError, ProcessError, RoutingError, NotObserved) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
